# SPDX-License-Identifier: MIT
"""Running one program pinned, reading its line, and the CPU time of processes."""
import glob
import os
import subprocess
import sys


REALTIME = False  # set by --realtime


class Skip(Exception):
    """This machine does not allow the measurement."""


class Failure(Exception):
    """A program did not do what it should."""


def progress(text):
    """One line that is written over, on a terminal; else a line each."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K" + text[:110])
    elif text:
        sys.stderr.write(text + "\n")
    sys.stderr.flush()


def start(command, cpus, realtime=True, **options):
    """Starts a program on `cpus`; TR_WORKERS follows, so that Troupe's programs use as many workers."""
    def settle():
        os.sched_setaffinity(0, cpus)
        if REALTIME and realtime:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    environment = dict(os.environ, TR_WORKERS=str(len(cpus)))
    try:
        return subprocess.Popen(command, env=environment, text=True, preexec_fn=settle, **options)
    except OSError as why:
        raise Failure(f"{command[0]}: {why.strerror}") from None


def run(command, cpus, timeout=600, realtime=True):
    """Runs a program to its end and returns its output."""
    process = start(command, cpus, realtime, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Failure(f"no end after {timeout} s") from None
    if process.returncode == 77:
        raise Skip(last_line(errors))
    if process.returncode != 0:
        raise Failure(f"status {process.returncode}: {last_line(errors) or last_line(output)}")
    return output


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""


def parse_line(output):
    """ "NAME VALUE UNIT [key=value ...]" as (value, {key: value}); the last such line counts. """
    for line in reversed(output.splitlines()):
        words = line.split()
        if len(words) >= 3:
            pairs = dict(word.split("=", 1) for word in words[3:] if "=" in word)
            return float(words[1]), {key: float(value) for key, value in pairs.items()}
    raise Failure("printed no figure")


def run_program(command, cpus, realtime=True):
    return parse_line(run(command, cpus, realtime=realtime))


def cpu_seconds(pid):
    """The time that a running process has had a processor, all threads: to the nanosecond, where /proc/PID/stat has ticks."""
    total, paths = 0, glob.glob(f"/proc/{pid}/task/*/schedstat")
    if not paths:
        raise Skip("this kernel has no /proc/PID/schedstat")
    for path in paths:
        with open(path, encoding="utf-8") as schedstat:
            total += int(schedstat.read().split()[0])
    return total / 1e9


def run_counting_cpu(command, cpus):
    """Runs a program to its end. Returns its output and the user and system seconds that it took."""
    process = start(command, cpus, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode != 0:
        raise Failure(f"status {process.returncode}: {last_line(output)}")
    return output, usage.ru_utime + usage.ru_stime

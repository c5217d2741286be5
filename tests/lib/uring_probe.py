#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Exit status 1 if this process is denied io_uring altogether (no such system call, or a sandbox); else 0.

Other failures, of memory say, are no denial: the tests are to run, and to show them. tests/ring.h is the same in C.
"""
import ctypes
import errno
import os
import sys

IO_URING_SETUP = 425  # the same number on x86-64 and aarch64

libc = ctypes.CDLL(None, use_errno=True)
params = ctypes.create_string_buffer(120)
fd = libc.syscall(IO_URING_SETUP, 4, params)
if fd >= 0:
    os.close(fd)
elif ctypes.get_errno() in (errno.EPERM, errno.ENOSYS):
    print("io_uring_setup:", os.strerror(ctypes.get_errno()))
    sys.exit(1)

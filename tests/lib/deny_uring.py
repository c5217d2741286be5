#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""deny_uring.py ERROR COMMAND...: runs a command to which io_uring_setup answers ERROR (EPERM, ENOSYS).

By a seccomp filter, as a container's profile does it; a program that runs under it cannot tell the difference.
"""
import ctypes
import errno
import os
import struct
import sys

IO_URING_SETUP = 425  # the same number on x86-64 and aarch64
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
RET_ERRNO, RET_ALLOW = 0x00050000, 0x7FFF0000


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


code = b"".join(struct.pack("=HBBI", *line) for line in (
    (LOAD_WORD, 0, 0, 0),  # the number of the system call
    (JUMP_IF_EQUAL, 0, 1, IO_URING_SETUP),
    (RETURN, 0, 0, RET_ERRNO | getattr(errno, sys.argv[1])),
    (RETURN, 0, 0, RET_ALLOW),
))
libc = ctypes.CDLL(None, use_errno=True)
if (libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
        or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(Program(4, code)), 0, 0) != 0):
    sys.exit("deny_uring.py: " + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[2], sys.argv[2:])

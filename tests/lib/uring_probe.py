#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Exit status 0 if this process may make an io_uring, 1 if the kernel or a sandbox denies it."""
import ctypes
import os
import sys

IO_URING_SETUP = 425  # the same number on x86-64 and aarch64

libc = ctypes.CDLL(None, use_errno=True)
params = ctypes.create_string_buffer(120)
fd = libc.syscall(IO_URING_SETUP, 4, params)
if fd < 0:
    print("io_uring_setup:", os.strerror(ctypes.get_errno()))
    sys.exit(1)
os.close(fd)

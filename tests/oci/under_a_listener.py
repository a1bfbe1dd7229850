"""Runs a command under a filter that has a seccomp listener, so that none of its processes can have another.

usage: under_a_listener.py COMMAND…
"""
import ctypes
import os
import struct
import subprocess
import sys

# seccomp(2) and its filter, for x86-64.
SYS_SECCOMP, SET_MODE_FILTER, NEW_LISTENER = 317, 1, 8
PR_SET_NO_NEW_PRIVS = 38
ALLOW_ALL = struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)  # BPF_RET, SECCOMP_RET_ALLOW


def take_the_listener():
    """The descriptor: the host counts the listener for as long as it is open."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(ALLOW_ALL)
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 1, ctypes.addressof(code)))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    listener = libc.syscall(SYS_SECCOMP, SET_MODE_FILTER, NEW_LISTENER, program)
    if listener < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return listener


if __name__ == "__main__":
    take_the_listener()
    sys.exit(subprocess.run(sys.argv[1:], check=False).returncode)

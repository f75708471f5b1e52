"""Becomes the command it is given, after tying itself to its parent's life and, for PostgreSQL, leaving root.

    python -I launch.py PARENT SIGNAL UID COMMAND [ARGUMENT ...]

A program of its own, standard library only: these calls belong between fork and exec, where a parent with
threads can't run Python safely. SIGNAL (a number) is what the kernel sends this process when the parent,
whose pid is PARENT, dies, so that even `kill -9` leaves nothing behind. UID 0 means: stay who you are.

PostgreSQL refuses to run as root. It gets the user id UID and keeps one of root's rights, to pass file
permissions (CAP_DAC_OVERRIDE), so that it reaches its files below a folder closed to others, such as /root
or what `mktemp -d` makes. The alternative, to open every folder above to all users, would change what is
not ours.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG, PR_SET_SECUREBITS, PR_CAP_AMBIENT = 1, 28, 47
PR_CAP_AMBIENT_RAISE = 2
SECBIT_NO_SETUID_FIXUP = 1 << 2  # access(2) then looks at the capability too, whatever the user id
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1
EXIT_CANNOT_RUN = 126


def call(function: str, *arguments: object) -> None:
    """Call the C library; raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def leave_root(uid: int) -> None:
    """Become `uid`, with CAP_DAC_OVERRIDE as the only right of root, across exec too."""
    try:
        call("prctl", PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    except OSError as error:
        raise OSError(error.errno, "not as root without CAP_SETPCAP, use an ordinary user") from error
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    mask = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    effective_permitted_inheritable = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    call("capset", header, effective_permitted_inheritable)
    call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def main(parent: int, orphan_signal: int, uid: int, command: list[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if uid:
        leave_root(uid)
    if sys.platform == "linux":
        call("prctl", PR_SET_PDEATHSIG, orphan_signal, 0, 0, 0)  # after the change of user, which clears it
    if os.getppid() != parent:
        sys.exit("the parent ended first")
    os.execv(command[0], command)  # noqa: S606 - that is what we are for


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    except OSError as error:
        print(f"cannot run {sys.argv[4]}: {error}", file=sys.stderr)
        sys.exit(EXIT_CANNOT_RUN)

"""Makes .venv what requirements.lock says; does nothing if it is that already. Called by the Makefile.

Runs with whatever `python3` the machine has, before anything is installed, so: standard library only, and syntax that an old
Python can read far enough to say that it is too old.
"""

import os
import shutil
import subprocess
import sys
import time

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VENV = os.path.join(PROJECT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
LOCK = os.path.join(PROJECT, "requirements.lock")
STAMP = os.path.join(VENV, "installed")
OLDEST = (3, 11)


def main():
    if sys.version_info < OLDEST:
        fail(
            "Python 3.11 or newer is needed, and {} is {}.{}: set PYTHON=/path/to/python3.11",
            sys.executable,
            *sys.version_info[:2],
        )
    wanted = "{} for {}\n{}".format(VENV, platform(), read(LOCK))
    if read(STAMP) == wanted and os.path.exists(PYTHON):
        return
    started = time.monotonic()
    print("installing into .venv (once, and when requirements.lock changes) ...", flush=True)
    try:
        shutil.rmtree(VENV, ignore_errors=True)
        os.makedirs(VENV)
    except OSError as error:
        fail("cannot write to {}: {}", VENV, error.strerror)
    create()
    install()
    with open(STAMP, "w", encoding="utf-8") as stamp:
        stamp.write(wanted)
    print("installed in {:.0f} s".format(time.monotonic() - started), flush=True)


def create():
    done = run(sys.executable, "-m", "venv", VENV)
    if done.returncode != 0:
        if "ensurepip" in done.stdout or "No module named venv" in done.stdout:
            fail(
                "Python's venv module is incomplete: install the package python3-venv, or set PYTHON=/path/to/another"
            )
        fail("cannot make .venv: {}", last_line(done.stdout))


def install():
    # Wheels only: nothing needs a compiler. Not compiled to .pyc: most modules are never imported.
    done = run(
        PYTHON, "-m", "pip", "install", "--require-hashes", "--no-deps", "--only-binary=:all:", "--no-compile",
        "--disable-pip-version-check", "--quiet", "-r", LOCK,
    )  # fmt: skip
    if done.returncode == 0:
        return
    for line in done.stdout.splitlines():
        if "No matching distribution found for" in line:
            name = line.rpartition(" ")[2]
            fail(
                "{} has no ready-made wheel for this Python and machine ({}), or no package index can be reached",
                name,
                platform(),
            )
    fail("cannot install requirements.lock: {}", last_line(done.stdout))


def platform():
    return "Python {}.{} on {} {}".format(
        sys.version_info[0], sys.version_info[1], os.uname().sysname, os.uname().machine
    )


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def last_line(text):
    return (text.strip().splitlines() or ["no reason given"])[-1]


def fail(line, *values):
    sys.exit("make: " + line.format(*values))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        fail("interrupted; it starts over next time")

"""A process that has loaded Django, and from which our other processes are forked.

Each of a dozen processes would spend some two seconds of processor time on the same imports, and keep what they
make in memory of its own. Here that is done once; a fork has all of it at once, and shares it.

    python -m exchange.embedded.fork_server SOCKET

Lines of JSON go over the socket, in the words of `exchange.embedded.supervisor`:

    ask  {"start": ["matcher", "--group", "alpha"], "log": PATH}    answer {"started": PID}
                                                                    {"ended": PID}; its number is still its own
         {"reap": PID}                                              {"reaped": PID, "code": as subprocess has it}

Our own and not multiprocessing's fork server: there is one of those in a process, with one environment, and its
children can't be waited for before their number is another's.

Why it is so: docs/decisions/007-fork-server.md.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import sys
import threading
from importlib import import_module
from pathlib import Path

from setproctitle import setproctitle

from exchange.embedded.launch import PR_SET_PDEATHSIG, call

AVAILABLE = sys.platform == "linux" and hasattr(os, "pidfd_open")

# What most of our processes import, and what starts nothing: no thread, no connection, no event loop.
COMMON = (
    "celery.bin.celery",
    "celery.apps.worker",
    "celery.worker.consumer",
    "kombu.transport.redis",
    "exchange.celery",
    "exchange.urls",
    "exchange.platform.events.kafka",
    "matching.worker",
    "trading.settlement.group_settlement",
    "trading.orders.intake",
    "marketdata.prices.service",
)


def main(channel: socket.socket) -> None:
    """Serve until the other end of `channel` goes; in a child, become the command that was requested."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor
    load()
    arguments = serve(channel)
    if arguments is not None:
        from exchange.platform.commands.process import manage

        setproctitle(f"exchange {' '.join(arguments)}")
        manage(["manage.py", *arguments])


def load() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")
    import django

    django.setup()
    for name in COMMON:
        import_module(name)
    from exchange.celery import app

    app.finalize()
    app.loader.import_default_modules()
    gc.collect()
    gc.freeze()  # so that no collection in a child writes to memory that it shares


def serve(channel: socket.socket) -> list[str] | None:
    """None when it is over; the arguments of its command in a child."""
    ours = os.getpid()
    ends: dict[int, int] = {}  # by process id, what is readable when the process has ended
    buffer = b""
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.data is not None:
                    selector.unregister(key.fileobj)
                    _say(channel, {"ended": key.data})
                    continue
                received = channel.recv(65536)
                if not received:
                    return None
                *lines, buffer = (buffer + received).split(b"\n")  # several may come at once
                for message in map(json.loads, lines):
                    if "reap" in message:
                        _reap(channel, message["reap"], ends.pop(message["reap"]))
                        continue
                    assert threading.active_count() == 1, "a fork takes no thread along"
                    pid = os.fork()
                    if not pid:
                        for end in ends.values():
                            os.close(end)
                        channel.close()
                        _leave_home(ours, Path(message["log"]))
                        return list(message["start"])
                    ends[pid] = os.pidfd_open(pid)
                    selector.register(ends[pid], selectors.EVENT_READ, pid)
                    _say(channel, {"started": pid})


def _reap(channel: socket.socket, pid: int, end: int) -> None:
    os.close(end)
    _, status = os.waitpid(pid, 0)
    _say(channel, {"reaped": pid, "code": os.waitstatus_to_exitcode(status)})


def _leave_home(parent: int, log: Path) -> None:
    """A session, a log and signals of its own; it ends with its parent."""
    os.setsid()
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent ended first")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with log.open("ab") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())


def _say(channel: socket.socket, message: dict[str, int]) -> None:
    channel.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))

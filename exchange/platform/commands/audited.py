"""Every command of ours is in the audit log: who ran it, with which arguments, before it runs; and how it ended.

`manage.py` runs commands through `execute`. It writes the record itself, past Django, which a process that becomes
another program does not load; the relay finds its event by itself. A database that is away keeps no command from
running: the record is missing then, and standard error says so.
"""

from __future__ import annotations

import getpass
import os
import re
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg

from exchange.base import ids
from exchange.base.env import env
from exchange.base.origin import Origin, acting
from exchange.platform.audit.log import COMMAND_END, COMMAND_START, facts, statement
from exchange.platform.audit.row_values import SECRET, personal

# They run until they are stopped: that they start is what is recorded.
LASTING = frozenset(
    {"web", "stream", "matcher", "prices", "celery_worker", "celery_beat", "consume", "simulate"}
)
# They have, or are yet to make, an installation of their own; or are Django's own that only look, or write files.
UNRECORDED = (
    frozenset({"up", "bench"})
    | {"help", "version", "check", "diffsettings", "findstatic", "inspectdb", "showmigrations"}
    | {"sqlmigrate", "sqlflush", "sqlsequencereset", "optimizemigration", "squashmigrations"}
    | {"collectstatic", "makemessages", "compilemessages", "makemigrations"}
    | {"startapp", "startproject", "test", "testserver", "runserver"}
)
_HELP = frozenset({"-h", "--help", "--version"})

LONGEST = 500  # characters of one argument that are kept

_SECRETS = re.compile("password|passwd|secret|token|code|key|pin$", re.IGNORECASE)
_EMAIL = re.compile(r"[^\s@=]+@[^\s@=]+\.[^\s@=]+")
_USER = "SELECT id::text FROM members_user WHERE lower(email) = lower(%s)"


@contextmanager
def recorded(argv: Sequence[str]) -> Iterator[None]:
    """What runs inside is the command of `argv`, such as ["manage.py", "halt", "BTC/USDT"]."""
    name = argv[1] if len(argv) > 1 else ""
    if not _is_recorded(name, argv[2:]):
        yield
        return
    who = f"command:{_person()}"
    origin = Origin(actor=who, role="COMMAND", trace_id=ids.uuid7())
    kept = _write(COMMAND_START, name, origin, {"arguments": [*argv[2:]], "host": socket.gethostname()})
    if name in LASTING:
        yield  # what it does later is not the word of who started it
        return
    code = 1
    try:
        with acting(origin):
            yield
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        raise
    except KeyboardInterrupt:
        code = 130
        raise
    finally:
        if kept:
            _write(COMMAND_END, name, origin, {"exit_code": code})


def execute(argv: list[str]) -> None:
    """Django's command line, recorded."""
    from django.core.management import execute_from_command_line

    with recorded(argv):
        execute_from_command_line(argv)


def _is_recorded(name: str, arguments: Sequence[str]) -> bool:
    """Whatever is not known to be harmless, mistyped names too. What follows `--` is another program's."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return bool(name) and name not in UNRECORDED | _HELP and not _HELP & set(own)


def _write(action: str, name: str, origin: Origin, new: dict[str, object]) -> bool:
    """False if it could not be. A database without its tables has nothing to keep yet."""
    try:
        with psycopg.connect(
            env.database_url, connect_timeout=3, application_name="exchange command"
        ) as connection:
            if "arguments" in new:
                new = {**new, "arguments": _harmless(new["arguments"], connection)}  # type: ignore[arg-type]
            connection.execute(
                *statement(
                    action=action,
                    resource=f"command/{name}",
                    new=facts(new),
                    trace_id=origin.trace_id,
                    actor=origin.actor,
                    role=origin.role,
                )
            )
    except psycopg.errors.UndefinedTable:
        return False
    except (psycopg.Error, OSError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        sys.stderr.write(f"{name}: not in the audit log, as the database is away: {first}\n")
        return False
    return True


def _person() -> str:
    """Who is logged in to the machine; with sudo, who asked for it too."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        name = str(os.getuid())
    before = os.environ.get("SUDO_USER", "")
    return f"{name} ({before})" if before and before != name else name


def _harmless(arguments: Sequence[str], connection: psycopg.Connection[object]) -> list[str]:
    """Without secrets, and with users by id instead of e-mail."""
    words: list[str] = []
    secret = False
    for argument in arguments:
        option, equals, _ = argument.partition("=")
        if secret and not argument.startswith("--"):
            words.append(SECRET)
        elif argument.startswith("--") and equals and _SECRETS.search(option):
            words.append(f"{option}={SECRET}")
        else:
            kept = _without_password(argument)[:LONGEST]
            words.append(_EMAIL.sub(lambda found: _user(found[0], connection), kept))
        secret = argument.startswith("--") and not equals and bool(_SECRETS.search(option))
    return words


def _without_password(argument: str) -> str:
    """A URL as it is, but for the password in it."""
    try:
        parts = urlsplit(argument)
    except ValueError:
        return argument
    if not parts.password:
        return argument
    return urlunsplit(parts._replace(netloc=f"{parts.username}:…@{parts.netloc.rpartition('@')[2]}"))


def _user(email: str, connection: psycopg.Connection[object]) -> str:
    row: object = connection.execute(_USER, (email,)).fetchone()
    return f"user/{row[0]}" if isinstance(row, tuple) else personal(email.lower())

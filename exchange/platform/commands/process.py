"""What the process commands share: checks before the start, one clear line each; becoming another program."""

from __future__ import annotations

import os
import runpy
import socket
import sys
from collections.abc import Sequence
from typing import NoReturn

from django.apps import apps
from django.core.management.base import CommandError

from exchange.base.env import env


def require_key() -> None:
    """Raises CommandError (exit 2) where tokens could not be signed or checked."""
    if env.jwt_private_key_file is None:
        raise CommandError(
            "JWT_PRIVATE_KEY_FILE is not set (PEM file with the RSA key that signs tokens)", returncode=2
        )


def require_free(port: int, variable: str) -> None:
    """Raises CommandError (exit 1) if `port` of our address is taken."""
    family = socket.AF_INET6 if ":" in env.exchange_bind else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((env.exchange_bind, port))
        except OSError as error:
            raise CommandError(
                f"cannot listen on {env.exchange_bind}:{port}: {error.strerror}; set {variable}"
            ) from None


def become(module: str, *arguments: str, **variables: str) -> NoReturn:
    """Go on as `python -m module …`, with the same process id and signals.

    Where Django is loaded it goes on here: module and arguments are all that changes. Otherwise, or for other
    environment variables, this process is replaced, with none of its memory.
    """
    if apps.ready and not variables:
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        sys.exit(0)
    sys.stdout.flush()
    sys.stderr.flush()
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "exchange.settings", **variables}
    os.execve(sys.executable, [sys.executable, "-m", module, *arguments], environment)  # noqa: S606 - no shell is the point


def manage(arguments: Sequence[str]) -> None:
    """Run a command of `manage.py`, whose name comes first."""
    from exchange.platform.commands.audited import execute

    execute(list(arguments))

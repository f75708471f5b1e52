"""Our commands in a process of their own, on the database of the test."""

from __future__ import annotations

import os
import subprocess
import sys

from django.db import connection

from exchange.embedded.stack import PROJECT


def environment() -> dict[str, str]:
    """With real transactions: another process sees what is committed."""
    url, _, parameters = os.environ["DATABASE_URL"].partition("?")
    database = f"{url.rpartition('/')[0]}/{connection.settings_dict['NAME']}?{parameters}"
    return {**os.environ, "DATABASE_URL": database}


def manage(*arguments: str) -> str:
    """What a command prints; it must succeed."""
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=PROJECT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout

"""Who tells users of events, for stories about that."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from exchange.embedded.stack import PROJECT
from tests.functional.live import Live


@pytest.fixture(scope="session")
def notified(live: Live) -> Iterator[Live]:
    """The running exchange, and that its users are told of what happens."""
    if live.stack.events:
        yield live
        return
    with live.stack.home.log("consumers").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.functional.notifier"],
            cwd=PROJECT,
            env={**os.environ, **live.stack.env, "DJANGO_SETTINGS_MODULE": "exchange.settings"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield live
        assert process.poll() is None, live.stack.home.log("consumers").read_text()
    finally:
        process.terminate()
        process.wait()

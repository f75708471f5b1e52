"""`manage.py status` about an exchange that runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from exchange.embedded.stack import PROJECT
from tests.functional.live import Live


def test_the_screen_says_what_runs(live: Live) -> None:
    command = [sys.executable, "manage.py", "status"]
    environment = {**os.environ, **live.stack.env}
    done = subprocess.run([*command, "--json"], cwd=PROJECT, env=environment, capture_output=True, text=True)
    told = json.loads(done.stdout)
    assert done.returncode == (0 if told["well"] else 1)
    assert told["problems"] == [], told
    assert {"postgresql", "redis", "stream", "prices", "matcher:alpha", "matcher:beta"} <= set(
        told["processes"]
    )
    assert set(told["processes"].values()) == {"up"}
    groups = {each["group"]: each for each in told["groups"]}
    assert groups["alpha"]["alive"] and groups["alpha"]["epoch"] > 0
    assert told["markets"]["listed"] >= 3 and told["partitions"] == {"missing": [], "misplaced": {}}
    assert set(told["queues"]) == {"celery", "stops", "relay", "risk"}
    assert set(told["consumers"]) == {"notifications", "surveillance", "analytics"}
    screen = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True).stdout
    assert "well" in screen.splitlines()[0] and "group        alpha: epoch" in screen

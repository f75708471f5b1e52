"""`make up` as a user meets it: starts, answers, survives kills, ends cleanly, goes on with the same data."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
import pytest

from exchange.embedded.stack import GIVEN, MARK, PROJECT, free_ports

PATIENCE = 90.0  # seconds to start or end, on a busy machine
LAST_LINE = "Ctrl-C ends it."
PROCESSES = {
    "postgres",
    "valkey",
    "web",
    "stream",
    "prices",
    "worker",
    "stops",
    "beat",
    "matcher-alpha",
    "matcher-beta",
}


@dataclass
class Up:
    """A running `manage.py up` and what it printed so far."""

    process: subprocess.Popen[str]
    home: Path
    port: int
    lines: list[str] = field(default_factory=list)
    more: threading.Condition = field(default_factory=threading.Condition)

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.more:
                self.lines.append(line.rstrip())
                self.more.notify_all()
        with self.more:
            self.lines.append("(end of output)")
            self.more.notify_all()

    def expect(self, text: str) -> str:
        """Wait for a line that contains `text`."""
        with self.more:
            found = self.more.wait_for(lambda: self._find(text) or self._find("(end of"), PATIENCE)
            assert found and text in found, "\n".join([f"no line with {text!r} in:", *self.lines])
            return found

    def _find(self, text: str) -> str:
        return next((line for line in self.lines if text in line), "")

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def status(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def wait_ready(self) -> None:
        pause = threading.Event()
        for _ in range(int(PATIENCE / 0.2)):
            with suppress(OSError):
                if self.status("/api/v1/health/ready") == http.client.OK:
                    return
            pause.wait(0.2)
        pytest.fail("not ready again")

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def up(home: Path, **more: str) -> Iterator[Up]:
    ours = (*GIVEN, MARK)
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    ports = free_ports()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "up"],
        cwd=PROJECT,
        env={**environment, **ports, "EXCHANGE_HOME": str(home), **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Up(process, home, int(ports["EXCHANGE_HTTP_PORT"]))
    reader = threading.Thread(target=running.read, daemon=True)
    reader.start()
    try:
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(PATIENCE)
        reader.join(PATIENCE)


def variables(home: Path) -> dict[str, str]:
    lines = (home / "env").read_text().splitlines()
    return {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}


def users(home: Path) -> int:
    with psycopg.connect(variables(home)["DATABASE_URL"]) as connection:
        row = connection.execute("SELECT count(*) FROM members_user").fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all tests here: the first makes it, the others find it as the one before left it."""
    return tmp_path_factory.mktemp("up") / "home"


@pytest.mark.timeout(4 * PATIENCE)
def test_it_starts_answers_and_ends(home: Path) -> None:
    with up(home) as running:
        running.expect("trader01@demo.exchange")
        running.expect(LAST_LINE)
        for path in (
            "/status",
            "/trade/BTC-USDT",
            "/api/v1/health/live",
            "/api/v1/health/ready",
            "/api/docs",
            "/api/schema",
        ):
            assert running.status(path) == http.client.OK, path
        for path in ("/", "/admin/"):
            assert running.status(path) == http.client.FOUND, path
        assert {path.stem for path in (home / "log").glob("*.log")} >= PROCESSES
        with psycopg.connect(variables(home)["DATABASE_URL"]) as connection:
            connection.execute("INSERT INTO matching_symbolgroup (name) VALUES ('gamma')")
        running.expect("a matcher for the new group gamma")
        running.wait_ready()
        children = running.children()
        assert running.end(signal.SIGINT) == 0, running.lines
        assert not any("killed" in line for line in running.lines), running.lines
        assert [child for child in children if child.is_running()] == []


@pytest.mark.timeout(6 * PATIENCE)
def test_it_brings_back_what_is_killed_and_killed_itself_leaves_nothing_and_goes_on(home: Path) -> None:
    with up(home) as running:
        running.expect(LAST_LINE)
        count = users(home)
        assert count > 0
        for child in psutil.Process(running.process.pid).children():
            child.kill()
        for name in PROCESSES:
            running.expect(f"{name} was killed by SIGKILL; starts again")
        running.wait_ready()
        children = running.children()
        running.end(signal.SIGKILL)
        assert psutil.wait_procs(children, PATIENCE)[1] == []
    with up(home) as running:
        running.expect(LAST_LINE)
        running.wait_ready()
        assert users(home) == count
        assert running.end(signal.SIGTERM) == 0


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with up(tmp_path / "home", EXCHANGE_HTTP_PORT=port) as running:
            assert running.process.wait(PATIENCE) == 1
            running.expect("(end of output)")
    assert running.lines[:-1] == [f"make up: port {port} is taken: set EXCHANGE_HTTP_PORT to a free one"]


def test_a_wrong_setting_is_one_clear_line(tmp_path: Path) -> None:
    with up(tmp_path / "home", EXCHANGE_HTTP_PORT="http") as running:
        assert running.process.wait(PATIENCE) != 0
        running.expect("(end of output)")
    assert len(running.lines) == 2
    assert running.lines[0].startswith("EXCHANGE_HTTP_PORT is wrong")
    assert not (tmp_path / "home" / "env").exists()


def test_an_argument_starts_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "up", "--fast"], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "unrecognized arguments: --fast" in done.stderr

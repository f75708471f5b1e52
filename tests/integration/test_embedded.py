"""The embedded services and their supervisor, with real processes: started, killed, found again."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from exchange.embedded.fork_client import ForkClient
from exchange.embedded.home import LONGEST_SOCKET_PATH, Home, SetupError
from exchange.embedded.stack import PROJECT, Stack, free_ports
from exchange.embedded.supervisor import Program, Spawned, Supervisor

PATIENCE = 20.0  # seconds


def eventually(condition: Callable[[], object]) -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.05)):
        if condition():
            return
        pause.wait(0.05)
    pytest.fail(f"not within {PATIENCE} s")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("embedded") / "home", free_ports()) as stack:
        yield stack


def answers(stack: Stack) -> bool:
    try:
        with psycopg.connect(stack.env["DATABASE_URL"]) as connection:
            connection.execute("SELECT 1")
        return bool(redis.Redis.from_url(stack.env["REDIS_URL"]).ping())
    except (psycopg.OperationalError, redis.RedisError):
        return False


def database_url(home: Path) -> str:
    line = next(line for line in (home / "env").read_text().splitlines() if line.startswith("DATABASE_URL="))
    return line.partition("=")[2].strip("'")


def test_secrets_are_private_and_kept(tmp_path: Path) -> None:
    first, second = Home.open(tmp_path / "home"), Home.open(tmp_path / "home")
    assert first.secret("a") == second.secret("a") != first.secret("b")
    assert first.signing_key().read_text().startswith("-----BEGIN PRIVATE KEY-----")
    for path in (first.root, *first.root.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_the_application_is_an_ordinary_role_behind_a_password(stack: Stack) -> None:
    with psycopg.connect(stack.env["DATABASE_URL"]) as connection:
        row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        assert row == (False,)
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(stack.env["DATABASE_URL"], password="wrong")
    url = stack.env["REDIS_URL"]
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=int(url.rpartition(":")[2].partition("/")[0])).ping()


def test_other_commands_find_the_services_through_the_env_file(stack: Stack) -> None:
    path = stack.home.root / "env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    environment = {name: value for name, value in os.environ.items() if name not in stack.env}
    done = subprocess.run(
        [sys.executable, "-c", "from exchange.base.env import env; print(env.database_url, env.redis_url)"],
        cwd=PROJECT,
        env={**environment, "EXCHANGE_HOME": str(stack.home.root)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [stack.env["DATABASE_URL"], stack.env["REDIS_URL"]], done.stderr


@pytest.mark.parametrize("names", [("postgres",), ("valkey",), ("postgres", "valkey")])
def test_killed_services_come_back_with_their_data(stack: Stack, names: tuple[str, ...]) -> None:
    with psycopg.connect(stack.env["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (name text)")
        connection.execute("INSERT INTO kept VALUES (%s)", ["-".join(names)])
    pids = {name: stack.pids(name)[:1] for name in names}
    restarts = {name: stack.restarts(name) for name in names}
    for name in names:
        stack.kill(name)
    eventually(lambda: all(stack.pids(name)[:1] not in ([], pids[name]) for name in names))
    eventually(lambda: answers(stack))
    with psycopg.connect(stack.env["DATABASE_URL"]) as connection:
        assert ("-".join(names),) in connection.execute("SELECT name FROM kept").fetchall()
    for name in names:
        assert stack.restarts(name) > restarts[name]


def test_a_stopped_service_stays_away_until_started(stack: Stack) -> None:
    stack.stop("valkey")
    assert stack.pids("valkey") == []
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(stack.env["REDIS_URL"]).ping()
    stack.start("valkey")
    eventually(lambda: answers(stack))


def test_a_home_has_one_holder(stack: Stack) -> None:
    with pytest.raises(SetupError, match=rf"already running in .* \(process {os.getpid()}\)"):
        Stack(stack.home.root).open()


def test_nothing_outlives_a_killed_holder_and_the_next_one_recovers(tmp_path: Path) -> None:
    home = tmp_path / "home"
    program = (
        "import sys; from pathlib import Path; from exchange.embedded.stack import Stack\n"
        "with Stack(Path(sys.argv[1])) as stack:\n"
        "    print(*stack.pids('postgres'), *stack.pids('valkey'), flush=True)\n"
        "    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(home)], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    pids = [int(pid) for pid in holder.stdout.readline().split()]
    url = database_url(home)
    children = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]  # PostgreSQL's come and go
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (name text)")
    holder.kill()
    holder.communicate()
    assert psutil.wait_procs(children, PATIENCE)[1] == []
    with Stack(home) as stack:
        assert stack.env["DATABASE_URL"] == url
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_stranger_with_the_noted_pid_is_left_alone(tmp_path: Path) -> None:
    with Stack(tmp_path / "home") as stack:
        data = stack.home.root / "postgres"
        lock = (data / "postmaster.pid").read_text().splitlines()
    stranger = subprocess.Popen(["/bin/sleep", "100"])
    try:
        (data / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lock[1:]]) + "\n")
        with Stack(tmp_path / "home") as stack:
            assert answers(stack)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_home_with_a_long_path_works(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 25) / "home with a space"
    assert len(str(home)) > LONGEST_SOCKET_PATH
    with Stack(home) as stack:
        assert answers(stack)


def test_errors_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match=r"EXCHANGE_HOME: cannot write to .*: Not a directory"):
        Stack(tmp_path / "file" / "home").open()
    ports = free_ports()
    stack = Stack(tmp_path / "home", ports)
    stack.open()
    try:
        stack.check_ports()
        with socket.create_server(("127.0.0.1", int(ports["EXCHANGE_WS_PORT"]))):
            taken = f"port {ports['EXCHANGE_WS_PORT']} is taken: set EXCHANGE_WS_PORT to a free one"
            with pytest.raises(SetupError, match=taken):
                stack.check_ports()
    finally:
        stack.close()


def test_given_services_are_not_embedded(tmp_path: Path) -> None:
    given = {
        "DATABASE_URL": "postgresql://bank@db/exchange",
        "REDIS_URL": "redis://cache/0",
        "SECRET_KEY": "s" * 40,
        "KAFKA_BROKERS": "kafka:9092",
    }
    with Stack(tmp_path / "home", given) as stack:
        assert stack.names == []
        assert {name: stack.env[name] for name in given} == given
        assert not any(secret in (stack.home.root / "env").read_text() for secret in given.values())


def test_a_database_that_does_not_answer_is_one_clear_line(tmp_path: Path) -> None:
    given = {"DATABASE_URL": "postgresql://bank@127.0.0.1:1/exchange", "REDIS_URL": "redis://127.0.0.1:1/0"}
    reason = r"could not be prepared: django\.db\.utils\.OperationalError: .*127\.0\.0\.1.*refused"
    with Stack(tmp_path / "home", given) as stack, pytest.raises(SetupError, match=reason):
        stack.prepare()


def test_the_supervisor_restarts_and_takes_grandchildren_along(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    lines: list[str] = []
    command = ["/bin/sh", "-c", f"sleep 100 & echo $! > {note}.new && mv {note}.new {note}; wait"]
    program = Program("sleeper", command, tmp_path, tmp_path / "log")
    supervisor = Supervisor(program, partial(Spawned, environment=os.environ), lines.append)
    supervisor.start()
    try:
        eventually(note.exists)
        grandchild = psutil.Process(int(note.read_text()))
        note.unlink()
        supervisor.signal(signal.SIGKILL)
        eventually(note.exists)
        assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE
        assert supervisor.restarts == 1
        assert lines == [f"sleeper was killed by SIGKILL; starts again in 0.2 s, see {tmp_path / 'log'}"]
        grandchild = psutil.Process(int(note.read_text()))
    finally:
        supervisor.stop()
    assert supervisor.pid is None
    eventually(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)


def test_a_program_that_ignores_the_request_to_stop_is_killed(tmp_path: Path) -> None:
    lines: list[str] = []
    started = tmp_path / "started"
    command = ["/bin/sh", "-c", f"trap '' TERM; touch {started}; while :; do sleep 1; done"]
    supervisor = Supervisor(
        Program("deaf", command, tmp_path, tmp_path / "log", stop_seconds=0.3),
        partial(Spawned, environment=os.environ),
        lines.append,
    )
    supervisor.start()
    eventually(started.exists)
    supervisor.stop()
    assert lines == ["deaf did not end in 0.3 s: killed"]


@pytest.fixture
def fork_client(stack: Stack, tmp_path: Path) -> Iterator[ForkClient]:
    fork_client = ForkClient({**os.environ, **stack.env}, PROJECT, tmp_path / "fork_server.log")
    yield fork_client
    fork_client.close()


def test_what_the_fork_server_starts_is_kept_like_any_other(fork_client: ForkClient, tmp_path: Path) -> None:
    lines: list[str] = []
    log = tmp_path / "log"
    supervisor = Supervisor(Program("beat", ["celery_beat"], PROJECT, log), fork_client.start, lines.append)
    supervisor.start()
    try:
        eventually(lambda: supervisor.pid)
        first = psutil.Process(supervisor.pid)
        parent = first.ppid()
        supervisor.signal(signal.SIGKILL)
        eventually(lambda: supervisor.pid not in (None, first.pid))
        assert lines == [f"beat was killed by SIGKILL; starts again in 0.2 s, see {log}"]
        second = psutil.Process(supervisor.pid)
        assert second.ppid() == parent
        assert os.getsid(second.pid) == second.pid
    finally:
        supervisor.stop()
    assert not second.is_running(), "it ends on SIGTERM, and is waited for"
    assert len(lines) == 1


def test_nothing_outlives_the_fork_server_and_all_comes_back(fork_client: ForkClient, tmp_path: Path) -> None:
    lines: list[str] = []
    program = Program("beat", ["celery_beat"], PROJECT, tmp_path / "log")
    supervisor = Supervisor(program, fork_client.start, lines.append)
    supervisor.start()
    try:
        eventually(lambda: supervisor.pid)
        child = psutil.Process(supervisor.pid)
        parent = child.parent()
        assert parent is not None
        parent.kill()
        eventually(lambda: not child.is_running())
        eventually(lambda: supervisor.pid not in (None, child.pid))
        assert psutil.Process(supervisor.pid).ppid() != parent.pid
    finally:
        supervisor.stop()


def test_a_command_that_fails_says_why_in_its_log(fork_client: ForkClient, tmp_path: Path) -> None:
    lines: list[str] = []
    log = tmp_path / "log"
    supervisor = Supervisor(
        Program("one", ["celery_worker", "--queue", "no"], PROJECT, log), fork_client.start, lines.append
    )
    supervisor.start()
    try:
        eventually(lambda: lines)
    finally:
        supervisor.stop()
    assert lines[0] == f"one ended with code 2; starts again in 0.2 s, see {log}"
    assert "invalid choice: 'no'" in log.read_text()


def test_what_comes_to_the_fork_server_in_one_piece_is_all_heard(stack: Stack, tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(PATIENCE)
    process = subprocess.Popen(
        [sys.executable, "-m", "exchange.embedded.fork_server", str(theirs.fileno())],
        cwd=PROJECT,
        env={**os.environ, **stack.env},
        pass_fds=[theirs.fileno()],
    )
    theirs.close()

    def say(*messages: object) -> None:
        ours.sendall(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    with process, ours, ours.makefile() as answers:
        start = {"start": ["celery_beat"], "log": str(tmp_path / "log")}
        say(start, start)
        pids = [json.loads(answers.readline())["started"] for _ in range(2)]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert sorted(json.loads(answers.readline())["ended"] for _ in range(2)) == sorted(pids)
        say(*({"reap": pid} for pid in pids))
        told = [json.loads(answers.readline()) for _ in range(2)]
        assert told == [{"reaped": pid, "code": -signal.SIGKILL} for pid in pids]
        ours.shutdown(socket.SHUT_RDWR)

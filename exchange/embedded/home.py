"""What an embedded installation keeps on disk.

    EXCHANGE_HOME/          .exchange by default
        env                 KEY=VALUE lines: how other commands reach what runs here
        secrets/            made once, kept for good
        postgres/ valkey/   their data
        log/                a file for each process
        run/                PostgreSQL's socket, Kafka's port
        lock                held by the process that runs the services

All of it is for its owner alone (folders 0700, files 0600).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shlex
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

LONGEST_SOCKET_PATH = 107  # sockaddr_un.sun_path is 108 bytes on Linux, the last of them NUL


class SetupError(Exception):
    """Something the user can fix, said in one line."""


@dataclass(frozen=True)
class Home:
    root: Path

    @classmethod
    def open(cls, path: Path) -> Home:
        """The home at `path`, with its folders made. Raises SetupError if it can't be written."""
        home = cls(path.absolute())
        try:
            for folder in (home.root, *(home.root / name for name in ("secrets", "valkey", "log", "run"))):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=home.root):
                pass
        except OSError as error:
            raise SetupError(f"EXCHANGE_HOME: cannot write to {home.root}: {error.strerror}") from error
        return home

    def lock(self) -> TextIO:
        """Hold this home until the file is closed or the process ends. Raises SetupError if another does."""
        held = (self.root / "lock").open("a+")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.seek(0)
            pid = held.read().strip() or "unknown"
            held.close()
            raise SetupError(f"already running in {self.root} (process {pid})") from None
        held.truncate(0)
        held.write(f"{os.getpid()}\n")
        held.flush()
        return held

    def log(self, name: str) -> Path:
        return self.root / "log" / f"{name}.log"

    def secret(self, name: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(48)) -> str:
        """The secret of that name; made and kept the first time."""
        path = self.secret_path(name)
        if not path.exists():
            write_private(path, make())
        return path.read_text()

    def secret_path(self, name: str) -> Path:
        return self.root / "secrets" / name

    def signing_key(self) -> Path:
        """The PEM file with the RSA key that signs tokens."""
        self.secret("jwt.pem", _make_rsa_key)
        return self.secret_path("jwt.pem")

    def socket_folder(self, file_name: str) -> Path:
        """A folder for the socket `file_name`: `run`, or if that path is too long, one in the temp folder.

        Raises SetupError if that one belongs to another user.
        """
        folder = self.root / "run"
        if len(os.fsencode(folder / file_name)) <= LONGEST_SOCKET_PATH:
            return folder
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"exchange-{digest}"
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise SetupError(f"{folder} must be a folder that only this user can enter; remove it")
        return folder

    def clear_socket_folder(self, folder: Path) -> None:
        """Remove what `socket_folder` made outside the home, if no socket is left in it."""
        if folder.is_relative_to(self.root) or not folder.exists() or any(folder.iterdir()):
            return
        folder.rmdir()

    def write_env(self, values: Mapping[str, str]) -> None:
        lines = (f"{name}={shlex.quote(value)}\n" for name, value in values.items())
        write_private(self.root / "env", "".join(lines))


def write_private(path: Path, text: str) -> None:
    """Replace `path` at once with `text`, readable by its owner alone."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _make_rsa_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()

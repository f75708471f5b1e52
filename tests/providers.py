"""An SMTP server and an SMS gateway on this machine, with the manners of bad ones."""

from __future__ import annotations

import email
import email.policy
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Provider:
    """What came, and how it answers. `release` ends what hangs."""

    def __init__(self) -> None:
        self.manner = "takes"
        self.changed = threading.Condition()
        self.released = threading.Event()
        self.connections = 0
        self.port = 0

    def note(self, change: Callable[[], Any]) -> None:
        with self.changed:
            change()
            self.changed.notify_all()

    def wait(self, seen: Callable[[], Any], seconds: float = 30.0) -> None:
        with self.changed:
            assert self.changed.wait_for(seen, seconds), "it did not come"

    def connected(self) -> None:
        self.connections += 1

    def release(self) -> None:
        self.released.set()


class MailServer(Provider):
    """Speaks as much of RFC 5321 as a client needs. Manners: takes, greets not (hangs at once), refuses
    (550 to the recipient), later (451 to the message), silent (takes the message and never says so), mute (says
    something that is no answer)."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[EmailMessage] = []

    def take(self, raw: bytes) -> None:
        message = email.message_from_bytes(raw, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.note(lambda: self.messages.append(message))


class SmsServer(Provider):
    """Manners: takes, silent (takes the message and never says so), or an HTTP status."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[dict[str, str]] = []
        self.tokens: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/send"


@contextmanager
def mail_server() -> Iterator[MailServer]:
    server = MailServer()

    class Session(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            server.note(server.connected)
            if server.manner == "greets not":
                server.released.wait()
                return
            self.say("220 here")
            while line := self.rfile.readline():
                match line[:4].upper().strip():
                    case b"RCPT" if server.manner == "refuses":
                        self.say(f"550 5.1.1 nobody is called {line.decode().strip()}")
                    case b"DATA":
                        self.say("354 go on")
                        if not self.data():
                            return
                    case b"QUIT":
                        self.say("221 bye")
                        return
                    case _:
                        self.say("250 well")

        def data(self) -> bool:
            raw = b"".join(iter(self.rfile.readline, b".\r\n")).replace(b"\r\n..", b"\r\n.")
            if server.manner == "later":
                self.say("451 4.3.0 try again")
                return True
            server.take(raw)
            if server.manner == "silent":
                server.released.wait()
                return False
            self.say("what" if server.manner == "mute" else "250 taken")
            return True

    with _serving(server, socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session)):
        yield server


@contextmanager
def sms_server() -> Iterator[SmsServer]:
    server = SmsServer()

    class Request(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            server.note(server.connected)
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.note(lambda: server.messages.append(message))
            server.tokens.append(self.headers["Authorization"])
            if server.manner == "silent":
                server.released.wait()
                return
            self.send_response(202 if server.manner == "takes" else int(server.manner))
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing: pytest shows what is asserted."""

    with _serving(server, ThreadingHTTPServer(("127.0.0.1", 0), Request)):
        yield server


@contextmanager
def _serving(
    provider: Provider, listener: socketserver.ThreadingTCPServer | ThreadingHTTPServer
) -> Iterator[None]:
    listener.daemon_threads = True
    listener.block_on_close = False
    provider.port = listener.server_address[1]
    thread = threading.Thread(target=listener.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        yield
    finally:
        provider.release()
        listener.shutdown()
        listener.server_close()
        thread.join()

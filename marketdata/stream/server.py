"""Daphne with an outlet for each socket that writes prepared frames to it directly.

Twisted's own way (register for writing, wait for the next round, write, unregister) costs three system calls a
frame. Here a frame goes to the socket at once, and only what the socket does not take goes that way. All bytes
of a connection pass through its outlet, autobahn's own too, so that none overtakes another.

Importing this module installs Twisted's asyncio reactor, which only the stream process wants.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from daphne.server import Server
from daphne.ws_protocol import WebSocketProtocol

from marketdata.stream.socket_writer import Flusher, Owner

SEND_BUFFER = 128 * 1024  # bytes in the kernel for a client that does not read, which Linux doubles


class SocketOutlet:
    """Is the transport's pull producer too, which is how the transport says that it has written all."""

    def __init__(self, protocol: WebSocketProtocol, flusher: Flusher) -> None:
        self.ready = True
        self.owner: Owner | None = None
        self._protocol = protocol
        self._transport = protocol.transport
        self._flusher = flusher
        self._pending: list[bytes] = []
        self._ended = False
        self._transport.unregisterProducer()  # the HTTP side's, which has no part in this any more
        self._transport.registerProducer(self, False)
        self._transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    def send(self, wire: bytes) -> None:
        if not self.ready:
            if not self._ended:
                self._transport.write(wire)
            return
        if not self._pending:
            self._flusher.add(self)
        self._pending.append(wire)

    def flush(self) -> None:
        pending = self._pending
        if not pending:
            return
        data = pending[0] if len(pending) == 1 else b"".join(pending)
        self._pending = []
        transport = self._transport
        if not transport.connected:
            return
        written = transport.writeSomeData(data)
        if isinstance(written, Exception):
            transport.abortConnection()
        elif written < len(data):
            self.ready = False
            transport.write(data[written:])
            if self.owner is not None:
                self.owner.paused()

    def close(self, code: int, reason: str) -> None:
        if self._protocol.state == self._protocol.STATE_OPEN:
            self._protocol.sendCloseFrame(code=code, reasonUtf8=reason.encode())

    def end(self) -> None:
        """The closing frame was sent: RFC 6455 allows nothing after it."""
        self.ready, self._ended = False, True

    # Twisted's IPullProducer

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The transport has written all it had."""
        if self._transport.disconnecting:
            self._transport.unregisterProducer()  # nothing follows: it may close
        if not (self.ready or self._ended):
            self.ready = True
            if self.owner is not None:
                self.owner.drained()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The connection is lost."""
        self._pending = []


class FeedProtocol(WebSocketProtocol):
    outlet: SocketOutlet | None = None

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:  # noqa: N802
        """What autobahn itself has to say: the handshake, pings, the end."""
        if self.outlet is None:
            super().sendData(data, sync, chopsize)
        else:
            self.outlet.send(data)
            self.outlet.flush()

    def sendCloseFrame(self, *args: Any, **kwargs: Any) -> None:  # noqa: N802
        super().sendCloseFrame(*args, **kwargs)
        if self.outlet is not None:
            self.outlet.end()


class FeedServer(Server):
    """Sockets get an outlet; `before_stop` is called when the process is asked to end."""

    def __init__(self, *args: Any, before_stop: Callable[[], None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._flusher = Flusher()
        self._before_stop = before_stop

    def kill_all_applications(self) -> Any:
        self._before_stop()
        self.connections: dict[Any, dict[str, Any]] = {  # daphne trips over those whose client has just left
            protocol: details
            for protocol, details in self.connections.items()
            if "application_instance" in details
        }
        return super().kill_all_applications()

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        if scope["type"] == "websocket":
            scope["outlet"] = protocol.outlet = SocketOutlet(protocol, self._flusher)
        return super().create_application(protocol, scope)

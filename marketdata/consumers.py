"""What a WebSocket client can say at /stream, and what it is answered. All messages are JSON objects with a
`type`.

    AUTH {token}           AUTHENTICATED {user_id}
    PING {id?}             PONG {id?}
    SUBSCRIBE {channels}   an ERROR for each channel that does not exist
    UNSUBSCRIBE {channels}
    (nothing)              HEARTBEAT {counter, timestamp}, every second

What can't be done is answered with ERROR {code, detail}; the connection stays open.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
import psycopg
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import Error
from msgspec import Meta

from exchange import decoding
from exchange.errors import Problem, database_unavailable
from exchange.members import session
from exchange.members.session import Member
from marketdata.hub import Hub

MAX_MESSAGE = 16 * 1024  # characters


class Envelope(msgspec.Struct):
    type: Annotated[str, Meta(max_length=40)]


class Auth(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    token: Annotated[str, Meta(max_length=5000, description="an access token")]


class Ping(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    id: Annotated[str, Meta(max_length=100)] | int | None = None


class Channels(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    channels: Annotated[list[Annotated[str, Meta(max_length=100)]], Meta(min_length=1, max_length=100)]


hub = Hub()


class StreamConsumer(AsyncWebsocketConsumer):
    member: Member | None = None

    async def connect(self) -> None:
        await self.accept()
        hub.join(self)

    async def disconnect(self, code: int) -> None:
        hub.leave(self)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            await self._handle(text_data)
        except Problem as problem:
            await self.answer({"type": "ERROR", "code": problem.code, "detail": problem.detail})

    async def _handle(self, text: str | None) -> None:
        if text is None:
            raise Problem(400, "invalid_request", "Send JSON as text, not as bytes.")
        if len(text) > MAX_MESSAGE:
            raise Problem(413, "message_too_large", f"A message may have at most {MAX_MESSAGE} characters.")
        data = text.encode()
        named = decoding.decode(data, Envelope).type
        if named not in _HANDLERS:
            raise Problem(400, "unknown_type", f"There is no {named!r}: send {', '.join(_HANDLERS)}.")
        struct, handler = _HANDLERS[named]
        await handler(self, decoding.decode(data, struct))

    async def authenticate(self, message: Auth) -> None:
        try:
            self.member = await database_sync_to_async(session.find)(message.token)
        except (Error, psycopg.Error):
            raise database_unavailable() from None
        await self.answer({"type": "AUTHENTICATED", "user_id": self.member.user_id})

    async def ping(self, message: Ping) -> None:
        await self.answer({"type": "PONG"} if message.id is None else {"type": "PONG", "id": message.id})

    async def channels(self, message: Channels) -> None:
        for channel in message.channels:
            detail = f"There is no channel {channel!r}."
            await self.answer(
                {"type": "ERROR", "code": "unknown_channel", "detail": detail, "channel": channel}
            )

    async def answer(self, message: dict[str, Any]) -> None:
        await self.tell(msgspec.json.encode(message).decode())

    async def tell(self, text: str) -> None:
        await self.send(text_data=text)


_HANDLERS: dict[str, tuple[type[Any], Callable[[StreamConsumer, Any], Awaitable[None]]]] = {
    "AUTH": (Auth, StreamConsumer.authenticate),
    "PING": (Ping, StreamConsumer.ping),
    "SUBSCRIBE": (Channels, StreamConsumer.channels),
    "UNSUBSCRIBE": (Channels, StreamConsumer.channels),
}

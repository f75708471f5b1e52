"""What a WebSocket client can say at /stream, and what it is answered: see `messages`.

What can't be done is answered with ERROR {code, detail}; the connection stays open. Messages of one client are
handled one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import psycopg
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import Error as DatabaseError
from msgspec import UNSET, Meta

from exchange.base.env import env
from exchange.base.http import json_decoding
from exchange.base.http.client_address import stream_address
from exchange.base.http.problems import Problem, database_unavailable
from exchange.base.times import rfc3339
from exchange.platform.members import authentication, tokens
from marketdata.stream import keys
from marketdata.stream.connection import TOO_MANY, Connection
from marketdata.stream.hub import Hub
from marketdata.stream.limits import MAX_MESSAGE, MESSAGES_A_SECOND, Rate
from marketdata.stream.markets import Name, parse
from marketdata.stream.messages import Ack, Auth, Error, Ping, Resync, Subscribe, Unsubscribe
from marketdata.stream.socket_writer import AsgiOutlet

TOLERATED = 100  # messages in a row above the rate

PERMISSIONS = {
    "user.orders": "orders:read",
    "user.trades": "orders:read",
    "user.balances": "balances:read",
    "user.notifications": "profile:read",
}

hub = Hub()


class Envelope(msgspec.Struct):
    type: Annotated[str, Meta(max_length=40)]
    id: Any = None


class StreamConsumer(AsyncWebsocketConsumer):
    """One client."""

    async def connect(self) -> None:
        await self.accept()
        self.outlet = self.scope.get("outlet") or AsgiOutlet(self.base_send)
        self.connection = Connection(self.outlet)
        self.rate = Rate(time.monotonic())
        self.address = self.connection.address = stream_address(self.scope)
        self.counted = hub.addresses.take(self.address)
        if self.counted:
            hub.join(self.connection)
        else:
            self._end("too_many_connections", f"An address may have {hub.addresses.limit} connections.")

    async def disconnect(self, code: int) -> None:
        hub.leave(self.connection)
        if self.counted:
            hub.addresses.give_back(self.address)
        if isinstance(self.outlet, AsgiOutlet):
            await self.outlet.end()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self.rate.allows(time.monotonic()):
            self._too_fast()
            return
        envelope = Envelope("")
        try:
            data = _checked(text_data)
            envelope = json_decoding.decode(data, Envelope)
            if envelope.type not in _HANDLERS:
                known = ", ".join(_HANDLERS)
                raise Problem(400, "unknown_type", f"There is no {envelope.type!r}: send {known}.")
            struct, handler = _HANDLERS[envelope.type]
            await handler(self, json_decoding.decode(data, struct))
        except Problem as problem:
            self._refuse(problem, envelope.id)
        except (DatabaseError, psycopg.Error):
            self._refuse(database_unavailable(), envelope.id)

    # What a client says

    async def authenticate(self, message: Auth) -> None:
        if bool(message.token) == bool(message.api_key):
            raise Problem(400, "invalid_request", "Send a token, or an api_key with its signature.")
        if message.token:
            member = await database_sync_to_async(authentication.find)(message.token)
            expires_at = tokens.verify(message.token).expires_at
        else:
            by_key = database_sync_to_async(keys.sign_in)
            member, expires_at = await by_key(message, self.address, self._agent())
        hub.sign_in(self.connection, member, expires_at)
        ends = expires_at != float("inf")
        until = rfc3339(datetime.fromtimestamp(expires_at, tz=UTC), "auto") if ends else UNSET
        self.connection.send(Ack("AUTH", id=_given(message.id), user_id=member.user_id, expires_at=until))

    async def subscribe(self, message: Subscribe) -> None:
        names = await self._names(message.channels, message.id)
        if names:
            self.connection.send(
                Ack("SUBSCRIBE", id=_given(message.id), channels=[str(name) for name in names])
            )
        for name in names:
            hub.subscribe(self.connection, name)

    async def unsubscribe(self, message: Unsubscribe) -> None:
        names = []
        for text in message.channels:
            if (name := parse(text)) is None:
                self._refuse(_unknown(text), message.id, text)
            else:
                names.append(str(name))
                hub.unsubscribe(self.connection, str(name))
        if names:
            self.connection.send(Ack("UNSUBSCRIBE", id=_given(message.id), channels=names))

    async def resync(self, message: Resync) -> None:
        for name in await self._names([message.channel], message.id):
            self.connection.send(Ack("RESYNC", id=_given(message.id), channels=[str(name)]))
            hub.resync(self.connection, name, message.epoch, message.last_sequence)

    async def ping(self, message: Ping) -> None:
        self.connection.send(Ack("PING", id=_given(message.id)))

    # Inside

    async def _names(self, texts: list[str], given: Any) -> list[Name]:
        """The channels of these that can be had; the client gets an error for each of the others."""
        names: dict[str, Name] = {}
        for text in texts:
            try:
                name = await self._name(text)
                if (
                    len(self.connection.channels.keys() | names.keys() | {str(name)})
                    > env.exchange_ws_subscriptions
                ):
                    detail = f"A connection may be on {env.exchange_ws_subscriptions} channels."
                    raise Problem(429, "too_many_subscriptions", detail)
                names[str(name)] = name
            except Problem as problem:
                self._refuse(problem, given, text)
        return list(names.values())

    async def _name(self, text: str) -> Name:
        name = parse(text)
        if name is None or (name.symbol and await hub.markets.find(name.symbol) is None):
            raise _unknown(text)
        if not name.symbol:
            member = self.connection.member
            if member is None:
                raise Problem(401, "not_authenticated", f"Send AUTH before you subscribe to {text}.")
            authentication.require(member, PERMISSIONS[name.kind])
        return name

    def _agent(self) -> str:
        given = [value for name, value in self.scope.get("headers") or () if name == b"user-agent"]
        return given[0].decode("latin-1") if given else ""

    def _refuse(self, problem: Problem, given: Any, channel: str | None = None) -> None:
        on = UNSET if channel is None else channel
        self.connection.send(Error(problem.code, problem.detail, on, _given(given)))

    def _too_fast(self) -> None:
        """Say so once, and end it with who goes on."""
        if self.rate.refused == 1:
            detail = f"More than {MESSAGES_A_SECOND} messages a second: what is above is not read."
            self.connection.send(Error("rate_limited", detail))
        elif self.rate.refused == TOLERATED:
            self._end("rate_limited", "Too many messages.")

    def _end(self, code: str, detail: str) -> None:
        self.connection.send(Error(code, detail))
        self.connection.close(TOO_MANY, detail)


def _checked(text: str | None) -> bytes:
    if text is None:
        raise Problem(400, "invalid_request", "Send JSON as text, not as bytes.")
    if len(text) > MAX_MESSAGE:
        raise Problem(413, "message_too_large", f"A message may have at most {MAX_MESSAGE} characters.")
    return text.encode()


def _unknown(channel: str) -> Problem:
    return Problem(404, "unknown_channel", f"There is no channel {channel!r}.")


def _given(given: Any) -> Any:
    """The client's own id, where it gave one that we take."""
    return given if isinstance(given, int | str) and not isinstance(given, bool) else UNSET


_HANDLERS: dict[str, tuple[type[Any], Callable[[StreamConsumer, Any], Awaitable[None]]]] = {
    "AUTH": (Auth, StreamConsumer.authenticate),
    "SUBSCRIBE": (Subscribe, StreamConsumer.subscribe),
    "UNSUBSCRIBE": (Unsubscribe, StreamConsumer.unsubscribe),
    "RESYNC": (Resync, StreamConsumer.resync),
    "PING": (Ping, StreamConsumer.ping),
}

"""WebSocket clients at /stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.testing import HttpCommunicator, WebsocketCommunicator

from exchange.asgi import application
from exchange.base.redis import client as redis_client
from exchange.base.redis_keys import STREAM_ALIVE
from exchange.platform.members import authentication, tokens
from exchange.platform.members.models import Institution, User
from marketdata.stream import client_requests
from marketdata.stream import hub as hub_module
from marketdata.stream.hub import Hub
from marketdata.stream.limits import MAX_MESSAGE

PONG = {"type": "ACK", "for": "PING"}

Talk = Callable[[WebsocketCommunicator], Awaitable[None]]


@pytest.fixture(autouse=True)
def running(monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub of the test's own."""
    hub = Hub()
    monkeypatch.setattr(client_requests, "hub", hub)
    return hub


def connected(talk: Talk) -> None:
    """Run `talk` with an open connection."""

    async def main() -> None:
        client = WebsocketCommunicator(application, "/stream")
        accepted, _ = await client.connect()
        assert accepted
        await talk(client)
        await client.disconnect()

    async_to_sync(main)()


async def ask(client: WebsocketCommunicator, message: Any) -> dict[str, Any]:
    await client.send_json_to(message)
    answer: dict[str, Any] = await client.receive_json_from()
    return answer


def test_ping_is_answered() -> None:
    async def talk(client: WebsocketCommunicator) -> None:
        assert await ask(client, {"type": "PING"}) == PONG
        assert await ask(client, {"type": "PING", "id": "a"}) == {**PONG, "id": "a"}

    connected(talk)


@pytest.mark.django_db(transaction=True)
def test_a_token_signs_in() -> None:
    authentication.clear_cache()
    user = User.objects.create(
        email="a@bank.example", institution=Institution.objects.create(code="bank", name="Bank")
    )
    token = tokens.access(user)

    async def talk(client: WebsocketCommunicator) -> None:
        refused = await ask(client, {"type": "AUTH", "token": "nonsense"})
        assert (refused["type"], refused["code"]) == ("ERROR", "invalid_token")
        answer = await ask(client, {"type": "AUTH", "token": token, "id": 7})
        until = datetime.fromtimestamp(tokens.verify(token).expires_at, tz=UTC)
        assert datetime.fromisoformat(answer.pop("expires_at")) == until
        assert answer == {"type": "ACK", "for": "AUTH", "id": 7, "user_id": str(user.pk)}

    connected(talk)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{nope", "invalid_request"),
        ("[]", "invalid_request"),
        ("{}", "invalid_request"),
        ('{"type": 1}', "invalid_request"),
        ('{"type": "BUY"}', "unknown_type"),
        ('{"type": "AUTH"}', "invalid_request"),
        ('{"type": "PING", "x": 1}', "invalid_request"),
        ('{"type": "SUBSCRIBE", "channels": []}', "invalid_request"),
        ('{"type": "SUBSCRIBE", "channels": ["nothing"]}', "unknown_channel"),
        ("x" * (MAX_MESSAGE + 1), "message_too_large"),
    ],
)
def test_what_cannot_be_done_is_an_error_and_the_connection_stays(text: str, code: str) -> None:
    async def talk(client: WebsocketCommunicator) -> None:
        await client.send_to(text_data=text)
        answer = await client.receive_json_from()
        assert (answer["type"], answer["code"]) == ("ERROR", code)
        assert answer["detail"]
        await client.send_to(bytes_data=b"\x00")
        assert (await client.receive_json_from())["code"] == "invalid_request"
        assert await ask(client, {"type": "PING"}) == PONG

    connected(talk)


@pytest.mark.django_db(transaction=True)
def test_every_second_a_heartbeat_with_a_counter(running: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    redis_client().delete(STREAM_ALIVE)
    monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 0.05)

    async def talk(client: WebsocketCommunicator) -> None:
        beats = asyncio.create_task(running.run())
        counters = [(await client.receive_json_from())["counter"] for _ in range(3)]
        assert counters == list(range(counters[0], counters[0] + 3))
        beats.cancel()

    connected(talk)
    alive = json.loads(redis_client().get(STREAM_ALIVE) or b"{}")
    assert alive["connections"] == 1


def test_other_paths() -> None:
    async def main() -> None:
        accepted, _ = await WebsocketCommunicator(application, "/other").connect()
        assert not accepted
        live = await HttpCommunicator(application, "GET", "/health/live").get_response()
        assert (live["status"], live["body"]) == (200, b'{"status":"live"}')
        assert (await HttpCommunicator(application, "GET", "/").get_response())["status"] == 404

    async_to_sync(main)()

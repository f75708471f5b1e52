"""The AsyncAPI 3 document of the feeds, made from the structs in `messages`.

One WebSocket address carries all messages, so the document has one channel. What the protocol calls a channel
(`orderbook.BTC/USDT`) is a field of a message; a message's schema says by a pattern which ones it comes on.
"""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from marketdata.stream import messages
from marketdata.stream.messages import ChannelMessage

Struct = type[msgspec.Struct]

_TEMPLATE = "#/components/schemas/{name}"
_SYMBOL = "[A-Z0-9]+/[A-Z0-9]+"

# A client's message, and what it is answered with.
_REQUESTS: dict[Struct, tuple[Struct, ...]] = {
    messages.Auth: (messages.Ack, messages.Error),
    messages.Subscribe: (messages.Ack, messages.Error),
    messages.Unsubscribe: (messages.Ack, messages.Error),
    messages.Resync: (messages.Ack, messages.Error),
    messages.Ping: (messages.Ack,),
}
_UNASKED: tuple[Struct, ...] = (messages.Heartbeat,)
# The first of each pair is the SNAPSHOT, the second what follows it.
_CHANNELS: dict[str, tuple[type[ChannelMessage], type[ChannelMessage]]] = {
    f"^orderbook\\.{_SYMBOL}(@100ms)?$": (messages.BookSnapshot, messages.OrderBookUpdate),
    f"^trades\\.{_SYMBOL}$": (messages.TradesSnapshot, messages.TradeMessage),
    f"^ticker\\.{_SYMBOL}$": (messages.TickerSnapshot, messages.TickerMessage),
    f"^candles\\.{_SYMBOL}\\.(1m|5m|15m|1h|4h|1d)$": (messages.CandlesSnapshot, messages.CandleMessage),
    "^user\\.orders$": (messages.OrdersSnapshot, messages.OrderUpdate),
    "^user\\.trades$": (messages.UserTradesSnapshot, messages.UserTradeMessage),
    "^user\\.balances$": (messages.BalancesSnapshot, messages.BalanceUpdate),
    "^user\\.notifications$": (messages.NotificationsSnapshot, messages.NotificationMessage),
}


def document(stream_url: str) -> dict[str, Any]:
    """`stream_url` is where clients connect: ws://host:port/stream."""
    protocol, _, rest = stream_url.partition("://")
    host, _, path = rest.partition("/")
    structs: list[Struct] = [*_REQUESTS, messages.Ack, messages.Error, *_UNASKED, *_of_channels()]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "MyTrader feeds", "version": "1", "description": inspect.getdoc(messages)},
        "defaultContentType": "application/json",
        "servers": {"stream": {"host": host, "protocol": protocol}},
        "channels": {
            "stream": {
                "address": f"/{path}",
                "servers": [{"$ref": "#/servers/stream"}],
                "messages": {
                    each.__name__: {"$ref": f"#/components/messages/{each.__name__}"} for each in structs
                },
            }
        },
        "operations": _operations(),
        "components": {"messages": _messages(structs), "schemas": _schemas(structs)},
    }


def _of_channels() -> list[Struct]:
    return [struct for pair in _CHANNELS.values() for struct in pair]


def _operations() -> dict[str, Any]:
    """Seen from the server, as AsyncAPI has it: it receives what a client sends."""
    found: dict[str, Any] = {}
    channel = {"$ref": "#/channels/stream"}
    for request, answers in _REQUESTS.items():
        reply = {"channel": channel, "messages": [_in_channel(answer) for answer in answers]}
        found[request.__name__.lower()] = {
            "action": "receive",
            "channel": channel,
            "messages": [_in_channel(request)],
            "reply": reply,
        }
    sent: list[Struct] = [*_UNASKED, messages.Error, *_of_channels()]
    for struct in sent:
        found[f"send{struct.__name__}"] = {
            "action": "send",
            "channel": channel,
            "messages": [_in_channel(struct)],
        }
    return found


def _in_channel(struct: type) -> dict[str, str]:
    return {"$ref": f"#/channels/stream/messages/{struct.__name__}"}


def _messages(structs: list[Struct]) -> dict[str, Any]:
    patterns: dict[Struct, str] = {struct: pattern for pattern, pair in _CHANNELS.items() for struct in pair}
    found = {}
    for struct in structs:
        payload: dict[str, Any] = {"$ref": _TEMPLATE.format(name=struct.__name__)}
        if pattern := patterns.get(struct):
            payload = {"allOf": [payload, {"properties": {"channel": {"pattern": pattern}}}]}
        message = {"name": struct.__name__, "contentType": "application/json", "payload": payload}
        # A struct without words of its own has msgspec's docstring or its base's.
        if said := struct.__dict__.get("__doc__"):
            message["summary"] = inspect.cleandoc(said)
        found[struct.__name__] = message
    return found


def _schemas(structs: list[Struct]) -> dict[str, Any]:
    """All fields are listed: a message has no others."""
    _, schemas = msgspec.json.schema_components(structs, ref_template=_TEMPLATE)
    for schema in schemas.values():
        if schema.get("type") == "object":
            schema["additionalProperties"] = False
    return schemas

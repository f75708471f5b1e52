"""How commands travel and are kept: msgpack, as arrays.

An `Envelope` is a command with what goes along with it. Neither the core nor the worker looks into the
ticket: it is what the settlement needs to know of a new order.
"""

from __future__ import annotations

import msgspec

from matching.core.commands import AnyCommand


class Ticket(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a new order's funds are and its fee goes (account ids), the fee rates it was accepted under
    (millionths), and what its owner calls it."""

    number: int
    hold_account: int
    receive_account: int
    fee_account: int
    maker_rate: int
    taker_rate: int
    client_order_id: str = ""


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    command: AnyCommand
    trace_id: str
    reply_to: str = ""
    ticket: Ticket | None = None


class OrderUpdate(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An order's state after a settlement: quantities in lots, amounts in minor units, time in
    microseconds.

    Amounts are text: in an asset of 18 places they go beyond the 64 bits of a msgpack integer.
    """

    order: str
    status: str
    remaining: int
    filled: int
    notional: str
    fee: str
    reason: str
    updated_at: int


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """What became of a command: refused with a reason, or the orders it changed, its own first."""

    command: str
    refused: str
    updates: list[OrderUpdate]


encode = msgspec.msgpack.Encoder().encode
decode_envelopes = msgspec.msgpack.Decoder(list[Envelope]).decode
decode_envelope = msgspec.msgpack.Decoder(Envelope).decode
decode_replies = msgspec.msgpack.Decoder(list[Reply]).decode

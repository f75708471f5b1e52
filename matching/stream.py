"""The Redis side of matching: commands in (a stream per group), replies and tops of books out.

Nothing here is a source of truth. A command that Redis loses is sent again from PostgreSQL; one that comes
twice is applied once (the worker asks PostgreSQL what is still pending); a lost reply is read from PostgreSQL
by the request that waits. An entry of the stream is a list of envelopes, so that a batch costs Redis one command.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import redis
from redis.client import Pipeline

from exchange.base import redis_keys
from matching.codec import Envelope, Reply, decode_envelopes, encode

ENTRIES_PER_READ = 4


def send(client: redis.Redis, envelopes: Mapping[str, list[Envelope]]) -> None:
    """Append one entry to each group's stream. Raises redis.RedisError; then nothing may be assumed."""
    pipe = client.pipeline(transaction=False)
    for group, batch in envelopes.items():
        pipe.xadd(redis_keys.commands(group), {b"c": encode(batch)})
    pipe.execute()


class CommandStream:
    """A worker's view of its group's stream."""

    def __init__(self, client: redis.Redis, group: str) -> None:
        self._client = client
        self._key = redis_keys.commands(group)

    def read(self, after: str, block_ms: int) -> tuple[str, list[Envelope]]:
        """What came after position `after`, and the new position; waits up to `block_ms` for something to
        come."""
        answer: Any = self._client.xread({self._key: after}, count=ENTRIES_PER_READ, block=max(1, block_ms))
        if not answer:
            return after, []
        entries = answer[0][1]
        envelopes = [envelope for _, fields in entries for envelope in decode_envelopes(fields[b"c"])]
        return entries[-1][0].decode(), envelopes

    def starting_point(self, checkpoint: str) -> str:
        """Where to read on: the checkpoint, or the start of a stream that was lost and counts again below
        it."""
        if not self._client.exists(self._key):
            return checkpoint
        state: Any = self._client.xinfo_stream(self._key)
        last = state["last-generated-id"].decode()
        return checkpoint if _number(last) >= _number(checkpoint) else "0-0"

    def trim(self, before: str) -> None:
        self._client.xtrim(self._key, minid=before, approximate=True)


def publish(pipe: Pipeline, replies: Iterable[tuple[str, Reply]], tops: Mapping[int, str]) -> None:
    """Queue on a pipeline what became of commands, for each process that waits, and the new best prices."""
    by_channel: dict[str, list[Reply]] = defaultdict(list)
    for channel, reply in replies:
        if channel:
            by_channel[channel].append(reply)
    for channel, batch in by_channel.items():
        pipe.publish(channel, encode(batch))
    if tops:
        pipe.hset(redis_keys.TOPS, mapping={str(instrument): top for instrument, top in tops.items()})


def read_tops(client: redis.Redis, instruments: list[int]) -> dict[int, tuple[int, int]]:
    """Best bid and ask in ticks (0 where a side is empty) of each instrument that is known."""
    values: Any = client.hmget(redis_keys.TOPS, [str(instrument) for instrument in instruments])
    found = {}
    for instrument, value in zip(instruments, values, strict=True):
        if value is not None:
            bid, ask = value.split(b" ")
            found[instrument] = (int(bid), int(ask))
    return found


def _number(position: str) -> tuple[int, int]:
    millis, _, counter = position.partition("-")
    return int(millis), int(counter or 0)

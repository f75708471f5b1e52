"""The dispatch table names what exists, and nothing is imported before it is wanted."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from exchange.embedded.stack import CONSUMERS
from exchange.operations import event_dispatch
from exchange.platform.events import event
from exchange.platform.events.event import Poison, takes_batches
from exchange.platform.events.outbox import message
from exchange.platform.events.retry import Retry
from exchange.platform.events.topics import TOPICS


def test_every_group_has_its_handlers() -> None:
    assert set(event_dispatch.HANDLERS) == set(CONSUMERS)
    for group in event_dispatch.HANDLERS:
        found = event_dispatch.handlers(group)
        assert found
        assert {topic for topic, _ in found} <= set(TOPICS)
        for handler in found.values():
            (parameter,) = inspect.signature(handler).parameters.values()
            assert ("list[Event]" if takes_batches(handler) else "Event") == parameter.annotation


def test_a_handler_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        event_dispatch.HANDLERS, "analytics", {("a", "b"): "exchange.platform.analytics.volume.nothing"}
    )
    with pytest.raises(ImportError, match=r"there is no exchange\.platform\.analytics\.volume\.nothing"):
        event_dispatch.handlers("analytics")
    monkeypatch.setitem(
        event_dispatch.HANDLERS, "analytics", {("a", "b"): "exchange.platform.analytics.nothing.at_all"}
    )
    with pytest.raises(ImportError, match="nothing"):
        event_dispatch.handlers("analytics")


def test_the_table_imports_no_handler() -> None:
    code = "import sys, exchange.operations.event_dispatch; print('exchange.platform.analytics.volume' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_event_is_read_as_it_was_written() -> None:
    text = message("SAID", {"amount": "1.50"}, trace_id="t-1", timestamp="2026-01-02T03:04:05.678Z")
    found = event.read("a.topic", b"key", text.encode())
    assert (found.event_type, found.topic, found.key, found.trace_id) == ("SAID", "a.topic", "key", "t-1")
    assert (found.payload, found.schema_version) == ({"amount": "1.50"}, 1)
    assert found.moment.isoformat() == "2026-01-02T03:04:05.678000+00:00"
    assert event.event_type(text.encode()) == "SAID"


@pytest.mark.parametrize("moment", ["", "yesterday", "2026-01-02T03:04:05", "2026-13-02T03:04:05Z"])
def test_a_time_that_is_none_is_poison(moment: str) -> None:
    text = message("SAID", {}, trace_id="", timestamp=moment or " ")
    with pytest.raises(Poison, match="timestamp"):
        event.read("a.topic", b"", text.encode())


def test_waits_grow_up_to_a_limit() -> None:
    retry = Retry(first=0.5, longest=3.0, tries=6)
    assert [retry.delay(tries) for tries in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]

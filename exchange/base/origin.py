"""Where what is being done comes from: who asks, for which institution, from which address.

Middleware sets it for a web request, `manage.py` for a command, a task for itself; `log.record` and the order path
read it. It belongs to the thread (or asyncio task) that serves the request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import msgspec
from msgspec import structs

LONGEST_AGENT = 200  # characters that are kept of what a client says about itself


class Origin(msgspec.Struct, frozen=True, gc=False):
    """`actor` is a user's id, or a name such as `command:operator` or `system:stops`; `institution` an id, or empty
    for the installation as a whole. What is not known is empty."""

    actor: str = ""
    role: str = ""
    institution: str = ""
    address: str = ""
    agent: str = ""
    trace_id: str = ""


Who = tuple[str, str, str]  # actor, role, institution

UNKNOWN = Origin()
_current: ContextVar[Origin] = ContextVar("origin", default=UNKNOWN)
_looked_up_later: ContextVar[Callable[[], Who | None] | None] = ContextVar(
    "origin_looked_up_later", default=None
)


def current() -> Origin:
    origin = _current.get()
    if (
        not origin.actor
        and (look_up := _looked_up_later.get()) is not None
        and (who := look_up()) is not None
    ):
        return _by(who)
    return origin


@contextmanager
def acting(origin: Origin) -> Iterator[Origin]:
    """Everything inside is done by `origin`."""
    token, later = _current.set(origin), _looked_up_later.set(None)
    try:
        yield origin
    finally:
        _current.reset(token)
        _looked_up_later.reset(later)


def identify(*, actor: str, role: str, institution: str, key_id: str = "") -> None:
    """Who sent the request is known now. It holds until the surrounding `acting` ends. The API key that signed
    it, if one did, is named before what the program says about itself."""
    found = _by((actor, role, institution))
    if key_id:
        found = structs.replace(found, agent=f"api-key/{key_id} {found.agent}"[:LONGEST_AGENT].strip())
    _current.set(found)


def identify_later(look_up: Callable[[], Who | None]) -> None:
    """The same, looked up only when it matters: who has a browser's session is a look into the database."""
    _looked_up_later.set(look_up)


def _by(who: Who) -> Origin:
    known = _current.get()
    return Origin(*who, address=known.address, agent=known.agent, trace_id=known.trace_id)

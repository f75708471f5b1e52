"""The books of one symbol group, and which function answers which command.

Rules of this file: dispatch only. The caller numbers the commands: `sequence` rises from command to
command over all books of the group, restarts included. It must not send a `Place` twice, nor a command
for an instrument that was not added: both are broken invariants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from matching.core import match
from matching.core.book import Book
from matching.core.commands import Amend, AnyCommand, Cancel, CancelAll, Halt, Place, Resume, Trigger
from matching.core.events import Event
from matching.core.types import InstrumentId, MarketStatus

# Any: each function takes its own command type, which a dict cannot express.
HANDLERS: dict[type, Callable[[Book, Any, int], list[Event]]] = {
    Place: match.place,
    Cancel: match.cancel,
    CancelAll: match.cancel_all,
    Amend: match.amend,
    Trigger: match.trigger,
    Halt: match.halt,
    Resume: match.resume,
}


class Engine:
    __slots__ = ("books",)

    def __init__(self, books: Iterable[Book] = ()) -> None:
        self.books: dict[InstrumentId, Book] = {book.instrument: book for book in books}

    def add(
        self,
        instrument: InstrumentId,
        status: MarketStatus = MarketStatus.TRADING,
        last_trade_number: int = 0,
    ) -> Book:
        """A new, empty book."""
        assert instrument not in self.books, instrument
        book = self.books[instrument] = Book(instrument, status, last_trade_number)
        return book

    def apply(self, command: AnyCommand, sequence: int) -> list[Event]:
        """Let one command take effect; the events say all that happened, in order."""
        return HANDLERS[type(command)](self.books[command.instrument], command, sequence)

"""The books of one symbol group, and which function answers which command.

Rules of this file: dispatch only. The caller numbers the commands: `sequence` rises from command to
command over all books of the group, restarts included. It must not send a `Place` twice, nor a command
for an instrument that was not added: both are broken invariants.

A book that moves between groups goes from one engine to another: `release` and `adopt`, which are commands of
their journals. No order changes: the book's `priority_offset` makes up for the difference in sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from matching.core import match
from matching.core.book import Book
from matching.core.commands import (
    Adopt,
    Amend,
    AnyCommand,
    Cancel,
    CancelAll,
    Halt,
    Place,
    Release,
    Resume,
    Trigger,
)
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
        priority_offset: int = 0,
    ) -> Book:
        """A new, empty book."""
        assert instrument not in self.books, instrument
        book = self.books[instrument] = Book(instrument, status, last_trade_number, priority_offset)
        return book

    def apply(self, command: AnyCommand, sequence: int) -> list[Event]:
        """Let one command take effect; the events say all that happened, in order."""
        book = self.books[command.instrument]
        return HANDLERS[type(command)](book, command, sequence + book.priority_offset)

    def release(self, command: Release, sequence: int) -> Book:
        """The book, which is here no more; `sequence` is the last to be counted as a place of it here."""
        book = self.books.pop(command.instrument)
        book.priority_offset += sequence  # that is, as in a group at sequence 0
        return book

    def adopt(self, book: Book, command: Adopt, sequence: int) -> None:
        """Take in a book that another engine has released."""
        assert book.instrument == command.instrument, (book.instrument, command)
        assert book.priority_offset == command.priority, (book.priority_offset, command)
        assert book.instrument not in self.books, command
        book.priority_offset -= sequence
        self.books[book.instrument] = book

"""Decimal sums of any length, exact or not at all: a ledger's numbers have up to 36 digits, Python's sums keep 28.

These modules add amounts up inside `exact()` only; a sum that would have to be rounded raises Inexact.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Context, DivisionByZero, Inexact, InvalidOperation, Overflow, localcontext

_CONTEXT = Context(prec=100, traps=[DivisionByZero, Inexact, InvalidOperation, Overflow])


@contextmanager
def exact() -> Iterator[None]:
    """A context, or a decorator of a function; a generator keeps the context of its caller."""
    with localcontext(_CONTEXT):
        yield

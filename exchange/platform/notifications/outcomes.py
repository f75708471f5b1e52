"""What a provider may say other than "sent". None of these names a user or what was said to them."""

from __future__ import annotations


class Refused(Exception):
    """This message will never be taken: a wrong address, a number that there is not."""


class NotTaken(Exception):
    """Surely not taken: no connection, or a clear "not now". It may be tried again."""


class Unanswered(Exception):
    """It was on its way and no answer says what became of it: never tried again."""

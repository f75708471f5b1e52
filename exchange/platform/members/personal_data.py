"""Personal data in rows that never change, kept so that it can be erased all the same.

A payment's destination or a record's address must stay as it was written, and the law may ask that it be erased.
So each person has a key of their own (sealed with the installation's, see `exchange.base.encryption`), such values
are sealed with it, and erasing is deleting the key: the rows stay, byte by byte, and can no longer be read.

Why it is so: docs/decisions/018-retention-and-erasure.md.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.db import transaction

from exchange.base.encryption import Unreadable
from exchange.platform.members.models import PersonKey

_NONCE = 12  # bytes
ERASED = "(erased)"


def seal(user_id: UUID | str, text: str, place: str) -> str:
    """`place` names the value, such as a table and a row's id: it opens nowhere else. Empty stays empty."""
    if not text:
        return ""
    nonce = os.urandom(_NONCE)
    body = nonce + _cipher(_key(user_id)).encrypt(nonce, text.encode(), place.encode())
    return base64.b64encode(body).decode()


def unseal(user_id: UUID | str, sealed: str, place: str) -> str:
    """ERASED where the person's key is gone. Raises Unreadable for what was not sealed for this place."""
    return opener(user_id)(sealed, place)


def opener(user_id: UUID | str) -> Callable[[str, str], str]:
    """`unseal` for many values of one person."""
    key = PersonKey.objects.filter(user_id=user_id).first()
    cipher = _cipher(key) if key is not None else None
    return partial(_open, cipher)


def _open(cipher: AESGCM | None, sealed: str, place: str) -> str:
    if not sealed or cipher is None:
        return ERASED if sealed else ""
    try:
        body = base64.b64decode(sealed, validate=True)
        return cipher.decrypt(body[:_NONCE], body[_NONCE:], place.encode()).decode()
    except (InvalidTag, binascii.Error, ValueError):
        raise Unreadable(f"{place}: what stands there was not sealed for it with this person's key") from None


def shred(user_id: UUID | str) -> bool:
    """Delete the person's key, for good; False if there was none."""
    return PersonKey.objects.filter(user_id=user_id).delete()[0] > 0


def _key(user_id: UUID | str) -> PersonKey:
    """Made at first need; of two that make it at once one wins, and both use it."""
    fresh: dict[str, Any] = {"secret": base64.b64encode(os.urandom(32)).decode()}
    with transaction.atomic():
        return PersonKey.objects.get_or_create(user_id=user_id, defaults=fresh)[0]


def _cipher(key: PersonKey) -> AESGCM:
    return AESGCM(base64.b64decode(key.secret))

"""Personal data at rest: text columns sealed with AES-256-GCM, so that a stolen dump or disk shows nothing.

    phone = EncryptedTextField(max_length=16)                # a column of type text: KEY:NONCE+CIPHERTEXT+TAG
    EXCHANGE_DATA_KEYS=2026:BASE64,2025:BASE64               # the first one writes, all of them read

Without that variable the key is derived from SECRET_KEY (its name is `local`): good for a demo, and always read, so
that an installation can go over to keys of its own with `manage.py rotate_keys`. Each value is bound to its table and
column: a value that is copied elsewhere does not open. Empty text stays empty.

What is sealed cannot be searched. Where a value must be found again or be unique, a column beside it has its keyed
digest (`digest`, `digests`), which rotation writes again together with it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from functools import cache
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.core.exceptions import FieldError
from django.db import models

from exchange.base.env import data_keys, env

LOCAL = "local"  # the key that is derived from SECRET_KEY
_NONCE = 12  # bytes


class Unreadable(Exception):
    """A sealed value does not open: its key is not known here, or it was changed. Says where, never what."""


class Key(NamedTuple):
    name: str
    cipher: AESGCM
    digesting: bytes


def seal(text: str, place: str) -> str:
    """`place` is where the value stands, such as table.column: it opens nowhere else."""
    if not text:
        return ""
    key, nonce = _keys()[0], os.urandom(_NONCE)
    body = nonce + key.cipher.encrypt(nonce, text.encode(), place.encode())
    return f"{key.name}:{base64.b64encode(body).decode()}"


def unseal(sealed: str, place: str) -> str:
    """Raises Unreadable."""
    if not sealed:
        return ""
    name, _, coded = sealed.partition(":")
    key = next((key for key in _keys() if key.name == name), None)
    if key is None:
        known = ", ".join(key.name for key in _keys())
        raise Unreadable(f"{place}: sealed with a key that EXCHANGE_DATA_KEYS does not have (it has {known})")
    try:
        body = base64.b64decode(coded, validate=True)
        return key.cipher.decrypt(body[:_NONCE], body[_NONCE:], place.encode()).decode()
    except (InvalidTag, binascii.Error, ValueError):
        raise Unreadable(f"{place}: what stands there was not sealed for it with key {name}") from None


def digest(text: str, place: str) -> str:
    """What `text` is found by, under the key that writes; empty for empty text."""
    return _digest(_keys()[0], text, place) if text else ""


def digests(text: str, place: str) -> list[str]:
    """The same under each key: what may stand in the database before everything is rotated."""
    return [_digest(key, text, place) for key in _keys()] if text else []


def writing_key() -> str:
    """The name of the key that new values are sealed with."""
    return _keys()[0].name


def clear_cache() -> None:
    """Read the keys again."""
    _keys.cache_clear()


@cache
def _keys() -> tuple[Key, ...]:
    """The first one writes."""
    given = data_keys(env.exchange_data_keys)
    derived = _derive(env.secret_key.encode(), b"exchange data key")
    return tuple(_key(name, secret) for name, secret in [*given, (LOCAL, derived)])


def _key(name: str, secret: bytes) -> Key:
    return Key(name, AESGCM(secret), _derive(secret, b"exchange digest key"))


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose).derive(secret)


def _digest(key: Key, text: str, place: str) -> str:
    message = f"{place}\n{text}".encode()
    return f"{key.name}:{hmac.digest(key.digesting, message, 'sha256').hex()}"


class EncryptedTextField(models.CharField):
    """Text that is sealed in the database and plain in Python; `max_length` is of the plain text. `digest_field`
    names the field beside it that has its digest, if there is one: code that writes the one writes the other."""

    def __init__(self, *args: Any, digest_field: str = "", **kwargs: Any) -> None:
        self.digest_field = digest_field
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        if self.digest_field:
            kwargs["digest_field"] = self.digest_field
        return name, path, args, kwargs

    @property
    def place(self) -> str:
        return f"{self.model._meta.db_table}.{self.column}"

    def get_internal_type(self) -> str:
        return "TextField"

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        return None if value is None else unseal(value, self.place)

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        if value is None or hasattr(value, "as_sql"):
            return super().get_db_prep_save(value, connection)
        return seal(str(value), self.place)

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name == "isnull":
            return super().get_lookup(lookup_name)
        raise FieldError(f"{self.place} is sealed: it cannot be searched ({lookup_name}); see its digest")

"""What is signed, and whether a signature is good. Pure: no database, no clock.

The text that is signed has six lines, joined by a line feed, none after the last:

    METHOD           in capitals
    path             percent-encoded, such as /api/v1/orders
    query            as it is sent, without the question mark; empty if there is none
    body             its SHA-256, 64 small hexadecimal digits; of no body: of no bytes
    timestamp        as in X-API-Timestamp
    window           as in X-API-Window; 5000 without it

HMAC-SHA256 is under the secret's own characters and sent as 64 small hexadecimal digits, Ed25519 (RFC 8032) is sent
in base64. `docs/api_keys.md` says it to users, with examples that the tests check.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from urllib.parse import quote
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

Check = Callable[[bytes, str], bool]  # (message, signature as sent)

NO_BODY = hashlib.sha256(b"").hexdigest()


def message(method: str, path: bytes, query: bytes, body: bytes, timestamp: str, window: str) -> bytes:
    """The text that is signed. `path` is decoded, as a web server gives it; `query` is as it was sent."""
    digest = hashlib.sha256(body).hexdigest() if body else NO_BODY
    return b"\n".join(
        (
            method.encode(),
            quote(path, safe="/").encode(),
            query,
            digest.encode(),
            timestamp.encode(),
            window.encode(),
        )
    )


def fingerprint(key_id: str, signed: bytes) -> UUID:
    """What one signed request is remembered by. Of the message and not the signature, so that no other spelling of
    the same signature is another request."""
    return UUID(bytes=hashlib.sha256(key_id.encode() + b"\n" + signed).digest()[:16])


def hmac_check(secret: str) -> Check:
    key = secret.encode()

    def check(signed: bytes, signature: str) -> bool:
        right = hmac.digest(key, signed, "sha256").hex()
        return hmac.compare_digest(right.encode(), signature.encode())

    return check


def ed25519_check(public_key: str) -> Check:
    """`public_key` is its 32 bytes in base64."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key))

    def check(signed: bytes, signature: str) -> bool:
        try:
            key.verify(base64.b64decode(signature, validate=True), signed)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True

    return check


def read_public_key(text: str) -> str | None:
    """An Ed25519 public key, in base64 or PEM, as its 32 bytes in base64; None if it is none."""
    try:
        if text.lstrip().startswith("-----BEGIN PUBLIC KEY-----"):
            key = load_pem_public_key(text.strip().encode())
            if not isinstance(key, Ed25519PublicKey):
                return None
        else:
            key = Ed25519PublicKey.from_public_bytes(base64.b64decode(text.strip(), validate=True))
    except ValueError:  # binascii.Error is one
        return None
    return base64.b64encode(key.public_bytes_raw()).decode()

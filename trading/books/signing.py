"""Documents that the bank signs: canonical JSON, and an Ed25519 or RS256 signature over it.

    {"report": {…}, "signature": {"algorithm": "RS256", "key": "<SHA-256 of the public key>", "value": "<base64url>"}}

Canonical: UTF-8, keys in order of their code points, no spaces, no escapes beyond what JSON needs, and no numbers but
integers (amounts are strings). For such documents that is RFC 8785. Another program checks a signature over the bytes
of `report` in that form; RS256 is RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518), Ed25519 is RFC 8032.

The key is EXCHANGE_BOOKS_KEY_FILE's, else the one that signs tokens.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from exchange.base.env import env

PrivateKey = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
PublicKey = ed25519.Ed25519PublicKey | rsa.RSAPublicKey
LEAST_BITS = 2048


class KeyProblem(Exception):
    """There is no key to use; says what is wrong with it."""


class Tampered(Exception):
    """A document is not what was signed; says why."""


def canonical(value: Any) -> bytes:
    """Raises TypeError for a float: money has none, and no two languages write them alike."""
    _no_floats(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def digest(report: Any) -> str:
    return hashlib.sha256(canonical(report)).hexdigest()


def private_key() -> PrivateKey:
    """Raises KeyProblem."""
    path = env.exchange_books_key_file or env.jwt_private_key_file
    if path is None:
        raise KeyProblem("set EXCHANGE_BOOKS_KEY_FILE or JWT_PRIVATE_KEY_FILE: there is no key to sign with")
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise KeyProblem(f"{path}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyProblem(f"{path}: not a private key in PEM without a password") from error
    if isinstance(key, ed25519.Ed25519PrivateKey) or (
        isinstance(key, rsa.RSAPrivateKey) and key.key_size >= LEAST_BITS
    ):
        return key
    raise KeyProblem(f"{path}: the key must be Ed25519, or RSA with at least {LEAST_BITS} bits")


def load_public_key(path: Path) -> PublicKey:
    """Raises KeyProblem."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise KeyProblem(f"{path}: {error.strerror}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyProblem(f"{path}: not a public key in PEM") from error
    if not isinstance(key, ed25519.Ed25519PublicKey | rsa.RSAPublicKey):
        raise KeyProblem(f"{path}: the key must be Ed25519 or RSA")
    return key


def public_pem(key: PublicKey) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(encoding, form).decode()


def fingerprint(key: PublicKey) -> str:
    """SHA-256 of the key as DER: the name it is known by."""
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(key.public_bytes(encoding, form)).hexdigest()


def sign(report: dict[str, Any], key: PrivateKey) -> dict[str, Any]:
    """The document: the report and its signature."""
    data = canonical(report)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        algorithm, value = "Ed25519", key.sign(data)
    else:
        algorithm, value = "RS256", key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    text = base64.urlsafe_b64encode(value).rstrip(b"=").decode()
    return {
        "report": report,
        "signature": {"algorithm": algorithm, "key": fingerprint(key.public_key()), "value": text},
    }


def as_file(document: dict[str, Any]) -> str:
    """As it is written: the same values, laid out for people."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read(text: str | bytes) -> dict[str, Any]:
    """A document from its file, its form checked. Raises Tampered."""
    try:
        document = json.loads(text, object_pairs_hook=_no_key_twice)
    except (ValueError, UnicodeDecodeError) as error:
        raise Tampered(f"no JSON document: {error}") from error
    if not isinstance(document, dict) or set(document) != {"report", "signature"}:
        raise Tampered('not a signed document: it must have "report" and "signature", and nothing else')
    report, signature = document["report"], document["signature"]
    if not isinstance(report, dict) or not isinstance(signature, dict):
        raise Tampered('not a signed document: "report" and "signature" must be objects')
    if set(signature) != {"algorithm", "key", "value"} or not all(
        isinstance(v, str) for v in signature.values()
    ):
        raise Tampered('the signature must have "algorithm", "key" and "value", all of them texts')
    return document


def verify(document: dict[str, Any], key: PublicKey) -> dict[str, Any]:
    """The report, if `key` signed it. Raises Tampered."""
    signature = document["signature"]
    expected = "Ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else "RS256"
    if signature["algorithm"] != expected:
        raise Tampered(f"the algorithm is {signature['algorithm']!r}, this key signs {expected}")
    if signature["key"] != fingerprint(key):
        raise Tampered(f"signed with another key: {signature['key']}, not {fingerprint(key)}")
    try:
        value = base64.b64decode(
            signature["value"] + "=" * (-len(signature["value"]) % 4), b"-_", validate=True
        )
        data = canonical(document["report"])
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(value, data)
        else:
            key.verify(value, data, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, TypeError, ValueError) as error:
        raise Tampered(
            "the signature does not belong to this report: it was changed, or signed elsewhere"
        ) from error
    report: dict[str, Any] = document["report"]
    return report


def _no_floats(value: Any) -> None:
    if isinstance(value, float):
        raise TypeError(f"{value!r} is a float: amounts are strings")
    if isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str):
                raise TypeError(f"key {key!r} is not a text")
            _no_floats(each)
    elif isinstance(value, list | tuple):
        for each in value:
            _no_floats(each)
    elif value is not None and not isinstance(value, str | int):
        raise TypeError(f"{type(value).__name__} has no canonical form")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found

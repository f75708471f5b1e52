"""What the API of keys takes and answers, and what is wrong with a request that fits its form."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from exchange.base.http.json_decoding import invalid
from exchange.base.http.problems import FieldError
from exchange.platform.keys import addresses
from exchange.platform.keys.models import ApiKey, KeyKind
from exchange.platform.keys.signatures import read_public_key
from exchange.platform.members.scopes import Scope

KindName = Literal["HMAC_SHA256", "ED25519"]
ScopeName = Literal["READ", "TRADE", "WITHDRAW"]
Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=60,
        pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$",
        description="1 to 60 characters, not only spaces",
        examples=["market maker"],
    ),
]
Address = Annotated[
    str,
    Meta(max_length=60, description="an address or a network", examples=["192.0.2.0/24", "2001:db8::7"]),
]
Addresses = Annotated[
    list[Address],
    Meta(max_length=addresses.MOST, description=f"at most {addresses.MOST} addresses and networks"),
]
Moment = Annotated[
    datetime, Meta(tz=True, description="a time with its offset, such as 2027-01-31T09:30:00Z")
]


class NewApiKey(msgspec.Struct, forbid_unknown_fields=True):
    """`public_key` is for ED25519: 32 bytes in base64, or PEM. Each scope includes READ; WITHDRAW takes at least one
    address. Without addresses the key may be used from everywhere, without `expires_at` until it is revoked."""

    name: Name
    scopes: Annotated[
        list[ScopeName], Meta(min_length=1, max_length=3, description="a list of READ, TRADE and WITHDRAW")
    ]
    kind: KindName = "HMAC_SHA256"
    public_key: Annotated[str, Meta(max_length=500, description="a public key as text")] = ""
    addresses: Addresses = msgspec.field(default_factory=list)
    expires_at: Moment | None = None


class ApiKeyChange(msgspec.Struct, forbid_unknown_fields=True):
    """What is left out stays as it is. Scopes never change: make another key."""

    name: Name | UnsetType = UNSET
    addresses: Addresses | UnsetType = UNSET
    expires_at: Moment | UnsetType | None = UNSET


class ApiKeyView(msgspec.Struct):
    """`last_used_at` may be a minute old."""

    key_id: str
    name: str
    kind: KindName
    public_key: str | None
    scopes: list[ScopeName]
    addresses: list[str]
    status: Literal["ACTIVE", "EXPIRED", "REVOKED"]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    last_used_address: str | None
    revoked_at: datetime | None


class MadeApiKey(msgspec.Struct):
    """`secret` is what requests are signed with: keep it, it is shown only here. ED25519 has none: the private key
    is with you."""

    key: ApiKeyView
    secret: str | None


class ApiKeyPage(msgspec.Struct):
    """Newest first. `next_cursor` gives the next page, null says that there is none."""

    items: list[ApiKeyView]
    next_cursor: str | None


def view(key: ApiKey) -> ApiKeyView:
    expired = key.expires_at is not None and key.expires_at <= datetime.now(UTC)
    return ApiKeyView(
        key_id=str(key.pk),
        name=key.name,
        kind=key.kind,  # type: ignore[arg-type]
        public_key=key.public_key or None,
        scopes=key.scopes,  # type: ignore[arg-type]
        addresses=key.addresses,
        status="REVOKED" if key.revoked_at else "EXPIRED" if expired else "ACTIVE",
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
        last_used_address=key.last_used_address or None,
        revoked_at=key.revoked_at,
    )


def checked(given: NewApiKey) -> dict[str, Any]:
    """What `making.make` takes. Raises Problem 400 naming all that is wrong."""
    errors: list[FieldError] = []
    allowed = _addresses(given.addresses, errors)
    public_key = ""
    if given.kind == KeyKind.ED25519:
        public_key = read_public_key(given.public_key) or ""
        if not public_key:
            detail = "must be an Ed25519 public key: its 32 bytes in base64, or PEM"
            errors.append(FieldError("public_key", "invalid" if given.public_key else "missing", detail))
    elif given.public_key:
        errors.append(
            FieldError("public_key", "invalid", "must be left out: HMAC_SHA256 has a secret instead")
        )
    if Scope.WITHDRAW in given.scopes and not given.addresses:
        errors.append(FieldError("addresses", "missing", _WITHDRAWING))
    _check_end(given.expires_at, errors)
    if errors:
        raise invalid(errors)
    return {
        "name": given.name.strip(),
        "kind": given.kind,
        "scopes": list(given.scopes),
        "public_key": public_key,
        "addresses": allowed,
        "expires_at": given.expires_at,
    }


_WITHDRAWING = "must have at least one: a key that may withdraw is bound to addresses"


def changes(wish: ApiKeyChange, key: ApiKey) -> dict[str, Any]:
    errors: list[FieldError] = []
    found: dict[str, Any] = {}
    if wish.name is not UNSET:
        found["name"] = wish.name.strip()
    if wish.addresses is not UNSET:
        found["addresses"] = _addresses(wish.addresses, errors)
        if Scope.WITHDRAW in key.scopes and not wish.addresses:
            errors.append(FieldError("addresses", "missing", _WITHDRAWING))
    if wish.expires_at is not UNSET:
        found["expires_at"] = wish.expires_at
        _check_end(wish.expires_at, errors)
    if errors:
        raise invalid(errors)
    return found


def _addresses(given: list[str], errors: list[FieldError]) -> list[str]:
    """In their one form, each once."""
    found: dict[str, None] = {}
    for index, text in enumerate(given):
        try:
            found[addresses.read(text)] = None
        except addresses.Wrong as wrong:
            errors.append(FieldError(f"addresses[{index}]", "invalid", str(wrong)))
    return list(found)


def _check_end(expires_at: datetime | None, errors: list[FieldError]) -> None:
    if expires_at is not None and expires_at <= datetime.now(UTC):
        errors.append(FieldError("expires_at", "past", "must be in the future"))

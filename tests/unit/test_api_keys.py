"""What is signed with an API key, by the examples in the document: the exchange and the client alike."""

from __future__ import annotations

import base64
import json
import re
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from exchange.base.env import env
from exchange.base.http.client_address import canonical as canonical_address
from exchange.base.http.client_address import client_address, stream_address
from exchange.base.origin import Origin, acting, current, identify
from exchange.platform.keys import addresses, signatures
from exchange.platform.members import scopes
from tests.keys import DOCUMENT, load_client

_text = DOCUMENT.read_text()
VECTORS: list[dict[str, Any]] = json.loads(re.findall(r"```json\n(\[.*?\])\n```", _text, re.DOTALL)[0])
SECRET = re.findall(r"HMAC secret `([^`]+)`", _text)[0]
PRIVATE = re.findall(r"-----BEGIN PRIVATE KEY-----.*?-----END PRIVATE KEY-----", _text, re.DOTALL)[0]


@pytest.fixture(scope="module")
def client() -> ModuleType:
    return load_client()


@pytest.fixture(scope="module")
def private() -> Ed25519PrivateKey:
    key = load_pem_private_key(PRIVATE.encode(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key


def public(private: Ed25519PrivateKey) -> str:
    return base64.b64encode(private.public_key().public_bytes_raw()).decode()


def signed(vector: dict[str, Any], **other: Any) -> bytes:
    given = vector | other
    return signatures.message(
        given["method"],
        given["path"].encode(),
        given["query"].encode(),
        given["body"].encode(),
        str(given["timestamp"]),
        str(given["window"]),
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda each: f"{each['method']} {each['path']}")
def test_the_documents_examples_are_right(
    vector: dict[str, Any], client: ModuleType, private: Ed25519PrivateKey
) -> None:
    text = signed(vector)
    assert text.decode() == vector["signed"]
    assert text == client.canonical(
        vector["method"],
        vector["path"],
        vector["query"],
        vector["body"].encode(),
        vector["timestamp"],
        vector["window"],
    )
    assert client.hmac_sha256(SECRET)(text) == vector["hmac_sha256"]
    assert client.ed25519(PRIVATE.encode())(text) == vector["ed25519"]
    assert signatures.hmac_check(SECRET)(text, vector["hmac_sha256"])
    assert signatures.ed25519_check(public(private))(text, vector["ed25519"])


CHANGES = [
    {"method": "PUT"},
    {"path": "/api/v1/orders/batch"},
    {"query": "symbol=ETH%2FUSDT"},
    {"body": '{"symbol":"BTC/USDT"}'},
    {"timestamp": 1767225600999},
    {"window": 60000},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: next(iter(each)))
def test_every_part_is_signed(change: dict[str, Any], private: Ed25519PrivateKey) -> None:
    vector = VECTORS[2]
    other = signed(vector, **change)
    assert not signatures.hmac_check(SECRET)(other, vector["hmac_sha256"])
    assert not signatures.ed25519_check(public(private))(other, vector["ed25519"])


@pytest.mark.parametrize("wrong", ["", "0" * 64, "ü" * 64, "A" * 87 + "=", "not base64!"])
def test_a_wrong_signature_is_only_wrong(wrong: str, private: Ed25519PrivateKey) -> None:
    text = signed(VECTORS[0])
    assert not signatures.hmac_check(SECRET)(text, wrong)
    assert not signatures.ed25519_check(public(private))(text, wrong)
    assert not signatures.hmac_check(SECRET)(text, VECTORS[0]["hmac_sha256"].upper())


def test_no_path_can_pass_for_other_lines() -> None:
    """A line feed in a path, which a web server decodes, stays one line."""
    plain = signatures.message("GET", b"/api/v1/orders", b"a=b", b"", "1", "1")
    tricky = signatures.message("GET", b"/api/v1/orders\na=b", b"", b"", "1", "1")
    assert tricky != plain
    assert tricky.count(b"\n") == plain.count(b"\n") == 5
    assert b"/api/v1/orders%0Aa%3Db" in tricky


def test_a_request_is_remembered_by_what_it_says_and_by_its_key() -> None:
    one, other = signed(VECTORS[0]), signed(VECTORS[1])
    marks = {signatures.fingerprint(key, text) for key in ("a", "b") for text in (one, other)}
    assert len(marks) == 4
    assert signatures.fingerprint("a", one) in marks


def test_public_keys_are_read_in_both_forms(private: Ed25519PrivateKey) -> None:
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert signatures.read_public_key(pem) == signatures.read_public_key(public(private)) == public(private)
    other_kind = X25519PrivateKey.generate().public_key()
    for wrong in (
        "",
        "AAAA",
        public(private)[:-2],
        PRIVATE,
        other_kind.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
    ):
        assert signatures.read_public_key(wrong) is None, wrong


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7/32", "192.0.2.7"),
        (" 192.0.2.0/24 ", "192.0.2.0/24"),
        ("2001:DB8:0:0::7", "2001:db8::7"),
        ("2001:db8::/32", "2001:db8::/32"),
    ],
)
def test_networks_have_one_form(given: str, kept: str) -> None:
    assert addresses.read(given) == kept


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("", "such as 192.0.2.7"),
        ("bank.example", "such as 192.0.2.7"),
        ("192.0.2.7/33", "such as 192.0.2.7"),
        ("192.0.2.7/24", "must be 192.0.2.0/24"),
        ("0.0.0.0/0", "leave the list empty"),
        ("::/0", "leave the list empty"),
        ("::ffff:192.0.2.7", "IPv4"),
        ("fe80::1%eth0", "no zone"),
    ],
)
def test_what_is_no_network_is_told_so(given: str, hint: str) -> None:
    with pytest.raises(addresses.Wrong, match=hint):
        addresses.read(given)


def test_an_address_is_in_a_network_of_its_kind() -> None:
    allowed = addresses.networks(["192.0.2.0/24", "2001:db8::/32"])
    assert addresses.allows(allowed, "192.0.2.255")
    assert addresses.allows(allowed, "2001:db8:ffff::1")
    assert not addresses.allows(allowed, "192.0.3.1")
    assert not addresses.allows(allowed, "2001:db9::1")
    assert not addresses.allows(allowed, "")  # a local socket is no address
    assert addresses.allows((), "198.51.100.1")
    assert addresses.allows((), "")


def test_scopes_include_reading_and_never_give_more_than_that() -> None:
    assert scopes.complete(["TRADE"]) == ["READ", "TRADE"]
    assert scopes.complete(["WITHDRAW", "READ", "WITHDRAW"]) == ["READ", "WITHDRAW"]
    assert "orders:write" not in scopes.permitted(["READ", "WITHDRAW"])
    assert scopes.permitted(["TRADE"]) >= {"orders:read", "orders:write", "balances:read"}
    assert "payments:write" in scopes.permitted(["WITHDRAW"])
    assert "profile:write" not in scopes.permitted(list(scopes.Scope))
    assert scopes.scope_for("profile:write") is None
    assert scopes.scope_for("orders:write") == "TRADE"


# Addresses


def test_addresses_have_one_form() -> None:
    assert canonical_address("::ffff:192.0.2.7") == "192.0.2.7"
    assert canonical_address("2001:DB8::0:7") == "2001:db8::7"
    assert canonical_address("[2001:db8::7]:443") == "2001:db8::7"
    assert canonical_address("192.0.2.7:443") == "192.0.2.7"
    assert canonical_address("fe80::1%eth0") == "fe80::1"
    assert [canonical_address(text) for text in ("", "unix:", "x" * 100, "192.0.2")] == ["", "", "", ""]


@pytest.mark.parametrize(
    ("header", "hops", "said", "believed"),
    [
        ("", 1, "198.51.100.9", "192.0.2.1"),  # no proxy is configured: nobody is believed
        ("X-Forwarded-For", 1, "198.51.100.9", "198.51.100.9"),
        (
            "X-Forwarded-For",
            1,
            "203.0.113.5, 198.51.100.9",
            "198.51.100.9",
        ),  # the first is the caller's own word
        ("X-Forwarded-For", 2, "203.0.113.5, 198.51.100.9, 10.0.0.1", "198.51.100.9"),
        ("X-Forwarded-For", 2, "198.51.100.9", "192.0.2.1"),  # did not pass both proxies
        ("X-Forwarded-For", 1, "nonsense", "192.0.2.1"),
        ("X-Forwarded-For", 1, None, "192.0.2.1"),
    ],
)
def test_only_our_own_proxies_are_believed(
    header: str, hops: int, said: str | None, believed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {"exchange_forwarded_header": header, "exchange_forwarded_hops": hops}
    monkeypatch.setattr("exchange.base.http.client_address.env", env.model_copy(update=changed))
    environ = {"REMOTE_ADDR": "192.0.2.1", **({"HTTP_X_FORWARDED_FOR": said} if said else {})}
    assert client_address(environ) == believed
    headers = [(b"x-forwarded-for", said.encode())] if said else []
    assert stream_address({"client": ["192.0.2.1", 4000], "headers": headers}) == believed


def test_a_clock_of_the_client_never_says_the_same_twice(client: ModuleType) -> None:
    clock = client.Clock()
    told = [clock.next() for _ in range(1000)]
    assert told == sorted(set(told))
    clock.set(told[0] - 60_000)  # the exchange's clock is behind ours
    assert told[0] - 60_000 <= clock.next() < told[0]


def test_the_audit_log_names_the_key_beside_its_user() -> None:
    with acting(Origin(agent="robot/1", address="192.0.2.7")):
        identify(actor="somebody", role="TRADER", institution="", key_id="the-key")
        assert current() == Origin("somebody", "TRADER", "", "192.0.2.7", "api-key/the-key robot/1")
        identify(actor="somebody", role="TRADER", institution="")
    assert current() == Origin()

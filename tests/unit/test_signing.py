"""Signed documents: whatever is changed in one, the signature says so."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from exchange.base.env import env
from trading.books import signing

ED25519 = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS = [ED25519, RSA]
REPORT = {
    "kind": "test",
    "total": "12.5",
    "lines": [{"asset": "TRY", "name": "Çiğdem", "count": 3}],
    "none": None,
}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def pem(key: Any, path: Path) -> Path:
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return path


@pytest.mark.parametrize("key", KEYS)
def test_what_was_signed_is_read_back(key: Any) -> None:
    text = signing.as_file(signing.sign(REPORT, key))
    assert signing.verify(signing.read(text), key.public_key()) == REPORT
    assert "Çiğdem" in text


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d["report"].update(total="12.6"), "changed"),
        (lambda d: d["report"]["lines"][0].update(count=4), "changed"),
        (lambda d: d["report"].update(extra="1"), "changed"),
        (lambda d: d["report"].pop("none"), "changed"),
        (lambda d: d["report"].update(total=12.5), "changed"),
        (lambda d: d["report"]["lines"].append({}), "changed"),
        (lambda d: d["signature"].update(value=d["signature"]["value"][:-8] + "AAAAAAAA"), "changed"),
        (lambda d: d["signature"].update(value="not base64!"), "changed"),
        (lambda d: d["signature"].update(value=""), "changed"),
        (lambda d: d["signature"].update(algorithm="none"), "algorithm"),
        (lambda d: d["signature"].update(key="0" * 64), "another key"),
    ],
)
def test_any_change_is_found(key: Any, change: Any, says: str) -> None:
    document = copy.deepcopy(signing.sign(REPORT, key))
    change(document)
    with pytest.raises(signing.Tampered, match=says):
        signing.verify(document, key.public_key())


def test_the_signature_of_another_key_is_none() -> None:
    document = signing.sign(REPORT, ED25519)
    with pytest.raises(signing.Tampered, match="algorithm"):
        signing.verify(document, RSA.public_key())
    other = ed25519.Ed25519PrivateKey.generate().public_key()
    with pytest.raises(signing.Tampered, match="another key"):
        signing.verify(document, other)
    document["signature"]["key"] = signing.fingerprint(other)
    with pytest.raises(signing.Tampered, match="changed"):
        signing.verify(document, other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"report": {}}',
        '{"report": [], "signature": {}}',
        '{"report": {}, "signature": {"algorithm": "RS256", "key": 1, "value": ""}}',
        '{"report": {}, "signature": {}, "more": 1}',
        '{"report": {"a": 1, "a": 2}, "signature": {"algorithm": "RS256", "key": "", "value": ""}}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_signed_document_is_told(text: str | bytes) -> None:
    with pytest.raises(signing.Tampered):
        signing.read(text)


@given(values)
def test_the_canonical_form_is_one_and_is_json(value: Any) -> None:
    data = signing.canonical(value)
    assert json.loads(data) == value
    assert signing.canonical(json.loads(json.dumps(value))) == data


def test_the_canonical_form_is_that_of_the_description() -> None:
    """RFC 8785: sorted keys, no spaces, UTF-8, short escapes."""
    expected = '{"a":[1,true,null],"b":"ğ\\n\\u0001\\"/","ç":"x"}'.encode()
    assert signing.canonical({"ç": "x", "b": 'ğ\n\x01"/', "a": [1, True, None]}) == expected
    for bad in (1.5, {"a": float("nan")}, {1: "a"}, b"bytes"):
        with pytest.raises(TypeError):
            signing.canonical(bad)


def test_rs256_is_what_others_know_by_that_name() -> None:
    import base64

    document = signing.sign(REPORT, RSA)
    value = document["signature"]["value"]
    RSA.public_key().verify(
        base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)),
        signing.canonical(REPORT),
        padding.PKCS1v15(),
        hashes.SHA256(),
    )


def test_a_key_that_cannot_sign_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def use(path: Path | None) -> None:
        given = {"exchange_books_key_file": path, "jwt_private_key_file": None}
        monkeypatch.setattr(signing, "env", env.model_copy(update=given))

    use(None)
    with pytest.raises(signing.KeyProblem, match="EXCHANGE_BOOKS_KEY_FILE"):
        signing.private_key()
    use(tmp_path / "missing.pem")
    with pytest.raises(signing.KeyProblem, match="No such file"):
        signing.private_key()
    (tmp_path / "text.pem").write_text("no key")
    use(tmp_path / "text.pem")
    with pytest.raises(signing.KeyProblem, match="not a private key"):
        signing.private_key()
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - that is the point
    for key in (weak, ec.generate_private_key(ec.SECP256R1())):
        use(pem(key, tmp_path / "wrong.pem"))
        with pytest.raises(signing.KeyProblem, match="must be Ed25519, or RSA"):
            signing.private_key()
    use(pem(ED25519, tmp_path / "right.pem"))
    assert signing.fingerprint(signing.private_key().public_key()) == signing.fingerprint(
        ED25519.public_key()
    )

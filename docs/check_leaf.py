#!/usr/bin/env python3
"""Is what the exchange owes me part of what it says it owes to all? Needs nothing but Python.

    curl -H "Authorization: Bearer $TOKEN" https://bank.example/api/v1/solvency > mine.json
    python3 check_leaf.py mine.json --user 0193518a-… --key bank-books.pem --roots published/

For each asset: my leaves lead to the root; the root is the one that was signed (with --key, the bank's public key in
PEM; RSA keys only) and the one that the bank published for everybody (with --roots, a folder of its files: only then
does it matter to others what was shown to me). `--user` is my own id, as my access token has it: somebody else's leaf
would be worth nothing. Exit code 0: all is well; 1: something is not; 2: bad usage.

    leaf = SHA-256("leaf|1|<proof>|<asset>|<user>|<part>|<nonce>|<amount>")
    node = SHA-256("node|1|<left hash>|<left sum>|<right hash>|<right sum>"), its sum is both sums together
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

SUM = re.compile(r"0|[1-9][0-9]{0,38}")
HASH = re.compile(r"[0-9a-f]{64}")
SHA256_OF = bytes.fromhex(
    "3031300d060960864801650304020105000420"
)  # RFC 8017, 9.2: what comes before the digest


class Wrong(Exception):
    """Something is not as it was promised."""


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def number(text: str) -> int:
    if not SUM.fullmatch(text):
        raise Wrong(f"{text!r} is not a sum")
    return int(text)


def digest(text: str) -> str:
    if not HASH.fullmatch(text):
        raise Wrong(f"{text!r} is not a hash")
    return text


def root_above(leaf: dict[str, Any], report: dict[str, Any], user: str) -> tuple[str, int]:
    """Hash and sum of the root that a leaf leads to."""
    here = number(leaf["amount"])
    fields = [
        "leaf",
        "1",
        report["id"],
        report["asset"],
        user,
        str(leaf["part"]),
        digest(leaf["nonce"]),
        str(here),
    ]
    node = sha256("|".join(fields))
    if len(leaf["path"]) != report["height"] or not 0 <= leaf["position"] < 2 ** report["height"]:
        raise Wrong("a leaf's way is not as long as the tree is high")
    for level, beside in enumerate(leaf["path"]):
        other, more = digest(beside["hash"]), number(beside["sum"])
        left, right = (
            ((other, more), (node, here)) if leaf["position"] >> level & 1 else ((node, here), (other, more))
        )
        node, here = sha256(f"node|1|{left[0]}|{left[1]}|{right[0]}|{right[1]}"), here + more
    return node, here


def check(proof: dict[str, Any], user: str) -> int:
    """My balance at that moment, in the smallest unit, if every leaf of mine is under the root."""
    report, leaves = proof["document"]["report"], proof["leaves"]
    if len({leaf["position"] for leaf in leaves}) != len(leaves) or len(
        {leaf["part"] for leaf in leaves}
    ) != len(leaves):
        raise Wrong("the same leaf is counted twice")
    for leaf in leaves:
        if root_above(leaf, report, user) != (report["root"], number(report["sum"])):
            raise Wrong(f"leaf {leaf['part']} does not lead to the root")
    return sum(number(leaf["amount"]) for leaf in leaves)


def amount(minor: int, scale: int) -> str:
    digits = f"{minor:0{scale + 1}d}"
    return f"{digits[: len(digits) - scale]}.{digits[len(digits) - scale :]}" if scale else digits


# -- the signature: RSASSA-PKCS1-v1_5 with SHA-256 over the report as canonical JSON


def canonical(report: Any) -> bytes:
    return json.dumps(report, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def rsa_key(pem: str) -> tuple[int, int]:
    """Modulus and exponent of a public key in PEM."""
    lines = [line.strip() for line in pem.strip().splitlines()]
    if lines[:1] != ["-----BEGIN PUBLIC KEY-----"]:
        raise Wrong("the key is not a public key in PEM")
    _, outer, _ = element(base64.b64decode("".join(lines[1:-1])))
    _, algorithm, rest = element(outer)
    if not algorithm.startswith(bytes.fromhex("06092a864886f70d010101")):
        raise Wrong("the key is not RSA; check the signature with `openssl pkeyutl -verify` instead")
    _, bits, _ = element(rest)
    _, numbers, _ = element(bits[1:])  # the first byte says how many bits are unused: none
    _, modulus, rest = element(numbers)
    _, exponent, _ = element(rest)
    return int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big")


def element(data: bytes) -> tuple[int, bytes, bytes]:
    """The first element of DER: its tag, its contents, and what comes after it."""
    tag, length, at = data[0], data[1], 2
    if length & 0x80:
        at += length & 0x7F
        length = int.from_bytes(data[2:at], "big")
    return tag, data[at : at + length], data[at + length :]


def check_signature(document: dict[str, Any], key: tuple[int, int]) -> None:
    modulus, exponent = key
    size = (modulus.bit_length() + 7) // 8
    value = document["signature"]["value"]
    signature = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    opened = pow(int.from_bytes(signature, "big"), exponent, modulus).to_bytes(size, "big")
    told = SHA256_OF + hashlib.sha256(canonical(document["report"])).digest()
    if len(signature) != size or opened != b"\x00\x01" + b"\xff" * (size - len(told) - 3) + b"\x00" + told:
        raise Wrong("the signature does not belong to this root")


# -- what the bank published for everybody


def published(folder: Path) -> list[Any]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.json"))]


def main() -> int:
    parser = argparse.ArgumentParser(description="Check my leaves in a proof of what an exchange owes.")
    parser.add_argument("file", type=Path, help="the answer of GET /api/v1/solvency")
    parser.add_argument("--user", help="my id (default: the one in the file)")
    parser.add_argument("--key", type=Path, help="the bank's public key, PEM")
    parser.add_argument("--roots", type=Path, help="folder with the roots that the bank published")
    given = parser.parse_args()
    try:
        answer = json.loads(given.file.read_text(encoding="utf-8"))
        key = rsa_key(given.key.read_text()) if given.key else None
        roots = published(given.roots) if given.roots else None
    except (OSError, ValueError, IndexError, Wrong) as error:
        parser.error(str(error))
    failed = False
    for proof in answer["items"]:
        report = proof["document"]["report"]
        try:
            mine = check(proof, given.user or answer["user_id"])
            if key:
                check_signature(proof["document"], key)
            if roots is not None and proof["document"] not in roots:
                raise Wrong("this root is not among the published ones")
            print(
                f"{report['asset']}: {amount(mine, report['scale'])} is in what is owed at {report['taken_at']}"
            )
        except (Wrong, KeyError, TypeError) as error:
            print(f"{report['asset']}: WRONG, {error}")
            failed = True
    if not answer["items"]:
        print("there are no proofs yet")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

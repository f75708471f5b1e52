"""A Merkle-sum tree of liabilities: its root says what is owed in all, and each user can find what they are owed in it.

Pure: no database, no clock, no chance. Sums are integers in the asset's smallest unit and never negative.

    leaf = SHA-256("leaf|1|<proof>|<asset>|<user>|<part>|<nonce>|<amount>")
    node = SHA-256("node|1|<left hash>|<left sum>|<right hash>|<right sum>"), its sum is both sums together

Hashes and nonces are lower-case hexadecimal, sums decimal without leading zeros, so that a few lines in any language
can check a path (`docs/check_leaf.py`, `exchange/terminal/static/terminal/js/proof.js`).

The idea is Gregory Maxwell's (2013). His node hashes the *sum* of its children with their hashes, so each child's own
sum is not bound: an issuer that shows one user a small left and another a small right sum under the same root proves
less than is owed. Hu, Zhang and Guo found that (*Breaking the Binding*, ePrint 2018/1139): a node must bind both sums,
as here. From the later schemes (DAPOL, ePrint 2020/468) come: the user's own id in the leaf, so that two users with
equal balances cannot be shown the same leaf; leaves padded to a power of two with blinded zeros, in random order; and
each balance split at random, so that a sum beside one's own leaf is no user's balance.

Known limitation: the sums on a path are seen by the user who gets it (DAPOL hides them in commitments with range
proofs). A tree says what is owed to those who look: an omitted user is found only when that user looks.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

HASH = 32  # bytes
WIDTH = HASH + 24  # of a stored node: its hash, then its sum, big-endian
MOST = 1 << 128  # above every sum: 36 digits of `numeric` fit below it
_NUMBER = re.compile(r"0|[1-9][0-9]{0,38}")


class Node(NamedTuple):
    hash: bytes
    sum: int


class Wrong(ValueError):
    """It is no proof; says why."""


def leaf(proof: str, asset: str, user: str, part: int, nonce: bytes, amount: int) -> Node:
    """Ids are in canonical form; no field may hold a bar, or two leaves could have one text."""
    assert amount >= 0 and "|" not in f"{proof}{asset}{user}", "no negative leaf, no bar"
    text = f"leaf|1|{proof}|{asset}|{user}|{part}|{nonce.hex()}|{amount}"
    return Node(hashlib.sha256(text.encode()).digest(), amount)


def parent(left: Node, right: Node) -> Node:
    text = f"node|1|{left.hash.hex()}|{left.sum}|{right.hash.hex()}|{right.sum}"
    return Node(hashlib.sha256(text.encode()).digest(), left.sum + right.sum)


def nonce(secret: bytes, user: str, part: int) -> bytes:
    """What blinds a leaf: without the proof's secret no amounts can be tried on it."""
    return hmac.digest(secret, f"{user}|{part}".encode(), "sha256")


def height(leaves: int) -> int:
    """Of the smallest tree for so many."""
    return max(leaves - 1, 0).bit_length()


def build(leaves: Iterable[Node]) -> list[bytes]:
    """The levels from the leaves up, nodes packed one after another. Leaves come in order, a power of two of them."""
    levels = [b"".join(map(pack, leaves))]
    count = len(levels[0]) // WIDTH
    assert count and count & (count - 1) == 0, f"{count} leaves are no power of two"
    while len(levels[-1]) > WIDTH:
        below = iter(_nodes(levels[-1]))
        levels.append(b"".join(pack(parent(left, right)) for left, right in zip(below, below, strict=True)))
    return levels


def root(levels: Sequence[bytes]) -> Node:
    return unpack(levels[-1])


def pack(node: Node) -> bytes:
    assert 0 <= node.sum < MOST, "no negative sum, and none that does not fit"
    return node.hash + node.sum.to_bytes(WIDTH - HASH, "big")


def unpack(data: bytes) -> Node:
    return Node(bytes(data[:HASH]), int.from_bytes(data[HASH:WIDTH], "big"))


def siblings(position: int, height: int) -> list[tuple[int, int]]:
    """Level and place of each node beside the way from a leaf to the root, from below."""
    return [(level, (position >> level) ^ 1) for level in range(height)]


def climb(start: Node, position: int, path: Sequence[Node]) -> Node:
    """The root above `start`, which is at `position` among the leaves; `path` has its siblings from below.

    Raises Wrong for a position that such a tree does not have, and for negative sums.
    """
    if not 0 <= position < 1 << len(path):
        raise Wrong(f"position {position} is not in a tree of height {len(path)}")
    node = start
    for level, sibling in enumerate(path):
        if sibling.sum < 0 or node.sum < 0:
            raise Wrong(f"level {level} has a negative sum")
        node = parent(sibling, node) if position >> level & 1 else parent(node, sibling)
    return node


def number(text: str) -> int:
    """A sum as it stands in proofs. Raises Wrong for any other form of it."""
    if not _NUMBER.fullmatch(text):
        raise Wrong(f"{text!r} is not a sum: digits without sign or leading zeros")
    return int(text)


def _nodes(level: bytes) -> Iterator[Node]:
    return (unpack(level[at : at + WIDTH]) for at in range(0, len(level), WIDTH))

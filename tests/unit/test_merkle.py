"""The tree of liabilities: paths lead to the root, and nothing in it can be other than it was without that showing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trading.books import merkle
from trading.books.merkle import Node

PROOF, ASSET = "01890000-0000-7000-8000-000000000000", "BTC"
amounts = st.integers(0, 10**24)


@dataclass(frozen=True)
class Tree:
    amounts: list[int]
    leaves: list[Node]
    levels: list[bytes]

    @property
    def root(self) -> Node:
        return merkle.root(self.levels)

    @property
    def height(self) -> int:
        return len(self.levels) - 1

    def path(self, position: int) -> list[Node]:
        return [
            merkle.unpack(self.levels[level][place * merkle.WIDTH : (place + 1) * merkle.WIDTH])
            for level, place in merkle.siblings(position, self.height)
        ]


def leaf(user: int, amount: int, *, secret: bytes = b"secret") -> Node:
    name = f"user{user}"
    return merkle.leaf(PROOF, ASSET, name, 0, merkle.nonce(secret, name, 0), amount)


def tree(of: list[int]) -> Tree:
    padded = of + [0] * ((1 << merkle.height(len(of))) - len(of))
    leaves = [leaf(user, amount) for user, amount in enumerate(padded)]
    return Tree(padded, leaves, merkle.build(leaves))


trees = st.lists(amounts, min_size=1, max_size=17).map(tree)


@given(trees)
def test_every_path_leads_to_the_root_and_the_root_has_the_sum(tree: Tree) -> None:
    assert tree.root.sum == sum(tree.amounts)
    for position, start in enumerate(tree.leaves):
        assert merkle.climb(start, position, tree.path(position)) == tree.root


@given(trees, st.data())
def test_another_amount_position_user_or_sibling_does_not_reach_the_root(
    tree: Tree, data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, len(tree.leaves) - 1))
    path, amount = tree.path(position), tree.amounts[position]
    other = data.draw(amounts.filter(lambda value: value != amount))
    assert merkle.climb(leaf(position, other), position, path) != tree.root
    assert merkle.climb(leaf(position + 1000, amount), position, path) != tree.root
    assert merkle.climb(leaf(position, amount, secret=b"other"), position, path) != tree.root
    assume(path)
    elsewhere = data.draw(st.integers(0, len(tree.leaves) - 1).filter(lambda value: value != position))
    assert merkle.climb(tree.leaves[position], elsewhere, path) != tree.root
    level = data.draw(st.integers(0, len(path) - 1))
    sibling, change = path[level], data.draw(st.integers(1, 10**24))
    for tampered in (sibling._replace(sum=sibling.sum + change), sibling._replace(hash=leaf(7, change).hash)):
        changed = [*path[:level], tampered, *path[level + 1 :]]
        assert merkle.climb(tree.leaves[position], position, changed) != tree.root


@given(trees.filter(lambda tree: tree.height > 0), st.data())
def test_a_sum_moved_from_one_side_to_the_other_is_found(tree: Tree, data: st.DataObject) -> None:
    """The flaw of the first such tree: its nodes bound only both sums together, so a part of one child's could be
    shown with the other, and the total stayed."""
    position = data.draw(st.integers(0, len(tree.leaves) - 1))
    path = tree.path(position)
    own, sibling = tree.leaves[position], path[0]
    moved = data.draw(st.integers(1, 10**24))
    shifted = [sibling._replace(sum=sibling.sum + moved), *path[1:]]
    assume(own.sum >= moved)
    found = merkle.climb(own._replace(sum=own.sum - moved), position, shifted)
    assert found.sum == tree.root.sum
    assert found.hash != tree.root.hash


def test_the_attack_on_the_first_such_tree_works_there_and_not_here() -> None:
    """Hu, Zhang and Guo: claim max(left, right) in place of their sum, and show each user a small sibling."""

    def bound_to_total_only(left: Node, right: Node) -> Node:
        text = f"{left.sum + right.sum}|{left.hash.hex()}|{right.hash.hex()}"
        return Node(hashlib.sha256(text.encode()).digest(), left.sum + right.sum)

    left, right = leaf(1, 10), leaf(2, 7)
    claimed = bound_to_total_only(left, right._replace(sum=0))  # 10 in all, where 17 are owed
    assert bound_to_total_only(left._replace(sum=3), right) == claimed  # and the second user is content
    assert merkle.parent(left, right._replace(sum=0)) != merkle.parent(left._replace(sum=3), right)


def test_negative_sums_have_no_place() -> None:
    with pytest.raises(AssertionError):
        leaf(1, -1)
    with pytest.raises(AssertionError):
        merkle.pack(Node(b"0" * 32, -1))
    with pytest.raises(merkle.Wrong, match="negative"):
        merkle.climb(leaf(1, 5), 0, [Node(b"0" * 32, -5)])
    with pytest.raises(merkle.Wrong, match="position 2"):
        merkle.climb(leaf(1, 5), 2, [leaf(2, 5)])


@pytest.mark.parametrize("text", ["", "-1", "+1", "01", "1.0", "1e3", " 1", "1\n", "0x1", "٣", "9" * 40])
def test_a_sum_has_one_form(text: str) -> None:
    with pytest.raises(merkle.Wrong):
        merkle.number(text)


@given(amounts)
def test_nodes_are_stored_as_they_are(amount: int) -> None:
    node = leaf(1, amount)
    assert merkle.unpack(merkle.pack(node)) == node
    assert merkle.number(str(amount)) == amount


def test_hashes_are_those_of_the_description() -> None:
    """As any other program works them out."""
    nonce = bytes(range(32))
    text = f"leaf|1|{PROOF}|BTC|someone|1|{nonce.hex()}|42"
    one = merkle.leaf(PROOF, "BTC", "someone", 1, nonce, 42)
    assert one == Node(hashlib.sha256(text.encode()).digest(), 42)
    two = leaf(2, 8)
    text = f"node|1|{one.hash.hex()}|42|{two.hash.hex()}|8"
    assert merkle.parent(one, two) == Node(hashlib.sha256(text.encode()).digest(), 50)

"""Which seals of a chain stand where they were made, worked out from what each says it follows. Pure.

A chain is cut into runs, within which each seal follows the one before it. Going back from the head, from run to run by
what each follows, gives the order in which they were sealed. What is not on that way was put in; what is on it at
another place was moved; a run that follows nothing we know comes after a record that was changed with its seal.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

NONE = UUID(int=0)
NAMED = 20  # of a run that was moved, so many are named one by one


@dataclass
class Run:
    """Numbers `first` to `last`. `follows` is the hash that the first one claims to follow where that is not what
    stands before it; None where it is, or where nothing stands before it."""

    first: int
    last: int
    follows: bytes | None


class LinkFinding(NamedTuple):
    kind: str
    number: int
    detail: str


class _Piece(NamedTuple):
    first: int
    last: int
    linked: bool  # to the piece before it on the way


def findings(
    runs: Sequence[Run], where: Callable[[Sequence[bytes]], dict[bytes, int]], head: int
) -> Iterator[LinkFinding]:
    """`where` gives the numbers of the seals that have some hashes."""
    broken = [run.follows for run in runs if run.follows is not None]
    if not broken:
        return
    way, unknown = _way(runs, where(broken), head)
    for number in unknown:
        yield LinkFinding(
            "changed",
            number,
            f"number {number + 1} was not sealed after it: changed with its seal, or what stood between is missing",
        )
    inserted = _not_on(way, runs)
    for number in inserted:
        if number <= head:
            yield LinkFinding("inserted", number, "nothing that was sealed later follows it")
    yield from _moved(way, inserted)


def _way(runs: Sequence[Run], where: dict[bytes, int], head: int) -> tuple[list[_Piece], list[int]]:
    """From the head back to the first number, then turned round; and the numbers before runs that follow nothing we
    know."""
    starts = [run.first for run in runs]

    def run_of(number: int) -> int:
        """The place of the last run that begins at or before `number`; -1 if none does."""
        place = bisect_left(starts, number + 1) - 1
        return place if place >= 0 and number <= runs[place].last else -1

    place = run_of(min(head, runs[-1].last))
    place = len(runs) - 1 if place < 0 else place
    last, seen = min(runs[place].last, max(head, runs[place].first)), set[int]()
    way: list[_Piece] = []
    unknown: list[int] = []
    while place >= 0 and place not in seen:
        seen.add(place)
        run = runs[place]
        followed = None if run.follows is None else where.get(run.follows)
        if run.follows is not None and followed is None:
            unknown.append(run.first - 1)
        before = -1 if followed is None else run_of(followed)
        linked = before >= 0 and before not in seen
        way.append(_Piece(run.first, last, linked or followed == 0))
        place = before if linked else -1 if followed == 0 else place - 1
        if place >= 0:
            last = followed if linked and followed is not None else runs[place].last
    return way[::-1], unknown[::-1]


def _not_on(way: Sequence[_Piece], runs: Sequence[Run]) -> list[int]:
    covered = sorted((piece.first, piece.last) for piece in way)
    missing: list[int] = []
    for run in runs:
        at = run.first
        for first, last in covered:
            if last < at or first > run.last:
                continue
            missing += range(at, first)
            at = last + 1
        missing += range(at, run.last + 1)
    return missing


def _moved(way: Sequence[_Piece], inserted: Sequence[int]) -> Iterator[LinkFinding]:
    """`inserted` is sorted; it does not count towards where a seal should stand."""
    end: int | None = None
    for piece in way:
        stands = piece.first - bisect_left(inserted, piece.first)
        belongs = (end or 0) + 1 if piece.linked else stands
        end = belongs + piece.last - piece.first
        if stands == belongs:
            continue
        for number in range(piece.first, min(piece.last, piece.first + NAMED - 1) + 1):
            yield LinkFinding("reordered", number, f"it was sealed as number {number + belongs - stands}")
        if piece.last - piece.first >= NAMED:
            rest = piece.first + NAMED
            detail = f"and all up to {piece.last}: sealed as {rest + belongs - stands} and after"
            yield LinkFinding("reordered", rest, detail)

"""The replay of recorded flow: reading it, what becomes of each kind of row, and a real excerpt.

The rows below are written like the venue's: (action, side, order, price, size), sides A and B, one list an
event. Prices are ticks; `rows` makes them whole rows.
"""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError

from matching.management.commands.replay import Command
from matching.recorded.inferred import Hindsight
from matching.recorded.recording import COLUMNS, LAST_OF_EVENT, TICK, Fill, FlowError, Row, events, read
from matching.recorded.replay import Comparison, Replay, Report

EXCERPT = Path(__file__).parent.parent / "data" / "es_mbo_excerpt.csv.gz"
WHOLE = Path(__file__).parents[2].parent / "shared" / "data" / "es_mbo_20231225.csv.gz"

Short = tuple[str, str, str, int, int]


def rows(*event: Short) -> list[Row]:
    return [Row(0, 7, action, side, order, price, size, 0) for action, side, order, price, size in event]


def replayed(*recording: list[Short]) -> Report:
    whole = [rows(*event) for event in recording]
    replay = Replay(Hindsight(whole))
    for event in whole:
        replay.event(event)
    replay.compare_books()
    return replay.report


RESTING: list[Short] = [("A", "A", "ask-1", 101, 2), ("A", "A", "ask-2", 101, 3), ("A", "B", "bid-1", 99, 2)]


def test_fills_in_the_same_order_are_exact() -> None:
    report = replayed(
        RESTING,
        [("T", "B", "new", 101, 3), ("F", "A", "ask-1", 101, 2), ("F", "A", "ask-2", 101, 1)],
        [("C", "A", "ask-1", 101, 2), ("M", "A", "ask-2", 101, 2)],
    )
    assert report.aggressors == {Comparison.EXACT: 1}
    assert report.commands == 1  # the C and M rows only show what the fills did
    assert (report.fills, report.fills_alike) == (2, 2)
    assert report.passed


def test_fills_of_a_younger_order_are_not() -> None:
    report = replayed(RESTING, [("T", "B", "new", 101, 1), ("F", "A", "ask-2", 101, 1)])
    assert report.aggressors == {Comparison.UNEXPLAINED: 1}
    assert report.differences[0].ours == [Fill("ask-1", 101, 1)]
    assert report.differences[0].theirs == [Fill("ask-2", 101, 1)]
    assert not report.passed


def test_a_difference_does_not_spoil_the_next_aggressor() -> None:
    report = replayed(
        RESTING,
        [("T", "B", "new-1", 101, 1), ("F", "A", "ask-2", 101, 1)],
        [("T", "B", "new-2", 101, 3), ("F", "A", "ask-1", 101, 2), ("F", "A", "ask-2", 101, 1)],
    )
    assert report.aggressors == {Comparison.UNEXPLAINED: 1, Comparison.EXACT: 1}


def test_a_trade_that_only_we_make_is_a_difference() -> None:
    report = replayed(
        RESTING,
        [("T", "B", "new-1", 101, 1), ("F", "A", "ask-1", 101, 1)],
        [("A", "B", "new-2", 102, 1)],
        [("C", "B", "new-2", 102, 1)],
    )
    assert report.aggressors == {Comparison.EXACT: 1, Comparison.UNEXPLAINED: 1}
    assert report.differences[0].theirs == []
    assert report.books_alike == 0  # the venue's own is crossed
    assert not report.passed


def test_a_sweep_over_two_prices_is_one_aggressor_and_its_rest_rests() -> None:
    report = replayed(
        [*RESTING, ("A", "A", "ask-3", 102, 1)],
        [
            ("T", "B", "new", 101, 5),
            ("F", "A", "ask-1", 101, 2),
            ("F", "A", "ask-2", 101, 3),
            ("T", "B", "new", 102, 1),
            ("F", "A", "ask-3", 102, 1),
            ("A", "B", "new", 102, 4),
        ],
        [("T", "A", "other", 102, 4), ("F", "B", "new", 102, 4)],
    )
    assert report.aggressors == {Comparison.EXACT: 2}


def test_an_order_that_rests_may_be_amended_into_the_market() -> None:
    """The venue shows the aggressor's own half as an F row too."""
    report = replayed(
        RESTING,
        [
            ("T", "B", "bid-1", 101, 5),
            ("F", "B", "bid-1", 101, 5),
            ("F", "A", "ask-1", 101, 2),
            ("F", "A", "ask-2", 101, 3),
            ("M", "B", "bid-1", 101, 1),
        ],
        [("T", "A", "new", 101, 1), ("F", "B", "bid-1", 101, 1)],
    )
    assert report.aggressors == {Comparison.EXACT: 2}
    assert report.passed


@pytest.mark.parametrize(
    ("modified", "first"),
    [
        (("M", "A", "ask-1", 101, 1), "ask-1"),  # a lower size keeps its place
        (("M", "A", "ask-1", 101, 3), "ask-2"),
    ],
)
def test_what_a_modify_does_to_the_place(modified: Short, first: str) -> None:
    opening: list[Short] = [("T", "A", "x", 99, 2), ("F", "B", "bid-1", 99, 2)]
    report = replayed(RESTING, opening, [modified], [("T", "B", "new", 101, 1), ("F", "A", first, 101, 1)])
    assert report.aggressors == {Comparison.EXACT: 2}


def test_before_the_opening_orders_may_cross_and_the_auction_is_set_apart() -> None:
    report = replayed(
        RESTING,
        [("A", "B", "eager", 105, 1)],
        [("T", "N", "0", 101, 1), ("F", "N", "eager", 101, 1), ("F", "N", "ask-1", 101, 1)],
        [("T", "B", "new", 101, 2), ("F", "A", "ask-1", 101, 1), ("F", "A", "ask-2", 101, 1)],
    )
    assert report.auction_fills == 2
    assert report.aggressors == {Comparison.EXACT: 1}


def test_an_iceberg_is_set_apart() -> None:
    report = replayed(
        RESTING,
        [("T", "B", "new-1", 101, 4), ("F", "A", "ask-2", 101, 3), ("F", "A", "ask-1", 101, 9)],
        [("M", "A", "ask-1", 101, 2)],
        [("T", "B", "new-2", 101, 1), ("F", "A", "ask-1", 101, 1)],
    )
    assert report.aggressors == {Comparison.ICEBERG: 1, Comparison.EXACT: 1}
    assert (report.share, report.share_without_icebergs) == (0.5, 1.0)


def test_the_same_fills_in_another_order_have_a_class_of_their_own() -> None:
    report = replayed(
        RESTING,
        [("T", "B", "new", 101, 5), ("F", "A", "ask-2", 101, 3), ("F", "A", "ask-1", 101, 2)],
    )
    assert report.aggressors == {Comparison.LISTED_OTHERWISE: 1}


def test_orders_taken_out_by_self_match_prevention_give_their_owner_away() -> None:
    """The buyer passes over ask-1, which the same event takes out: it was the buyer's own."""
    report = replayed(
        RESTING,
        [
            ("T", "B", "new", 101, 3),
            ("F", "A", "ask-2", 101, 3),
            ("C", "A", "ask-2", 101, 3),
            ("C", "A", "ask-1", 101, 2),
        ],
    )
    assert report.aggressors == {Comparison.EXACT: 1}
    assert report.self_matched_there == report.self_matched_here == {"ask-1"}


def test_an_own_order_in_the_way_of_one_that_rests() -> None:
    report = replayed(
        RESTING,
        [("T", "A", "x", 99, 1), ("F", "B", "bid-1", 99, 1)],
        [("A", "B", "new", 101, 3), ("C", "A", "ask-1", 101, 2), ("C", "A", "ask-2", 101, 3)],
    )
    assert report.aggressors == {Comparison.EXACT: 1}
    assert report.self_matched_here == {"ask-1", "ask-2"}


# -- real recordings


def of_file(path: Path) -> Report:
    whole = list(events(read(path)))
    replay = Replay(Hindsight(whole))
    for event in whole:
        replay.event(event)
    replay.compare_books()
    return replay.report


def test_the_excerpt_matches_throughout() -> None:
    report = of_file(EXCERPT)
    assert report.aggressors == {Comparison.EXACT: 149}
    assert report.auction_fills == 35
    assert report.self_matched_there == report.self_matched_here
    assert len(report.self_matched_here) == 2
    assert report.passed


@pytest.mark.skipif(not WHOLE.exists(), reason="the whole recording is not next to the repository")
def test_the_whole_recording() -> None:
    report = of_file(WHOLE)
    assert report.aggressors == {
        Comparison.EXACT: 1116,
        Comparison.ICEBERG: 14,
        Comparison.LISTED_OTHERWISE: 6,
    }
    assert len(report.self_matched_here) == 32
    assert report.passed


# -- files and the command


HEADER = ",".join(COLUMNS)
GOOD = f"1,2,A,B,17,{100 * TICK},3,{LAST_OF_EVENT}"


@pytest.mark.parametrize("name", ["flow.csv", "flow.csv.gz"])
def test_reading(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    text = f"{HEADER}\n{GOOD}\n".encode()
    path.write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    assert list(read(path)) == [Row(1, 2, "A", "B", "17", 100, 3, LAST_OF_EVENT)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the columns must be .* not nothing"),
        (b"a,b\n", "the columns must be .* not a,b"),
        (f"{HEADER}\n1,2\n".encode(), "line 2: not enough values"),
        (f"{HEADER}\n{GOOD}\n{GOOD.replace('A', 'X')}\n".encode(), "line 3: action 'X' of side 'B'"),
        (f"{HEADER}\n{GOOD.replace('B', 'N')}\n".encode(), "line 2: action 'A' of side 'N'"),
        (f"{HEADER}\n{GOOD.replace(',3,', ',x,')}\n".encode(), "line 2: invalid literal"),
        (f"{HEADER}\n{GOOD.replace(',3,', ',0,')}\n".encode(), "line 2: price .* size 0"),
        (f"{HEADER}\n1,2,A,B,17,1,3,0\n".encode(), "line 2: price 1 is no multiple"),
        (b"\xff\xfe", "line 1: 'ascii' codec"),
        (f"{HEADER}\n".encode() + b"\0\xff", "'ascii' codec"),
    ],
)
def test_a_file_that_is_no_recording(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "flow.csv"
    path.write_bytes(content)
    with pytest.raises(FlowError, match=message):
        list(read(path))


@pytest.mark.parametrize("content", [b"not gzip", EXCERPT.read_bytes()[:9000]])
def test_a_broken_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "flow.csv.gz"
    path.write_bytes(content)
    with pytest.raises(FlowError):
        list(read(path))


def command(path: Path, **options: Any) -> tuple[str, str]:
    """What the command prints on stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    Command(stdout=out, stderr=err, no_color=True).handle(file=path, **({"json": False} | options))
    return out.getvalue(), err.getvalue()


def test_the_command_prints_a_table_and_its_progress() -> None:
    out, err = command(EXCERPT)
    assert "149 aggressors" in out
    assert "exact: 100.00% of all" in out
    assert "1,564 of 1,564 events" in err


def test_the_command_prints_json() -> None:
    result = json.loads(command(EXCERPT, json=True)[0])
    assert result["passed"] is True
    assert result["classes"]["exact"]["count"] == 149


def test_the_command_ends_with_1_if_we_differ(tmp_path: Path) -> None:
    path = tmp_path / "flow.csv"
    event = [*RESTING, ("T", "B", "new", 101, 1), ("F", "A", "ask-2", 101, 1)]
    lines = [
        f"0,1,{action},{side},{order},{price * TICK},{size},0" for action, side, order, price, size in event
    ]
    lines[2] = lines[2][:-1] + str(LAST_OF_EVENT)
    path.write_text("\n".join([HEADER, *lines]))
    with pytest.raises(CommandError) as error:
        command(path)
    assert error.value.returncode == 1


@pytest.mark.parametrize("name", ["missing.csv", ".", "empty.csv", "quiet.csv"])
def test_the_command_ends_with_2_if_there_is_nothing_to_compare(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "quiet.csv").write_text(f"{HEADER}\n{GOOD}\n")
    with pytest.raises(CommandError) as error:
        command(tmp_path / name)
    assert error.value.returncode == 2
    assert str(tmp_path) in str(error.value)

"""The ledger against a statement: who belongs to whom, and what is said of the rest."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from trading.books.bank_statement import Line, name
from trading.books.matching import Booking, Finding, Matcher

DAY = date(2026, 11, 22)


def line(amount: str, *references: str, day: int = 0, at: int = 1, words: tuple[str, ...] = ()) -> Line:
    return Line(f"line {at}", DAY + timedelta(days=day), Decimal(amount), tuple(map(name, references)), words)


def booking(id: str, amount: str, *references: str, day: int = 0, wanted: bool = True) -> Booking:
    when = DAY + timedelta(days=day)
    return Booking(id, when, Decimal(amount), (name(id), *map(name, references)), wanted)


def match(bookings: list[Booking], lines: list[Line], days: int = 3) -> tuple[Matcher, list[Finding]]:
    matcher = Matcher(bookings, days)
    return matcher, list(matcher.run(lines))


def told(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(finding.kind, finding.where, finding.booking) for finding in findings]


def test_by_reference_even_among_equal_amounts() -> None:
    bookings = [booking("a", "100", "REF-1"), booking("b", "100", "REF-2")]
    matcher, findings = match(bookings, [line("100", "ref 2", at=1), line("100", at=2)])
    assert (matcher.by_reference, matcher.by_amount, findings) == (1, 1, [])
    assert [each.taken.where for each in bookings if each.taken] == ["line 2", "line 1"]


def test_a_word_of_the_text_is_a_reference_too() -> None:
    matcher, findings = match([booking("a", "5", "PAYOUT-77")], [line("5", "unknown", words=("PAYOUT77",))])
    assert matcher.by_reference == 1 and not findings


def test_what_differs_is_told() -> None:
    bookings = [booking("a", "100", "R1"), booking("b", "50", "R2"), booking("c", "7", "R3")]
    lines = [line("101", "R1", at=1), line("50", "R2", day=9, at=2), line("8", "R9", at=3)]
    _, findings = match(bookings, lines)
    assert told(findings) == [
        ("amount differs", "line 1", "a"),
        ("date differs", "line 2", "b"),
        ("extra", "line 3", ""),
        ("missing", "", "c"),
    ]
    assert "the ledger has 100" in findings[0].detail


def test_what_is_twice_in_the_statement_or_in_the_ledger() -> None:
    _, findings = match([booking("a", "5", "R1")], [line("5", "R1", at=1), line("5", "R1", at=2)])
    assert told(findings) == [("duplicate", "line 2", "a")] and "line 1" in findings[0].detail
    _, findings = match([booking("a", "5", "R1"), booking("b", "5", "R1")], [line("5", "R1")])
    assert told(findings) == [("duplicate", "", "b")] and "booked twice" in findings[0].detail
    _, findings = match([], [line("5", "R1", at=1), line("5", "R1", at=2), line("5", at=3), line("5", at=4)])
    assert [finding.kind for finding in findings] == ["extra", "duplicate", "extra", "extra"]


def test_an_extra_line_about_a_payment_that_is_under_way_says_so() -> None:
    matcher = Matcher([], 3, {"PAYOUT9": "withdrawal 9 is SENT"})
    (finding,) = matcher.run([line("-5", "payout-9")])
    assert finding.kind == "extra" and finding.detail.startswith("withdrawal 9 is SENT")


def test_by_amount_the_same_day_comes_first_and_far_days_never() -> None:
    bookings = [booking("early", "5", day=-2), booking("same", "5")]
    _, findings = match(bookings, [line("5")])
    assert told(findings) == [("missing", "", "early")]
    _, findings = match([booking("far", "5", day=4)], [line("5")])
    assert told(findings) == [("extra", "line 1", ""), ("missing", "", "far")]
    _, findings = match([booking("out", "-5")], [line("5")])
    assert [finding.kind for finding in findings] == ["extra", "missing"]


def test_what_is_outside_the_time_may_match_but_need_not() -> None:
    outside = booking("out", "5", day=-1, wanted=False)
    assert match([outside], [])[1] == []
    outside = booking("out", "5", day=-1, wanted=False)
    assert match([outside], [line("5")])[1] == []


amounts = st.sampled_from(["1", "2", "-3"])
days = st.integers(-4, 4)
refs = st.lists(st.sampled_from(["R1", "R2", "R3"]), max_size=2)


@given(
    st.lists(st.tuples(amounts, days, refs), max_size=8), st.lists(st.tuples(amounts, days, refs), max_size=8)
)
def test_nothing_is_lost_and_nothing_counted_twice(
    left: list[tuple[str, int, list[str]]], right: list[tuple[str, int, list[str]]]
) -> None:
    bookings = [booking(f"b{at}", amount, *names, day=day) for at, (amount, day, names) in enumerate(left)]
    lines = [line(amount, *names, day=day, at=at) for at, (amount, day, names) in enumerate(right)]
    matcher, findings = match(bookings, lines)
    taken = [each.taken.where for each in bookings if each.taken]
    assert len(taken) == len(set(taken)) == matcher.matched
    kinds = Counter(finding.kind for finding in findings)
    in_statement = sum(1 for f in findings if f.where and f.kind in ("extra", "duplicate"))
    in_ledger = sum(1 for f in findings if not f.where)
    assert matcher.matched + in_statement == len(lines)
    assert matcher.matched + in_ledger == len(bookings)
    assert kinds["missing"] <= in_ledger
    for each in bookings:
        if each.taken and not set(each.references) & set(each.taken.references):
            assert each.taken.amount == each.amount and abs((each.taken.day - each.day).days) <= matcher.days
    # Whatever order the bank writes its lines in, as many are matched by reference.
    again, _ = match(
        [booking(f"b{at}", amount, *names, day=day) for at, (amount, day, names) in enumerate(left)],
        lines[::-1],
    )
    assert again.matched + sum(1 for b in again.bookings if not b.taken) == len(bookings)

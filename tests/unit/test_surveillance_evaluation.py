"""The evaluation measures what it says, thresholds refuse nonsense, pictures are sound."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ElementTree
from decimal import Decimal

import pytest

from matching.core.invariants import check
from risk.cases import redaction
from risk.detectors.records import AbuseKind, Side
from risk.detectors.registry import DETECTORS, KINDS, Rules, parse
from risk.detectors.spoofing import Layering, Spoofing
from risk.detectors.wash_rings import WASH_RING
from risk.detectors.wash_trades import WASH_TRADE
from risk.surveillance import charts
from risk.surveillance.evaluation import report, score
from tests.unit.surveillance import shown, trade

SVG = "{http://www.w3.org/2000/svg}"


def test_a_round_finds_most_of_what_is_there_and_little_else() -> None:
    """Of a seed that nothing was tuned on; it is far from exact, so that no threshold is tuned for it."""
    counted = score.evaluate([4242], lambda _: None)
    lines = counted.lines
    assert {kind for kind, _ in lines} >= set(KINDS)
    assert {size for kind, size in lines if kind is WASH_RING} >= set(score.RING_SIZES)
    assert sum(line.injected for line in lines.values()) == 16
    assert sum(line.recalled for line in lines.values()) >= 10
    assert sum(line.findings - line.true for line in lines.values()) <= 3
    assert counted.accused <= 5 < 100 < counted.honest
    document = report.as_document(counted, 4242)
    assert document["all"]["injected"] == 16
    assert len(report.as_table(counted, 4242)) == len(lines) + 3


def test_the_same_seed_is_the_same_market(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "DURATION", 900)
    once, again = score.simulate(7), score.simulate(7)
    assert once.market.trades == again.market.trades
    assert once.market.shown == again.market.shown
    assert score.simulate(8).market.trades != once.market.trades
    check(once.market.book)
    bought = sum(one.filled for one in once.market.shown)
    assert 0 < bought <= 2 * sum(one.quantity for one in once.market.trades)


def test_without_thresholds_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "DURATION", 900)
    assert score.look(score.simulate(7), Rules({}, {})) == []


def test_a_part_of_a_ring_or_a_bystander_proves_nothing() -> None:
    act = score.Act(WASH_RING, frozenset("abc"), 3)

    def proves(users: str, kind: AbuseKind = WASH_RING) -> bool:
        return score.proves(score.Finding(kind, "X", tuple(users), 0, 0, 1.0, {}), act)

    assert proves("abc")
    assert not proves("ab")
    assert not proves("abcd")
    assert not proves("abc", WASH_TRADE)


@pytest.mark.parametrize("kind", list(KINDS))
def test_thresholds_have_bounds_and_know_their_names(kind: str) -> None:
    assert parse(kind, {}) == KINDS[kind].thresholds()
    for name in KINDS[kind].thresholds.__struct_fields__:
        with pytest.raises(ValueError, match=name):
            parse(kind, {name: -1})
        with pytest.raises(ValueError, match=name):
            parse(kind, {name: "x"})
    with pytest.raises(ValueError, match="unknown field"):
        parse(kind, {"no_such": 1})


def test_each_detector_has_a_kind_of_its_own_and_a_threshold_that_says_how_far_it_looks_back() -> None:
    assert len(KINDS) == len(DETECTORS)
    for detector in DETECTORS:
        assert len(detector.kind) <= 20  # as long as the column that keeps it
        assert detector.seconds(detector.thresholds()) > 0


def test_layering_is_spoofing_with_more_prices() -> None:
    assert set(Layering.__struct_fields__) - set(Spoofing.__struct_fields__) == {"least_layers"}


def test_a_graph_names_all_and_needs_no_style() -> None:
    names = ["0193abcd-1111-7aaa-8bbb-000000abcd00", "b<>&\"'", "c"]
    flows = {
        (a, b): (n + 2, Decimal(f"{n + 1}.50"))
        for n, (a, b) in enumerate(zip(names, names[1:] + names[:1], strict=True))
    }
    svg = charts.graph(flows)
    root = ElementTree.fromstring(svg)  # noqa: S314 - it is our own
    assert root.get("role") == "img"
    assert [child.tag for child in root][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert len(root.findall(f".//{SVG}circle")) == 3
    labels = [text.text for text in root.iter(f"{SVG}text")]
    assert {"1.5", "2.5", "3.5", "…00abcd", "b<>&\"'", "c"} <= set(labels)
    titles = [title.text for title in root.iter(f"{SVG}title")]
    assert "…00abcd sold 1.5 to b<>&\"' in 2 trades" in titles
    assert names[0] in titles
    assert "style" not in svg
    assert charts.graph(dict(reversed(flows.items()))) == svg


def test_a_graph_is_shown_with_names() -> None:
    ada, bob, bob2 = (f"01a206c9-0000-7000-8000-{number:010x}00" for number in range(3))
    svg = charts.graph({(ada, bob): (2, Decimal("1.50")), (bob, bob2): (3, Decimal(2))})
    known = {ada: "ada<@bank.example", bob: "bob@bank.example", bob2: "bob@other.example"}
    root = ElementTree.fromstring(redaction.replace_short_ids(svg, known))  # noqa: S314 - it is our own
    labels = {text.text for text in root.iter(f"{SVG}text")}
    assert labels == {"ada<", "bob@bank.example", "bob@other.example", "1.5", "2"}
    titles = {title.text for title in root.iter(f"{SVG}title")}
    assert titles >= {"ada< sold 1.5 to bob@bank.example in 2 trades", *known.values()}
    assert redaction.replace_short_ids(svg, {}) == svg


def test_the_names_of_a_graph_lie_on_nothing() -> None:
    users = [f"01a206c9-0000-7000-8000-{number:010x}00" for number in range(3)]
    flows = {(a, b): (2, Decimal("13.71995")) for a in users for b in users if a != b}
    root = ElementTree.fromstring(charts.graph(flows))  # noqa: S314 - it is our own
    tags = [child.tag for group in root for child in group.iter()]
    labels = [index for index, tag in enumerate(tags) if tag == f"{SVG}text"]
    assert max(index for index, tag in enumerate(tags) if tag == f"{SVG}path") < min(labels)
    places = [(float(text.get("x", "")), float(text.get("y", ""))) for text in root.iter(f"{SVG}text")]
    near = [
        (one, other)
        for one, other in itertools.combinations(places, 2)
        if abs(one[1] - other[1]) < 12 and abs(one[0] - other[0]) < 60
    ]
    assert not near
    for circle in root.iter(f"{SVG}circle"):
        x, y, r = (float(circle.get(name, "")) for name in ("cx", "cy", "r"))
        assert all(abs(b - y) > r or abs(a - x) > r for a, b in places)


def test_a_course_shows_every_order_and_trade_within_the_picture() -> None:
    orders = [shown("s", Side.SELL, "101", "100", 0, 9), shown("s", Side.BUY, "100", "5", 1, None)]
    svg = charts.course([trade(5, "h", "s", "5", "100")], orders, {"s"})
    root = ElementTree.fromstring(svg)  # noqa: S314 - it is our own
    bars = root.findall(f"{SVG}rect")[1:]
    assert len(bars) == 2
    for bar in bars:
        assert (
            0
            <= float(bar.get("x", ""))
            < float(bar.get("x", "")) + float(bar.get("width", ""))
            <= charts.WIDTH
        )
        assert 0 <= float(bar.get("y", "")) <= charts.HEIGHT
    assert "bought 5 at 100" in svg
    assert "SELL 100 at 101: 0 filled, 100 withdrawn" in svg
    assert charts.course([], [], set()) == ""

"""What operators do to markets and orders, on the pages of the back office and from the shell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse

from exchange.platform.approvals import requests
from exchange.platform.approvals.models import Approval
from exchange.platform.audit.models import Record
from exchange.platform.members.models import Institution, Role, User
from matching import stream
from matching.models import SymbolGroup
from tests.market import GROUP, SYMBOL, Desk, eventually, open_desk, running, sql
from tests.staff import signed_in, staff, totp
from trading.models import Asset, Instrument, Order, PendingCommand
from trading.reference.catalog import catalog

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk(transactional_db: None) -> Iterator[Desk]:
    """Its worker runs, as beside the back office."""
    with open_desk() as desk, running(desk.worker):
        yield desk


@pytest.fixture
def operator(desk: Desk) -> Client:
    return signed_in(staff())


def page(row: Any, verb: str) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{verb}", args=[row.pk])


def instrument() -> Instrument:
    return Instrument.objects.get(symbol=SYMBOL)


def do(client: Client, row: Any, verb: str, **data: str) -> Any:
    """Open the page of a verb and send its form."""
    assert client.get(page(row, verb)).status_code == 200
    return client.post(page(row, verb), {"reason": "a test", **data})


def said(answer: Any) -> list[str]:
    """What came of it."""
    assert answer.status_code == 302, answer.content.decode()
    return [str(message) for message in get_messages(answer.wsgi_request)]


def run(command: str, *arguments: str) -> str:
    out = StringIO()
    call_command(command, *arguments, stdout=out)
    return out.getvalue()


def refused(command: str, *arguments: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as raised:
        run(command, *arguments)
    return raised.value.returncode, str(raised.value)


# Halting, and what it takes to go on


def test_one_person_halts_and_two_resume(desk: Desk, operator: Client) -> None:
    assert said(do(operator, instrument(), "halt")) == [f"{SYMBOL}: TRADING → HALTED"]
    assert (instrument().status, instrument().status_reason) == ("HALTED", "a test")
    catalog.clear_cache()
    user = desk.user(USDT="1000")
    assert [c.reason for c in desk.accept(desk.draft(user, "BUY", "1", "100")).rejected] == ["MARKET_HALTED"]

    assert said(do(operator, instrument(), "resume", status="TRADING")) == [
        "Sent for approval: another person decides."
    ]
    assert instrument().status == "HALTED"
    approval = Approval.objects.get()
    with pytest.raises(requests.SamePerson):
        requests.approve(approval.pk, by=approval.requested_by, reason="myself")
    requests.approve(approval.pk, by=staff(), reason="all is well")
    eventually(lambda: instrument().status == "TRADING")
    halted = Record.objects.filter(action="market.status").order_by("id").first()
    assert halted is not None
    assert json.loads(halted.old) == {"status": "TRADING"}
    assert json.loads(halted.new) == {"status": "HALTED", "reason": "a test"}


@pytest.mark.parametrize("verb", ["post_only", "halt"])
def test_no_other_button_lets_one_person_resume(desk: Desk, operator: Client, verb: str) -> None:
    do(operator, instrument(), "cancel_only")
    answer = do(operator, instrument(), verb)
    if verb == "post_only":
        assert "a second person must approve" in answer.content.decode()
        assert instrument().status == "CANCEL_ONLY"
    else:
        assert said(answer) == [f"{SYMBOL}: CANCEL_ONLY → HALTED"]


def test_a_halt_that_is_on_its_way_counts(desk: Desk, operator: Client) -> None:
    """Who asks for POST_ONLY while a halt waits for its matcher would undo it."""
    sql("UPDATE trading_instrument SET status = 'TRADING'")
    halt = desk.set_status(desk.market.status.HALTED)  # durable, and not sent
    assert PendingCommand.objects.filter(pk=halt.command.id).exists()
    answer = do(operator, instrument(), "post_only")
    assert "a second person must approve" in answer.content.decode()


def test_all_markets_of_a_group(desk: Desk, operator: Client) -> None:
    group = SymbolGroup.objects.get()
    assert said(do(operator, group, "post_only")) == [f"{SYMBOL}: TRADING → POST_ONLY"]
    answer = operator.post(
        reverse("admin:trading_instrument_changelist"),
        {"action": "halt_selected", "_selected_action": [instrument().pk]},
    )
    assert answer["Location"] == page(instrument(), "halt")


# Cancelling


def test_a_trader_is_told_that_the_exchange_cancelled(desk: Desk, operator: Client) -> None:
    user = desk.user(USDT="1000")
    orders = [resting(desk, user), resting(desk, user)]
    assert said(do(operator, order(orders[0]), "cancel_orders")) == ["Open orders cancelled: 1"]
    assert (order(orders[0]).status, order(orders[0]).reason) == ("CANCELLED", "OPERATOR_CANCELLED")
    assert order(orders[1]).status == "OPEN"
    ((message,),) = sql(
        "SELECT message FROM events_outboxevent WHERE topic = 'order.events' ORDER BY id DESC LIMIT 1"
    )
    payload = json.loads(message)["payload"]
    assert (payload["order_id"], payload["reason"]) == (orders[0], "OPERATOR_CANCELLED")
    assert desk.balance(user, "USDT")[1] == 90


def test_a_users_and_a_markets_orders(desk: Desk, operator: Client) -> None:
    alice, bob = desk.user(USDT="1000"), desk.user(USDT="1000")
    mine, theirs = resting(desk, alice), resting(desk, bob)
    do(operator, User.objects.get(pk=alice), "cancel_orders")
    assert (order(mine).status, order(theirs).status) == ("CANCELLED", "OPEN")
    lost = desk.place(alice, "BUY", "1", "90")  # still PENDING, and its command was lost
    do(operator, instrument(), "cancel_orders")
    assert (order(lost.command.id).status, order(theirs).status) == ("CANCELLED", "CANCELLED")


def test_staff_of_an_institution_reach_their_own_orders_alone(desk: Desk) -> None:
    other = Institution.objects.create(code="other", name="Other")
    ours, foreign = signed_in(staff(Role.INSTITUTION_ADMIN, desk.institution)), desk.user(USDT="1000")
    theirs = signed_in(staff(Role.INSTITUTION_ADMIN, other))
    resting_order = resting(desk, foreign)
    assert theirs.get(page(order(resting_order), "cancel_orders")).status_code == 404
    assert said(do(theirs, instrument(), "cancel_orders")) == ["Open orders cancelled: 0"]
    assert order(resting_order).status == "OPEN"
    for verb in ("halt", "resume", "move"):
        assert ours.get(page(instrument(), verb)).status_code == 403
    assert said(do(ours, instrument(), "cancel_orders")) == ["Open orders cancelled: 1"]


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.SUPPORT])
def test_who_only_looks_does_nothing(desk: Desk, role: Role) -> None:
    client = signed_in(staff(role))
    for verb in ("halt", "cancel_only", "post_only", "resume", "move", "cancel_orders"):
        assert client.get(page(instrument(), verb)).status_code == 403


def test_blocking_and_releasing(desk: Desk, operator: Client) -> None:
    user = User.objects.get(pk=desk.user(USDT="1000"))
    assert said(do(operator, user, "block_trading")) == ["Blocked; open orders are cancelled within seconds."]
    assert "blocked already" in do(operator, user, "block_trading").content.decode()
    assert said(do(operator, user, "release_trading")) == ["Released: orders are taken again."]


# Moving


def test_a_market_is_moved_by_a_button(desk: Desk, operator: Client) -> None:
    SymbolGroup.objects.create(name="beta")
    resting(desk, desk.user(USDT="1000"))
    answer = do(operator, instrument(), "move", group="beta")
    (message,) = said(answer)  # no matcher has beta in this test
    assert "is moved, but no matcher of beta has taken it over" in message
    assert instrument().group_id == "beta"
    assert "is in beta already" in do(operator, instrument(), "move", group="beta").content.decode()


# From the shell


def test_commands_restrict_and_ask(desk: Desk) -> None:
    person = staff()
    assert (
        json.loads(run("halt", SYMBOL, "--reason", "a test", "--json", "--dry-run"))[0]["after"] == "HALTED"
    )
    assert instrument().status == "TRADING"
    assert run("post_only", "--group", GROUP, "--reason", "a test") == f"{SYMBOL}: TRADING → POST_ONLY\n"
    assert run("halt", SYMBOL, "--reason", "a test") == f"{SYMBOL}: POST_ONLY → HALTED\n"
    assert refused("post_only", SYMBOL, "--reason", "a test")[0] == 1
    who = ["--by", person.email]
    answer = refused("resume", SYMBOL, "--reason", "a test", *who, "--code", "000000")
    assert answer == (2, "--by and --code: no such person of the staff, or not their code now")
    run("resume", SYMBOL, "--reason", "a test", *who, "--code", totp(person))
    approval = Approval.objects.get()
    assert (approval.requested_by, approval.payload["status"]) == (person, "TRADING")
    assert instrument().status == "HALTED"


def test_commands_cancel(desk: Desk) -> None:
    orders = [resting(desk, desk.user(USDT="1000")) for _ in range(2)]
    assert "would be cancelled" in run("cancel_orders", "--market", SYMBOL, "--reason", "a test", "--dry-run")
    run("cancel_orders", "--order", orders[0], "--reason", "a test")
    found = json.loads(run("cancel_orders", "--institution", "bank", "--reason", "a test", "--json"))
    assert (found["orders"], found["late"]) == (1, 0)
    assert {order(each).status for each in orders} == {"CANCELLED"}


def test_commands_create_and_move(desk: Desk) -> None:
    run("create_asset", "EUR", "--name", "Euro", "--scale", "8")
    terms = ["--tick", "0.01", "--lot", "0.001", "--max-quantity", "100", "--min-notional", "1"]
    run("create_group", "beta")
    run("create_instrument", "BTC/EUR", *terms, "--group", GROUP, "--dry-run")
    assert not Instrument.objects.filter(symbol="BTC/EUR").exists()
    run("create_instrument", "BTC/EUR", *terms, "--group", GROUP)
    assert json.loads(
        run("create_institution", "third", "--name", "Third", "--host", "third.example", "--json")
    )
    moved = json.loads(run("move_market", "BTC/EUR", "beta", "--reason", "a test", "--no-wait", "--json"))
    assert (moved["from_group"], moved["to_group"], moved["orders"]) == (GROUP, "beta", 0)
    actions = ("asset.create", "group.create", "market.create", "institution.create", "market.move")
    assert set(Record.objects.values_list("action", flat=True)) >= set(actions)


WRONG = [
    (["halt", "XRP/USDT", "--reason", "x"], 2, "there are: BTC/USDT"),
    (["halt", "--reason", "x"], 2, "name one market, or a group"),
    (["halt", "--group", "gamma", "--reason", "x"], 2, "there are: alpha"),
    (["halt", SYMBOL, "--reason", " "], 2, "a reason is needed"),
    (["cancel_orders", "--reason", "x"], 2, "say which orders"),
    (["cancel_orders", "--user", "nobody@test.exchange", "--reason", "x"], 2, "there is no user"),
    (["cancel_orders", "--institution", "nobody", "--reason", "x"], 2, "there are: bank"),
    (["create_asset", "BTC", "--name", "Bitcoin", "--scale", "8"], 2, "already exists"),
    (["create_asset", "EUR", "--name", "Euro", "--scale", "19"], 2, "asset_scale_at_most_18"),
    (["create_institution", "bank", "--name", "Bank"], 2, "already exists"),
    (["move_market", SYMBOL, "gamma", "--reason", "x"], 1, "there are: alpha"),
]


def test_a_wrong_argument_is_explained_and_nothing_is_done(desk: Desk) -> None:
    for (command, *arguments), code, text in WRONG:
        found = refused(command, *arguments)
        assert found[0] == code, (command, found)
        assert text in found[1], (command, found)
    steps = ["--lot", "0.001", "--max-quantity", "100", "--min-notional", "1"]
    assert "tick × lot" in refused("create_instrument", "ETH/USDT", "--tick", "0.00000001", *steps)[1]
    assert "no asset 'EUR'" in refused("create_instrument", "ETH/EUR", "--tick", "1", *steps)[1]
    assert not PendingCommand.objects.exists()
    assert Asset.objects.count() == 3


def resting(desk: Desk, user: str) -> str:
    """An order in the book, which the running worker took from the inbox or the stream."""
    envelope = desk.place(user, "BUY", "1", "90")
    stream.send(desk.client, {GROUP: [envelope]})
    eventually(lambda: order(envelope.command.id).status == "OPEN")
    return envelope.command.id


def order(order_id: str) -> Order:
    return Order.objects.get(pk=order_id)

"""All of our commands: their help is whole, bad usage ends with 2, what reads prints one JSON document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand
from pytest_django import DjangoDbBlocker

from exchange.base.env import env
from exchange.operations import command_pages
from exchange.platform.commands.audited import LASTING
from exchange.platform.members import demo_mode
from exchange.platform.members.models import DemoMark
from tests.market import Desk, lasting_desk, sql

# They print nothing for programs: they serve, or set up.
NO_JSON = LASTING | {"up", "prepare", "createsuperuser", "changepassword", "dumpdata", "loaddata"}
READING = [
    ["approvals"],
    ["audit", "--heads"],
    ["audit", "--list"],
    ["audit", "--verify"],
    ["cases", "--list"],
    ["docs", "--check"],
    ["end_of_day", "--dry-run"],
    ["end_of_day", "--public-key"],
    ["groups"],
    ["outbox"],
    ["positions"],
    ["proof_of_solvency", "--dry-run"],
    ["status"],
    ["trial_balance"],
    ["verify"],
]
# What changes data, with arguments under which a dry run has something to say.
DRY = [
    ["candles", "--rebuild"],
    ["demo"],
    ["halt", "BTC/USDT", "--reason", "a test"],
    ["outbox", "--retry"],
    ["partitions"],
    ["positions", "--rebuild", "all"],
    ["surveillance", "--run"],
    ["block", "--institution", "bank", "--reason", "a test"],
    ["create_trader", "new@bank.example", "--institution", "bank"],
]
CHANGING = [
    "adjust", "block", "cancel_only", "cancel_orders", "candles", "cases", "create_asset", "create_group",
    "create_institution", "create_instrument", "create_trader", "create_user", "demo", "dlq", "end_of_day", "erase",
    "halt", "move_market", "outbox", "partitions", "positions", "post_only", "proof_of_solvency", "reconcile_wallet",
    "resume", "retention", "rotate_keys", "second_factor", "surveillance",
]  # fmt: skip


@pytest.fixture(scope="module")
def db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Desk]:
    """A market in which something was traded."""
    with lasting_desk(django_db_blocker) as desk:
        seller, buyer = desk.user(BTC="5"), desk.user(USDT="1000")
        desk.trade(seller, "SELL", "2", "100")
        desk.trade(buyer, "BUY", "1", "100")
        yield desk


def options(command: BaseCommand, name: str) -> dict[str, str | None]:
    """Option or argument by its name, and what its help says."""
    parser = command.create_parser("manage.py", name)
    return {
        (action.option_strings or [action.dest])[-1]: action.help for action in command_pages._own(parser)
    }


def printed(*arguments: str) -> str:
    """Standard output, whatever the outcome; only what ends with 0 or 1 gets here."""
    out = StringIO()
    code: object = 0
    try:
        call_command(*arguments, stdout=out, stderr=StringIO())
    except SystemExit as error:
        code = error.code
    except CommandError as error:
        code = error.returncode if error.returncode == 1 else str(error)
    assert code in (0, 1), arguments
    return out.getvalue()


@pytest.mark.parametrize("name", command_pages.commands())
def test_the_help_is_whole_and_bad_usage_ends_with_2(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = command_pages.load(name)
    assert len(str(command.help)) > 20
    text = command.create_parser("manage.py", name).format_help()
    assert name in text
    found = options(command, name)
    assert [option for option, says in found.items() if not says] == [], "say what they are"
    if name not in NO_JSON:
        assert "--json" in found
    if name in CHANGING:
        assert "--dry-run" in found
    with pytest.raises(SystemExit) as raised:
        command.run_from_argv(["manage.py", name, "--no-such-option"])
    assert raised.value.code == 2
    assert "usage: manage.py" in capsys.readouterr().err


def test_every_command_that_changes_data_is_there() -> None:
    assert set(CHANGING) <= set(command_pages.commands())


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_what_reads_prints_one_json_document_and_changes_nothing(db: Desk, arguments: list[str]) -> None:
    before = state()
    json.loads(printed(*arguments, "--json"))
    printed(*arguments)
    assert state() == before


@pytest.mark.parametrize("arguments", DRY, ids=" ".join)
def test_a_dry_run_changes_nothing(db: Desk, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_mode, "env", env.model_copy(update={"exchange_demo": True}))
    DemoMark.objects.get_or_create(pk=DemoMark.ONLY)
    before = state()
    json.loads(printed(*arguments, "--dry-run", "--json"))
    assert state() == before


def state() -> dict[str, int]:
    """How many rows every table has, but the statistics of planning."""
    names = sql(
        "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind = 'r' ORDER BY 1"
    )
    counts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for (name,) in names)
    return dict(sql(counts))


def test_the_pages_about_commands_are_fresh() -> None:
    assert command_pages.stale(command_pages.FOLDER) == [], "run manage.py docs"


def test_a_page_says_what_the_command_says() -> None:
    page = command_pages.files()["block.md"]
    assert "(--user EMAIL | --institution CODE)" in page and "| `--reason TEXT` |" in page
    assert "| 1 | it was so already |" in page and "Exit code" not in page
    index = command_pages.files()[command_pages.INDEX]
    assert all(f"]({name}.md)" in index for name in command_pages.commands())


@pytest.mark.parametrize(
    ("text", "rest", "codes"),
    [
        ("Do it. Exit code 0: done; 1: not; 2: bad usage.", "Do it.", {0: "done", 1: "not", 2: "bad usage"}),
        ("Do it. Exit code 1 if rows sit there.", "Do it.", {1: "if rows sit there"}),
        ("Do it.", "Do it.", {}),
    ],
)
def test_exit_codes_are_read_from_the_help(text: str, rest: str, codes: dict[int, str]) -> None:
    assert command_pages.exit_codes(text) == (rest, codes)

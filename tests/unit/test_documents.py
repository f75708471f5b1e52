"""The pages say what the code says: variables and their defaults, metrics and their ports; no link leads nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from prometheus_client import Counter, Gauge, Histogram
from pydantic.fields import FieldInfo

from exchange.base import metrics
from exchange.base.env import Environment

ROOT = Path(settings.BASE_DIR)
DOCS = ROOT / "docs"
OWN_INDEX = ("commands", "decisions")  # folders of docs/ with a README.md that lists their pages

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"```.*?```", re.DOTALL)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:")
_PATH = re.compile(r"`((?:exchange|trading|risk|matching|marketdata|tests|docs)/[\w./-]+)`")


def text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def pages() -> list[Path]:
    """Every page of ours; what tools keep here is in folders that begin with a dot."""
    folders = [each for each in ROOT.iterdir() if each.is_dir() and not each.name.startswith(".")]
    found = [*ROOT.glob("*.md"), *(page for folder in folders for page in folder.rglob("*.md"))]
    return sorted(found)


def rows(page: str, first: str) -> Iterator[list[str]]:
    """The cells of the rows of tables whose first cell is a name in backticks that `first` matches."""
    for line in text(page).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("|") and re.fullmatch(f"`{first}`", cells[0]):
            yield [cells[0].strip("`"), *cells[1:]]


def links(page: Path) -> list[str]:
    """Where the page's relative links lead, without the place in the page."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = (target.partition("#")[0] for target in _LINK.findall(prose))
    return [target for target in targets if target and not _ELSEWHERE.match(target)]


def default(field: FieldInfo) -> str:
    """As docs/configuration.md writes it, where the default is a value; empty where it is none."""
    value = field.default
    if value is None or value == "":
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def test_the_variables_are_those_the_settings_read() -> None:
    documented = [name for name, *_ in rows("configuration.md", "[A-Z][A-Z_]+")]
    assert len(documented) == len(set(documented))
    assert set(documented) == {name.upper() for name in Environment.model_fields}


@pytest.mark.parametrize("name", sorted(Environment.model_fields))
def test_each_variable_has_the_default_that_is_documented(name: str) -> None:
    field = Environment.model_fields[name]
    (documented,) = (cells[-1] for cells in rows("configuration.md", name.upper()))
    if field.is_required():
        assert documented == "needed"
    elif value := default(field):
        assert documented == value
    else:
        assert documented and not re.fullmatch("`[^`]*`", documented), "words: what happens without one"


def test_the_metrics_are_those_the_processes_count() -> None:
    declared = {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for each in vars(metrics).values()
        if isinstance(each, Counter | Gauge | Histogram)
        for family in each.describe()
    }
    documented = [cells[:2] for cells in rows("operations.md", "exchange_[a-z_]+")]
    kinds = {name: kind for name, kind in documented if kind in ("counter", "gauge", "histogram")}
    assert kinds == declared
    named = re.findall(r"exchange_[a-z_]+", text("operations.md"))
    assert set(named) <= declared.keys()


def test_the_ports_are_those_the_processes_tell_on() -> None:
    offsets = {value for name, value in vars(metrics).items() if name.endswith("_OFFSET")}
    documented = [int(port) for port in re.findall(r"^\| `\+(\d+)`", text("operations.md"), re.MULTILINE)]
    assert documented == sorted({0, *offsets})


def test_the_index_lists_every_page() -> None:
    index = DOCS / "README.md"
    listed = {(DOCS / target).resolve() for target in links(index)}
    expected = {
        page
        for page in DOCS.rglob("*.md")
        if page != index and (page.parent.name not in OWN_INDEX or page.name == "README.md")
    }
    assert {page for page in listed if page.suffix == ".md" and DOCS in page.parents} == expected


@pytest.mark.parametrize("folder", OWN_INDEX)
def test_a_folder_with_an_index_of_its_own_lists_every_page(folder: str) -> None:
    listed = set(links(DOCS / folder / "README.md"))
    assert {page.name for page in (DOCS / folder).glob("*.md")} - {"README.md"} <= listed


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    assert [target for target in links(page) if not (page.parent / target).exists()] == []


@pytest.mark.parametrize(
    "page", [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name
)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    """A module may be named without its ending."""
    named = _PATH.findall(page.read_text(encoding="utf-8"))
    assert [path for path in named if not ((ROOT / path).exists() or (ROOT / f"{path}.py").exists())] == []


def test_the_first_page_is_one_screen() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 60

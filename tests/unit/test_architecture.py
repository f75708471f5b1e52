"""ARCHITECTURE.md and the decisions say what the code has: its folders, the paths they name; and they stay short."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
ARCHITECTURE = PROJECT / "ARCHITECTURE.md"
DECISIONS = PROJECT / "docs" / "decisions"

PACKAGES = {"exchange", "matching", "risk", "trading", "marketdata"}
TOPS = {*PACKAGES, "templates", "tests", "docs"}
NO_ROOMS = {"migrations", "static", "management"}  # Django's: every package may have them
HEADINGS = ["Context", "Decision", "What follows", "Where", "Checked by"]

_BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FOLDERS = re.compile(r"( *)(\w+/(?: \w+/)*)(?: |$)")
_FILE = re.compile(r"[\w/]+\.\w+")
_QUOTED = re.compile(r"`([\w./]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)#:]+)\)")

pages = sorted(DECISIONS.glob("[0-9]*.md"))


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def section(title: str) -> str:
    """What ARCHITECTURE.md says below a heading."""
    _, _, text = ARCHITECTURE.read_text().partition(f"## {title}")
    assert text, f"ARCHITECTURE.md has no section {title}"
    return text.partition("\n## ")[0]


def tree() -> set[str]:
    """The folders that the tree names, as paths; two spaces a level."""
    (block,) = (each for each in _BLOCK.findall(section("The house")) if each.startswith("exchange/"))
    found: set[str] = set()
    above: list[str] = []
    for line in block.splitlines():
        match = _FOLDERS.match(line)
        assert match, f"no line of a tree: {line}"
        above = above[: len(match[1]) // 2]
        names = match[2].replace("/", "").split()
        found |= {"/".join([*above, name]) for name in names}
        above.append(names[-1])
    return found


def holds_code(folder: Path) -> bool:
    return any(file.stat().st_size for file in folder.rglob("*.py"))


def rooms() -> set[str]:
    """Our packages, and the folders in them that hold code."""
    folders = (folder for package in PACKAGES for folder in (PROJECT / package).iterdir() if folder.is_dir())
    return PACKAGES | {
        folder.relative_to(PROJECT).as_posix()
        for folder in folders
        if folder.name not in NO_ROOMS and holds_code(folder)
    }


def drawn(text: str) -> Iterator[str]:
    """The files that a drawing names: a name without a folder stands in that of the path before it."""
    for block in _BLOCK.findall(text):
        for line in block.splitlines():
            folder = ""
            for name in _FILE.findall(line):
                if name.split("/")[0] in TOPS:
                    folder = name.rpartition("/")[0]
                    yield name
                elif folder:
                    yield f"{folder}/{name}"


def quoted(text: str) -> set[str]:
    """The paths from the project's root that stand in backquotes."""
    return {name for name in _QUOTED.findall(text) if "/" in name and name.split("/")[0] in TOPS}


def missing(paths: set[str]) -> list[str]:
    return sorted(path for path in paths if not (PROJECT / path).exists())


def test_the_tree_names_each_room_and_no_other() -> None:
    named = tree()
    assert {path for path in named if path.count("/") < 2} == rooms()
    assert [path for path in sorted(named) if not holds_code(PROJECT / path)] == []


@pytest.mark.parametrize(
    "package", ["exchange.platform", "trading", "risk", "matching", "marketdata", "exchange"]
)
def test_the_arrows_are_the_contracts(package: str) -> None:
    """A contract of `exchange` has the ground below the roof, which its line leaves out."""
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each.get("containers") == [package])
    if package == "exchange":
        layers = layers[: layers.index("platform")]
    drawn_arrows = " ".join(" ".join(_BLOCK.findall(section("The house"))).split())
    assert " > ".join(layers) in drawn_arrows


def test_the_files_of_the_three_ways_exist() -> None:
    text = section("The three ways")
    found = set(drawn(text)) | quoted(text)
    assert len(found) > 15
    assert missing(found) == []


def test_whatever_one_looks_for_is_where_the_table_says() -> None:
    found = quoted(section("Where do I find"))
    assert len(found) > 20
    assert missing(found) == []


@pytest.mark.parametrize(("page", "most"), [("ARCHITECTURE.md", 150), ("README.md", 60)])
def test_the_first_pages_stay_short(page: str, most: int) -> None:
    assert lines(PROJECT / page) <= most


def test_decisions_are_numbered_and_listed() -> None:
    assert [int(page.name[:3]) for page in pages] == list(range(1, len(pages) + 1))
    assert _LINK.findall((DECISIONS / "README.md").read_text()) == [page.name for page in pages]
    assert "docs/decisions/README.md" in _LINK.findall(ARCHITECTURE.read_text())


@pytest.mark.parametrize("page", pages, ids=lambda page: page.stem)
def test_a_decision_is_short_and_names_what_exists(page: Path) -> None:
    text = page.read_text()
    assert text.startswith(f"# {page.name[:3]} ")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS
    assert lines(page) <= 40
    assert missing(quoted(text)) == []

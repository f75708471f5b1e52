"""Pages about our commands, written from the commands themselves: `docs/commands/*.md`.

A page has what the module says at its head, the command's help, its arguments, and its exit codes. A command says its
exit codes in its help ("Exit code 0: …; 1: …; 2: …"); where it does not, `USUAL` holds.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from textwrap import dedent

from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

OURS = ("exchange", "matching", "risk", "trading", "marketdata")
FOLDER = Path(__file__).resolve().parents[2] / "docs" / "commands"
INDEX = "README.md"
USUAL = {0: "done", 1: "it failed, as the message says", 2: "bad usage; nothing was done"}
# Django's own, which every command has: their help is Django's.
_EVERY = {
    "help",
    "version",
    "verbosity",
    "settings",
    "pythonpath",
    "traceback",
    "no_color",
    "force_color",
    "skip_checks",
}
_EXIT = re.compile(r"\s*Exit codes? (.+?)\.?$", re.DOTALL)
_CODE = re.compile(r"(?:^|[;,]\s*)(?:and )?(\d):?\s+")


@dataclass(frozen=True, slots=True)
class Page:
    name: str
    summary: str
    text: str


def commands() -> dict[str, str]:
    """Ours by name, with the app that each is in."""
    found = get_commands()
    return {name: str(app) for name, app in sorted(found.items()) if str(app).split(".")[0] in OURS}


def load(name: str) -> BaseCommand:
    return load_command_class(commands()[name], name)


def pages() -> list[Page]:
    return [_page(name) for name in commands()]


def files() -> dict[str, str]:
    """What must be in the folder: text by file name."""
    made = pages()
    lines = [
        "# Commands",
        "",
        "What `manage.py` does for operators and bank IT, from the commands' own help (`manage.py docs`).",
        "`manage.py COMMAND --help` says the same. `--json` prints one JSON document; progress and complaints go to",
        "standard error; `--dry-run` changes nothing. Every run is in the audit log.",
        "",
        "| command | |",
        "|---|---|",
        *(f"| [{page.name}]({page.name}.md) | {_cell(page.summary)} |" for page in made),
        "",
    ]
    return {INDEX: "\n".join(lines), **{f"{page.name}.md": page.text for page in made}}


def stale(folder: Path) -> list[str]:
    """Which files of the folder are not what they would be made as: missing, different, or of no command."""
    made = files()
    there = (
        {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
        if folder.is_dir()
        else {}
    )
    return sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    made = files()
    for name in stale(folder):
        if name in made:
            (folder / name).write_text(made[name], encoding="utf-8")
        else:
            (folder / name).unlink()


def exit_codes(text: str) -> tuple[str, dict[int, str]]:
    """A help text without its sentence on exit codes, and what that says."""
    found = _EXIT.search(text)
    if found is None:
        return text.strip(), {}
    parts = _CODE.split(found[1])[1:]
    codes = {
        int(code): says.strip().rstrip(";,.") for code, says in zip(parts[::2], parts[1::2], strict=True)
    }
    return text[: found.start()].strip(), dict(sorted(codes.items()))


def _page(name: str) -> Page:
    command = load(name)
    parser = command.create_parser("manage.py", name)
    summary, of_help = exit_codes(" ".join(str(command.help).split()))
    document = (sys.modules[type(command).__module__].__doc__ or "").strip()
    head, _, rest = document.partition("\n")
    from_head, of_head = exit_codes(rest.strip())
    codes = {**USUAL, **of_head, **of_help}
    lines = [f"# {name}", "", summary, ""]
    if from_head:
        lines += _examples(from_head)
    lines += ["```", *_usage(parser, name), "```", ""]
    rows = list(_arguments(parser))
    if rows:
        lines += ["| argument | |", "|---|---|", *rows, ""]
    lines += [
        "| exit code | |",
        "|---|---|",
        *(f"| {code} | {_cell(says)} |" for code, says in codes.items()),
        "",
    ]
    return Page(name, _first_sentence(summary or head), "\n".join(lines))


def _examples(text: str) -> Iterator[str]:
    """A docstring's rest: what is indented, or begins with manage.py, is code."""
    for is_code, lines in groupby(
        re.split(r"\n{2,}", text), lambda part: part.startswith(("    ", "manage.py"))
    ):
        part = "\n\n".join(lines)
        yield f"```\n{dedent(part)}\n```\n" if is_code else f"{part}\n"


def _usage(parser: argparse.ArgumentParser, name: str) -> Iterator[str]:
    """One argument a line: what argparse prints depends on its version and on the terminal."""
    yield f"manage.py {name}"
    groups = {
        id(action): group for group in parser._mutually_exclusive_groups for action in group._group_actions
    }
    done: set[int] = set()
    for action in _own(parser):
        group = groups.get(id(action))
        if group is None:
            yield f"    {_bracketed(action)}"
        elif id(group) not in done:
            done.add(id(group))
            choices = " | ".join(
                _shape(each) for each in group._group_actions if each.help != argparse.SUPPRESS
            )
            yield f"    ({choices})" if group.required else f"    [{choices}]"


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in _own(parser):
        says = parser._get_formatter()._expand_help(action) if action.help else ""
        if action.choices is not None and action.metavar is None and action.nargs != 0:
            says = f"{says}; one of {', '.join(map(str, action.choices))}".removeprefix("; ")
        if action.required and action.option_strings:
            says = f"{says} (required)".strip()
        yield f"| `{_cell(_shape(action))}` | {_cell(says)} |"


def _own(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Positional ones first."""
    found = [each for each in parser._actions if each.dest not in _EVERY and each.help != argparse.SUPPRESS]
    return sorted(found, key=lambda action: bool(action.option_strings))


def _bracketed(action: argparse.Action) -> str:
    needed = action.required or (not action.option_strings and action.nargs not in ("?", "*"))
    return _shape(action) if needed else f"[{_shape(action)}]"


def _shape(action: argparse.Action) -> str:
    value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if not action.option_strings:
        many = " …" if action.nargs in ("+", "*") else ""
        return f"{value}{many}"
    name = action.option_strings[-1]
    if action.nargs == 0:
        return name
    return f"{name} {value}{' …' if action.nargs in ('+', '*') else ''}"


def _first_sentence(text: str) -> str:
    found = re.match(r".+?\.(?=\s|$)", text, re.DOTALL)
    return (found[0] if found else text).rstrip(".") + "."


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

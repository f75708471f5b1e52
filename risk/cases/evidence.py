"""What an alert rests on, as JSON: lists of rows by name ("orders", "trades" …), and a picture beside them.

Pure. A row is a dict. One with an "id" is known by it, and the latest of it is kept; others are known by all
that they say. A finding that goes on for days must not grow without end: beyond `MOST` rows a list only counts
what it leaves out.
"""

from __future__ import annotations

from typing import Any

import msgspec

MOST = 500  # rows of one list
PICTURE = "picture"
PICTURE_BYTES = 300_000
LEFT_OUT = "left_out"

Evidence = dict[str, Any]


def split(evidence: Evidence) -> tuple[Evidence, str]:
    """The lists, in plain JSON types and cut to `MOST`, and the picture. Raises ValueError for what is
    neither."""
    lists = msgspec.to_builtins(evidence, str_keys=True)
    picture = lists.pop(PICTURE, None) or ""
    if not isinstance(picture, str) or (picture and not picture.lstrip().startswith("<svg")):
        raise ValueError("the picture of an alert is SVG text")
    if len(picture.encode()) > PICTURE_BYTES:
        raise ValueError(f"the picture of an alert has at most {PICTURE_BYTES} bytes")
    for name, rows in lists.items():
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError(f"{name}: evidence is lists of rows, and each row a dict")
    return merge({}, lists), picture


def merge(old: Evidence, new: Evidence) -> Evidence:
    """`old` and what `new` has beyond it, in the order in which the rows came first."""
    left_out = dict(old.get(LEFT_OUT, {}))
    merged: Evidence = {name: rows for name, rows in old.items() if name != LEFT_OUT}
    for name, rows in new.items():
        kept = {_key(row): row for row in merged.get(name, [])}
        for row in rows:
            if _key(row) in kept or len(kept) < MOST:
                kept[_key(row)] = row
            else:
                left_out[name] = left_out.get(name, 0) + 1
        merged[name] = list(kept.values())
    return merged | ({LEFT_OUT: left_out} if left_out else {})


def _key(row: dict[str, Any]) -> bytes:
    """What makes a row the same: its id, or all of it."""
    return msgspec.json.encode(row.get("id", row), order="sorted")

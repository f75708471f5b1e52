"""JSON of an order request into plain values, with nothing lost that a field's error should name.

The standard library's scanner and not msgspec: a name given twice, NaN and 1e400 are to be reported by field, and
this costs one microsecond more an order.
"""

from __future__ import annotations

import json
from typing import Any, Final

from exchange.base.http.problems import Problem


class Twice:
    """Stands for the value of a name that an object has more than once."""


TWICE: Final = Twice()


def load(data: bytes) -> Any:
    """Objects as dicts, every number as a float (none is wanted). Raises Problem 400 for what is not JSON."""
    try:
        return _decoder.decode(data.decode())
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 at byte {error.start}"
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at character {error.pos}"
    except RecursionError:
        reason = "nested too deeply"
    raise Problem(400, "invalid_request", f"The body is not JSON: {reason}.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                found[name] = TWICE
            seen.add(name)
    return found


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_int=float)

"""JSON into msgspec structs. When it does not fit, every wrong field is named, with what would be right.

msgspec stops at the first error. That is what the fast way does; only when it fails is the document walked
once more, field by field, to explain. What a field wants to be is taken from `msgspec.Meta(description=...)`
where it has one, else from its type.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec
from msgspec import inspect

from exchange.base.http.problems import FieldError, Problem

T = TypeVar("T")

MAX_ERRORS = 50

_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])


def decode(data: bytes | msgspec.Raw, type: type[T]) -> T:
    """`data` as a `type`. Raises Problem 400 `invalid_request`.

    Unknown fields are refused where the struct forbids them, which structs of requests should: otherwise a
    misspelt optional field would be ignored.
    """
    decoder = _decoders.get(type)
    if decoder is None:
        decoder = _decoders[type] = msgspec.json.Decoder(type)
    try:
        result: T = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _explain(bytes(data), type, error) from None
    return result


def invalid(fields: list[FieldError]) -> Problem:
    """400 for a request whose form is wrong in `fields` (at least one)."""
    detail = "; ".join(f"{field.field or 'the body'} {field.detail}" for field in fields[:3])
    more = f"; and {len(fields) - 3} more" if len(fields) > 3 else ""
    return Problem(400, "invalid_request", f"{detail}{more}.", fields=fields)


def _explain(data: bytes, type: Any, error: Exception) -> Problem:
    if not data.strip():
        return Problem(400, "invalid_request", f"The body is empty: it must be {wanted(type)}.")
    try:
        found = list(islice(_walk(data, type, ""), MAX_ERRORS))
    except RecursionError:
        return Problem(400, "invalid_request", "The body is nested too deeply.")
    except (msgspec.DecodeError, UnicodeDecodeError) as malformed:
        return Problem(400, "invalid_request", f"The body is not JSON: {malformed}.")
    return invalid(found) if found else Problem(400, "invalid_request", f"The body is wrong: {error}.")


def _walk(data: bytes, type: Any, path: str) -> Iterator[FieldError]:
    inner, first = _container(type), data.lstrip()[:1]
    if get_origin(inner) is list and first == b"[":
        items = _items.decode(data)
        info = _info(type)
        if len(items) < (info.min_length or 0) or len(items) > (info.max_length or len(items)):
            yield FieldError(path, "invalid", f"must be {wanted(type)}, not {len(items)}")
        for index, item in enumerate(items):
            yield from _walk(bytes(item), get_args(inner)[0], f"{path}[{index}]")
    elif isinstance(inner, msgspec.StructMeta) and first == b"{":
        yield from _walk_struct(data, inner, path)
    else:
        yield from _check(data, type, path)


def _walk_struct(data: bytes, struct: Any, path: str) -> Iterator[FieldError]:
    given = _fields.decode(data)
    prefix = f"{path}." if path else ""
    known = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    for name, field in known.items():
        if name in given:
            yield from _walk(bytes(given[name]), field.type, prefix + name)
        elif field.required:
            yield FieldError(prefix + name, "missing", f"is missing: it must be {wanted(field.type)}")
    if struct.__struct_config__.forbid_unknown_fields:
        for name in given.keys() - known.keys():
            yield FieldError(
                prefix + name[:100], "unknown", f"is not known: the fields are {', '.join(known)}"
            )


def _check(data: bytes, type: Any, path: str) -> Iterator[FieldError]:
    try:
        msgspec.json.decode(data, type=type)
    except msgspec.ValidationError:
        yield FieldError(path, "invalid", f"must be {wanted(type)}, not {_given(data)}")


def _container(type: Any) -> Any:
    """The list or struct that `type` is, without Annotated and `| None`; else `type`."""
    if get_origin(type) is Annotated:
        return _container(get_args(type)[0])
    parts = [part for part in get_args(type) if part is not _NONE] if _NONE in get_args(type) else []
    return _container(parts[0]) if len(parts) == 1 else type


_NONE = type(None)


def _info(type: Any) -> Any:
    info: Any = inspect.type_info(type)
    while isinstance(info, inspect.Metadata):
        info = info.type
    return info


def _given(data: bytes) -> str:
    text = data.strip()
    if text[:1] in (b"{", b"["):
        return "an object" if text[:1] == b"{" else "a list"
    shown = text.decode(errors="replace")[:40]
    return f"the number {shown}" if text[:1] in b"-0123456789" else shown


def wanted(type: Any) -> str:
    """What a value of `type` is, in words."""
    return _words(inspect.type_info(type))


def _words(info: Any) -> str:
    match info:
        case inspect.Metadata(type=inner, extra_json_schema=extra):
            return (extra or {}).get("description") or _words(inner)
        case inspect.UnionType(types=parts):
            return " or ".join(_words(part) for part in parts)
        case inspect.EnumType(cls=cls):
            return f"one of {', '.join(str(member.value) for member in cls)}"
        case inspect.LiteralType(values=values):
            return f"one of {', '.join(map(str, values))}"
        case inspect.StrType(min_length=low, max_length=high, pattern=pattern):
            return f"a string{_span(low, high, ' characters')}" + (f" matching {pattern}" if pattern else "")
        case inspect.IntType(ge=low, le=high):
            return f"a whole number{_span(low, high, '')}"
        case inspect.ListType(min_length=low, max_length=high):
            return f"a list{_span(low, high, ' items')}"
        case inspect.BoolType():
            return "true or false"
        case inspect.NoneType():
            return "null"
        case inspect.StructType(fields=fields):
            return f"an object with {', '.join(field.encode_name for field in fields if field.required)}"
    return f"of type {type(info).__name__.removesuffix('Type').lower()}"


def _span(low: int | None, high: int | None, unit: str) -> str:
    if low is None and high is None:
        return ""
    if high is None:
        return f" of at least {low}{unit}"
    if low is None:
        return f" of at most {high}{unit}"
    return f" of {low} to {high}{unit}"

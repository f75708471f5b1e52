"""Problems, the decoder that names every wrong field, and the two caches of pure memory behind the API."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from exchange.base.bounded_cache import Recent
from exchange.base.http import json_decoding, openapi
from exchange.base.http.problems import FieldError, Problem
from exchange.platform.members.rate_limit import Allowance, LocalBuckets, headers, refusal


class Leg(msgspec.Struct, forbid_unknown_fields=True):
    quantity: Annotated[str, Meta(max_length=5, description="a decimal as a string")]
    side: Literal["BUY", "SELL"]
    note: str | None = None


class Request(msgspec.Struct, forbid_unknown_fields=True):
    legs: Annotated[list[Leg], Meta(min_length=1, max_length=3)]
    count: Annotated[int, Meta(ge=1, le=9)] = 1


def wrong(data: bytes) -> Problem:
    with pytest.raises(Problem) as raised:
        json_decoding.decode(data, Request)
    assert (raised.value.status, raised.value.code) == (400, "invalid_request")
    return raised.value


def test_a_problem_is_rfc_9457() -> None:
    problem = Problem(
        409, "duplicate_order", "There is one.", fields=[FieldError("a", "b", "c")], extra={"order": 1}
    )
    response = problem.response("trace-1")
    assert response.status_code == 409
    assert response["Content-Type"] == "application/problem+json"
    assert json.loads(response.content) == {
        "type": "urn:problem:duplicate_order",
        "title": "Duplicate order",
        "status": 409,
        "code": "duplicate_order",
        "detail": "There is one.",
        "trace_id": "trace-1",
        "errors": [{"field": "a", "code": "b", "detail": "c"}],
        "order": 1,
    }


def test_what_fits_is_decoded() -> None:
    request = json_decoding.decode(b'{"legs": [{"quantity": "1.5", "side": "BUY"}]}', Request)
    assert request == Request([Leg("1.5", "BUY")])


def test_every_wrong_field_is_named_with_what_would_be_right() -> None:
    problem = wrong(
        b'{"legs": [{"quantity": 1.5, "side": "HOLD", "x": 1}, {"side": "BUY"}, 7],'
        b' "count": 10, "extra": null}'
    )
    assert {(error.field, error.code) for error in problem.fields} == {
        ("legs[0].quantity", "invalid"),
        ("legs[0].side", "invalid"),
        ("legs[0].x", "unknown"),
        ("legs[1].quantity", "missing"),
        ("legs[2]", "invalid"),
        ("count", "invalid"),
        ("extra", "unknown"),
    }
    details = {error.field: error.detail for error in problem.fields}
    assert details["legs[0].quantity"] == "must be a decimal as a string, not the number 1.5"
    assert details["legs[0].side"] == 'must be one of BUY, SELL, not "HOLD"'
    assert details["count"] == "must be a whole number of 1 to 9, not the number 10"
    assert details["legs[0].x"] == "is not known: the fields are quantity, side, note"


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"[]", "must be an object with legs, not a list"),
        (b"null", "must be an object with legs, not null"),
        (b'{"legs": [}', "is not JSON"),
        (b'{"legs": NaN}', "is not JSON"),
        (b'{"legs": [{"quantity": "\xff", "side": "BUY"}]}', "is not JSON"),
        (b'{"legs": 1e400}', "must be a list of 1 to 3 items, not the number 1e400"),
        (b'{"legs": []}', "must be a list of 1 to 3 items, not 0"),
        (b'{"legs": [' + b"{}," * 4 + b"{}]}", "not 5"),
        (b'{"legs": ' * 100_000, "nested too deeply"),
        (b"[" * 100_000, ""),
    ],
)
def test_what_is_no_request_at_all_is_said_plainly(data: bytes, detail: str) -> None:
    assert detail in wrong(data).detail


def test_a_long_list_of_errors_is_cut() -> None:
    problem = wrong(
        b'{"legs": [{"quantity": "1", "side": "BUY"}], '
        + b",".join(b'"x%d": 1' % n for n in range(500))
        + b"}"
    )
    assert len(problem.fields) == json_decoding.MAX_ERRORS
    assert problem.detail.endswith("and 47 more.")


def test_structs_become_components_of_the_document() -> None:
    assert openapi.component(Request) == {"$ref": "#/components/schemas/Request"}
    openapi.problems(404)
    document = openapi.add_components({}, None, None, True)
    assert document["components"]["schemas"]["Leg"]["properties"]["side"] == {"enum": ["BUY", "SELL"]}
    assert document["components"]["schemas"]["ProblemBody"]["required"][0] == "type"


def test_recent_keeps_what_is_used_and_never_more_than_its_size() -> None:
    recent: Recent[int, str] = Recent(10)
    for number in range(100):
        recent.put(number, str(number))
        assert recent.get(0) == "0"
        assert len(recent) <= 10
    assert recent.get(99) == "99"
    assert recent.get(50) is None
    recent.drop(99)
    assert recent.get(99) is None


def test_a_local_bucket_gives_its_limit_at_once_and_then_refuses() -> None:
    buckets = LocalBuckets()
    assert all(buckets.take("a", 0.1, 1.0)[0] for _ in range(10))
    taken, until_full = buckets.take("a", 0.1, 1.0)
    assert not taken
    assert 0.9 < until_full <= 1.0
    assert buckets.take("b", 1.0, 1.0)[0]


def test_a_refusal_says_when_or_how_many() -> None:
    later = refusal(Allowance(False, 10, 3, 1, 1), 4)
    assert (later.status, later.code, later.headers["Retry-After"]) == (429, "rate_limited", "1")
    never = refusal(Allowance(False, 10, 10, 0, 4), 50)
    assert (never.status, never.code) == (429, "batch_above_rate")
    assert "at most 10" in never.detail


def test_rate_limit_fields_follow_the_draft() -> None:
    assert headers(Allowance(True, 10, 7, 1, 1)) == {
        "RateLimit-Policy": '"orders";q=10;w=1',
        "RateLimit": '"orders";r=7;t=1',
    }

"""TradingView's Universal Data Feed, below /udf/: what `marketdata.api.udf_answers` says, over HTTP.

A refusal is a problem as everywhere, with the `s` and `errmsg` beside it that the charting library looks for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from msgspec import UNSET, UnsetType

from exchange.base.http.openapi import ProblemBody, answers, component, list_of
from exchange.base.http.problems import CONTENT_TYPE, Problem
from exchange.base.http.query_string import Query
from exchange.platform.members import branding
from exchange.platform.rest.view import ApiRequest, ApiView, answer
from marketdata.api import parameters, udf_answers
from marketdata.models import markets
from marketdata.models.markets import Market

FOUND, MOST_FOUND = 30, 100
MOST_ASKED = 999_999  # bars; at most udf.MOST_BARS are given
RESOLUTION_NAMES = {**{name: name for name in udf_answers.RESOLUTIONS}, "D": "1D"}
OF_NO_USE = (
    "currencyCode",
    "unitId",
)  # sent by the library where a chart knows of several currencies or units

_SECONDS = {"type": "integer", "minimum": -9_999_999_999, "maximum": 9_999_999_999}
SYMBOL = OpenApiParameter(
    "symbol",
    str,
    required=True,
    description="BTC/USDT or BTC-USDT, also behind an exchange and a colon",
    examples=[OpenApiExample("BTC/USDT", value="BTC/USDT")],
)
HISTORY = [
    SYMBOL,
    OpenApiParameter(
        "resolution",
        {"type": "string", "enum": list(RESOLUTION_NAMES)},
        required=True,
        description="in minutes, or a day",
        examples=[OpenApiExample("1", value="1")],
    ),
    OpenApiParameter("from", _SECONDS, required=True, description="seconds since 1970, included"),
    OpenApiParameter("to", _SECONDS, required=True, description="seconds since 1970, not included"),
    OpenApiParameter(
        "countback",
        {"type": "integer", "minimum": 1, "maximum": MOST_ASKED},
        description=f"bars before `to`, whatever `from` says; at most {udf_answers.MOST_BARS} are given",
    ),
]
SEARCH = [
    OpenApiParameter("query", str, description="part of a symbol"),
    OpenApiParameter("type", str, description=f"{udf_answers.KIND}, or empty for all"),
    OpenApiParameter("exchange", str, description="there is one only"),
    parameters.limit_parameter(FOUND, MOST_FOUND, "symbols"),
]


class UdfProblem(ProblemBody):
    """`s` and `errmsg` are the protocol's own words for it."""

    s: str | UnsetType = UNSET
    errmsg: str | UnsetType = UNSET


def _problems(*statuses: int) -> dict[Any, Any]:
    response = OpenApiResponse(response=component(UdfProblem), description="Refused")
    return {(str(status), CONTENT_TYPE): response for status in statuses}


class ConfigView(ApiView):
    @extend_schema(
        operation_id="udfConfig",
        summary="What this data feed can do",
        tags=["TradingView"],
        responses={200: answers(udf_answers.UdfConfig, "The configuration"), **_problems(400)},
    )
    def get(self, request: ApiRequest) -> HttpResponse:
        with _told_to_the_library():
            Query(request).check()
            return answer(udf_answers.config(_venue(request)))


class SymbolsView(ApiView):
    @extend_schema(
        operation_id="udfSymbol",
        summary="One market",
        tags=["TradingView"],
        parameters=[SYMBOL],
        responses={200: answers(udf_answers.UdfSymbol, "The market"), **_problems(400, 404)},
    )
    def get(self, request: ApiRequest) -> HttpResponse:
        with _told_to_the_library():
            query = Query(request)
            symbol = _symbol(query)
            _check(query)
            return answer(udf_answers.symbol(_market(symbol), _venue(request)))


class SearchView(ApiView):
    @extend_schema(
        operation_id="udfSearch",
        summary="Markets by a part of their symbol",
        tags=["TradingView"],
        parameters=SEARCH,
        responses={200: answers(list_of(udf_answers.UdfFound), "Markets"), **_problems(400)},
    )
    def get(self, request: ApiRequest) -> HttpResponse:
        with _told_to_the_library():
            query = Query(request)
            text, kind, limit = query.text("query"), query.text("type"), query.limit(FOUND, MOST_FOUND)
            query.text("exchange")
            _check(query)
            known = markets.markets() if kind in (None, "", udf_answers.KIND) else []
            return answer(udf_answers.search(known, text or "", _venue(request), limit))


class HistoryView(ApiView):
    @extend_schema(
        operation_id="udfHistory",
        summary="Bars of a market",
        tags=["TradingView"],
        parameters=HISTORY,
        responses={200: answers(udf_answers.UdfHistory, "Bars, oldest first"), **_problems(400, 404)},
    )
    def get(self, request: ApiRequest) -> HttpResponse:
        with _told_to_the_library():
            query = Query(request)
            symbol, resolution = _symbol(query), _resolution(query)
            since, until = query.seconds("from", required=True), query.seconds("to", required=True)
            count = query.count("countback", MOST_ASKED)
            _check(query)
            assert since and until
            found = udf_answers.history(
                symbol, resolution, since, until, count and min(count, udf_answers.MOST_BARS)
            )
            if found is None:
                raise parameters.not_found()
            return answer(found)


class TimeView(ApiView):
    @extend_schema(
        operation_id="udfTime",
        summary="The server's time, in seconds since 1970",
        tags=["TradingView"],
        responses={
            (200, "text/plain"): OpenApiResponse(response={"type": "string"}, description="Seconds"),
            **_problems(400),
        },
    )
    def get(self, request: ApiRequest) -> HttpResponse:
        with _told_to_the_library():
            Query(request).check()
            return HttpResponse(str(int(time.time())), content_type="text/plain")


@contextmanager
def _told_to_the_library() -> Iterator[None]:
    try:
        yield
    except Problem as problem:
        problem.extra |= {"s": "error", "errmsg": problem.detail}
        raise


def _check(query: Query) -> None:
    for name in OF_NO_USE:
        query.text(name)
    query.check()


def _symbol(query: Query) -> str:
    text = query.text("symbol")
    if not text:
        query.wrong("symbol", "must be a symbol such as BTC/USDT", "missing")
        return ""
    return text.rpartition(":")[2].replace("-", "/")


def _resolution(query: Query) -> str:
    text = query.text("resolution")
    if text in RESOLUTION_NAMES:
        return RESOLUTION_NAMES[text]
    code = "missing" if text is None else "invalid"
    query.wrong("resolution", f"must be one of {', '.join(RESOLUTION_NAMES)}", code)
    return "1"


def _market(symbol: str) -> Market:
    found = markets.market(symbol)
    if found is None:
        raise parameters.not_found()
    return found


def _venue(request: HttpRequest) -> str:
    """The name of the institution at whose host we are asked; a host that is none of ours has none."""
    return branding.of_host(request.META.get("HTTP_HOST", "").partition(":")[0]).name

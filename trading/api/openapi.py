"""What the trading API adds to the OpenAPI document."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from exchange.base.http.openapi import component
from exchange.base.http.problems import CONTENT_TYPE
from trading.api.bodies import OrderProblem

OPTIONAL_SIGN_IN: Any = [{}, {"bearer": []}, {"apiKey": []}]  # as an operation's `auth`

_COUNTED = [200, 201, 202, 429]
RATE_FIELDS = [
    OpenApiParameter(name, str, OpenApiParameter.HEADER, description=description, response=statuses)
    for name, description, statuses in (
        ("RateLimit-Policy", "your order rate: `q` orders in `w` seconds", _COUNTED),
        ("RateLimit", "`r` orders are left now, all are back in `t` seconds", _COUNTED),
        ("Retry-After", "seconds to wait", [429]),
    )
]

ABOUT = {
    400: "Wrong in form: `errors` names every field and what would be right",
    404: "You have no order with this id",
    409: "In conflict with what is there: the client_order_id is taken, or the order is no longer open",
    422: "Rejected: `code` says why, `order` is the order as it is stored",
    429: "Above your order rate: `Retry-After` says when to try again",
}


def order_problems(*statuses: int) -> dict[Any, Any]:
    """Responses of these statuses: problems, which may come with the order they are about."""
    return {
        (str(status), CONTENT_TYPE): OpenApiResponse(
            response=component(OrderProblem), description=ABOUT.get(status, HTTPStatus(status).phrase)
        )
        for status in statuses
    }

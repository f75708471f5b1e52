"""What the trading API adds to the OpenAPI document."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import OpenApiResponse

from exchange.errors import CONTENT_TYPE
from exchange.schema import component
from trading.api.shapes import OrderProblem

OPTIONAL_SIGN_IN: Any = [{}, {"bearer": []}]  # as an operation's `auth`

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

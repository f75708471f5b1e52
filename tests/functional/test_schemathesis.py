"""The API keeps to its OpenAPI document, whatever is sent: no 5xx, no status and no body it does not name."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import schemathesis
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.functional.live import Live, Trader

CHECKS: list[CheckFunction] = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]

document = json.loads(msgspec.json.encode(SchemaGenerator().get_schema(request=None, public=True)))
schema = schemathesis.openapi.from_dict(document)


def test_the_document_is_what_is_served(live: Live) -> None:
    assert live.public.get(f"{live.host}/api/schema").json() == document


@schema.parametrize()
@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_an_operation_keeps_to_the_document(case: Any, live: Live, someone: Trader) -> None:
    checks = list(CHECKS)
    if case.operation.path != "/api/v1/orders/batch":  # where each order is refused on its own
        checks.append(negative_data_rejection)
    headers = {"Authorization": f"Bearer {someone.token}"}
    case.call_and_validate(base_url=live.host, headers=headers, checks=checks)

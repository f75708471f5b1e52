"""OpenAPI 3.1 for views that read and write msgspec structs.

`component(Struct)` is what `@extend_schema` takes for a request or a response; the struct's JSON schema goes
into the document's components through `add_components`, a post-processing hook of drf-spectacular.
`ApiSchema` adds what all views have in common: the bearer token and the problems that any of them may answer.

    @extend_schema(request=json(NewOrder), responses={201: json(OrderView), **problems(409, 422, 429)})
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse

from exchange.base.http.problems import CONTENT_TYPE, FieldError

SIGNING = (
    "A request that is signed with an API key: X-API-Key has the key's id, and X-API-Timestamp, X-API-Window and "
    "X-API-Signature come with it. What is signed, with examples and a client: docs/api_keys.md."
)

_TEMPLATE = "#/components/schemas/{name}"
_registered: dict[str, Any] = {}


class ProblemBody(msgspec.Struct, rename={"kind": "type"}):
    """RFC 9457; `code` is stable and meant for programs, `errors` names the fields of a wrong request."""

    kind: str
    title: str
    status: int
    code: str
    detail: str
    trace_id: str
    errors: list[FieldError] | msgspec.UnsetType = msgspec.UNSET


def component(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """A reference to `struct`'s schema, which will be in the document."""
    known = _registered.setdefault(struct.__name__, struct)
    assert known is struct, f"two structs are named {struct.__name__}"
    return {"$ref": _TEMPLATE.format(name=struct.__name__)}


def json(schema: type[msgspec.Struct] | dict[str, Any]) -> dict[Any, Any]:
    """A JSON request body: of a struct, or of a schema written out."""
    return {"application/json": component(schema) if isinstance(schema, type) else schema}


def answers(schema: type[msgspec.Struct] | dict[str, Any], description: str) -> OpenApiResponse:
    """A JSON response: of a struct, or of a schema written out."""
    content = component(schema) if isinstance(schema, type) else schema
    return OpenApiResponse(response=content, description=description)


def list_of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The schema of a list of `struct`."""
    return {"type": "array", "items": component(struct)}


def problems(*statuses: int) -> dict[Any, Any]:
    """Responses of these statuses, as problems."""
    return {
        (str(status), CONTENT_TYPE): OpenApiResponse(
            response=component(ProblemBody), description=HTTPStatus(status).phrase
        )
        for status in statuses
    }


class ApiSchema(AutoSchema):
    """Adds to each operation what its view's base does: sign-in, and the problems of any request."""

    def get_auth(self) -> list[dict[str, list[str]]]:
        if not getattr(self.view, "permission", None):
            return [{}]
        return (
            [{"bearer": []}, {"apiKey": []}] if getattr(self.view, "keys_allowed", True) else [{"bearer": []}]
        )

    def get_description(self) -> str:  # type: ignore[override]
        """The handler's docstring; a view's own is about its code."""
        return str(getattr(getattr(self.view, self.method.lower(), None), "__doc__", None) or "")

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        common = [503]
        if getattr(self.view, "permission", None):
            common += [401, 403]
        if "requestBody" in operation:
            operation["requestBody"]["required"] = True
            common += [400, 411, 413, 415]
        for status in common:
            operation["responses"].setdefault(
                str(status),
                {
                    "description": HTTPStatus(status).phrase,
                    "content": {CONTENT_TYPE: {"schema": component(ProblemBody)}},
                },
            )
        operation["responses"] = dict(sorted(operation["responses"].items()))
        return operation


def add_components(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Puts the schemas of all registered structs, and of those inside them, into the document."""
    _, schemas = msgspec.json.schema_components(_registered.values(), ref_template=_TEMPLATE)
    components = result.setdefault("components", {})
    components["schemas"] = dict(sorted((components.get("schemas", {}) | schemas).items()))
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": SIGNING},
    }
    return result

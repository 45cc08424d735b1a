"""What Chatwoot's requests and answers look like: the file in specs/, and the few calls that it does not have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from openapi_core import OpenAPI

SPEC = Path(__file__).parent.parent / "specs" / "chatwoot-openapi-subset.json"

_OBJECT = {"type": "object"}
_LIST = {"type": "object", "required": ["payload"]}


def _operation(answer: dict[str, Any], body: dict[str, Any] | None = None) -> dict[str, Any]:
    error = {"$ref": "#/components/schemas/error"}
    answers = {"200": answer, "401": error, "404": error, "422": error}
    found: dict[str, Any] = {
        "security": [{"userApiKey": []}],
        "responses": {
            status: {"description": status, "content": {"application/json": {"schema": schema}}}
            for status, schema in answers.items()
        },
    }
    if body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return found


def _path(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "integer"}} for name in names]


# What the file in specs/ does not have, from the swagger files and controllers of the server: profile,
# custom_attribute_definitions, webhooks (index), contacts (show, conversations).
MORE = {
    "/api/v1/profile": {"get": _operation({**_OBJECT, "required": ["id", "accounts"]})},
    "/api/v1/accounts/{account_id}/webhooks": {"get": _operation(_LIST)},
    "/api/v1/accounts/{account_id}/contacts/{contact_id}": {
        "get": _operation(_LIST), "patch": _operation(_OBJECT, _OBJECT),
    },
    "/api/v1/accounts/{account_id}/contacts/{contact_id}/conversations": {
        "parameters": _path("account_id", "contact_id"), "get": _operation(_LIST),
    },
    "/api/v1/accounts/{account_id}/custom_attribute_definitions": {
        "parameters": _path("account_id"), "get": _operation({"type": "array"}),
        "post": _operation(_OBJECT, {
            "type": "object", "required": ["attribute_display_name", "attribute_key", "attribute_model"],
            "properties": {"attribute_display_name": {"type": "string"}, "attribute_key": {"type": "string"},
                           "attribute_description": {"type": "string"},
                           "attribute_display_type": {"type": "integer"}, "attribute_model": {"enum": [0, 1]}},
        }),
    },
}  # fmt: skip


def contract(base: str) -> OpenAPI:
    """The spec, for the server at `base`."""
    spec = json.loads(SPEC.read_text(encoding="utf-8"))
    spec["servers"] = [{"url": base}]
    for path, item in MORE.items():
        spec["paths"].setdefault(path, {}).update(item)
    return OpenAPI.from_dict(spec)

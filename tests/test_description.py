"""The description is whole: every call of the contract, what it answers, every error, and examples that fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest

from desk import Desk

PROMISED = """
GET /v1/products · POST /v1/customers · GET /v1/customers · GET /v1/customers/{customer} · PATCH /v1/customers/{customer}
POST /v1/customers/{customer}/merge · POST /v1/checkouts · GET /v1/orders · GET /v1/orders/{order}
POST /v1/orders/{order}/cancel · POST /v1/payments · GET /v1/payments · GET /v1/payments/{payment}
POST /v1/payments/{payment}/cancel · POST /v1/payments/{payment}/capture · POST /v1/refunds · GET /v1/refunds
GET /v1/refunds/{refund} · GET /v1/disputes · GET /v1/disputes/{dispute} · POST /v1/subscriptions · GET /v1/subscriptions
GET /v1/subscriptions/{subscription} · PATCH /v1/subscriptions/{subscription} · DELETE /v1/subscriptions/{subscription}
POST /v1/portal · GET /v1/customers/{customer}/credits · POST /v1/customers/{customer}/credits/spend
POST /v1/customers/{customer}/credits/grant · POST /v1/customers/{customer}/credits/hold · POST /v1/holds/{hold}/settle
POST /v1/holds/{hold}/release · GET /v1/holds · GET /v1/holds/{hold} · GET /v1/customers/{customer}/access
GET /v1/customers/{customer}/ledger · GET /v1/customers/{customer}/timeline · GET /v1/events · GET /v1/events/{event}
POST /v1/events/{event}/replay · GET /v1/deliveries · GET /v1/deliveries/{delivery} · POST /v1/deliveries/{delivery}/retry
GET /v1/status · POST /v1/chat · GET /v1/chat/messages · GET /v1/stats
"""


@pytest.fixture(scope="module")
def described(desk: Desk) -> dict[str, Any]:
    return dict(httpx.get(f"{desk.url}/openapi.json").json())


def every(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, calls in described["paths"].items():
        for method, call in calls.items():
            yield f"{method.upper()} {path}", call


def native(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, call in every(described):
        if " /v1/" in name:
            yield name, call


def test_every_call_that_is_promised_is_there(described: dict[str, Any]) -> None:
    promised = [line.strip() for line in PROMISED.replace("\n", "·").split("·") if line.strip()]
    assert set(promised) - {name for name, _ in native(described)} == set()
    assert len(promised) > 40


def test_every_call_says_what_it_answers_and_which_key_it_needs(described: dict[str, Any], desk: Desk) -> None:
    assert described["servers"] == [{"url": desk.url}]
    for name, call in native(described):
        done = next(one for status, one in call["responses"].items() if status.startswith("2"))
        schema = done["content"]["application/json"]["schema"]
        assert "$ref" in schema, f"{name}: what it answers stands in description.RESULTS"
        assert {"400", "401", "403", "429", "503"} <= set(call["responses"]), name
        assert call["operationId"].isidentifier(), name
        assert call["security"] == [{"key": []}], name
        takes_key = "Idempotency-Key" in {one["name"] for one in call.get("parameters", ())}
        assert takes_key or name.startswith(("GET ", "DELETE /v1/customers/")), name
    assert described["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert "HTTPValidationError" not in described["components"]["schemas"]


def test_documented_paths_are_described_as_whole(described: dict[str, Any]) -> None:
    for name, call in every(described):
        status, done = next(one for one in call["responses"].items() if one[0].startswith("2"))
        assert call["security"] == [{"key": []}], name
        assert "example" in done["content"]["application/json"], name
        assert {"Request-Id", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"} <= done["headers"].keys(), (
            name
        )
        takes_key = "Idempotency-Key" in {one["name"] for one in call.get("parameters", ())}
        assert ("Idempotent-Replayed" in done["headers"]) == takes_key, (name, status)
    assert len([*every(described)]) - len([*native(described)]) == 18


def test_every_example_fits_its_schema(described: dict[str, Any]) -> None:
    looked = 0
    for name, call in every(described):
        parts = [
            call.get("requestBody", {}),
            *call["responses"].values(),
            *described["components"]["responses"].values(),
        ]
        for part in parts:
            for content in part.get("content", {}).values():
                schema = {**content["schema"], "components": described["components"]}
                errors = [
                    one.message for one in jsonschema.Draft202012Validator(schema).iter_errors(content["example"])
                ]
                assert errors == [], name
                looked += 1
    assert looked > 100


def test_the_reference_shows_what_is_answered_without_a_network(desk: Desk) -> None:
    page = httpx.get(f"{desk.url}/docs").text
    for shown in (
        "PATCH",
        "/v1/disputes/{dispute}",
        "ending_before",
        "stripe_not_configured",
        "cst_3k9w1v7mq2c8n4x6t0b5h1j7de",
    ):
        assert shown in page
    assert "cdn" not in page.lower()

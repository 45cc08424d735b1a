"""Every call of the API, with what its description allows and with what it does not: nothing breaks, and what is answered
is what the description says.

`PAYDESK_EXAMPLES` says how many requests of each kind every call gets.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from conftest import settings_for
from desk import Desk, running_desk
from sandbox_fixtures import Sandbox

EXAMPLES = int(os.environ.get("PAYDESK_EXAMPLES", "4"))
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip


@pytest.fixture(scope="module")
def fuzzed(new_database: Callable[[], str], stripe_sandbox: Sandbox) -> Iterator[Desk]:
    """A desk of its own whose workers rest: nothing is sent to the addresses that are made up here."""
    settings = settings_for(new_database(), stripe_sandbox.url)
    with running_desk(settings, stripe_sandbox, "--no-work", webhooks=False) as running:
        yield running


@pytest.fixture(scope="module")
def known(fuzzed: Desk) -> dict[str, str]:
    """Things that exist, by the name that parameters give them."""
    buyer = fuzzed.buyer("telegram")
    body = {"customer": buyer.who, "amount": 2000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    payment = fuzzed.post("/v1/payments", body)
    person = f"/v1/customers/{payment['customer']}"
    fuzzed.post(f"{person}/credits/grant", {"amount": 100_000})
    fuzzed.post("/v1/webhook_endpoints", {"url": "https://example.com/hook"})
    return {
        "customer": payment["customer"],
        "order": buyer.checkout("credits-10")["id"],
        "payment": payment["id"],
        "refund": fuzzed.post("/v1/refunds", {"payment": payment["id"], "amount": 500})["id"],
        "hold": fuzzed.post(f"{person}/credits/hold", {"amount": 5})["id"],
        "event": fuzzed.get("/v1/events")["data"][0]["id"],
        "endpoint": fuzzed.get("/v1/webhook_endpoints")["data"][0]["id"],
        "delivery": "1",
        "product": "credits-10",
        "price": "credits-10",
        "feature": "premium",
        "channel": "telegram",
        "external_id": str(buyer.external_id),
        "unit": "credits",
    }


def with_known(case: Case, known: dict[str, str], chosen: int) -> Case:
    """The case, of whose parameters those that `chosen` has bits for name what exists."""
    places = [case.path_parameters, case.query, case.body if isinstance(case.body, dict) else {}]
    names = [(place, name) for place in places for name in sorted(place or {}) if name in known]
    for bit, (place, name) in enumerate(names):
        if chosen >> bit & 1:
            place[name] = known[name]
    return case


ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
OPEN = ("Grant", "Step")
"""Things that have more fields than they all have in common."""


def undescribed(schemas: dict[str, Any], schema: dict[str, Any], value: Any, place: str) -> Iterator[str]:
    """Where an answer has fields that its description has not."""
    name = schema.get("$ref", "").rpartition("/")[2]
    schema = schemas[name] if name else schema
    if "anyOf" in schema and value is not None:
        schema = next(one for one in schema["anyOf"] if one.get("type") != "null")
        yield from undescribed(schemas, schema, value, place)
    elif isinstance(value, list):
        for one in value:
            yield from undescribed(schemas, schema.get("items", {}), one, f"{place}[]")
    elif isinstance(value, dict) and "properties" in schema and name not in OPEN:
        for field, inner in value.items():
            if field not in schema["properties"]:
                yield f"{place}.{field}"
            else:
                yield from undescribed(schemas, schema["properties"][field], inner, f"{place}.{field}")


def tried(case: Case, desk: Desk, counted: Counter[str]) -> None:
    """One request, and every check of what is answered."""
    answer = case.call(base_url=desk.url, headers={"Authorization": f"Bearer {desk.key}"}, timeout=30)
    counted[f"{answer.status_code // 100}xx"] += 1
    case.validate_response(answer, checks=CHECKS)
    schemas = case.operation.schema.raw_schema["components"]["schemas"]
    told = case.operation.definition.raw["responses"][str(answer.status_code)].get("content", ERROR)["application/json"]
    assert [*undescribed(schemas, told["schema"], answer.json(), case.operation.label)] == []


def test_every_call_keeps_its_description_whatever_is_sent(
    fuzzed: Desk, known: dict[str, str], record_property: Callable[[str, object], None]
) -> None:
    schema = schemathesis.openapi.from_url(f"{fuzzed.url}/openapi.json")
    counted: Counter[str] = Counter()
    wrong: dict[str, str] = {}
    calls = [found.ok() for found in schema.get_all_operations()]
    native = [call for call in calls if call.path.startswith("/v1")]
    for call in native:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                many(call, mode, lambda case: tried(case, fuzzed, counted), known)
            except BaseExceptionGroup as found:
                wrong[f"{call.label} {mode.value}"] = "\n".join(str(one) for one in found.exceptions)
            except Exception as found:
                wrong[f"{call.label} {mode.value}"] = str(found)
    told = f"{sum(counted.values()):,} requests to {len(native)} calls: {dict(sorted(counted.items()))}"
    record_property("told", told)
    assert wrong == {}, "\n\n".join(f"{name}\n{text}" for name, text in wrong.items())
    assert len(native) > 55, told
    assert counted["2xx"] > len(native), told
    assert counted["4xx"] > len(native), told


def many(call: Any, mode: GenerationMode, work: Callable[[Case], None], known: dict[str, str]) -> None:
    """So many requests of a kind to a call; what cannot be made of that kind is left out."""

    @hypothesis.settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )  # fmt: skip
    @given(case=call.as_strategy(generation_mode=mode), chosen=st.integers(0, 63))
    def each(case: Case, chosen: int) -> None:
        work(with_known(case, known, chosen))

    each()

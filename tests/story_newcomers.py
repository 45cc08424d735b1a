"""Somebody new is made with what is done for them: a refused call leaves nobody, a repeat means the same person."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from desk import Desk

BAD_KEY = {"Idempotency-Key": "two words"}
ITEM = {"items": [{"price": "credits-10"}]}
MIXED = {"items": [{"price": "credits-10"}, {"price": "tokens"}]}


def nobody() -> dict[str, str]:
    return {"channel": "telegram", "external_id": secrets.token_hex(8)}


def is_known(desk: Desk, who: dict[str, str]) -> bool:
    return bool(desk.get("/v1/customers", **who)["data"])


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/v1/checkouts", ITEM, BAD_KEY, 400),
        ("/v1/checkouts", MIXED, {}, 400),
        ("/v1/checkouts", {"items": [{"price": "nothing"}]}, {}, 404),
        ("/v1/payments", {"amount": 2000, "currency": "usd"}, BAD_KEY, 400),
        ("/v1/payments", MIXED, {}, 400),
        ("/v1/subscriptions", {"price": "credits-10"}, {}, 400),
        ("/v1/subscriptions", {"price": "plus"}, BAD_KEY, 400),
        ("/v1/customer_sessions", {}, BAD_KEY, 400),
    ],
    ids=lambda value: value.split("/")[-1] if isinstance(value, str) else None,
)
def test_a_refused_call_leaves_nobody_behind(
    desk: Desk, path: str, body: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    who = nobody()
    answer = desk.call("POST", path, json={"customer": who, **body}, headers=headers)
    assert answer.status_code == status, answer.text
    assert not is_known(desk, who)


def test_what_is_said_under_a_bad_key_and_what_is_given_under_one_leave_nobody(desk: Desk) -> None:
    who = nobody()
    assert desk.call("POST", "/v1/chat", json={**who, "text": "/buy"}, headers=BAD_KEY).status_code == 400
    assert not is_known(desk, who)
    user = {"channel": "app", "external_id": secrets.token_hex(8)}
    path = f"/api/financial/credits/{user['external_id']}/add"
    assert desk.call("POST", path, json={"amount": 5}, headers=BAD_KEY).status_code == 400
    assert not is_known(desk, user)


def test_many_who_ask_at_once_under_one_key_make_one_person_and_one_order(desk: Desk) -> None:
    who, key = nobody(), secrets.token_hex(8)

    def ask(_: int) -> Any:
        return desk.call("POST", "/v1/checkouts", json={"customer": who, **ITEM}, headers={"Idempotency-Key": key})

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, range(6)))
    assert {one.status_code for one in answers} <= {201, 409}
    made = desk.post("/v1/checkouts", {"customer": who, **ITEM}, Idempotency_Key=key)
    assert {one.json()["id"] for one in answers if one.status_code == 201} == {made["id"]}
    (person,) = desk.get("/v1/customers", **who)["data"]
    assert [one["id"] for one in desk.get("/v1/orders", customer=person["id"])["data"]] == [made["id"]]


def test_a_key_means_the_same_call_when_somebody_else_has_met_them_meanwhile(desk: Desk) -> None:
    """The person is moved to another id between the first call and its repeat, as if somebody had been quicker."""
    who, key = nobody(), secrets.token_hex(8)
    first = desk.post("/v1/checkouts", {"customer": who, **ITEM}, Idempotency_Key=key)
    other = desk.post("/v1/customers", {"identities": [nobody()]})["id"]
    desk.post(f"/v1/customers/{first['customer']}/identities", nobody())
    assert desk.call(
        "DELETE", f"/v1/customers/{first['customer']}/identities/{who['channel']}/{who['external_id']}"
    ).is_success
    desk.post(f"/v1/customers/{other}/identities", who)
    again = desk.call("POST", "/v1/checkouts", json={"customer": who, **ITEM}, headers={"Idempotency-Key": key})
    assert (again.json()["id"], again.headers["Idempotent-Replayed"]) == (first["id"], "true")
    assert desk.get("/v1/orders", customer=other)["data"] == []

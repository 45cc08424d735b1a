"""The paths that other systems call: what they send is taken, what they read is there, and every number is exact."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import textwrap
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from conftest import settings_for
from desk import Desk, running_desk
from sandbox_fixtures import Sandbox, until
from test_library import run_python
from tools import node

HERE = {"success_url": "https://shop.example/yes", "cancel_url": "https://shop.example/no"}


@cache
def description_of(url: str) -> dict[str, Any]:
    """What the desk says of its calls."""
    return dict(httpx.get(f"{url}/openapi.json", timeout=30).json())


def described(desk: Desk, method: str, path: str) -> dict[str, Any]:
    """What the desk says of one call: the parts of a path in braces may be anything."""
    given = path.split("/")
    for template, calls in description_of(desk.url)["paths"].items():
        parts = template.split("/")
        same = len(parts) == len(given) and all(a == b or a[:1] == "{" for a, b in zip(parts, given, strict=True))
        if same and method.lower() in calls:
            return dict(calls[method.lower()])
    raise AssertionError(f"{method} {path} is not described")


def asked(desk: Desk, method: str, path: str, **options: Any) -> httpx.Response:
    """One call; whatever is answered must be described, and look like its description."""
    answer = desk.call(method, path, **options)
    said = described(desk, method, path)["responses"][str(answer.status_code)]
    schema = {
        **said["content"]["application/json"]["schema"],
        "components": description_of(desk.url)["components"],
        "unevaluatedProperties": False,
    }
    jsonschema.Draft202012Validator(schema).validate(answer.json())
    assert answer.headers["Request-Id"].startswith("req_")
    assert answer.headers["Cache-Control"] == "no-store"
    return answer


def done(desk: Desk, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
    """What a call answers when it is done, with numbers as they are written."""
    answer = asked(desk, method, path, json=body, **options)
    assert answer.status_code == 200, answer.text
    told = json.loads(answer.text, parse_float=Decimal)
    assert told.pop("success") is True
    return dict(told)


def data(desk: Desk, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
    """The data that a call under `/api` answers."""
    told = done(desk, method, path, body, **options)
    assert set(told) == {"data"}
    return dict(told["data"])


def refused(desk: Desk, method: str, path: str, **options: Any) -> tuple[int, str, str | None]:
    """How a call is refused: status, code, and which field."""
    answer = asked(desk, method, path, **options)
    told = answer.json()
    assert told["success"] is False
    assert set(told) == {"success", "error"}
    assert told["error"]["request_id"] == answer.headers["Request-Id"]
    assert len(told["error"]["message"]) > 8
    return answer.status_code, told["error"]["code"], told["error"].get("param")


def user() -> int:
    """Somebody new on a platform that counts its users."""
    return secrets.randbits(40)


def key() -> dict[str, Any]:
    return {"headers": {"Idempotency-Key": secrets.token_hex(8)}}


# --- /payments -------------------------------------------------------------------------------------------------------


def confirm(desk: Desk, payment: str, card: str = "pm_card_visa") -> httpx.Response:
    """Pay as the buyer's page does."""
    asks = {"payment_method": card, "return_url": "https://shop.example/yes"}
    return desk.at_stripe("POST", f"/v1/payment_intents/{payment}/confirm", asks)


def test_an_agent_makes_a_payment_asks_how_it_stands_and_gives_it_back(desk: Desk) -> None:
    made = done(desk, "POST", "/payments/intent/create", {
        "amount": 150.00, "currency": "usd", "description": "A better seat",
        "metadata": {"order_id": "ORD7", "ticket_type": "premium"},
    })["payment_intent"]  # fmt: skip
    assert made["id"].startswith("pi_")
    assert made["client_secret"].startswith(f"{made['id']}_secret_")
    assert (str(made["amount"]), made["currency"], made["status"]) == ("150.00", "usd", "requires_payment_method")
    at_stripe = desk.at_stripe("GET", f"/v1/payment_intents/{made['id']}").json()
    assert (at_stripe["amount"], at_stripe["description"]) == (15_000, "A better seat")
    assert at_stripe["customer"] == made["customer_id"]

    asks = f"/payments/intent/{made['id']}/status"
    assert done(desk, "GET", asks) == {"payment_intent": made}
    assert refused(desk, "POST", "/payments/refund", json={"payment_intent_id": made["id"]})[:2] == (409, "not_paid")
    assert confirm(desk, made["id"]).status_code == 200
    until(lambda: desk.get(f"/v1/orders/{made['order']}")["status"] == "paid", what="the payment")
    now = done(desk, "GET", asks)["payment_intent"]
    assert now == {**made, "status": "succeeded", "client_secret": None}
    assert now["metadata"] == {"order_id": "ORD7", "ticket_type": "premium"}
    assert refused(desk, "POST", f"/payments/intent/{made['id']}/cancel") == (409, "conflict", "payment_intent_id")

    back = {"payment_intent_id": made["id"], "amount": 40.10}
    first = done(desk, "POST", "/payments/refund", back)["refund"]
    assert first["id"].startswith("re_")
    shown = {name: str(first[name]) for name in ("amount", "currency", "payment_intent_id", "reason")}
    assert shown == {"amount": "40.10", "currency": "usd", "payment_intent_id": made["id"], "reason": "None"}
    too_much = {"payment_intent_id": made["id"], "amount": "109.91"}
    assert refused(desk, "POST", "/payments/refund", json=too_much)[0] == 409
    rest = done(desk, "POST", "/payments/refund", {"payment_intent_id": made["id"], "reason": "duplicate"})["refund"]
    assert (str(rest["amount"]), rest["reason"]) == ("109.90", "duplicate")
    until(lambda: desk.get(f"/v1/orders/{made['order']}")["status"] == "refunded", what="the refund")


def test_an_agent_cancels_a_payment(desk: Desk) -> None:
    made = done(desk, "POST", "/payments/intent/create", {"amount": 25})["payment_intent"]
    assert (str(made["amount"]), made["currency"]) == ("25.00", "usd")
    for _ in range(2):
        now = done(desk, "POST", f"/payments/intent/{made['id']}/cancel")["payment_intent"]
        assert (now["id"], now["status"], now["client_secret"]) == (made["id"], "canceled", None)
    assert desk.get(f"/v1/orders/{made['order']}")["status"] == "canceled"


def test_a_payment_that_the_bank_wants_to_see_says_so(desk: Desk) -> None:
    made = done(desk, "POST", "/payments/intent/create", {"amount": 12.50, "currency": "eur"})["payment_intent"]
    assert confirm(desk, made["id"], "pm_card_authenticationRequired").status_code == 200
    now = done(desk, "GET", f"/payments/intent/{made['id']}/status")["payment_intent"]
    assert (now["status"], now["client_secret"]) == ("requires_action", made["client_secret"])
    assert confirm(desk, made["id"], "pm_card_chargeDeclined").status_code == 402
    now = done(desk, "GET", f"/payments/intent/{made['id']}/status")["payment_intent"]
    assert now["status"] == "requires_payment_method"


def test_an_agent_sends_a_buyer_to_a_page(desk: Desk) -> None:
    made = done(desk, "POST", "/payments/checkout/create", {
        "items": [{"name": "A game", "description": "Section 9, Row 5", "amount": 200.00, "quantity": 2}],
        "customer_email": "ann@example.com", "metadata": {"order_id": "A7"}, **HERE,
    })["checkout_session"]  # fmt: skip
    assert made["id"].startswith("cs_")
    assert made["url"].startswith(desk.sandbox.url)
    assert made["status"] == "open"
    order = desk.get(f"/v1/orders/{made['order']}")
    assert order["items"] == [{"name": "A game, Section 9, Row 5", "price": None, "quantity": 2, "amount": 20_000}]
    assert desk.get(f"/v1/customers/{order['customer']}")["email"] == "ann@example.com"
    at_stripe = desk.at_stripe("GET", f"/v1/checkout/sessions/{made['id']}").json()
    assert at_stripe["metadata"]["order_id"] == "A7"
    assert at_stripe["cancel_url"] == HERE["cancel_url"]
    desk.buyer().pay({"session": made["id"], "amount": 40_000})
    until(lambda: desk.get(f"/v1/orders/{made['order']}")["status"] == "paid", what="the payment")


@pytest.mark.parametrize("body", [
    {"items": [{"price": "no-such"}]},
    {"items": [{"name": "A", "amount": 0.10}]},
    {"items": [{"name": "A", "amount": 5}, {"price": "plus"}]},
    {"items": [{"name": "A", "amount": 5}], "success_url": "javascript:1"},
], ids=["price", "total", "mixed", "address"])  # fmt: skip
def test_a_page_that_is_refused_leaves_nobody_behind(desk: Desk, body: dict[str, Any]) -> None:
    known = "SELECT count(*) AS people FROM customer"
    before = desk.sql(known)
    for email in ({}, {"customer_email": "nobody@example.com"}):
        assert asked(desk, "POST", "/payments/checkout/create", json={**body, **email}, **key()).status_code >= 400
    assert desk.sql(known) == before


def test_a_page_for_a_guest_may_sell_what_the_catalogue_sells(desk: Desk) -> None:
    items = [{"name": "Ticket", "amount": 50.00, "quantity": 1}, {"price": "credits-10"}]
    made = done(desk, "POST", "/payments/checkout/create", {"items": items, **HERE})["checkout_session"]
    assert desk.get(f"/v1/orders/{made['order']}")["amount"] == 5_999
    yen = {"items": [{"name": "Ticket", "amount": 500, "quantity": 3}], "currency": "JPY", **HERE}
    made = done(desk, "POST", "/payments/checkout/create", yen)["checkout_session"]
    assert desk.get(f"/v1/orders/{made['order']}")["amount"] == 1_500


def test_an_agent_makes_and_finds_a_customer(desk: Desk) -> None:
    asks = {"email": "jo@example.com", "name": "Jo Doe"}
    made = done(desk, "POST", "/payments/customer/create", params=asks)["customer"]
    assert made["id"].startswith("cus_")
    assert (made["email"], made["name"], made["metadata"]) == ("jo@example.com", "Jo Doe", {})
    assert (
        desk.at_stripe("GET", f"/v1/customers/{made['id']}").json()["metadata"]["paydesk_customer"] == made["customer"]
    )
    for id_ in (made["id"], made["customer"]):
        assert done(desk, "GET", f"/payments/customer/{id_}") == {"customer": made}
    assert done(desk, "POST", "/payments/customer/create", asks)["customer"]["id"] != made["id"]
    for unknown in ("cus_unknown", "cst_unknown", "42"):
        assert refused(desk, "GET", f"/payments/customer/{unknown}") == (404, "not_found", "customer_id")


def test_looking_a_customer_up_makes_none_at_stripe(desk: Desk) -> None:
    buyer = desk.buyer()
    buyer.say("hello")
    reader = desk.post("/v1/keys", {"name": "reader", "scopes": ["read"]})["key"]
    found = done(desk, "GET", f"/payments/customer/{buyer.id}", key=reader)["customer"]
    assert (found["id"], found["customer"]) == (buyer.id, buyer.id)
    assert desk.get(f"/v1/customers/{buyer.id}")["stripe_customer"] is None
    buyer.checkout("credits-10")
    known = desk.get(f"/v1/customers/{buyer.id}")["stripe_customer"]
    assert known.startswith("cus_")
    assert done(desk, "GET", f"/payments/customer/{buyer.id}", key=reader)["customer"]["id"] == known


# --- amounts ---------------------------------------------------------------------------------------------------------

EXACT = [
    ("0.57", "usd", 57, "0.57"),
    ("19.99", "usd", 1999, "19.99"),
    ("1.15", "eur", 115, "1.15"),
    ("4.35", "eur", 435, "4.35"),
    ("100", "usd", 10_000, "100.00"),
    ("100.0000000000", "usd", 10_000, "100.00"),
    ("1e2", "usd", 10_000, "100.00"),
    ("1.999e1", "usd", 1999, "19.99"),
    ('"19.990"', "usd", 1999, "19.99"),
    ('"19.90"', "USD", 1990, "19.90"),
    ("999999.99", "usd", 99_999_999, "999999.99"),
    ("500", "jpy", 500, "500"),
    ('"1.230"', "kwd", 1230, "1.230"),
    ("1.23", "kwd", 1230, "1.230"),
]


@pytest.mark.parametrize(("written", "currency", "minor", "shown"), EXACT)
def test_an_amount_is_what_its_digits_say(desk: Desk, written: str, currency: str, minor: int, shown: str) -> None:
    body = f'{{"amount": {written}, "currency": "{currency}"}}'
    answer = asked(desk, "POST", "/payments/intent/create", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert f'"amount":{shown}' in answer.text
    made = answer.json()["payment_intent"]
    assert desk.at_stripe("GET", f"/v1/payment_intents/{made['id']}").json()["amount"] == minor


NO_AMOUNT = ["0", "-1", "0.00", "9.999", "0.1e-3", "1e400", "-1e999999999", "1e999999999", "1e-999999999", "true",
             "null", "[]", "{}", '""', '"1,50"', '" 1"', '"1e2"', '"NaN"', '"٣"', "100000000000000000000",
             "0.30000000000000004", "1000000.00", "0.49", f'"{"1" * 300}"', "9" * 60]  # fmt: skip


@pytest.mark.parametrize("written", NO_AMOUNT, ids=[one[:24] for one in NO_AMOUNT])
def test_what_is_no_amount_is_refused_by_name(desk: Desk, written: str) -> None:
    body = f'{{"amount": {written}, "currency": "usd"}}'
    options: dict[str, Any] = {"content": body.encode(), "headers": {"Content-Type": "application/json"}}
    status, code, param = refused(desk, "POST", "/payments/intent/create", **options)
    assert (code, param) == ("invalid_request", "amount")
    assert status in (400, 422)


# --- what is refused -------------------------------------------------------------------------------------------------

LINE = {"name": "Ticket", "amount": 50}
REFUSED = [
    ("/payments/intent/create", {}, 422, "amount"),
    ("/payments/intent/create", {"amount": 5, "currency": "xyz"}, 400, "currency"),
    ("/payments/intent/create", {"amount": 5, "currency": "dollars"}, 422, "currency"),
    ("/payments/intent/create", {"amount": 5, "price": "credits-10"}, 422, "price"),
    ("/payments/intent/create", {"amount": 5, "metadata": {"a": []}}, 422, "metadata.a"),
    ("/payments/intent/create", {"amount": 5, "metadata": {"paydesk_topup": "credits"}}, 422, "metadata"),
    ("/payments/checkout/create", {"items": [LINE], "metadata": {"paydesk_coupon": "all"}}, 422, "metadata"),
    (
        "/api/stripe/create-checkout-session",
        {"user_id": 1, "price_id": "a", "metadata": {"paydesk_a": 1}},
        422,
        "metadata",
    ),
    (
        "/api/stripe/create-subscription",
        {"user_id": 1, "price_id": "a", "metadata": {"paydesk_a": "1"}},
        422,
        "metadata",
    ),
    ("/payments/intent/create", {"amount": 0.3, "currency": "jpy"}, 400, "amount"),
    ("/payments/intent/create", {"amount": 1.235, "currency": "kwd"}, 400, "amount"),
    ("/payments/checkout/create", {"items": []}, 422, "items"),
    ("/payments/checkout/create", {"items": [LINE] * 101}, 422, "items"),
    ("/payments/checkout/create", {"items": [LINE, {"name": "A"}]}, 400, "items.1.amount"),
    ("/payments/checkout/create", {"items": [{"amount": 5}]}, 400, "items.0.name"),
    ("/payments/checkout/create", {"items": [{"name": "A", "amount": 5.001}]}, 400, "items.0.amount"),
    ("/payments/checkout/create", {"items": [{**LINE, "price": "credits-10"}]}, 400, "items.0.price"),
    ("/payments/checkout/create", {"items": [{**LINE, "quantity": 1.5}]}, 422, "items.0.quantity"),
    ("/payments/checkout/create", {"items": [{**LINE, "cost": 1}]}, 422, "items.0.cost"),
    ("/payments/checkout/create", {"items": [{"price": "no-such"}]}, 404, "price"),
    ("/payments/checkout/create", {"items": [LINE], "customer_email": "ann"}, 400, "customer_email"),
    ("/payments/checkout/create", {"items": [LINE], "success_url": "javascript:1"}, 400, "success_url"),
    ("/payments/refund", {"amount": 5}, 422, "payment_intent_id"),
    ("/payments/refund", {"payment_intent_id": "pi_unknown", "amount": 5}, 404, "payment_intent_id"),
    ("/payments/refund", {"payment_intent_id": "pi_unknown"}, 404, "payment_intent_id"),
    ("/payments/refund", {"payment_intent_id": "pi_unknown", "reason": "mood"}, 422, "reason"),
    ("/payments/intent/pi_unknown/cancel", None, 404, "payment_intent_id"),
    ("/payments/customer/create", None, 400, "email"),
    ("/payments/customer/create?email=jo", None, 400, "email"),
    ("/payments/customer/create?email=jo@example.com", {"name": 7}, 422, "name"),
    ("/api/stripe/create-checkout-session", {"user_id": 1}, 422, "price_id"),
    ("/api/stripe/create-checkout-session", {"user_id": 1, "price_id": "price_unknown"}, 404, "price_id"),
    ("/api/stripe/create-checkout-session", {"user_id": 1, "price_id": "plus", "mode": "payment"}, 400, "mode"),
    ("/api/stripe/create-checkout-session", {"user_id": 1, "price_id": "plus", "amount": 1}, 422, "amount"),
    ("/api/stripe/create-checkout-session", {"user_id": 1, "price_id": "plus", "cancel_url": "x"}, 400, "cancel_url"),
    ("/api/stripe/create-subscription", {"user_id": 1, "price_id": "credits-10"}, 400, "price_id"),
    ("/api/stripe/create-subscription", {"user_id": "a\nb", "price_id": "plus"}, 400, "user_id"),
    ("/api/financial/credits/1/add", {"amount": 0}, 422, "amount"),
    ("/api/financial/credits/1/add", {"amount": 1.0}, 422, "amount"),
    ("/api/financial/credits/1/spend", {"amount": "1"}, 422, "amount"),
    ("/api/financial/credits/1/spend", {}, 422, "amount"),
    (f"/api/financial/credits/{'1' * 201}/spend", {"amount": 1}, 400, "user_id"),
]


@pytest.mark.parametrize(("path", "body", "status", "param"), REFUSED)
def test_wrong_input_is_refused_by_name(desk: Desk, path: str, body: Any, status: int, param: str) -> None:
    path, _, query = path.partition("?")
    told = refused(desk, "POST", path, json=body, params=dict(part.split("=") for part in query.split("&") if part))
    assert told[0::2] == (status, param)


@pytest.mark.parametrize("user_id", ["true", "1.5", "-1", "null", "[1]", '""', "9" * 60, f'"{"a" * 201}"'],
                         ids=lambda one: str(one)[:16])  # fmt: skip
def test_what_is_no_user_is_refused(desk: Desk, user_id: str) -> None:
    body = f'{{"user_id": {user_id}, "price_id": "plus"}}'
    answer = refused(desk, "POST", "/api/stripe/create-checkout-session", content=body,
                     headers={"Content-Type": "application/json"})  # fmt: skip
    assert answer[0::2] == (422, "user_id")


def test_what_no_call_knows_is_refused_and_changes_nothing(desk: Desk) -> None:
    told = refused(desk, "DELETE", "/api/stripe/subscriptions/sub_1", params={"when": "period_end"})
    assert told == (400, "invalid_request", "when")
    assert refused(desk, "GET", "/api/stripe/products", params={"limit": "5"})[0::2] == (400, "limit")
    told = refused(desk, "POST", "/api/financial/credits/ghost99/spend", json={"amount": 1})
    assert told == (402, "insufficient_credits", "amount")
    met = desk.get("/v1/customers", channel="app", external_id="ghost99")
    assert met["data"] == [], "who has nothing to spend is made by nobody"


def test_a_number_that_nobody_could_mean_is_told_in_words(desk: Desk) -> None:
    asks = {"content": b'{"amount": 1E999999999999999999999}', "headers": {"Content-Type": "application/json"}}
    answer = desk.call("POST", "/payments/intent/create", **asks)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")
    assert "larger or smaller" in answer.json()["error"]["message"]


BROKEN = [
    b"{",
    b"[]",
    b'"text"',
    b"\xff",
    b'{"amount": NaN}',
    b'{"amount": 1, "amount": 2}',
    b"[" * 5000,
    b"9" * 9000,
    b"amount=1",
]


@pytest.mark.parametrize("body", BROKEN, ids=[repr(one[:20]) for one in BROKEN])
@pytest.mark.parametrize("path", ["/payments/intent/create", "/api/stripe/create-subscription"])
def test_a_body_that_is_no_json_object_is_refused(desk: Desk, path: str, body: bytes) -> None:
    asks = {"content": body, "headers": {"Content-Type": "application/json"}}
    assert refused(desk, "POST", path, **asks)[0] == 422


def test_errors_have_their_shape_wherever_they_come_from(desk: Desk) -> None:
    for path in ("/api/nothing", "/payments/nothing", "/api/stripe/products/1/2"):
        told = desk.call("GET", path, headers={"Accept": "text/html"})
        assert (told.status_code, told.json()["success"], told.json()["error"]["code"]) == (404, False, "not_found")
    told = desk.call("PUT", "/api/stripe/products")
    assert (told.status_code, told.json()["success"]) == (405, False)
    told = desk.call("POST", "/payments/refund", content=b" " * 300_000)
    assert (told.status_code, told.json()["success"], told.json()["error"]["code"]) == (413, False, "too_large")
    told = httpx.get(f"{desk.url}/api/stripe/products")
    assert (told.status_code, told.json()["success"], told.json()["error"]["code"]) == (401, False, "unauthorized")
    told = desk.call("GET", "/v1/nothing")
    assert "success" not in told.json()


# --- once ------------------------------------------------------------------------------------------------------------

ONCE = [
    ("/payments/intent/create", {"amount": 5.5}, {"amount": 5.51}),
    ("/payments/checkout/create", {"items": [LINE], "customer_email": "a@example.com"},
     {"items": [LINE], "customer_email": "b@example.com"}),
    ("/payments/customer/create?email=a@example.com", None, None),
    ("/api/stripe/create-checkout-session", {"user_id": 70, "price_id": "plus"}, {"user_id": 70, "price_id": "pro"}),
    ("/api/financial/credits/71/add", {"amount": 5}, {"amount": 6}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "other"), ONCE)
def test_a_key_makes_it_happen_once(desk: Desk, path: str, body: Any, other: Any) -> None:
    again = key()
    path, _, email = path.partition("?email=")
    query = {"email": email} if email else None
    first = asked(desk, "POST", path, json=body, params=query, **again)
    repeat = asked(desk, "POST", path, json=body, params=query, **again)
    assert (first.status_code, repeat.status_code) == (200, 200)
    assert repeat.text == first.text
    assert "Idempotent-Replayed" not in first.headers
    assert repeat.headers["Idempotent-Replayed"] == "true"
    changed = {"email": "c@example.com"} if email else None
    assert refused(desk, "POST", path, json=other, params=changed, **again)[:2] == (409, "idempotency_mismatch")
    assert asked(desk, "POST", path, json=body, params=query, **key()).text != first.text


def test_a_refund_and_a_spend_happen_once_for_their_key(desk: Desk) -> None:
    made = done(desk, "POST", "/payments/intent/create", {"amount": 10})["payment_intent"]
    assert confirm(desk, made["id"]).status_code == 200
    until(lambda: desk.get(f"/v1/orders/{made['order']}")["status"] == "paid", what="the payment")
    again = key()
    back = {"payment_intent_id": made["id"], "amount": 4}
    ids = {done(desk, "POST", "/payments/refund", back, **again)["refund"]["id"] for _ in range(3)}
    assert len(ids) == 1
    assert desk.get(f"/v1/payments/{made['id']}")["amount_refunded"] == 400
    who = user()
    data(desk, "POST", f"/api/financial/credits/{who}/add", {"amount": 9})
    spent = [data(desk, "POST", f"/api/financial/credits/{who}/spend", {"amount": 2}, **again) for _ in range(3)]
    assert spent[0] == spent[1] == spent[2]
    assert data(desk, "GET", f"/api/financial/credits/{who}") == {"user_id": who, "balance": 7}


# --- /api ------------------------------------------------------------------------------------------------------------


def test_a_platform_sells_credits_and_its_users_spend_them(desk: Desk) -> None:
    who = user()
    own = f"/api/financial/credits/{who}"
    assert data(desk, "GET", own) == {"user_id": who, "balance": 0}
    assert refused(desk, "POST", f"{own}/spend", json={"amount": 1})[:2] == (402, "insufficient_credits")
    made = data(desk, "POST", "/api/stripe/create-checkout-session",
                {"user_id": who, "price_id": "credits-10", "mode": "payment", **HERE})  # fmt: skip
    assert made["session_id"].startswith("cs_")
    assert made["url"].startswith(desk.sandbox.url)
    desk.buyer().pay({"session": made["session_id"], "amount": 999})
    desk.settled(made["order"])
    assert data(desk, "GET", own) == {"user_id": who, "balance": 10}
    assert desk.get("/v1/customers", channel="app", external_id=str(who))["data"]
    spent = data(desk, "POST", f"{own}/spend", {"amount": 4, "reason": "a picture"})
    assert (spent["user_id"], spent["balance"], spent["amount"]) == (who, 6, 4)
    given = data(desk, "POST", f"{own}/add", {"amount": 5})
    assert (given["balance"], given["amount"]) == (11, 5)
    assert given["transaction_id"] != spent["transaction_id"]
    assert refused(desk, "POST", f"{own}/spend", json={"amount": 12})[:2] == (402, "insufficient_credits")
    assert data(desk, "GET", own)["balance"] == 11


def test_a_user_subscribes_on_stripes_page_and_ends_it(desk: Desk) -> None:
    who = user()
    own = f"/api/stripe/subscriptions/{who}"
    assert data(desk, "GET", own) == {"user_id": who, "subscriptions": []}
    asks = {"user_id": who, "price_id": "plus", "mode": "subscription", **HERE}
    made = data(desk, "POST", "/api/stripe/create-checkout-session", asks)
    desk.buyer().pay({"session": made["session_id"], "amount": 1_000})
    desk.settled(made["order"])
    (now,) = data(desk, "GET", own)["subscriptions"]
    assert (now["user_id"], now["status"], now["price_id"], now["product"], now["quantity"]) == (
        who, "active", "plus", "plus", 1,
    )  # fmt: skip
    assert now["current_period_end"] > now["current_period_start"]
    assert data(desk, "GET", f"/api/financial/credits/{who}")["balance"] == 100
    portal = data(desk, "GET", "/api/stripe/customer-portal", params={"user_id": who, "return_url": HERE["cancel_url"]})
    assert portal["user_id"] == who
    assert portal["url"].startswith(desk.sandbox.url)
    told = refused(desk, "POST", "/api/stripe/create-subscription", json={"user_id": who, "price_id": "plus"})
    assert told == (409, "already_subscribed", "price_id")

    ends = data(desk, "DELETE", f"/api/stripe/subscriptions/{now['id']}", params={"at": "period_end"})
    assert (ends["status"], ends["cancel_at_period_end"], ends["user_id"]) == ("active", True, who)
    ended = data(desk, "DELETE", f"/api/stripe/subscriptions/{now['id']}")
    assert (ended["id"], ended["status"]) == (now["id"], "canceled")
    assert data(desk, "DELETE", f"/api/stripe/subscriptions/{now['id']}") == ended
    assert data(desk, "GET", own)["subscriptions"] == [ended]
    assert refused(desk, "DELETE", "/api/stripe/subscriptions/sub_unknown") == (404, "not_found", "id")


def test_a_subscription_begins_with_a_saved_card_or_says_how_to_pay(desk: Desk) -> None:
    who = user()
    begun = data(desk, "POST", "/api/stripe/create-subscription", {"user_id": who, "price_id": "plus"})
    assert begun["status"] == "incomplete"
    assert begun["client_secret"].startswith("pi_")
    assert begun["url"].startswith("http")
    other = user()
    data(desk, "POST", "/api/stripe/create-checkout-session", {"user_id": other, "price_id": "credits-10"})
    (row,) = desk.sql(
        "SELECT stripe_customer FROM customer c JOIN identity i ON i.customer_id = c.id "
        "WHERE i.channel = 'app' AND i.external_id = $1", str(other),
    )  # fmt: skip
    desk.at_stripe("POST", "/v1/payment_methods/pm_card_visa/attach", {"customer": row["stripe_customer"]})
    asks = {"user_id": other, "price_id": "plus", "payment_method": "default"}
    live = data(desk, "POST", "/api/stripe/create-subscription", asks)
    assert (live["status"], live["client_secret"], live["user_id"]) == ("active", None, other)


def test_the_catalogue_is_shown_with_what_a_price_id_takes(desk: Desk) -> None:
    products = {one["id"]: one for one in data(desk, "GET", "/api/stripe/products")["products"]}
    assert (products["credits-10"]["name"], products["credits-10"]["credits"]) == ("10 credits", 10)
    (price,) = products["plus"]["prices"]
    assert price == {"id": "plus", "stripe_price_id": None, "amount": 1000, "currency": "usd", "interval": "month",
                     "interval_count": 1, "trial_days": 0, "display": "$10.00 a month"}  # fmt: skip
    for product in products.values():
        for one in product["prices"]:
            asks = {"user_id": user(), "price_id": one["id"]}
            assert data(desk, "POST", "/api/stripe/create-checkout-session", asks)["order"].startswith("ord_")


def test_users_are_told_apart_and_shown_as_they_are_written(desk: Desk) -> None:
    data(desk, "POST", "/api/financial/credits/007/add", {"amount": 7})
    assert data(desk, "GET", "/api/financial/credits/007") == {"user_id": "007", "balance": 7}
    assert data(desk, "GET", "/api/financial/credits/7")["balance"] == 0
    name = f"auth0|{secrets.token_hex(6)}"
    made = data(desk, "POST", "/api/stripe/create-checkout-session", {"user_id": name, "price_id": "credits-10"})
    assert made["order"]
    assert data(desk, "GET", f"/api/financial/credits/{name.replace('|', '%7C')}")["user_id"] == name
    unknown = refused(desk, "GET", "/api/stripe/customer-portal", params={"user_id": user()})
    assert unknown == (404, "not_found", "user_id")
    assert refused(desk, "GET", "/api/stripe/customer-portal") == (422, "invalid_request", "user_id")


def test_figures_follow_what_was_sold_given_back_and_spent(new_database: Any, stripe_sandbox: Sandbox) -> None:
    with running_desk(settings_for(new_database(), stripe_sandbox.url), stripe_sandbox) as desk:
        who = user()
        summary = f"/api/financial/subscriptions/{who}/summary"
        nothing = data(desk, "GET", summary)
        assert (nothing["user_id"], nothing["total"], nothing["mrr"], nothing["paid"]) == (who, 0, [], [])
        assert data(desk, "GET", "/api/financial/admin/dashboard")["totals"] == []

        asks = {"user_id": who, "price_id": "plus", "mode": "subscription"}
        made = data(desk, "POST", "/api/stripe/create-checkout-session", asks)
        desk.buyer().pay({"session": made["session_id"], "amount": 1_000})
        desk.settled(made["order"])
        paid = done(desk, "POST", "/payments/intent/create", {"amount": 20.50})["payment_intent"]
        assert confirm(desk, paid["id"]).status_code == 200
        desk.settled(paid["order"], "paid")
        done(desk, "POST", "/payments/refund", {"payment_intent_id": paid["id"], "amount": 4.30})
        desk.settled(paid["order"], "partially_refunded")
        data(desk, "POST", f"/api/financial/credits/{who}/spend", {"amount": 30})

        now = data(desk, "GET", summary)
        assert [now[name] for name in ("total", "live", "active", "canceled", "ending")] == [1, 1, 1, 0, 0]
        assert now["mrr"] == [{"currency": "usd", "amount": 1_000}]
        assert now["paid"] == [{"currency": "usd", "gross": 1_000, "refunded": 0}]
        figures = data(desk, "GET", "/api/financial/admin/dashboard")
        (usd,) = figures["totals"]
        assert [usd[name] for name in ("currency", "gross", "refunded", "successful", "failed", "refunds")] == [
            "usd", 3_050, 430, 2, 0, 1,
        ]  # fmt: skip
        assert (usd["success_rate"], usd["refund_rate"]) == ("1.0000", "0.5000")
        assert (figures["subscriptions"]["active"], figures["subscriptions"]["new"]) == (1, 1)
        (unit,) = figures["credits"]
        assert (unit["granted"], unit["spent"], unit["outstanding"]) == (100, 30, 70)
        native = desk.get("/v1/stats")
        assert [native[name] for name in ("totals", "subscriptions", "credits")] == [
            figures[name] for name in ("totals", "subscriptions", "credits")
        ]
        before = {"from": "2020-01-01", "to": "2020-02-01"}
        assert data(desk, "GET", "/api/financial/admin/dashboard", params=before)["totals"] == []
        wrong = refused(desk, "GET", "/api/financial/admin/dashboard", params={"from": "yesterday"})
        assert wrong == (400, "invalid_request", "from")


# --- who may ---------------------------------------------------------------------------------------------------------

SCOPES = [
    ("POST", "/payments/intent/create", {"amount": 5}, "sell"),
    ("POST", "/payments/checkout/create", {"items": [LINE]}, "sell"),
    ("GET", "/payments/intent/pi_unknown/status", None, "read"),
    ("POST", "/payments/intent/pi_unknown/cancel", None, "sell"),
    ("POST", "/payments/refund", {"payment_intent_id": "pi_unknown"}, "refund"),
    ("POST", "/payments/customer/create", {"email": "a@example.com"}, "sell"),
    ("GET", "/payments/customer/cus_unknown", None, "read"),
    ("POST", "/api/stripe/create-checkout-session", {"user_id": 72, "price_id": "credits-10"}, "sell"),
    ("POST", "/api/stripe/create-subscription", {"user_id": 72, "price_id": "credits-10"}, "sell"),
    ("DELETE", "/api/stripe/subscriptions/sub_unknown", None, "sell"),
    ("GET", "/api/stripe/customer-portal", None, "sell"),
    ("GET", "/api/stripe/products", None, "read"),
    ("GET", "/api/stripe/subscriptions/72", None, "read"),
    ("GET", "/api/financial/credits/72", None, "read"),
    ("POST", "/api/financial/credits/72/add", {"amount": 1}, "admin"),
    ("POST", "/api/financial/credits/72/spend", {"amount": 1}, "spend"),
    ("GET", "/api/financial/subscriptions/72/summary", None, "read"),
    ("GET", "/api/financial/admin/dashboard", None, "admin"),
]


@pytest.fixture(scope="module")
def keys(desk: Desk) -> dict[str, str]:
    """A key of each scope."""
    made = {}
    for scope in ("read", "sell", "spend", "refund", "admin"):
        made[scope] = desk.command("keys", "create", f"only-{scope}", "--scope", scope).stdout.split()[1]
    return made


@pytest.mark.parametrize(("method", "path", "body", "scope"), SCOPES)
def test_each_call_needs_its_scope(
    desk: Desk, keys: dict[str, str], method: str, path: str, body: Any, scope: str
) -> None:
    params = {"user_id": "72"} if path.endswith("portal") else None
    for has, secret in keys.items():
        answer = asked(desk, method, path, key=secret, json=body, params=params)
        if has in (scope, "admin"):
            assert answer.status_code not in (401, 403), (has, answer.text)
        else:
            assert answer.status_code == 403, (has, answer.text)
            assert scope in answer.json()["error"]["message"]
    assert asked(desk, method, path, key="pdk_unknown", json=body, params=params).status_code == 401


def test_every_call_of_these_paths_is_described_and_looked_at_here(desk: Desk) -> None:
    looked_at = {(method.lower(), described(desk, method, path)["operationId"]) for method, path, *_ in SCOPES}
    there = {
        (method, call["operationId"])
        for path, calls in description_of(desk.url)["paths"].items()
        if path.startswith(("/api/", "/payments/"))
        for method, call in calls.items()
    }
    assert there == looked_at


PAGE = {"Origin": "https://shop.example"}


def test_a_page_may_call_what_its_buyer_may_do(desk: Desk) -> None:
    page_key = desk.post("/v1/keys", {"name": "platform", "kind": "publishable"})["key"]
    who, other = user(), user()
    data(desk, "POST", f"/api/financial/credits/{who}/add", {"amount": 3})
    data(desk, "POST", f"/api/financial/credits/{other}/add", {"amount": 4})
    asks = {"customer": {"channel": "app", "external_id": str(who)}}
    headers = {**PAGE, "Paydesk-Customer": desk.post("/v1/customer_sessions", asks)["token"]}
    mine: dict[str, Any] = {"key": page_key, "headers": headers}

    assert data(desk, "GET", "/api/stripe/products", key=page_key, headers=PAGE)["products"]
    assert refused(desk, "GET", f"/api/financial/credits/{who}", key=page_key)[:2] == (403, "buyer_required")
    answer = asked(desk, "GET", f"/api/financial/credits/{who}", **mine)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.json()["data"] == {"user_id": who, "balance": 3}
    assert data(desk, "GET", "/api/financial/credits/me", **mine)["balance"] == 3
    session = {"user_id": who, "price_id": "plus", "mode": "subscription", **HERE}
    made = data(desk, "POST", "/api/stripe/create-checkout-session", session, **mine)
    desk.buyer().pay({"session": made["session_id"], "amount": 1_000})
    desk.settled(made["order"])
    (now,) = data(desk, "GET", f"/api/stripe/subscriptions/{who}", **mine)["subscriptions"]
    assert data(desk, "GET", "/api/stripe/customer-portal", params={"user_id": who}, **mine)["url"]
    assert data(desk, "GET", f"/api/financial/subscriptions/{who}/summary", **mine)["active"] == 1
    ends = data(desk, "DELETE", f"/api/stripe/subscriptions/{now['id']}", **mine)
    assert (ends["status"], ends["cancel_at_period_end"], ends["user_id"]) == ("active", True, who)

    theirs = data(desk, "POST", "/api/stripe/create-subscription", {"user_id": other, "price_id": "plus"})["id"]
    foreign: list[tuple[str, str, Any]] = [
        ("GET", f"/api/financial/credits/{other}", None),
        ("GET", f"/api/stripe/subscriptions/{other}", None),
        ("GET", f"/api/financial/subscriptions/{other}/summary", None),
        ("GET", f"/api/stripe/customer-portal?user_id={other}", None),
        ("DELETE", f"/api/stripe/subscriptions/{theirs}", None),
        ("POST", "/api/stripe/create-checkout-session", {"user_id": other, "price_id": "credits-10"}),
        ("POST", "/api/stripe/create-subscription", {"user_id": other, "price_id": "pro"}),
    ]
    for method, path, body in foreign:
        path, _, query = path.partition("?user_id=")
        params = {"user_id": query} if query else None
        assert refused(desk, method, path, json=body, params=params, **mine)[:2] == (404, "not_found"), path
    assert refused(desk, "GET", f"/api/financial/credits/{user()}", **mine)[0] == 404
    beyond: list[tuple[str, str, Any]] = [
        ("POST", f"/api/financial/credits/{who}/add", {"amount": 1}),
        ("POST", f"/api/financial/credits/{who}/spend", {"amount": 1}),
        ("DELETE", f"/api/stripe/subscriptions/{now['id']}?at=now", None),
        ("POST", "/api/stripe/create-checkout-session", {"user_id": who, "price_id": "pro", "metadata": {"a": "b"}}),
        ("POST", "/api/stripe/create-subscription", {"user_id": who, "price_id": "pro", "payment_method": "default"}),
        ("POST", "/payments/intent/create", {"amount": 5}),
        ("GET", "/payments/intent/pi_unknown/status", None),
    ]
    for method, path, body in beyond:
        path, _, at = path.partition("?at=")
        params = {"at": at} if at else None
        assert refused(desk, method, path, json=body, params=params, **mine)[0] == 403, path
    assert data(desk, "GET", f"/api/financial/credits/{other}")["balance"] == 4


def test_a_browser_is_told_what_a_page_may_send(desk: Desk) -> None:
    asks = {**PAGE, "Access-Control-Request-Method": "DELETE"}
    told = httpx.options(f"{desk.url}/api/stripe/subscriptions/sub_1", headers=asks)
    assert told.status_code == 204
    assert "Paydesk-Customer" in told.headers["Access-Control-Allow-Headers"]
    answer = desk.call("GET", "/api/stripe/products", headers=PAGE)
    assert "Access-Control-Allow-Origin" not in answer.headers  # a secret key is for servers


# --- Stripe's webhook ------------------------------------------------------------------------------------------------

HOOKS = ["/webhooks/stripe", "/stripe/webhook", "/stripe-webhook", "/payments/webhook", "/webhook/payments",
         "/api/stripe/webhook"]  # fmt: skip


@pytest.mark.parametrize("path", HOOKS)
def test_stripe_may_go_on_calling_where_it_called_before(desk: Desk, path: str) -> None:
    event = desk.event_of("payment_intent.succeeded", {"id": "pi_foreign", "object": "payment_intent"})
    body = json.dumps(event).encode()
    for _ in range(2):
        told = httpx.post(desk.url + path, content=body, headers={"Stripe-Signature": desk.signed(body)})
        assert told.status_code == 200
    assert len(desk.sql("SELECT 1 FROM inbox WHERE external_id = $1", event["id"])) == 1
    wrong = {"Stripe-Signature": desk.signed(body, secret="whsec_other")}
    assert httpx.post(desk.url + path, content=body, headers=wrong).status_code == 400
    assert httpx.post(desk.url + path, content=body).status_code == 400


# --- a front end -----------------------------------------------------------------------------------------------------

FRONT = """
const [base, key, userId] = process.argv.slice(1)
const ask = async (method, path, body) => (await fetch(base + path, {
  method,
  headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' },
  body: body && JSON.stringify(body),
})).json()
const stripeService = {
  createCheckoutSession: (data) => ask('POST', '/api/stripe/create-checkout-session', data),
  getProducts: () => ask('GET', '/api/stripe/products'),
  getUserSubscriptions: (id) => ask('GET', `/api/stripe/subscriptions/${id}`),
  getCredits: (id) => ask('GET', `/api/financial/credits/${id}`),
}
const window = { location: { href: null } }
const checkoutData = {
  user_id: Number(userId),
  price_id: 'plus',
  success_url: 'https://shop.example/yes',
  cancel_url: 'https://shop.example/no',
  mode: 'subscription',
}
const result = await stripeService.createCheckoutSession(checkoutData)
if (result.success) {
  window.location.href = result.data.url
}
const wrong = await stripeService.createCheckoutSession({ ...checkoutData, price_id: 'price_1234567890' })
const products = await stripeService.getProducts()
const subscriptions = await stripeService.getUserSubscriptions(userId)
const credits = await stripeService.getCredits(userId)
console.log(JSON.stringify({
  href: window.location.href,
  wrong: [wrong.success, wrong.error.param],
  product: products.data.products[0].name,
  subscriptions: subscriptions.data.subscriptions,
  credits: credits.data.user_id === checkoutData.user_id && credits.data.balance,
}))
"""


def test_a_front_end_sends_its_user_to_pay(desk: Desk) -> None:
    who = user()
    command = [node(), "--input-type=module", "-e", FRONT, desk.url, desk.key, str(who)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout)
    assert httpx.get(seen.pop("href")).status_code == 200
    assert seen == {"wrong": [False, "price_id"], "product": "10 credits", "subscriptions": [], "credits": 0}


# --- the guide -------------------------------------------------------------------------------------------------------

GUIDE = (Path(__file__).parent.parent / "docs" / "documented-paths.md").read_text()


def blocks(language: str) -> str:
    """What the guide prints in a language."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", GUIDE, re.DOTALL | re.MULTILINE)
    assert found
    return "\n".join(textwrap.dedent(one) for one in found)


def test_the_guide_names_every_call_of_these_paths(desk: Desk) -> None:
    there = {
        f"{method.upper()} {re.sub('{.*?}', '{}', path)}"
        for path, calls in description_of(desk.url)["paths"].items()
        if path.startswith(("/api/", "/payments/"))
        for method in calls
    }
    named = re.findall(r"^\| `([A-Z]+ /[^`? ]+)", GUIDE, re.MULTILINE)
    assert {re.sub("{.*?}", "{}", one) for one in named} == there
    assert [hook for hook in HOOKS if f"`{hook}`" not in GUIDE] == []


def test_what_the_guide_prints_in_python_runs(desk: Desk, tmp_path: Path) -> None:
    code = "from paydesk import PaymentManager\npayments = PaymentManager()\n" + blocks("python")
    for _ in range(2):  # what people had is brought over once
        ended = run_python(code, tmp_path, PAYDESK_URL=desk.url, PAYDESK_API_KEY=desk.key)
        assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    pack, role, link = ended.stdout.split("\n")[:3]
    assert pack.startswith(desk.sandbox.url)
    assert role.split()[1] == "False"
    assert "/r/" in link
    assert data(desk, "GET", "/api/financial/credits/41")["balance"] == 120


def test_what_the_guide_prints_for_a_page_runs(desk: Desk) -> None:
    page_key = desk.post("/v1/keys", {"name": "page", "kind": "publishable"})["key"]
    desk.post("/api/financial/credits/123/add", {"amount": 1})
    token = desk.post("/v1/customer_sessions", {"customer": {"channel": "app", "external_id": "123"}})["token"]
    names = {"desk": desk.url, "publishableKey": page_key, "token": token}
    given = "".join(f"const {name} = {json.dumps(value)}\n" for name, value in names.items())
    code = f"const window = {{ location: {{}} }}\n{given}{blocks('js')}\nconsole.log(window.location.href)"
    ended = subprocess.run([node(), "--input-type=module", "-e", code], capture_output=True, text=True, timeout=60)
    assert ended.stdout.startswith(desk.sandbox.url), ended.stderr

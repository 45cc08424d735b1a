"""The API from outside: who may, what is refused and how, and that a repeat changes nothing."""

from __future__ import annotations

import re
import secrets
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx
import pytest

from desk import Buyer, Desk
from paydesk.store import embedded
from sandbox_fixtures import until


def error_of(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The error in an answer, which has the shape that every error has."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    error = dict(answer.json()["error"])
    assert set(error) - {"param"} == {"code", "message", "request_id"}
    assert error["code"] == code
    assert error["message"]
    assert error["request_id"] == answer.headers["Request-Id"]
    assert re.fullmatch(r"req_[0-9a-z]{26}", error["request_id"])
    return error


def checkout_of(buyer: Buyer, **more: Any) -> dict[str, Any]:
    return {"customer": buyer.who, "items": [{"price": "credits-10"}], **more}


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def limited(desk: Desk) -> dict[str, str]:
    """A key for each single scope."""
    made = {}
    for scope in ("read", "sell", "spend", "admin"):
        words = desk.command("keys", "create", f"only-{scope}", "--scope", scope).stdout.split()
        made[scope] = words[1]
    return made


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic abc", "Bearer sk_test_1", "Bearer pdk_unknown",
                                    "pdk_0123456789abcdef"])  # fmt: skip
def test_without_a_good_key_nothing_is_told(desk: Desk, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for method, path in (
        ("GET", "/v1/products"),
        ("GET", "/v1/status"),
        ("POST", "/v1/chat"),
        ("GET", "/v1/customers/x"),
    ):
        error_of(
            httpx.request(method, desk.url + path, headers=headers, json={} if method == "POST" else None),
            401,
            "unauthorized",
        )


def test_a_key_may_what_its_scope_says_and_admin_everything(desk: Desk, limited: dict[str, str]) -> None:
    said = {**desk.buyer().who, "text": "/help"}
    expected = {"read": (200, 403, 403), "sell": (403, 200, 403), "spend": (403, 403, 403), "admin": (200, 200, 404)}
    for scope, statuses in expected.items():
        key = limited[scope]
        answers = (
            desk.call("GET", "/v1/products", key=key),
            desk.call("POST", "/v1/chat", key=key, json=said),
            desk.call("POST", "/v1/events/evt_nothing/replay", key=key),
        )
        assert tuple(answer.status_code for answer in answers) == statuses, scope
    error = error_of(desk.call("GET", "/v1/products", key=limited["spend"]), 403, "forbidden")
    assert error["message"] == "this key lacks the scope read"


# --- errors ----------------------------------------------------------------------------------------------------------


def test_every_error_has_one_shape_and_names_the_request(desk: Desk) -> None:
    error_of(desk.call("GET", "/v1/nothing"), 404, "not_found")
    error_of(desk.call("DELETE", "/v1/products"), 405, "method_not_allowed")
    error_of(desk.call("GET", "/v1/customers/cst_nobody"), 404, "not_found")
    assert error_of(desk.call("GET", "/v1/orders/ord_nothing"), 404, "not_found")["param"] == "order"
    error_of(
        desk.call("POST", "/v1/chat", content=b"{", headers={"Content-Type": "application/json"}),
        422,
        "invalid_request",
    )
    first, second = (desk.call("GET", "/v1/products").headers["Request-Id"] for _ in range(2))
    assert first != second


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/checkouts", {"items": [{"price": "credits-10"}]}, "customer"),
    ("/v1/checkouts", {"customer": "cst_1"}, "items"),
    ("/v1/checkouts", {"customer": "cst_1", "items": []}, "items"),
    ("/v1/checkouts", {"customer": "cst_1", "items": [{"price": "credits-10"}], "discount": 5}, "discount"),
    ("/v1/checkouts", {"customer": "cst_1", "items": [{"price": "credits-10", "amount_usd": 5}]}, "items.0.amount_usd"),
    ("/v1/checkouts", {"customer": "cst_1", "items": [{"price": "credits-10", "quantity": 0}]}, "items.0.quantity"),
    ("/v1/checkouts", {"customer": "cst_1", "items": [{"price": "credits-10", "quantity": -1}]}, "items.0.quantity"),
    ("/v1/checkouts", {"customer": "cst_1", "items": [{"price": "credits-10", "quantity": 1.5}]}, "items.0.quantity"),
    ("/v1/checkouts", {"customer": "cst_1", "items": [{"price": "credits-10", "quantity": "2"}]}, "items.0.quantity"),
    ("/v1/checkouts", {"customer": "cst_1", "items": [{"price": "credits-10", "quantity": 10_001}]}, "items.0.quantity"),
    ("/v1/checkouts", {"customer": "cst_1", "items": [{"price": "credits\x00"}]}, "items.0.price"),
    ("/v1/checkouts", {"customer": "cst_1", "items": [{"name": "x", "amount": 0, "currency": "usd"}]}, "items.0.amount"),
    ("/v1/checkouts", {"customer": "cst_1", "items": [{"name": "x", "amount": 9.99, "currency": "usd"}]}, "items.0.amount"),
    ("/v1/checkouts", {"customer": "cst_1", "items": [{"name": "x", "amount": 999, "currency": "USD"}]}, "items.0.currency"),
    ("/v1/checkouts", {"customer": "cst_1", "items": [{"price": "credits-10"}], "metadata": {"k": 1}}, "metadata.k"),
    ("/v1/checkouts", {"customer": "cst_1", "items": [{"price": "credits-10"}], "metadata": {"k": "v" * 501}}, "metadata.k"),
    ("/v1/checkouts", {"customer": "cst_1", "items": [{"price": "credits-10"}], "metadata": {"k": "\x00"}}, "metadata.k"),
    ("/v1/checkouts", {"customer": "cst_1", "items": [{"price": "x"}], "conversation": "\x00"}, "conversation"),
    ("/v1/customers", {"identities": [{"channel": "web", "external_id": 1.5}]}, "identities.0.external_id"),
    ("/v1/customers", {"identities": [{"channel": "web", "external_id": "7", "note": ""}]}, "identities.0.note"),
    ("/v1/customers", {"emial": "ann@example.com"}, "emial"),
    ("/v1/chat", {"channel": "web", "external_id": "7"}, "text"),
    ("/v1/chat", {"channel": "web", "external_id": "7", "text": "x" * 4001}, "text"),
    ("/v1/chat", {"channel": "web", "external_id": "7", "text": 5}, "text"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "param"), REFUSED, ids=[f"{path} {param}" for path, _, param in REFUSED])
def test_a_malformed_request_is_refused_by_name(desk: Desk, path: str, body: dict[str, Any], param: str) -> None:
    error = error_of(desk.call("POST", path, json=body), 422, "invalid_request")
    assert error["param"] == param
    assert param in error["message"]


UNREAD = {
    "twice": (b'{"identities": [], "identities": []}', 422, "twice|duplicate"),
    "broken": (b'{"identities": ', 422, "is not JSON"),
    "deep": (b'{"name": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400, "deep"),
    "long": (b'{"name": ' + b"9" * 9000 + b"}", 422, "name"),
    "long and broken": (b'{"name": ' + b"9" * 9000, 422, "is not JSON"),
    "long and twice": (b'{"name": ' + b"9" * 9000 + b', "identities": [], "identities": []}', 422, "twice"),
    "long and deep": (b'{"name": ' + b"9" * 9000 + b', "identities": ' + b"[" * 50_000, 400, "body|deep|JSON"),
    "exponent": (b'{"name": 1E999999999999999999999}', 422, "name"),
}


@pytest.mark.parametrize("case", UNREAD)
def test_a_body_that_cannot_be_read_is_refused_in_words(desk: Desk, case: str) -> None:
    body, status, words = UNREAD[case]
    answer = desk.call("POST", "/v1/customers", content=body, headers={"Content-Type": "application/json"})
    error = error_of(answer, status, "invalid_request")
    assert re.search(words, error["message"])
    assert error.get("param") == ("name" if case in ("exponent", "long") else None)


def test_a_body_that_does_not_say_what_it_is_is_told_how(desk: Desk) -> None:
    for kind in ({}, {"Content-Type": "text/plain"}):
        answer = desk.call("POST", "/v1/customers", content=b"{}", headers=kind)
        assert error_of(answer, 422, "invalid_request")["param"] == "Content-Type"


@pytest.mark.parametrize(
    ("given", "param"),
    [({"customer": {"channel": "web", "external_id": []}}, "customer.external_id"), ({"customer": 5}, "customer"),
     ({"customer": {"channel": "web"}}, "customer.external_id"), ({"customer": "cst_1", "metadata": {"k": 1}}, "metadata.k")],
    ids=["inside", "itself", "missing", "metadata"],
)  # fmt: skip
def test_param_is_the_field_as_it_was_sent(desk: Desk, given: dict[str, Any], param: str) -> None:
    body = {"items": [{"price": "credits-10"}], **given}
    error = error_of(desk.call("POST", "/v1/checkouts", json=body), 422, "invalid_request")
    assert error["param"] == param
    assert "Value error" not in error["message"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/customers", {"email": "no address"}, "email"),
        ("/v1/customers", {"name": " "}, "name"),
        ("/v1/customers", {"name": "a\nb"}, "name"),
        ("/v1/customers", {"locale": "klingon!"}, "locale"),
        ("/v1/customers", {"identities": [{"channel": "Web", "external_id": "7"}]}, "channel"),
        ("/v1/customers", {"identities": [{"channel": "web", "external_id": ""}]}, "external_id"),
        ("/v1/customers", {"identities": [{"channel": "web", "external_id": "a\u202eb"}]}, "external_id"),
        ("/v1/chat", {"channel": "web", "external_id": "x" * 201, "text": "hi"}, "external_id"),
        ("/v1/checkouts", {"customer": {"channel": "!", "external_id": "7"}, "items": [{"price": "credits-10"}]}, "channel"),
        ("/v1/checkouts", {"customer": "cst_1", "items": [{"price": "a", "amount": 5}]}, "items"),
        ("/v1/checkouts", {"customer": "cst_1", "items": [{"name": "a", "amount": 500}]}, "items"),
        ("/v1/checkouts", {"customer": "cst_1", "items": [{}]}, "items"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_400_with_its_parameter(desk: Desk, path: str, body: dict[str, Any], param: str) -> None:
    assert error_of(desk.call("POST", path, json=body), 400, "invalid_request")["param"] == param


NUL_PATHS = [
    "/v1/customers/a%00b", "/v1/orders/%00", "/v1/customers?channel=web&external_id=%00", "/v1/events?starting_after=%00",
    "/v1/events?state=%00", "/v1/customers/x/access?feature=%00", "/v1/chat/messages?channel=web&external_id=%00",
]  # fmt: skip


@pytest.mark.parametrize("path", NUL_PATHS)
def test_what_the_database_cannot_hold_is_refused_in_an_address_too(desk: Desk, path: str) -> None:
    error_of(desk.call("GET", path), 400, "invalid_request")


def test_lone_surrogates_and_bytes_that_are_no_text_are_refused(desk: Desk) -> None:
    for raw in (
        b'{"channel":"web","external_id":"7","text":"\\ud800"}', b'{"channel":"web","external_id":"\\udfff","text":"x"}',
        b'{"channel":"web","external_id":"7","text":"\xff"}', b"\xff\xfe", b"[]", b"null", b'"x"', b"[" * 100_000,
    ):  # fmt: skip
        answer = desk.call("POST", "/v1/chat", content=raw, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), (raw[:40], answer.text)
        assert answer.json()["error"]["request_id"] == answer.headers["Request-Id"]
    assert desk.call("GET", "/v1/customers/%ff%fe").status_code == 404


def test_a_body_too_large_is_413_whether_it_tells_its_length_or_not(desk: Desk) -> None:
    body = b'{"channel": "web", "external_id": "7", "text": "' + b"x" * 300_000 + b'"}'
    json_header = {"Content-Type": "application/json"}
    error_of(desk.call("POST", "/v1/chat", content=body, headers=json_header), 413, "too_large")
    pieces = (body[start : start + 50_000] for start in range(0, len(body), 50_000))
    error_of(desk.call("POST", "/v1/chat", content=pieces, headers=json_header), 413, "too_large")


# --- idempotency -----------------------------------------------------------------------------------------------------


def test_a_repeat_with_the_same_key_gets_the_first_answer_and_makes_nothing(desk: Desk) -> None:
    buyer, key = desk.buyer(), secrets.token_hex(8)
    first = desk.call("POST", "/v1/checkouts", json=checkout_of(buyer), headers={"Idempotency-Key": key})
    again = desk.call("POST", "/v1/checkouts", json=checkout_of(buyer), headers={"Idempotency-Key": key})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Request-Id"] != first.headers["Request-Id"]
    assert desk.sql("SELECT count(*) AS n FROM orders WHERE customer_id = $1", buyer.id) == [{"n": 1}]
    sessions = desk.at_stripe("GET", "/v1/checkout/sessions", {"limit": 100}).json()["data"]
    assert len([s for s in sessions if s["client_reference_id"] == first.json()["id"]]) == 1


def test_the_same_key_for_something_else_is_409(desk: Desk) -> None:
    buyer, headers = desk.buyer(), {"Idempotency-Key": secrets.token_hex(8)}
    desk.post("/v1/checkouts", checkout_of(buyer), Idempotency_Key=headers["Idempotency-Key"])
    other = desk.call("POST", "/v1/checkouts", json=checkout_of(buyer, items=[{"price": "bundle"}]), headers=headers)
    assert error_of(other, 409, "idempotency_mismatch")["param"] == "Idempotency-Key"


def test_a_key_belongs_to_the_customer_whatever_api_key_used_it(desk: Desk, limited: dict[str, str]) -> None:
    buyer, headers = desk.buyer(), {"Idempotency-Key": secrets.token_hex(8)}
    first = desk.call("POST", "/v1/checkouts", json=checkout_of(buyer), headers=headers)
    again = desk.call("POST", "/v1/checkouts", json=checkout_of(buyer), headers=headers, key=limited["sell"])
    assert (again.json()["id"], again.headers["Idempotent-Replayed"]) == (first.json()["id"], "true")
    other = desk.call("POST", "/v1/checkouts", json=checkout_of(desk.buyer()), headers=headers)
    assert other.json()["id"] != first.json()["id"]


def test_many_at_once_with_one_key_make_one_order(desk: Desk) -> None:
    buyer, headers = desk.buyer(), {"Idempotency-Key": secrets.token_hex(8)}
    buyer.say("/start")
    together = threading.Barrier(8)

    def order(_: int) -> httpx.Response:
        together.wait()
        return desk.call("POST", "/v1/checkouts", json=checkout_of(buyer), headers=headers)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(order, range(8)))
    made = [answer for answer in answers if answer.status_code == 201]
    assert made
    assert len({answer.json()["id"] for answer in made}) == 1
    for answer in answers:
        if answer.status_code != 201:
            error_of(answer, 409, "idempotency_key_in_use")
    assert desk.sql("SELECT count(*) AS n FROM orders WHERE customer_id = $1", buyer.id) == [{"n": 1}]


def test_a_request_that_died_half_way_is_in_use_for_a_minute_and_then_resumed(desk: Desk) -> None:
    buyer, key = desk.buyer(), secrets.token_hex(8)
    headers = {"Idempotency-Key": key}
    first = desk.call("POST", "/v1/checkouts", json=checkout_of(buyer), headers=headers).json()
    # As a process leaves it that died after it had made the order and before it could say so.
    desk.sql(
        "UPDATE idempotency_key SET status = NULL, body = NULL, locked_until = now() + interval '60 s' WHERE key = $1",
        key,
    )
    desk.sql("UPDATE orders SET session = NULL, session_url = NULL, session_status = NULL WHERE id = $1", first["id"])
    desk.sql("UPDATE stripe_call SET state = 'pending' WHERE subject = $1", first["id"])
    error_of(
        desk.call("POST", "/v1/checkouts", json=checkout_of(buyer), headers=headers), 409, "idempotency_key_in_use"
    )
    desk.sql("UPDATE idempotency_key SET locked_until = now() - interval '1 s' WHERE key = $1", key)
    resumed = desk.call("POST", "/v1/checkouts", json=checkout_of(buyer), headers=headers)
    assert resumed.status_code == 201
    assert (resumed.json()["id"], resumed.json()["session"]) == (first["id"], first["session"])
    assert desk.sql("SELECT count(*) AS n FROM orders WHERE customer_id = $1", buyer.id) == [{"n": 1}]


def test_a_refusal_is_not_kept(desk: Desk) -> None:
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    someone = {"identities": [desk.buyer().who], "email": "nobody"}
    error_of(desk.call("POST", "/v1/orders/ord_x/cancel", headers=headers), 404, "not_found")
    error_of(desk.call("POST", "/v1/orders/ord_x/cancel", headers=headers), 404, "not_found")
    assert desk.sql("SELECT count(*) AS n FROM idempotency_key WHERE key = $1", headers["Idempotency-Key"]) == [
        {"n": 0}
    ]
    error_of(desk.call("POST", "/v1/customers", json=someone, headers=headers), 400, "invalid_request")
    mended = desk.call("POST", "/v1/customers", json={**someone, "email": "ann@example.com"}, headers=headers)
    assert mended.status_code == 201


@pytest.mark.parametrize("key", ["x" * 256, "a b", "\xe9"])
def test_a_key_is_short_visible_text(desk: Desk, key: str) -> None:
    answer = desk.call("POST", "/v1/customers", json={}, headers={"Idempotency-Key": key.encode("latin-1")})
    assert error_of(answer, 400, "invalid_request")["param"] == "Idempotency-Key"


# --- catalogue and people --------------------------------------------------------------------------------------------


def test_products_are_those_of_the_catalogue(desk: Desk) -> None:
    listed = desk.get("/v1/products")
    assert listed["has_more"] is False
    products = {product["key"]: product for product in listed["data"]}
    assert products["credits-50"]["prices"] == [
        {"key": "credits-50", "currency": "usd", "amount": 3999, "display": "$39.99",
         "interval": None, "interval_count": 1, "trial_days": 0},
    ]  # fmt: skip
    (monthly,) = products["plus"]["prices"]
    assert (monthly["interval"], monthly["interval_count"], monthly["trial_days"]) == ("month", 1, 0)
    assert products["credits-50"]["grants"] == [
        {"kind": "credits", "unit": "credits", "amount": 50, "expires_days": 30, "priority": 0}
    ]
    assert [price["key"] for price in products["supporter"]["prices"]] == ["supporter-usd", "supporter-jpy"]


def test_a_customer_is_made_found_and_shown(desk: Desk) -> None:
    who = {"channel": "telegram", "external_id": int(secrets.token_hex(4), 16)}
    made = desk.post("/v1/customers", {"identities": [who], "email": "Ann@example.com", "name": "Ann Ó", "locale": "pl",
                                       "metadata": {"plan": "b"}})  # fmt: skip
    assert made["identities"] == [{"channel": "telegram", "external_id": str(who["external_id"])}]
    assert (made["email"], made["name"], made["locale"], made["metadata"]) == (
        "Ann@example.com",
        "Ann Ó",
        "pl",
        {"plan": "b"},
    )
    assert desk.get(f"/v1/customers/{made['id']}") == made
    assert desk.get("/v1/customers", **who)["data"] == [made]
    assert desk.get("/v1/customers", channel="telegram", external_id="nobody") == {"data": [], "has_more": False}
    assert desk.post("/v1/customers", {})["identities"] == []


def test_an_identity_of_somebody_else_is_409_and_nothing_is_made(desk: Desk) -> None:
    buyer = desk.buyer()
    buyer.say("/start")
    new = {"channel": "web", "external_id": secrets.token_hex(8)}
    refused = desk.call("POST", "/v1/customers", json={"identities": [new, buyer.who], "email": "ann@example.com"})
    assert error_of(refused, 409, "conflict")["param"] == "identities"
    assert desk.get("/v1/customers", **new)["data"] == []


def test_personal_data_is_sealed_at_rest(desk: Desk, server: embedded.Embedded) -> None:
    mail, name = f"{secrets.token_hex(6)}@example.com", f"Ann {secrets.token_hex(6)}"
    made = desk.post("/v1/customers", {"email": mail, "name": name}, Idempotency_Key=secrets.token_hex(8))
    assert made["email"] == mail
    whole = subprocess.run(
        [server.binaries / "pg_dump", desk.settings["DATABASE_URL"]], capture_output=True, check=True
    ).stdout
    assert made["id"].encode() in whole
    for text in (mail, name):
        assert text.encode() not in whole
        assert text.encode().hex().encode() not in whole


# --- selling ---------------------------------------------------------------------------------------------------------


def test_a_checkout_is_an_order_with_a_session_and_two_addresses(desk: Desk) -> None:
    buyer = desk.buyer()
    items = [{"price": "credits-10", "quantity": 3}, {"price": "supporter-usd"}]
    order = desk.post("/v1/checkouts", checkout_of(buyer, items=items, conversation="c7", metadata={"campaign": "may"}))
    assert (order["status"], order["amount"], order["currency"], order["livemode"]) == (
        "open",
        3 * 999 + 500,
        "usd",
        False,
    )
    assert order["items"][0] == {"price": "credits-10", "name": "10 credits", "quantity": 3, "amount": 999}
    assert order["url"].startswith(desk.sandbox.url)
    assert order["link"].startswith(f"{desk.url}/r/")
    assert (order["customer"], order["conversation"], order["metadata"]) == (buyer.id, "c7", {"campaign": "may"})
    assert datetime.fromisoformat(order["created_at"])
    assert order["created_at"].endswith("Z")
    assert desk.get(f"/v1/orders/{order['id']}") == order
    session = desk.at_stripe("GET", f"/v1/checkout/sessions/{order['session']}").json()
    assert session["client_reference_id"] == order["id"]
    assert session["metadata"] == {"paydesk_order": order["id"], "paydesk_attempt": "1", "campaign": "may"}
    assert buyer.pay(order).status_code == 200
    desk.settled(order["id"])
    assert buyer.balance() == 30


OURS = ("order", "coupon", "promotion_code", "promotion_codes", "card", "topup", "whatever")


def test_metadata_of_the_caller_cannot_name_a_discount_or_another_order(desk: Desk) -> None:
    who = {"customer": desk.buyer().who}
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/v1/checkouts", {**who, "items": [{"price": "credits-10"}]}),
        ("POST", "/v1/payments", {**who, "amount": 2000, "currency": "usd"}),
        ("POST", "/v1/subscriptions", {**who, "price": "plus"}),
        ("POST", "/v1/customers", {}),
        ("PATCH", "/v1/customers/cst_1", {}),
    ]
    for method, path, body in asked:
        for name in OURS:
            wrong = {**body, "metadata": {"mine": "1", f"paydesk_{name}": "free"}}
            error = error_of(desk.call(method, path, json=wrong), 422, "invalid_request")
            assert error["param"] == "metadata"
            assert f"paydesk_{name}" in error["message"]
    made = desk.post("/v1/checkouts", {**asked[0][2], "metadata": {"paydesk": "mine", "my_paydesk_card": "1"}})
    assert made["metadata"] == {"paydesk": "mine", "my_paydesk_card": "1"}


@pytest.mark.parametrize(
    ("items", "status", "words"),
    [
        ([{"price": "nothing"}], 404, "no price 'nothing'"),
        ([{"price": "supporter"}], 404, "name one of them: supporter-usd, supporter-jpy"),
        ([{"price": "credits-10"}, {"price": "tokens"}], 400, "one currency, these items have eur and usd"),
        ([{"price": "supporter-jpy"}, {"price": "supporter-usd"}], 400, "jpy and usd"),
        ([{"price": "bundle", "quantity": 10_000}] * 3, 400, "more than Stripe takes"),
        ([{"name": "Tip", "amount": 49, "currency": "usd"}], 400, "less than Stripe takes: $0.50"),
    ],
)  # fmt: skip
def test_an_order_that_cannot_be_is_refused(desk: Desk, items: list[dict[str, Any]], status: int, words: str) -> None:
    answer = desk.call("POST", "/v1/checkouts", json=checkout_of(desk.buyer(), items=items))
    assert words in error_of(answer, status, "not_found" if status == 404 else "invalid_request")["message"]


def test_a_checkout_for_nobody_is_404(desk: Desk) -> None:
    body = {"customer": "cst_nobody", "items": [{"price": "credits-10"}]}
    error_of(desk.call("POST", "/v1/checkouts", json=body), 404, "not_found")


def test_an_ad_hoc_item_is_paid_and_grants_nothing(desk: Desk, limited: dict[str, str]) -> None:
    buyer = desk.buyer()
    items = [{"name": "A tip", "amount": 700, "currency": "usd", "quantity": 2}]
    order = desk.post("/v1/checkouts", checkout_of(buyer, items=items))
    assert order["amount"] == 1400
    assert order["items"] == [{"price": None, "name": "A tip", "quantity": 2, "amount": 700}]
    assert buyer.pay(order).status_code == 200
    assert desk.settled(order["id"], "paid")["status"] == "paid"
    assert buyer.balance() == 0
    reader = desk.call("POST", "/v1/checkouts", key=limited["read"], json=checkout_of(buyer, items=items))
    error_of(reader, 403, "forbidden")


def test_a_pushed_stripe_price_may_be_sold_by_its_own_id(desk: Desk) -> None:
    assert desk.command("catalog", "push").returncode == 0
    pushed = desk.sql("SELECT stripe_price FROM price WHERE key = 'credits-50'")[0]["stripe_price"]
    buyer = desk.buyer()
    order = buyer.checkout(pushed)
    assert (order["amount"], order["items"][0]["price"]) == (3999, "credits-50")
    assert buyer.pay(order).status_code == 200
    desk.settled(order["id"])
    lots = desk.get(f"/v1/customers/{buyer.id}/credits")["lots"]
    assert [(lot["source"], lot["remaining"]) for lot in lots] == [(f"{order['id']}:0:0", 50)]


EVIL_ADDRESSES = [
    "//evil.example", "/\\evil.example", "javascript:alert(1)", "data:text/html,x", "https:evil.example", "https:///evil",
    "https://good.example@evil.example/", "https://good.example\\@evil.example", "https://evil.example\r\nSet-Cookie: a=b",
    "https://ev il.example", " https://evil.example", "https://evil.example\t", "ftp://evil.example", "https://", "https://[",
    "https://evil.example:99999/", "HTTPS://evil.example", "", "https://évil.example",
]  # fmt: skip


@pytest.mark.parametrize("address", EVIL_ADDRESSES)
def test_an_address_that_is_not_plain_is_refused_to_go_back_to(desk: Desk, address: str) -> None:
    for param in ("success_url", "cancel_url"):
        answer = desk.call("POST", "/v1/checkouts", json=checkout_of(desk.buyer(), **{param: address}))
        assert error_of(answer, 400, "invalid_request")["param"] == param


def test_a_plain_address_is_where_the_buyer_goes_back_to(desk: Desk) -> None:
    addresses = {
        "success_url": "https://shop.example/thanks?s={CHECKOUT_SESSION_ID}",
        "cancel_url": "https://shop.example?no=1",
    }
    order = desk.post("/v1/checkouts", checkout_of(desk.buyer(), **addresses))
    session = desk.at_stripe("GET", f"/v1/checkout/sessions/{order['session']}").json()
    assert {name: session[name] for name in addresses} == addresses


def test_canceling_an_order_expires_its_session_and_nobody_can_pay_it(desk: Desk) -> None:
    buyer = desk.buyer()
    order = buyer.checkout("credits-10")
    canceled = desk.post(f"/v1/orders/{order['id']}/cancel", {})
    assert (canceled["status"], canceled["url"]) == ("canceled", None)
    assert canceled["canceled_at"]
    assert desk.at_stripe("GET", f"/v1/checkout/sessions/{order['session']}").json()["status"] == "expired"
    assert buyer.pay(order).status_code == 400
    assert desk.post(f"/v1/orders/{order['id']}/cancel", {}) == canceled
    desk.quiet()
    assert desk.get(f"/v1/orders/{order['id']}")["status"] == "canceled"


def test_a_paid_order_is_not_canceled(desk: Desk) -> None:
    buyer = desk.buyer()
    order = buyer.buy("credits-10")
    error = error_of(desk.call("POST", f"/v1/orders/{order['id']}/cancel"), 409, "conflict")
    assert error["message"] == f"{order['id']} is fulfilled and cannot be canceled"
    assert buyer.balance() == 10


# --- what somebody has -----------------------------------------------------------------------------------------------


def test_credits_are_told_by_unit_with_their_lots(desk: Desk) -> None:
    buyer = desk.buyer()
    assert desk.call("GET", "/v1/customers/cst_nobody/credits").status_code == 404
    buyer.say("/start")
    assert desk.get(f"/v1/customers/{buyer.id}/credits") == {
        "unit": "credits", "balance": 0, "held": 0, "debt": 0, "lots": [], "units": {},
    }  # fmt: skip
    lasting, ending, tokens = buyer.buy("credits-10"), buyer.buy("credits-50"), buyer.buy("tokens")
    told = desk.get(f"/v1/customers/{buyer.id}/credits")
    assert (told["unit"], told["balance"], told["held"], told["debt"]) == ("credits", 60, 0, 0)
    assert [lot["source"] for lot in told["lots"]] == [f"{ending['id']}:0:0", f"{lasting['id']}:0:0"]
    assert told["lots"][1]["expires_at"] is None
    assert told["units"]["tokens"]["balance"] == 1000
    other = desk.get(f"/v1/customers/{buyer.id}/credits", unit="tokens")
    assert (other["balance"], other["lots"][0]["source"]) == (1000, f"{tokens['id']}:0:0")
    assert other["units"]["credits"]["balance"] == 60
    unknown = desk.call("GET", f"/v1/customers/{buyer.id}/credits", params={"unit": "gold"})
    assert error_of(unknown, 400, "invalid_request")["param"] == "unit"


def test_access_tells_whether_until_when_and_why(desk: Desk) -> None:
    buyer = desk.buyer()
    buyer.say("/start")
    assert buyer.access("premium") == {"allowed": False, "until": None, "because": [], "reasons": []}
    order = buyer.buy("bundle")
    premium = buyer.access("premium")
    assert (premium["allowed"], premium["because"]) == (True, [f"{order['id']}:0:1"])
    assert premium["until"] > order["paid_at"]
    (reason,) = premium["reasons"]
    assert (reason["source"], reason["kind"]) == (f"{order['id']}:0:1", "pass")
    assert (reason["order"], reason["subscription"], reason["product"]) == (order["id"], None, "Bundle")
    assert reason["text"].startswith("Bundle, bought, until ")
    assert (reason["since"], reason["until"]) == (order["paid_at"], premium["until"])
    assert error_of(desk.call("GET", f"/v1/customers/{buyer.id}/access"), 422, "invalid_request")["param"] == "feature"


def test_the_timeline_tells_everything_the_newest_first(desk: Desk) -> None:
    buyer = desk.buyer()
    order = buyer.buy("bundle")
    steps = desk.get(f"/v1/customers/{buyer.id}/timeline", limit=100)["data"]
    assert {step["what"] for step in steps} == {"order", "payment", "event", "entry", "grant", "delivery"}
    assert [step["at"] for step in steps] == sorted((step["at"] for step in steps), reverse=True)
    assert next(step for step in steps if step["what"] == "order")["id"] == order["id"]
    grants = [step for step in steps if step["what"] == "entry" and step["reason"] == "grant"]
    assert [(step["amount"], step["from"], step["to"]) for step in grants] == [(100, "sold", "wallet")]


# --- operation -------------------------------------------------------------------------------------------------------


def test_events_are_listed_a_page_at_a_time_and_replayed_without_a_second_effect(desk: Desk) -> None:
    buyer = desk.buyer()
    buyer.buy("credits-10")
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = desk.get("/v1/events", limit=7, **cursor)
        assert len(page["data"]) <= 7
        seen += [event["id"] for event in page["data"]]
        if not page["has_more"]:
            break
        cursor = {"starting_after": seen[-1]}
    assert len(seen) == len(set(seen)) == desk.sql("SELECT count(*) AS n FROM inbox")[0]["n"]
    done = desk.get("/v1/events", state="done", limit=100)["data"]
    assert {event["state"] for event in done} == {"done"}
    event = next(event for event in done if event["type"] == "checkout.session.completed")
    assert desk.post(f"/v1/events/{event['id']}/replay", {})["state"] in ("ready", "done")
    desk.quiet()
    assert buyer.balance() == 10
    assert len([text for text in buyer.told() if "Paid" in text]) == 1
    assert error_of(desk.call("GET", "/v1/events", params={"state": "odd"}), 422, "invalid_request")["param"] == "state"
    unknown = desk.call("GET", "/v1/events", params={"starting_after": "evt_nothing"})
    assert error_of(unknown, 400, "invalid_request")["param"] == "starting_after"
    for limit in (0, 101, "x"):
        assert (
            error_of(desk.call("GET", "/v1/events", params={"limit": limit}), 422, "invalid_request")["param"]
            == "limit"
        )
    error_of(desk.call("POST", "/v1/events/evt_nothing/replay"), 404, "not_found")


def test_deliveries_are_listed_and_a_dead_one_is_retried(desk: Desk) -> None:
    buyer = desk.buyer()
    buyer.buy("credits-10")
    one = desk.get("/v1/deliveries", state="sent", limit=1)["data"][0]
    assert (one["template"], one["customer"], one["channel"], one["attempts"]) == ("paid", buyer.id, "web", 1)
    desk.sql("UPDATE outbox SET state = 'dead' WHERE id = $1", int(one["id"]))
    assert desk.get("/v1/deliveries", state="dead")["data"][0]["id"] == one["id"]
    assert desk.get("/v1/status")["outbox"]["dead"] == 1
    assert desk.post(f"/v1/deliveries/{one['id']}/retry", {})["state"] in ("waiting", "sent")
    until(lambda: desk.get("/v1/deliveries", limit=1)["data"][0]["state"] == "sent")
    assert len([text for text in buyer.told() if "Paid" in text]) == 1, "the thread keeps a message once"
    for id_, code in (("999999999", "not_found"), ("abc", "invalid_request"), ("9" * 40, "invalid_request")):
        error_of(desk.call("POST", f"/v1/deliveries/{id_}/retry"), 404 if code == "not_found" else 400, code)
    assert error_of(desk.call("GET", "/v1/deliveries", params={"starting_after": "-1"}), 400, "invalid_request")


def test_chat_answers_and_later_messages_are_fetched_by_number(desk: Desk) -> None:
    buyer = desk.buyer("telegram")
    assert buyer.say("/help")[0]["text"].startswith("/buy")
    assert {button["command"] for button in buyer.say("/start@paydesk_bot")[0]["buttons"]} == {
        "/buy",
        "/balance",
        "/help",
    }
    assert "did not understand" in buyer.say("what is this?")[0]["text"]
    assert buyer.say("/balance")[0]["text"] == "You have nothing yet. /buy shows what there is."
    assert buyer.say("/history")[0]["text"] == "You have not bought anything yet. /buy shows what there is."
    shelf = buyer.say("/buy")[0]
    assert "• 10 credits – $9.99" in shelf["text"]
    assert {"label": "Bundle", "command": "/buy bundle"} in shelf["buttons"]
    assert [b["command"] for b in buyer.say("/buy supporter")[0]["buttons"]] == [
        "/buy supporter-usd",
        "/buy supporter-jpy",
    ]
    assert "no such product" in buyer.say("/buy gold; DROP TABLE orders")[0]["text"]
    first, second = (buyer.say(text)[0]["buttons"][0]["url"] for text in ("/buy credits-10", "10 credits"))
    assert first == second, "an unpaid order is used again"
    buyer.buy("credits-10")
    messages = desk.get("/v1/chat/messages", **buyer.who)
    assert [m["direction"] for m in messages["data"]] == ["out"]
    assert desk.get("/v1/chat/messages", **buyer.who, after=messages["data"][0]["id"]) == {
        "data": [],
        "has_more": False,
    }


def test_status_counts_what_waits(desk: Desk) -> None:
    desk.quiet()
    status = desk.get("/v1/status")
    assert set(status["inbox"]) == {"waiting", "parked", "quarantined"}
    assert set(status["outbox"]) == {"waiting", "held", "dead"}
    assert (status["inbox"]["waiting"], status["outbox"]["waiting"]) == (0, 0)
    assert set(status["timers"]) == {"waiting", "due"}


def test_health_readiness_and_figures_need_no_key_and_tell_no_secret(desk: Desk) -> None:
    for path in ("/healthz", "/readyz"):
        assert httpx.get(desk.url + path).text == "ok\n"
    figures = httpx.get(desk.url + "/metrics")
    assert figures.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    for name in (
        "paydesk_events_received_total",
        "paydesk_waiting",
        "paydesk_settle_seconds_count",
        "paydesk_deliveries_total",
    ):
        assert name in figures.text
    for name in (
        "PAYDESK_API_KEY",
        "STRIPE_API_KEY",
        "STRIPE_WEBHOOK_SECRET",
        "PAYDESK_ENCRYPTION_KEYS",
        "DATABASE_URL",
    ):
        assert desk.settings[name] not in figures.text
    assert not re.search(r"\b(sk|pdk|whsec|cus|cst|evt)_", figures.text)


def test_the_description_is_valid_openapi_and_names_every_call(desk: Desk) -> None:
    import jsonschema

    description = httpx.get(desk.url + "/openapi.json").json()
    assert description["openapi"].startswith("3.1")
    assert {"/v1/products", "/v1/checkouts", "/v1/orders/{order}/cancel", "/v1/chat", "/v1/status"} <= set(
        description["paths"]
    )
    for schema in description["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    names = [operation["operationId"] for path in description["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
    for path in description["paths"].values():
        for operation in path.values():
            assert operation["summary"]
            assert operation["tags"]
            for parameter in operation.get("parameters", []):
                assert parameter["in"] in ("path", "query") or parameter["name"] == "Idempotency-Key"
    for reference in re.findall(
        r'"\$ref": ?"#/components/schemas/([^"]+)"', httpx.get(desk.url + "/openapi.json").text
    ):
        assert reference in description["components"]["schemas"]


def test_a_revoked_key_dies_within_five_seconds(desk: Desk) -> None:
    id_, key = desk.command("keys", "create", "short-lived", "--scope", "read").stdout.split()[:2]
    assert desk.call("GET", "/v1/status", key=key).status_code == 200
    desk.sql("UPDATE api_key SET revoked_at = now() WHERE id = $1", id_)
    began = time.monotonic()
    until(lambda: desk.call("GET", "/v1/status", key=key).status_code == 401, what="the end of the key")
    assert time.monotonic() - began < 9

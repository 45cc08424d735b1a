"""A publishable key stands in a web page: it opens what everybody may see, and to a recognised buyer their own things."""

from __future__ import annotations

import secrets
import time
from datetime import datetime
from typing import Any

import httpx
import pytest

from desk import Buyer, Desk, new_order_id
from sandbox_fixtures import until
from story_keys import refused_soon
from story_payments import PAID, refused

PAGE = {"Origin": "https://shop.example"}


@pytest.fixture(scope="module")
def page_key(desk: Desk) -> str:
    """A publishable key."""
    return str(desk.post("/v1/keys", {"name": "shop", "kind": "publishable", "rate_per_s": 1000})["key"])


def token_of(desk: Desk, buyer: Buyer, **options: Any) -> str:
    """What a server gives the page of a buyer."""
    return str(desk.post("/v1/customer_sessions", {"customer": buyer.who, **options})["token"])


def from_page(
    desk: Desk, key: str, method: str, path: str, token: str | None = None, **options: Any
) -> httpx.Response:  # fmt: skip
    """A request as a browser sends it for a page."""
    headers = {**PAGE, **({} if token is None else {"Paydesk-Customer": token}), **options.pop("headers", {})}
    return desk.call(method, path, key=key, headers=headers, **options)


def test_a_page_shows_what_is_sold_before_anybody_is_recognised(desk: Desk, page_key: str) -> None:
    sold = from_page(desk, page_key, "GET", "/v1/products")
    assert sold.json() == desk.get("/v1/products")
    config = from_page(desk, page_key, "GET", "/v1/config").json()
    assert config["object"] == "config"
    assert "usd" in config["currencies"]
    assert config["shop"] is None
    assert config["language"] in config["languages"]
    refused(from_page(desk, page_key, "GET", "/v1/customers/me/credits"), 403, "buyer_required")


def test_a_buyer_buys_and_sees_their_own_things_from_a_page(desk: Desk, page_key: str) -> None:
    ann = desk.buyer()
    token = token_of(desk, ann)
    body = {"customer": "me", "items": [{"price": "credits-10"}], "success_url": "https://shop.example/thanks"}
    made = from_page(desk, page_key, "POST", "/v1/checkouts", token, json=body)
    assert made.status_code == 201, made.text
    order = made.json()
    assert (order["customer"], order["amount"], order["metadata"]) == (ann.id, 999, {})
    ann.pay(order)
    desk.settled(order["id"])
    for path in (f"/v1/orders/{order['id']}", "/v1/customers/me", f"/v1/customers/{ann.id}/credits"):
        assert from_page(desk, page_key, "GET", path, token).status_code == 200, path
    assert from_page(desk, page_key, "GET", "/v1/customers/me/credits", token).json()["balance"] == 10
    allowed = from_page(desk, page_key, "GET", "/v1/customers/me/access", token, params={"feature": "premium"})
    assert allowed.json()["allowed"] is False
    assert from_page(desk, page_key, "POST", "/v1/portal", token, json={"customer": "me"}).status_code == 201


def test_what_is_somebody_elses_is_not_found_just_as_what_there_is_not(desk: Desk, page_key: str) -> None:
    ann, bob = desk.buyer(), desk.buyer()
    token, bobs = token_of(desk, ann), bob.checkout("credits-10")["id"]
    nobody = "cst_" + "0" * 26
    pairs = [
        ("GET", "/v1/orders/{}", bobs, new_order_id()),
        ("GET", "/v1/customers/{}", bob.id, nobody),
        ("GET", "/v1/customers/{}/credits", bob.id, nobody),
        ("GET", "/v1/customers/{}/access?feature=premium", bob.id, nobody),
    ]
    for method, path, foreign, unknown in pairs:
        answers = [from_page(desk, page_key, method, path.format(id_), token) for id_ in (foreign, unknown)]
        assert [one.status_code for one in answers] == [404, 404], path
        told = [one.json()["error"] for one in answers]
        texts = [one["message"].replace(id_, "…") for one, id_ in zip(told, (foreign, unknown), strict=True)]
        assert texts[0] == texts[1], path
        assert [(one["code"], one["param"]) for one in told] == [("not_found", told[0]["param"])] * 2


def test_a_page_names_no_price_of_its_own_and_says_nothing_that_is_the_shops_to_say(desk: Desk, page_key: str) -> None:
    token = token_of(desk, desk.buyer())
    item = {"name": "Cheap", "amount": 1, "currency": "usd", "quantity": 1}
    priced = {"price": "credits-10"}
    for path, body in (
        ("/v1/checkouts", {"customer": "me", "items": [item]}),
        ("/v1/checkouts", {"customer": "me", "items": [priced], "metadata": {"vip": "yes"}}),
        ("/v1/checkouts", {"customer": "me", "items": [priced], "coupon": "half"}),
        ("/v1/subscriptions", {"customer": "me", "price": "vip-month"}),  # which has a trial, and would need no card
        ("/v1/subscriptions", {"customer": "me", "price": "plus", "payment_method": "default"}),
        ("/v1/payments", {"customer": "me", "amount": 50, "currency": "usd"}),
        ("/v1/payments", {"customer": "me", "items": [priced], "capture_method": "manual"}),
    ):
        refused(from_page(desk, page_key, "POST", path, token, json=body), 403, "secret_key_required")


def test_the_idempotency_keys_of_a_page_are_not_those_of_the_server(desk: Desk, page_key: str) -> None:
    ann, key = desk.buyer(), {"Idempotency-Key": secrets.token_hex(8)}
    body = {"customer": ann.who, "items": [{"price": "credits-10"}]}
    token = token_of(desk, ann)
    first = from_page(desk, page_key, "POST", "/v1/checkouts", token, json=body, headers=key)
    again = from_page(desk, page_key, "POST", "/v1/checkouts", token, json=body, headers=key)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first.json(), "true")
    servers = desk.call("POST", "/v1/checkouts", json=body, headers=key)
    assert servers.json()["id"] != first.json()["id"]


def test_a_page_lets_a_subscription_end_and_takes_that_back_and_no_more(desk: Desk, page_key: str) -> None:
    ann = desk.buyer()
    ann.buy("plus")
    token = token_of(desk, ann)
    own = from_page(desk, page_key, "GET", "/v1/subscriptions", token, params={"customer": "me"}).json()["data"][0]
    path = f"/v1/subscriptions/{own['id']}"
    for ends in (True, False):
        answer = from_page(desk, page_key, "PATCH", path, token, json={"cancel_at_period_end": ends})
        assert (answer.json()["cancel_at"] is not None) is ends, answer.text
    refused(from_page(desk, page_key, "PATCH", path, token, json={"price": "pro"}), 403, "secret_key_required")
    refused(from_page(desk, page_key, "DELETE", path, token), 403, "forbidden")


def test_what_the_shop_notes_and_pays_is_not_shown_to_a_page(desk: Desk, page_key: str) -> None:
    ann, note = desk.buyer(), {"risk": "high"}
    token = token_of(desk, ann)
    items = [{"price": "credits-10"}]
    order = desk.post("/v1/checkouts", {"customer": ann.who, "items": items, "metadata": note})
    payment = desk.post("/v1/payments", {"customer": ann.who, "items": items, "metadata": note, **PAID})
    desk.settled(payment["order"])
    for path, hidden in (
        (f"/v1/orders/{order['id']}", ("metadata",)),
        (f"/v1/payments/{payment['id']}", ("metadata", "fee", "net")),
        (f"/v1/customers/{ann.id}", ("stripe_customer",)),
    ):
        servers = desk.get(path)
        shown = from_page(desk, page_key, "GET", path, token).json()
        assert set(shown) == set(servers)
        assert [bool(shown[name]) for name in hidden] == [False] * len(hidden), path
        assert any(servers[name] for name in hidden), path


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_a_token_is_taken_as_it_was_made_or_not_at_all(desk: Desk, page_key: str) -> None:
    token = token_of(desk, desk.buyer())
    other = desk.buyer()
    other.say("/start")
    stranger = token.replace(token[4:34], other.id)
    person, key, _, *rest = token.split(".")
    late = ".".join((person, key, "9999999999", *rest))
    free = ".".join((*token.split(".")[:3], rest[-1]))
    other_end = token[:-1] + ("0" if token[-1] != "0" else "1")
    for bad in (stranger, late, free, other_end, "", "me", "pdc_ü".encode("latin-1")):
        answer = from_page(desk, page_key, "GET", "/v1/customers/me", headers={"Paydesk-Customer": bad})
        refused(answer, 401, "invalid_customer_token")
    assert from_page(desk, page_key, "GET", "/v1/customers/me", token).status_code == 200


def test_a_token_dies_with_the_key_that_asked_for_it_and_outlives_a_rotation(desk: Desk, page_key: str) -> None:
    ann, key = desk.buyer(), desk.post("/v1/keys", {"name": "backend", "scopes": ["sell"]})
    asked = desk.call("POST", "/v1/customer_sessions", json={"customer": ann.who}, key=key["key"])
    token = asked.json()["token"]
    desk.post(f"/v1/keys/{key['id']}/rotate", {"overlap_s": 1})
    refused_soon(desk, key["key"], "/v1/products")
    assert from_page(desk, page_key, "GET", "/v1/customers/me", token).status_code == 200
    desk.post(f"/v1/keys/{key['id']}/revoke", {})
    until(lambda: from_page(desk, page_key, "GET", "/v1/customers/me", token).status_code == 401, what="token's end")


def test_a_token_lasts_as_long_as_was_asked_and_a_day_at_most(desk: Desk) -> None:
    ann = desk.buyer()
    made = desk.post("/v1/customer_sessions", {"customer": ann.who, "expires_in_s": 86_400})
    assert made["customer"] == ann.id
    assert 86_390 <= datetime.fromisoformat(made["expires_at"]).timestamp() - time.time() <= 86_400
    for wrong in (59, 86_401):
        error = refused(
            desk.call("POST", "/v1/customer_sessions", json={"customer": ann.who, "expires_in_s": wrong}),
            422, "invalid_request",
        )  # fmt: skip
        assert error["param"] == "expires_in_s"


def test_a_token_ends_when_its_buyer_is_met_there_no_more_and_one_of_a_person_lives_on(
    desk: Desk, page_key: str
) -> None:
    ann = desk.buyer()
    token, persons = token_of(desk, ann), str(desk.post("/v1/customer_sessions", {"customer": ann.id})["token"])
    home = f"/v1/customers/{ann.id}/identities"
    desk.post(home, {"channel": "app", "external_id": secrets.token_hex(8)})
    assert from_page(desk, page_key, "GET", "/v1/customers/me", token).status_code == 200
    gone = desk.call("DELETE", f"{home}/{ann.who['channel']}/{ann.who['external_id']}")
    assert gone.status_code == 200, gone.text
    until(lambda: from_page(desk, page_key, "GET", "/v1/customers/me", token).status_code == 401, what="token's end")
    assert from_page(desk, page_key, "GET", "/v1/customers/me", persons).status_code == 200


def test_a_token_follows_its_person_who_was_merged(desk: Desk, page_key: str) -> None:
    ann, bob = desk.buyer(), desk.buyer()
    token = token_of(desk, ann)
    old, order = ann.id, ann.checkout("credits-10")["id"]
    bob.say("/start")
    desk.post(f"/v1/customers/{bob.id}/merge", {"customer": old})
    for path in ("/v1/customers/me", f"/v1/customers/{old}", f"/v1/customers/{bob.id}"):
        assert from_page(desk, page_key, "GET", path, token).json()["id"] == bob.id
    assert from_page(desk, page_key, "GET", f"/v1/orders/{order}", token).json()["customer"] == bob.id


def test_the_idempotency_keys_of_a_page_go_with_its_person_who_was_merged(desk: Desk, page_key: str) -> None:
    ann, bob = desk.buyer(), desk.buyer()
    token, once = token_of(desk, ann), {"Idempotency-Key": secrets.token_hex(8)}
    body = {"customer": "me", "items": [{"price": "credits-10"}]}
    first = from_page(desk, page_key, "POST", "/v1/checkouts", token, json=body, headers=once)
    bob.say("/start")
    desk.post(f"/v1/customers/{bob.id}/merge", {"customer": ann.id})
    token = token_of(desk, bob)
    again = from_page(desk, page_key, "POST", "/v1/checkouts", token, json=body, headers=once)
    assert (first.status_code, again.json(), again.headers.get("Idempotent-Replayed")) == (201, first.json(), "true")
    other = from_page(desk, page_key, "POST", "/v1/checkouts", token, json={**body, "save_card": True}, headers=once)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_mismatch")


# --- browsers --------------------------------------------------------------------------------------------------------


def test_a_browser_is_told_what_a_page_may_send(desk: Desk) -> None:
    for path in ("/v1/products", "/v1/customers/me/access", "/v1/customers/me/credits/spend", "/v1/nothing"):
        asked = httpx.options(desk.url + path, headers={**PAGE, "Access-Control-Request-Method": "PATCH"})
        assert (asked.status_code, asked.content) == (204, b""), path
        assert asked.headers["Access-Control-Allow-Origin"] == "*"
        assert asked.headers["Access-Control-Allow-Methods"] == "GET, POST, PATCH, DELETE"
        sent = "Authorization, Content-Type, Idempotency-Key, Paydesk-Customer"
        assert asked.headers["Access-Control-Allow-Headers"] == sent
        assert "Access-Control-Allow-Credentials" not in asked.headers
    assert "Access-Control-Allow-Origin" not in httpx.options(
        desk.url + "/chat", headers={**PAGE, "Access-Control-Request-Method": "POST"}
    ).headers  # fmt: skip


def test_a_page_reads_the_answers_to_its_own_key_and_to_none_but_not_to_a_secret_one(desk: Desk, page_key: str) -> None:
    ann = desk.buyer()
    ann.say("/start")
    for path in ("/v1/products", f"/v1/customers/{ann.id}/access?feature=premium", "/v1/nothing"):
        pages = from_page(desk, page_key, "GET", path, token_of(desk, ann))
        nobodys = httpx.get(desk.url + path, headers=PAGE)
        for answer in (pages, nobodys):
            assert answer.headers["Access-Control-Allow-Origin"] == "*", path
            exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
            assert {"Request-Id", "Idempotent-Replayed", "RateLimit-Remaining", "Retry-After"} <= set(exposed)
        secret = desk.call("GET", path, headers=PAGE)
        assert not [name for name in secret.headers if name.startswith("access-control")], path
        assert "Access-Control-Allow-Origin" not in desk.call("GET", path, key=page_key).headers
    spent = from_page(desk, page_key, "POST", f"/v1/customers/{ann.id}/credits/spend", json={"amount": 1})
    refused(spent, 403, "forbidden")
    assert spent.headers["Access-Control-Allow-Origin"] == "*"


def test_a_key_that_is_bound_to_origins_works_in_pages_of_those_alone(desk: Desk) -> None:
    shop, other = "https://shop.example", "https://elsewhere.example"
    wish = {"name": "page", "kind": "publishable", "origins": [shop, "http://localhost:5173"]}
    made = desk.post("/v1/keys", wish)
    assert made["origins"] == desk.get(f"/v1/keys/{made['id']}")["origins"] == sorted(wish["origins"])
    ann = desk.buyer()
    token = token_of(desk, ann)
    sends: dict[str, Any] = {"customer": "me", "items": [{"price": "credits-10"}]}
    for method, path, body in (("GET", "/v1/products", None), ("POST", "/v1/checkouts", sends),
                               ("GET", "/v1/customers/me/access?feature=premium", None)):  # fmt: skip
        own = from_page(desk, made["key"], method, path, token, json=body)
        assert own.is_success, own.text
        assert (own.headers["Access-Control-Allow-Origin"], own.headers["Vary"]) == (shop, "Origin")
        foreign = from_page(desk, made["key"], method, path, token, json=body, headers={"Origin": other})
        assert "shop.example" in refused(foreign, 403, "foreign_origin")["message"]
        assert "Access-Control-Allow-Origin" not in foreign.headers
        headers = {"Paydesk-Customer": token}
        refused(desk.call(method, path, key=made["key"], json=body, headers=headers), 403, "foreign_origin")
    assert len(desk.get("/v1/orders", customer=ann.id)["data"]) == 1
    rotated = desk.post(f"/v1/keys/{made['id']}/rotate", {})
    assert rotated["origins"] == made["origins"]
    refused(from_page(desk, rotated["key"], "GET", "/v1/products", headers={"Origin": other}), 403, "foreign_origin")
    assert from_page(desk, rotated["key"], "GET", "/v1/products").headers["Access-Control-Allow-Origin"] == shop


@pytest.mark.parametrize(
    "wish",
    [
        {"kind": "secret", "scopes": ["read"], "origins": ["https://shop.example"]},
        {"kind": "publishable", "origins": ["https://shop.example/"]},
        {"kind": "publishable", "origins": ["http://shop.example"]},
        {"kind": "publishable", "origins": ["*"]},
        {"kind": "publishable", "origins": ["https://Shop.example"]},
        {"kind": "publishable", "origins": ["https://shop.example:443"]},
        {"kind": "publishable", "origins": ["https://shop.example:99999"]},
        {"kind": "publishable", "origins": [f"https://shop{number}.example" for number in range(21)]},
    ],
    ids=["a secret key", "a path", "no https", "a star", "capitals", "the usual port", "no port", "too many"],
)
def test_origins_are_those_that_browsers_tell(desk: Desk, wish: dict[str, Any]) -> None:
    answer = desk.call("POST", "/v1/keys", json={"name": "page", **wish})
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["error"]["param"] == "origins"


# --- limits ----------------------------------------------------------------------------------------------------------


def test_every_answer_tells_what_is_left_and_too_many_are_refused_until_they_may_come_again(desk: Desk) -> None:
    ann = desk.buyer()
    ann.say("/start")
    access = f"/v1/customers/{ann.id}/access?feature=premium"
    spend, nothing = f"/v1/customers/{ann.id}/credits/spend", {"amount": 10**6}
    for method, path, body in (("GET", "/v1/products", None), ("GET", access, None), ("POST", spend, nothing)):
        made = desk.post("/v1/keys", {"name": "slow", "scopes": ["read", "spend"], "rate_per_s": 1})
        first, second, third = (desk.call(method, path, json=body, key=made["key"]) for _ in range(3))
        assert first.headers["RateLimit-Limit"] == "2"
        assert [one.headers["RateLimit-Remaining"] for one in (first, second)] == ["1", "0"], path
        assert int(second.headers["RateLimit-Reset"]) in (1, 2)
        refused(third, 429, "rate_limited")
        assert (third.headers["RateLimit-Remaining"], third.headers["Retry-After"]) == ("0", "1")
        time.sleep(1.1)
        assert desk.call(method, path, json=body, key=made["key"]).status_code == first.status_code


def test_a_page_is_limited_for_each_address_that_asks(desk: Desk) -> None:
    made = desk.post("/v1/keys", {"name": "page", "kind": "publishable", "rate_per_s": 1})

    def asked_from(address: str) -> httpx.Response:
        return from_page(desk, made["key"], "GET", "/v1/products", headers={"X-Forwarded-For": address})

    assert [asked_from("203.0.113.7").status_code for _ in range(3)] == [200, 200, 429]
    assert asked_from("203.0.113.8").headers["RateLimit-Remaining"] == "1"

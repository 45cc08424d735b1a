"""The API of subscriptions and the portal: what it takes and answers, what it refuses, and what a repeat does."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest

from conftest import settings_for
from desk import Buyer, Desk, running_desk
from sandbox_fixtures import Sandbox, until

Json = dict[str, Any]


def with_card(desk: Desk, card: str = "pm_card_visa") -> tuple[Buyer, str]:
    """Somebody whom Stripe knows, with a saved card; the card."""
    buyer = desk.buyer()
    buyer.checkout("credits-10")
    payer = desk.sql("SELECT stripe_customer FROM customer WHERE id = $1", buyer.id)[0]["stripe_customer"]
    made = desk.at_stripe("POST", f"/v1/payment_methods/{card}/attach", {"customer": payer})
    assert made.status_code == 200, made.text
    return buyer, str(made.json()["id"])


def begin(desk: Desk, buyer: Buyer, price: str = "plus", **more: Any) -> Json:
    return desk.post("/v1/subscriptions", {"customer": buyer.who, "price": price, **more})


def refusal(answer: Any) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error.get("param")


def at_stripe(desk: Desk, buyer: Buyer, status: str = "all") -> list[Json]:
    """Their subscriptions at Stripe."""
    payer = desk.sql("SELECT stripe_customer FROM customer WHERE id = $1", buyer.id)[0]["stripe_customer"]
    found: list[Json] = desk.at_stripe("GET", "/v1/subscriptions", {"customer": payer, "status": status}).json()["data"]
    return found


# --- begin -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False])
def test_a_saved_card_begins_a_subscription_at_once(desk: Desk, named: bool) -> None:
    buyer, card = with_card(desk)
    made = begin(desk, buyer, quantity=2, payment_method=card if named else "default", metadata={"ref": "7"})
    assert made == {
        "id": made["id"], "object": "subscription", "status": "active", "customer": buyer.id, "order": made["order"],
        "items": [{**made["items"][0], "price": "plus", "product": "plus", "quantity": 2}],
        "cancel_at": None, "trial_end": None, "ended_at": None, "paused": False, "grace_ends_at": None, "until": None,
        "pending_change": None, "livemode": False, "created_at": made["created_at"], "client_secret": None, "url": None,
        "latest_invoice": {"id": made["latest_invoice"]["id"], "status": "paid", "total": 2000, "currency": "usd",
                           "order": made["order"], "failure": None, "url": None},
    }  # fmt: skip
    desk.settled(made["order"])
    assert buyer.balance() == 200
    (own,) = at_stripe(desk, buyer)
    assert own["metadata"] == {"ref": "7", "paydesk_order": made["order"], "paydesk_price": "plus"}
    shown = desk.get(f"/v1/subscriptions/{made['id']}")
    assert shown == {name: value for name, value in made.items() if name not in ("client_secret", "url")}
    assert desk.get("/v1/subscriptions", customer=buyer.id) == {"data": [shown], "has_more": False}
    assert desk.get("/v1/subscriptions", customer=buyer.id, status="canceled")["data"] == []


def test_the_same_key_begins_one_and_gets_the_same_answer(desk: Desk) -> None:
    buyer, card = with_card(desk)
    key = secrets.token_hex(8)
    body = {"customer": buyer.who, "price": "plus", "payment_method": card}
    first, second = (
        desk.call("POST", "/v1/subscriptions", json=body, headers={"Idempotency-Key": key}) for _ in range(2)
    )
    assert (first.status_code, second.status_code, second.json()) == (201, 201, first.json())
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len(at_stripe(desk, buyer)) == 1


def test_without_a_way_to_pay_the_answer_says_how_to_go_on_and_the_link_too(desk: Desk) -> None:
    buyer = desk.buyer()
    made = begin(desk, buyer)
    assert (made["status"], made["latest_invoice"]["status"]) == ("incomplete", "open")
    assert made["client_secret"].startswith("pi_")
    assert made["url"] == made["latest_invoice"]["url"]
    assert not buyer.access("plus")["allowed"]
    token = desk.sql("SELECT link_token FROM orders WHERE id = $1", made["order"])[0]["link_token"]
    pressed = desk.call("POST", f"/r/{token}", headers={"Origin": desk.url})
    assert (pressed.status_code, pressed.headers["location"]) == (303, made["url"])
    paid = desk.at_stripe("POST", f"/v1/invoices/{made['latest_invoice']['id']}/pay", {"paid_out_of_band": "true"})
    assert paid.status_code == 200, paid.text
    desk.settled(made["order"])
    assert desk.get(f"/v1/subscriptions/{made['id']}")["status"] == "active"
    assert buyer.access("plus")["allowed"]


def test_a_declined_card_leaves_it_incomplete_and_t27_gives_nothing(desk: Desk) -> None:
    buyer, card = with_card(desk, "pm_card_chargeCustomerFail")
    made = begin(desk, buyer, payment_method=card)
    assert (made["status"], made["latest_invoice"]["failure"]) == ("incomplete", "Your card was declined.")
    assert made["url"] is not None
    assert not buyer.access("plus")["allowed"]
    assert desk.call("DELETE", f"/v1/subscriptions/{made['id']}").json()["status"] in ("canceled", "incomplete_expired")
    assert begin(desk, buyer)["status"] == "incomplete"
    assert len(at_stripe(desk, buyer, "incomplete")) == 1


def test_what_was_never_paid_makes_room_and_cannot_be_paid_any_more(desk: Desk) -> None:
    buyer = desk.buyer()
    first = begin(desk, buyer)
    second = begin(desk, buyer)
    assert second["status"] == "incomplete"
    assert [one["id"] for one in at_stripe(desk, buyer, "incomplete")] == [second["id"]]
    late = desk.at_stripe("POST", f"/v1/invoices/{first['latest_invoice']['id']}/pay", {"paid_out_of_band": "true"})
    assert late.status_code == 400, late.text
    until(lambda: desk.get(f"/v1/subscriptions/{first['id']}")["status"] == "incomplete_expired", what="the end")
    assert desk.get(f"/v1/orders/{first['order']}")["status"] == "canceled"
    paid = desk.at_stripe("POST", f"/v1/invoices/{second['latest_invoice']['id']}/pay", {"paid_out_of_band": "true"})
    assert paid.status_code == 200, paid.text
    desk.settled(second["order"])
    assert buyer.access("plus")["allowed"]


def test_what_is_paid_at_stripe_never_makes_room_whatever_we_know_of_it(desk: Desk) -> None:
    buyer, card = with_card(desk)
    made = begin(desk, buyer, payment_method=card)
    desk.settled(made["order"])
    desk.quiet()
    desk.sql("UPDATE subscription SET status = 'incomplete' WHERE id = $1", made["id"])  # the news is on its way
    again = desk.call("POST", "/v1/subscriptions", json={"customer": buyer.who, "price": "plus"})
    assert refusal(again) == (409, "already_subscribed", "price")
    ends = desk.call("PATCH", f"/v1/subscriptions/{made['id']}", json={"cancel_at_period_end": True}).json()
    assert (ends["status"], ends["cancel_at"] is not None) == ("active", True), "what is paid is not taken away"
    assert [(one["id"], one["status"]) for one in at_stripe(desk, buyer)] == [(made["id"], "active")]


@pytest.mark.parametrize("at_end", [True, False])
def test_what_was_never_paid_ends_at_once_however_it_is_canceled(desk: Desk, at_end: bool) -> None:
    buyer = desk.buyer()
    made = begin(desk, buyer)
    path = f"/v1/subscriptions/{made['id']}"
    wish: Json = {"json": {"cancel_at_period_end": True}} if at_end else {"params": {"at": "period_end"}}
    ended = desk.call("PATCH" if at_end else "DELETE", path, **wish)
    assert (ended.status_code, ended.json()["status"]) == (200, "incomplete_expired"), ended.text
    assert at_stripe(desk, buyer, "incomplete") == []


def test_a_trial_is_given_once_and_not_where_it_is_declined(desk: Desk) -> None:
    buyer, card = with_card(desk)
    made = begin(desk, buyer, "vip-month", payment_method=card)
    assert (made["status"], made["latest_invoice"]["total"]) == ("trialing", 0)
    assert made["trial_end"] == made["items"][0]["current_period_end"]
    desk.call("DELETE", f"/v1/subscriptions/{made['id']}")
    assert begin(desk, buyer, "vip-month", payment_method=card)["status"] == "active"
    other, card = with_card(desk)
    assert begin(desk, other, "vip-month", payment_method=card, trial=False)["status"] == "active"


def test_a_coupon_makes_it_cheaper(desk: Desk) -> None:
    coupon = desk.at_stripe("POST", "/v1/coupons", {"percent_off": "25", "duration": "once"}).json()["id"]
    buyer, card = with_card(desk)
    assert begin(desk, buyer, payment_method=card, coupon=coupon)["latest_invoice"]["total"] == 750


def test_what_cannot_be_begun_is_refused_by_name_and_leaves_nothing(desk: Desk) -> None:
    buyer, card = with_card(desk)
    body: Json = {"customer": buyer.id, "price": "plus", "payment_method": card}
    for more, expected in (
        ({"price": "nothing"}, (404, "not_found", "price")),
        ({"price": "credits-10"}, (400, "invalid_request", "price")),
        ({"customer": "cst_nobody"}, (404, "not_found", "customer")),
        ({"payment_method": "pm_nobodys"}, (400, "invalid_request", "payment_method")),
        ({"coupon": "nothing"}, (400, "invalid_request", "coupon")),
        ({"promotion_code": "nothing"}, (400, "invalid_request", "promotion_code")),
        ({"coupon": "a", "promotion_code": "b"}, (400, "invalid_request", "promotion_code")),
        ({"quantity": 0}, (422, "invalid_request", "quantity")),
        ({"price": 7}, (422, "invalid_request", "price")),
        ({"colour": "red"}, (422, "invalid_request", "colour")),
    ):
        assert refusal(desk.call("POST", "/v1/subscriptions", json={**body, **more})) == expected, more
    poor = desk.buyer()
    poor.say("/start")
    none = desk.call("POST", "/v1/subscriptions", json={**body, "customer": poor.who, "payment_method": "default"})
    assert refusal(none) == (409, "conflict", "payment_method")
    desk.quiet()
    assert at_stripe(desk, buyer) == []
    open_still = desk.sql(
        "SELECT 1 FROM orders WHERE customer_id = $1 AND mode = 'subscription' AND status = 'open'", buyer.id
    )
    assert open_still == []


def test_a_wrong_coupon_leaves_no_checkout_that_can_be_paid_without_it(desk: Desk) -> None:
    buyer = desk.buyer()
    body = {"customer": buyer.who, "items": [{"price": "plus"}], "coupon": "nothing"}
    assert refusal(desk.call("POST", "/v1/checkouts", json=body)) == (400, "invalid_request", "coupon")
    assert [row["status"] for row in desk.sql("SELECT status FROM orders WHERE customer_id = $1", buyer.id)] == [
        "canceled"
    ]


# --- change and end --------------------------------------------------------------------------------------------------


def test_what_cannot_be_changed_is_refused_by_name(desk: Desk) -> None:
    buyer, card = with_card(desk)
    made = begin(desk, buyer, payment_method=card)
    path = f"/v1/subscriptions/{made['id']}"
    for wish, expected in (
        ({}, (400, "invalid_request", "price")),
        ({"price": "pro", "pause": True}, (400, "invalid_request", "price")),
        ({"pause": True, "cancel_at_period_end": True}, (400, "invalid_request", "price")),
        ({"pause": True, "when": "now"}, (400, "invalid_request", "when")),
        ({"price": "pro", "when": "period_end", "proration": "none"}, (400, "invalid_request", "proration")),
        ({"price": "nothing"}, (404, "not_found", "price")),
        ({"price": "credits-10"}, (400, "invalid_request", "price")),
        ({"price": "group"}, (400, "invalid_request", "price")),
        ({"quantity": 0}, (422, "invalid_request", "quantity")),
        ({"when": "tomorrow", "price": "pro"}, (422, "invalid_request", "when")),
        ({"pause": "yes"}, (422, "invalid_request", "pause")),
    ):
        assert refusal(desk.call("PATCH", path, json=wish)) == expected, wish
    desk.quiet()
    assert {**desk.get(path), "client_secret": None, "url": None} == made


def test_what_is_over_is_not_changed_and_what_is_not_there_not_found(desk: Desk) -> None:
    buyer, card = with_card(desk)
    made = begin(desk, buyer, payment_method=card)
    path = f"/v1/subscriptions/{made['id']}"
    assert desk.call("DELETE", path).json()["status"] == "canceled"
    assert refusal(desk.call("PATCH", path, json={"price": "pro"})) == (409, "subscription_ended", "subscription")
    for method, path in (("GET", "sub_nothing"), ("PATCH", "sub_nothing"), ("DELETE", "sub_nothing"), ("GET", "x%20y")):
        body = {"pause": True} if method == "PATCH" else None
        answer = desk.call(method, f"/v1/subscriptions/{path}", json=body)
        assert refusal(answer) == (404, "not_found", "subscription"), method
    assert refusal(desk.call("GET", "/v1/subscriptions", params={"customer": "cst_nobody"}))[0] == 404
    assert desk.call("GET", "/v1/subscriptions", params={"customer": buyer.id, "status": "odd"}).status_code == 422


def test_a_repeated_change_is_made_once(desk: Desk) -> None:
    buyer, card = with_card(desk)
    made = begin(desk, buyer, payment_method=card)
    key = secrets.token_hex(8)
    answers = [
        desk.call("PATCH", f"/v1/subscriptions/{made['id']}", json={"price": "pro"}, headers={"Idempotency-Key": key})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    updates = [e for e in desk.events_at_stripe() if e["type"] == "customer.subscription.updated"
               and e["data"]["object"]["id"] == made["id"] and "items" in e["data"].get("previous_attributes", {})]  # fmt: skip
    assert len(updates) == 1


def test_what_was_deleted_in_stripe_is_ended_here_too(desk: Desk) -> None:
    buyer, card = with_card(desk)
    made = begin(desk, buyer, payment_method=card)
    desk.at_stripe("DELETE", f"/v1/subscriptions/{made['id']}")
    until(lambda: desk.get(f"/v1/subscriptions/{made['id']}")["status"] == "canceled", what="the end")


def test_a_key_that_may_only_read_changes_nothing(desk: Desk) -> None:
    buyer, card = with_card(desk)
    made = begin(desk, buyer, payment_method=card)
    said = desk.command("keys", "create", "reader", "--scope", "read")
    key = next(word for word in said.stdout.split() if word.startswith("pdk_"))
    path = f"/v1/subscriptions/{made['id']}"
    assert desk.call("GET", path, key=key).status_code == 200
    assert desk.call("PATCH", path, key=key, json={"pause": True}).status_code == 403
    assert desk.call("DELETE", path, key=key).status_code == 403
    assert desk.call("POST", "/v1/portal", key=key, json={"customer": buyer.id}).status_code == 403


# --- the portal ------------------------------------------------------------------------------------------------------


def test_the_portal_has_an_address_for_who_is_known(desk: Desk) -> None:
    buyer, card = with_card(desk)
    begin(desk, buyer, payment_method=card)
    for customer in (buyer.id, buyer.who):
        made = desk.post("/v1/portal", {"customer": customer, "return_url": "https://shop.example/back"})
        assert made["url"].startswith(f"{desk.sandbox.url}/p/session/")
        assert made["customer"] == buyer.id
    new = desk.buyer()
    new.say("/start")
    assert desk.post("/v1/portal", {"customer": new.who})["url"], "also for somebody whom Stripe does not know yet"
    for body, expected in (
        ({"customer": "cst_nobody"}, (404, "not_found", "customer")),
        ({"customer": desk.buyer().who}, (404, "not_found", "customer")),
        ({"customer": buyer.id, "return_url": "javascript:alert(1)"}, (400, "invalid_request", "return_url")),
        ({}, (422, "invalid_request", "customer")),
    ):  # fmt: skip
        assert refusal(desk.call("POST", "/v1/portal", json=body)) == expected


def test_what_has_begun_is_shown_also_while_nobody_settles_it(
    new_database: Callable[[], str], stripe_sandbox: Sandbox
) -> None:
    with running_desk(settings_for(new_database(), stripe_sandbox.url), stripe_sandbox, "--no-work") as desk:
        buyer, card = with_card(desk)
        begun = begin(desk, buyer, payment_method=card)
        assert (begun["status"], begun["items"][0]["price"]) == ("active", "plus")
        assert begun["latest_invoice"]["total"] == 1_000

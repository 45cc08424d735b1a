"""Payments and refunds by the API: asked once, taken once, given back once, and safe to repeat for ever."""

from __future__ import annotations

import secrets
from typing import Any

import httpx
import pytest

from desk import Buyer, Desk
from sandbox_fixtures import until

DECLINED, WANTS_3DS = "pm_card_visa_chargeDeclined", "pm_card_authenticationRequired"
PAID = {"payment_method": "pm_card_visa", "confirm": True}


def pay(desk: Desk, buyer: Buyer, **more: Any) -> dict[str, Any]:
    """Ask for a payment, of $20 unless told otherwise."""
    what = {} if "items" in more else {"amount": 2000, "currency": "usd"}
    return desk.post("/v1/payments", {"customer": buyer.who, **what, **more})


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code
    return dict(answer.json()["error"])


def at_stripe(desk: Desk, kind: str, **params: str) -> list[dict[str, Any]]:
    return list(desk.at_stripe("GET", f"/v1/{kind}", {"limit": "100", **params}).json()["data"])


def confirm_at_stripe(desk: Desk, payment: dict[str, Any], card: str = "pm_card_visa") -> httpx.Response:
    """What the buyer's page does with the client secret."""
    return desk.at_stripe("POST", f"/v1/payment_intents/{payment['id']}/confirm", {"payment_method": card})


# --- paying ----------------------------------------------------------------------------------------------------------


def test_an_amount_is_paid_at_once_with_a_card_and_its_net_is_known(desk: Desk) -> None:
    buyer = desk.buyer()
    payment = pay(desk, buyer, description="Lakers tickets", metadata={"seat": "101"}, **PAID)
    assert payment["id"].startswith("pi_")
    assert {key: payment[key] for key in ("object", "status", "amount", "amount_received", "currency", "client_secret")} == {
        "object": "payment", "status": "succeeded", "amount": 2000, "amount_received": 2000, "currency": "usd",
        "client_secret": None,
    }  # fmt: skip
    order = desk.settled(payment["order"], "paid")
    assert [item["name"] for item in order["items"]] == ["Lakers tickets"]
    until(lambda: desk.get(f"/v1/payments/{payment['id']}")["fee"] is not None, what="the fee")
    known = desk.get(f"/v1/payments/{payment['id']}")
    assert (known["fee"], known["net"], known["settlement_currency"]) == (88, 1912, "usd")
    assert known["card"] == {"brand": "visa", "last4": "4242"}
    assert desk.get(f"/v1/customers/{buyer.id}/credits")["balance"] == 0
    intent = desk.at_stripe("GET", f"/v1/payment_intents/{payment['id']}").json()
    assert intent["metadata"] == {"seat": "101", "paydesk_order": payment["order"]}


def test_items_of_the_catalogue_give_what_they_grant(desk: Desk) -> None:
    buyer = desk.buyer()
    payment = pay(desk, buyer, items=[{"price": "credits-10", "quantity": 2}])
    assert (payment["status"], payment["amount"]) == ("requires_payment_method", 1998)
    assert payment["client_secret"].startswith(payment["id"])
    assert desk.get(f"/v1/payments/{payment['id']}")["client_secret"] == payment["client_secret"]
    assert confirm_at_stripe(desk, payment).status_code == 200
    desk.settled(payment["order"])
    assert buyer.balance() == 20


@pytest.mark.parametrize(("result", "status"), [("complete", "succeeded"), ("fail", "requires_payment_method")])
def test_a_bank_that_wants_the_buyer_is_answered_with_the_client_secret(desk: Desk, result: str, status: str) -> None:
    payment = pay(desk, desk.buyer(), payment_method=WANTS_3DS, confirm=True, return_url="https://shop.example/back")
    assert payment["status"] == "requires_action"
    assert payment["client_secret"].startswith(payment["id"])
    url = payment["next_action"]["redirect_to_url"]["url"]
    assert (
        httpx.post(url, data={"result": result}, timeout=20).headers["location"].startswith("https://shop.example/back")
    )
    if result == "complete":
        desk.settled(payment["order"], "paid")
    now = desk.get(f"/v1/payments/{payment['id']}")
    assert now["status"] == status
    assert (now["client_secret"] is None) == (result == "complete")


def test_a_declined_card_is_402_in_stripes_words_and_the_payment_stays_payable(desk: Desk) -> None:
    body = {
        "customer": desk.buyer().who,
        "amount": 2000,
        "currency": "usd",
        "payment_method": DECLINED,
        "confirm": True,
    }
    error = refused(desk.call("POST", "/v1/payments", json=body), 402, "card_declined")
    assert error["message"] == "Your card was declined."
    payment = desk.get(f"/v1/payments/{error['payment']}")
    assert (payment["status"], payment["failure"]["code"]) == ("requires_payment_method", "generic_decline")
    assert confirm_at_stripe(desk, payment).status_code == 200
    assert desk.settled(payment["order"], "paid")["paid_at"] is not None


def test_a_saved_card_pays_without_the_buyer(desk: Desk) -> None:
    buyer = desk.buyer()
    order = desk.post("/v1/checkouts", {"customer": buyer.who, "items": [{"price": "credits-10"}], "save_card": True})
    assert buyer.pay(order).status_code == 200
    desk.settled(order["id"])
    whose = desk.sql("SELECT stripe_customer FROM customer WHERE id = $1", buyer.id)[0]["stripe_customer"]
    (card,) = at_stripe(desk, f"customers/{whose}/payment_methods")
    payment = pay(desk, buyer, payment_method=card["id"], confirm=True, off_session=True)
    assert payment["status"] == "succeeded"


def test_a_repeat_under_one_key_is_one_payment(desk: Desk) -> None:
    buyer, key = desk.buyer(), secrets.token_hex(8)
    body = {"customer": buyer.who, "amount": 2000, "currency": "usd", **PAID}
    first, again = (desk.call("POST", "/v1/payments", json=body, headers={"Idempotency-Key": key}) for _ in range(2))
    assert first.status_code == 201
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    whose = desk.sql("SELECT stripe_customer FROM customer WHERE id = $1", buyer.id)[0]["stripe_customer"]
    assert len(at_stripe(desk, "payment_intents", customer=whose)) == 1


def test_an_order_that_is_paid_by_a_payment_never_gets_a_session(desk: Desk) -> None:
    payment = pay(desk, desk.buyer())
    link = desk.get(f"/v1/orders/{payment['order']}")["link"]
    assert httpx.post(link, timeout=20).status_code == 303
    assert desk.get(f"/v1/orders/{payment['order']}")["session"] is None


# --- reserving, capturing, canceling ---------------------------------------------------------------------------------


def test_what_is_reserved_is_captured_in_part_once_and_for_ever(desk: Desk) -> None:
    payment = pay(desk, desk.buyer(), capture_method="manual", **PAID)
    assert (payment["status"], payment["amount_capturable"], payment["amount_received"]) == (
        "requires_capture",
        2000,
        0,
    )
    until(lambda: desk.get(f"/v1/orders/{payment['order']}")["status"] == "pending", what="the reservation")
    path = f"/v1/payments/{payment['id']}/capture"
    error = refused(desk.call("POST", path, json={"amount": 2001}), 400, "invalid_request")
    assert error["param"] == "amount"
    captured = desk.post(path, {"amount": 1500})
    assert (captured["status"], captured["amount"], captured["amount_received"]) == ("succeeded", 2000, 1500)
    desk.settled(payment["order"], "paid")
    again = desk.post(path, {"amount": 1500})
    assert (again["status"], again["amount_received"]) == ("succeeded", 1500)
    assert desk.post(path, {})["amount_received"] == 1500
    refused(desk.call("POST", path, json={"amount": 1400}), 409, "conflict")
    refused(desk.call("POST", f"/v1/payments/{payment['id']}/cancel"), 409, "conflict")
    booked = desk.sql("SELECT worth FROM source WHERE id = $1", f"payment:{payment['id']}")
    assert booked == [{"worth": 1500}]


def test_what_was_captured_in_part_is_worth_its_share_and_so_is_its_refund(desk: Desk) -> None:
    buyer = desk.buyer()
    payment = pay(desk, buyer, items=[{"price": "bundle"}], capture_method="manual", **PAID)  # $49.99 for 100 credits
    desk.post(f"/v1/payments/{payment['id']}/capture", {"amount": 2500})
    desk.settled(payment["order"])
    assert buyer.balance() == 51, "rounded in the buyer's favour"
    assert buyer.access("badge")["allowed"], "what cannot be shared is there as long as something is paid"
    assert "You got 51 credits, 4 days of premium and badge." in buyer.told()[0]
    desk.post("/v1/refunds", {"payment": payment["id"], "amount": 1250})
    desk.settled(payment["order"], "partially_refunded")
    assert buyer.balance() == 26
    assert "Refunded: $12.50 of $25.00. Taken back: 25 credits" in buyer.told()[0]
    desk.post("/v1/refunds", {"payment": payment["id"]})
    desk.settled(payment["order"], "refunded")
    assert (buyer.balance(), buyer.access("badge")["allowed"]) == (0, False)


@pytest.mark.parametrize("reserved", [True, False])
def test_a_canceled_payment_cancels_its_order_and_is_canceled_again_with_the_same_answer(
    desk: Desk, reserved: bool
) -> None:
    payment = pay(desk, desk.buyer(), **({"capture_method": "manual", **PAID} if reserved else {}))
    path = f"/v1/payments/{payment['id']}/cancel"
    first, again = desk.post(path, {}), desk.post(path, {})
    assert first == again
    assert (first["status"], first["client_secret"], first["amount_received"]) == ("canceled", None, 0)
    assert desk.get(f"/v1/orders/{payment['order']}")["status"] == "canceled"
    desk.quiet()
    assert desk.get(f"/v1/orders/{payment['order']}")["status"] == "canceled"
    assert desk.get(f"/v1/payments/{payment['id']}")["status"] == "canceled"
    refused(desk.call("POST", f"/v1/payments/{payment['id']}/capture"), 409, "conflict")
    refused(desk.call("POST", "/v1/refunds", json={"payment": payment["id"]}), 409, "not_paid")


def test_canceling_the_order_cancels_its_payment(desk: Desk) -> None:
    payment = pay(desk, desk.buyer())
    assert desk.post(f"/v1/orders/{payment['order']}/cancel", {})["status"] == "canceled"
    assert confirm_at_stripe(desk, payment).status_code == 400


def test_of_what_was_captured_in_part_as_much_can_be_refunded_and_no_more(desk: Desk) -> None:
    payment = pay(desk, desk.buyer(), capture_method="manual", **PAID)
    desk.post(f"/v1/payments/{payment['id']}/capture", {"amount": 1500})
    desk.post("/v1/refunds", {"payment": payment["id"], "amount": 300})
    desk.settled(payment["order"], "partially_refunded")
    desk.quiet()
    assert desk.get(f"/v1/payments/{payment['id']}")["amount_refunded"] == 300
    rest = desk.post("/v1/refunds", {"payment": payment["id"]})
    assert rest["amount"] == 1200
    desk.settled(payment["order"], "refunded")
    refused(desk.call("POST", "/v1/refunds", json={"payment": payment["id"]}), 409, "already_refunded")


def test_a_declined_payment_asked_for_again_under_its_key_is_the_same_payment(desk: Desk) -> None:
    buyer, key = desk.buyer(), secrets.token_hex(8)
    asked = {"customer": buyer.who, "amount": 2000, "currency": "usd", "payment_method": DECLINED, "confirm": True}
    answers = [desk.call("POST", "/v1/payments", json=asked, headers={"Idempotency-Key": key}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [402, 402]
    first, again = (answer.json()["error"]["payment"] for answer in answers)
    assert first == again


def test_a_hold_that_nobody_captures_cancels_the_order_by_itself(own_desk: Desk) -> None:
    payment = pay(own_desk, own_desk.buyer(), capture_method="manual", **PAID)
    canceled = own_desk.at_stripe("POST", f"/v1/payment_intents/{payment['id']}/cancel")
    assert canceled.status_code == 200
    until(lambda: own_desk.get(f"/v1/orders/{payment['order']}")["status"] == "canceled", what="the end")


def test_what_is_not_ours_is_not_found(desk: Desk) -> None:
    foreign = desk.at_stripe("POST", "/v1/payment_intents", {"amount": "2000", "currency": "usd", "confirm": "true",
                                                             "payment_method": "pm_card_visa"}).json()  # fmt: skip
    refund = desk.at_stripe("POST", "/v1/refunds", {"payment_intent": foreign["id"], "amount": "100"}).json()
    for method, path in (
        ("GET", f"/v1/payments/{foreign['id']}"), ("POST", f"/v1/payments/{foreign['id']}/cancel"),
        ("POST", f"/v1/payments/{foreign['id']}/capture"), ("GET", f"/v1/refunds/{refund['id']}"),
        ("GET", "/v1/refunds/re_nothing"), ("GET", "/v1/refunds/x"), ("GET", "/v1/payments/pi_nothing"),
    ):  # fmt: skip
        refused(desk.call(method, path), 404, "not_found")
    refused(desk.call("POST", "/v1/refunds", json={"payment": foreign["id"]}), 404, "not_found")
    refused(desk.call("POST", "/v1/refunds", json={"order": "ord_nothing"}), 404, "not_found")


# --- giving back -----------------------------------------------------------------------------------------------------


def test_money_goes_back_in_parts_until_nothing_is_left_and_credits_with_it(desk: Desk) -> None:
    buyer = desk.buyer()
    payment = pay(desk, buyer, items=[{"price": "credits-10"}], **PAID)
    desk.settled(payment["order"])
    part = desk.post("/v1/refunds", {"payment": payment["id"], "amount": 500, "reason": "requested_by_customer"})
    assert {key: part[key] for key in ("object", "payment", "order", "amount", "currency", "status", "reason")} == {
        "object": "refund", "payment": payment["id"], "order": payment["order"], "amount": 500, "currency": "usd",
        "status": "succeeded", "reason": "requested_by_customer",
    }  # fmt: skip
    desk.settled(payment["order"], "partially_refunded")
    assert buyer.balance() == 5
    error = refused(
        desk.call("POST", "/v1/refunds", json={"payment": payment["id"], "amount": 500}), 409, "amount_too_large"
    )
    assert error["param"] == "amount"
    refused(desk.call("POST", "/v1/refunds", json={"payment": payment["id"], "amount": 1000}), 400, "invalid_request")
    rest = desk.post("/v1/refunds", {"order": payment["order"]})
    assert rest["amount"] == 499
    desk.settled(payment["order"], "refunded")
    assert buyer.balance() == 0
    refused(desk.call("POST", "/v1/refunds", json={"order": payment["order"]}), 409, "already_refunded")
    assert desk.get(f"/v1/refunds/{part['id']}") == part
    listed = desk.get("/v1/refunds", payment=payment["id"])["data"]
    assert {one["id"] for one in listed} == {part["id"], rest["id"]}
    first = desk.get("/v1/refunds", order=payment["order"], limit=1)
    assert first["has_more"]
    second = desk.get("/v1/refunds", order=payment["order"], limit=1, starting_after=first["data"][0]["id"])
    assert [*first["data"], *second["data"]] == listed
    assert desk.get(f"/v1/payments/{payment['id']}")["amount_refunded"] == 999
    audited = desk.sql("SELECT actor, action FROM audit WHERE subject = $1", payment["id"])
    assert audited == [{"actor": "key_env", "action": "refund.create"}] * 2


def test_t36_a_refund_is_known_before_its_event_comes_and_once_after_it(own_desk: Desk) -> None:
    own_desk.at_stripe("DELETE", f"/v1/webhook_endpoints/{at_stripe(own_desk, 'webhook_endpoints')[0]['id']}")
    buyer, key = own_desk.buyer(), secrets.token_hex(8)
    payment = pay(own_desk, buyer, items=[{"price": "credits-10"}], **PAID)
    own_desk.settled(payment["order"])
    body = {"payment": payment["id"], "amount": 300}
    first, again = (own_desk.call("POST", "/v1/refunds", json=body, headers={"Idempotency-Key": key}) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    own_desk.settled(payment["order"], "partially_refunded")
    assert buyer.balance() == 7
    for event in own_desk.events_at_stripe():
        assert own_desk.deliver(event).status_code == 200
    own_desk.quiet()
    assert buyer.balance() == 7
    assert len(at_stripe(own_desk, "refunds", payment_intent=payment["id"])) == 1
    assert len([text for text in buyer.told() if "$3.00" in text]) == 1


def test_a_refund_right_after_the_payment_need_not_wait_for_its_event(desk: Desk) -> None:
    for _ in range(5):
        payment = pay(desk, desk.buyer(), **PAID)
        assert desk.post("/v1/refunds", {"payment": payment["id"]})["amount"] == 2000
        desk.settled(payment["order"], "refunded")


def test_what_stripe_will_not_give_back_is_said_clearly(desk: Desk) -> None:
    disputed = pay(desk, desk.buyer(), payment_method="pm_card_createDispute", confirm=True)
    desk.settled(disputed["order"], "disputed")
    refused(desk.call("POST", "/v1/refunds", json={"payment": disputed["id"]}), 409, "payment_disputed")
    elsewhere = pay(desk, desk.buyer(), **PAID)
    endpoints = at_stripe(desk, "webhook_endpoints")
    desk.settled(elsewhere["order"], "paid")
    assert endpoints
    assert desk.at_stripe("POST", "/v1/refunds", {"payment_intent": elsewhere["id"]}).status_code == 200
    answer = desk.call("POST", "/v1/refunds", json={"payment": elsewhere["id"]})
    refused(answer, 409, "already_refunded")


def test_a_refund_that_fails_can_be_made_again(timed: Desk) -> None:
    buyer = timed.buyer()
    payment = pay(timed, buyer, items=[{"price": "credits-10"}], payment_method="pm_card_refundFail", confirm=True)
    timed.settled(payment["order"])
    refund = timed.post("/v1/refunds", {"payment": payment["id"]})
    timed.settled(payment["order"], "refunded")
    timed.sandbox.advance("2h")
    timed.settled(payment["order"])
    assert buyer.balance() == 10
    assert timed.get(f"/v1/refunds/{refund['id']}")["status"] == "failed"
    timed.post("/v1/refunds", {"payment": payment["id"]})
    timed.settled(payment["order"], "refunded")
    assert buyer.balance() == 0


def test_only_a_key_that_may_refund_refunds(desk: Desk) -> None:
    payment = pay(desk, desk.buyer(), **PAID)
    keys = {scope: desk.command("keys", "create", f"k-{scope}", "--scope", scope).stdout.split()[1]
            for scope in ("sell", "refund")}  # fmt: skip
    body = {"payment": payment["id"], "amount": 100}
    refused(desk.call("POST", "/v1/refunds", json=body, key=keys["sell"]), 403, "forbidden")
    refused(desk.call("POST", "/v1/payments", json={}, key=keys["refund"]), 403, "forbidden")
    assert desk.call("POST", "/v1/refunds", json=body, key=keys["refund"]).status_code == 201

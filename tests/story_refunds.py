"""Money given back: what was bought goes back with it, exactly as much, however often and in whatever order it is told."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from desk import Desk
from money_back import (
    advance,
    alerts,
    at_stripe,
    booked,
    books_hold,
    bought,
    buy,
    calm,
    changes_nothing,
    charge_of,
    has,
    intent_of,
    refund,
    settled_in,
    shop,
    state,
    status_of,
    wallet,
)
from money_steps import GOOD_IBAN
from sandbox_fixtures import until
from story_slow_methods import pending

FAILS_LATER, PENDING_AT_FIRST = "pm_card_refundFail", "pm_card_pendingRefund"


def test_a_full_refund_takes_everything_back_and_says_so_in_the_orders_own_message(shop: Desk) -> None:
    buyer, order = bought(shop, "everything")
    assert len(buyer.told()) == 1
    refund(shop, order)
    assert status_of(shop, order) == "refunded"
    assert wallet(buyer) == has(0)
    assert not buyer.access("premium")["allowed"]
    assert not buyer.access("badge")["allowed"]
    reference = order["id"][4:12].upper()
    (text,) = buyer.told()
    assert text == (
        "↩️ Refunded: $30.00, all of it. Taken back: 100 credits, 30 days of premium and badge. You now have 0 credits. "
        f"Your bank may take some days to show it. Reference {reference}."
    )
    changes_nothing(shop, order)


def test_t35_two_partial_refunds_take_back_the_final_total_whatever_the_order(shop: Desk) -> None:
    buyer, order = bought(shop, "credits-500")
    refund(shop, order, 250)
    assert wallet(buyer) == has(375), "the share that is left, rounded in the buyer's favour"
    refund(shop, order, 250, ours=True)
    assert wallet(buyer) == has(250)
    assert status_of(shop, order) == "partially_refunded"
    assert "Refunded: $5.00 of $9.99. Taken back: 250 credits. You now have 250 credits." in buyer.told()[0]
    assert len(buyer.told()) == 1
    changes_nothing(shop, order)
    refund(shop, order)
    assert (wallet(buyer), status_of(shop, order)) == (has(0), "refunded")
    changes_nothing(shop, order)


def test_t35_the_running_total_of_the_charge_alone_is_enough(shop: Desk) -> None:
    """An endpoint that hears only `charge.refunded`, and hears the later one first."""
    buyer, order = bought(shop, "credits-500")
    for amount in (100, 299):
        refund(shop, order, amount)
    told = [event for event in shop.events_at_stripe() if event["type"] == "charge.refunded"
            and event["data"]["object"]["payment_intent"] == intent_of(shop, order)]  # fmt: skip
    before = state(shop, order)
    for event in (*told[::-1], *told):
        shop.deliver({**event, "id": f"{event['id']}_{random.random()}"})
    shop.quiet()
    assert state(shop, order) == before
    assert wallet(buyer) == has(301)


def test_a_pass_shortens_by_the_share_that_was_given_back(shop: Desk) -> None:
    buyer, order = bought(shop, "everything")
    before = datetime.fromisoformat(buyer.access("premium")["until"])
    refund(shop, order, 1000)
    assert datetime.fromisoformat(buyer.access("premium")["until"]) == before - timedelta(days=10)
    assert buyer.access("badge")["allowed"], "what cannot be shared stays until all of it is paid back"
    assert wallet(buyer) == has(67)
    assert "Taken back: 33 credits and 10 days of premium." in buyer.told()[0]


# --- a refund can fail -----------------------------------------------------------------------------------------------


def test_t36_a_refund_that_fails_later_gives_back_what_it_took(shop: Desk) -> None:
    buyer, order = bought(shop, "everything", FAILS_LATER)
    until_before = buyer.access("premium")["until"]
    refund(shop, order)
    assert wallet(buyer) == has(0)
    advance(shop, "2h")
    assert (wallet(buyer), status_of(shop, order)) == (has(100), "fulfilled")
    assert buyer.access("premium")["until"] == until_before
    assert buyer.access("badge")["allowed"]
    assert "The refund of $30.00 did not reach you" in buyer.told()[-1]
    assert "Yours again: 100 credits, 30 days of premium and badge. You now have 100 credits." in buyer.told()[-1]
    (alert,) = alerts(shop, order)
    assert alert.startswith("⚠️ Refund failed (expired_or_canceled_card): $30.00")
    changes_nothing(shop, order)


@pytest.mark.parametrize("settled", ["usd", "eur"])
def test_t36_what_a_refund_that_failed_took_is_in_the_balance_again(shop: Desk, settled: str) -> None:
    with settled_in(shop, settled):
        _, order = bought(shop, "credits-10", FAILS_LATER)
        calm(shop)
        before = shop.get(f"/v1/payments/{intent_of(shop, order)}")
        refund(shop, order)
        assert shop.get(f"/v1/payments/{before['id']}")["net"] < 0
        advance(shop, "2h")
        after = shop.get(f"/v1/payments/{before['id']}")
    assert (after["net"], after["settlement_currency"]) == (before["net"], settled)
    assert booked(shop) == at_stripe(shop)
    changes_nothing(shop, order)


def test_t36_a_pending_refund_counts_at_once_and_is_told_once(shop: Desk) -> None:
    buyer, order = bought(shop, "credits-10", PENDING_AT_FIRST)
    assert refund(shop, order)["status"] == "pending"
    assert (wallet(buyer), status_of(shop, order)) == (has(0), "refunded")
    advance(shop, "2h")
    assert shop.sql("SELECT status FROM refund WHERE payment_id = $1", intent_of(shop, order)) == [
        {"status": "succeeded"}
    ]
    assert (wallet(buyer), len(buyer.told())) == (has(0), 1)
    changes_nothing(shop, order)


def test_t36_a_refund_that_asks_its_buyer_and_is_canceled_was_never(shop: Desk) -> None:
    buyer, order = pending(shop, GOOD_IBAN)
    advance(shop, "6d")
    assert wallet(buyer, "tokens") == has(1000)
    asked = {"charge": charge_of(shop, order), "amount": 250, "asks_buyer": True}
    made = httpx.post(f"{shop.sandbox.url}/_sandbox/refunds", json=asked).json()
    assert made["status"] == "requires_action", "only such a refund can be canceled"
    until(lambda: wallet(buyer, "tokens") == has(500), what="the refund")
    shop.quiet()
    canceled = shop.at_stripe("POST", f"/v1/refunds/{made['id']}/cancel")
    assert canceled.status_code == 200, canceled.text
    until(lambda: wallet(buyer, "tokens") == has(1000), what="what was taken")
    shop.quiet()
    assert status_of(shop, order) == "fulfilled"
    assert len(alerts(shop, order)) == 1
    changes_nothing(shop, order)


# --- already spent ---------------------------------------------------------------------------------------------------


def spend(shop: Desk, customer: str, amount: int) -> None:
    shop.post(f"/v1/customers/{customer}/credits/spend", {"amount": amount})


def test_t38_what_was_spent_before_is_owed_shown_and_paid_by_the_next_purchase(shop: Desk) -> None:
    buyer, order = bought(shop, "credits-10")
    spend(shop, buyer.id, 7)
    refund(shop, order)
    assert wallet(buyer) == has(0, debt=7)
    assert (
        "Taken back: 10 credits. You now have 0 credits. You owe 7 credits; what comes in next pays that first."
        in (buyer.told()[0])
    )
    assert shop.call("POST", f"/v1/customers/{buyer.id}/credits/spend", json={"amount": 1}).status_code == 402
    assert wallet(buyer) == has(0, debt=7)
    buy(buyer, "credits-10")
    assert wallet(buyer) == has(3)
    assert "You got 10 credits. That paid the 7 credits you owed. You now have 3 credits." in buyer.told()[-1]
    changes_nothing(shop, order)
    books_hold(shop)


def test_t38_expired_credits_cannot_be_spent_before_the_sweep_and_expiry_eats_no_paid_credit(shop: Desk) -> None:
    buyer, _ = bought(shop, "month")
    buy(buyer, "credits-10")
    spend(shop, buyer.id, 20)
    assert wallet(buyer) == has(40), "the twenty were of those that end"
    shop.sql("UPDATE timer SET due = due + interval '900 days' WHERE customer_id = $1", buyer.id)
    advance(shop, "30d")
    assert wallet(buyer) == has(10)
    assert shop.sql("SELECT balance FROM account WHERE owner = $1 AND kind = 'wallet'", buyer.id) == [{"balance": 40}]
    assert shop.call("POST", f"/v1/customers/{buyer.id}/credits/spend", json={"amount": 11}).status_code == 402
    spend(shop, buyer.id, 10)
    assert wallet(buyer) == has(0)


def test_t38_a_refund_after_the_end_takes_what_ended_before_anything_else(shop: Desk) -> None:
    buyer, order = bought(shop, "month")
    buy(buyer, "credits-10")
    spend(shop, buyer.id, 15)
    advance(shop, "31d")
    assert wallet(buyer) == has(10)
    refund(shop, order, 2000)
    assert wallet(buyer) == has(10), "the thirty-five that ended had gone anyway"
    refund(shop, order)
    assert wallet(buyer) == has(0, debt=5), "fifteen were spent: ten are here, five are owed"
    changes_nothing(shop, order)
    books_hold(shop)


def test_a_hold_is_not_taken_and_what_it_lets_go_pays_the_debt(shop: Desk) -> None:
    buyer, order = bought(shop, "credits-10")
    hold = shop.post(f"/v1/customers/{buyer.id}/credits/hold", {"amount": 8})
    refund(shop, order)
    assert wallet(buyer) == has(0, debt=8, held=8)
    shop.post(f"/v1/holds/{hold['id']}/settle", {"amount": 3})
    assert wallet(buyer) == has(0, debt=3)


# --- what was sold stays what it was ---------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [10, 20])
def test_t21_a_forged_quantity_or_amount_in_the_metadata_gives_nothing_more(shop: Desk, amount: int) -> None:
    buyer, order = bought(shop, "credits-10")
    intent = intent_of(shop, order)
    shop.at_stripe(
        "POST", f"/v1/payment_intents/{intent}", {"metadata[credits]": str(amount * 100), "metadata[quantity]": "9"}
    )
    changes_nothing(shop, order)
    assert wallet(buyer) == has(10)


@pytest.mark.parametrize("quantity", [-1, 0, 1.5, "2", True, 10_001, 10**30])
def test_t21_quantities_that_cannot_be_are_refused(shop: Desk, quantity: object) -> None:
    body = {"customer": shop.buyer().who, "items": [{"price": "credits-10", "quantity": quantity}]}
    answer = shop.call("POST", "/v1/checkouts", json=body)
    assert answer.status_code in (400, 422)
    assert "quantity" in answer.json()["error"]["param"]


# --- a second payment of one order -----------------------------------------------------------------------------------


def pay_again(shop: Desk, order: dict[str, Any]) -> str:
    """Pay an order once more, past its session; gives the payment."""
    first = shop.at_stripe("GET", f"/v1/payment_intents/{intent_of(shop, order)}").json()
    params = {"amount": first["amount"], "currency": first["currency"], "customer": first["customer"], "confirm": "true",
              "payment_method": "pm_card_visa", "metadata[paydesk_order]": order["id"]}  # fmt: skip
    answer = shop.at_stripe("POST", "/v1/payment_intents", params)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def refunds_of(shop: Desk, intent: str) -> list[dict[str, Any]]:
    return list(shop.at_stripe("GET", "/v1/refunds", {"payment_intent": intent}).json()["data"])


def calls_of(shop: Desk, intent: str) -> list[dict[str, Any]]:
    """What was written down of refunds of a payment before Stripe was asked."""
    return shop.sql("SELECT key, state, object_id FROM stripe_call WHERE subject = $1 ORDER BY key", intent)


def test_a_second_payment_goes_back_by_a_call_that_was_written_down(shop: Desk) -> None:
    buyer, order = bought(shop, "credits-10")
    second = pay_again(shop, order)
    until(lambda: refunds_of(shop, second), what="the refund")
    shop.quiet()
    (refund,) = refunds_of(shop, second)
    assert (refund["amount"], refund["reason"], refund["metadata"]["paydesk_order"]) == (999, "duplicate", order["id"])
    assert refund["metadata"]["paydesk_refund"] == f"refund:second:{second}"
    assert calls_of(shop, second) == [{"key": f"refund:second:{second}", "state": "done", "object_id": refund["id"]}]
    assert (wallet(buyer), status_of(shop, order)) == (has(10), "fulfilled")
    assert sum("twice" in text for text in buyer.told()) == 1
    assert shop.sql("SELECT actor, action FROM audit WHERE subject = $1", second) == [
        {"actor": "paydesk", "action": "refund.create"}
    ]
    changes_nothing(shop, order)


def test_of_a_second_payment_only_what_nobody_gave_back_yet_goes_back(shop: Desk) -> None:
    _, order = bought(shop, "credits-10")
    second = pay_again(shop, order)
    shop.at_stripe("POST", "/v1/refunds", {"payment_intent": second, "amount": "400"})
    until(lambda: sum(one["amount"] for one in refunds_of(shop, second)) == 999, what="all of it")
    shop.quiet()
    assert shop.get("/v1/deliveries", state="dead")["data"] == []


# --- asked for here --------------------------------------------------------------------------------------------------


def test_all_that_is_left_is_all_while_the_answer_to_another_refund_is_outstanding(shop: Desk) -> None:
    buyer, order = bought(shop, "credits-10")
    intent = intent_of(shop, order)
    httpx.post(f"{shop.sandbox.url}/_sandbox/chaos", json={"timeout": 1.0, "seed": 1}).raise_for_status()
    with ThreadPoolExecutor(1) as first:
        part = {"order": order["id"], "amount": 400}
        headers = {"Authorization": f"Bearer {shop.key}", "Idempotency-Key": f"part-of-{order['id']}"}
        slow = first.submit(httpx.post, f"{shop.url}/v1/refunds", json=part, headers=headers, timeout=150)
        until(lambda: shop.sql("SELECT FROM refund WHERE payment_id = $1", intent), what="the event of a refund")
        httpx.post(f"{shop.sandbox.url}/_sandbox/chaos", json={}).raise_for_status()
        assert [call["state"] for call in calls_of(shop, intent)] == ["pending"]
        refused = shop.call("POST", "/v1/refunds", json={"order": order["id"], "amount": 600})
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "amount_too_large")
        assert shop.post("/v1/refunds", {"order": order["id"]})["amount"] == 599
        assert slow.result().json()["amount"] == 400
    calm(shop)
    assert sorted(one["amount"] for one in refunds_of(shop, intent)) == [400, 599]
    assert (status_of(shop, order), wallet(buyer)) == ("refunded", has(0))

"""However a cycle is paid, it is given once; however a subscription stops, it ends when what was paid for does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from desk import Buyer, Desk
from sandbox_fixtures import until
from story_subscriptions import Json, by_hand, price_at_stripe, stripe, subscription_of


@pytest.fixture
def known(desk: Desk) -> tuple[Buyer, str]:
    """Somebody we know, and who they are at Stripe."""
    buyer = desk.buyer()
    buyer.buy("credits-10")
    (row,) = desk.sql("SELECT stripe_customer FROM customer WHERE id = $1", buyer.id)
    return buyer, str(row["stripe_customer"])


def sent_invoice(desk: Desk, customer: str) -> Json:
    """A subscription whose invoices are sent, and wait to be paid somehow."""
    return stripe(desk, "POST", "/v1/subscriptions", customer=customer, collection_method="send_invoice", days_until_due="7",
                  **{"items[0][price]": price_at_stripe(desk, 1000, "plus")})  # fmt: skip


def finalised(desk: Desk, own: Json) -> str:
    invoice = str(own["latest_invoice"])
    if stripe(desk, "GET", f"/v1/invoices/{invoice}")["status"] == "draft":
        stripe(desk, "POST", f"/v1/invoices/{invoice}/finalize")
    return invoice


def period_end(own: Json) -> str:
    end = datetime.fromtimestamp(own["items"]["data"][0]["current_period_end"], UTC)
    return f"{end:%Y-%m-%dT%H:%M:%S}.000Z"


# --- T34: paid some other way ----------------------------------------------------------------------------------------


def test_t34_a_cycle_paid_by_hand_is_given(desk: Desk, known: tuple[Buyer, str]) -> None:
    buyer, customer = known
    invoice = finalised(desk, sent_invoice(desk, customer))
    desk.quiet()
    assert buyer.balance() == 10
    assert not buyer.access("plus")["allowed"], "the first cycle is not paid yet"
    stripe(desk, "POST", f"/v1/invoices/{invoice}/pay", paid_out_of_band="true")
    until(lambda: buyer.access("plus")["allowed"], what="access")
    until(lambda: buyer.balance() == 110, what="the credits")
    assert desk.get(f"/v1/orders/{invoice}")["status"] == "fulfilled"


def test_t34_a_cycle_paid_from_a_balance_is_given(desk: Desk, known: tuple[Buyer, str]) -> None:
    buyer, customer = known
    stripe(desk, "POST", f"/v1/customers/{customer}/balance_transactions", amount="-1500", currency="usd")
    own = by_hand(desk, customer, price_at_stripe(desk, 1000, "plus"))
    assert stripe(desk, "GET", f"/v1/invoices/{own['latest_invoice']}")["amount_due"] == 0
    until(lambda: buyer.balance() == 110, what="the credits")
    assert buyer.access("plus")["allowed"]


def test_t34_a_cycle_paid_in_two_parts_is_given_when_both_are_there_and_a_part_that_goes_back_takes_its_share(
    desk: Desk, known: tuple[Buyer, str]
) -> None:
    buyer, customer = known
    invoice = finalised(desk, sent_invoice(desk, customer))
    parts = []
    for amount in ("400", "600"):
        desk.quiet()
        assert buyer.balance() == 10
        intent = stripe(desk, "POST", "/v1/payment_intents", customer=customer, amount=amount, currency="usd",
                        payment_method="pm_card_visa", confirm="true", **{"payment_method_types[0]": "card"})  # fmt: skip
        parts.append(intent["id"])
        stripe(desk, "POST", f"/v1/invoices/{invoice}/attach_payment", payment_intent=intent["id"])
    until(lambda: buyer.balance() == 110, what="the credits")
    stripe(desk, "POST", "/v1/refunds", payment_intent=parts[0])
    until(lambda: buyer.balance() == 70, what="what the other part paid for")
    assert desk.settled(invoice, "partially_refunded")["amount"] == 1000
    assert buyer.access("plus")["allowed"]
    stripe(desk, "POST", "/v1/refunds", payment_intent=parts[1])
    until(lambda: buyer.balance() == 10, what="what was bought apart")
    until(lambda: not buyer.access("plus")["allowed"], what="the end: all the money went back")


def test_a_cycle_with_a_coupon_for_all_of_it_is_given(desk: Desk, known: tuple[Buyer, str]) -> None:
    buyer, customer = known
    coupon = stripe(desk, "POST", "/v1/coupons", percent_off="100", duration="once")["id"]
    own = stripe(desk, "POST", "/v1/subscriptions",
                 **{"customer": customer, "items[0][price]": price_at_stripe(desk, 1000, "plus"),
                    "discounts[0][coupon]": coupon})  # fmt: skip
    assert stripe(desk, "GET", f"/v1/invoices/{own['latest_invoice']}")["total"] == 0
    until(lambda: buyer.balance() == 110, what="the credits")
    assert buyer.access("plus")["allowed"]


def test_two_of_a_plan_give_twice_its_credits_and_one_less_takes_its_share(
    desk: Desk, known: tuple[Buyer, str]
) -> None:
    buyer, customer = known
    own = by_hand(desk, customer, price_at_stripe(desk, 1000, "plus"))
    until(lambda: buyer.balance() == 110, what="the credits of one")
    item = own["items"]["data"][0]["id"]
    change = {"items[0][id]": item, "proration_behavior": "always_invoice"}
    stripe(desk, "POST", f"/v1/subscriptions/{own['id']}", **change, **{"items[0][quantity]": "2"})
    until(lambda: buyer.balance() == 210, what="the credits of two")
    stripe(desk, "POST", f"/v1/subscriptions/{own['id']}", **change, **{"items[0][quantity]": "1"})
    until(lambda: buyer.balance() == 110, what="the credits of one again")


def test_an_invoice_made_by_hand_that_bills_no_plan_gives_nothing(desk: Desk, known: tuple[Buyer, str]) -> None:
    buyer, customer = known
    own = by_hand(desk, customer, price_at_stripe(desk, 1000, "plus"))
    until(lambda: buyer.balance() == 110, what="the first cycle")
    stripe(desk, "POST", "/v1/invoiceitems", customer=customer, subscription=own["id"], amount="700", currency="usd")
    invoice = stripe(desk, "POST", "/v1/invoices", customer=customer, subscription=own["id"])
    paid = stripe(desk, "POST", f"/v1/invoices/{invoice['id']}/pay")
    assert (paid["status"], paid["billing_reason"]) == ("paid", "manual")
    until(
        lambda: desk.sql("SELECT 1 FROM orders WHERE id = $1 AND paid_at IS NOT NULL", invoice["id"]), what="its order"
    )
    assert buyer.balance() == 110


def test_t27_a_first_payment_that_nobody_confirms_gives_nothing_until_it_is(
    desk: Desk, known: tuple[Buyer, str]
) -> None:
    buyer, customer = known
    method = stripe(desk, "POST", "/v1/payment_methods/pm_card_authenticationRequired/attach", customer=customer)["id"]
    own = stripe(desk, "POST", "/v1/subscriptions",
                 **{"customer": customer, "items[0][price]": price_at_stripe(desk, 1000, "plus"),
                    "default_payment_method": method, "payment_behavior": "allow_incomplete"})  # fmt: skip
    assert own["status"] == "incomplete"
    status = "SELECT status FROM subscription WHERE id = $1"
    until(lambda: desk.sql(status, own["id"]), what="the subscription")
    desk.quiet()
    assert not buyer.access("plus")["allowed"]
    good = stripe(desk, "POST", "/v1/payment_methods/pm_card_visa/attach", customer=customer)["id"]
    stripe(desk, "POST", f"/v1/invoices/{own['latest_invoice']}/pay", payment_method=good)
    until(lambda: buyer.access("plus")["allowed"], what="access")
    until(lambda: buyer.balance() == 110, what="the credits, once")


# --- T31: every way to stop ------------------------------------------------------------------------------------------


def test_t31_a_subscription_that_will_be_canceled_ends_with_its_cycle_unless_it_is_taken_back(desk: Desk) -> None:
    buyer = desk.buyer()
    buyer.buy("plus")
    own = subscription_of(desk, buyer)
    stripe(desk, "POST", f"/v1/subscriptions/{own['id']}", cancel_at_period_end="true")
    until(lambda: buyer.access("plus")["until"] == period_end(own), what="the end")
    assert buyer.access("plus")["allowed"]
    stripe(desk, "POST", f"/v1/subscriptions/{own['id']}", cancel_at_period_end="false")
    until(lambda: buyer.access("plus")["until"] is None, what="no end")


def test_t31_a_pause_lets_what_is_paid_run_out(desk: Desk) -> None:
    buyer = desk.buyer()
    buyer.buy("plus")
    own = subscription_of(desk, buyer)
    stripe(desk, "POST", f"/v1/subscriptions/{own['id']}", **{"pause_collection[behavior]": "void"})
    until(lambda: buyer.access("plus")["until"] == period_end(own), what="the end")
    stripe(desk, "POST", f"/v1/subscriptions/{own['id']}", pause_collection="")
    until(lambda: buyer.access("plus")["until"] is None, what="no end")

"""Subscriptions: what they give, what a plan change, a refund or a dispute makes of it, and whose they are."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from desk import CARD, Buyer, Desk, new_order_id
from sandbox_fixtures import until

Json = dict[str, Any]


def subscription_of(desk: Desk, buyer: Buyer) -> Json:
    """The buyer's subscription, as Stripe has it."""
    (row,) = desk.sql("SELECT id FROM subscription WHERE customer_id = $1", buyer.id)
    return stripe(desk, "GET", f"/v1/subscriptions/{row['id']}")


def stripe(desk: Desk, method: str, path: str, **params: Any) -> Json:
    """A call to Stripe by the shop, as from its dashboard."""
    answer = desk.at_stripe(method, path, params)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def price_at_stripe(desk: Desk, amount: int, name: str | None, interval: str = "month") -> str:
    """A price that somebody made in the dashboard; `name` is the catalogue's, where it bears one."""
    named = {"metadata[paydesk_price]": name} if name is not None else {}
    return str(stripe(desk, "POST", "/v1/prices", currency="usd", unit_amount=amount,
                      **{"recurring[interval]": interval, "product_data[name]": "Gold", **named})["id"])  # fmt: skip


def payment_of(desk: Desk, order: str) -> str:
    """The payment intent that paid an order."""
    (row,) = desk.sql("SELECT id FROM payment WHERE order_id = $1 AND status = 'succeeded'", order)
    return str(row["id"])


def test_a_subscription_gives_its_credits_and_its_feature(desk: Desk) -> None:
    buyer = desk.buyer()
    order = buyer.buy("plus")
    assert (order["status"], order["amount"]) == ("fulfilled", 1000)
    assert buyer.balance() == 100
    assert buyer.access("plus")["allowed"]
    assert buyer.access("plus")["until"] is None
    assert not buyer.access("pro")["allowed"]


def test_t16_many_events_of_one_cycle_give_it_once(desk: Desk) -> None:
    buyer = desk.buyer()
    buyer.buy("plus")
    own = subscription_of(desk, buyer)
    told = [event for event in desk.events_at_stripe() if own["id"] in str(event) or own["customer"] in str(event)]
    assert {"invoice.paid", "charge.succeeded", "checkout.session.completed"} <= {event["type"] for event in told}
    for event in told:
        assert desk.deliver({**event, "id": event["id"] + "_again"}).status_code == 200
    desk.quiet()
    assert buyer.balance() == 100
    (count,) = desk.sql("SELECT count(*) FROM entry WHERE customer_id = $1 AND reason = 'grant'", buyer.id)
    assert count["count"] == 1


def test_t29_a_trial_gives_its_own_credits_and_the_feature(desk: Desk) -> None:
    buyer = desk.buyer()
    order = buyer.buy("vip-month")
    assert (order["status"], order["amount"]) == ("fulfilled", 0)
    assert buyer.balance() == 20
    assert buyer.access("vip")["allowed"]
    own = subscription_of(desk, buyer)
    stripe(desk, "POST", f"/v1/subscriptions/{own['id']}", trial_end="now")
    until(lambda: buyer.balance() == 520, what="the first paid cycle")


def test_t28_a_plan_change_in_the_first_second_gives_the_new_plan_alone(desk: Desk) -> None:
    buyer = desk.buyer()
    buyer.buy("plus")
    own = subscription_of(desk, buyer)
    price = price_at_stripe(desk, 4000, "pro")
    item = own["items"]["data"][0]["id"]
    stripe(desk, "POST", f"/v1/subscriptions/{own['id']}",
           **{"items[0][id]": item, "items[0][price]": price, "proration_behavior": "always_invoice"})  # fmt: skip
    until(lambda: buyer.access("pro")["allowed"], what="the feature of the new plan")
    until(lambda: buyer.balance() == 1000, what="the credits of the new plan alone")
    assert buyer.access("plus")["allowed"]
    price = price_at_stripe(desk, 1000, "plus")
    stripe(desk, "POST", f"/v1/subscriptions/{own['id']}",
           **{"items[0][id]": item, "items[0][price]": price, "proration_behavior": "always_invoice"})  # fmt: skip
    until(lambda: not buyer.access("pro")["allowed"], what="the end of the feature")
    until(lambda: buyer.balance() == 100, what="the credits of the old plan")


def test_half_of_a_cycle_refunded_takes_half_of_its_credits_and_all_of_it_the_feature(desk: Desk) -> None:
    buyer = desk.buyer()
    order = buyer.buy("plus")
    intent = payment_of(desk, order["id"])
    stripe(desk, "POST", "/v1/refunds", payment_intent=intent, amount="500")
    assert desk.settled(order["id"], "partially_refunded")
    assert buyer.balance() == 50
    assert buyer.access("plus")["allowed"]
    stripe(desk, "POST", "/v1/refunds", payment_intent=intent)
    assert desk.settled(order["id"], "refunded")
    assert buyer.balance() == 0
    assert not buyer.access("plus")["allowed"]


def test_t37_a_disputed_cycle_is_held_back_and_given_again(desk: Desk) -> None:
    buyer = desk.buyer()
    order = buyer.checkout("plus")
    assert buyer.pay(order, "pm_card_createDispute").status_code == 200
    desk.settled(order["id"], "disputed")
    assert buyer.balance() == 0
    assert not buyer.access("plus")["allowed"]
    (dispute,) = desk.sql(
        "SELECT d.id FROM dispute d JOIN payment p ON p.id = d.payment_id WHERE p.order_id = $1", order["id"]
    )
    stripe(desk, "POST", f"/v1/disputes/{dispute['id']}", **{"evidence[uncategorized_text]": "winning_evidence"},
           submit="true")  # fmt: skip
    desk.settled(order["id"])
    assert buyer.balance() == 100
    assert buyer.access("plus")["allowed"]


def test_t31_a_subscription_that_is_canceled_ends_at_once(desk: Desk) -> None:
    buyer = desk.buyer()
    buyer.buy("plus")
    stripe(desk, "DELETE", f"/v1/subscriptions/{subscription_of(desk, buyer)['id']}")
    until(lambda: not buyer.access("plus")["allowed"], what="the end")
    assert buyer.balance() == 100, "what was paid for stays"


def test_t32_the_end_of_one_of_two_takes_nothing_that_the_other_gives(desk: Desk) -> None:
    buyer = desk.buyer()
    buyer.buy("plus")
    first = subscription_of(desk, buyer)
    buyer.buy("pro")
    stripe(desk, "DELETE", f"/v1/subscriptions/{first['id']}")
    ended = "SELECT status FROM subscription WHERE id = $1"
    until(lambda: desk.sql(ended, first["id"])[0]["status"] == "canceled", what="the end of the first")
    assert buyer.access("plus")["allowed"]
    assert buyer.access("pro")["allowed"]


def by_hand(desk: Desk, customer: str, price: str, **more: str) -> Json:
    """A subscription that somebody made in the dashboard."""
    method = stripe(desk, "POST", f"/v1/payment_methods/{CARD}/attach", customer=customer)["id"]
    named = {"customer": customer, "items[0][price]": price, "default_payment_method": method}
    return stripe(desk, "POST", "/v1/subscriptions", **named, **more)


def test_a_subscription_made_by_hand_is_adopted_when_its_customer_is_known(desk: Desk) -> None:
    buyer = desk.buyer()
    buyer.buy("credits-10")
    (known,) = desk.sql("SELECT stripe_customer FROM customer WHERE id = $1", buyer.id)
    own = by_hand(desk, known["stripe_customer"], price_at_stripe(desk, 1000, "plus"))
    until(lambda: buyer.access("plus")["allowed"], what="adoption")
    until(lambda: buyer.balance() == 110, what="the credits of its first cycle")
    desk.quiet()
    invoice = desk.get(f"/v1/orders/{own['latest_invoice']}")
    assert (invoice["status"], invoice["amount"], invoice["customer"]) == ("fulfilled", 1000, buyer.id)


def test_t08_a_subscription_of_nobody_known_is_ignored_with_all_its_events(desk: Desk) -> None:
    stranger = stripe(desk, "POST", "/v1/customers", name="Stranger")["id"]
    foreign = {"metadata[paydesk_order]": new_order_id()}
    own = by_hand(desk, stranger, price_at_stripe(desk, 1000, "plus"), **foreign)
    intent = stripe(desk, "GET", "/v1/payment_intents", customer=stranger)["data"][0]["id"]
    stripe(desk, "POST", "/v1/refunds", payment_intent=intent)
    stripe(desk, "DELETE", f"/v1/subscriptions/{own['id']}")
    bodies = "SELECT kind, state, detail FROM inbox WHERE convert_from(body, 'UTF8') LIKE $1"
    until(lambda: any(row["kind"] == "customer.subscription.deleted" for row in desk.sql(bodies, f"%{stranger}%")))
    desk.quiet()
    told = [*desk.sql(bodies, f"%{stranger}%"), *desk.sql(bodies, f"%{intent}%")]
    assert {row["state"] for row in told} == {"ignored"}, told
    assert {"foreign: a subscription of nobody who is known here"} <= {row["detail"] for row in told}


def test_a_price_that_the_catalogue_does_not_know_gives_nothing_and_stops_nothing(desk: Desk) -> None:
    buyer = desk.buyer()
    buyer.buy("credits-10")
    (known,) = desk.sql("SELECT stripe_customer FROM customer WHERE id = $1", buyer.id)
    own = by_hand(desk, known["stripe_customer"], price_at_stripe(desk, 700, None))
    rows = "SELECT status FROM subscription WHERE id = $1"
    until(lambda: desk.sql(rows, own["id"]), what="adoption")
    desk.quiet()
    assert desk.sql(rows, own["id"])[0]["status"] == "active"
    assert buyer.balance() == 10
    assert desk.get(f"/v1/orders/{own['latest_invoice']}")["status"] == "paid"


def test_a_plan_changed_by_hand_to_an_unknown_price_gives_nothing_more(desk: Desk) -> None:
    buyer = desk.buyer()
    buyer.buy("plus")
    own = subscription_of(desk, buyer)
    change = {"items[0][id]": own["items"]["data"][0]["id"], "items[0][price]": price_at_stripe(desk, 5000, None)}
    stripe(desk, "POST", f"/v1/subscriptions/{own['id']}", proration_behavior="none", **change)
    until(lambda: not buyer.access("plus")["allowed"], what="the end of what the old plan gave")


def test_the_ledger_is_proved_with_subscriptions_in_it_and_names_what_was_changed(own_desk: Desk) -> None:
    buyer = own_desk.buyer()
    order = buyer.buy("plus")
    stripe(own_desk, "POST", "/v1/refunds", payment_intent=payment_of(own_desk, order["id"]), amount="500")
    own_desk.settled(order["id"], "partially_refunded")
    own_desk.buyer().buy("vip-month")
    checked = own_desk.command("ledger", "check")
    assert checked.returncode == 0, "\n".join(line for line in checked.stdout.splitlines() if line[:2] != "ok")
    own_desk.sql("UPDATE subscription SET cancel_at = now() WHERE customer_id = $1", buyer.id)
    (said,) = [line for line in own_desk.command("ledger", "check").stdout.splitlines() if "by subscription" in line]
    assert "sub_" in said


def looked_again(desk: Desk, own: Json) -> None:
    """Let Stripe tell of a subscription once more, and wait until that is settled."""
    stripe(desk, "POST", f"/v1/subscriptions/{own['id']}", **{"metadata[note]": "again"})
    news = "SELECT 1 FROM inbox WHERE kind = 'customer.subscription.updated' AND convert_from(body, 'UTF8') LIKE $1"
    until(lambda: desk.sql(news, f"%{own['id']}%"), what="the news")
    desk.quiet()


def test_what_a_line_brought_does_not_change_with_the_catalogue(own_desk: Desk) -> None:
    buyer = own_desk.buyer()
    buyer.buy("plus")
    own = subscription_of(own_desk, buyer)
    more = """UPDATE plan SET terms = jsonb_set(terms, '{grants}', jsonb_build_array(
        terms -> 'grants' -> 1, terms -> 'grants' -> 1, terms -> 'grants' -> 0)) WHERE key = 'plus'"""
    own_desk.sql(more)
    looked_again(own_desk, own)
    assert buyer.balance() == 100
    assert own_desk.command("ledger", "check").returncode == 0


def test_a_subscription_that_loses_its_reference_keeps_its_order(desk: Desk) -> None:
    buyer = desk.buyer()
    order = buyer.buy("plus")
    own = subscription_of(desk, buyer)
    stripe(desk, "POST", f"/v1/subscriptions/{own['id']}", **{"metadata[paydesk_order]": ""})
    looked_again(desk, own)
    assert buyer.balance() == 100
    assert not desk.sql("SELECT id FROM orders WHERE id = $1", own["latest_invoice"])
    assert desk.get(f"/v1/orders/{order['id']}")["status"] == "fulfilled"


@pytest.mark.parametrize("whose", ["somebody's", "another desk's"])
def test_money_of_a_reference_that_somebody_copied_goes_back_where_it_was_paid(desk: Desk, whose: str) -> None:
    buyer, other = desk.buyer(), desk.buyer()
    order = buyer.buy("plus")
    other.buy("credits-10")
    (known,) = desk.sql("SELECT stripe_customer FROM customer WHERE id = $1", other.id)
    own = by_hand(desk, known["stripe_customer"], price_at_stripe(desk, 1000, "plus"),
                  **{"metadata[paydesk_order]": order["id"] if whose == "somebody's" else new_order_id()})  # fmt: skip
    until(lambda: other.access("plus")["allowed"], what="adoption by who pays")
    until(lambda: other.balance() == 110, what="the credits of who pays")
    billed = own["latest_invoice"]
    stripe(desk, "POST", "/v1/refunds", payment_intent=payment_of(desk, billed), amount="500")
    assert desk.settled(billed, "partially_refunded")["customer"] == other.id
    assert other.balance() == 60
    (charge,) = desk.sql("SELECT charge, card_last4 FROM payment WHERE order_id = $1", billed)
    httpx.post(f"{desk.sandbox.url}/_sandbox/disputes", json={"charge": charge["charge"], "status": "needs_response"})
    desk.settled(billed, "disputed")
    assert other.balance() == 10
    assert charge["card_last4"] == "4242"
    assert desk.sql("SELECT 1 FROM balance_transaction WHERE about = $1", charge["charge"]), "its fee is known"
    assert parked_about(desk, known["stripe_customer"], payment_of(desk, billed)) == []
    assert buyer.balance() == 100
    assert desk.get(f"/v1/orders/{order['id']}")["status"] == "fulfilled"


def parked_about(desk: Desk, *names: str) -> list[Json]:
    """What waits for something, or for a person, and names one of these."""
    rows = "SELECT kind, state, detail, body FROM inbox WHERE state IN ('parked', 'quarantined')"
    return [row for row in desk.sql(rows) if any(name.encode() in bytes(row.pop("body")) for name in names)]


def test_one_order_begins_one_subscription(desk: Desk) -> None:
    buyer = desk.buyer()
    order = buyer.buy("plus")
    (known,) = desk.sql("SELECT stripe_customer FROM customer WHERE id = $1", buyer.id)
    own = stripe(desk, "POST", "/v1/subscriptions",
                 **{"customer": known["stripe_customer"], "items[0][price]": price_at_stripe(desk, 4000, "pro"),
                    "default_payment_method": subscription_of(desk, buyer)["default_payment_method"],
                    "metadata[paydesk_order]": order["id"]})  # fmt: skip
    until(lambda: buyer.access("pro")["allowed"], what="the second, by its own invoice")
    until(lambda: buyer.balance() == 1100, what="the credits of both")
    assert desk.get(f"/v1/orders/{own['latest_invoice']}")["amount"] == 4000

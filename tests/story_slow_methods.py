"""Methods that take days: complete is not paid, the end is told in the same message, and a failure leaves the link alive."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from typing import Any

import httpx
import pytest

from desk import Buyer, Desk
from money_back import advance, alerts, bought, calm, changes_nothing, has, intent_of, refund, shop, status_of, wallet
from money_steps import BAD_IBAN, DISPUTED_IBAN, GOOD_IBAN


def debit(buyer: Buyer, order: dict[str, Any], iban: str) -> None:
    """Pay by SEPA direct debit on the hosted page."""
    form = {
        "payment_method_data[type]": "sepa_debit", "payment_method_data[sepa_debit][iban]": iban,
        "payment_method_data[billing_details][name]": "Jo Buyer",
        "payment_method_data[billing_details][email]": "jo@example.com", "expected_amount": str(order["amount"]),
    }  # fmt: skip
    paid = buyer.desk.at_stripe("POST", f"/v1/payment_pages/{order['session']}/confirm", form)
    assert paid.status_code == 200, paid.text


def pending(shop: Desk, iban: str) -> tuple[Buyer, dict[str, Any]]:
    buyer = shop.buyer()
    order = buyer.checkout("debit")
    debit(buyer, order, iban)
    shop.settled(order["id"], "pending")
    calm(shop)
    return buyer, order


def test_t19_complete_is_not_paid_and_the_later_success_grants_once(shop: Desk) -> None:
    buyer, order = pending(shop, GOOD_IBAN)
    reference = order["id"][4:12].upper()
    assert buyer.told() == [
        f"⏳ Your payment of €5.00 is on its way. You will hear here as soon as it has arrived. Reference {reference}."
    ]
    assert shop.get(f"/v1/customers/{buyer.id}/credits", unit="tokens")["balance"] == 0
    assert "on its way" in httpx.get(order["link"], headers={"Accept": "text/html"}).text
    assert httpx.post(order["link"]).headers["location"].startswith("/r/"), "there is nothing to pay twice"
    advance(shop, "6d")
    assert status_of(shop, order) == "fulfilled"
    assert wallet(buyer, "tokens") == has(1000)
    assert buyer.told() == [f"✅ Paid €5.00. You got 1,000 tokens. You now have 1,000 tokens. Reference {reference}."]
    changes_nothing(shop, order)


def test_t19_a_later_failure_is_told_and_the_link_takes_another_payment(shop: Desk) -> None:
    buyer, order = pending(shop, BAD_IBAN)
    advance(shop, "6d")
    assert status_of(shop, order) == "open"
    assert wallet(buyer, "tokens") == has(0)
    assert len(buyer.told()) == 1
    assert "Your payment of €5.00 did not go through: The payment failed." in buyer.told()[0]
    assert "the link still works" in buyer.told()[0]
    again = httpx.post(order["link"]).headers["location"]
    assert "/c/pay/" in again
    fresh = shop.get(f"/v1/orders/{order['id']}")
    assert fresh["session"] != order["session"]
    assert buyer.pay(fresh).status_code == 200
    shop.settled(order["id"])
    assert wallet(buyer, "tokens") == has(1000)
    assert "Paid €5.00" in buyer.told()[0]
    changes_nothing(shop, order)


def test_t18_a_refused_card_a_slow_debit_and_its_failure_are_each_told(shop: Desk) -> None:
    buyer = shop.buyer()
    order = buyer.checkout("debit")
    assert buyer.pay(order, "pm_card_chargeDeclined").status_code == 402
    calm(shop)
    assert "did not go through: Your card was declined." in buyer.told()[0]
    debit(buyer, order, BAD_IBAN)
    shop.settled(order["id"], "pending")
    assert "on its way" in buyer.told()[0]
    advance(shop, "6d")
    assert "did not go through: The payment failed." in buyer.told()[0]
    assert len(buyer.told()) == 1
    keys = shop.sql("SELECT template FROM outbox WHERE about = $1 ORDER BY id", order["id"])
    assert [row["template"] for row in keys] == ["payment_failed", "pending", "payment_failed"]


def test_t37_a_debit_that_its_owner_takes_back_is_a_dispute(shop: Desk) -> None:
    buyer, order = pending(shop, DISPUTED_IBAN)
    advance(shop, "6d")
    assert status_of(shop, order) == "disputed"
    assert wallet(buyer, "tokens") == has(0)
    assert len(alerts(shop, order)) == 1
    changes_nothing(shop, order)


def test_t36_a_debits_refund_takes_days_and_counts_at_once(shop: Desk) -> None:
    buyer, order = pending(shop, GOOD_IBAN)
    advance(shop, "6d")
    assert refund(shop, order, 250)["status"] == "pending"
    assert wallet(buyer, "tokens") == has(500)
    advance(shop, "4d")
    assert wallet(buyer, "tokens") == has(500)
    assert status_of(shop, order) == "partially_refunded"
    changes_nothing(shop, order)


def test_t18_two_events_of_one_meaning_are_one_message(shop: Desk) -> None:
    buyer, order = bought(shop, "credits-10")
    refund(shop, order)
    rows = shop.sql("SELECT template, count(*) AS n FROM outbox WHERE about = $1 GROUP BY 1 ORDER BY 1", order["id"])
    assert [(row["template"], row["n"]) for row in rows] == [("paid", 1), ("refunded", 1)]
    kinds = shop.sql("SELECT kind FROM inbox WHERE state = 'done' AND position($1::bytea in body) > 0",
                     intent_of(shop, order).encode())  # fmt: skip
    assert {"refund.created", "charge.refunded", "refund.updated"} <= {row["kind"] for row in kinds}
    assert len(buyer.told()) == 1


def test_news_of_what_was_told_long_ago_is_a_message_of_its_own(desk: Desk) -> None:
    buyer, order = bought(desk, "credits-10")
    desk.sql("UPDATE outbox SET finished_at = finished_at - interval '8 days' WHERE about = $1", order["id"])
    refund(desk, order, 500)
    assert [text[:1] for text in buyer.told()] == ["✅", "↩"]
    refund(desk, order)
    assert len(buyer.told()) == 2, "the newer one is edited from now on"
    assert "all of it" in buyer.told()[1]


def test_who_fetches_messages_by_number_gets_a_new_one_for_each_news(shop: Desk) -> None:
    buyer = shop.buyer("agent")
    order = buyer.checkout("credits-10")
    assert buyer.pay(order).status_code == 200
    shop.settled(order["id"])
    refund(shop, order)
    assert [text[:1] for text in buyer.told()] == ["✅", "↩"]


def test_an_older_message_that_is_sent_late_does_not_come_after_newer_news(desk: Desk) -> None:
    buyer, order = bought(desk, "credits-10")
    refund(desk, order)
    before = buyer.told()
    (paid,) = desk.sql("SELECT id FROM outbox WHERE dedup_key = $1", f"paid:{order['id']}")
    desk.sql("UPDATE outbox SET state = 'dead' WHERE id = $1", paid["id"])
    desk.post(f"/v1/deliveries/{paid['id']}/retry", {})
    desk.quiet()
    assert buyer.told() == before
    assert desk.sql("SELECT state, detail FROM outbox WHERE id = $1", paid["id"])[0]["detail"].startswith("newer news")


def test_a_message_that_is_gone_is_said_anew(desk: Desk) -> None:
    buyer, order = bought(desk, "credits-10")
    desk.sql("DELETE FROM message WHERE dedup_key = $1", f"paid:{order['id']}")
    refund(desk, order)
    (text,) = buyer.told()
    assert text.startswith("↩️ Refunded: $9.99, all of it.")

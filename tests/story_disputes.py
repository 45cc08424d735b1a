"""Disputes: a bank takes money back for a while or for good, and what was bought follows it, back and forth."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from desk import Desk
from money_back import (
    advance,
    alerts,
    at_stripe,
    booked,
    bought,
    buy,
    calm,
    changes_nothing,
    charge_of,
    dispute,
    has,
    intent_of,
    refund,
    settled_in,
    shop,
    status_of,
    wallet,
)


def test_t37_an_open_dispute_holds_everything_back_and_a_won_one_gives_it_back_in_credits(shop: Desk) -> None:
    buyer, order = bought(shop, "everything")
    until_before = buyer.access("premium")["until"]
    due_by = dispute(shop, order, "needs_response")["evidence_details"]["due_by"]
    assert (wallet(buyer), status_of(shop, order)) == (has(0), "disputed")
    assert not buyer.access("premium")["allowed"]
    assert not buyer.access("badge")["allowed"]
    assert "Your bank asks for $30.00 back" in buyer.told()[0]
    assert "Held back until then: 100 credits, 30 days of premium and badge. You now have 0 credits." in buyer.told()[0]
    (alert,) = alerts(shop, order)
    due = datetime.fromtimestamp(due_by, UTC)
    assert alert.startswith("⚠️ Dispute opened (fraudulent): $30.00")
    assert f"Evidence is due by {due:%-d %B %Y, %H:%M} UTC." in alert
    dispute(shop, order, "won")
    assert (wallet(buyer), status_of(shop, order)) == (has(100), "fulfilled")
    assert buyer.access("premium")["until"] == until_before
    assert buyer.access("badge")["allowed"]
    assert "the payment of $30.00 stands. Yours again: 100 credits, 30 days of premium and badge." in buyer.told()[0]
    assert alerts(shop, order)[1].startswith("✅ Dispute won: $30.00")
    assert len(buyer.told()) == 1
    changes_nothing(shop, order)


def test_t37_a_lost_dispute_stays_taken(shop: Desk) -> None:
    buyer, order = bought(shop, "credits-10")
    dispute(shop, order, "needs_response")
    dispute(shop, order, "lost")
    assert (wallet(buyer), status_of(shop, order)) == (has(0), "disputed")
    assert "Your bank has decided: $9.99 is yours again. Taken back: 10 credits." in buyer.told()[0]
    assert [text.split(":")[0] for text in alerts(shop, order)] == ["⚠️ Dispute opened (fraudulent)", "⚠️ Dispute lost"]
    changes_nothing(shop, order)


def test_t37_a_product_may_wait_for_the_decision(shop: Desk) -> None:
    buyer, order = bought(shop, "trusting")
    dispute(shop, order, "needs_response")
    assert (wallet(buyer), status_of(shop, order)) == (has(10), "disputed")
    assert "Held back" not in buyer.told()[0]
    dispute(shop, order, "lost")
    assert wallet(buyer) == has(0)
    assert "Taken back: 10 credits." in buyer.told()[0]
    changes_nothing(shop, order)


def test_t37_an_inquiry_takes_nothing_and_the_desk_is_told(shop: Desk) -> None:
    buyer, order = bought(shop, "credits-10")
    dispute(shop, order, "warning_needs_response")
    assert (wallet(buyer), status_of(shop, order)) == (has(10), "fulfilled")
    dispute(shop, order, "warning_closed")
    assert wallet(buyer) == has(10)
    assert [text.split(":")[0] for text in alerts(shop, order)] == ["⚠️ A bank inquires (fraudulent)"]
    assert "Paid $9.99" in buyer.told()[0]
    changes_nothing(shop, order)


def test_t37_an_inquiry_that_becomes_a_dispute_takes_then(shop: Desk) -> None:
    buyer, order = bought(shop, "credits-10")
    dispute(shop, order, "warning_needs_response")
    dispute(shop, order, "needs_response")
    assert wallet(buyer) == has(0)
    assert len(alerts(shop, order)) == 2
    changes_nothing(shop, order)


def test_t37_a_refund_after_a_dispute_does_not_take_twice(shop: Desk) -> None:
    buyer, order = bought(shop, "credits-500")
    shop.post(f"/v1/customers/{buyer.id}/credits/spend", {"amount": 100})
    refund(shop, order, 500)
    assert wallet(buyer) == has(150), "half is back, a hundred spent"
    dispute(shop, order, "needs_response")
    assert wallet(buyer) == has(0, debt=100)
    dispute(shop, order, "lost")
    assert wallet(buyer) == has(0, debt=100), "500 were worth it, 100 were spent: no more than that is ever owed"
    changes_nothing(shop, order)


def test_t37_a_refund_after_a_win_takes_correctly(shop: Desk) -> None:
    buyer, order = bought(shop, "credits-500")
    dispute(shop, order, "needs_response")
    dispute(shop, order, "won")
    refund(shop, order, 333)
    assert wallet(buyer) == has(334)
    assert status_of(shop, order) == "partially_refunded"
    refund(shop, order)
    assert (wallet(buyer), status_of(shop, order)) == (has(0), "refunded")
    changes_nothing(shop, order)


def money_of(shop: Desk, order: dict[str, Any]) -> int:
    """What the books have of the payment of an order."""
    return int(shop.sql("SELECT worth FROM source WHERE id = $1", f"payment:{intent_of(shop, order)}")[0]["worth"])


@pytest.mark.parametrize(
    ("amount", "left"), [(400, -400), (None, -999)], ids=["a-part-had-gone-back", "all-had-gone-back"]
)
def test_t37_what_a_bank_takes_of_money_that_had_gone_back_is_a_loss_in_the_books(
    shop: Desk, amount: int | None, left: int
) -> None:
    buyer, order = bought(shop, "credits-10")
    refund(shop, order, amount)
    dispute(shop, order, "needs_response")
    assert (wallet(buyer), money_of(shop, order)) == (has(0), left)
    held = "Held back until then: 6 credits." if amount else "and will decide. You now have 0 credits."
    assert held in buyer.told()[0], "what went back with the refund is not held back"
    dispute(shop, order, "lost")
    assert booked(shop) == at_stripe(shop)
    assert money_of(shop, order) == left
    changes_nothing(shop, order)


@pytest.mark.parametrize("amount", [400, None], ids=["a-part", "all"])
def test_t37_a_dispute_that_is_won_after_a_refund_leaves_the_refund(shop: Desk, amount: int | None) -> None:
    buyer, order = bought(shop, "credits-10")
    refund(shop, order, amount)
    dispute(shop, order, "needs_response")
    dispute(shop, order, "won")
    assert (money_of(shop, order), wallet(buyer)) == ((599, has(6)) if amount else (0, has(0)))
    stays = f"of the $9.99 that you paid, ${'4.00' if amount else '9.99'} stay refunded, and nothing more goes back."
    assert stays in buyer.told()[0]
    assert booked(shop) == at_stripe(shop)


def test_t37_who_waits_for_the_decision_is_not_told_that_anything_is_held(shop: Desk) -> None:
    buyer, order = bought(shop, "trusting")
    refund(shop, order, 400)
    dispute(shop, order, "needs_response")
    assert wallet(buyer) == has(6)
    assert "Held back" not in buyer.told()[0]
    assert "Held back" not in alerts(shop, order)[-1]


def test_every_move_of_a_dispute_is_booked_where_another_currency_is_settled(shop: Desk) -> None:
    with settled_in(shop, "usd"):
        for end in ("won", "lost"):
            _, order = bought(shop, "debit")
            for status in ("needs_response", end):
                dispute(shop, order, status)
                assert booked(shop) == at_stripe(shop), (end, status)


def test_t37_an_early_fraud_warning_alerts_the_desk_and_changes_nothing(shop: Desk) -> None:
    buyer, order = bought(shop, "credits-10", "pm_card_createIssuerFraudRecord")
    calm(shop)
    (alert,) = alerts(shop, order)
    assert alert.startswith("⚠️ Early fraud warning (made_with_stolen_card): $9.99")
    assert (wallet(buyer), status_of(shop, order)) == (has(10), "fulfilled")
    assert "Paid $9.99" in buyer.told()[0]
    changes_nothing(shop, order)
    assert len(alerts(shop, order)) == 1


def test_t37_a_card_that_disputes_by_itself_ends_held_back(shop: Desk) -> None:
    buyer = shop.buyer()
    order = buyer.checkout("credits-10")
    assert buyer.pay(order, "pm_card_createDispute").status_code == 200
    shop.settled(order["id"], "disputed")
    calm(shop)
    assert wallet(buyer) == has(0)
    changes_nothing(shop, order)


def test_t38_what_was_spent_before_a_dispute_is_owed_while_it_lasts(shop: Desk) -> None:
    buyer, order = bought(shop, "credits-10")
    shop.post(f"/v1/customers/{buyer.id}/credits/spend", {"amount": 10})
    dispute(shop, order, "needs_response")
    assert wallet(buyer) == has(0, debt=10)
    second = buy(buyer, "credits-10")
    assert wallet(buyer) == has(0)
    dispute(shop, order, "won")
    assert wallet(buyer) == has(10)
    assert [text for text in buyer.told() if "Yours again: 10 credits. You now have 10 credits." in text]
    changes_nothing(shop, order)
    changes_nothing(shop, second)


def test_credits_that_were_held_back_for_long_regain_the_life_they_had(shop: Desk) -> None:
    buyer, order = bought(shop, "month")
    advance(shop, "10d")
    assert wallet(buyer) == has(50)
    dispute(shop, order, "needs_response")
    advance(shop, "8d")
    dispute(shop, order, "won")
    assert wallet(buyer) == has(50)
    advance(shop, "19d")
    assert wallet(buyer) == has(50), "twenty days were left when they were taken"
    advance(shop, "2d")
    assert wallet(buyer) == has(0)
    changes_nothing(shop, order)

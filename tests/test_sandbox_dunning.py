"""Renewals that fail in the sandbox: the schedule of retries, and what becomes of the subscription."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import pytest

from billing_fixtures import Biller, Json, biller, billing_sandbox, moment

_DAY_S = 86400


def failing(biller: Biller, card: str = "pm_card_chargeCustomerFail") -> Json:
    """A subscription whose first paid period began on 8 April 2026 and could not be paid."""
    biller.freeze("2026-04-01T00:00:00")
    subscription = biller.subscribe(biller.customer(card), biller.price(), trial_period_days="7")
    biller.advance("2026-04-08T01:00:00")
    return biller.get(f"subscriptions/{subscription['id']}")


def test_a_failed_renewal_is_told_and_tried_again_eight_times(biller: Biller) -> None:
    biller.news()
    subscription = failing(biller)
    assert subscription["status"] == "past_due"
    news = [one for one in biller.news() if "clock" not in one][-6:]
    assert news == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed",
                    "invoice.payment_failed", "customer.updated", "customer.subscription.updated"]  # fmt: skip
    path = f"invoices/{subscription['latest_invoice']}"
    first = moment("2026-04-08T01:00:00")
    assert biller.get(path)["next_payment_attempt"] == first + _DAY_S
    biller.advance("2026-04-22T00:59:00")
    now = biller.get(path)
    assert (now["attempt_count"], now["next_payment_attempt"]) == (8, first + 14 * _DAY_S)
    assert biller.get(f"subscriptions/{subscription['id']}")["status"] == "past_due"
    biller.advance("2026-04-22T01:00:00")
    ended = biller.get(f"subscriptions/{subscription['id']}")
    assert (ended["status"], ended["cancellation_details"]["reason"]) == ("canceled", "payment_failed")
    now = biller.get(path)
    assert (now["status"], now["attempt_count"], now["next_payment_attempt"]) == ("open", 9, None)
    failures = [one for one in biller.all("charges") if one["status"] == "failed"]
    assert [one["created"] for one in failures[::-1]] == [
        first + day * _DAY_S for day in (0, 1, 2, 3, 5, 7, 9, 11, 14)
    ]  # fmt: skip


def test_a_new_card_pays_at_the_next_retry(biller: Biller) -> None:
    subscription = failing(biller)
    customer = subscription["customer"]
    assert biller.get(f"customers/{customer}")["delinquent"] is True
    method = biller.post("payment_methods/pm_card_visa/attach", customer=customer)["id"]
    biller.post(f"customers/{customer}", **{"invoice_settings[default_payment_method]": method})
    biller.advance("2026-04-09T01:00:00")
    assert biller.get(f"subscriptions/{subscription['id']}")["status"] == "active"
    assert biller.get(f"invoices/{subscription['latest_invoice']}")["status"] == "paid"
    assert biller.get(f"customers/{customer}")["delinquent"] is False


def test_paying_by_hand_mends_it_and_stops_the_retries(biller: Biller) -> None:
    subscription = failing(biller)
    path = f"/v1/invoices/{subscription['latest_invoice']}/pay"
    assert biller.refused("POST", path)[:2] == (402, "card_declined")
    paid = biller.call("POST", path, {"payment_method": "pm_card_visa"})
    assert (paid["status"], paid["next_payment_attempt"]) == ("paid", None)
    assert biller.get(f"subscriptions/{subscription['id']}")["status"] == "active"
    assert biller.refused("POST", path)[0] == 400
    biller.advance("2026-04-20T00:00:00")
    assert len(biller.all("charges")) == 3


def test_a_bank_that_wants_the_buyer_makes_it_past_due_until_then(biller: Biller) -> None:
    subscription = failing(biller, "pm_card_authenticationRequired")
    assert subscription["status"] == "past_due"
    assert {"invoice.payment_action_required", "payment_intent.requires_action"} <= set(biller.news())
    more = {"expand[]": "payments.data.payment.payment_intent"}
    invoice = biller.get(f"invoices/{subscription['latest_invoice']}", **more)
    intent = invoice["payments"]["data"][0]["payment"]["payment_intent"]
    assert intent["status"] == "requires_action"


@pytest.mark.parametrize(("outcome", "status"), [("unpaid", "unpaid"), ("past_due", "past_due"), ("paused", "paused")])
def test_the_account_decides_what_comes_after_the_last_try(biller: Biller, outcome: str, status: str) -> None:
    assert biller.rules(after_retries=outcome, retry_days=[1, 3]).json() == {
        "after_retries": outcome, "invoice_after_retries": "open", "overdue_days": 0, "retry_days": [1, 3],
        "upcoming_days": 7, "will_be_due_days": 3,
    }  # fmt: skip
    wrong = ({"after_retries": "gone"}, {"retry_days": [3, 1]}, {"upcoming_days": 46}, {"overdue_days": True}, {"x": 1})
    for given in wrong:
        assert biller.rules(**given).status_code == 400
    subscription = failing(biller)
    biller.advance("2026-04-11T02:00:00")
    now = biller.get(f"subscriptions/{subscription['id']}")
    assert now["status"] == status
    biller.advance("2026-05-08T02:00:00")
    newest = biller.all("invoices")[0]
    expected = {"unpaid": ("draft", False), "past_due": ("open", True), "paused": ("open", False)}
    assert (newest["status"], newest["auto_advance"]) == expected[status]

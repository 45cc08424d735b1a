"""Subscriptions in the sandbox: their starts, changes and ends, with invoices, amounts and events."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import pytest

from billing_fixtures import Biller, biller, billing_sandbox, moment
from sandbox_fixtures import running_sandbox

_PAID = ["charge.succeeded", "payment_intent.succeeded", "invoice.paid", "invoice.payment_succeeded",
         "invoice_payment.paid"]  # fmt: skip
_FIRST = ["customer.subscription.created", "invoice.created", "invoice.finalized", "payment_intent.created", *_PAID,
          "charge.updated"]  # fmt: skip


def test_a_subscription_starts_paid_with_its_events_in_order(biller: Biller) -> None:
    customer, price = biller.customer(), biller.price(1000)
    biller.news()
    more = {"expand[0]": "latest_invoice.payments", "expand[1]": "latest_invoice.confirmation_secret"}
    subscription = biller.subscribe(customer, price, **more)
    assert biller.news() == _FIRST
    invoice = subscription["latest_invoice"]
    assert subscription["status"] == "active"
    assert subscription["billing_mode"]["type"] == "flexible"
    assert (invoice["status"], invoice["total"], invoice["amount_paid"], invoice["billing_reason"]) == (
        "paid", 1000, 1000, "subscription_create",
    )  # fmt: skip
    line = invoice["lines"]["data"][0]
    assert line["parent"]["subscription_item_details"]["subscription_item"] == subscription["items"]["data"][0]["id"]
    assert line["subscription"] == subscription["id"] == invoice["parent"]["subscription_details"]["subscription"]
    paid = invoice["payments"]["data"][0]
    intent = biller.get(f"payment_intents/{paid['payment']['payment_intent']}")
    assert (paid["status"], intent["status"], intent["amount"]) == ("paid", "succeeded", 1000)
    assert intent["client_secret"] == invoice["confirmation_secret"]["client_secret"]
    assert biller.all(
        "invoice_payments", **{"payment[type]": "payment_intent", "payment[payment_intent]": intent["id"]}
    )
    created = next(one for one in biller.all("events") if one["type"] == "customer.subscription.created")
    assert created["data"]["object"]["status"] == "active"


def test_without_a_way_to_pay_a_subscription_is_refused(biller: Biller) -> None:
    customer, price = biller.customer(None), biller.price()
    order = {"customer": customer, "items[0][price]": price}
    assert biller.refused("POST", "/v1/subscriptions", order) == (400, "resource_missing", None)
    one_time = biller.price(interval="")
    wrong = {"customer": customer, "items[0][price]": one_time}
    assert biller.refused("POST", "/v1/subscriptions", wrong)[::2] == (400, "items[0][price]")
    unknown = {"customer": customer, "items[0][price]": "price_none"}
    assert biller.refused("POST", "/v1/subscriptions", unknown) == (400, "resource_missing", "items[0][price]")
    assert biller.refused("POST", "/v1/subscriptions", {**order, "colour": "red"})[1] == "parameter_unknown"


def test_a_declined_first_payment_leaves_it_incomplete_for_23_hours(biller: Biller) -> None:
    biller.freeze("2026-01-10T08:00:00")
    customer, price = biller.customer("pm_card_chargeCustomerFail"), biller.price()
    biller.news()
    subscription = biller.subscribe(customer, price)
    assert subscription["status"] == "incomplete"
    assert biller.news() == ["customer.subscription.created", "invoice.created", "invoice.finalized",
                             "payment_intent.created", "charge.failed", "payment_intent.payment_failed",
                             "invoice.payment_failed"]  # fmt: skip
    biller.advance("2026-01-11T06:59:00")
    assert biller.get(f"subscriptions/{subscription['id']}")["status"] == "incomplete"
    biller.advance("2026-01-11T07:00:00")
    assert biller.get(f"subscriptions/{subscription['id']}")["status"] == "incomplete_expired"
    assert biller.get(f"invoices/{subscription['latest_invoice']}")["status"] == "void"


def test_error_if_incomplete_leaves_nothing_behind(biller: Biller) -> None:
    order = {"customer": biller.customer("pm_card_chargeCustomerFail"), "items[0][price]": biller.price(),
             "payment_behavior": "error_if_incomplete"}  # fmt: skip
    assert biller.refused("POST", "/v1/subscriptions", order)[:2] == (402, "card_declined")
    assert biller.all("subscriptions") == []
    assert biller.all("invoices") == []


def test_default_incomplete_becomes_active_when_its_intent_is_confirmed(biller: Biller) -> None:
    customer, price = biller.customer(None), biller.price()
    more = {"payment_behavior": "default_incomplete", "payment_settings[save_default_payment_method]":
            "on_subscription", "expand[]": "latest_invoice.payments"}  # fmt: skip
    subscription = biller.subscribe(customer, price, **more)
    assert subscription["status"] == "incomplete"
    intent = subscription["latest_invoice"]["payments"]["data"][0]["payment"]["payment_intent"]
    biller.news()
    biller.post(f"payment_intents/{intent}/confirm", payment_method="pm_card_visa")
    news = biller.news()
    assert [one for one in news if one in _PAID] == _PAID
    assert "customer.subscription.updated" in news
    now = biller.get(f"subscriptions/{subscription['id']}", **{"expand[]": "default_payment_method"})
    assert now["status"] == "active"
    assert now["default_payment_method"]["customer"] == customer


def test_a_change_of_plan_is_prorated_by_the_second(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer, small, big = biller.customer(), biller.price(1000), biller.price(3000)
    subscription = biller.subscribe(customer, small)
    item = subscription["items"]["data"][0]["id"]
    biller.advance("2026-04-11T00:00:00")  # 20 of 30 days are left
    change = {"items[0][id]": item, "items[0][price]": big}
    preview = biller.post("invoices/create_preview", subscription=subscription["id"], **{
        "subscription_details[items][0][id]": item, "subscription_details[items][0][price]": big})  # fmt: skip
    assert [line["amount"] for line in preview["lines"]["data"]] == [-667, 2000, 3000]
    biller.news()
    biller.post(f"subscriptions/{subscription['id']}", **change)
    assert biller.news() == ["invoiceitem.created", "invoiceitem.created", "customer.subscription.updated"]
    assert sorted(row["amount"] for row in biller.all("invoiceitems", pending="true")) == [-667, 2000]
    biller.advance("2026-05-01T02:00:00")
    invoice = biller.all("invoices")[0]
    assert (invoice["total"], invoice["status"], invoice["billing_reason"]) == (4333, "paid", "subscription_cycle")
    assert biller.all("invoiceitems", pending="true") == []


def test_a_downgrade_settled_at_once_becomes_credit_and_pays_later(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer, small, big = biller.customer(), biller.price(1000), biller.price(3000)
    subscription = biller.subscribe(customer, big)
    item = subscription["items"]["data"][0]["id"]
    biller.advance("2026-04-16T00:00:00")
    biller.post(f"subscriptions/{subscription['id']}", proration_behavior="always_invoice",
                **{"items[0][id]": item, "items[0][price]": small})  # fmt: skip
    invoice = biller.all("invoices")[0]
    assert (invoice["total"], invoice["amount_due"], invoice["ending_balance"], invoice["status"]) == (
        -1000, 0, -1000, "paid",
    )  # fmt: skip
    assert biller.get(f"customers/{customer}")["balance"] == -1000
    biller.advance("2026-05-01T01:00:00")
    renewal = biller.all("invoices")[0]
    assert (renewal["total"], renewal["amount_due"], renewal["status"]) == (1000, 0, "paid")
    moved = biller.all(f"customers/{customer}/balance_transactions")
    assert [row["amount"] for row in moved] == [1000, -1000]


def test_another_interval_begins_a_new_cycle(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer, month, year = biller.customer(), biller.price(1000), biller.price(10000, "year")
    subscription = biller.subscribe(customer, month)
    biller.advance("2026-04-16T00:00:00")
    item = subscription["items"]["data"][0]["id"]
    now = biller.post(f"subscriptions/{subscription['id']}", **{"items[0][id]": item, "items[0][price]": year})
    assert now["items"]["data"][0]["current_period_end"] == moment("2027-04-16T00:00:00")
    invoice = biller.get(f"invoices/{now['latest_invoice']}")
    assert (invoice["total"], invoice["status"]) == (9500, "paid")


def test_cancel_at_period_end_and_take_it_back(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    subscription = biller.subscribe(biller.customer(), biller.price())
    path = f"subscriptions/{subscription['id']}"
    set_ = biller.post(path, cancel_at_period_end="true")
    assert set_["cancel_at"] == moment("2026-05-01T00:00:00")
    assert set_["cancellation_details"]["reason"] == "cancellation_requested"
    back = biller.post(path, cancel_at_period_end="false")
    assert (back["cancel_at"], back["canceled_at"], back["cancellation_details"]["reason"]) == (None, None, None)
    biller.post(path, cancel_at_period_end="true")
    biller.news()
    biller.advance("2026-05-02T00:00:00")
    assert [one for one in biller.news() if "clock" not in one] == ["customer.subscription.deleted"]
    ended = biller.get(path)
    assert (ended["status"], ended["ended_at"]) == ("canceled", moment("2026-05-01T00:00:00"))
    assert biller.refused("POST", f"/v1/{path}", {"cancel_at_period_end": "false"})[0] == 400
    assert biller.refused("DELETE", f"/v1/{path}")[:2] == (404, "resource_missing")


def test_cancel_now_with_the_rest_given_back(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer = biller.customer()
    subscription = biller.subscribe(customer, biller.price(3000))
    biller.advance("2026-04-21T00:00:00")
    ended = biller.call("DELETE", f"/v1/subscriptions/{subscription['id']}", {"prorate": "true", "invoice_now": "true"})
    assert ended["status"] == "canceled"
    assert biller.get(f"customers/{customer}")["balance"] == -1000


def test_a_trial_reminds_three_days_before_and_then_costs(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    subscription = biller.subscribe(biller.customer(), biller.price(), trial_period_days="14")
    assert subscription["status"] == "trialing"
    first = biller.get(f"invoices/{subscription['latest_invoice']}", **{"expand[]": "payments"})
    assert (first["status"], first["total"], first["payments"]["data"]) == ("paid", 0, [])
    biller.news()
    biller.advance("2026-04-11T23:59:00")
    assert "customer.subscription.trial_will_end" not in biller.news()
    biller.advance("2026-04-12T00:00:00")
    assert "customer.subscription.trial_will_end" in biller.news()
    biller.advance("2026-04-15T00:30:00")
    news = [one for one in biller.news() if "clock" not in one]
    assert news == ["invoice.created", "customer.subscription.updated"]
    assert biller.get(f"subscriptions/{subscription['id']}")["status"] == "active"
    draft = biller.all("invoices")[0]
    assert (draft["status"], draft["automatically_finalizes_at"]) == ("draft", moment("2026-04-15T01:00:00"))
    biller.advance("2026-04-15T01:00:00")
    assert biller.get(f"invoices/{draft['id']}")["status"] == "paid"


@pytest.mark.parametrize(("behavior", "status"), [("cancel", "canceled"), ("pause", "paused"),
                                                  ("create_invoice", "past_due")])  # fmt: skip
def test_a_trial_that_ends_without_a_method(biller: Biller, behavior: str, status: str) -> None:
    biller.freeze("2026-04-01T00:00:00")
    more = {"trial_settings[end_behavior][missing_payment_method]": behavior, "trial_period_days": "7"}
    subscription = biller.subscribe(biller.customer(None), biller.price(), **more)
    biller.advance("2026-04-08T02:00:00")
    now = biller.get(f"subscriptions/{subscription['id']}")
    assert now["status"] == status
    if status == "paused":
        assert now["status_details"]["paused"]["subscription"]["type"] == "trial_end_without_payment_method"


def test_a_trial_ended_early_is_paid_at_once(biller: Biller) -> None:
    subscription = biller.subscribe(biller.customer(), biller.price(), trial_period_days="14")
    now = biller.post(f"subscriptions/{subscription['id']}", trial_end="now")
    invoice = biller.get(f"invoices/{now['latest_invoice']}")
    assert (now["status"], invoice["status"], invoice["total"]) == ("active", "paid", 1000)


def test_pause_and_resume(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    subscription = biller.subscribe(biller.customer(), biller.price(3000))
    path = f"subscriptions/{subscription['id']}"
    biller.advance("2026-04-11T00:00:00")
    biller.news()
    paused = biller.post(f"{path}/pause")
    assert (paused["status"], paused["status_details"]["paused"]["subscription"]["type"]) == (
        "paused", "pause_requested",
    )  # fmt: skip
    assert "customer.subscription.paused" in biller.news()
    biller.advance("2026-05-20T00:00:00")
    assert len(biller.all("invoices")) == 1
    resumed = biller.post(f"{path}/resume")
    assert (resumed["status"], resumed["status_details"]) == ("active", None)
    assert resumed["items"]["data"][0]["current_period_end"] == moment("2026-06-20T00:00:00")
    assert biller.all("invoices")[0]["total"] == 3000 - 2000
    assert "customer.subscription.resumed" in biller.news()
    assert biller.refused("POST", f"/v1/{path}/resume")[0] == 400


@pytest.mark.parametrize(("behavior", "status"), [("void", "void"), ("keep_as_draft", "draft"),
                                                  ("mark_uncollectible", "uncollectible")])  # fmt: skip
def test_a_pause_of_collection_still_makes_invoices(biller: Biller, behavior: str, status: str) -> None:
    biller.freeze("2026-04-01T00:00:00")
    subscription = biller.subscribe(biller.customer(), biller.price())
    path = f"subscriptions/{subscription['id']}"
    until = str(moment("2026-05-15T00:00:00"))
    biller.post(path, **{"pause_collection[behavior]": behavior, "pause_collection[resumes_at]": until})
    biller.advance("2026-05-02T00:00:00")
    assert biller.all("invoices")[0]["status"] == status
    assert biller.get(path)["status"] == "active"
    biller.advance("2026-06-02T00:00:00")
    assert biller.get(path)["pause_collection"] is None
    assert biller.all("invoices")[0]["status"] == "paid"


def test_items_are_added_changed_and_taken_away(biller: Biller) -> None:
    customer, price, other = biller.customer(), biller.price(1000), biller.price(500)
    subscription = biller.subscribe(customer, price)
    item = biller.post("subscription_items", subscription=subscription["id"], price=other, quantity="2")
    assert biller.post(f"subscription_items/{item['id']}", quantity="5")["quantity"] == 5
    assert len(biller.all("subscription_items", subscription=subscription["id"])) == 2
    assert biller.call("DELETE", f"/v1/subscription_items/{item['id']}")["deleted"]
    left = biller.get(f"subscriptions/{subscription['id']}")["items"]["data"]
    assert [one["price"]["id"] for one in left] == [price]
    last = left[0]["id"]
    assert biller.refused("DELETE", f"/v1/subscription_items/{last}")[0] == 400


def test_coupons_last_as_long_as_they_say(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer, price = biller.customer(), biller.price(1000)
    half = biller.post("coupons", percent_off="50", duration="repeating", duration_in_months="2")["id"]
    once = biller.post("coupons", amount_off="300", currency="usd", duration="once")["id"]
    biller.subscribe(customer, price, **{"discounts[0][coupon]": half, "discounts[1][coupon]": once})
    for month in ("05", "06", "07"):
        biller.advance(f"2026-{month}-01T02:00:00")
    totals = [invoice["total"] for invoice in biller.all("invoices")[::-1]]
    assert totals == [200, 500, 1000, 1000]
    assert biller.get(f"coupons/{once}")["times_redeemed"] == 1


def test_a_full_discount_is_paid_without_an_intent(biller: Biller) -> None:
    customer, price = biller.customer(None), biller.price(1000)
    coupon = biller.post("coupons", percent_off="100", duration="forever", max_redemptions="1")["id"]
    code = biller.post("promotion_codes", code="FREE", **{"promotion[type]": "coupon", "promotion[coupon]": coupon})
    subscription = biller.subscribe(customer, price, **{"discounts[0][promotion_code]": code["id"]})
    invoice = biller.get(f"invoices/{subscription['latest_invoice']}", **{"expand[]": "payments"})
    assert (subscription["status"], invoice["status"], invoice["total"]) == ("active", "paid", 0)
    assert invoice["payments"]["data"] == []
    assert biller.all("payment_intents") == []
    again = {"customer": customer, "items[0][price]": price, "discounts[0][coupon]": coupon}
    assert biller.refused("POST", "/v1/subscriptions", again) == (400, "coupon_expired", "discounts[0][coupon]")
    assert biller.call("DELETE", f"/v1/coupons/{coupon}")["deleted"]
    assert biller.refused("GET", f"/v1/coupons/{coupon}")[0] == 404


def test_a_trial_asks_for_its_card_with_a_setup_intent(biller: Biller) -> None:
    more = {"payment_behavior": "default_incomplete", "trial_period_days": "7",
            "payment_settings[save_default_payment_method]": "on_subscription"}  # fmt: skip
    subscription = biller.subscribe(biller.customer(None), biller.price(), **more)
    intent = subscription["pending_setup_intent"]
    assert biller.post(f"setup_intents/{intent}/confirm", payment_method="pm_card_visa")["status"] == "succeeded"
    now = biller.get(f"subscriptions/{subscription['id']}")
    assert now["pending_setup_intent"] is None
    assert now["default_payment_method"]


def test_a_deleted_customer_has_no_subscriptions(biller: Biller) -> None:
    customer, price = biller.customer(), biller.price()
    subscription = biller.subscribe(customer, price)
    biller.call("DELETE", f"/v1/customers/{customer}")
    assert biller.get(f"subscriptions/{subscription['id']}")["status"] == "canceled"
    assert biller.news()[-2:] == ["customer.subscription.deleted", "customer.deleted"]


def test_items_show_their_price_as_it_is_now(biller: Biller) -> None:
    customer, price = biller.customer(), biller.price()
    subscription = biller.subscribe(customer, price)
    biller.post(f"prices/{price}", lookup_key="gold", nickname="Gold")
    item = biller.get(f"subscriptions/{subscription['id']}")["items"]["data"][0]
    assert (item["price"]["lookup_key"], item["plan"]["nickname"]) == ("gold", "Gold")

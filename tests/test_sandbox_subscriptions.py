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


def test_an_early_end_gives_back_the_rest_and_can_be_taken_back(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer = biller.customer()
    path = f"subscriptions/{biller.subscribe(customer, biller.price(3000))['id']}"
    biller.post(path, cancel_at=str(moment("2026-04-21T00:00:00")))
    assert [row["amount"] for row in biller.all("invoiceitems", pending="true")] == [-1000]
    biller.post(path, description="said in between")
    assert biller.post(path, cancel_at="")["cancel_at"] is None
    assert biller.all("invoiceitems") == []
    biller.post(path, cancel_at=str(moment("2026-04-16T00:00:00")))
    biller.advance("2026-04-16T02:00:00")
    ended = biller.get(path)
    last = biller.get(f"invoices/{ended['latest_invoice']}")
    assert (ended["status"], last["total"], last["status"]) == ("canceled", -1500, "paid")
    assert biller.get(f"customers/{customer}")["balance"] == -1500


def test_the_last_period_before_a_chosen_end_costs_its_part(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    path = f"subscriptions/{biller.subscribe(biller.customer(), biller.price(3100))['id']}"
    biller.post(path, cancel_at=str(moment("2026-05-11T00:00:00")))
    assert biller.post("invoices/create_preview", subscription=path.split("/")[1])["total"] == 1000
    biller.advance("2026-05-01T02:00:00")
    assert biller.all("invoices")[0]["total"] == 1000
    assert biller.get(path)["items"]["data"][0]["current_period_end"] == moment("2026-05-11T00:00:00")
    biller.advance("2026-05-12T00:00:00")
    assert biller.get(path)["status"] == "canceled"


def test_what_waits_is_invoiced_when_a_period_ends_for_the_last_time(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer, big = biller.customer(), biller.price(3000)
    subscription = biller.subscribe(customer, biller.price(1000))
    path = f"subscriptions/{subscription['id']}"
    biller.advance("2026-04-16T00:00:00")
    biller.post(path, cancel_at_period_end="true",
                **{"items[0][id]": subscription["items"]["data"][0]["id"], "items[0][price]": big})  # fmt: skip
    biller.advance("2026-05-01T00:30:00")
    draft = biller.all("invoices")[0]
    assert (draft["status"], draft["total"], draft["billing_reason"]) == ("draft", 1000, "subscription_cycle")
    biller.advance("2026-05-01T01:00:00")
    assert biller.get(f"invoices/{draft['id']}")["status"] == "paid"
    assert biller.get(path)["status"] == "canceled"
    assert biller.all("invoiceitems", pending="true") == []


def test_a_trial_with_an_anchor_goes_on_with_a_part_of_a_period(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    anchor = {"billing_cycle_anchor": str(moment("2026-05-01T00:00:00"))}
    biller.subscribe(biller.customer(), biller.price(3000), trial_period_days="20", **anchor)
    unchanged = {"trial_settings[end_behavior][billing_cycle_anchor]": "unchanged",
                 "trial_settings[end_behavior][missing_payment_method]": "cancel"}  # fmt: skip
    biller.subscribe(biller.customer(), biller.price(3000), trial_period_days="20", **unchanged)
    biller.advance("2026-04-21T02:00:00")
    assert [row["total"] for row in biller.all("invoices")][:2] == [1000, 1000]
    late = {"customer": biller.customer(), "items[0][price]": biller.price(),
            "billing_cycle_anchor": str(moment("2026-05-22T00:00:00"))}  # fmt: skip
    assert biller.refused("POST", "/v1/subscriptions", late)[::2] == (400, "billing_cycle_anchor")


def test_a_first_part_of_a_period_is_given_back_as_a_part(biller: Biller) -> None:
    biller.freeze("2026-04-11T00:00:00")
    customer, big = biller.customer(), biller.price(6000)
    made = biller.subscribe(customer, biller.price(3000), billing_cycle_anchor=str(moment("2026-05-01T00:00:00")))
    assert biller.get(f"invoices/{made['latest_invoice']}")["total"] == 2000
    biller.advance("2026-04-21T00:00:00")
    biller.post(f"subscriptions/{made['id']}", **{
        "items[0][id]": made["items"]["data"][0]["id"], "items[0][price]": big})  # fmt: skip
    assert sorted(row["amount"] for row in biller.all("invoiceitems", pending="true")) == [-1000, 2000]


def test_a_discount_of_one_item_lowers_that_item_alone(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    half = biller.post("coupons", percent_off="50", duration="forever")["id"]
    once = biller.post("coupons", amount_off="300", currency="usd", duration="once")["id"]
    made = biller.subscribe(biller.customer(), biller.price(1000), **{
        "items[0][discounts][0][coupon]": half, "items[1][price]": biller.price(2000),
        "items[1][discounts][0][coupon]": once})  # fmt: skip
    assert [len(item["discounts"]) for item in made["items"]["data"]] == [1, 0]  # what counts once is used up
    biller.advance("2026-05-01T02:00:00")
    assert [row["total"] for row in biller.all("invoices")] == [2500, 2200]
    now = biller.get(f"subscriptions/{made['id']}")["items"]["data"]
    assert [len(item["discounts"]) for item in now] == [1, 0]
    path = f"subscription_items/{now[1]['id']}"
    assert len(biller.post(path, **{"discounts[0][coupon]": half})["discounts"]) == 1
    assert biller.post(path, discounts="")["discounts"] == []
    customer = biller.customer()
    item = biller.post("invoiceitems", customer=customer, amount="1000", currency="usd",
                       **{"discounts[0][coupon]": half})  # fmt: skip
    assert len(item["discounts"]) == 1
    invoice = biller.post("invoices", customer=customer, pending_invoice_items_behavior="include")
    assert (invoice["subtotal"], invoice["total"]) == (1000, 500)


def test_one_time_prices_are_added_to_a_running_subscription(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer, once = biller.customer(), biller.price(700, interval="")
    path = f"subscriptions/{biller.subscribe(customer, biller.price(1000))['id']}"
    biller.post(path, **{"add_invoice_items[0][price]": once, "add_invoice_items[0][quantity]": "2"})
    biller.advance("2026-05-01T02:00:00")
    assert biller.all("invoices")[0]["total"] == 2400


def test_a_cycle_that_begins_now_moves_the_chosen_end_along(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    path = f"subscriptions/{biller.subscribe(biller.customer(), biller.price())['id']}"
    biller.post(path, cancel_at_period_end="true")
    biller.advance("2026-04-16T00:00:00")
    now = biller.post(path, **{"billing_cycle_anchor[type]": "now"})
    assert (now["cancel_at_period_end"], now["cancel_at"]) == (True, moment("2026-05-16T00:00:00"))
    older = biller.sandbox.call("POST", f"/v1/{path}", {"billing_cycle_anchor": "unchanged"},
                                Stripe_Version="2024-09-30.acacia")  # fmt: skip
    assert older.status_code == 200


@pytest.mark.parametrize(("wrong", "param"), [
    ({"days_until_due": "5"}, "days_until_due"),
    ({"pause_collection[behavior]": "void", "pause_collection[resumes_at]": "1000"}, "pause_collection[resumes_at]"),
    ({"pause_collection[behavior]": "sleep"}, "pause_collection[behavior]"),
    ({"pause_collection[colour]": "red", "pause_collection[behavior]": "void"}, "pause_collection[colour]"),
    ({"proration_date": "1000"}, "proration_date"),
    ({"cancel_at": "1000"}, "cancel_at"),
    ({"cancel_at": "4000000000", "cancel_at_period_end": "true"}, "cancel_at"),
    ({"trial_end": "tomorrow"}, "trial_end"),
    ({"items[0][id]": "si_none"}, "items[0][id]"),
    ({"items[0][price]": "price_none"}, "items[0][price]"),
    ({"default_payment_method": "pm_none"}, "default_payment_method"),
    ({"payment_settings[colour]": "red"}, "payment_settings[colour]"),
    ({"billing_cycle_anchor[type]": "later"}, "billing_cycle_anchor[type]"),
])  # fmt: skip
def test_a_change_that_cannot_be_is_refused_by_name(biller: Biller, wrong: dict[str, str], param: str) -> None:
    path = f"/v1/subscriptions/{biller.subscribe(biller.customer(), biller.price())['id']}"
    biller.news()
    assert biller.refused("POST", path, wrong)[::2] == (400, param)
    assert biller.news() == []


def test_an_empty_value_unsets_and_nothing_else_changes(biller: Biller) -> None:
    customer, price = biller.customer(), biller.price()
    method = biller.get(f"customers/{customer}")["invoice_settings"]["default_payment_method"]
    coupon = biller.post("coupons", percent_off="10", duration="forever")["id"]
    path = f"subscriptions/{biller.subscribe(customer, price)['id']}"
    biller.post(path, default_payment_method=method, description="Gold", **{
        "metadata[a]": "1", "metadata[b]": "2", "discounts[0][coupon]": coupon,
        "pause_collection[behavior]": "void", "cancellation_details[comment]": "no"})  # fmt: skip
    now = biller.post(path, default_payment_method="", description="", discounts="", pause_collection="",
                      **{"metadata[a]": ""})  # fmt: skip
    assert (now["default_payment_method"], now["description"], now["discounts"], now["pause_collection"]) == (
        None, None, [], None,
    )  # fmt: skip
    assert (now["metadata"], now["cancellation_details"]["comment"]) == ({"b": "2"}, "no")
    assert biller.post(path, metadata="")["metadata"] == {}


def test_lists_walk_both_ways_and_filter(biller: Biller) -> None:
    customer, other, price = biller.customer(), biller.customer(), biller.price()
    made = [biller.subscribe(customer, price)["id"] for _ in range(3)]
    biller.subscribe(other, biller.price())
    biller.call("DELETE", f"/v1/subscriptions/{made[0]}")
    assert [one["id"] for one in biller.get("subscriptions", customer=customer)["data"]] == [made[2], made[1]]
    every = biller.get("subscriptions", customer=customer, status="all", limit="2")
    assert ([one["id"] for one in every["data"]], every["has_more"]) == ([made[2], made[1]], True)
    back = biller.get("subscriptions", customer=customer, status="all", ending_before=made[0], limit="1")
    assert ([one["id"] for one in back["data"]], back["has_more"]) == ([made[1]], True)
    assert len(biller.all("subscriptions", price=price)) == 2
    assert [one["id"] for one in biller.all("subscriptions", status="ended")] == [made[0]]
    both = {"starting_after": made[0], "ending_before": made[1]}
    assert biller.refused("GET", "/v1/subscriptions", both)[0] == 400
    assert biller.refused("GET", "/v1/subscriptions", {"starting_after": "sub_none"})[:2] == (400, "resource_missing")
    assert biller.refused("GET", "/v1/subscriptions", {"status": "sleeping"})[::2] == (400, "status")


def test_an_incomplete_subscription_cannot_be_changed_and_its_intent_not_canceled(biller: Biller) -> None:
    made = biller.subscribe(biller.customer(None), biller.price(), payment_behavior="default_incomplete",
                            **{"expand[]": "latest_invoice.payments"})  # fmt: skip
    wrong = {"items[0][price]": biller.price()}
    assert biller.refused("POST", f"/v1/subscriptions/{made['id']}", wrong)[::2] == (400, "items")
    assert biller.post(f"subscriptions/{made['id']}", **{"metadata[a]": "b"})["metadata"] == {"a": "b"}
    intent = made["latest_invoice"]["payments"]["data"][0]["payment"]["payment_intent"]
    assert biller.refused("POST", f"/v1/payment_intents/{intent}/cancel")[:2] == (
        400,
        "payment_intent_unexpected_state",
    )
    assert biller.refused("POST", f"/v1/payment_intents/{intent}", {"amount": "5"})[0] == 400

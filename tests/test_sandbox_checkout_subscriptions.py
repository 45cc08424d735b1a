"""Checkout in subscription mode: the subscription is made when the page is paid, with its events in order."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import httpx
import pytest

from billing_fixtures import Biller, Json, biller, billing_sandbox
from sandbox_fixtures import confirm

_STORY = ["customer.created", "payment_method.attached", "customer.updated", "customer.subscription.created",
          "invoice.created", "invoice.finalized", "charge.succeeded", "payment_intent.succeeded", "invoice.paid",
          "invoice.payment_succeeded", "invoice_payment.paid", "checkout.session.completed", "charge.updated"]  # fmt: skip


def session(biller: Biller, *prices: str, **more: str) -> Json:
    lines = {}
    for place, price in enumerate(prices):
        lines |= {f"line_items[{place}][price]": price, f"line_items[{place}][quantity]": "1"}
    return biller.post("checkout/sessions", mode="subscription", success_url="http://127.0.0.1:9/ok", **lines, **more)


def paid(biller: Biller, made: Json, number: str = "4242424242424242") -> Json:
    answer = confirm(biller.sandbox, made["id"], number)
    assert answer.status_code == 200, answer.text
    return biller.get(f"checkout/sessions/{made['id']}")


def test_a_subscription_is_made_when_the_page_is_paid(biller: Biller) -> None:
    price, fee = biller.price(1000), biller.price(500, interval="")
    made = session(biller, price, fee, **{"subscription_data[metadata][order]": "o1"})
    assert (made["amount_total"], made["payment_method_collection"], made["subscription"]) == (1500, "always", None)
    assert confirm(biller.sandbox, made["id"], "4000000000000002").status_code == 402
    assert biller.all("subscriptions") == biller.all("invoices") == biller.all("customers") == []
    biller.news()
    done = paid(biller, made)
    assert biller.news() == _STORY
    assert (done["status"], done["payment_status"], done["payment_intent"]) == ("complete", "paid", None)
    subscription = biller.get(f"subscriptions/{done['subscription']}", **{"expand[]": "latest_invoice"})
    assert (subscription["status"], subscription["metadata"]) == ("active", {"order": "o1"})
    assert subscription["default_payment_method"]
    invoice = subscription["latest_invoice"]
    assert (done["invoice"], invoice["total"], len(invoice["lines"]["data"])) == (invoice["id"], 1500, 2)
    created = next(one for one in biller.all("events") if one["type"] == "customer.subscription.created")
    assert created["data"]["object"]["status"] == "active"
    assert biller.all("checkout/sessions", subscription=done["subscription"])


def test_a_trial_is_paid_later(biller: Biller) -> None:
    made = session(biller, biller.price(1000), **{"subscription_data[trial_period_days]": "14"})
    assert (made["amount_total"], made["payment_status"]) == (0, "no_payment_required")
    assert "14 days free" in httpx.get(made["url"]).text
    done = paid(biller, made)
    assert done["payment_status"] == "no_payment_required"
    subscription = biller.get(f"subscriptions/{done['subscription']}")
    assert subscription["status"] == "trialing"
    assert subscription["default_payment_method"]


def test_a_trial_may_begin_without_a_card(biller: Biller) -> None:
    more = {"subscription_data[trial_period_days]": "14", "payment_method_collection": "if_required",
            "subscription_data[trial_settings][end_behavior][missing_payment_method]": "pause"}  # fmt: skip
    made = session(biller, biller.price(), **more)
    url = f"{biller.sandbox.url}/v1/payment_pages/{made['id']}/confirm"
    assert httpx.post(url, data={"customer_email": "jo@example.com"}).status_code == 200
    done = biller.get(f"checkout/sessions/{made['id']}", **{"expand[]": "subscription"})
    assert (done["status"], done["subscription"]["default_payment_method"]) == ("complete", None)


@pytest.mark.parametrize("passes", [True, False])
def test_3d_secure_comes_before_the_subscription(biller: Biller, passes: bool) -> None:
    made = session(biller, biller.price())
    page = confirm(biller.sandbox, made["id"], "4000002760003184").json()
    assert biller.all("subscriptions") == []
    url = page["payment_intent"]["next_action"]["redirect_to_url"]["url"]
    httpx.post(url, data={"result": "complete" if passes else "fail"})
    now = biller.get(f"checkout/sessions/{made['id']}")
    assert now["status"] == ("complete" if passes else "open")
    assert len(biller.all("subscriptions")) == int(passes)


def test_a_promotion_code_typed_on_the_page_lowers_every_invoice(biller: Biller) -> None:
    coupon = biller.post("coupons", percent_off="25", duration="forever")["id"]
    biller.post("promotion_codes", code="SAVE25", **{"promotion[type]": "coupon", "promotion[coupon]": coupon})
    made = session(biller, biller.price(1000), allow_promotion_codes="true")
    url = f"{biller.sandbox.url}/v1/payment_pages/{made['id']}"
    assert httpx.post(url, data={"promotion_code": "NONE"}).status_code == 400
    assert httpx.post(url, data={"promotion_code": "save25"}).json()["total_summary"]["due"] == 750
    done = paid(biller, made)
    assert (done["amount_total"], done["total_details"]["amount_discount"]) == (750, 250)
    preview = biller.post("invoices/create_preview", subscription=done["subscription"])
    assert preview["total"] == 750
    assert biller.get(f"coupons/{coupon}")["times_redeemed"] == 1


def test_a_full_discount_needs_no_money(biller: Biller) -> None:
    coupon = biller.post("coupons", percent_off="100", duration="once")["id"]
    made = session(biller, biller.price(1000), **{"discounts[0][coupon]": coupon})
    done = paid(biller, made)
    assert (done["amount_total"], done["payment_status"]) == (0, "no_payment_required")
    assert biller.all("payment_intents") == []
    assert biller.get(f"subscriptions/{done['subscription']}")["status"] == "active"


def test_a_payment_session_takes_a_coupon_too(biller: Biller) -> None:
    coupon = biller.post("coupons", amount_off="400", currency="usd")["id"]
    made = biller.post("checkout/sessions", mode="payment", success_url="http://127.0.0.1:9/ok", **{
        "line_items[0][price]": biller.price(1000, interval=""), "line_items[0][quantity]": "1",
        "discounts[0][coupon]": coupon})  # fmt: skip
    done = paid(biller, made)
    assert done["amount_total"] == 600
    assert biller.get(f"payment_intents/{done['payment_intent']}")["amount"] == 600
    assert biller.get(f"coupons/{coupon}")["times_redeemed"] == 1


def test_a_bank_debit_begins_the_subscription_before_it_arrives(biller: Biller) -> None:
    price = biller.price(1000, currency="eur")
    made = session(biller, price, **{"payment_method_types[]": "sepa_debit"})
    url = f"{biller.sandbox.url}/v1/payment_pages/{made['id']}/confirm"
    values = {"payment_method_data[type]": "sepa_debit", "customer_email": "jo@example.com",
              "payment_method_data[sepa_debit][iban]": "AT611904300234573201",
              "payment_method_data[billing_details][name]": "Jo Buyer",
              "payment_method_data[billing_details][email]": "jo@example.com"}  # fmt: skip
    answer = httpx.post(url, data=values)
    assert answer.status_code == 200, answer.text
    now = biller.get(f"checkout/sessions/{made['id']}", **{"expand[]": "subscription"})
    assert (now["status"], now["payment_status"], now["subscription"]["status"]) == ("complete", "unpaid", "active")


def test_what_subscription_mode_does_not_take_is_refused(biller: Biller) -> None:
    base = {"mode": "subscription", "success_url": "http://127.0.0.1:9/ok", "line_items[0][quantity]": "1"}
    one_time = {**base, "line_items[0][price]": biller.price(interval="")}
    assert biller.refused("POST", "/v1/checkout/sessions", one_time)[::2] == (400, "line_items")
    right = {**base, "line_items[0][price]": biller.price()}
    for name in ("payment_intent_data[description]", "submit_type", "customer_creation"):
        value = {"submit_type": "pay", "customer_creation": "always"}.get(name, "x")
        wrong = {**right, name: value}
        assert biller.refused("POST", "/v1/checkout/sessions", wrong)[::2] == (400, name.partition("[")[0])
    both = {**right, "payment_method_types[]": "blik", "currency": "pln"}
    assert biller.refused("POST", "/v1/checkout/sessions", both)[0] == 400


def test_a_session_on_a_test_clock_expires_by_it(biller: Biller) -> None:
    biller.freeze("2026-01-01T00:00:00")
    made = session(biller, biller.price(), customer=biller.customer())
    assert made["status"] == "open"
    biller.advance("2026-01-01T23:59:00")
    assert biller.get(f"checkout/sessions/{made['id']}")["status"] == "open"
    biller.advance("2026-01-02T00:00:00")
    assert biller.get(f"checkout/sessions/{made['id']}")["status"] == "expired"

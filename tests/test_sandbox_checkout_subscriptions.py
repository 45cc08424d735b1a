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


def balanced(biller: Biller, amount: int) -> str:
    """A customer who owes an amount, or has it to their credit (negative)."""
    customer = biller.customer(card=None)
    biller.post(f"customers/{customer}/balance_transactions", amount=str(amount), currency="usd")
    return customer


def charged(biller: Biller) -> list[int]:
    return [charge["amount"] for charge in biller.all("charges")]


@pytest.mark.parametrize(("balance", "due", "left"), [(-2000, 0, -1000), (-400, 600, 0), (-970, 0, 30), (500, 1500, 0)])
def test_the_customers_balance_is_paid_with(biller: Biller, balance: int, due: int, left: int) -> None:
    customer = balanced(biller, balance)
    made = session(biller, biller.price(1000), customer=customer)
    page = httpx.get(f"{biller.sandbox.url}/v1/payment_pages/{made['id']}").json()
    assert (made["amount_total"], page["total_summary"]["due"]) == (1000, due)
    done = paid(biller, made)
    assert charged(biller) == ([due] if due else [])
    assert biller.get(f"customers/{customer}")["balance"] == left
    invoice = biller.get(f"invoices/{done['invoice']}")
    assert (invoice["status"], invoice["amount_due"], invoice["amount_overpaid"]) == ("paid", due, 0)
    assert (done["status"], done["payment_status"]) == ("complete", "paid")
    assert biller.get(f"subscriptions/{done['subscription']}")["status"] == "active"


def test_what_waits_to_be_invoiced_is_not_billed_with_a_checkout(biller: Biller) -> None:
    customer = biller.customer(card=None)
    waiting = biller.post("invoiceitems", customer=customer, amount="700", currency="usd")["id"]
    done = paid(biller, session(biller, biller.price(1000), customer=customer))
    assert charged(biller) == [1000]
    assert biller.get(f"invoices/{done['invoice']}")["amount_paid"] == 1000
    assert biller.get(f"subscriptions/{done['subscription']}")["status"] == "active"
    assert biller.get(f"invoiceitems/{waiting}")["invoice"] is None


def discounted(biller: Biller, coupon: str, customer: str) -> None:
    """Give a customer a coupon, as programs for older versions do."""
    answer = biller.sandbox.call("POST", f"/v1/customers/{customer}", {"coupon": coupon}, Stripe_Version="2024-06-20")
    assert answer.status_code == 200, answer.text


def test_the_customers_discount_counts_in_checkout(biller: Biller) -> None:
    customer = biller.customer(card=None)
    made = session(biller, biller.price(1000), customer=customer)
    discounted(biller, biller.post("coupons", percent_off="50", duration="forever")["id"], customer)
    stale = confirm(biller.sandbox, made["id"], expected_amount="1000")
    assert stale.json()["error"]["code"] == "checkout_amount_mismatch"
    done = paid(biller, made)
    assert (charged(biller), done["amount_total"]) == ([500], 500)
    assert biller.get(f"invoices/{done['invoice']}")["amount_overpaid"] == 0
    assert biller.get(f"customers/{customer}")["balance"] == 0


def test_a_customers_discount_for_once_counts_once(biller: Biller) -> None:
    customer = biller.customer()
    discounted(biller, biller.post("coupons", percent_off="50", duration="once")["id"], customer)
    price = biller.price(1000)
    assert biller.subscribe(customer, price)["status"] == "active"
    assert biller.subscribe(customer, price)["status"] == "active"
    assert charged(biller) == [1000, 500]
    assert biller.get(f"customers/{customer}")["discount"] is None


def test_an_amount_that_changed_while_the_bank_asked_is_not_taken(biller: Biller) -> None:
    customer = biller.customer(card=None)
    made = session(biller, biller.price(1000), customer=customer)
    page = confirm(biller.sandbox, made["id"], "4000002760003184").json()
    biller.post(f"customers/{customer}/balance_transactions", amount="-2000", currency="usd")
    httpx.post(page["payment_intent"]["next_action"]["redirect_to_url"]["url"], data={"result": "complete"})
    assert (charged(biller), biller.all("subscriptions")) == ([], [])
    now = httpx.get(f"{biller.sandbox.url}/v1/payment_pages/{made['id']}").json()
    assert now["payment_intent"]["last_payment_error"]["message"].startswith("The amount of this Checkout Session")
    assert paid(biller, made)["status"] == "complete"


@pytest.mark.parametrize("mode", ["payment", "subscription"])
def test_discounts_that_an_order_may_not_have_are_refused(biller: Biller, mode: str) -> None:
    price = biller.price(2000, interval="month" if mode == "subscription" else "")
    base = {"mode": mode, "success_url": "http://127.0.0.1:9/ok", "line_items[0][price]": price,
            "line_items[0][quantity]": "1"}  # fmt: skip
    euros = biller.post("coupons", amount_off="500", currency="eur")["id"]
    tenth = biller.post("coupons", percent_off="10")["id"]
    nearly = biller.post("coupons", percent_off="98")["id"]
    promotion = {"promotion[type]": "coupon", "promotion[coupon]": tenth}
    least = biller.post("promotion_codes", **promotion, **{"restrictions[minimum_amount]": "10000",
                        "restrictions[minimum_amount_currency]": "usd"})["id"]  # fmt: skip
    first = biller.post("promotion_codes", **promotion, **{"restrictions[first_time_transaction]": "true"})["id"]
    buyer = biller.customer()
    biller.subscribe(buyer, biller.price())
    for discount, code, more in (
        ({"coupon": euros}, None, {}),
        ({"coupon": nearly}, "amount_too_small", {}),
        ({"promotion_code": least}, "promotion_code_minimum_amount_not_met", {}),
        ({"promotion_code": first}, "promotion_code_customer_not_first_time", {"customer": buyer}),
    ):
        wrong = {**base, **more, **{f"discounts[0][{name}]": value for name, value in discount.items()}}
        assert biller.refused("POST", "/v1/checkout/sessions", wrong)[:2] == (400, code)
    assert biller.all("checkout/sessions") == []
    assert biller.post("checkout/sessions", **base, **{"discounts[0][promotion_code]": first})["amount_total"] == 1800


def test_a_code_may_not_leave_less_than_can_be_charged(biller: Biller) -> None:
    coupon = biller.post("coupons", percent_off="97", duration="forever")["id"]
    biller.post("promotion_codes", code="ALMOST", **{"promotion[type]": "coupon", "promotion[coupon]": coupon})
    made = session(biller, biller.price(1000), allow_promotion_codes="true")
    url = f"{biller.sandbox.url}/v1/payment_pages/{made['id']}"
    assert httpx.post(url, data={"promotion_code": "ALMOST"}).json()["error"]["code"] == "amount_too_small"
    now = biller.get(f"checkout/sessions/{made['id']}")
    assert (now["discounts"], now["amount_total"]) == ([], 1000)


@pytest.mark.parametrize("mode", ["payment", "subscription"])
def test_a_coupon_for_one_is_used_by_one(biller: Biller, mode: str) -> None:
    coupon = biller.post("coupons", percent_off="10", max_redemptions="1")["id"]
    base = {"mode": mode, "success_url": "http://127.0.0.1:9/ok", "line_items[0][quantity]": "1",
            "line_items[0][price]": biller.price(interval="month" if mode == "subscription" else ""),
            "discounts[0][coupon]": coupon}  # fmt: skip
    one, other = (biller.post("checkout/sessions", **base) for _ in range(2))
    assert paid(biller, one)["payment_status"] == "paid"
    refused = confirm(biller.sandbox, other["id"])
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "coupon_expired")
    now = biller.get(f"coupons/{coupon}")
    assert (now["times_redeemed"], now["valid"], charged(biller)) == (1, False, [900])


def test_a_customer_has_subscriptions_in_one_currency(biller: Biller) -> None:
    customer = biller.customer(card=None)
    dollars, euros = biller.price(1000), biller.price(1000, currency="eur")
    before = session(biller, euros, customer=customer)
    ends = paid(biller, session(biller, dollars, customer=customer))["subscription"]
    wrong = {"mode": "subscription", "success_url": "http://127.0.0.1:9/ok", "customer": customer,
             "line_items[0][price]": euros, "line_items[0][quantity]": "1"}  # fmt: skip
    assert biller.refused("POST", "/v1/checkout/sessions", wrong)[0] == 400
    assert confirm(biller.sandbox, before["id"]).status_code == 400
    assert charged(biller) == [1000]
    biller.call("DELETE", f"/v1/subscriptions/{ends}")
    assert biller.post("checkout/sessions", **wrong)["status"] == "open"


@pytest.mark.parametrize("way", ["capture", "cancel"])
def test_held_money_is_paid_when_it_is_captured(biller: Biller, way: str) -> None:
    made = biller.post("checkout/sessions", mode="payment", success_url="http://127.0.0.1:9/ok", **{
        "line_items[0][price]": biller.price(interval=""), "line_items[0][quantity]": "1",
        "payment_intent_data[capture_method]": "manual"})  # fmt: skip
    held = paid(biller, made)
    assert (held["status"], held["payment_status"]) == ("complete", "unpaid")
    biller.news()
    intent = biller.post(f"payment_intents/{held['payment_intent']}/{way}")
    assert intent["status"] == ("succeeded" if way == "capture" else "canceled")
    done = biller.get(f"checkout/sessions/{made['id']}")
    assert done["payment_status"] == ("paid" if way == "capture" else "unpaid")
    assert not [kind for kind in biller.news() if kind.startswith("checkout.")]


def test_a_customer_is_made_even_when_nothing_is_to_be_paid(biller: Biller) -> None:
    coupon = biller.post("coupons", percent_off="100")["id"]
    made = biller.post("checkout/sessions", mode="payment", success_url="http://127.0.0.1:9/ok", **{
        "line_items[0][price]": biller.price(interval=""), "line_items[0][quantity]": "1",
        "discounts[0][coupon]": coupon, "customer_creation": "always"})  # fmt: skip
    done = paid(biller, made)
    assert done["payment_status"] == "no_payment_required"
    assert biller.get(f"customers/{done['customer']}")["email"] == "jo@example.com"


@pytest.mark.parametrize(("percent", "status"), [("50", 400), ("100", 200)])
def test_a_discount_alone_does_not_pay_a_subscription(biller: Biller, percent: str, status: int) -> None:
    coupon = biller.post("coupons", percent_off=percent)["id"]
    given = {"customer": biller.customer(card=None), "items[0][price]": biller.price(), "discounts[0][coupon]": coupon}
    assert biller.sandbox.call("POST", "/v1/subscriptions", given).status_code == status


def test_currency_and_number_of_lines_are_checked(biller: Biller) -> None:
    base = {"mode": "subscription", "success_url": "http://127.0.0.1:9/ok"}
    line = {"line_items[0][price]": biller.price(), "line_items[0][quantity]": "1"}
    wrong = biller.refused("POST", "/v1/checkout/sessions", {**base, **line, "currency": "eur"})
    assert wrong[::2] == (400, "line_items[0][price]")
    assert biller.post("checkout/sessions", **base, **line, currency="USD")["currency"] == "usd"
    product = biller.post("products", name="Many")["id"]
    prices = [biller.post("prices", product=product, currency="usd", unit_amount="100",
                          **{"recurring[interval]": "month"})["id"] for _ in range(21)]  # fmt: skip
    many: dict[str, str] = {}
    for place, price in enumerate(prices):
        many |= {f"line_items[{place}][price]": price, f"line_items[{place}][quantity]": "1"}
    assert biller.refused("POST", "/v1/checkout/sessions", {**base, **many})[::2] == (400, "line_items")

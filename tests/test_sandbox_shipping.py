"""Shipping rates, fractional prices and short trials in Checkout."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import time
from typing import Any

import httpx

from sandbox_fixtures import Sandbox, confirm, price_of, sandbox, session_of, shared_sandbox
from stripe_shapes import problems
from test_sandbox_sources import call, refusal

_PAGE = {"mode": "payment", "success_url": "https://example.com"}


def rate(sandbox: Sandbox, name: str, amount: int, **more: Any) -> dict[str, Any]:
    fixed = {"fixed_amount[amount]": amount, "fixed_amount[currency]": "usd"}
    return call(sandbox, "POST", "shipping_rates", display_name=name, type="fixed_amount", **fixed, **more)


def change(sandbox: Sandbox, session: dict[str, Any], **params: str) -> httpx.Response:
    """What the page sends when its buyer changes something."""
    return httpx.post(f"{sandbox.url}/v1/payment_pages/{session['id']}", data=params)


def test_shipping_rates_are_kept_changed_and_listed(sandbox: Sandbox) -> None:
    span = {"delivery_estimate[minimum][unit]": "day", "delivery_estimate[minimum][value]": "2"}
    ground = rate(sandbox, "Ground", 500, **span, **{"metadata[a]": "b"})
    assert ground["delivery_estimate"] == {"maximum": None, "minimum": {"unit": "day", "value": 2}}
    assert (ground["active"], ground["tax_behavior"]) == (True, "unspecified")
    air = rate(sandbox, "Air", 1500)
    changed = call(sandbox, "POST", f"shipping_rates/{air['id']}", active="false", tax_behavior="exclusive")
    assert (changed["active"], changed["tax_behavior"]) == (False, "exclusive")
    assert call(sandbox, "GET", f"shipping_rates/{air['id']}") == changed
    assert [one["id"] for one in call(sandbox, "GET", "shipping_rates", active="true")["data"]] == [ground["id"]]
    assert call(sandbox, "GET", "shipping_rates", currency="eur")["data"] == []
    assert refusal(sandbox, "shipping_rates", display_name="x")[2:] == ("parameter_missing", None, "fixed_amount")


def test_the_buyer_chooses_how_an_order_is_sent_and_pays_for_it(sandbox: Sandbox) -> None:
    span = {"delivery_estimate[minimum][unit]": "business_day", "delivery_estimate[minimum][value]": "3",
            "delivery_estimate[maximum][unit]": "business_day", "delivery_estimate[maximum][value]": "5"}  # fmt: skip
    coupon = call(sandbox, "POST", "coupons", percent_off=50, duration="once")["id"]
    data = "shipping_options[1][shipping_rate_data]"
    session = call(sandbox, "POST", "checkout/sessions", **_PAGE, **{
        "line_items[0][price]": price_of(sandbox, 1000), "line_items[0][quantity]": 1, "discounts[0][coupon]": coupon,
        "shipping_options[0][shipping_rate]": rate(sandbox, "Ground", 500, **span)["id"],
        f"{data}[display_name]": "Air", f"{data}[fixed_amount][amount]": 1500, f"{data}[fixed_amount][currency]": "usd",
        "expand[0]": "shipping_options.shipping_rate", "expand[1]": "shipping_cost.shipping_rate",
    })  # fmt: skip
    assert (session["amount_subtotal"], session["amount_total"]) == (1000, 1000)
    assert session["total_details"] == {"amount_discount": 500, "amount_shipping": 500, "amount_tax": 0}
    assert session["shipping_cost"]["shipping_rate"]["display_name"] == "Ground", (
        "the first one, until the buyer chooses"
    )
    page = httpx.get(session["url"]).text
    for told in ("Shipping method", "Ground", "3–5 business days", "$15.00"):
        assert told in page
    air = session["shipping_options"][1]["shipping_rate"]["id"]
    assert change(sandbox, session, shipping_rate=air).json()["total_summary"]["due"] == 2000
    assert change(sandbox, session, shipping_rate="shr_0").json()["error"]["code"] == "resource_missing"
    assert confirm(sandbox, session["id"], expected_amount="1000").json()["error"]["code"] == "checkout_amount_mismatch"
    assert confirm(sandbox, session["id"]).status_code == 200
    paid = call(sandbox, "GET", f"checkout/sessions/{session['id']}", **{"expand[]": "payment_intent"})
    assert (paid["payment_intent"]["amount_received"], paid["shipping_cost"]["amount_total"]) == (2000, 1500)
    assert change(sandbox, session, shipping_rate=air).status_code == 400
    assert [problem for event in sandbox.events() for problem in problems(event)] == []


def test_shipping_that_cannot_be_is_refused(sandbox: Sandbox) -> None:
    line = {"line_items[0][price]": price_of(sandbox, 1000, "eur"), "line_items[0][quantity]": 1}
    dollars = rate(sandbox, "Ground", 500)["id"]
    option = "shipping_options[0][shipping_rate]"
    assert refusal(sandbox, "checkout/sessions", **_PAGE, **line, **{option: dollars})[4] == "shipping_options[0]"
    assert refusal(sandbox, "checkout/sessions", **_PAGE, **line, **{option: "shr_0"})[2] == "resource_missing"
    call(sandbox, "POST", f"shipping_rates/{dollars}", active="false")
    assert refusal(sandbox, "checkout/sessions", **_PAGE, **line, **{option: dollars})[4] == option
    monthly = call(sandbox, "POST", "prices", currency="usd", unit_amount=500, **{
        "recurring[interval]": "month", "product_data[name]": "x",
    })["id"]  # fmt: skip
    subscribing = {**_PAGE, **line, "mode": "subscription", "line_items[0][price]": monthly, option: dollars}
    assert refusal(sandbox, "checkout/sessions", **subscribing)[4] == "shipping_options"


def test_a_part_of_a_cent_is_rounded_once_a_line(sandbox: Sandbox) -> None:
    data = "line_items[0][price_data]"
    session = call(sandbox, "POST", "checkout/sessions", **_PAGE, **{
        f"{data}[currency]": "usd", f"{data}[unit_amount_decimal]": "33.5", f"{data}[product_data][name]": "x",
        "line_items[0][quantity]": 3, "expand[]": "line_items",
    })  # fmt: skip
    line = session["line_items"]["data"][0]
    assert (session["amount_total"], line["amount_total"], line["price"]["unit_amount"]) == (101, 101, None)
    assert "0.335 USD each" in httpx.get(session["url"]).text
    assert confirm(sandbox, session["id"]).status_code == 200


def test_a_trial_of_checkout_lasts_two_days_at_least(sandbox: Sandbox) -> None:
    price = call(sandbox, "POST", "prices", currency="usd", unit_amount=500, **{
        "recurring[interval]": "month", "product_data[name]": "x",
    })["id"]  # fmt: skip
    params = {**_PAGE, "mode": "subscription", "line_items[0][price]": price, "line_items[0][quantity]": 1}
    now = int(httpx.get(f"{sandbox.url}/_sandbox/clock").json()["offset_s"] + time.time())
    short = refusal(sandbox, "checkout/sessions", **params, **{"subscription_data[trial_end]": now + 47 * 3600})
    assert short == (400, "invalid_request_error", None, None, "subscription_data[trial_end]")
    call(sandbox, "POST", "checkout/sessions", **params, **{"subscription_data[trial_end]": now + 48 * 3600 + 60})


def test_the_page_asks_where_an_order_goes(sandbox: Sandbox) -> None:
    session = session_of(
        sandbox, customer_creation="always", **{"shipping_address_collection[allowed_countries][]": "NL"}
    )
    assert "Shipping address" in httpx.get(session["url"]).text
    assert confirm(sandbox, session["id"]).json()["error"]["param"] == "shipping"
    address = {"shipping[name]": "Jo", "shipping[address][line1]": "Main street 1", "shipping[address][city]": "Delft"}
    abroad = confirm(sandbox, session["id"], **address, **{"shipping[address][country]": "DE"})
    assert abroad.json()["error"]["param"] == "shipping[address][country]"
    assert confirm(sandbox, session["id"], **address, **{"shipping[address][country]": "NL"}).status_code == 200
    expanded = {"expand[0]": "payment_intent.latest_charge", "expand[1]": "customer"}
    paid = call(sandbox, "GET", f"checkout/sessions/{session['id']}", **expanded)
    for place in (paid["collected_information"]["shipping_details"], paid["payment_intent"]["shipping"],
                  paid["payment_intent"]["latest_charge"]["shipping"], paid["customer"]["shipping"]):  # fmt: skip
        assert (place["name"], place["address"]["city"], place["address"]["country"]) == ("Jo", "Delft", "NL")
    assert [problem for event in sandbox.events() for problem in problems(event)] == []

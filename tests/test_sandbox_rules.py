"""Smaller rules of Stripe's that the sandbox keeps: older defaults, inquiries, codes, test clocks, what is printed."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import httpx
import pytest

from billing_fixtures import Biller, biller, billing_sandbox, moment
from money_steps import assert_event_shapes, call, pay, refused
from sandbox_fixtures import Sandbox, sandbox, shared_sandbox
from stripe_shapes import problems


def test_before_2024_04_10_money_is_captured_in_step(sandbox: Sandbox) -> None:
    card = {"amount": "500", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true",
            "payment_method_types[0]": "card", "expand[0]": "latest_charge"}  # fmt: skip
    old = sandbox.call("POST", "/v1/payment_intents", card, Stripe_Version="2023-10-16").json()
    assert (old["status"], old["capture_method"]) == ("succeeded", "automatic")
    assert old["latest_charge"]["balance_transaction"].startswith("txn_")
    assert "charge.updated" not in sandbox.event_types(), "there is nothing to tell later"
    told = next(one for one in sandbox.events() if one["type"] == "charge.succeeded")
    assert told["data"]["object"]["balance_transaction"]
    new = sandbox.call("POST", "/v1/payment_intents", card, Stripe_Version="2024-04-10").json()
    assert new["capture_method"] == "automatic_async"
    assert sandbox.event_types().count("charge.updated") == 1
    asked = sandbox.call("POST", "/v1/payment_intents", {**card, "capture_method": "automatic_async"},
                         Stripe_Version="2023-10-16").json()  # fmt: skip
    assert asked["capture_method"] == "automatic_async"


def test_an_inquiry_about_a_refunded_charge_closes(sandbox: Sandbox) -> None:
    charge = pay(sandbox)["latest_charge"]
    inquiry = {"charge": charge, "status": "warning_needs_response"}
    dispute = httpx.post(f"{sandbox.url}/_sandbox/disputes", json=inquiry).json()["id"]
    call(sandbox, "/v1/refunds", charge=charge, amount="500")
    assert sandbox.call("GET", f"/v1/disputes/{dispute}").json()["status"] == "warning_needs_response"
    call(sandbox, "/v1/refunds", charge=charge)
    assert sandbox.call("GET", f"/v1/disputes/{dispute}").json()["status"] == "warning_closed"
    assert "charge.dispute.closed" in sandbox.event_types()
    assert_event_shapes(sandbox)


def test_a_promotion_code_names_its_coupon_as_its_version_does(sandbox: Sandbox) -> None:
    coupon = call(sandbox, "/v1/coupons", percent_off="10", duration="once")["id"]
    older, newer = {"coupon": coupon}, {"promotion[type]": "coupon", "promotion[coupon]": coupon}
    path = "/v1/promotion_codes"
    assert sandbox.call("POST", path, older, Stripe_Version="2025-03-31.basil").json()["coupon"]["id"] == coupon
    refusal = sandbox.call("POST", path, older, Stripe_Version="2026-10-28.endive").json()["error"]
    assert (refusal["code"], refusal["param"]) == ("parameter_unknown", "coupon")
    made = sandbox.call("POST", path, newer, Stripe_Version="2026-10-28.endive").json()
    assert problems(made) == []
    assert sandbox.call("POST", path, older).status_code == 200, "the CLI names no version and says it so"


def test_events_of_a_test_clock_are_created_at_its_time(biller: Biller) -> None:
    biller.freeze("2026-01-31T00:00:00")
    customer = biller.customer()
    biller.subscribe(customer, biller.price())
    biller.advance("2026-02-28T02:00:00")
    told = {event["type"]: event["created"] for event in biller.all("events")[::-1]}
    assert told["customer.subscription.created"] == moment("2026-01-31T00:00:00")
    assert told["customer.subscription.updated"] == moment("2026-02-28T00:00:00")
    assert told["invoice.payment_succeeded"] == moment("2026-02-28T01:00:00")
    assert told["test_helpers.test_clock.ready"] > moment("2026-03-01T00:00:00"), "the clock itself has none"


MANY = 500
"""So many renewals take a sandbox longer than an answer does."""


def test_others_are_answered_while_a_test_clock_goes_a_long_way(biller: Biller) -> None:
    biller.freeze("2026-01-01T00:00:00")
    customer, price = biller.customer(), biller.price(1000, "day")
    for _ in range(MANY):
        biller.subscribe(customer, price)
    path, seen, day = f"test_helpers/test_clocks/{biller.clock}", [], 1
    while "advancing" not in seen and day < 8:  # a quick machine may be there before anybody asks
        day += 1
        biller.post(f"{path}/advance", frozen_time=str(moment(f"2026-01-0{day}T12:00:00")))
        seen.append(biller.get(path)["status"])
        while seen[-1] == "advancing":
            seen.append(biller.get(path)["status"])
    assert ("advancing" in seen, seen[-1]) == (True, "ready"), "there was an answer on the way"
    invoices = biller.all("invoices")
    assert len(invoices) == MANY * day
    assert {one["created"] for one in invoices} == {moment(f"2026-01-0{one + 1}T00:00:00") for one in range(day)}


def test_what_is_printed_and_how_is_paid_reaches_every_invoice(biller: Biller) -> None:
    biller.freeze("2026-01-01T00:00:00")
    given = {
        "invoice_settings[custom_fields][0][name]": "PO", "invoice_settings[custom_fields][0][value]": "12",
        "invoice_settings[description]": "Thanks", "invoice_settings[footer]": "Small print",
        "payment_settings[payment_method_options][card][request_three_d_secure]": "any",
        "payment_settings[payment_method_types][0]": "card", "automatic_tax[enabled]": "true",
        "expand[0]": "latest_invoice",
    }  # fmt: skip
    subscription = biller.subscribe(biller.customer(**{"address[country]": "NL"}), biller.price(), **given)
    invoice = subscription["latest_invoice"]
    assert (invoice["description"], invoice["footer"]) == ("Thanks", "Small print")
    assert invoice["custom_fields"] == [{"name": "PO", "value": "12"}]
    assert invoice["payment_settings"]["payment_method_options"]["card"]["request_three_d_secure"] == "any"
    tax = invoice["automatic_tax"]
    assert (tax["enabled"], tax["status"], invoice["total"]) == (True, "complete", 1000)
    path = f"subscriptions/{subscription['id']}"
    changed = biller.post(
        path, **{"invoice_settings[footer]": "", "payment_settings[payment_method_options][card]": ""}
    )
    assert changed["invoice_settings"]["footer"] is None
    assert changed["invoice_settings"]["description"] == "Thanks"
    biller.advance("2026-02-01T02:00:00")
    assert biller.all("invoices")[0]["footer"] is None


def test_an_invoice_is_finalised_when_it_says(biller: Biller) -> None:
    biller.freeze("2026-01-01T00:00:00")
    customer = biller.customer()
    when = {"automatically_finalizes_at": str(moment("2026-01-03T00:00:00"))}
    wrong = biller.refused("POST", "/v1/invoices", {"customer": customer, **when})
    assert wrong[::2] == (400, "automatically_finalizes_at")
    invoice = biller.post("invoices", customer=customer, auto_advance="true", **when)["id"]
    biller.post(f"invoices/{invoice}/add_lines", **{"lines[0][amount]": "700"})
    biller.advance("2026-01-02T23:00:00")
    assert biller.get(f"invoices/{invoice}")["status"] == "draft"
    biller.post(f"invoices/{invoice}", automatically_finalizes_at=str(moment("2026-01-04T00:00:00")))
    biller.advance("2026-01-03T12:00:00")
    assert biller.get(f"invoices/{invoice}")["status"] == "draft"
    biller.advance("2026-01-04T00:00:00")
    assert biller.get(f"invoices/{invoice}")["amount_paid"] == 700


def test_a_renewed_card_is_told(biller: Biller) -> None:
    customer = biller.customer()
    method = biller.get(f"customers/{customer}/payment_methods")["data"][0]["id"]
    biller.news()
    url = f"{biller.sandbox.url}/_sandbox/cards"
    assert httpx.post(url, json={"payment_method": method, "exp_month": 2, "exp_year": 2041}).status_code == 200
    assert biller.news() == ["payment_method.automatically_updated"]
    assert biller.get(f"payment_methods/{method}")["card"]["exp_year"] == 2041
    assert httpx.post(url, json={"payment_method": method, "exp_year": "soon"}).status_code == 400


def test_an_invoice_whose_retries_are_over_can_be_written_off_and_paid_late(biller: Biller) -> None:
    assert biller.rules(invoice_after_retries="lost").status_code == 400
    biller.rules(after_retries="unpaid", invoice_after_retries="uncollectible", retry_days=[1])
    biller.freeze("2026-01-01T00:00:00")
    customer = biller.customer()
    subscription = biller.subscribe(customer, biller.price())
    bad = biller.post("payment_methods/pm_card_chargeCustomerFail/attach", customer=customer)["id"]
    biller.post(f"customers/{customer}", **{"invoice_settings[default_payment_method]": bad})
    biller.advance("2026-02-03T02:00:00")
    invoice = biller.all("invoices")[0]
    assert (invoice["status"], invoice["status_details"]["uncollectible"]["reason"]) == (
        "uncollectible", "max_payment_attempts",
    )  # fmt: skip
    assert biller.get(f"subscriptions/{subscription['id']}")["status"] == "unpaid"
    good = biller.post("payment_methods/pm_card_visa/attach", customer=customer)["id"]
    assert biller.post(f"invoices/{invoice['id']}/pay", payment_method=good)["status"] == "paid"
    assert biller.get(f"subscriptions/{subscription['id']}")["status"] == "active"


def test_a_portal_flow_confirms_price_quantity_and_coupon(biller: Biller) -> None:
    customer, small, big = biller.customer(), biller.price(1000), biller.price(3000)
    coupon = biller.post("coupons", percent_off="50", duration="once")["id"]
    subscription = biller.subscribe(customer, small)
    flow = "flow_data[subscription_update_confirm]"
    session = biller.post("billing_portal/sessions", customer=customer, **{
        "flow_data[type]": "subscription_update_confirm", f"{flow}[subscription]": subscription["id"],
        f"{flow}[items][0][id]": subscription["items"]["data"][0]["id"], f"{flow}[items][0][price]": big,
        f"{flow}[items][0][quantity]": "2", f"{flow}[discounts][0][coupon]": coupon,
        "flow_data[after_completion][type]": "redirect",
        "flow_data[after_completion][redirect][return_url]": "https://shop.example/done",
    })  # fmt: skip
    page = httpx.get(session["url"], follow_redirects=True)
    assert page.url.path.endswith(f"/confirm/{subscription['id']}")
    assert "$60.00" in page.text
    done = httpx.post(str(page.url))
    assert done.headers["location"] == "https://shop.example/done"
    now = biller.get(f"subscriptions/{subscription['id']}")
    item = now["items"]["data"][0]
    assert (item["price"]["id"], item["quantity"], len(now["discounts"])) == (big, 2, 1)
    assert httpx.post(f"{session['url']}/confirm/sub_other").status_code == 404


@pytest.mark.parametrize(("proration", "credit"), [("none", 0), ("create_prorations", 1)])
def test_the_portal_ends_at_once_as_configured_with_a_reason(biller: Biller, proration: str, credit: int) -> None:
    customer = biller.customer()
    subscription = biller.subscribe(customer, biller.price(3000))
    cancel = "features[subscription_cancel]"
    configuration = biller.post("billing_portal/configurations", **{
        f"{cancel}[enabled]": "true", f"{cancel}[mode]": "immediately", f"{cancel}[proration_behavior]": proration,
        f"{cancel}[cancellation_reason][enabled]": "true", f"{cancel}[cancellation_reason][options][0]": "unused",
    })["id"]  # fmt: skip
    session = biller.post("billing_portal/sessions", customer=customer, configuration=configuration)
    page = f"{session['url']}/cancel/{subscription['id']}"
    assert 'value="unused"' in httpx.get(page).text
    assert httpx.post(page, data={"feedback": "unused"}).status_code == 303
    now = biller.get(f"subscriptions/{subscription['id']}")
    assert (now["status"], now["cancellation_details"]["feedback"]) == ("canceled", "unused")
    assert len(biller.all("invoiceitems", pending="true")) == credit


@pytest.mark.parametrize("path", ["invoices", "payment_intents", "payment_methods", "subscriptions"])
def test_lists_know_whether_there_is_such_a_customer(biller: Biller, path: str) -> None:
    assert biller.refused("GET", f"/v1/{path}", {"customer": "cus_none"}) == (400, "resource_missing", "customer")
    assert biller.get(path, customer=biller.customer(None))["data"] == []


def test_lists_show_what_lives_on_a_test_clock_only_when_asked(biller: Biller) -> None:
    own = biller.customer()
    plain = biller.subscribe(own, biller.price())["id"]
    biller.freeze("2026-01-01T00:00:00")
    customer = biller.customer()
    timed = biller.subscribe(customer, biller.price())["id"]
    assert [one["id"] for one in biller.all("customers")] == [own]
    assert [one["id"] for one in biller.all("customers", test_clock=biller.clock)] == [customer]
    assert [one["id"] for one in biller.all("subscriptions")] == [plain]
    for filter_ in ({"customer": customer}, {"test_clock": biller.clock}):
        assert [one["id"] for one in biller.all("subscriptions", **filter_)] == [timed]


def test_another_currency_is_free_when_no_subscription_runs(biller: Biller) -> None:
    customer, euros = biller.customer(), biller.price(currency="eur")
    subscription = biller.subscribe(customer, biller.price())["id"]
    given = {"customer": customer, "items[0][price]": euros}
    assert biller.refused("POST", "/v1/subscriptions", given) == (400, None, "items")
    biller.call("DELETE", f"/v1/subscriptions/{subscription}")
    assert biller.post("subscriptions", **given)["status"] == "active"
    assert biller.get(f"customers/{customer}")["currency"] == "eur"


def test_a_deleted_coupons_id_may_be_given_again(biller: Biller) -> None:
    customer = biller.customer()
    biller.post("coupons", id="SALE", percent_off="50", duration="forever")
    assert biller.refused("POST", "/v1/coupons", {"id": "SALE", "percent_off": "10"})[1] == "resource_already_exists"
    code = biller.post("promotion_codes", code="OLD", **{"promotion[type]": "coupon", "promotion[coupon]": "SALE"})[
        "id"
    ]
    biller.freeze("2026-01-01T00:00:00")
    customer, price = biller.customer(), biller.price(1000)
    old = biller.subscribe(customer, price, **{"discounts[0][coupon]": "SALE"})
    biller.call("DELETE", "/v1/coupons/SALE")
    biller.post("coupons", id="SALE", percent_off="10", duration="forever")
    new = biller.subscribe(biller.customer(), price, **{"discounts[0][coupon]": "SALE"})
    biller.advance("2026-02-01T02:00:00")
    renewed = {
        one["parent"]["subscription_details"]["subscription"]: one["total"] for one in biller.all("invoices")[:2]
    }
    assert renewed == {old["id"]: 500, new["id"]: 900}, "who had the old one keeps it"
    assert biller.get(f"promotion_codes/{code}")["active"] is False
    assert [one["percent_off"] for one in biller.all("coupons")] == [10]


def test_what_is_archived_is_not_sold(biller: Biller) -> None:
    product = biller.post("products", name="Gold", **{
        "default_price_data[currency]": "usd", "default_price_data[unit_amount]": "900",
        "default_price_data[recurring][interval]": "month",
    })  # fmt: skip
    price, other = product["default_price"], biller.price()
    path = f"/v1/products/{product['id']}"
    assert biller.refused("POST", f"/v1/prices/{price}", {"active": "false"}) == (400, None, "active")
    assert biller.refused("POST", path, {"default_price": other}) == (400, None, "default_price")
    biller.post(f"products/{product['id']}", active="false")
    given = {"customer": biller.customer(), "items[0][price]": price}
    assert biller.refused("POST", "/v1/subscriptions", given) == (400, "product_inactive", "items[0][price]")
    session = {"mode": "subscription", "line_items[0][price]": price, "line_items[0][quantity]": "1",
               "success_url": "https://shop.example/"}  # fmt: skip
    wrong = biller.refused("POST", "/v1/checkout/sessions", session)
    assert wrong == (400, "product_inactive", "line_items[0][price]")


@pytest.mark.parametrize(("percent", "works"), [("50", False), ("100", True)])
def test_without_a_method_only_what_is_free_begins(biller: Biller, percent: str, works: bool) -> None:
    coupon = biller.post("coupons", percent_off=percent, duration="once")["id"]
    given = {"customer": biller.customer(None), "items[0][price]": biller.price(), "discounts[0][coupon]": coupon}
    if works:
        assert biller.post("subscriptions", **given)["status"] == "active"
    else:
        assert biller.refused("POST", "/v1/subscriptions", given) == (400, "resource_missing", None)


def test_a_subscription_that_must_be_paid_at_once_says_why_it_is_not(biller: Biller) -> None:
    given = {"customer": biller.customer("pm_card_threeDSecure2Required"), "items[0][price]": biller.price(),
             "payment_behavior": "error_if_incomplete"}  # fmt: skip
    assert biller.refused("POST", "/v1/subscriptions", given)[:2] == (
        402,
        "subscription_payment_intent_requires_action",
    )


@pytest.mark.parametrize(
    ("currency", "amount"), [("krw", "689"), ("clp", "10"), ("idr", "100"), ("cop", "100"), ("usd", "49")]
)
def test_nobody_pays_less_than_half_a_dollar(sandbox: Sandbox, currency: str, amount: str) -> None:
    error = refused(sandbox, "/v1/payment_intents", currency=currency, amount=amount)
    assert (error["code"], error["param"]) == ("amount_too_small", "amount")


@pytest.mark.parametrize(
    ("path", "given", "param"),
    [
        ("/v1/customers", {"invoice_prefix": "x"}, "invoice_prefix"),
        ("/v1/payment_intents", {"amount": "500", "currency": "usd", "payment_method_types[0]": "card",
                                 "automatic_payment_methods[enabled]": "true"}, "payment_method_types"),
        ("/v1/subscriptions", {"collection_method": "send_invoice"}, "days_until_due"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(biller: Biller, path: str, given: dict[str, str], param: str) -> None:
    if path == "/v1/subscriptions":
        given = {**given, "customer": biller.customer(), "items[0][price]": biller.price()}
    assert biller.refused("POST", path, given)[::2] == (400, param)


def test_events_are_asked_for_by_one_type_or_by_several(sandbox: Sandbox) -> None:
    answer = sandbox.call("GET", "/v1/events", {"type": "charge.*", "types[0]": "charge.succeeded"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "type")


@pytest.mark.parametrize("kind", ["payment", "setup"])
def test_a_secret_is_that_of_its_intent(sandbox: Sandbox, kind: str) -> None:
    given = {"amount": "500", "currency": "usd"} if kind == "payment" else {}
    intent = call(sandbox, f"/v1/{kind}_intents", **given)
    path = f"/v1/{kind}_intents/{intent['id']}"
    assert sandbox.call("GET", path, {"client_secret": intent["client_secret"]}).status_code == 200
    assert sandbox.call("GET", path, {"client_secret": "other"}).json()["error"]["param"] == "client_secret"
    wrong = {"client_secret": "other", "payment_method": "pm_card_visa"}
    assert refused(sandbox, f"{path}/confirm", **wrong)["param"] == "client_secret"

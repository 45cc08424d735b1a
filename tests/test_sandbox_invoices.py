"""Invoices in the sandbox: items, drafts, finalising, the ways they are settled, previews, and the customer's balance."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from billing_fixtures import Biller, Json, biller, billing_sandbox, moment


def drafted(biller: Biller, customer: str, amount: int = 2500) -> Json:
    biller.post("invoiceitems", customer=customer, amount=str(amount), currency="usd", description="Lesson")
    return biller.post("invoices", customer=customer, pending_invoice_items_behavior="include")


def test_an_invoice_is_made_of_waiting_items_and_paid(biller: Biller) -> None:
    customer = biller.customer()
    invoice = drafted(biller, customer)
    assert (invoice["status"], invoice["amount_due"], invoice["auto_advance"]) == ("draft", 2500, False)
    assert biller.all("invoiceitems", pending="true") == []
    price = biller.price(300, interval="")
    more = {"pricing[price]": price, "quantity": "2"}
    item = biller.post("invoiceitems", customer=customer, invoice=invoice["id"], **more)
    assert biller.get(f"invoices/{invoice['id']}")["total"] == 3100
    assert biller.call("DELETE", f"/v1/invoiceitems/{item['id']}")["deleted"]
    opened = biller.post(f"invoices/{invoice['id']}/finalize")
    assert (opened["status"], opened["total"]) == ("open", 2500)
    assert opened["number"].endswith("-0001")
    assert biller.refused("POST", f"/v1/invoices/{invoice['id']}/finalize")[0] == 400
    assert biller.refused("DELETE", f"/v1/invoices/{invoice['id']}")[0] == 400
    biller.news()
    paid = biller.post(f"invoices/{invoice['id']}/pay", **{"expand[]": "payments"})
    assert (paid["status"], paid["payments"]["data"][0]["amount_paid"]) == ("paid", 2500)
    assert biller.news() == ["charge.succeeded", "payment_intent.succeeded", "invoice.paid",
                             "invoice.payment_succeeded", "invoice_payment.paid", "charge.updated"]  # fmt: skip
    lines = biller.get(f"invoices/{invoice['id']}/lines", limit="1")
    assert [line["parent"]["type"] for line in lines["data"]] == ["invoice_item_details"]
    assert biller.get(f"invoice_payments/{paid['payments']['data'][0]['id']}")["invoice"] == invoice["id"]


def test_an_invoice_paid_elsewhere_cancels_its_intent(biller: Biller) -> None:
    invoice = drafted(biller, biller.customer(None))
    assert biller.refused("POST", f"/v1/invoices/{invoice['id']}/pay")[:2] == (400, "resource_missing")
    assert biller.get(f"invoices/{invoice['id']}")["status"] == "draft"
    biller.post(f"invoices/{invoice['id']}/finalize")
    biller.news()
    paid = biller.post(f"invoices/{invoice['id']}/pay", paid_out_of_band="true", **{"expand[]": "payments"})
    assert (paid["status"], paid["amount_remaining"], paid["payments"]["data"][0]["status"]) == ("paid", 0, "canceled")
    assert biller.news() == ["payment_intent.canceled", "invoice.paid"]


def test_an_invoice_is_voided_or_given_up(biller: Biller) -> None:
    customer = biller.customer()
    first, second = drafted(biller, customer), drafted(biller, customer)
    for invoice in (first, second):
        biller.post(f"invoices/{invoice['id']}/finalize")
    biller.news()
    assert biller.post(f"invoices/{first['id']}/void")["status"] == "void"
    assert biller.news() == ["payment_intent.canceled", "invoice.voided"]
    assert biller.refused("POST", f"/v1/invoices/{first['id']}/pay")[0] == 400
    lost = biller.post(f"invoices/{second['id']}/mark_uncollectible")
    assert (lost["status"], lost["status_details"]["uncollectible"]["reason"]) == ("uncollectible", "user_forgiven")
    assert biller.news() == ["invoice.marked_uncollectible"]
    assert biller.post(f"invoices/{second['id']}/pay")["status"] == "paid"


def test_a_draft_that_advances_is_collected_after_an_hour(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    invoice = drafted(biller, biller.customer())
    biller.post(f"invoices/{invoice['id']}", auto_advance="true")
    biller.advance("2026-04-01T00:59:59")
    assert biller.get(f"invoices/{invoice['id']}")["status"] == "draft"
    biller.advance("2026-04-01T01:00:00")
    assert biller.get(f"invoices/{invoice['id']}")["status"] == "paid"


def test_the_customers_balance_pays_and_a_void_gives_it_back(biller: Biller) -> None:
    customer = biller.customer()
    biller.post(f"customers/{customer}/balance_transactions", amount="-1000", currency="usd")
    invoice = drafted(biller, customer)
    opened = biller.post(f"invoices/{invoice['id']}/finalize")
    assert (opened["amount_due"], opened["starting_balance"], opened["ending_balance"]) == (1500, -1000, 0)
    assert biller.get(f"customers/{customer}")["balance"] == 0
    biller.post(f"invoices/{invoice['id']}/void")
    assert biller.get(f"customers/{customer}")["balance"] == -1000
    moved = biller.all(f"customers/{customer}/balance_transactions")
    assert [(row["type"], row["amount"]) for row in moved[::-1]] == [
        ("adjustment", -1000), ("applied_to_invoice", 1000), ("unapplied_from_invoice", -1000),
    ]  # fmt: skip
    one = biller.get(f"customers/{customer}/balance_transactions/{moved[0]['id']}")
    assert one["ending_balance"] == -1000


def test_a_sum_too_small_to_charge_waits_in_the_balance(biller: Biller) -> None:
    customer = biller.customer()
    invoice = drafted(biller, customer, 30)
    closed = biller.post(f"invoices/{invoice['id']}/finalize")
    assert (closed["status"], closed["amount_due"], closed["ending_balance"]) == ("paid", 0, 30)
    assert drafted(biller, customer, 1000)["amount_due"] == 1030


def test_previews_keep_nothing(biller: Biller) -> None:
    customer, price = biller.customer(), biller.price(1000)
    coupon = biller.post("coupons", percent_off="10", duration="once")["id"]
    preview = biller.post("invoices/create_preview", customer=customer, **{
        "subscription_details[items][0][price]": price, "subscription_details[items][0][quantity]": "3",
        "discounts[0][coupon]": coupon})  # fmt: skip
    assert (preview["subtotal"], preview["total"], preview["status"]) == (3000, 2700, "draft")
    assert biller.get(f"coupons/{coupon}")["times_redeemed"] == 0
    assert biller.all("subscriptions") == biller.all("invoices") == []
    nothing = biller.refused("POST", "/v1/invoices/create_preview", {"customer": customer})
    assert nothing[:2] == (400, "invoice_upcoming_none")
    subscription = biller.subscribe(customer, price)
    end = biller.post(f"subscriptions/{subscription['id']}", cancel_at_period_end="true")["id"]
    assert biller.refused("POST", "/v1/invoices/create_preview", {"subscription": end})[1] == "invoice_upcoming_none"


def test_a_balance_set_on_the_customer_is_noted(biller: Biller) -> None:
    customer = biller.customer()
    assert biller.post(f"customers/{customer}", balance="-500")["balance"] == -500
    assert [row["amount"] for row in biller.all(f"customers/{customer}/balance_transactions")] == [-500]


def test_coupons_and_codes_that_cannot_be_are_refused(biller: Biller) -> None:
    percent = {"percent_off": "10", "duration": "once"}
    wrong: list[tuple[dict[str, str], str]] = [
        ({**percent, "amount_off": "5", "currency": "usd"}, "percent_off"),
        ({"duration": "once"}, "percent_off"),
        ({**percent, "percent_off": "101"}, "percent_off"),
        ({"duration": "once", "amount_off": "5"}, "currency"),
        ({**percent, "duration": "repeating"}, "duration_in_months"),
        ({**percent, "redeem_by": "1000"}, "redeem_by"),
        ({**percent, "applies_to[colour]": "red"}, "applies_to[colour]"),
    ]
    for given, param in wrong:
        assert biller.refused("POST", "/v1/coupons", given)[::2] == (400, param)
    coupon = biller.post("coupons", **percent)["id"]
    named = {"promotion[type]": "coupon", "promotion[coupon]": coupon}
    biller.post("promotion_codes", code="SPRING", **named)
    codes: list[tuple[dict[str, str], str]] = [
        ({"code": "spring"}, "code"),
        ({"code": "20 %"}, "code"),
        ({"expires_at": "1000"}, "expires_at"),
        ({"restrictions[minimum_amount]": "500"}, "restrictions[minimum_amount_currency]"),
        ({"restrictions[colour]": "red"}, "restrictions[colour]"),
        ({"promotion[coupon]": "none"}, "promotion[coupon]"),
    ]
    for given, param in codes:
        assert biller.refused("POST", "/v1/promotion_codes", {**named, **given})[::2] == (400, param)


def test_a_subscription_keeps_to_the_conditions_of_its_codes(biller: Biller) -> None:
    customer, price = biller.customer(), biller.price(1000)
    coupon = biller.post("coupons", percent_off="10", duration="forever")["id"]
    named = {"promotion[type]": "coupon", "promotion[coupon]": coupon}
    large = biller.post("promotion_codes", **named, **{
        "restrictions[minimum_amount]": "5000", "restrictions[minimum_amount_currency]": "usd"})["id"]  # fmt: skip
    order = {"customer": customer, "items[0][price]": price}
    refused = biller.refused("POST", "/v1/subscriptions", {**order, "discounts[0][promotion_code]": large})
    assert refused[:2] == (400, "promotion_code_minimum_amount_not_met")
    euros = biller.post("coupons", amount_off="100", currency="eur", duration="once")["id"]
    refused = biller.refused("POST", "/v1/subscriptions", {**order, "discounts[0][coupon]": euros})
    assert refused[::2] == (400, "discounts[0]")
    first = biller.post("promotion_codes", **named, **{"restrictions[first_time_transaction]": "true"})["id"]
    made = biller.subscribe(customer, price, **{"discounts[0][promotion_code]": first})
    again = {"discounts[0][promotion_code]": first}
    refused = biller.refused("POST", f"/v1/subscriptions/{made['id']}", again)
    assert refused[:2] == (400, "promotion_code_customer_not_first_time")
    biller.news()
    gone = biller.sandbox.call("DELETE", f"/v1/subscriptions/{made['id']}/discount").json()
    assert (gone["deleted"], gone["promotion_code"], "end" in gone) == (True, first, False)
    assert biller.news() == ["customer.discount.deleted", "customer.subscription.updated"]
    assert biller.refused("DELETE", f"/v1/subscriptions/{made['id']}/discount")[0] == 404


def test_a_used_up_code_is_not_active_any_more(biller: Biller) -> None:
    coupon = biller.post("coupons", percent_off="10", duration="once")["id"]
    code = biller.post("promotion_codes", max_redemptions="1", **{
        "promotion[type]": "coupon", "promotion[coupon]": coupon})["id"]  # fmt: skip
    biller.subscribe(biller.customer(), biller.price(), **{"discounts[0][promotion_code]": code})
    used = biller.get(f"promotion_codes/{code}")
    assert (used["active"], used["times_redeemed"]) == (False, 1)
    assert biller.refused("POST", f"/v1/promotion_codes/{code}", {"active": "true"})[::2] == (400, "active")


def test_an_invoice_that_is_sent_says_so_and_one_that_is_charged_says_when(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer = biller.customer()
    biller.news()
    biller.subscribe(customer, biller.price(), collection_method="send_invoice", days_until_due="0")
    assert "invoice.sent" in biller.news()
    biller.subscribe(customer, biller.price())
    biller.advance("2026-05-01T00:30:00")
    drafts = [row for row in biller.all("invoices") if row["status"] == "draft"]
    begins = moment("2026-05-01T01:00:00")
    assert sorted((row["collection_method"], row["next_payment_attempt"], row["due_date"]) for row in drafts) == [
        ("charge_automatically", begins, None), ("send_invoice", None, moment("2026-05-01T00:00:00")),
    ]  # fmt: skip
    biller.advance("2026-05-01T01:00:00")
    assert {"invoice.sent", "invoice.paid"} <= set(biller.news())


def test_another_customers_method_and_prices_that_are_metered_are_refused(biller: Biller) -> None:
    invoice = drafted(biller, biller.customer())
    other = biller.get(f"customers/{biller.customer()}")["invoice_settings"]["default_payment_method"]
    path = f"/v1/invoices/{invoice['id']}/pay"
    assert biller.refused("POST", path, {"payment_method": other})[::2] == (400, "payment_method")
    price = {"currency": "usd", "unit_amount": "5", "product_data[name]": "Calls", "recurring[interval]": "month",
             "recurring[usage_type]": "metered"}  # fmt: skip
    assert biller.refused("POST", "/v1/prices", price)[::2] == (400, "recurring[meter]")
    price = {"currency": "usd", "unit_amount": "5", "product_data[name]": "Calls", "recurring[interval]": "week",
             "recurring[interval_count]": "157"}  # fmt: skip
    assert biller.refused("POST", "/v1/prices", price)[::2] == (400, "recurring[interval_count]")


def test_a_changed_item_costs_its_new_quantity(biller: Biller) -> None:
    customer, price = biller.customer(), biller.price(300, interval="")
    invoice = drafted(biller, customer, 1000)
    item = biller.post("invoiceitems", customer=customer, invoice=invoice["id"], **{"pricing[price]": price})
    path = f"invoiceitems/{item['id']}"
    changed = biller.post(path, quantity="4", description="")
    assert (changed["amount"], changed["quantity"], changed["description"]) == (1200, 4, None)
    assert biller.get(f"invoices/{invoice['id']}")["total"] == 2200
    coupon = biller.post("coupons", percent_off="50", duration="once")["id"]
    biller.post(path, **{"discounts[0][coupon]": coupon})
    assert biller.get(f"invoices/{invoice['id']}")["total"] == 1600
    biller.post(path, discounts="")
    assert biller.get(f"invoices/{invoice['id']}")["total"] == 2200


def test_a_coupon_for_some_products_leaves_an_item_without_a_price_alone(biller: Biller) -> None:
    customer, price = biller.customer(), biller.price(1000, interval="")
    product = biller.get(f"prices/{price}")["product"]
    coupon = biller.post("coupons", percent_off="50", duration="once", **{"applies_to[products][]": product})["id"]
    invoice = biller.post("invoices", customer=customer, currency="usd", **{"discounts[0][coupon]": coupon})["id"]
    biller.post("invoiceitems", customer=customer, invoice=invoice, amount="500", currency="usd")
    biller.post("invoiceitems", customer=customer, invoice=invoice, **{"pricing[price]": price})
    assert biller.get(f"invoices/{invoice}")["total"] == 1000
    preview = biller.post("invoices/create_preview", customer=customer, **{
        "invoice_items[0][amount]": "500", "invoice_items[0][currency]": "usd", "discounts[0][coupon]": coupon})  # fmt: skip
    assert preview["total"] == 500


def test_a_refused_request_leaves_nothing_behind(biller: Biller) -> None:
    customer = biller.customer(None)
    biller.news()
    order = {"customer": customer, "items[0][price_data][currency]": "usd", "items[0][price_data][unit_amount]": "900",
             "items[0][price_data][recurring][interval]": "month",
             "items[0][price_data][product]": biller.post("products", name="Gold")["id"]}  # fmt: skip
    biller.news()
    assert biller.refused("POST", "/v1/subscriptions", order)[:2] == (400, "resource_missing")
    assert biller.all("prices") == biller.all("subscriptions") == biller.news() == []


def test_one_invoice_has_one_currency(biller: Biller) -> None:
    customer, price, euros = biller.customer(), biller.price(1000), biller.price(700, "", currency="eur")
    subscription = biller.subscribe(customer, price)["id"]
    draft = biller.post("invoices", customer=customer, currency="eur")["id"]
    stranger = biller.subscribe(biller.customer(), price)["id"]
    coupon = biller.post("coupons", amount_off="100", currency="eur", duration="once")["id"]
    item = {"customer": customer, "amount": "500", "currency": "usd"}
    extra = {"add_invoice_items[0][price]": euros}
    off = {"discounts[0][coupon]": coupon}
    wrong: list[tuple[str, dict[str, str], str]] = [
        ("subscriptions", {"customer": customer, "items[0][price]": price, **extra}, "add_invoice_items[0][price]"),
        (f"subscriptions/{subscription}", extra, "add_invoice_items[0][price]"),
        ("invoiceitems", {**item, "invoice": draft}, "currency"),
        ("invoiceitems", {**item, "currency": "eur", "subscription": subscription}, "currency"),
        ("invoiceitems", {**item, "subscription": stranger}, "subscription"),
        ("invoiceitems", {**item, **off}, "discounts[0]"),
        ("invoices", {"customer": customer, "subscription": subscription, "currency": "jpy"}, "currency"),
        ("invoices", {"customer": customer, **off}, "discounts[0]"),
        ("subscriptions", {"customer": customer, "items[0][price]": price, "items[0][discounts][0][coupon]": coupon},
         "items[0][discounts][0]"),
        (f"customers/{customer}/balance_transactions", {"amount": "-300", "currency": "eur"}, "currency"),
    ]  # fmt: skip
    for path, given, param in wrong:
        assert biller.refused("POST", f"/v1/{path}", given)[::2] == (400, param), path
    assert biller.post("invoices", customer=customer, subscription=subscription)["currency"] == "usd"

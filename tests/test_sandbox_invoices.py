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

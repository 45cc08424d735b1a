"""Paying invoices in parts, elsewhere, or too much; their due dates, and the draft that waits for its webhook."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from billing_fixtures import Biller, Json, biller, billing_sandbox, moment
from sandbox_fixtures import Receiver, receiver, running_sandbox, until


@pytest.fixture
def own(receiver: Receiver) -> Iterator[Biller]:
    """An account of a sandbox whose clock this test moves, with an endpoint that hears of drafts."""
    with running_sandbox() as running:
        biller = Biller(running)
        biller.post("webhook_endpoints", url=receiver.url, **{"enabled_events[]": "invoice.created"})
        yield biller
        biller.news()
        assert not biller.found, "\n".join(biller.found)


def opened(biller: Biller, customer: str, amount: int = 1000) -> Json:
    """An open invoice that is sent."""
    biller.post("invoiceitems", customer=customer, amount=str(amount), currency="usd")
    draft = biller.post("invoices", customer=customer, collection_method="send_invoice", days_until_due="10",
                        pending_invoice_items_behavior="include")  # fmt: skip
    return biller.post(f"invoices/{draft['id']}/finalize")


def paying(biller: Biller, customer: str, amount: int, *, confirm: bool = True, **more: str) -> str:
    """A payment intent of the customer, paid unless told otherwise."""
    given = {"customer": customer, "amount": str(amount), "currency": "usd", **more}
    paid = {"payment_method": "pm_card_visa", "confirm": "true"} if confirm else {}
    return str(biller.post("payment_intents", **given, **paid)["id"])


def attach(biller: Biller, invoice: Json, intent: str) -> Json:
    return biller.post(f"invoices/{invoice['id']}/attach_payment", payment_intent=intent, **{"expand[]": "payments"})


def test_an_invoice_is_paid_in_two_parts(biller: Biller) -> None:
    customer = biller.customer()
    invoice = opened(biller, customer)
    first = paying(biller, customer, 400)
    biller.news()
    half = attach(biller, invoice, first)
    assert (half["status"], half["amount_paid"], half["amount_remaining"], half["amount_due"]) == (
        "open",
        400,
        600,
        1000,
    )
    own, part = half["payments"]["data"]
    assert (own["is_default"], own["status"], own["amount_requested"]) == (True, "open", 600)
    assert (part["is_default"], part["status"], part["amount_paid"]) == (False, "paid", 400)
    assert biller.news() == ["invoice_payment.paid", "invoice.updated"]
    assert biller.get(f"payment_intents/{own['payment']['payment_intent']}")["amount"] == 600
    assert biller.refused("POST", f"/v1/invoices/{invoice['id']}/void")[0] == 400
    paid = biller.post(f"invoices/{invoice['id']}/pay", payment_method="pm_card_visa", **{"expand[]": "payments"})
    assert (paid["status"], paid["amount_paid"], paid["amount_remaining"]) == ("paid", 1000, 0)
    assert [one["amount_paid"] for one in paid["payments"]["data"]] == [600, 400]
    listed = biller.all("invoice_payments", invoice=invoice["id"], status="paid")
    assert [one["id"] for one in listed] == [part["id"], own["id"]]


def test_an_attached_payment_counts_when_it_comes(biller: Biller) -> None:
    customer = biller.customer()
    invoice = opened(biller, customer)
    intent = paying(biller, customer, 1000, confirm=False)
    waiting = attach(biller, invoice, intent)
    assert [one["status"] for one in waiting["payments"]["data"]] == ["open", "open"]
    assert biller.refused("POST", f"/v1/invoices/{invoice['id']}/mark_uncollectible")[0] == 400
    biller.news()
    biller.post(f"payment_intents/{intent}/confirm", payment_method="pm_card_visa")
    now = biller.get(f"invoices/{invoice['id']}", **{"expand[]": "payments"})
    assert (now["status"], [one["status"] for one in now["payments"]["data"]]) == ("paid", ["canceled", "paid"])
    news = biller.news()
    assert {"invoice.paid", "invoice.payment_succeeded", "invoice_payment.paid", "payment_intent.canceled"} <= set(news)
    assert "invoice.overpaid" not in news


def test_an_attached_payment_that_is_canceled_frees_the_invoice(biller: Biller) -> None:
    customer = biller.customer()
    invoice = opened(biller, customer)
    intent = paying(biller, customer, 500, confirm=False)
    attach(biller, invoice, intent)
    assert biller.refused("POST", f"/v1/invoices/{invoice['id']}/void")[0] == 400
    biller.post(f"payment_intents/{intent}/cancel")
    assert biller.post(f"invoices/{invoice['id']}/void")["status"] == "void"


def test_too_much_is_told_and_kept_for_the_customer(biller: Biller) -> None:
    customer = biller.customer()
    invoice = opened(biller, customer)
    biller.news()
    intent = paying(biller, customer, 1500)
    paid = attach(biller, invoice, intent)
    assert (paid["status"], paid["amount_paid"], paid["amount_overpaid"]) == ("paid", 1000, 500)
    assert "invoice.overpaid" in biller.news()
    assert biller.get(f"customers/{customer}")["balance"] == -500
    assert biller.all(f"customers/{customer}/balance_transactions")[0]["type"] == "invoice_overpaid"


def test_the_rest_can_be_paid_elsewhere(biller: Biller) -> None:
    customer = biller.customer()
    invoice = opened(biller, customer)
    attach(biller, invoice, paying(biller, customer, 400))
    paid = biller.post(f"invoices/{invoice['id']}/pay", paid_out_of_band="true")
    assert (paid["status"], paid["amount_paid"], paid["amount_paid_off_stripe"]) == ("paid", 1000, 600)
    older = biller.sandbox.call("GET", f"/v1/invoices/{invoice['id']}", Stripe_Version="2024-09-30.acacia").json()
    assert older["paid_out_of_band"] is True


def test_what_cannot_pay_an_invoice_is_refused(biller: Biller) -> None:
    customer, other = biller.customer(), biller.customer()
    invoice = opened(biller, customer)
    path = f"/v1/invoices/{invoice['id']}/attach_payment"
    assert biller.refused("POST", path) == (400, "parameter_missing", "payment_intent")
    assert biller.refused("POST", path, {"payment_intent": "pi_none"}) == (400, "resource_missing", "payment_intent")
    wrong = [paying(biller, other, 100, confirm=False), paying(biller, customer, 100, confirm=False)]
    biller.post(f"payment_intents/{wrong[1]}/cancel")
    wrong.append(str(biller.post("payment_intents", customer=customer, amount="100", currency="eur")["id"]))
    for intent in wrong:
        assert biller.refused("POST", path, {"payment_intent": intent})[::2] == (400, "payment_intent")
    good = paying(biller, customer, 1000)
    attach(biller, invoice, good)
    assert biller.refused("POST", path, {"payment_intent": good})[0] == 400
    declined = biller.customer("pm_card_chargeCustomerFail")
    made = biller.subscribe(declined, biller.price(1000))
    part = {"payment_intent": paying(biller, declined, 400, confirm=False)}
    refused = biller.refused("POST", f"/v1/invoices/{made['latest_invoice']}/attach_payment", part)
    assert refused[::2] == (400, "payment_intent")


def test_a_due_date_is_told_before_and_after_and_makes_past_due(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer = biller.customer(None)
    made = biller.subscribe(customer, biller.price(1000), collection_method="send_invoice", days_until_due="10")
    path = f"invoices/{made['latest_invoice']}"
    assert (made["status"], biller.get(path)["due_date"]) == ("active", moment("2026-04-11T00:00:00"))
    biller.news()
    biller.advance("2026-04-08T00:00:00")
    assert [one for one in biller.news() if "clock" not in one] == ["invoice.will_be_due"]
    biller.advance("2026-04-11T00:00:00")
    assert [one for one in biller.news() if "clock" not in one] == [
        "customer.updated", "customer.subscription.updated", "invoice.overdue",
    ]  # fmt: skip
    assert biller.get(f"subscriptions/{made['id']}")["status"] == "past_due"
    biller.post(f"{path}/pay", paid_out_of_band="true")
    assert biller.get(f"subscriptions/{made['id']}")["status"] == "active"
    biller.rules(will_be_due_days=None, overdue_days=None)
    biller.news()
    opened(biller, customer)
    biller.advance("2026-04-30T00:00:00")
    assert not {"invoice.will_be_due", "invoice.overdue"} & set(biller.news())


def test_a_due_date_needs_an_invoice_that_is_sent(biller: Biller) -> None:
    customer = biller.customer()
    wrong: list[tuple[dict[str, str], str]] = [
        ({"days_until_due": "5"}, "days_until_due"),
        ({"due_date": "4000000000"}, "due_date"),
        ({"collection_method": "send_invoice"}, "days_until_due"),
        ({"collection_method": "send_invoice", "due_date": "1000"}, "due_date"),
        ({"collection_method": "send_invoice", "due_date": "4000000000", "days_until_due": "5"}, "due_date"),
        ({"default_payment_method": "pm_none"}, "default_payment_method"),
    ]
    for given, param in wrong:
        assert biller.refused("POST", "/v1/invoices", {"customer": customer, **given})[::2] == (400, param)
    draft = biller.post("invoices", customer=customer)
    assert biller.refused("POST", f"/v1/invoices/{draft['id']}/send")[0] == 400
    path = f"invoices/{draft['id']}"
    sent = biller.post(path, collection_method="send_invoice", days_until_due="5", description="x")
    assert sent["due_date"] > sent["created"]
    again = biller.post(path, collection_method="charge_automatically", description="")
    assert (again["due_date"], again["description"]) == (None, None)


def test_a_draft_gets_other_discounts_and_its_items_wait_again_when_it_is_deleted(biller: Biller) -> None:
    customer = biller.customer()
    biller.post("invoiceitems", customer=customer, amount="1000", currency="usd")
    draft = biller.post("invoices", customer=customer, pending_invoice_items_behavior="include")
    coupon = biller.post("coupons", percent_off="25", duration="once")["id"]
    path = f"invoices/{draft['id']}"
    assert biller.post(path, **{"discounts[0][coupon]": coupon})["total"] == 750
    assert biller.post(path, discounts="")["total"] == 1000
    assert biller.call("DELETE", f"/v1/{path}")["deleted"]
    assert len(biller.all("invoiceitems", pending="true")) == 1
    assert opened(biller, customer, 500)["total"] == 1500


def test_a_renewal_is_told_seven_days_before(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    made = biller.subscribe(biller.customer(), biller.price(1000))
    biller.subscribe(biller.customer(), biller.price(500, "week"))
    biller.news()
    biller.advance("2026-04-02T00:00:00")
    biller.rules(upcoming_days=3)
    biller.advance("2026-04-08T02:00:00")
    assert biller.news().count("invoice.upcoming") == 0
    biller.advance("2026-04-12T00:00:00")
    assert biller.news().count("invoice.upcoming") == 1  # the week that began on the 8th
    biller.rules(upcoming_days=7)
    biller.advance("2026-04-24T00:00:00")
    told = [one["data"]["object"] for one in biller.all("events", type="invoice.upcoming")]
    month = [one for one in told if one["parent"]["subscription_details"]["subscription"] == made["id"]]
    assert [(one["total"], one["billing_reason"], "id" in one) for one in month] == [(1000, "upcoming", False)]
    biller.post(f"subscriptions/{made['id']}", cancel_at_period_end="true")


def test_a_draft_waits_for_an_endpoint_that_refuses_it(own: Biller, receiver: Receiver) -> None:
    made = own.subscribe(own.customer(), own.price(1000))
    until(lambda: receiver.hooks, what="the first invoice's webhook")
    receiver.answers = [500] * 10000
    until_renewal = made["items"]["data"][0]["current_period_end"] - made["created"] + 1
    own.sandbox.advance(f"{until_renewal}s")
    until(lambda: len(receiver.hooks) > 1, what="the refused webhook")
    draft = own.all("invoices")[0]
    assert (draft["status"], draft["webhooks_delivered_at"]) == ("draft", None)
    own.sandbox.advance("70h")
    waiting = own.get(f"invoices/{draft['id']}")
    assert waiting["status"] == "draft"
    assert waiting["automatically_finalizes_at"] > draft["automatically_finalizes_at"] + 69 * 3600
    own.sandbox.advance("3h")
    assert own.get(f"invoices/{draft['id']}")["status"] == "paid"


def test_a_draft_whose_endpoint_answers_late_is_finalised_then(own: Biller, receiver: Receiver) -> None:
    made = own.subscribe(own.customer(), own.price(1000))
    until(lambda: receiver.hooks, what="the first invoice's webhook")
    receiver.answers = [500]
    own.sandbox.advance(f"{made['items']['data'][0]['current_period_end'] - made['created'] + 1}s")
    until(lambda: len(receiver.hooks) == 3, what="the second try")
    own.sandbox.advance("1h")
    paid = own.all("invoices")[0]
    assert paid["status"] == "paid"
    assert paid["webhooks_delivered_at"] is not None


CARD = {"expiry": "12 / 40", "cvc": "123", "name": "Jo"}


def test_an_invoice_is_shown_and_paid_at_its_own_address(biller: Biller) -> None:
    customer = biller.customer(None)
    made = biller.subscribe(customer, biller.price(1900), collection_method="send_invoice", days_until_due="7")
    invoice = biller.get(f"invoices/{made['latest_invoice']}")
    address = invoice["hosted_invoice_url"]
    with httpx.Client(timeout=20) as buyer:
        shown = buyer.get(address)
        assert shown.status_code == 200
        assert all(words in shown.text for words in (invoice["number"], "jo@example.com", "Gold", "Pay $19.00"))
        declined = buyer.post(address, data={**CARD, "number": "4000 0000 0000 9995"})
        assert "Your card has insufficient funds." in declined.text
        assert biller.get(f"invoices/{invoice['id']}")["status"] == "open"
        asked = buyer.post(address, data={**CARD, "number": "4000002760003184"})
        assert asked.status_code == 303
        back = buyer.post(asked.headers["location"], data={"result": "complete"}, follow_redirects=True)
        assert str(back.url).startswith(address)
        assert "Receipt" in back.text
        again = buyer.post(address, data={**CARD, "number": "4242424242424242"}, follow_redirects=True)
        assert "Amount paid" in again.text
        assert 'name="number"' not in again.text
        printed = buyer.get(invoice["invoice_pdf"])
        assert (printed.status_code, "Receipt" in printed.text) == (200, True)
        assert buyer.get(address + "0").status_code == 404
    paid = biller.get(f"invoices/{invoice['id']}")
    assert (paid["status"], paid["amount_paid"]) == ("paid", 1900)
    assert [charge["paid"] for charge in biller.all("charges", customer=customer)] == [True, False]


def test_the_lists_inside_objects_go_on_where_they_say(biller: Biller) -> None:
    customer, price = biller.customer(), biller.price()
    made = {biller.subscribe(customer, price)["id"] for _ in range(2)}
    listed = biller.get(f"customers/{customer}", **{"expand[]": "subscriptions"})["subscriptions"]["url"]
    assert {row["id"] for row in biller.all(listed.removeprefix("/v1/"))} == made
    charge = biller.all("charges", customer=customer)[0]["id"]
    refunds = {biller.post("refunds", charge=charge, amount="100")["id"] for _ in range(2)}
    listed = biller.get(f"charges/{charge}", **{"expand[]": "refunds"})["refunds"]["url"]
    assert {row["id"] for row in biller.all(listed.removeprefix("/v1/"))} == refunds
    assert biller.refused("GET", "/v1/charges/ch_none/refunds")[0] == 404

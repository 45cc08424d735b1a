"""Automatic tax in an account that is registered nowhere: it wants a location, and then the tax is zero."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from typing import Any

import httpx
import pytest

from billing_fixtures import Biller, biller, billing_sandbox
from sandbox_fixtures import Sandbox, confirm, price_of, session_of

TAXED = {"automatic_tax[enabled]": "true"}
UNKNOWN = (400, "customer_tax_location_invalid", None)


def test_where_the_customer_is_known_the_tax_is_zero_and_not_collected(biller: Biller) -> None:
    customer = biller.customer(**{"address[country]": "US", "address[postal_code]": "94107", "address[state]": "CA"})
    made = biller.subscribe(customer, biller.price(1000), **TAXED, **{"expand[0]": "latest_invoice"})
    assert made["automatic_tax"] == {"disabled_reason": None, "enabled": True, "liability": {"type": "self"}}
    invoice = made["latest_invoice"]
    assert (invoice["total"], invoice["total_excluding_tax"], invoice["status"]) == (1000, 1000, "paid")
    assert (invoice["automatic_tax"]["provider"], invoice["automatic_tax"]["status"]) == ("stripe", "complete")
    (tax,) = invoice["total_taxes"]
    assert (tax["amount"], tax["taxability_reason"], tax["taxable_amount"]) == (0, "not_collecting", 1000)
    assert invoice["lines"]["data"][0]["taxes"] == [tax]
    older = biller.sandbox.call("GET", f"/v1/invoices/{invoice['id']}", Stripe_Version="2023-10-16").json()
    assert (older["tax"], older["total_tax_amounts"][0]["taxability_reason"]) == (0, "not_collecting")


@pytest.mark.parametrize(
    ("given", "card", "location"),
    [
        ({}, "pm_card_visa", None),
        ({"address[country]": "US"}, None, None),
        ({"address[country]": "CA"}, None, None),
        ({"address[country]": "CA", "address[state]": "ON"}, None, ("CA", "billing_address", "ON")),
        ({"address[country]": "DE"}, None, ("DE", "billing_address", None)),
        ({"address[country]": "DE", "shipping[name]": "Jo", "shipping[address][country]": "FR"}, None,
         ("FR", "shipping_destination", None)),
        ({"address[country]": "DE", "shipping[name]": "Jo", "shipping[address][country]": "US"}, None, None),
    ],
)  # fmt: skip
def test_the_first_address_that_says_anything_counts(
    biller: Biller, given: dict[str, str], card: str | None, location: tuple[str, str, str | None] | None
) -> None:
    customer = biller.customer(card, **given)
    shown = biller.get(f"customers/{customer}", **{"expand[0]": "tax"})["tax"]
    found = shown["location"] and tuple(shown["location"][name] for name in ("country", "source", "state"))
    assert found == location
    assert shown["automatic_tax"] == ("not_collecting" if location else "unrecognized_location")
    assert "tax" not in biller.get(f"customers/{customer}")


def test_without_a_location_nothing_is_computed_and_nothing_made(biller: Biller) -> None:
    customer, price = biller.customer(), biller.price(1000)
    params = {"customer": customer, "items[0][price]": price}
    assert biller.refused("POST", "/v1/subscriptions", {**params, **TAXED}) == UNKNOWN
    assert biller.all("subscriptions") == []
    plain = biller.subscribe(customer, price)
    assert biller.refused("POST", f"/v1/subscriptions/{plain['id']}", TAXED) == UNKNOWN
    at_once = {"tax[validate_location]": "immediately"}
    assert biller.refused("POST", "/v1/customers", at_once) == UNKNOWN
    assert biller.refused("POST", f"/v1/customers/{customer}", at_once) == UNKNOWN
    biller.post(f"customers/{customer}", **at_once, **{"address[country]": "PL", "tax[ip_address]": "192.0.2.1"})
    assert biller.get(f"customers/{customer}", **{"expand[0]": "tax"})["tax"]["ip_address"] == "192.0.2.1"


def test_an_invoice_without_a_location_stays_a_draft(biller: Biller) -> None:
    customer = biller.customer()
    invoice = biller.post("invoices", customer=customer, **TAXED)
    biller.post("invoiceitems", customer=customer, invoice=invoice["id"], amount="500", currency="usd")
    assert biller.get(f"invoices/{invoice['id']}")["automatic_tax"]["status"] == "requires_location_inputs"
    assert biller.refused("POST", f"/v1/invoices/{invoice['id']}/finalize") == UNKNOWN
    assert biller.refused("POST", f"/v1/invoices/{invoice['id']}/pay") == UNKNOWN
    kept = biller.get(f"invoices/{invoice['id']}")
    assert (kept["status"], kept["last_finalization_error"]["code"]) == ("draft", "customer_tax_location_invalid")
    assert biller.news()[-1] == "invoice.finalization_failed"
    biller.post(f"invoices/{invoice['id']}", **{"automatic_tax[enabled]": "false"})
    done = biller.post(f"invoices/{invoice['id']}/finalize")
    assert (done["status"], done["automatic_tax"]["enabled"]) == ("open", False)


def test_a_renewal_whose_customer_has_moved_away_goes_on_without_tax(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer = biller.customer(**{"address[country]": "NL"})
    made = biller.subscribe(customer, biller.price(1000), **TAXED)
    biller.post(f"customers/{customer}", address="")
    biller.advance("2026-05-01T02:00:00")
    invoice = biller.all("invoices")[0]
    assert (invoice["status"], invoice["amount_paid"], invoice["total_taxes"]) == ("paid", 1000, [])
    assert invoice["automatic_tax"]["disabled_reason"] == "finalization_requires_location_inputs"
    now = biller.get(f"subscriptions/{made['id']}")["automatic_tax"]
    assert (now["enabled"], now["disabled_reason"]) == (False, "requires_location_inputs")


def test_checkout_asks_for_the_address_and_keeps_it(biller: Biller) -> None:
    sandbox = biller.sandbox
    session = session_of(sandbox, **TAXED, customer_creation="always")
    assert session["automatic_tax"]["status"] == "requires_location_inputs"
    assert session["total_details"]["amount_tax"] == 0
    refusal = confirm(sandbox, session["id"])
    assert (refusal.status_code, refusal.json()["error"]["code"]) == UNKNOWN[:2]
    billing = "payment_method_data[billing_details][address]"
    paid = confirm(sandbox, session["id"], **{f"{billing}[country]": "US", f"{billing}[postal_code]": "94107"})
    assert paid.status_code == 200, paid.text
    done = biller.get(f"checkout/sessions/{session['id']}")
    assert (done["payment_status"], done["automatic_tax"]["status"]) == ("paid", "complete")
    assert biller.get(f"customers/{done['customer']}")["address"]["postal_code"] == "94107"


def test_checkout_of_a_known_customer_needs_an_address_or_may_write_it(biller: Biller) -> None:
    customer, price = biller.customer(), biller.price(1000)
    given = {"mode": "subscription", "customer": customer, "line_items[0][price]": price, "line_items[0][quantity]": "1",
             "success_url": "https://shop.example", **TAXED}  # fmt: skip
    assert biller.refused("POST", "/v1/checkout/sessions", given) == UNKNOWN
    session = biller.post("checkout/sessions", **given, **{"customer_update[address]": "auto"})
    billing = "payment_method_data[billing_details][address]"
    assert confirm(biller.sandbox, session["id"], **{f"{billing}[country]": "DE"}).status_code == 200
    assert biller.get(f"customers/{customer}")["address"]["country"] == "DE"
    made = biller.get(f"checkout/sessions/{session['id']}", **{"expand[0]": "subscription.latest_invoice"})[
        "subscription"
    ]
    assert made["automatic_tax"]["enabled"] is True
    assert made["latest_invoice"]["total_taxes"][0]["taxability_reason"] == "not_collecting"
    assert biller.post("checkout/sessions", **given)["automatic_tax"]["status"] == "complete", "known from now on"


def test_checkout_gives_a_customer_without_an_email_the_typed_one_and_changes_no_other(biller: Biller) -> None:
    price = biller.price(1000)
    for email, kept in (("", "typed@shop.example"), ("known@shop.example", "known@shop.example")):
        customer = biller.post("customers", **({"email": email} if email else {}))["id"]
        session = biller.post(
            "checkout/sessions",
            **{"mode": "subscription", "customer": customer, "line_items[0][price]": price,
               "line_items[0][quantity]": "1", "success_url": "https://shop.example", "customer_update[name]": "auto"},
        )  # fmt: skip
        typed = {"customer_email": "typed@shop.example", "payment_method_data[billing_details][name]": "Jan Nowak"}
        assert confirm(biller.sandbox, session["id"], **typed).status_code == 200
        now = biller.get(f"customers/{customer}")
        assert (now["email"], now["name"]) == (kept, "Jan Nowak")


@pytest.mark.parametrize(
    ("given", "said"),
    [({"customer_update[address]": "auto"}, "`customer_update` can only be used with `customer`"),
     ({"tax_id_collection[enabled]": "true", "customer": "CUSTOMER"}, "please set `customer_update[name]` to `auto`.")],
)  # fmt: skip
def test_what_checkout_may_write_goes_with_what_it_asks(biller: Biller, given: dict[str, str], said: str) -> None:
    params = {name: biller.customer() if value == "CUSTOMER" else value for name, value in given.items()}
    price = price_of(biller.sandbox)
    answer = biller.sandbox.call("POST", "/v1/checkout/sessions", {
        "mode": "payment", "line_items[0][price]": price, "line_items[0][quantity]": "1",
        "success_url": "https://shop.example", **params})  # fmt: skip
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]

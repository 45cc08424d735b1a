"""Automatic tax, as Stripe answers an account that is registered nowhere: it wants to know where the buyer is, and then
the tax is zero, `not_collecting`.

Nothing is looked up: a country is enough, except in the United States (a postal code too) and in Canada (a postal code
or a province).
"""

from __future__ import annotations

from typing import Any

from .accounts import Account
from .billing_parts import automatic_tax
from .errors import Json, StripeError, invalid
from .events import emit, emit_update
from .ids import derived_text

_CODE = "customer_tax_location_invalid"
_UNKNOWN = (
    "The customer's location isn't recognized. Set a valid customer address in order to automatically calculate tax."
)


def recognized(address: Json | None) -> bool:
    """Whether an address says enough to know what tax there is."""
    country, postal, state = ((address or {}).get(name) for name in ("country", "postal_code", "state"))
    if country == "US":
        return bool(postal)
    return bool(country) and (country != "CA" or bool(postal or state))


def location_of(account: Account, customer: Json, method: Json | None = None) -> Json | None:
    """Where a customer is, as `customer.tax.location` shows it; None when that is not known.

    The first that says anything counts: where goods are sent, the customer's address, the payment method's. `method`
    is the one to pay with, if not the customer's own.
    """
    shipping = (customer["shipping"] or {}).get("address")
    own = (customer["invoice_settings"] or {}).get("default_payment_method") or ""
    found = (
        ("shipping_destination", shipping), ("billing_address", customer["address"]),
        ("payment_method", _address_of(method or account.find("payment_method", own))),
    )  # fmt: skip
    source, address = next(((name, one) for name, one in found if one and any(one.values())), ("", None))
    if address is None or not recognized(address):
        return None
    return {"country": address["country"], "source": source, "state": address["state"]}


def _address_of(method: Json | None) -> Json | None:
    """The billing address of a method, with the country that the method itself tells."""
    if method is None:
        return None
    address = method["billing_details"]["address"]
    return {**address, "country": address["country"] or (method.get(method["type"]) or {}).get("country")}


def check_location(account: Account, customer: Json, given: Json | None, method: Json | None = None) -> None:
    """Refuse `automatic_tax` that is turned on for a customer of whom nobody knows where they are."""
    if (given or {}).get("enabled") and location_of(account, customer, method) is None:
        raise unknown_location()


def unknown_location() -> StripeError:
    """The refusal to compute tax without a location."""
    return invalid(_UNKNOWN, None, _CODE)


def set_taxes(account: Account, invoice: Json, lines: list[Json]) -> None:
    """Set what was computed on a draft and its lines: nothing is collected, or the location is missing."""
    if invoice["automatic_tax"]["disabled_reason"]:
        return
    tax = automatic_tax(invoice["automatic_tax"])
    done: Json = {"provider": None, "status": None}
    found: Json | None = None
    if tax["enabled"]:
        found = _location(account, invoice)
        done = {"provider": "stripe", "status": "complete" if found else "requires_location_inputs"}
    invoice["automatic_tax"] = {**tax, **done}
    for line in lines:
        line["taxes"] = [_nothing(found, line["amount"])] if found else []
    invoice["total_taxes"] = [_nothing(found, sum(line["amount"] for line in lines))] if found and lines else []


def _location(account: Account, invoice: Json) -> Json | None:
    customer = account.find("customer", invoice["customer"])
    method = account.find("payment_method", invoice.get("default_payment_method") or "")
    return location_of(account, customer, method or _method_of(account, invoice)) if customer else None


def _method_of(account: Account, invoice: Json) -> Json | None:
    details: Any = (invoice["parent"] or {}).get("subscription_details") or {}
    subscription = account.find("subscription", details.get("subscription") or "") or {}
    return account.find("payment_method", subscription.get("default_payment_method") or "")


def _nothing(location: Json, amount: int) -> Json:
    """A tax that is not collected; the rate is one that Stripe makes for itself."""
    rate = "txr_1" + derived_text(f"{location['country']}:{location['state']}", 23)
    return {"amount": 0, "tax_behavior": "exclusive", "tax_rate_details": {"tax_rate": rate},
            "taxability_reason": "not_collecting", "taxable_amount": amount, "type": "tax_rate_details"}  # fmt: skip


def lacks_location(account: Account, invoice: Json) -> bool:
    """Whether a draft cannot be finalised as it is, because its tax cannot be computed."""
    return bool(invoice["automatic_tax"]["enabled"]) and _location(account, invoice) is None


def fail_finalization(account: Account, invoice: Json) -> StripeError:
    """A draft stays one, and says why; tells it. Gives the refusal for whoever asked."""
    refusal = unknown_location()
    refusal.noted = True
    account.change(invoice, last_finalization_error=refusal.fields())
    emit(account, "invoice.finalization_failed", invoice)
    return refusal


def drop_tax(account: Account, invoice: Json, subscription: Json | None) -> None:
    """A subscription's invoice is finalised by itself although nobody knows where the customer is: without tax."""
    off: Json = {"enabled": False, "liability": None}
    invoice["automatic_tax"] |= {**off, "disabled_reason": "finalization_requires_location_inputs"}
    account.save(invoice)
    if subscription is not None:
        without = {**off, "disabled_reason": "requires_location_inputs"}
        emit_update(account, "customer.subscription.updated", subscription,
                    account.change(subscription, automatic_tax=without))  # fmt: skip


def tax_of_customer(account: Account, customer: Json) -> Json:
    """The field `tax` of a customer, which is only shown when it is asked for."""
    row = account.get("customer", customer["id"], "customer")
    location = location_of(account, row)
    return {
        "automatic_tax": "not_collecting" if location else "unrecognized_location",
        "ip_address": row.get("_ip_address"),
        "location": location,
        "provider": "stripe",
    }

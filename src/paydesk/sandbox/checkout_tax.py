"""Automatic tax on Checkout: what a session must know of its buyer's address, and where it is kept."""

from __future__ import annotations

from .accounts import Account
from .checkout_shipping import shipped_to
from .errors import Json, invalid, unreadable
from .events import emit_update
from .taxes import check_location, location_of, recognized


def refuse_wrong_update(params: Json) -> None:
    """What of the buyer may be written to the customer, and must be."""
    update = params.get("customer_update") or {}
    if update and not params.get("customer"):
        raise unreadable("`customer_update` can only be used with `customer` or `customer_account`.", "customer_update")
    collects_id = (params.get("tax_id_collection") or {}).get("enabled")
    if collects_id and params.get("customer") and update.get("name") != "auto":
        raise unreadable("Tax ID collection requires updating business name on the customer. To enable tax ID collection "
                         "for an existing customer, please set `customer_update[name]` to `auto`.")  # fmt: skip


def tax_fields(account: Account, customer: Json | None, params: Json) -> Json:
    """The fields of a new session that automatic tax asks for; refuses a customer whose address stays unknown."""
    update = params.get("customer_update") or {}
    if not (params.get("automatic_tax") or {}).get("enabled"):
        return {"_customer_update": update}
    known = customer is not None and location_of(account, customer) is not None
    if customer is not None and not known and "auto" not in (update.get("address"), update.get("shipping")):
        raise invalid(
            "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid address to the "
            "Customer or set `customer_update[address]` to 'auto' to save the billing address entered in Checkout to the "
            "Customer.", None, "customer_tax_location_invalid",
        )  # fmt: skip
    status = "complete" if known else "requires_location_inputs"
    tax = {"enabled": True, "liability": {"type": "self"}, "provider": "stripe", "status": status}
    return {"automatic_tax": tax, "_customer_update": update}


def check_buyer(account: Account, session: Json, details: Json) -> None:
    """Refuse a payment whose buyer has not said where they are, where tax is to be computed."""
    customer = account.find("customer", session["customer"] or "")
    if not recognized(details["address"]):
        known: Json = customer or {"shipping": None, "address": details["address"], "invoice_settings": {}}
        check_location(account, known, session["automatic_tax"])


def keep_details(account: Account, session: Json) -> None:
    """Write to the customer what the buyer gave: an e-mail address where there was none, and what was asked to be kept.

    The tax is computed. (docs.stripe.com/api/checkout/sessions/create: `customer`, `customer_update`)
    """
    customer = account.find("customer", session["customer"] or "")
    if session["automatic_tax"]["enabled"]:
        account.change(session, automatic_tax={**session["automatic_tax"], "status": "complete"})
    values = _kept(customer, session) if customer is not None else {}
    if customer is not None and values:
        emit_update(account, "customer.updated", customer, account.change(customer, **values))


def _kept(customer: Json, session: Json) -> Json:
    """Return what a session changes in its customer."""
    given = dict(session.get("_buyer") or {})
    sent = shipped_to(session)
    if sent:
        given["shipping"] = {"address": sent["address"], "name": sent["name"], "phone": None}
    asked = session.get("_customer_update") or {}
    kept = [name for name in ("address", "name", "shipping") if asked.get(name) == "auto"]
    kept += [] if customer["email"] else ["email"]
    return {name: given[name] for name in kept if given.get(name)}

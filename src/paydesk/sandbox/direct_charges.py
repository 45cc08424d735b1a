"""Charges that are made at once, without a payment intent: of a token's card, or of a customer's."""

from __future__ import annotations

from .accounts import Account
from .calls import Call, Operation, post
from .cards import NEEDS_AUTHENTICATION, Decline, refused
from .charges import add_charge
from .errors import Json, StripeError, invalid
from .later import later
from .live_customers import live_customer
from .methods import behaviour, method_of_token
from .money import check_amount, currency_code
from .params import SHIPPING, Shape, email, fields, flag, full_shipping, integer, merged_metadata, metadata, text
from .payments import aftermath, hold, must_authenticate
from .source_cards import card_view, is_source

_CREATE: Shape = {
    "amount": integer,
    "capture": flag,
    "currency": text(3, clearable=False),
    "customer": text(clearable=False),
    "description": text(),
    "metadata": metadata,
    "receipt_email": email,
    "shipping": fields(SHIPPING, ("address", "name")),
    "source": text(clearable=False),
    "statement_descriptor": text(22),
    "statement_descriptor_suffix": text(22),
    "transfer_group": text(),
}


def _create(call: Call) -> Json:
    account, params = call.account, call.params
    currency = currency_code(params["currency"])
    check_amount(params["amount"], currency)
    if not params.get("source") and not params.get("customer"):
        raise invalid("Must provide source or customer.", None, "parameter_missing")
    customer = live_customer(account, params["customer"]) if params.get("customer") else None
    method = _method_of_customer(account, customer, params) if customer else method_of_token(account, params["source"])
    decline = _decline(method)
    charge = add_charge(account, _terms(currency, customer, method, params), method, decline, authenticated=False)
    if decline is not None:
        raise refused(decline, extra={"charge": charge["id"]})
    if not charge["captured"]:
        later(account, hold(account, charge), "charge_hold_expires", charge["id"])
    aftermath(account, method, charge)
    return charge


def _method_of_customer(account: Account, customer: Json, params: Json) -> Json:
    """The card of a customer that is named as source, or else the default one."""
    wanted = params.get("source") or customer["default_source"]
    if not wanted:
        raise StripeError("Cannot charge a customer that has no active card", status=402, kind="card_error",
                          code="missing", param="card")  # fmt: skip
    method = account.find("payment_method", wanted)
    if method is None or not is_source(method) or method["customer"] != customer["id"]:
        raise invalid(f"Customer {customer['id']} does not have a linked source with ID {wanted}.", "source", "missing")
    return method


def _decline(method: Json) -> Decline | None:
    """Why the bank says no, if it does; nobody can be asked for 3-D Secure here."""
    card = behaviour(method)
    if must_authenticate(method, off_session=bool(method["customer"])):
        return NEEDS_AUTHENTICATION
    return card.charge or card.attach


def _terms(currency: str, customer: Json | None, method: Json, params: Json) -> Json:
    """What a charge takes over from its payment intent, here from the request itself."""
    names = ("description", "receipt_email", "statement_descriptor", "statement_descriptor_suffix", "transfer_group")
    return {
        **{name: params.get(name) for name in names},
        "amount": params["amount"],
        "capture_method": "automatic" if params.get("capture", True) else "manual",
        "currency": currency,
        "customer": customer["id"] if customer else None,
        "id": None,
        "metadata": merged_metadata({}, params.get("metadata")),
        "payment_method_options": {},
        "shipping": full_shipping(params["shipping"]) if params.get("shipping") else None,
        "source": card_view(method),
    }


OPERATIONS: list[Operation] = [post("/v1/charges", _create, _CREATE, ("amount", "currency"))]

"""Payment methods: cards, and those of local banks.

A token of Stripe's (`pm_card_visa`) becomes a method when it is first used.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from . import lists
from .accounts import Account
from .calls import Call, Operation, get, listing, post
from .card_tokens import spent
from .cards import CARDS, Card, card_error, card_of_number, card_of_token, refused
from .errors import Json, invalid, missing_parameter, no_such
from .events import emit, emit_update
from .ids import derived_text, new_id
from .live_customers import live_customer
from .local_methods import LOCAL_DATA, SHAPES, local_fields
from .method_rules import RULES, TYPES
from .params import (
    ADDRESS,
    Shape,
    choice,
    email,
    fields,
    full_address,
    integer,
    merged_metadata,
    metadata,
    text,
)
from .sepa_accounts import iban_of_token

_BILLING: Shape = {
    "address": fields(ADDRESS, clearable=True),
    "email": email,
    "name": text(),
    "phone": text(),
    "tax_id": text(),
}
_CARD: Shape = {
    "number": text(40, clearable=False),
    "exp_month": integer,
    "exp_year": integer,
    "cvc": text(8),
    "token": text(clearable=False),
}
METHOD_DATA: Shape = {
    **LOCAL_DATA,
    "allow_redisplay": choice("always", "limited", "unspecified"),
    "billing_details": fields(_BILLING),
    "card": fields(_CARD),
    "metadata": metadata,
    "type": choice(*TYPES),
}


def add_method(account: Account, given: Json, param: str = "") -> Json:
    """Make a payment method from checked `METHOD_DATA`; a card that cannot be right is refused with 402."""
    if given.get("type") is None:
        raise missing_parameter(f"{param}[type]" if param else "type")
    if given["type"] in SHAPES:
        return _add_local(account, given)
    if not given.get("card"):
        raise missing_parameter(f"{param}[card]" if param else "card")
    if "token" in given["card"]:
        return _copied(account, given["card"]["token"], given)
    card, expiry, cvc = checked_card(account, given["card"])
    return add_card(account, card, expiry, has_cvc=bool(cvc), given=given)


def _add_local(account: Account, given: Json) -> Json:
    """A method that is no card."""
    kind = given["type"]
    shown, own = local_fields(kind, given.get(kind) or {})
    return account.add("payment_method", {**_common_fields(given, kind), kind: shown, **own})


def usable_method(account: Account, method_id: str, param: str = "payment_method", *, status: int = 400) -> Json:
    """The payment method with this id; a test token (`pm_card_…`, `pm_sepaDebit_…`) gives a new one each
    time."""
    method = account.find("payment_method", method_id)
    if method is not None:
        return method
    iban = iban_of_token(method_id)
    if iban is not None:
        return _add_local(account, {"type": "sepa_debit", "sepa_debit": {"iban": iban}})
    card = card_of_token(method_id) if method_id.startswith("pm_card_") else None
    if card is None:
        raise no_such("PaymentMethod", method_id, param, status)
    return add_card(account, card, _token_expiry(account), has_cvc=True, given={})


def method_of_token(account: Account, token_id: str, param: str = "source") -> Json:
    """A new payment method of the card that a token (`tok_…`) stands for, with the id of that card (`card_…`)."""
    card = card_of_token(token_id) if token_id.startswith("tok_") else None
    if card is not None:
        return add_card(account, card, _token_expiry(account), has_cvc=True, given={}, object_id=new_id("card"))
    return account.get("payment_method", spent(account, token_id, param)["card"]["id"], param)


def _copied(account: Account, token_id: str, given: Json) -> Json:
    """A payment method of its own with the card of a token; it takes over who is billed unless that is given."""
    card = card_of_token(token_id) if token_id.startswith("tok_") else None
    if card is not None:
        return add_card(account, card, _token_expiry(account), has_cvc=True, given=given)
    source = method_of_token(account, token_id, "card[token]")
    shown, billing = source["card"], given.get("billing_details") or source["billing_details"]
    return add_card(account, behaviour(source), (shown["exp_month"], shown["exp_year"]),
                    has_cvc=bool(shown["checks"]["cvc_check"]), given={**given, "billing_details": billing})  # fmt: skip


def behaviour(method: Json) -> Card:
    """How the card of a payment method behaves; only for methods that are cards."""
    return CARDS[method["_number"]]


def checked_card(account: Account, given: Json) -> tuple[Card, tuple[int, int], str | None]:
    """The card that numbers describe, its expiry `(month, year)` and the CVC; refused with 402 where it cannot be right."""
    for name in ("number", "exp_month", "exp_year"):
        if name not in given:
            raise missing_parameter(f"card[{name}]")
    card = card_of_number(given["number"])
    expiry = _checked_expiry(account, given["exp_month"], given["exp_year"])
    _check_cvc(card, given.get("cvc"))
    return card, expiry, given.get("cvc")


def _token_expiry(account: Account) -> tuple[int, int]:
    today = datetime.fromtimestamp(account.clock.now(), UTC)
    return today.month, today.year + 1


def _checked_expiry(account: Account, month: int, year: int) -> tuple[int, int]:
    """Month and four-digit year, not in the past and not out of this world."""
    today = datetime.fromtimestamp(account.clock.now(), UTC)
    full_year = year + 2000 if year < 100 else year
    if not 1 <= month <= 12:
        raise card_error("invalid_expiry_month", "Your card's expiration month is invalid.", "exp_month")
    if not today.year <= full_year <= today.year + 50:
        raise card_error("invalid_expiry_year", "Your card's expiration year is invalid.", "exp_year")
    if full_year == today.year and month < today.month:
        raise card_error("invalid_expiry_month", "Your card's expiration month is invalid.", "exp_month")
    return month, full_year


def _check_cvc(card: Card, cvc: str | None) -> None:
    if cvc is not None and not (cvc.isdecimal() and len(cvc) in ((3, 4) if card.brand == "amex" else (3,))):
        raise card_error("invalid_cvc", "Your card's security code is invalid.", "cvc")


def add_card(
    account: Account, card: Card, expiry: tuple[int, int], *, has_cvc: bool, given: Json, object_id: str | None = None
) -> Json:  # fmt: skip
    """Keep a card as a payment method, with the given id or a fresh one."""
    shown = _card_fields(card, expiry, has_cvc=has_cvc)
    own = {"_number": card.number, "_set_up": card.authentication == "on_session"}
    return account.add("payment_method", {**_common_fields(given, "card"), "card": shown, **own}, object_id=object_id)


def _common_fields(given: Json, kind: str) -> Json:
    return {
        "allow_redisplay": given.get("allow_redisplay", "unspecified"),
        "billing_details": _billing_details(given.get("billing_details") or {}),
        "customer": None,
        "customer_account": None,
        "metadata": merged_metadata({}, given.get("metadata")),
        "type": kind,
    }


def _billing_details(given: Json) -> Json:
    address = full_address(given.get("address") or {})
    return {"email": None, "name": None, "phone": None, "tax_id": None, **given, "address": address}


def _card_fields(card: Card, expiry: tuple[int, int], *, has_cvc: bool) -> Json:
    return {
        "brand": card.brand,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "unchecked" if has_cvc else None,
        },
        "country": card.country,
        "display_brand": card.brand,
        "exp_month": expiry[0],
        "exp_year": expiry[1],
        "fingerprint": derived_text(card.number, 16),
        "funding": card.funding,
        "generated_from": None,
        "last4": card.last4,
        "networks": {"available": [name for name in (card.second_network, card.brand) if name], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def refuse_if_declined(method: Json) -> None:
    """Refuse a card that declines as soon as it is attached."""
    decline = behaviour(method).attach if method["type"] == "card" else None
    if decline is not None:
        raise refused(decline, param="")


def refuse_spent(method: Json, param: str | None = "payment_method") -> None:
    """Refuse a method that nobody has any more: detached, or used for a payment that did not keep it."""
    if method["customer"] is None and (method.get("_detached") or method.get("_used")):
        raise invalid(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with "
            "a connected account without Customer attachment, or was detached from a Customer. It may not be used again. "
            "To use a PaymentMethod multiple times, you must attach it to a Customer first.",
            param,
        )


def refuse_foreign(method: Json, customer: str | None, param: str) -> None:
    """Refuse as a default a method that this customer does not have."""
    if method["customer"] is None or method["customer"] != customer:
        raise invalid(
            f"The customer does not have a payment method with the ID {method['id']}. The payment method must be "
            "attached to the customer.", param, "resource_missing",
        )  # fmt: skip


def attach(account: Account, method: Json, customer: Json) -> None:
    """Give a method to a customer; a card that declines is refused here already."""
    refuse_if_declined(method)
    if method["type"] == "card":
        method["card"]["checks"]["cvc_check"] = "pass" if method["card"]["checks"]["cvc_check"] else None
    account.change(method, customer=customer["id"])
    emit(account, "payment_method.attached", method)


def _create(call: Call) -> Json:
    return add_method(call.account, call.params)


def _retrieve(call: Call) -> Json:
    return usable_method(call.account, call.id, status=404)


def _update(call: Call) -> Json:
    method = call.account.get("payment_method", call.id, "payment_method", status=404, noun="PaymentMethod")
    if method["customer"] is None:
        raise invalid("You must save this PaymentMethod to a customer before you can update it.", "payment_method")
    values: Json = {}
    if "billing_details" in call.params:
        values["billing_details"] = _billing_details(
            {**method["billing_details"], **(call.params["billing_details"] or {})}
        )
    if "card" in call.params:
        if method["type"] != "card":
            raise invalid("You cannot update the card of a PaymentMethod that is no card.", "card")
        values["card"] = with_expiry(call.account, method["card"], call.params["card"] or {})
    if "metadata" in call.params:
        values["metadata"] = merged_metadata(method["metadata"], call.params["metadata"])
    if "allow_redisplay" in call.params:
        values["allow_redisplay"] = call.params["allow_redisplay"]
    previous = call.account.change(method, **values)
    emit_update(call.account, "payment_method.updated", method, previous)
    return method


def with_expiry(account: Account, card: Json, given: Json) -> Json:
    """The `card` of a method with another `exp_month` or `exp_year`; one that is past is refused with 402."""
    known = {**card, **given}
    month, year = _checked_expiry(account, known["exp_month"], known["exp_year"])
    return {**known, "exp_month": month, "exp_year": year}


def _attach(call: Call) -> Json:
    method = usable_method(call.account, call.id, status=404)
    customer = live_customer(call.account, call.params["customer"])
    if method["customer"] not in (None, customer["id"]):
        raise invalid("The payment method you provided has already been attached to a customer.", "payment_method")
    if method["customer"] is None and (method.get("_detached") or method.get("_used")):
        raise invalid(
            "This PaymentMethod was previously used without being attached to a Customer or was detached from a "
            "Customer, and may not be used again."
        )
    if "setup" not in RULES[method["type"]].modes or RULES[method["type"]].saved_as:
        raise invalid(f"Payment methods of type `{method['type']}` cannot be attached to a customer.", "payment_method")
    if method["customer"] is None:
        attach(call.account, method, customer)
    return method


def _detach(call: Call) -> Json:
    method = call.account.get("payment_method", call.id, "payment_method", status=404, noun="PaymentMethod")
    if method["customer"] is None:
        raise invalid("The payment method you provided is not attached to a customer so detachment is impossible.",
                      "payment_method")  # fmt: skip
    detach(call.account, method)
    return method


# What follows when a customer loses a method; given the method and the customer's id. Filled by the modules that care.
DETACH_FOLLOWERS: list[Callable[[Account, Json, str], None]] = []


def detach(account: Account, method: Json) -> None:
    """Take a method from its customer, for good; tells it."""
    previous = account.change(method, customer=None, _detached=True)
    emit(account, "payment_method.detached", method, {"customer": previous["customer"]})
    _drop_as_default(account, method, previous["customer"])
    for told in DETACH_FOLLOWERS:
        told(account, method, previous["customer"])


def _drop_as_default(account: Account, method: Json, customer_id: str) -> None:
    """A detached method is no longer the default of its customer or of the subscriptions that run; tells it."""
    customer = account.get("customer", customer_id, "customer")
    settings, values = customer["invoice_settings"], Json()
    if settings["default_payment_method"] == method["id"]:
        values["invoice_settings"] = {**settings, "default_payment_method": None}
    if customer["default_source"] == method["id"]:
        values["default_source"] = None
    emit_update(account, "customer.updated", customer, account.change(customer, **values))
    for one in customer.get("_subscriptions", []):
        subscription = account.get("subscription", one, "subscription")
        named = [one for one in ("default_payment_method", "default_source") if subscription[one] == method["id"]]
        if named and subscription["ended_at"] is None:
            previous = account.change(subscription, **dict.fromkeys(named))
            emit_update(account, "customer.subscription.updated", subscription, previous)


def _list(call: Call) -> Json:
    return lists.page(call.account, "payment_method", call.params, "/v1/payment_methods", _attached_to(call))


def _attached_to(call: Call) -> lists.Filter:
    keep = lists.same(call.params, "allow_redisplay", "customer", "type")
    return lambda row: row["customer"] is not None and keep(row)


def _list_of_customer(call: Call) -> Json:
    call.account.get("customer", call.id, "customer", status=404)
    wanted = {**call.params, "customer": call.id}
    url = f"/v1/customers/{call.id}/payment_methods"
    return lists.page(
        call.account, "payment_method", wanted, url, lists.same(wanted, "allow_redisplay", "customer", "type")
    )


def _retrieve_of_customer(call: Call) -> Json:
    call.account.get("customer", call.path["customer"], "customer", status=404)
    method = call.account.get("payment_method", call.id, "payment_method", status=404, noun="PaymentMethod")
    if method["customer"] != call.path["customer"]:
        raise no_such("PaymentMethod", call.id, "payment_method", 404)
    return method


_UPDATE: Shape = {
    "allow_redisplay": METHOD_DATA["allow_redisplay"],
    "billing_details": METHOD_DATA["billing_details"],
    "card": fields({"exp_month": integer, "exp_year": integer}),
    "metadata": metadata,
}
_OF_CUSTOMER: Shape = {"allow_redisplay": METHOD_DATA["allow_redisplay"], "type": choice(*TYPES)}
_FILTER: Shape = {**_OF_CUSTOMER, "customer": text(clearable=False)}

OPERATIONS: list[Operation] = [
    post("/v1/payment_methods", _create, METHOD_DATA, ("type",)),
    listing("/v1/payment_methods", _list, _FILTER, dated=False),
    get("/v1/payment_methods/{id}", _retrieve),
    post("/v1/payment_methods/{id}", _update, _UPDATE),
    post("/v1/payment_methods/{id}/attach", _attach, {"customer": text(clearable=False)}, ("customer",)),
    post("/v1/payment_methods/{id}/detach", _detach),
    listing("/v1/customers/{id}/payment_methods", _list_of_customer, _OF_CUSTOMER, dated=False),
    get("/v1/customers/{customer}/payment_methods/{id}", _retrieve_of_customer),
]

"""Customers."""

from __future__ import annotations

import re
from collections.abc import Callable

from . import lists
from .accounts import Account
from .calls import Call, Operation, delete, get, listing, post
from .customer_discounts import set_discount
from .errors import Json, invalid
from .events import emit, emit_update
from .ids import random_text
from .methods import attach, refuse_foreign, refuse_if_declined, refuse_spent, usable_method
from .params import (
    ADDRESS,
    Kind,
    Shape,
    choice,
    email,
    fields,
    full_address,
    integer,
    items,
    merged_metadata,
    metadata,
    text,
)
from .present import INCLUDABLE
from .sources import check_default, give, new_source, replace_default
from .taxes import check_location, tax_of_customer

# What follows a customer's change, by what it is (`balance`, `deleted`): given the customer and the amount by which the
# balance moves (0 otherwise). Filled by the modules that own what follows.
CONSEQUENCES: dict[str, Callable[[Account, Json, int], None]] = {}

_PREFIX = re.compile(r"[A-Z0-9]{3,12}")
_SHIPPING: Shape = {"address": fields(ADDRESS), "name": text(clearable=False), "phone": text()}
_COMMON: Shape = {
    "address": fields(ADDRESS, clearable=True),
    "balance": integer,
    "business_name": text(150),
    "coupon": text(),
    "description": text(),
    "email": email,
    "individual_name": text(150),
    "invoice_prefix": text(12),
    "invoice_settings": fields({"default_payment_method": text(), "footer": text()}),
    "metadata": metadata,
    "name": text(256),
    "next_invoice_sequence": integer,
    "phone": text(20),
    "promotion_code": text(),
    "preferred_locales": items(text(clearable=False), 20),
    "shipping": fields(_SHIPPING, ("address", "name"), clearable=True),
    "tax_exempt": choice("exempt", "none", "reverse"),
}
_NEW_TAX: Kind = fields({"ip_address": text(), "validate_location": choice("deferred", "immediately")})
_TAX: Kind = fields({"ip_address": text(), "validate_location": choice("auto", "deferred", "immediately")})
_NOT_STORED = ("coupon", "expand", "metadata", "payment_method", "promotion_code", "source", "tax")
_DEFAULTS: Json = {
    "address": None,
    "balance": 0,
    "currency": None,
    "customer_account": None,
    "default_source": None,
    "delinquent": False,
    "description": None,
    "email": None,
    "name": None,
    "next_invoice_sequence": 1,
    "phone": None,
    "preferred_locales": [],
    "shipping": None,
    "tax_exempt": "none",
    "test_clock": None,
}
_INVOICE_SETTINGS: Json = {
    "custom_fields": None,
    "default_payment_method": None,
    "footer": None,
    "rendering_options": None,
}


def add_customer(account: Account, values: Json) -> Json:
    """Make a customer and tell it."""
    customer = account.add("customer", {
        **_DEFAULTS,
        "invoice_prefix": random_text(8).upper(),
        "invoice_settings": dict(_INVOICE_SETTINGS),
        **values,
        "metadata": merged_metadata({}, values.get("metadata", {})),
    })  # fmt: skip
    emit(account, "customer.created", customer)
    return customer


def _values(account: Account, params: Json, known: Json | None = None) -> Json:
    """The fields of a customer as the parameters give them; `known` is the customer that is changed."""
    values = {name: value for name, value in params.items() if name not in _NOT_STORED}
    if "invoice_prefix" in values and not _PREFIX.fullmatch(values["invoice_prefix"] or ""):
        raise invalid("An invoice prefix is 3 to 12 uppercase letters or numbers.", "invoice_prefix")
    if "address" in values:
        values["address"] = full_address(values["address"])
    if values.get("shipping"):
        shipping = values["shipping"]
        values["shipping"] = {"phone": None, **shipping, "address": full_address(shipping.get("address"))}
    if "ip_address" in (params.get("tax") or {}):
        values["_ip_address"] = params["tax"]["ip_address"]
    if "invoice_settings" in values:
        values["invoice_settings"] = _invoice_settings(account, params, known)
    return values


def _invoice_settings(account: Account, params: Json, known: Json | None) -> Json:
    """The settings with what is given of them. The default method must be the customer's, or come with a new one."""
    given, param = params["invoice_settings"] or {}, "invoice_settings[default_payment_method]"
    if given.get("default_payment_method") and (
        known or given["default_payment_method"] != params.get("payment_method")
    ):
        method = account.get("payment_method", given["default_payment_method"], param, noun="PaymentMethod")
        refuse_foreign(method, known["id"] if known else None, param)
    return {**(known["invoice_settings"] if known else _INVOICE_SETTINGS), **given}


def _create(call: Call) -> Json:
    if "source" in call.params:
        return _create_with_source(call, call.params)
    if "payment_method" in call.params:
        return _create_with_method(call, call.params)
    return _created(call, call.params)


def _create_with_source(call: Call, params: Json) -> Json:
    """A customer whose default source is the card of a token (`tok_visa`)."""
    if "payment_method" in params:
        raise invalid("You may only specify one of these parameters: payment_method, source.")
    method = new_source(call.account, params["source"])
    customer = _created(call, {**params, "default_source": method["id"]})
    give(call.account, method, customer)
    return customer


def _create_with_method(call: Call, params: Json) -> Json:
    """A customer who has a payment method from the start; a token names the same one wherever it stands."""
    method = usable_method(call.account, params["payment_method"])
    if method["customer"] is not None:
        message = "The payment method you provided has already been attached to a customer."
        raise invalid(message, "payment_method")
    refuse_spent(method)
    refuse_if_declined(method)
    settings = params.get("invoice_settings") or {}
    if settings.get("default_payment_method") == params["payment_method"]:
        params = {**params, "invoice_settings": {**settings, "default_payment_method": method["id"]}}
    params = {**params, "payment_method": method["id"]}
    customer = _created(call, params)
    attach(call.account, method, customer)
    return customer


def _created(call: Call, params: Json) -> Json:
    values = _values(call.account, params)
    _check_located({**_DEFAULTS, "invoice_settings": {}, **values}, call)
    if values.get("test_clock"):
        call.account.get("test_helpers.test_clock", values["test_clock"], "test_clock")
    return _discounted(call, add_customer(call.account, {**values, "metadata": params.get("metadata")}))


def _check_located(customer: Json, call: Call) -> None:
    """Refuse an unknown location where one is to be known at once."""
    wanted = (call.params.get("tax") or {}).get("validate_location")
    check_location(call.account, customer, {"enabled": wanted == "immediately"})


def _discounted(call: Call, customer: Json) -> Json:
    """The customer with the discount that the parameters name."""
    set_discount(call.account, customer, call.params)
    return customer


def _retrieve(call: Call) -> Json:
    customer = call.account.get("customer", call.id, "id", status=404)
    return _tombstone(customer) if customer.get("deleted") else customer


def _tombstone(customer: Json) -> Json:
    return {"id": customer["id"], "object": "customer", "deleted": True}


def _update(call: Call) -> Json:
    customer = call.account.get("customer", call.id, "id", status=404)
    if customer.get("deleted"):
        call.account.get("customer", f"{call.id} (deleted)", "id", status=404)
    card = new_source(call.account, call.params["source"]) if "source" in call.params else None
    values = _values(call.account, call.params, customer)
    if "metadata" in call.params:
        values["metadata"] = merged_metadata(customer["metadata"], call.params["metadata"])
    _check_located({**customer, **values}, call)
    check_default(call.account, customer, values.get("default_source"))
    moved = values.pop("balance", customer["balance"]) - customer["balance"]
    if moved:
        CONSEQUENCES["balance"](call.account, customer, moved)
    previous = call.account.change(customer, **values)
    emit_update(call.account, "customer.updated", customer, previous)
    if card is not None:
        replace_default(call.account, customer, card)
    return _discounted(call, customer)


def _delete(call: Call) -> Json:
    customer = call.account.get("customer", call.id, "id", status=404)
    if not customer.get("deleted"):
        CONSEQUENCES["deleted"](call.account, customer, 0)
        emit(call.account, "customer.deleted", customer)
        call.account.change(customer, deleted=True)
    return _tombstone(customer)


def _list(call: Call) -> Json:
    keep, clock = lists.same(call.params, "email"), call.params.get("test_clock")
    return lists.page(call.account, "customer", call.params, "/v1/customers",
                      lambda row: keep(row) and row["test_clock"] == clock)  # fmt: skip


INCLUDABLE["customer", "tax"] = tax_of_customer

OPERATIONS: list[Operation] = [
    post(
        "/v1/customers",
        _create,
        {
            **_COMMON,
            "payment_method": text(clearable=False),
            "source": text(clearable=False),
            "tax": _NEW_TAX,
            "test_clock": text(clearable=False),
        },
    ),
    listing("/v1/customers", _list, {"email": email, "test_clock": text()}),
    get("/v1/customers/{id}", _retrieve),
    post(
        "/v1/customers/{id}",
        _update,
        {**_COMMON, "default_source": text(), "source": text(clearable=False), "tax": _TAX},
    ),
    delete("/v1/customers/{id}", _delete),
]

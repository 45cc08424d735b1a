"""Customers."""

from __future__ import annotations

from . import lists
from .accounts import Account
from .calls import Call, Operation, delete, get, listing, post
from .errors import Json
from .events import emit, emit_update
from .ids import random_text
from .params import (
    ADDRESS,
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

_SHIPPING: Shape = {"address": fields(ADDRESS), "name": text(clearable=False), "phone": text()}
_COMMON: Shape = {
    "address": fields(ADDRESS),
    "balance": integer,
    "business_name": text(150),
    "description": text(),
    "email": email,
    "individual_name": text(150),
    "invoice_prefix": text(12),
    "invoice_settings": fields({"default_payment_method": text(), "footer": text()}),
    "metadata": metadata,
    "name": text(256),
    "next_invoice_sequence": integer,
    "phone": text(20),
    "preferred_locales": items(text(clearable=False), 20),
    "shipping": fields(_SHIPPING, ("address", "name")),
    "tax_exempt": choice("exempt", "none", "reverse"),
}
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


def add_customer(account: Account, values: Json) -> Json:
    """Make a customer and tell it."""
    customer = account.add("customer", {
        **_DEFAULTS,
        "invoice_prefix": random_text(8).upper(),
        "invoice_settings": _invoice_settings(account, {}),
        **values,
        "metadata": merged_metadata({}, values.get("metadata", {})),
    })  # fmt: skip
    emit(account, "customer.created", customer)
    return customer


def live_customer(account: Account, customer_id: str, param: str = "customer") -> Json:
    """The customer that a parameter names; a deleted one does not exist."""
    customer = account.get("customer", customer_id, param)
    if customer.get("deleted"):
        account.get("customer", f"{customer_id} (deleted)", param)
    return customer


def _values(account: Account, params: Json) -> Json:
    """The fields of a customer as the parameters give them."""
    values = {name: value for name, value in params.items() if name not in ("expand", "payment_method", "metadata")}
    if "address" in values:
        values["address"] = full_address(values["address"])
    if values.get("shipping"):
        shipping = values["shipping"]
        values["shipping"] = {"phone": None, **shipping, "address": full_address(shipping.get("address"))}
    if "invoice_settings" in values:
        values["invoice_settings"] = _invoice_settings(account, values["invoice_settings"] or {})
    return values


def _invoice_settings(account: Account, given: Json) -> Json:
    method = given.get("default_payment_method")
    if method:
        account.get("payment_method", method, "invoice_settings[default_payment_method]", noun="PaymentMethod")
    defaults = {"custom_fields": None, "default_payment_method": None, "footer": None, "rendering_options": None}
    return {**defaults, **given}


def _create(call: Call) -> Json:
    values = _values(call.account, call.params)
    return add_customer(call.account, {**values, "metadata": call.params.get("metadata")})


def _retrieve(call: Call) -> Json:
    customer = call.account.get("customer", call.id, "id", status=404)
    return _tombstone(customer) if customer.get("deleted") else customer


def _tombstone(customer: Json) -> Json:
    return {"id": customer["id"], "object": "customer", "deleted": True}


def _update(call: Call) -> Json:
    customer = call.account.get("customer", call.id, "id", status=404)
    if customer.get("deleted"):
        call.account.get("customer", f"{call.id} (deleted)", "id", status=404)
    values = _values(call.account, call.params)
    if "metadata" in call.params:
        values["metadata"] = merged_metadata(customer["metadata"], call.params["metadata"])
    previous = call.account.change(customer, **values)
    emit_update(call.account, "customer.updated", customer, previous)
    return customer


def _delete(call: Call) -> Json:
    customer = call.account.get("customer", call.id, "id", status=404)
    if not customer.get("deleted"):
        emit(call.account, "customer.deleted", customer)
        call.account.change(customer, deleted=True)
    return _tombstone(customer)


def _list(call: Call) -> Json:
    return lists.page(call.account, "customer", call.params, "/v1/customers", lists.same(call.params, "email"))


OPERATIONS: list[Operation] = [
    post("/v1/customers", _create, _COMMON),
    listing("/v1/customers", _list, {"email": email}),
    get("/v1/customers/{id}", _retrieve),
    post("/v1/customers/{id}", _update, {**_COMMON, "default_source": text()}),
    delete("/v1/customers/{id}", _delete),
]

"""Shipping rates: what sending an order costs, to be chosen from on the Checkout page."""

from __future__ import annotations

from . import lists
from .accounts import Account
from .calls import Call, Operation, get, listing, post
from .errors import Json, invalid
from .money import check_steps, currency_code
from .params import Shape, choice, fields, flag, merged_metadata, metadata, text, whole

_BEHAVIOR = choice("exclusive", "inclusive", "unspecified")
_SPAN = fields({"unit": choice("business_day", "day", "hour", "month", "week"), "value": whole(1)}, ("unit", "value"))

RATE_DATA: Shape = {
    "delivery_estimate": fields({"maximum": _SPAN, "minimum": _SPAN}),
    "display_name": text(100, clearable=False),
    "fixed_amount": fields({"amount": whole(0), "currency": text(3, clearable=False)}, ("amount", "currency")),
    "metadata": metadata,
    "tax_behavior": _BEHAVIOR,
    "tax_code": text(),
    "type": choice("fixed_amount"),
}
_UPDATE: Shape = {
    "active": flag,
    "metadata": metadata,
    "tax_behavior": _BEHAVIOR,
}


def add_rate(account: Account, given: Json, param: str = "") -> Json:
    """Make a shipping rate from checked `RATE_DATA`."""
    fixed = given.get("fixed_amount")
    if not fixed:
        name = f"{param}[fixed_amount]" if param else "fixed_amount"
        raise invalid("You must provide `fixed_amount` for a shipping rate.", name, "parameter_missing")
    currency = currency_code(fixed["currency"])
    check_steps(fixed["amount"], currency, "fixed_amount[amount]")
    return account.add("shipping_rate", {
        "active": True,
        "delivery_estimate": _estimate(given.get("delivery_estimate")),
        "display_name": given["display_name"],
        "fixed_amount": {"amount": fixed["amount"], "currency": currency},
        "metadata": merged_metadata({}, given.get("metadata")),
        "tax_behavior": given.get("tax_behavior", "unspecified"),
        "tax_code": given.get("tax_code"),
        "type": "fixed_amount",
    })  # fmt: skip


def _estimate(given: Json | None) -> Json | None:
    return {"maximum": None, "minimum": None, **given} if given else None


def amount_in(rate: Json, currency: str, param: str) -> int:
    """What a rate costs in a currency, in the smallest unit; refused where it has no amount in it."""
    fixed = rate["fixed_amount"]
    if fixed["currency"] != currency:
        raise invalid(f"The shipping rate {rate['id']} only supports `{fixed['currency']}`. This doesn't match the "
                      f"expected currency: `{currency}`.", param)  # fmt: skip
    return int(fixed["amount"])


def _create(call: Call) -> Json:
    return add_rate(call.account, call.params)


def _retrieve(call: Call) -> Json:
    return call.account.get("shipping_rate", call.id, "shipping_rate_token", status=404)


def _update(call: Call) -> Json:
    rate, values = _retrieve(call), dict(call.params)
    if "metadata" in values:
        values["metadata"] = merged_metadata(rate["metadata"], values["metadata"])
    call.account.change(rate, **values)
    return rate


def _list(call: Call) -> Json:
    keep, currency = lists.same(call.params, "active"), (call.params.get("currency") or "").lower()
    return lists.page(call.account, "shipping_rate", call.params, "/v1/shipping_rates",
                      lambda row: keep(row) and currency in ("", row["fixed_amount"]["currency"]))  # fmt: skip


OPERATIONS: list[Operation] = [
    post("/v1/shipping_rates", _create, RATE_DATA, ("display_name",)),
    listing("/v1/shipping_rates", _list, {"active": flag, "currency": text(3)}),
    get("/v1/shipping_rates/{id}", _retrieve),
    post("/v1/shipping_rates/{id}", _update, _UPDATE),
]

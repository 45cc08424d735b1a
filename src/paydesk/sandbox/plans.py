"""Plans: the older way to name recurring prices. A plan and its price are one thing with one id."""

from __future__ import annotations

from typing import Any

from . import lists
from .accounts import Account
from .calls import Call, Operation, delete, get, listing, post
from .catalog import PRODUCT_OF_PRICE, add_price, change_price, check_interval
from .errors import Json, invalid, missing_parameter, no_such
from .events import emit
from .money import MAXIMUM_MINOR
from .params import Shape, choice, decimal, flag, merged_metadata, metadata, read, text, whole
from .plan_shape import plan_of

_PRODUCT_ID = text(clearable=False)
_RECURRING = ("interval", "interval_count", "trial_period_days", "usage_type")
_LATER = ("active", "metadata", "nickname", "product", "trial_period_days")


def _product(value: Any, name: str) -> Any:
    """The id of a product, or a hash that describes one."""
    return read(value, PRODUCT_OF_PRICE, ("name",), name) if isinstance(value, dict) else _PRODUCT_ID(value, name)


_CREATE: Shape = {
    "active": flag,
    "amount": whole(0, MAXIMUM_MINOR),
    "amount_decimal": decimal,
    "billing_scheme": choice("per_unit"),
    "currency": text(3, clearable=False),
    "id": text(),
    "interval": choice("day", "week", "month", "year"),
    "interval_count": whole(1, 1095),
    "metadata": metadata,
    "nickname": text(),
    "product": _product,
    "trial_period_days": whole(0, 730),
    "usage_type": choice("licensed", "metered"),
}
_UPDATE: Shape = {name: _CREATE[name] for name in _LATER} | {"product": _PRODUCT_ID}


def _existing(account: Account, plan_id: str) -> Json:
    """The price behind a plan; prices that are paid once are no plans."""
    price = account.find("price", plan_id)
    if price is None or price["recurring"] is None:
        raise no_such("plan", plan_id, "plan", 404)
    return price


def _create(call: Call) -> Json:
    account, given = call.account, call.params
    if "product" not in given:
        raise missing_parameter("product")
    if given.get("id") and account.find("price", given["id"]):
        raise invalid("Plan already exists.", "id", "resource_already_exists")
    check_interval(given, "interval_count")
    return plan_of(add_price(account, _price_params(given)))


def _price_params(given: Json) -> Json:
    """The parameters of a plan as those of its price."""
    ways = [name for name in ("amount", "amount_decimal") if name in given]
    if not ways:
        raise missing_parameter("amount")
    if len(ways) == 2:
        raise invalid("You may only specify one of these parameters: amount, amount_decimal.", "amount")
    values: Json = {name: given[name] for name in ("active", "currency", "id", "metadata", "nickname") if name in given}
    recurring: Json = {name: given[name] for name in _RECURRING if name in given}
    recurring["trial_period_days"] = recurring.get("trial_period_days") or None
    product = "product_data" if isinstance(given["product"], dict) else "product"
    return {**values, f"unit_{ways[0]}": given[ways[0]], product: given["product"], "recurring": recurring}


def _retrieve(call: Call) -> Json:
    return plan_of(_existing(call.account, call.id))


def _update(call: Call) -> Json:
    account, given = call.account, call.params
    price = _existing(account, call.id)
    values: Json = {name: given[name] for name in ("active", "nickname") if name in given}
    if "product" in given:
        values["product"] = account.get("product", given["product"], "product")["id"]
    if "metadata" in given:
        values["metadata"] = merged_metadata(price["metadata"], given["metadata"])
    if "trial_period_days" in given:
        values["recurring"] = {**price["recurring"], "trial_period_days": given["trial_period_days"] or None}
    change_price(account, price, values)
    return plan_of(price)


def _delete(call: Call) -> Json:
    """Nobody new can be put on it; who is on it stays so."""
    price = _existing(call.account, call.id)
    emit(call.account, "plan.deleted", plan_of(price))
    emit(call.account, "price.deleted", price)
    call.account.remove("price", price["id"])
    return {"id": price["id"], "object": "plan", "deleted": True}


def _list(call: Call) -> Json:
    keep = lists.same(call.params, "active", "product")
    page = lists.page(call.account, "price", call.params, "/v1/plans", lambda row: bool(row["recurring"]) and keep(row))
    return {**page, "data": [plan_of(price) for price in page["data"]]}


OPERATIONS: list[Operation] = [
    post("/v1/plans", _create, _CREATE, ("currency", "interval")),
    listing("/v1/plans", _list, {"active": flag, "product": text()}),
    get("/v1/plans/{id}", _retrieve),
    post("/v1/plans/{id}", _update, _UPDATE),
    delete("/v1/plans/{id}", _delete),
]

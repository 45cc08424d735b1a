"""Products and prices."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from . import lists
from .accounts import Account
from .calls import Call, Operation, delete, get, listing, post
from .errors import Json, invalid, missing_parameter
from .events import emit, emit_update
from .ids import new_id
from .money import MAXIMUM_MINOR, check_steps, currency_code
from .params import (
    Shape,
    choice,
    decimal,
    fields,
    flag,
    items,
    measure,
    merged_metadata,
    metadata,
    text,
    url,
    whole,
)
from .plan_shape import plan_of

# Told of a price that has changed; filled by the modules whose objects show prices.
PRICE_FOLLOWERS: list[Callable[[Account, Json], None]] = []

_RECURRING: Shape = {
    "interval": choice("day", "week", "month", "year"),
    "interval_count": whole(1, 1095),
    "trial_period_days": whole(1, 730),
    "usage_type": choice("licensed", "metered"),
}
_INTERVAL = fields({name: _RECURRING[name] for name in ("interval", "interval_count")}, ("interval",))
_AMOUNT: Shape = {
    "currency": text(3, clearable=False),
    "unit_amount": whole(0, MAXIMUM_MINOR),
    "unit_amount_decimal": decimal,
    "tax_behavior": choice("exclusive", "inclusive", "unspecified"),
}
_MOST_INTERVALS = {"day": 1095, "week": 156, "month": 36, "year": 3}
_DIMENSIONS: Shape = dict.fromkeys(("height", "length", "weight", "width"), measure)
_PRODUCT: Shape = {
    "active": flag,
    "description": text(40000),
    "images": items(url, 8),
    "marketing_features": items(fields({"name": text(80, clearable=False)}, ("name",)), 15),
    "metadata": metadata,
    "name": text(clearable=False),
    "package_dimensions": fields(_DIMENSIONS, tuple(_DIMENSIONS)),
    "shippable": flag,
    "statement_descriptor": text(22),
    "tax_code": text(),
    "unit_label": text(12),
    "url": url,
}
PRODUCT_DATA: Shape = {name: _PRODUCT[name] for name in
                       ("description", "images", "metadata", "name", "tax_code", "unit_label")}  # fmt: skip
# A price made on the spot: on a Checkout line, on a subscription's item, and on what is invoiced once.
PRICE_DATA: Shape = {
    **_AMOUNT, "product": text(clearable=False), "product_data": fields(PRODUCT_DATA, ("name",)), "recurring": _INTERVAL,
}  # fmt: skip
ITEM_PRICE_DATA = fields(
    {**_AMOUNT, "product": text(clearable=False), "recurring": _INTERVAL}, ("currency", "product", "recurring")
)
ONCE_PRICE_DATA = fields({**_AMOUNT, "product": text(clearable=False)}, ("currency", "product"))
PRODUCT_OF_PRICE: Shape = {
    **{name: PRODUCT_DATA[name] for name in ("metadata", "name", "tax_code", "unit_label")},
    "active": flag, "id": text(), "statement_descriptor": text(22),
}  # fmt: skip
_PRICE: Shape = {
    **_AMOUNT,
    "active": flag,
    "billing_scheme": choice("per_unit"),
    "lookup_key": text(200),
    "metadata": metadata,
    "nickname": text(),
    "product": text(clearable=False),
    "product_data": fields(PRODUCT_OF_PRICE, ("name",)),
    "recurring": fields(_RECURRING, ("interval",)),
    "transfer_lookup_key": flag,
}


def add_product(account: Account, given: Json) -> Json:
    """Make a product from checked parameters and tell it."""
    now = account.clock.now_s()
    product = account.add("product", {
        "active": True,
        "default_price": None,
        "description": None,
        "images": [],
        "marketing_features": [],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "tax_details": None,
        "type": "service",
        "unit_label": None,
        "updated": now,
        "url": None,
        **_without(given, "id", "metadata"),
        "metadata": merged_metadata({}, given.get("metadata")),
    }, object_id=given.get("id"))  # fmt: skip
    emit(account, "product.created", product)
    return product


def add_price(account: Account, given: Json, param: str = "") -> Json:
    """Make a price, and its product when `product_data` describes one; `param` is where the parameters stood."""
    values = price_values(account, given, param)
    values |= {"lookup_key": _claimed_lookup_key(account, given), "product": _product_of(account, given, param)}
    price = account.add("price", values, object_id=given.get("id"))
    if price["recurring"]:
        emit(account, "plan.created", plan_of(price))
    emit(account, "price.created", price)
    return price


def imagined_price(account: Account, given: Json, param: str = "") -> Json:
    """The price that `price_data` of an existing product describes; nothing is kept."""
    values = price_values(account, given, param)
    product = account.get("product", given["product"], _inside(param, "product"))
    return {"id": new_id("price"), "object": "price", "created": account.clock.now_s(), "livemode": False,
            **values, "product": product["id"]}  # fmt: skip


def price_values(account: Account, given: Json, param: str) -> Json:
    """The fields of a price that follow from its own parameters; its product and lookup key are not among them."""
    amount = _unit_amount(given, param)
    currency = currency_code(given["currency"], _inside(param, "currency"))
    if amount == amount.to_integral_value():
        check_steps(int(amount), currency, _inside(param, "unit_amount"))
    return {
        "active": given.get("active", True),
        "billing_scheme": "per_unit",
        "currency": currency,
        "custom_unit_amount": None,
        "lookup_key": None,
        "metadata": merged_metadata({}, given.get("metadata")),
        "nickname": given.get("nickname"),
        "product": None,
        "recurring": _recurring(given.get("recurring"), param),
        "tax_behavior": given.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if given.get("recurring") else "one_time",
        "unit_amount": int(amount) if amount == amount.to_integral_value() else None,
        "unit_amount_decimal": f"{amount.normalize():f}",
    }


def _without(values: Json, *names: str) -> Json:
    return {name: value for name, value in values.items() if name not in (*names, "expand")}


def _inside(param: str, name: str) -> str:
    return f"{param}[{name}]" if param else name


def _unit_amount(given: Json, param: str) -> Decimal:
    """The amount of one unit; exactly one of the two ways to give it."""
    ways = [name for name in ("unit_amount", "unit_amount_decimal") if name in given]
    if not ways:
        raise missing_parameter(_inside(param, "unit_amount"))
    if len(ways) == 2:
        raise invalid("You may only specify one of these parameters: unit_amount, unit_amount_decimal.", param or None)
    amount = Decimal(given[ways[0]])
    if amount < 0:
        message = "This value must be greater than or equal to 0."
        raise invalid(message, _inside(param, ways[0]), "parameter_invalid_decimal")
    return amount


def _product_of(account: Account, given: Json, param: str) -> str:
    """The id of the price's product, made on the spot when `product_data` was given."""
    if ("product" in given) == ("product_data" in given):
        if "product" in given:
            raise invalid(
                "You may only specify one of these parameters: product, product_data.", _inside(param, "product")
            )
        raise missing_parameter(_inside(param, "product"))
    if "product" in given:
        return str(account.get("product", given["product"], _inside(param, "product"))["id"])
    _refuse_taken_id(account, given["product_data"])
    return str(add_product(account, given["product_data"])["id"])


def _recurring(given: Json | None, param: str) -> Json | None:
    """The field `recurring` with all of its parts."""
    if given is None:
        return None
    check_interval(given, _inside(param, "recurring") + "[interval_count]")
    if given.get("usage_type") == "metered":
        raise missing_parameter(_inside(param, "recurring") + "[meter]")
    defaults = {"interval_count": 1, "meter": None, "trial_period_days": None, "usage_type": "licensed"}
    return {**defaults, **given}


def check_interval(given: Json, param: str) -> None:
    """Refuse an interval longer than three years."""
    if given.get("interval_count", 1) > _MOST_INTERVALS[given["interval"]]:
        raise invalid("The interval of a recurring price can be at most three years.", param)


def _claimed_lookup_key(account: Account, given: Json, own_id: str = "") -> str | None:
    """The lookup key, when it is free or may be taken over from the price that has it."""
    key = given.get("lookup_key")
    if not key:
        return None
    other = account.find_named("price", key)
    if other is not None and other["id"] != own_id:
        if not given.get("transfer_lookup_key"):
            raise invalid(f"A price (`{other['id']}`) already uses that lookup key.", "lookup_key")
        change_price(account, other, {"lookup_key": None})
    return str(key)


def _refuse_taken_id(account: Account, given: Json) -> None:
    if given.get("id") and account.find("product", given["id"]):
        raise invalid(f"Product already exists: {given['id']}", "id", "resource_already_exists")


def _create_product(call: Call) -> Json:
    _refuse_taken_id(call.account, call.params)
    product = add_product(call.account, _without(call.params, "default_price_data"))
    if call.params.get("default_price_data"):
        price = add_price(
            call.account, {**call.params["default_price_data"], "product": product["id"]}, "default_price_data"
        )
        call.account.change(product, default_price=price["id"])
    return product


def _update_product(call: Call) -> Json:
    product = call.account.get("product", call.id, "id", status=404)
    values = _without(call.params, "metadata")
    if values.get("default_price"):
        price = call.account.get("price", values["default_price"], "default_price")
        if price["product"] != product["id"]:
            raise invalid(
                f"The price `{price['id']}` does not belong to the product `{product['id']}`.", "default_price"
            )
    if "metadata" in call.params:
        values["metadata"] = merged_metadata(product["metadata"], call.params["metadata"])
    previous = call.account.change(product, **values)
    if previous:
        previous |= call.account.change(product, updated=call.account.clock.now_s())
    emit_update(call.account, "product.updated", product, previous)
    return product


def _delete_product(call: Call) -> Json:
    product = call.account.get("product", call.id, "id", status=404)
    if any(price["product"] == call.id for price in call.account.all("price")):
        raise invalid("This product cannot be deleted because it has one or more user-created prices.", "id")
    emit(call.account, "product.deleted", product)
    call.account.remove("product", call.id)
    return {"id": call.id, "object": "product", "deleted": True}


def refuse_inactive(account: Account, price: Json, param: str) -> None:
    """Refuse to sell by a price that is archived, or whose product is."""
    if not price["active"]:
        message = "The price specified is inactive. This field only accepts active prices."
        raise invalid(message, param, "price_inactive")
    product = account.find("product", price["product"])
    if product is not None and not product["active"]:
        message = f"The product `{product['id']}` of the price specified is inactive and cannot be sold."
        raise invalid(message, param, "product_inactive")


def _list_products(call: Call) -> Json:
    ids = call.params.get("ids")
    keep = lists.same(call.params, "active", "shippable", "type", "url")
    return lists.page(call.account, "product", call.params, "/v1/products",
                      lambda row: keep(row) and (not ids or row["id"] in ids))  # fmt: skip


def _create_price(call: Call) -> Json:
    return add_price(call.account, call.params)


def _update_price(call: Call) -> Json:
    price = call.account.get("price", call.id, "price", status=404)
    values: dict[str, Any] = _without(call.params, "metadata", "transfer_lookup_key")
    if values.get("active") is False and _is_default(call.account, price):
        raise invalid("This price cannot be archived because it is the default price of its product.", "active")
    if "lookup_key" in values:
        values["lookup_key"] = _claimed_lookup_key(call.account, call.params, call.id)
    if "metadata" in call.params:
        values["metadata"] = merged_metadata(price["metadata"], call.params["metadata"])
    change_price(call.account, price, values)
    return price


def _is_default(account: Account, price: Json) -> bool:
    product = account.find("product", price["product"])
    return product is not None and product["default_price"] == price["id"]


def change_price(account: Account, price: Json, values: Json) -> None:
    """Set fields of a price and tell it, as a price and as the plan that it also is."""
    before = plan_of(price) if price["recurring"] else None
    previous = account.change(price, **values)
    if before is not None:
        after = plan_of(price)
        emit_update(account, "plan.updated", after, {name: old for name, old in before.items() if after[name] != old})
    emit_update(account, "price.updated", price, previous)
    _tell_followers(account, price)


def _tell_followers(account: Account, price: Json) -> None:
    for follow in PRICE_FOLLOWERS:
        follow(account, price)


def _list_prices(call: Call) -> Json:
    keys = call.params.get("lookup_keys")
    interval = (call.params.get("recurring") or {}).get("interval")
    keep = lists.same(call.params, "active", "currency", "product", "type")

    def wanted(row: Json) -> bool:
        if keys and row["lookup_key"] not in keys:
            return False
        return keep(row) and (not interval or bool(row["recurring"] and row["recurring"]["interval"] == interval))

    return lists.page(call.account, "price", call.params, "/v1/prices", wanted)


def _retrieve_product(call: Call) -> Json:
    return call.account.get("product", call.id, "id", status=404)


def _retrieve_price(call: Call) -> Json:
    return call.account.get("price", call.id, "price", status=404)


_PRODUCT_CREATE: Shape = {
    **_PRODUCT, "id": text(), "type": choice("good", "service"),
    "default_price_data": fields({**_AMOUNT, "metadata": metadata, "recurring": _INTERVAL}, ("currency",)),
}  # fmt: skip
_PRODUCT_FILTER: Shape = {
    "active": flag, "ids": items(text(), 100), "shippable": flag, "type": choice("good", "service"), "url": text(),
}  # fmt: skip
_PRICE_FILTER: Shape = {
    "active": flag,
    "currency": text(3),
    "lookup_keys": items(text(), 10),
    "product": text(),
    "type": choice("one_time", "recurring"),
    "recurring": fields({"interval": choice("day", "week", "month", "year")}),
}
_PRICE_UPDATE: Shape = {
    name: _PRICE[name]
    for name in ("active", "lookup_key", "metadata", "nickname", "tax_behavior", "transfer_lookup_key")
}

OPERATIONS: list[Operation] = [
    post("/v1/products", _create_product, _PRODUCT_CREATE, ("name",)),
    listing("/v1/products", _list_products, _PRODUCT_FILTER),
    get("/v1/products/{id}", _retrieve_product),
    post(
        "/v1/products/{id}",
        _update_product,
        {
            **_PRODUCT,
            "default_price": text(clearable=False),
            "package_dimensions": fields(_DIMENSIONS, tuple(_DIMENSIONS), clearable=True),
        },
    ),
    delete("/v1/products/{id}", _delete_product),
    post("/v1/prices", _create_price, _PRICE, ("currency",)),
    listing("/v1/prices", _list_prices, _PRICE_FILTER),
    get("/v1/prices/{id}", _retrieve_price),
    post("/v1/prices/{id}", _update_price, _PRICE_UPDATE),
]

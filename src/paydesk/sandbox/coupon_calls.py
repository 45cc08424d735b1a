"""Coupons and promotion codes in the API: create, retrieve, update, delete, list."""

from __future__ import annotations

import re

from . import lists
from .accounts import Account
from .calls import Call, Operation, delete, get, listing, post
from .coupons import live_coupon, promotion_of_code, redeemable
from .errors import Json, invalid, missing_parameter
from .events import emit, emit_update
from .ids import random_text
from .later import later
from .live_customers import live_customer
from .money import currency_code
from .params import Shape, choice, decimal, fields, flag, integer, items, merged_metadata, metadata, text, whole

_CODE = re.compile(r"[A-Za-z0-9-]+")
_COUPON: Shape = {
    "amount_off": whole(1),
    "applies_to": fields({"products": items(text(), 100)}),
    "currency": text(3, clearable=False),
    "duration": choice("forever", "once", "repeating"),
    "duration_in_months": whole(1, 1200),
    "id": text(200),
    "max_redemptions": whole(1),
    "metadata": metadata,
    "name": text(40),
    "percent_off": decimal,
    "redeem_by": integer,
}
_RESTRICTIONS: Shape = {
    "first_time_transaction": flag,
    "minimum_amount": whole(1),
    "minimum_amount_currency": text(3, clearable=False),
}
_PROMOTION: Shape = {
    "active": flag,
    "code": text(500, clearable=False),
    "customer": text(),
    "expires_at": integer,
    "max_redemptions": whole(1),
    "metadata": metadata,
    "promotion": fields({"type": choice("coupon"), "coupon": text(clearable=False)}, ("type",)),
    "restrictions": fields(_RESTRICTIONS),
}


def _create_coupon(call: Call) -> Json:
    given = call.params
    _check_coupon(given)
    _check_future(call.account, given, "redeem_by")
    _make_room(call.account, given.get("id") or "")
    percent = given.get("percent_off")
    coupon = call.account.add("coupon", {
        "amount_off": given.get("amount_off"),
        "currency": currency_code(given["currency"]) if "amount_off" in given else None,
        "duration": given.get("duration", "once"),
        "duration_in_months": given.get("duration_in_months"),
        "max_redemptions": given.get("max_redemptions"),
        "metadata": merged_metadata({}, given.get("metadata")),
        "name": given.get("name"),
        "percent_off": None if percent is None else float(percent),
        "redeem_by": given.get("redeem_by"),
        "times_redeemed": 0,
        "valid": True,
        **({"applies_to": given["applies_to"]} if given.get("applies_to") else {}),
    }, object_id=given.get("id") or random_text(8))  # fmt: skip
    if coupon["redeem_by"] is not None:
        later(call.account, coupon["redeem_by"] + 1, "coupon.runs_out", coupon["id"])
    emit(call.account, "coupon.created", coupon)
    return coupon


def _make_room(account: Account, coupon_id: str) -> None:
    """Refuse the id of a coupon that is there; one that was deleted moves aside, and its discounts with it."""
    old = account.find("coupon", coupon_id)
    if old is None:
        return
    if not old.get("deleted"):
        raise invalid("Coupon already exists.", "id", "resource_already_exists")
    account.remove("coupon", coupon_id)
    aside = account.save({**old, "id": random_text(24), "object": "_coupon"})
    for discount in account.all("discount"):
        if discount["source"]["coupon"] == coupon_id and not discount.get("_coupon"):
            account.change(discount, _coupon=aside["id"])
    for promotion in account.all("promotion_code"):
        if promotion["promotion"]["coupon"] == coupon_id:
            account.change(promotion, active=False)


def _check_future(account: Account, given: Json, name: str) -> None:
    """The last moment of a coupon or code is not over yet."""
    if given.get(name) is not None and given[name] <= account.clock.now_s():
        raise invalid(f"Invalid timestamp: {name} must be in the future.", name)


def _check_coupon(given: Json) -> None:
    """The rules between a coupon's parameters."""
    if ("percent_off" in given) == ("amount_off" in given):
        if "percent_off" in given:
            raise invalid("You may only specify one of these parameters: amount_off, percent_off.", "percent_off")
        raise invalid("Must provide percent_off or amount_off", "percent_off")
    if "percent_off" in given and not 0 < given["percent_off"] <= 100:
        raise invalid("Invalid percent_off: must be greater than 0 and at most 100", "percent_off")
    if "amount_off" in given and "currency" not in given:
        raise missing_parameter("currency")
    if (given.get("duration") == "repeating") != ("duration_in_months" in given):
        message = "You must pass duration_in_months when, and only when, passing duration=repeating"
        raise invalid(message, "duration_in_months")


def _coupon(call: Call) -> Json:
    coupon = call.account.get("coupon", call.id, "coupon", status=404)
    if coupon.get("deleted"):
        call.account.get("coupon", f"{call.id} (deleted)", "coupon", status=404)
    return coupon


def _update_coupon(call: Call) -> Json:
    coupon = _coupon(call)
    values = {name: call.params[name] for name in ("name",) if name in call.params}
    if "metadata" in call.params:
        values["metadata"] = merged_metadata(coupon["metadata"], call.params["metadata"])
    emit_update(call.account, "coupon.updated", coupon, call.account.change(coupon, **values))
    return coupon


def _delete_coupon(call: Call) -> Json:
    coupon = _coupon(call)
    emit(call.account, "coupon.deleted", coupon)
    call.account.change(coupon, deleted=True, valid=False)
    return {"id": coupon["id"], "object": "coupon", "deleted": True}


def _list_coupons(call: Call) -> Json:
    return lists.page(call.account, "coupon", call.params, "/v1/coupons", lambda row: True)


def _create_promotion(call: Call) -> Json:
    given = call.params
    coupon_id = (given.get("promotion") or {}).get("coupon")
    if not coupon_id:
        raise missing_parameter("promotion[coupon]")
    coupon = live_coupon(call.account, coupon_id, "promotion[coupon]")
    code = given.get("code") or random_text(8).upper()
    if not _CODE.fullmatch(code):
        raise invalid("Invalid code: promotion codes are made of letters, digits and dashes.", "code")
    _check_future(call.account, given, "expires_at")
    if promotion_of_code(call.account, code):
        raise invalid("An active promotion code with `code: " + code + "` already exists.", "code")
    if given.get("customer"):
        live_customer(call.account, given["customer"])
    rules = given.get("restrictions") or {}
    if ("minimum_amount" in rules) != ("minimum_amount_currency" in rules):
        other = "minimum_amount" if "minimum_amount_currency" in rules else "minimum_amount_currency"
        raise missing_parameter(f"restrictions[{other}]")
    promotion = call.account.add("promotion_code", {
        "active": given.get("active", True),
        "code": code,
        "customer": given.get("customer"),
        "customer_account": None,
        "expires_at": given.get("expires_at"),
        "max_redemptions": given.get("max_redemptions"),
        "metadata": merged_metadata({}, given.get("metadata")),
        "promotion": {"coupon": coupon["id"], "type": "coupon"},
        "restrictions": {"first_time_transaction": False, "minimum_amount": None, "minimum_amount_currency": None,
                         **rules},
        "times_redeemed": 0,
    })  # fmt: skip
    if promotion["expires_at"] is not None:
        later(call.account, promotion["expires_at"] + 1, "coupon.runs_out", promotion["id"])
    emit(call.account, "promotion_code.created", promotion)
    return promotion


def _promotion(call: Call) -> Json:
    return call.account.get("promotion_code", call.id, "promotion_code", status=404, noun="promotion code")


def _update_promotion(call: Call) -> Json:
    promotion = _promotion(call)
    values: Json = {name: call.params[name] for name in ("active",) if name in call.params}
    if values.get("active") and not redeemable(call.account, promotion):
        raise invalid("This promotion code is used up or expired and cannot be made active again.", "active")
    if "metadata" in call.params:
        values["metadata"] = merged_metadata(promotion["metadata"], call.params["metadata"])
    emit_update(call.account, "promotion_code.updated", promotion, call.account.change(promotion, **values))
    return promotion


def _list_promotions(call: Call) -> Json:
    keep = lists.same(call.params, "active", "customer")
    code, coupon = call.params.get("code"), call.params.get("coupon")

    def wanted(row: Json) -> bool:
        if code and row["code"].lower() != code.lower():
            return False
        return keep(row) and (not coupon or row["promotion"]["coupon"] == coupon)

    return lists.page(call.account, "promotion_code", call.params, "/v1/promotion_codes", wanted)


OPERATIONS: list[Operation] = [
    post("/v1/coupons", _create_coupon, _COUPON),
    listing("/v1/coupons", _list_coupons),
    get("/v1/coupons/{id}", _coupon),
    post("/v1/coupons/{id}", _update_coupon, {"metadata": metadata, "name": text(40)}),
    delete("/v1/coupons/{id}", _delete_coupon),
    post("/v1/promotion_codes", _create_promotion, _PROMOTION, ("promotion",)),
    listing("/v1/promotion_codes", _list_promotions,
            {"active": flag, "code": text(), "coupon": text(), "customer": text()}),
    get("/v1/promotion_codes/{id}", _promotion),
    post("/v1/promotion_codes/{id}", _update_promotion, {"active": flag, "metadata": metadata}),
]  # fmt: skip

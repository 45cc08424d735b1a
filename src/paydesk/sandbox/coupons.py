"""Coupons, promotion codes, and the discounts they become on customers, subscriptions and invoices."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from . import lists
from .accounts import Account
from .calls import Call, Operation, delete, get, listing, post
from .customers import live_customer
from .errors import Json, invalid, missing_parameter
from .events import emit, emit_update
from .ids import new_id, random_text
from .money import currency_code
from .params import (
    Kind,
    Shape,
    choice,
    decimal,
    fields,
    flag,
    integer,
    items,
    merged_metadata,
    metadata,
    text,
    whole,
)
from .periods import add_months

DISCOUNTS: Kind = items(fields({"coupon": text(), "discount": text(), "promotion_code": text()}), 20)

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


def live_coupon(account: Account, coupon_id: str, param: str) -> Json:
    """The coupon that a parameter names; one that can no longer be redeemed is refused."""
    coupon = account.get("coupon", coupon_id, param)
    if coupon.get("deleted"):
        account.get("coupon", f"{coupon_id} (deleted)", param)
    if not redeemable(account, coupon):
        raise invalid(f"Coupon {coupon_id} is used up or expired and cannot be applied.", param, "coupon_expired")
    return coupon


def redeemable(account: Account, coupon: Json) -> bool:
    """Whether a coupon (or a promotion code) may be used once more now."""
    ends = coupon.get("redeem_by") or coupon.get("expires_at")
    used_up = coupon["max_redemptions"] is not None and coupon["times_redeemed"] >= coupon["max_redemptions"]
    return not used_up and (ends is None or account.clock.now_s() <= ends)


def live_promotion(account: Account, promotion_id: str, param: str, customer: str | None) -> Json:
    """The promotion code that a parameter names by id; one that may not be used is refused."""
    promotion = account.get("promotion_code", promotion_id, param, noun="promotion code")
    usable = promotion["active"] and redeemable(account, promotion)
    if not usable or promotion["customer"] not in (None, customer):
        raise invalid("This promotion code cannot be redeemed: it is not active or not for this customer.", param,
                      "promotion_code_expired" if not usable else "promotion_code_customer_mismatch")  # fmt: skip
    return promotion


def promotion_of_code(account: Account, code: str) -> Json | None:
    """The active promotion code that buyers type (case does not matter), or None."""
    for promotion in account.all("promotion_code"):
        if promotion["active"] and promotion["code"].lower() == code.lower() and redeemable(account, promotion):
            return promotion
    return None


def check_restrictions(account: Account, promotion: Json, customer: str | None, amount: int, currency: str) -> None:
    """Refuse a promotion code whose conditions the order does not meet."""
    rules = promotion["restrictions"]
    if rules["minimum_amount"] and (rules["minimum_amount_currency"] != currency or amount < rules["minimum_amount"]):
        raise invalid("This promotion code cannot be redeemed because the order does not reach its minimum amount.",
                      "promotion_code", "promotion_code_minimum_amount_not_met")  # fmt: skip
    if rules["first_time_transaction"] and customer and _has_paid(account, customer):
        raise invalid("This promotion code cannot be redeemed because the associated customer has prior transactions.",
                      "promotion_code", "promotion_code_customer_not_first_time")  # fmt: skip


def _has_paid(account: Account, customer: str) -> bool:
    return any(charge["customer"] == customer and charge["paid"] for charge in account.all("charge"))


def chosen(account: Account, given: list[Json] | None, customer: str | None, param: str = "discounts") -> list[Json]:
    """What `discounts` asks for, as `{coupon, promotion_code}` with objects; each must be usable."""
    found: list[Json] = []
    for place, one in enumerate(given or []):
        where = f"{param}[{place}]"
        ways = [name for name in ("coupon", "discount", "promotion_code") if one and one.get(name)]
        if len(ways) != 1:
            raise invalid("Each discount needs exactly one of coupon, discount or promotion_code.", where)
        if ways == ["discount"]:
            found.append({"discount": account.get("discount", one["discount"], f"{where}[discount]")})
        elif ways == ["coupon"]:
            coupon = live_coupon(account, one["coupon"], f"{where}[coupon]")
            found.append({"coupon": coupon, "promotion_code": None})
        else:
            promotion = live_promotion(account, one["promotion_code"], f"{where}[promotion_code]", customer)
            coupon = live_coupon(account, promotion["promotion"]["coupon"], f"{where}[promotion_code]")
            found.append({"coupon": coupon, "promotion_code": promotion})
    return found


def redeem(account: Account, choice_: Json, **holder: Any) -> Json:
    """Make a discount of a chosen coupon and count the redemption; `holder` says what it belongs to."""
    if "discount" in choice_:
        return dict(choice_["discount"])
    coupon, promotion = choice_["coupon"], choice_["promotion_code"]
    now = account.clock.now_s()
    months = coupon["duration_in_months"]
    names = ("checkout_session", "customer", "customer_account", "invoice", "invoice_item", "subscription",
             "subscription_item")  # fmt: skip
    discount = account.save({
        "id": new_id("discount"),
        "object": "discount",
        **dict.fromkeys(names),
        "end": add_months(now, months) if coupon["duration"] == "repeating" else None,
        "promotion_code": promotion["id"] if promotion else None,
        "source": {"coupon": coupon["id"], "type": "coupon"},
        "start": now,
        **holder,
    })  # fmt: skip
    for row in (coupon, promotion):
        if row is not None:
            account.change(row, times_redeemed=row["times_redeemed"] + 1)
            if row["object"] == "coupon":
                account.change(row, valid=redeemable(account, row))
    if discount["subscription"] or discount["customer"]:
        emit(account, "customer.discount.created", discount)
    return discount


def coupon_of(account: Account, discount: Json) -> Json:
    """The coupon behind a discount; deleted ones keep working for discounts made before."""
    return account.get("coupon", discount["source"]["coupon"], "coupon")


def apply_discounts(account: Account, lines: list[Json], discounts: list[Json]) -> None:
    """Set `discounts` and `discount_amounts` of invoice lines: one discount after the other, on what is left."""
    left = {line["id"]: line["amount"] for line in lines}
    for line in lines:
        line |= {"discounts": [], "discount_amounts": []}
    for discount in discounts:
        coupon = coupon_of(account, discount)
        reached = [line for line in lines if _reaches(coupon, line) and left[line["id"]] > 0]
        for line, amount in zip(reached, shares(coupon, [left[line["id"]] for line in reached]), strict=True):
            line["discounts"].append(discount["id"])
            line["discount_amounts"].append({"amount": amount, "discount": discount["id"]})
            left[line["id"]] -= amount


def _reaches(coupon: Json, line: Json) -> bool:
    if not line["discountable"] or (coupon["currency"] and coupon["currency"] != line["currency"]):
        return False
    products = (coupon.get("applies_to") or {}).get("products")
    return not products or line["pricing"]["price_details"]["product"] in products


def shares(coupon: Json, amounts: list[int]) -> list[int]:
    """How much a coupon takes off each amount (smallest unit); a fixed sum is spread in proportion, to the last unit."""
    if coupon["percent_off"] is not None:
        return [half_up(Decimal(amount) * Decimal(str(coupon["percent_off"])) / 100) for amount in amounts]
    total, taken = sum(amounts), 0
    off = min(coupon["amount_off"], total)
    parts = []
    for place, amount in enumerate(amounts):
        part = off - taken if place == len(amounts) - 1 else half_up(Decimal(off) * amount / total)
        parts.append(part)
        taken += part
    return parts


def half_up(value: Decimal) -> int:
    """The nearest whole number, halves away from zero."""
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def end_discount(account: Account, discount: Json) -> None:
    """Tell that a discount of a subscription or customer is over; the object stays for its invoices."""
    emit(account, "customer.discount.deleted", discount)


def _create_coupon(call: Call) -> Json:
    given = call.params
    _check_coupon(given)
    if given.get("id") and call.account.find("coupon", given["id"]):
        raise invalid("Coupon already exists.", "id", "resource_already_exists")
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
    emit(call.account, "coupon.created", coupon)
    return coupon


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
    if promotion_of_code(call.account, code):
        raise invalid("An active promotion code with `code: " + code + "` already exists.", "code")
    if given.get("customer"):
        live_customer(call.account, given["customer"])
    rules = given.get("restrictions") or {}
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
    emit(call.account, "promotion_code.created", promotion)
    return promotion


def _promotion(call: Call) -> Json:
    return call.account.get("promotion_code", call.id, "promotion_code", status=404, noun="promotion code")


def _update_promotion(call: Call) -> Json:
    promotion = _promotion(call)
    values: Json = {name: call.params[name] for name in ("active",) if name in call.params}
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

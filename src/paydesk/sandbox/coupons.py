"""Coupons, promotion codes, and the discounts they become on customers, subscriptions and invoices.

Their API is in `coupon_calls`."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from .accounts import Account
from .errors import Json, invalid
from .events import emit
from .ids import new_id
from .later import DEEDS
from .params import Kind, fields, items, text
from .periods import add_months

DISCOUNTS: Kind = items(fields({"coupon": text(), "discount": text(), "promotion_code": text()}), 20)


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


def check_usable(account: Account, found: list[Json], customer: str | None, order: tuple[int, str]) -> None:
    """Refuse chosen discounts that an order (its amount and currency) may not have."""
    for place, one in enumerate(found):
        if "discount" in one:
            continue
        if one["coupon"]["currency"] not in (None, order[1]):
            raise invalid(f"The coupon {one['coupon']['id']} is in {one['coupon']['currency']} and cannot be applied to "
                          f"{order[1]}.", f"discounts[{place}]")  # fmt: skip
        if one["promotion_code"]:
            check_restrictions(account, one["promotion_code"], customer, *order)


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
            close_used_up(account, row)
    if discount["subscription"] or discount["customer"]:
        emit(account, "customer.discount.created", discount)
    return discount


def close_used_up(account: Account, row: Json) -> None:
    """A coupon or code that cannot be redeemed any more says so."""
    if not redeemable(account, row):
        account.change(row, **{"valid" if row["object"] == "coupon" else "active": False})


def _run_out(account: Account, object_id: str) -> None:
    """The last moment of a coupon or code is over."""
    row = account.find("coupon", object_id) or account.find("promotion_code", object_id)
    if row is not None:
        close_used_up(account, row)


def coupon_of(account: Account, discount: Json) -> Json:
    """The coupon behind a discount; deleted ones keep working for discounts made before."""
    aside = account.find("_coupon", discount.get("_coupon") or "")
    return aside or account.get("coupon", discount["source"]["coupon"], "coupon")


def in_currency(found: list[Json], currency: str, param: str = "discounts") -> list[Json]:
    """The chosen discounts; a coupon over a sum in another currency is refused."""
    for place, one in enumerate(found):
        coupon = one.get("coupon")
        if coupon is not None and coupon["currency"] not in (None, currency):
            raise invalid(f"The coupon {coupon['id']} is in {coupon['currency']} and cannot be applied to {currency}.",
                          f"{param}[{place}]")  # fmt: skip
    return found


def apply_discounts(account: Account, lines: list[Json], discounts: list[Json], own: dict[str, list[Json]]) -> None:
    """Set `discounts` and `discount_amounts` of invoice lines: one discount after the other, on what is left.

    The discounts that a line has alone (`own`, by the line's id) come before those of the whole invoice."""
    left = {line["id"]: line["amount"] for line in lines}
    for line in lines:
        line |= {"discounts": [], "discount_amounts": []}
    alone = [(discount, [line]) for line in lines for discount in own.get(line["id"], [])]
    for discount, over in [*alone, *((discount, lines) for discount in discounts)]:
        coupon = coupon_of(account, discount)
        reached = [line for line in over if _reaches(coupon, line) and left[line["id"]] > 0]
        for line, amount in zip(reached, shares(coupon, [left[line["id"]] for line in reached]), strict=True):
            line["discounts"].append(discount["id"])
            line["discount_amounts"].append({"amount": amount, "discount": discount["id"]})
            left[line["id"]] -= amount


def _reaches(coupon: Json, line: Json) -> bool:
    if not line["discountable"] or (coupon["currency"] and coupon["currency"] != line["currency"]):
        return False
    products = (coupon.get("applies_to") or {}).get("products")
    if not products:
        return True
    return line["pricing"] is not None and line["pricing"]["price_details"]["product"] in products


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


def left_after(
    coupons: list[Json], amounts: list[tuple[str, int]], alone: list[tuple[Json, int]] | None = None
) -> list[int]:  # fmt: skip
    """What is left of amounts (each beside its product, smallest unit) after one coupon after the other.

    `alone` are coupons of one amount only, each with its place; they come first."""
    left, everywhere = [amount for _, amount in amounts], list(range(len(amounts)))
    for coupon, over in [*((one, [place]) for one, place in alone or []), *((one, everywhere) for one in coupons)]:
        products = (coupon.get("applies_to") or {}).get("products")
        reached = [place for place in over if left[place] > 0 and (not products or amounts[place][0] in products)]
        for place, off in zip(reached, shares(coupon, [left[place] for place in reached]), strict=True):
            left[place] -= off
    return left


def half_up(value: Decimal) -> int:
    """The nearest whole number, halves away from zero."""
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def end_discount(account: Account, discount: Json) -> None:
    """Tell that a discount of a subscription or customer is over; the object stays for its invoices."""
    emit(account, "customer.discount.deleted", discount)


def deleted_discount(discount: Json) -> Json:
    """A discount that was taken away, as the answer shows it: all but its end."""
    return {**{name: value for name, value in discount.items() if name != "end"}, "deleted": True}


DEEDS["coupon.runs_out"] = _run_out

"""What a buyer changes of an order on a session's page: promotion codes that are typed, and how it is sent."""

from __future__ import annotations

from .calls import Call, Operation, post
from .checkout_orders import order_amount, reckoned, refuse_too_small
from .checkout_pay import payment_page
from .checkout_shipping import chosen_cost
from .coupons import check_restrictions, live_coupon, promotion_of_code
from .errors import Json, invalid
from .params import Shape, text

_CHANGE: Shape = {"key": text(), "promotion_code": text(), "shipping_rate": text(clearable=False)}


def _change(call: Call) -> Json:
    """The buyer chose how the order is sent, or typed a promotion code; an empty one takes it away again."""
    session = call.world.session_of_page(call.account, call.id)
    if "shipping_rate" not in call.params:
        return _apply_code(call, session)
    if session["status"] != "open":
        raise invalid("This Checkout Session is over.", "shipping_rate")
    cost = chosen_cost(session, call.params["shipping_rate"])
    sums = reckoned(call.account, {**session, "shipping_cost": cost})
    call.account.change(session, shipping_cost=cost, **sums)
    return payment_page(call.account, session)


def _apply_code(call: Call, session: Json) -> Json:
    account = call.account
    code, discounts = call.params.get("promotion_code"), list[Json]()
    if session["status"] != "open" or not session["allow_promotion_codes"]:
        raise invalid("This Checkout Session does not take promotion codes.", "promotion_code")
    if code:
        promotion = promotion_of_code(account, code)
        if promotion is None or promotion["customer"] not in (None, session["customer"]):
            raise invalid("This code is invalid.", "promotion_code", "resource_missing")
        coupon = live_coupon(account, promotion["promotion"]["coupon"], "promotion_code")
        check_restrictions(
            account, promotion, session["customer"], order_amount(session["_lines"]), session["currency"]
        )
        if coupon["currency"] not in (None, session["currency"]):
            raise invalid("This code is for another currency.", "promotion_code")
        discounts = [{"coupon": coupon["id"], "promotion_code": promotion["id"]}]
    sums = reckoned(account, {**session, "discounts": discounts})
    refuse_too_small(session, sums["amount_total"], "promotion_code")
    account.change(session, discounts=discounts, **sums)
    return payment_page(account, session)


OPERATIONS: list[Operation] = [post("/v1/payment_pages/{id}", _change, _CHANGE, open_to_page=True)]

"""Promotion codes that a buyer types on a session's page."""

from __future__ import annotations

from .accounts import Account
from .calls import Call, Operation, post
from .checkout_orders import intent_id, reckon
from .checkout_pay import payment_page
from .coupons import check_restrictions, live_coupon, promotion_of_code
from .errors import Json, invalid
from .params import Shape, text

_APPLY: Shape = {"key": text(), "promotion_code": text()}


def _apply_code(call: Call) -> Json:
    """The buyer typed a promotion code on the page; an empty one takes it away again."""
    account, session = call.account, call.world.session_of_page(call.account, call.id)
    code = call.params.get("promotion_code")
    if session["status"] != "open" or not session["allow_promotion_codes"]:
        raise invalid("This Checkout Session does not take promotion codes.", "promotion_code")
    if code:
        promotion = promotion_of_code(account, code)
        if promotion is None or promotion["customer"] not in (None, session["customer"]):
            raise invalid("This code is invalid.", "promotion_code", "resource_missing")
        coupon = live_coupon(account, promotion["promotion"]["coupon"], "promotion_code")
        check_restrictions(account, promotion, session["customer"], session["amount_subtotal"], session["currency"])
        if coupon["currency"] not in (None, session["currency"]):
            raise invalid("This code is for another currency.", "promotion_code")
        session["discounts"] = [{"coupon": coupon["id"], "promotion_code": promotion["id"]}]
    else:
        session["discounts"] = []
    reckon(account, session)
    _adjust_intent(account, session)
    return payment_page(account, session)


def _adjust_intent(account: Account, session: Json) -> None:
    intent = account.find("payment_intent", intent_id(session))
    if intent is not None and intent["amount"] != session["amount_total"] and session["amount_total"]:
        account.change(intent, amount=session["amount_total"])


OPERATIONS: list[Operation] = [post("/v1/payment_pages/{id}", _apply_code, _APPLY, open_to_page=True)]

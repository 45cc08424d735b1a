"""What Stripe's refusals about subscriptions mean to a caller: something to mend in the request, or how things stand."""

from __future__ import annotations

from paydesk.errors import Conflict, Invalid, PaydeskError, StripeRefused

CALLERS = {
    "default_payment_method": "payment_method",
    "discounts": "coupon",
    "coupon": "coupon",
    "promotion_code": "promotion_code",
    "quantity": "quantity",
    "return_url": "return_url",
    "items": "price",
}
"""Stripe's parameters that a caller has said, by the names that they have here."""


def told(refused: PaydeskError) -> PaydeskError:
    """Return the error to raise: 400 for what the caller said wrong, 409 for what cannot be now, 402 for a bank's no."""
    if not isinstance(refused, StripeRefused) or refused.code == "price_unavailable":
        return refused
    about = (refused.about or "").partition("[")[0]
    if "promotion_code" in (refused.about or ""):
        about = "promotion_code"
    if about in CALLERS:
        return Invalid(refused.message, param=CALLERS[about])
    if refused.reason == "resource_missing":
        return StripeRefused(refused.message, code="no_payment_method")
    if refused.reason is None:
        return Conflict(refused.message)
    return StripeRefused(refused.message, code=refused.reason)

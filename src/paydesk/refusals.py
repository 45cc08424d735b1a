"""What Stripe's refusals about subscriptions mean to a caller: something to mend in the request, or how things stand."""

from __future__ import annotations

from paydesk.errors import Conflict, Invalid, PaydeskError, StripeClash, StripeRefused

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


def by_our_names(refused: StripeRefused) -> PaydeskError:
    """Return 400 with our name of the parameter, where Stripe names one that a caller has said; else what it is."""
    about = _ours(refused)
    if about not in CALLERS or refused.decline_code is not None or refused.status != StripeRefused.status:
        return refused
    return Invalid(refused.message, param=CALLERS[about])


def _ours(refused: StripeRefused) -> str:
    """Return what Stripe's refusal is about, without which one of several."""
    return "promotion_code" if "promotion_code" in (refused.about or "") else (refused.about or "").partition("[")[0]


def told(refused: PaydeskError) -> PaydeskError:
    """Return the error to raise: 400 for what the caller said wrong, 409 for what cannot be now, 402 for a bank's no."""
    if (
        not isinstance(refused, StripeRefused)
        or isinstance(refused, StripeClash)
        or refused.code == "price_unavailable"
    ):
        return refused
    about = _ours(refused)
    if about in CALLERS and refused.decline_code is None:
        return Invalid(refused.message, param=CALLERS[about])
    if refused.reason == "resource_missing":
        return StripeRefused(refused.message, code="no_payment_method")
    if refused.reason is None:
        return Conflict(refused.message)
    return refused.coded()

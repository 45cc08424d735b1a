"""What makes a sale cheaper: Stripe's coupons and promotion codes, named by a caller and applied by Stripe alone."""

from __future__ import annotations

from paydesk import sessions
from paydesk.errors import Invalid
from paydesk.stripe.gateway import Gateway

MARKS = {"coupon": sessions.COUPON, "promotion_code": sessions.CODE}
"""Under which key of its metadata an order keeps each."""


async def chosen(gateway: Gateway, coupon: str | None, promotion_code: str | None) -> dict[str, str] | None:
    """Return `{coupon}` or `{promotion_code}` by Stripe's ids, `None` for neither; raises `Invalid` for both.

    A promotion code is an id, or what buyers type: then it must be active. A coupon is judged by Stripe when it is used.
    """
    if coupon is not None and promotion_code is not None:
        raise Invalid("a sale has a coupon or a promotion code, not both", param="promotion_code")
    if coupon is not None:
        return {"coupon": coupon}
    if promotion_code is None or promotion_code.startswith("promo_"):
        return None if promotion_code is None else {"promotion_code": promotion_code}
    found = await gateway.promotion_code(promotion_code)
    if found is None:
        raise Invalid(f"no active promotion code {promotion_code}", param="promotion_code")
    return {"promotion_code": found}

"""A recurring price as the older `plan` object."""

from __future__ import annotations

from .errors import Json

_SAME = ("active", "billing_scheme", "created", "currency", "id", "livemode", "metadata", "nickname", "product",
         "tiers_mode")  # fmt: skip


def plan_of(price: Json) -> Json:
    """The plan that stands beside an item's price, and that `/v1/plans` shows."""
    recurring = price["recurring"]
    return {name: price[name] for name in _SAME} | {
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "meter": recurring["meter"],
        "object": "plan",
        "transform_usage": None,
        "trial_period_days": recurring["trial_period_days"],
        "usage_type": recurring["usage_type"],
    }

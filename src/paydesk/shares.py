"""A share of something, as statistics write it."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

FOUR_PLACES = Decimal("0.0001")


def rate(part: int, whole: int) -> str | None:
    """Return a share as a decimal string with four places, rounded half up; `None` of nothing.

    >>> rate(1, 3), rate(2, 2), rate(1, 0)
    ('0.3333', '1.0000', None)
    """
    if whole == 0:
        return None
    return str((Decimal(part) / Decimal(whole)).quantize(FOUR_PLACES, ROUND_HALF_UP))

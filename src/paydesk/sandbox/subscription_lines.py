"""What subscriptions put on their invoices: a line for each item's period or its part, and what is sold once beside it."""

from __future__ import annotations

from .accounts import Account
from .errors import Json
from .ids import new_id
from .invoice_lines import item_line, line, price_amount, pricing_of, product_name, prorated
from .subscription_rows import Period, period_at, period_of


def period_line(account: Account, subscription: Json, item: Json, anchor: int, since: int | None = None) -> Json:
    """The line of an item for its period; one that is cut short at either end costs its part of the regular one.

    `since` is from when that part is reckoned, if not from its start."""
    period = period_of(item)
    regular = period_at(anchor, item["price"], period[0])
    amount = (
        None
        if period == regular
        else part_amount(item["price"], item["quantity"], regular, since or period[0], period[1])
    )
    return item_line(account, subscription, item, period, amount=amount)


def part_amount(price: Json, quantity: int, regular: Period, since: int, until: int) -> int:
    """What a part of a regular period costs."""
    whole = price_amount(price, quantity)
    return prorated(whole, regular, since) - prorated(whole, regular, until)


def extra_line(account: Account, subscription: Json, price: Json, quantity: int, now: int) -> Json:
    """The line of a one-time price that is sold with a subscription."""
    details = {"invoice_item": new_id("invoiceitem"), "proration": False, "proration_details": None,
               "subscription": subscription["id"]}  # fmt: skip
    return line(
        amount=price_amount(price, quantity), currency=price["currency"], description=product_name(account, price),
        period=(now, now), quantity=quantity, pricing=pricing_of(price), subscription=subscription["id"],
        parent={"invoice_item_details": details, "subscription_item_details": None, "type": "invoice_item_details"},
    )  # fmt: skip

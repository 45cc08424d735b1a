"""Lines of invoices: what each kind costs, how it is described, and its shape."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from .accounts import Account
from .coupons import coupon_of, half_up
from .errors import Json
from .ids import new_id
from .money import written


def price_amount(price: Json, quantity: int) -> int:
    """What so many units cost, in the smallest unit, halves rounded up."""
    return half_up(Decimal(price["unit_amount_decimal"]) * quantity)


def pricing_of(price: Json) -> Json:
    """The `pricing` field of lines and invoice items."""
    return {
        "price_details": {"price": price["id"], "product": price["product"]},
        "type": "price_details",
        "unit_amount_decimal": price["unit_amount_decimal"],
    }


def line(
    *, amount: int, currency: str, description: str | None, period: tuple[int, int], quantity: int | None,
    pricing: Json | None, parent: Json, subscription: str | None, **more: Any,
) -> Json:  # fmt: skip
    """A line of an invoice that has no discounts yet."""
    return {
        "id": new_id("line_item"),
        "object": "line_item",
        "amount": amount,
        "currency": currency,
        "description": description,
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "parent": parent,
        "period": {"end": period[1], "start": period[0]},
        "pretax_credit_amounts": [],
        "pricing": pricing,
        "quantity": quantity,
        "quantity_decimal": None if quantity is None else str(quantity),
        "subscription": subscription,
        "subtotal": amount,
        "taxes": [],
        **more,
    }


def item_line(
    account: Account, subscription: Json, item: Json, period: tuple[int, int], *, trial: bool = False,
    amount: int | None = None,
) -> Json:  # fmt: skip
    """The line of a subscription item for a period; free while in a trial; `amount` replaces the price for a part."""
    price, quantity = item["price"], item["quantity"]
    name = product_name(account, price)
    if trial:
        flexible = subscription["billing_mode"]["type"] == "flexible"
        amount, description = 0, f"Free trial for {quantity} × {name}" if flexible else f"Trial period for {name}"
    else:
        amount = price_amount(price, quantity) if amount is None else amount
        description = f"{quantity} × {name} (at {price_text(price)})"
    return line(
        amount=amount, currency=price["currency"], description=description, period=period, quantity=quantity,
        pricing=pricing_of(price), parent=item_parent(subscription["id"], item["id"]), subscription=subscription["id"],
        metadata=dict(item["metadata"]),
    )  # fmt: skip


def price_text(price: Json) -> str:
    """A recurring price as invoices write it: `$9.99 / month`, `$20.00 every 3 months`."""
    amount = written(price_amount(price, 1), price["currency"])
    recurring = price["recurring"]
    if recurring is None:
        return amount
    if recurring["interval_count"] == 1:
        return f"{amount} / {recurring['interval']}"
    return f"{amount} every {recurring['interval_count']} {recurring['interval']}s"


def product_name(account: Account, price: Json) -> str:
    """The name of a price's product."""
    product = account.find("product", price["product"])
    return str(product["name"]) if product else price["product"]


def item_parent(subscription: str, item: str, *, proration: bool = False, invoice_item: str | None = None,
                credited: Json | None = None) -> Json:  # fmt: skip
    """The `parent` of a line that comes from a subscription item."""
    return {
        "invoice_item_details": None,
        "subscription_item_details": {
            "invoice_item": invoice_item,
            "proration": proration,
            "proration_details": {"credited_items": credited} if proration else None,
            "subscription": subscription,
            "subscription_item": item,
        },
        "type": "subscription_item_details",
    }


def line_of_invoice_item(row: Json) -> Json:
    """The line into which an invoice item goes."""
    details = (row["parent"] or {}).get("subscription_details")
    if row["proration"] and details:
        parent = item_parent(
            details["subscription"], details["subscription_item"], proration=True, invoice_item=row["id"],
            credited=(row["proration_details"]["credited_items"] or {}).get("invoice_line_item_details"),
        )  # fmt: skip
    else:
        inner = {
            "invoice_item": row["id"],
            "proration": row["proration"],
            "proration_details": None,
            "subscription": details["subscription"] if details else None,
        }
        parent = {
            "invoice_item_details": inner, "subscription_item_details": None, "type": "invoice_item_details",
        }  # fmt: skip
    return line(
        amount=row["amount"], currency=row["currency"], description=row["description"],
        period=(row["period"]["start"], row["period"]["end"]), quantity=row["quantity"], pricing=row["pricing"],
        parent=parent, subscription=details["subscription"] if details else None, discountable=row["discountable"],
        metadata=dict(row["metadata"]),
    )  # fmt: skip


def own_discounts(account: Account, line: Json) -> list[Json]:
    """The discounts that a line has by itself: those of its invoice item, or of its subscription item."""
    of_item = line["parent"].get("subscription_item_details") or {}
    of_invoice_item = line["parent"].get("invoice_item_details") or {}
    row = account.find("invoiceitem", of_invoice_item.get("invoice_item") or "")
    if row is None and of_item and not of_item["proration"]:
        subscription = account.find("subscription", of_item["subscription"]) or {"items": {"data": []}}
        row = next((one for one in subscription["items"]["data"] if one["id"] == of_item["subscription_item"]), None)
    discounts = [account.find("discount", one) for one in (row or {}).get("discounts") or []]
    now = account.clock.now_s()
    return [one for one in discounts if one is not None and (one["end"] is None or one["end"] > now)]


def prorated(amount: int, period: tuple[int, int], since: int) -> int:
    """The part of an amount that falls on the time from `since` to the end of its period, by seconds."""
    start, end = period
    if end <= start:
        return 0
    left = min(max(end - since, 0), end - start)
    return half_up(Decimal(amount) * left / (end - start))


def after_percentages(account: Account, amount: int, discounts: list[Json]) -> int:
    """An amount less the percentages of its discounts: prorations of a discounted subscription include them."""
    value = Decimal(amount)
    for discount in discounts:
        percent = coupon_of(account, discount)["percent_off"]
        if percent is not None:
            value -= value * Decimal(str(percent)) / 100
    return half_up(value)

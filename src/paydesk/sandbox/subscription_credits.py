"""What an item of a subscription was billed for a time that is still to come, and so what can be credited for it.

Flexible billing credits what was debited: the lines on record, less their discounts, whatever the item costs now.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from .accounts import Account
from .coupons import half_up
from .errors import Json

# What an item was billed once: the line or the waiting invoice item, its amount less its discounts, its invoice.
Debit = tuple[Json, int, str | None]


def debited(account: Account, subscription: Json, item_id: str, since: int, until: int) -> tuple[int, Json | None]:
    """What was billed for an item from `since` to `until` (smallest unit), and by what, as `credited_items` shows it.

    Earlier credits for that time are taken off. Of several invoices (and what waits for one) the latest is shown."""
    worth, billed = Decimal(0), list[Debit]()
    for debit in _debits(account, subscription, item_id):
        part = _part(debit[0]["period"], since, until)
        worth += debit[1] * part
        if part and debit[1] > 0:
            billed.append(debit)
    return half_up(worth), _shown(billed)


def _shown(billed: list[Debit]) -> Json | None:
    """The field `credited_items` of the invoice item that credits these."""
    if not billed:
        return None
    latest, _, invoice = billed[-1]
    if invoice is None:
        return {"invoice_item": latest["id"], "invoice_line_item_details": None, "type": "invoice_item"}
    lines = [line["id"] for line, _, one in billed if one == invoice]
    return {"invoice_item": None, "invoice_line_item_details": {"invoice": invoice, "invoice_line_items": lines},
            "type": "invoice_line_items"}  # fmt: skip


def _part(period: Json, since: int, until: int) -> Decimal:
    """Which part of a period lies between two moments."""
    start, end = period["start"], period["end"]
    within = min(end, until) - max(start, since)
    return Decimal(within) / (end - start) if within > 0 else Decimal(0)


def _debits(account: Account, subscription: Json, item_id: str) -> Iterator[Debit]:
    """What was billed for an item, the oldest first; then what still waits to be."""
    for invoice_id in subscription.get("_invoices", []):
        invoice = account.find("invoice", invoice_id)
        if invoice is None or invoice["status"] == "void":
            continue
        for line in invoice["lines"]["data"]:
            details = line["parent"].get("subscription_item_details") or {}
            if details.get("subscription_item") == item_id:
                yield line, line["amount"] - sum(off["amount"] for off in line["discount_amounts"]), invoice_id
    customer = account.find("customer", subscription["customer"]) or {}
    for row_id in customer.get("_pending", []):
        row = account.get("invoiceitem", row_id, "invoiceitem")
        details = (row["parent"] or {}).get("subscription_details") or {}
        if row["proration"] and details.get("subscription_item") == item_id:
            yield row, row["amount"], None

"""Invoices, their lines and invoice items as they were before basil (2025-03-31), and billing's older parameters.

Subscription, payment, price and proration stood on the objects themselves; now they are told by `parent`, `pricing`
and invoice payments.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .errors import Json
from .plan_shape import plan_of

if TYPE_CHECKING:
    from .accounts import Account

_PRICING_SINCE = "2025-03-31"
_ANCHOR_TYPED_SINCE = "2026-09-30"


def invoice_of_intent(account: Account, intent_id: str | None) -> str | None:
    """The invoice that a payment intent pays, or None."""
    intent = account.find("payment_intent", intent_id or "")
    known = (intent or {}).get("_invoice")
    return None if known is None else str(known)


def newer_billing_params(path: str, given: Json, date: str) -> Json:
    """The parameters of a billing call of an older version (named by its date) in today's words."""
    renamed = dict(given)
    if date < _PRICING_SINCE and path.startswith("/v1/invoiceitems"):
        if "price" in renamed and "pricing" not in renamed:
            renamed["pricing"] = {"price": renamed.pop("price")}
        if "unit_amount" in renamed:
            renamed["unit_amount_decimal"] = renamed.pop("unit_amount")
    if date < _ANCHOR_TYPED_SINCE:
        if path.startswith("/v1/subscriptions/"):
            _type_anchor(renamed)
        if isinstance(renamed.get("subscription_details"), dict) and path == "/v1/invoices/create_preview":
            renamed["subscription_details"] = dict(renamed["subscription_details"])
            _type_anchor(renamed["subscription_details"])
    return renamed


def _type_anchor(given: Json) -> None:
    """`billing_cycle_anchor` was a word; now the word is its `type`."""
    if isinstance(given.get("billing_cycle_anchor"), str):
        given["billing_cycle_anchor"] = {"type": given["billing_cycle_anchor"]}


def _invoice(row: Json, account: Account) -> None:
    details = _subscription_details(row)
    intent = _intent_of(row, account)
    row.update({
        "application_fee_amount": None,
        "charge": intent["latest_charge"] if intent else None,
        "paid": row["status"] == "paid",
        "paid_out_of_band": bool((account.find("invoice", row.get("id", "")) or {}).get("amount_paid_off_stripe")),
        "payment_intent": intent["id"] if intent else None,
        "quote": None,
        "subscription": details.get("subscription"),
        "subscription_details": {"metadata": details.get("metadata")} if details else None,
        "tax": _sum_of_taxes(row.get("total_taxes")),
        "total_tax_amounts": [_tax_amount(tax) for tax in row.get("total_taxes") or []],
        "transfer_data": None,
    })  # fmt: skip
    if details.get("subscription_proration_date"):
        row["subscription_proration_date"] = details["subscription_proration_date"]


def _subscription_details(row: Json) -> Json:
    return (row.get("parent") or {}).get("subscription_details") or {}


def _intent_of(row: Json, account: Account) -> Json | None:
    """The payment intent that was made with an invoice."""
    kept = account.find("invoice", row.get("id", "")) or {}
    return account.find("payment_intent", kept.get("_intent") or "")


def _sum_of_taxes(taxes: list[Json] | None) -> int | None:
    return sum(tax["amount"] for tax in taxes) if taxes else None


def _tax_amount(tax: Json) -> Json:
    rate = (tax.get("tax_rate_details") or {}).get("tax_rate")
    return {"amount": tax["amount"], "inclusive": tax["tax_behavior"] == "inclusive", "tax_rate": rate,
            "taxability_reason": tax["taxability_reason"], "taxable_amount": tax["taxable_amount"]}  # fmt: skip


def _line(row: Json, account: Account) -> None:
    parent = row.get("parent") or {}
    of_item = parent.get("subscription_item_details") or {}
    of_invoice_item = parent.get("invoice_item_details") or {}
    details = of_item or of_invoice_item
    price = _price_of(row, account)
    quantity = row.get("quantity") or 1
    row.update({
        "amount_excluding_tax": row["amount"],
        "plan": _plan(price),
        "price": price,
        "proration": bool(details.get("proration")),
        "proration_details": details.get("proration_details") or {"credited_items": None},
        "subscription": row.get("subscription") or details.get("subscription"),
        "tax_amounts": [_tax_amount(tax) for tax in row.get("taxes") or []],
        "tax_rates": [],
        "type": "subscription" if of_item else "invoiceitem",
        "unit_amount_excluding_tax": f"{(Decimal(row['amount']) / quantity).normalize():f}",
    })  # fmt: skip
    if of_item:
        row["subscription_item"] = of_item["subscription_item"]
    if details.get("invoice_item"):
        row["invoice_item"] = details["invoice_item"]


def _price_of(row: Json, account: Account) -> Json | None:
    """The price of a line as an object."""
    named: Any = ((row.get("pricing") or {}).get("price_details") or {}).get("price")
    price = account.find("price", named) if isinstance(named, str) else named
    return None if price is None else {name: value for name, value in price.items() if not name.startswith("_")}


def _plan(price: Json | None) -> Json | None:
    """The plan that a recurring price also was."""
    return plan_of(price) if price is not None and price["recurring"] else None


def _aggregating_plan(row: Json, _: Account) -> None:
    row["aggregate_usage"] = None


def _invoice_item(row: Json, account: Account) -> None:
    details = (row.get("parent") or {}).get("subscription_details") or {}
    price = _price_of(row, account)
    unit = (row.get("pricing") or {}).get("unit_amount_decimal")
    row.update({
        "plan": _plan(price),
        "price": price,
        "subscription": details.get("subscription"),
        "unit_amount": int(Decimal(unit)) if unit and Decimal(unit) == int(Decimal(unit)) else None,
        "unit_amount_decimal": unit,
    })  # fmt: skip
    if details.get("subscription_item"):
        row["subscription_item"] = details["subscription_item"]


INVOICE_STEPS: dict[str, Callable[[Json, Account], None]] = {
    "invoice": _invoice, "line_item": _line, "invoiceitem": _invoice_item, "plan": _aggregating_plan,
}  # fmt: skip

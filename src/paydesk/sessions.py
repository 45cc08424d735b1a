"""What Stripe is asked for when a Checkout session is made for an order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paydesk.store import Record


def params_of(
    row: Record, order_lines: Sequence[Record], stripe_customer: str, count: int, public_url: str
) -> dict[str, Any]:
    """Return the parameters of a session. Metadata does not travel by itself: intent or subscription get theirs (trap T24)."""
    back = f"{public_url}/r/{row['link_token']}"
    metadata = {"paydesk_order": row["id"], "paydesk_attempt": str(count)}
    methods = {"payment_method_types": row["payment_methods"]} if row["payment_methods"] else {}
    own = _subscription(row, order_lines[0], metadata) if row["mode"] == "subscription" else _payment(row, metadata)
    return {
        "customer": stripe_customer,
        "client_reference_id": row["id"],
        "metadata": {**row["metadata"], **metadata},
        "line_items": [line_item(line, row) for line in order_lines],
        "success_url": row["success_url"] or back,
        "cancel_url": row["cancel_url"] or back,
        **own,
        **methods,
    }


def _payment(row: Record, metadata: Mapping[str, str]) -> dict[str, Any]:
    saved = {"setup_future_usage": "off_session"} if row["save_card"] else {}
    return {"mode": "payment", "payment_intent_data": {"metadata": metadata, **saved}}


def _subscription(row: Record, line: Record, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return what begins a subscription: it names its order and its price, whatever price Stripe has for it later."""
    trial = {"trial_period_days": row["trial_days"]} if row["trial_days"] else {}
    named = {**metadata, "paydesk_price": line["price_key"]}
    return {"mode": "subscription", "subscription_data": {"metadata": named, **trial}}


def line_item(line: Record, row: Record) -> dict[str, Any]:
    """Return a line as Stripe takes it: by the price that was pushed for it, else with all that it needs."""
    if line["stripe_price"] is not None:
        return {"price": line["stripe_price"], "quantity": line["quantity"]}
    data: dict[str, Any] = {
        "currency": row["currency"],
        "unit_amount": line["unit_amount"],
        "product_data": {"name": line["name"]},
    }
    plan = (row["plan"] or {}).get(line["price_key"])
    if plan is not None:
        data["recurring"] = {"interval": plan["interval"], "interval_count": plan["interval_count"]}
    return {"price_data": data, "quantity": line["quantity"]}

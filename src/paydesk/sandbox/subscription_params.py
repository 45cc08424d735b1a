"""What the calls about subscriptions take: tables of parameters, nothing else."""

from __future__ import annotations

from typing import Any

from .anchors import ANCHOR_CONFIG
from .billing_parts import AUTOMATIC_TAX, INVOICE_SETTINGS, METHOD_OPTIONS
from .catalog import ITEM_PRICE_DATA, ONCE_PRICE_DATA
from .coupons import DISCOUNTS
from .params import Kind, Shape, choice, fields, flag, integer, items, metadata, moment_range, text, whole


def moment_or(*words: str) -> Kind:
    """A time in seconds, or one of a few words."""

    def kind(value: Any, name: str) -> int | str:
        return str(value) if value in words else integer(value, name)

    return kind


TRIAL_END = moment_or("now")
CANCEL_AT = moment_or("min_period_end", "max_period_end", "max_billed_until", "")
ITEM: Shape = {
    "discounts": DISCOUNTS,
    "metadata": metadata,
    "plan": text(clearable=False),
    "price": text(clearable=False),
    "price_data": ITEM_PRICE_DATA,
    "quantity": whole(0, 999_999),
    "tax_rates": items(text(), 5),
}
_EXTRA: Shape = {
    "metadata": metadata, "price": text(clearable=False), "price_data": ONCE_PRICE_DATA,
    "quantity": whole(1, 999_999),
}  # fmt: skip
DETAILS: Shape = {
    "comment": text(5000),
    "feedback": choice("customer_service", "low_quality", "missing_features", "other", "switched_service",
                       "too_complex", "too_expensive", "unused"),
}  # fmt: skip
TRIAL_SETTINGS: Kind = fields(
    {
        "end_behavior": fields({
            "billing_cycle_anchor": choice("now", "unchanged"),
            "missing_payment_method": choice("cancel", "create_invoice", "pause"),
        }),
    },
    ("end_behavior",),
)  # fmt: skip
BILLING_MODE: Kind = fields(
    {
        "flexible": fields({"proration_discounts": choice("included", "itemized")}),
        "type": choice("classic", "flexible"),
    },
    ("type",),
)
PRORATION: Shape = {
    "proration_behavior": choice("always_invoice", "create_prorations", "none"), "proration_date": integer,
}  # fmt: skip
BEHAVIOR = choice("allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete")
_COMMON: Shape = {
    "add_invoice_items": items(fields(_EXTRA), 20),
    "automatic_tax": AUTOMATIC_TAX,
    "cancel_at": CANCEL_AT,
    "cancel_at_period_end": flag,
    "collection_method": choice("charge_automatically", "send_invoice"),
    "days_until_due": whole(0, 730),
    "default_payment_method": text(),
    "default_source": text(),
    "description": text(500),
    "discounts": DISCOUNTS,
    "invoice_settings": fields(INVOICE_SETTINGS),
    "metadata": metadata,
    "off_session": flag,
    "payment_behavior": BEHAVIOR,
    "payment_settings": fields({
        "payment_method_options": METHOD_OPTIONS,
        "payment_method_types": items(text(clearable=False), 20),
        "save_default_payment_method": choice("off", "on_subscription"),
    }),
    "proration_behavior": PRORATION["proration_behavior"],
    "trial_end": TRIAL_END,
    "trial_from_plan": flag,
    "trial_settings": TRIAL_SETTINGS,
}  # fmt: skip
CREATE: Shape = {
    **_COMMON,
    "billing_cycle_anchor": integer,
    "billing_cycle_anchor_config": ANCHOR_CONFIG,
    "billing_mode": BILLING_MODE,
    "currency": text(3, clearable=False),
    "customer": text(clearable=False),
    "items": items(fields(ITEM), 20),
    "trial_period_days": whole(0, 730),
}
UPDATE: Shape = {
    **_COMMON,
    "billing_cycle_anchor": fields({"type": choice("now", "unchanged")}, ("type",)),
    "cancellation_details": fields(DETAILS),
    "items": items(fields({**ITEM, "deleted": flag, "id": text(clearable=False)}), 20),
    "pause_collection": fields(
        {"behavior": choice("keep_as_draft", "mark_uncollectible", "void"), "resumes_at": integer},
        ("behavior",),
        clearable=True,
    ),
    "proration_date": integer,
}
_STATUSES = ("active", "all", "canceled", "ended", "incomplete", "incomplete_expired", "past_due", "paused",
             "trialing", "unpaid")  # fmt: skip
FILTER: Shape = {
    "collection_method": choice("charge_automatically", "send_invoice"),
    "current_period_end": moment_range,
    "current_period_start": moment_range,
    "customer": text(),
    "plan": text(),
    "price": text(),
    "status": choice(*_STATUSES),
    "test_clock": text(),
}

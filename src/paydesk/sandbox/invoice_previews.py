"""Invoices that do not exist yet: the next one of a subscription, or what it would be after a change."""

from __future__ import annotations

from .accounts import Account
from .calls import Call, Operation, post
from .catalog import imagined_price
from .coupons import DISCOUNTS, chosen
from .customer_discounts import discounts_of_customer
from .errors import Json, StripeError, invalid, missing_parameter
from .ids import derived_text, new_id
from .invoice_items import PREVIEW_ITEM, given_values, proration_values
from .invoice_lines import item_line, line_of_invoice_item
from .invoices import invoice_values, pending_items
from .lists import list_of
from .live_customers import live_customer
from .params import Shape, choice, fields, flag, integer, items, text
from .subscription_calls import existing, trial_end
from .subscription_changes import Change, work_out
from .subscription_ends import unused_parts
from .subscription_lines import period_line
from .subscription_params import BILLING_MODE, CANCEL_AT, TRIAL_END, UPDATE
from .subscription_rows import (
    ENDED,
    Period,
    check_items,
    new_item,
    period_from,
    period_of,
    placed_from,
    recurring_price,
    subscription_values,
)
from .subscriptions import active_discounts, invoice_fields


def preview(account: Account, given: Json) -> Json:
    """The invoice that is next, or would be after a change; nothing is kept. It has an id that names nothing.

    Refused with `invoice_upcoming_none` when there is nothing to invoice.
    """
    details = given.get("subscription_details") or {}
    subscription = existing(account, given["subscription"], "subscription", 400) if given.get("subscription") else None
    customer = _customer(account, given, subscription)
    currency = (subscription or customer)["currency"]
    extras = [given_values(account, customer, one, currency, imagined_price)
              for one in given.get("invoice_items") or []]  # fmt: skip
    if subscription is not None:
        row = _next(account, customer, subscription, given, extras)
    elif details.get("items"):
        row = _first(account, customer, given, extras)
    else:
        row = _alone(account, customer, given, extras)
    return {"id": "upcoming_" + new_id("invoice"), "object": "invoice", "livemode": False, **row}


def upcoming(account: Account, subscription: Json) -> Json | None:
    """The next invoice of a subscription as the event before a renewal shows it, without an id; None without one."""
    try:
        row = preview(account, {"subscription": subscription["id"]})
    except StripeError:
        return None
    return without_id(row)


def without_id(row: Json) -> Json:
    """A preview as it was before previews had ids; its lines are named by their place, so that cursors work."""
    for place, line in enumerate(row["lines"]["data"]):
        line["id"] = "il_tmp_" + derived_text(f"{row['customer']}:{place}", 22)
    row["lines"]["url"] = f"/v1/invoices/upcoming/lines?customer={row['customer']}"
    return {name: value for name, value in row.items() if name != "id"}


def nothing_upcoming(customer: Json, status: int = 400) -> StripeError:
    """The refusal when nothing will be invoiced."""
    return StripeError(f"No upcoming invoices for customer: {customer['id']}", code="invoice_upcoming_none",
                       status=status)  # fmt: skip


def _customer(account: Account, given: Json, subscription: Json | None) -> Json:
    if subscription is None:
        if "customer" not in given:
            raise missing_parameter("customer")
        return live_customer(account, given["customer"])
    if given.get("customer") not in (None, subscription["customer"]):
        raise invalid(
            f"The subscription {subscription['id']} does not belong to the customer {given['customer']}.",
            "subscription",
        )
    return account.get("customer", subscription["customer"], "customer")


def _next(account: Account, customer: Json, subscription: Json, given: Json, extras: list[Json]) -> Json:
    """The next invoice of a subscription that exists, after a change if one is described."""
    details = given.get("subscription_details") or {}
    if subscription["status"] in ENDED:
        raise nothing_upcoming(customer)
    change = work_out(account, subscription, details, imagined_price)
    now, period = account.clock.now_s(), _earliest(change.items)
    if details.get("cancel_now"):
        change.parts = [] if details.get("proration_behavior") == "none" else unused_parts(account, subscription, now)
    waiting = [] if given.get("preview_mode") == "recurring" else [
        *pending_items(account, customer, subscription["currency"], subscription["id"]),
        *({**proration_values(account, subscription, customer, part), "id": new_id("invoiceitem")}
          for part in change.parts), *extras,
    ]  # fmt: skip
    regular = _regular(account, subscription, change, details)
    at_once = (
        change.fresh
        or change.at_once
        or details.get("cancel_now")
        or details.get("proration_behavior") == "always_invoice"
    )
    return _reckoned(
        account, customer, subscription, given, (waiting, regular), (period[0], now if at_once else period[1])
    )


def _regular(account: Account, subscription: Json, change: Change, details: Json) -> list[Json]:
    """The lines of the items for the period that begins then; none when only the change is invoiced or it ends."""
    if change.fresh:
        return [period_line(account, subscription, item, change.anchor) for item in change.items]
    end = _earliest(change.items)[1]
    until = subscription["cancel_at"] if "cancel_at" not in details else details["cancel_at"]
    ends = details.get("cancel_at_period_end") or details.get("cancel_now") or (
        until and "cancel_at_period_end" not in details and (isinstance(until, str) or until <= end))  # fmt: skip
    if details.get("proration_behavior") == "always_invoice" or change.at_once or ends:
        return []
    due = [item for item in change.items if item["current_period_end"] == end]
    renewed = placed_from(change.anchor, due, end, until if isinstance(until, int) else None)
    return [period_line(account, subscription, item, change.anchor) for item in renewed]


def _earliest(rows: list[Json]) -> Period:
    return min((period_of(item) for item in rows), key=lambda period: (period[1], -period[0]))


def _first(account: Account, customer: Json, given: Json, extras: list[Json]) -> Json:
    """The first invoice of a subscription that does not exist."""
    details, now = given["subscription_details"], account.clock.now_s()
    prices = [recurring_price(account, one, f"subscription_details[items][{place}]", imagined_price)
              for place, one in enumerate(details["items"])]  # fmt: skip
    imagined = subscription_values(details)
    check_items(prices, mixed=imagined["billing_mode"]["type"] == "flexible")
    trial = trial_end(account, details, prices[0])
    sub_id = new_id("subscription")
    rows = [new_item(account, sub_id, price, one, (now, trial) if trial else period_from(now, price, now))
            for price, one in zip(prices, details["items"], strict=True)]  # fmt: skip
    subscription = {**imagined, "id": sub_id, "object": "subscription", "currency": prices[0]["currency"],
                    "customer": customer["id"], "items": list_of(rows, ""), "metadata": details.get("metadata") or {},
                    "status": "active"}  # fmt: skip
    lines = [item_line(account, subscription, item, period_of(item), trial=trial is not None) for item in rows]
    waiting = [*pending_items(account, customer, subscription["currency"], None), *extras]
    return _reckoned(account, customer, subscription, given, (waiting, lines), (now, now))


def _alone(account: Account, customer: Json, given: Json, extras: list[Json]) -> Json:
    """An invoice without a subscription: the described invoice items, and what waits."""
    currency = given.get("currency") or (extras[0]["currency"] if extras else customer["currency"])
    waiting = [*pending_items(account, customer, currency, None), *extras] if currency else []
    now = account.clock.now_s()
    subscription = {"currency": currency, "customer": customer["id"], "discounts": []}
    return _reckoned(account, customer, subscription, given, (waiting, []), (now, now))


def _reckoned(account: Account, customer: Json, subscription: Json, given: Json, parts: tuple[list[Json], list[Json]],
              period: Period) -> Json:  # fmt: skip
    """The fields of a preview: waiting invoice items and regular lines, less the discounts."""
    lines = [line_of_invoice_item({"id": new_id("invoiceitem"), **row}) for row in parts[0]] + parts[1]
    if not lines:
        raise nothing_upcoming(customer)
    at = period[1]
    fields_ = {"period_start": period[0], "period_end": at, "auto_advance": True}
    if "id" in subscription:
        fields_ = {**invoice_fields(subscription, period, at), "auto_advance": True}
    discounts = _discounts(account, customer, subscription, given)
    values = invoice_values(account, customer, subscription["currency"], "upcoming", lines, discounts, fields_)
    return {"created": at, **values, "automatically_finalizes_at": at + 3600, "next_payment_attempt": at + 3600}


def _discounts(account: Account, customer: Json, subscription: Json, given: Json) -> list[Json]:
    """The discounts asked for, or else those that count anyway."""
    if "discounts" in given:
        return [_imagined_discount(one) for one in chosen(account, given["discounts"], customer["id"])]
    if "id" in subscription:
        return active_discounts(account, subscription)
    return discounts_of_customer(account, customer["id"])


def _imagined_discount(one: Json) -> Json:
    """A discount that is not made: no redemption is counted."""
    if "discount" in one:
        return dict(one["discount"])
    return {"id": new_id("discount"), "source": {"coupon": one["coupon"]["id"], "type": "coupon"}}


_DETAILS: Shape = {
    "billing_cycle_anchor": UPDATE["billing_cycle_anchor"],
    "billing_mode": BILLING_MODE,
    "cancel_at": CANCEL_AT,
    "cancel_at_period_end": flag,
    "cancel_now": flag,
    "items": UPDATE["items"],
    "metadata": UPDATE["metadata"],
    "proration_behavior": UPDATE["proration_behavior"],
    "proration_date": integer,
    "trial_end": TRIAL_END,
}
PREVIEW: Shape = {
    "currency": text(3, clearable=False),
    "customer": text(clearable=False),
    "discounts": DISCOUNTS,
    "invoice_items": items(fields(PREVIEW_ITEM), 250),
    "preview_mode": choice("next", "recurring"),
    "subscription": text(clearable=False),
    "subscription_details": fields(_DETAILS),
}


def _preview(call: Call) -> Json:
    return preview(call.account, call.params)


OPERATIONS: list[Operation] = [post("/v1/invoices/create_preview", _preview, PREVIEW)]

"""Changing a running subscription: other prices and quantities, another cycle, with time-weighted prorations.

`work_out` only computes, so that a preview shows exactly what `carry_out` would do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from .accounts import Account
from .catalog import add_price
from .errors import Json, invalid, no_such
from .events import emit
from .invoice_items import add_item, proration_values
from .invoice_lines import item_line, price_amount, product_name
from .invoices import collect, finalize, take_pending
from .params import merged_metadata
from .subscription_rows import (
    Period,
    check_items,
    current_period,
    interval_of,
    item_list,
    items_of,
    know_items,
    new_item,
    period_from,
    plan,
    plan_of,
    recurring_price,
    without_own,
)
from .subscriptions import add_subscription_invoice, credit_lines, remind_if_near


@dataclass
class Change:
    """What a change comes to: items in their period, and the prorations. `fresh` begins a new cycle now."""

    items: list[Json]
    period: Period
    anchor: int
    status: str
    trial_end: int | None
    fresh: bool = False
    parts: list[Json] = field(default_factory=list)


def work_out(account: Account, subscription: Json, given: Json) -> Change:
    """What `items`, `trial_end`, `billing_cycle_anchor` and the proration parameters come to."""
    now = account.clock.now_s()
    since = given.get("proration_date") or now
    old, period = items_of(subscription), current_period(subscription)
    new = _new_items(account, subscription, given.get("items") or [])
    check_items([item["price"] for item in new])
    trialing = subscription["status"] == "trialing"
    trial_end = given.get("trial_end")
    change = Change(new, period, subscription["billing_cycle_anchor"], subscription["status"],
                    subscription["trial_end"])  # fmt: skip
    if isinstance(trial_end, int):
        change.status, change.trial_end, change.anchor = "trialing", trial_end, trial_end
        change.period = (now, trial_end)
    elif trial_end == "now" and trialing:
        change.fresh, change.trial_end = True, now
    elif (given.get("billing_cycle_anchor") or {}).get("type") == "now" or _resets(old, new, trialing=trialing):
        change.fresh = True
        change.trial_end = now if trialing else subscription["trial_end"]
    if change.fresh:
        change.anchor, change.period, change.status = now, period_from(now, new, now), "active"
    if not trialing and given.get("proration_behavior", "create_prorations") != "none":
        whole_new = [] if change.fresh or change.status == "trialing" else new
        change.parts = _parts(account, subscription, old, whole_new, since)
    change.items = [{**item, "billed_until": change.period[1], "current_period_start": change.period[0],
                     "current_period_end": change.period[1]} for item in change.items]  # fmt: skip
    return change


def _resets(old: list[Json], new: list[Json], *, trialing: bool) -> bool:
    """Another interval begins a new cycle, and so does the step from free to paid; a trial goes on."""
    if trialing:
        return False
    free = all(price_amount(item["price"], item["quantity"]) == 0 for item in old)
    paid = any(price_amount(item["price"], item["quantity"]) > 0 for item in new)
    return interval_of(old) != interval_of(new) or (free and paid)


def _new_items(account: Account, subscription: Json, given: list[Json]) -> list[Json]:
    """The items as they shall be: the given ones changed, added or taken away, the others as they are."""
    rows = {item["id"]: item for item in items_of(subscription)}
    for place, one in enumerate(given):
        param = f"items[{place}]"
        if one.get("id"):
            if one["id"] not in rows:
                raise no_such("subscription_item", one["id"], f"{param}[id]")
            if one.get("deleted"):
                del rows[one["id"]]
            else:
                rows[one["id"]] = _changed_item(account, rows[one["id"]], one, param)
        else:
            price = recurring_price(account, one, param, add_price)
            item = new_item(account, subscription["id"], price, one, current_period(subscription))
            rows[item["id"]] = item
    if not rows:
        raise invalid("A subscription must have at least one item.", "items")
    return list(rows.values())


def _changed_item(account: Account, item: Json, given: Json, param: str) -> Json:
    changed = dict(item)
    if given.get("price") or given.get("price_data") or given.get("plan"):
        price = recurring_price(account, given, param, add_price)
        changed |= {"price": without_own(price), "plan": plan_of(price)}
    if "quantity" in given:
        changed["quantity"] = given["quantity"]
    if "metadata" in given:
        changed["metadata"] = merged_metadata(item["metadata"], given["metadata"])
    return changed


def _parts(account: Account, subscription: Json, old: list[Json], new: list[Json], since: int) -> list[Json]:
    """Credits for the unused time of what changes, then charges for the rest of the period with what comes."""
    day = datetime.fromtimestamp(since, UTC).strftime("%d %b %Y")
    same = {_weight(item) for item in old} & {_weight(item) for item in new}
    credits_ = [
        (item, -price_amount(item["price"], item["quantity"]), f"Unused time on {_title(account, item)} after {day}")
        for item in old if _weight(item) not in same
    ]  # fmt: skip
    charges = [
        (item, price_amount(item["price"], item["quantity"]), f"Remaining time on {_title(account, item)} after {day}")
        for item in new if _weight(item) not in same
    ]  # fmt: skip
    return credit_lines(account, subscription, since, credits_ + charges)


def _weight(item: Json) -> tuple[str, str, int]:
    return item["id"], item["price"]["id"], item["quantity"]


def _title(account: Account, item: Json) -> str:
    name = product_name(account, item["price"])
    return name if item["quantity"] == 1 else f"{item['quantity']} × {name}"


def carry_out(account: Account, subscription: Json, change: Change, given: Json, values: Json, *,
              collects: bool = True) -> None:  # fmt: skip
    """Make a change: prorations as invoice items, an invoice where one is due now, then the update's event."""
    customer = account.get("customer", subscription["customer"], "customer")
    for part in change.parts:
        if part["amount"]:
            add_item(account, customer, proration_values(account, subscription, customer, part))
    old_period = current_period(subscription)
    previous = account.change(
        subscription, **values, items=item_list(subscription["id"], change.items), billing_cycle_anchor=change.anchor,
        status=change.status, trial_end=change.trial_end,
    )  # fmt: skip
    if isinstance(given.get("trial_end"), int):
        start = subscription["trial_start"] or account.clock.now_s()
        previous |= account.change(subscription, trial_start=start, _reminded=False)
    know_items(account, subscription)
    invoice = _invoice(account, subscription, customer, change, given, old_period)
    if invoice is not None:
        previous |= account.change(subscription, latest_invoice=invoice["id"])
    shown = {name: value for name, value in previous.items() if name[0] != "_"}
    if shown:
        emit(account, "customer.subscription.updated", subscription, shown)
    if isinstance(given.get("trial_end"), int):
        remind_if_near(account, subscription)
    if invoice is not None:
        finalize(account, invoice)
        if collects:
            collect(account, invoice)
    plan(account, subscription)


def _invoice(account: Account, subscription: Json, customer: Json, change: Change, given: Json,
             period: Period) -> Json | None:  # fmt: skip
    """The draft that a change needs at once: for a fresh cycle, or when prorations are to be invoiced always."""
    now = account.clock.now_s()
    lines = []
    if change.fresh:
        lines = [item_line(account, subscription, item, change.period) for item in change.items]
    elif given.get("proration_behavior") != "always_invoice":
        return None
    lines = take_pending(account, customer, subscription["currency"], subscription["id"]) + lines
    if not lines:
        return None
    return add_subscription_invoice(account, subscription, "subscription_update", lines, period=(period[0], now),
                                    given={"automatically_finalizes_at": None, "auto_advance": True})  # fmt: skip

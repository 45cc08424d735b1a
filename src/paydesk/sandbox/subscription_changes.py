"""Changing a running subscription: other prices and quantities, another cycle, with time-weighted prorations.

`work_out` only computes, so that a preview shows exactly what `carry_out` would do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from .accounts import Account
from .catalog import add_price
from .coupons import chosen, in_currency
from .errors import Json, invalid, no_such
from .events import emit, emit_update
from .invoice_items import add_item, item_values, proration_values
from .invoice_lines import price_amount, pricing_of, product_name
from .invoices import collect, finalize, take_pending
from .params import merged_metadata
from .plan_shape import plan_of
from .subscription_lines import period_line
from .subscription_rows import (
    FIRST_PAYMENT_S,
    Maker,
    Period,
    check_items,
    current_period,
    interval_of,
    item_list,
    items_of,
    know_items,
    mixes,
    new_item,
    period_at,
    period_of,
    placed,
    placed_from,
    plan,
    recurring_price,
    without_own,
)
from .subscriptions import (
    add_subscription_invoice,
    credit_lines,
    drop_pending,
    redeem_for_item,
    remind_if_near,
)


@dataclass
class Change:
    """What a change comes to: items in their periods, and the prorations. `fresh` begins a new cycle now."""

    items: list[Json]
    anchor: int
    status: str
    trial_end: int | None
    fresh: bool = False
    at_once: bool = False  # another interval is invoiced now, and does not wait for a renewal that is far away
    parts: list[Json] = field(default_factory=list)
    discounted: dict[str, list[Json]] = field(
        default_factory=dict
    )  # the new discounts of items, as `chosen` gives them


def work_out(account: Account, subscription: Json, given: Json, made: Maker = add_price) -> Change:
    """What `items`, `trial_end`, `billing_cycle_anchor` and the proration parameters come to.

    `made` makes the price that `price_data` describes."""
    now = account.clock.now_s()
    since = _since(subscription, given, now)
    old, new = items_of(subscription), _new_items(account, subscription, given.get("items") or [], made)
    check_items([item["price"] for item in new], mixed=mixes(subscription))
    trialing = subscription["status"] == "trialing"
    trial_end = given.get("trial_end")
    change = Change(new, subscription["billing_cycle_anchor"], subscription["status"], subscription["trial_end"])
    change.discounted = _discounted(account, subscription, given.get("items") or [], new)
    if isinstance(trial_end, int):
        change.status, change.trial_end, change.anchor = "trialing", trial_end, trial_end
        change.items = [placed(item, (now, trial_end)) for item in new]
    elif trial_end == "now" and trialing:
        change.fresh, change.trial_end = True, now
    elif (given.get("billing_cycle_anchor") or {}).get("type") == "now" or _resets(subscription, old, new):
        change.fresh = True
        change.trial_end = now if trialing else subscription["trial_end"]
    if change.fresh:
        change.anchor, change.items = now, placed_from(now, new, now)
        change.status = "active" if trialing else subscription["status"]
    if not trialing and given.get("proration_behavior", "create_prorations") != "none":
        whole_new = [] if change.fresh or change.status == "trialing" else new
        change.parts = _parts(account, subscription, old, whole_new, since)
        change.at_once = bool(change.parts) and _another_interval(old, new)
    return change


def _discounted(account: Account, subscription: Json, given: list[Json], new: list[Json]) -> dict[str, list[Json]]:
    """The discounts that items are given, by the item's id."""
    known = {item["id"] for item in items_of(subscription)}
    added = iter([item["id"] for item in new if item["id"] not in known])
    found = {}
    for place, one in enumerate(given):
        item_id = one.get("id") or next(added)
        if "discounts" in one and not one.get("deleted"):
            where = f"items[{place}][discounts]"
            picked = chosen(account, one["discounts"], subscription["customer"], where)
            found[item_id] = in_currency(picked, subscription["currency"], where)
    return found


def _since(subscription: Json, given: Json, now: int) -> int:
    """The moment from which is prorated; one outside the paid-up period is refused."""
    since = int(given.get("proration_date") or now)
    start, end = current_period(subscription)
    if "proration_date" in given and not start <= since <= end:
        raise invalid("Cannot specify a proration_date outside of the current subscription period.", "proration_date")
    return since


def _resets(subscription: Json, old: list[Json], new: list[Json]) -> bool:
    """Another interval for all items begins a new cycle, and so does the step from free to paid; a trial goes on.

    With flexible billing a cycle only begins anew when it is told to."""
    if subscription["status"] == "trialing" or mixes(subscription):
        return False
    free = all(price_amount(item["price"], item["quantity"]) == 0 for item in old)
    paid = any(price_amount(item["price"], item["quantity"]) > 0 for item in new)
    before, after = ({interval_of(item["price"]) for item in items} for items in (old, new))
    return (len(after) == 1 and before != after) or (free and paid)


def _another_interval(old: list[Json], new: list[Json]) -> bool:
    """Whether every item is billed at other intervals from now on."""
    before, after = ({interval_of(item["price"]) for item in items} for items in (old, new))
    return bool(after) and not before & after


def _new_items(account: Account, subscription: Json, given: list[Json], made: Maker) -> list[Json]:
    """The items as they shall be: the given ones changed, added or taken away, the others as they are."""
    now = account.clock.now_s()
    rows = {item["id"]: item for item in items_of(subscription)}
    for place, one in enumerate(given):
        param = f"items[{place}]"
        if one.get("id"):
            if one["id"] not in rows:
                raise no_such("subscription_item", one["id"], f"{param}[id]")
            if one.get("deleted"):
                del rows[one["id"]]
            else:
                rows[one["id"]] = _changed_item(account, subscription, rows[one["id"]], one, param, made)
        else:
            price = recurring_price(account, one, param, made)
            item = new_item(account, subscription["id"], price, one, _period_now(subscription, price, now))
            rows[item["id"]] = item
    if not rows:
        raise invalid("A subscription must have at least one item.", "items")
    return list(rows.values())


def _period_now(subscription: Json, price: Json, now: int) -> Period:
    """The period into which a price comes now: that of an item with the same interval, else its own regular one."""
    for item in items_of(subscription):
        if interval_of(item["price"]) == interval_of(price) or subscription["status"] == "trialing":
            return period_of(item)
    return period_at(subscription["billing_cycle_anchor"], price, now)


def _changed_item(account: Account, subscription: Json, item: Json, given: Json, param: str, made: Maker) -> Json:
    changed = dict(item)
    if given.get("price") or given.get("price_data") or given.get("plan"):
        price = recurring_price(account, given, param, made)
        changed |= {"price": without_own(price), "plan": plan_of(price)}
        if interval_of(price) != interval_of(item["price"]):
            changed = placed(changed, _period_now(subscription, price, account.clock.now_s()))
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
    period = current_period(subscription)
    if change.fresh or change.parts:
        drop_pending(account, subscription)
    _keep_parts(account, subscription, change)
    previous = make(account, subscription, change, values, restarts=isinstance(given.get("trial_end"), int))
    invoice = draft(account, subscription, change, given, period)
    if invoice is not None:
        previous |= account.change(subscription, latest_invoice=invoice["id"])
    tell(account, subscription, previous)
    if isinstance(given.get("trial_end"), int):
        remind_if_near(account, subscription)
    if invoice is not None:
        finalize(account, invoice)
        if collects:
            collect(account, invoice)
    plan(account, subscription)


def invoices_at_once(change: Change, given: Json) -> bool:
    """Whether a change makes an invoice now."""
    always = given.get("proration_behavior") == "always_invoice"
    return change.fresh or change.at_once or (always and bool(change.parts))


def add_extras(account: Account, subscription: Json, extras: list[tuple[Json, int]]) -> None:
    """Put what is sold once, beside a running subscription, on its next invoice."""
    customer = account.get("customer", subscription["customer"], "customer")
    for price, quantity in extras:
        parent = {"subscription_details": {"subscription": subscription["id"], "subscription_item": None},
                  "type": "subscription_details"}  # fmt: skip
        add_item(account, customer, item_values(
            account, customer, price_amount(price, quantity), price["currency"], parent=parent, quantity=quantity,
            description=product_name(account, price), pricing=pricing_of(price),
        ))  # fmt: skip


def early_end_parts(account: Account, subscription: Json, values: Json, given: Json) -> list[Json]:
    """The credits for the paid-up time after a `cancel_at` that was just set into the running period.

    What an earlier one gave is taken back as long as it waits."""
    if "cancel_at" not in values or given.get("proration_behavior") == "none":
        return []
    _take_back_early_end(account, subscription)
    until = values["cancel_at"]
    if until is None or subscription["status"] in ("incomplete", "trialing"):
        return []
    amounts = [(item, -price_amount(item["price"], item["quantity"]), f"Unused time on {_title(account, item)}")
               for item in items_of(subscription) if item["current_period_end"] > until]  # fmt: skip
    return [{**part, "early_end": True} for part in credit_lines(account, subscription, until, amounts)]


def _take_back_early_end(account: Account, subscription: Json) -> None:
    customer = account.get("customer", subscription["customer"], "customer")
    for item_id in subscription.get("_early_end") or []:
        row = account.find("invoiceitem", item_id)
        if row is not None and item_id in customer.get("_pending", []):
            emit(account, "invoiceitem.deleted", row)
            account.change(customer, _pending=[one for one in customer["_pending"] if one != item_id])
            account.remove("invoiceitem", item_id)


def carry_out_when_paid(account: Account, subscription: Json, change: Change, given: Json) -> None:
    """Make a change only when its invoice is paid; until then it stands in `pending_update`, for 23 hours at most.

    Without an invoice of its own it is made at once.
    """
    if not invoices_at_once(change, given):
        carry_out(account, subscription, change, given, {})
        return
    drop_pending(account, subscription)
    _keep_parts(account, subscription, change)
    invoice = draft(account, subscription, change, given, current_period(subscription), more={"_updates": True})
    assert invoice is not None, "a fresh cycle and invoiced prorations always have lines"  # noqa: S101
    account.change(subscription, _update={**asdict(change), "parts": []}, _update_invoice=invoice["id"])
    finalize(account, invoice)
    collect(account, invoice)
    if invoice["status"] == "open":
        _wait(account, subscription, change, given, invoice)


def _wait(account: Account, subscription: Json, change: Change, given: Json, invoice: Json) -> None:
    """Note what the update will be when its invoice is paid, and until when; tells it."""
    until = min(account.clock.now_s() + FIRST_PAYMENT_S, current_period(subscription)[1])
    shown = dict.fromkeys(("cancel_at_period_end", "discount", "discounts", "metadata"))
    pending = {
        **shown,
        "billing_cycle_anchor": change.anchor if change.anchor != subscription["billing_cycle_anchor"] else None,
        "expires_at": until,
        "subscription_items": change.items if given.get("items") else None,
        "trial_end": change.trial_end if change.trial_end != subscription["trial_end"] else None,
        "trial_from_plan": given.get("trial_from_plan"),
    }
    tell(account, subscription, account.change(subscription, pending_update=pending, latest_invoice=invoice["id"]))
    plan(account, subscription)


def apply_pending(account: Account, subscription: Json, invoice: Json) -> None:
    """The invoice of a pending update is paid: make the change, and tell it."""
    waited = subscription["pending_update"] is not None
    change = Change(**subscription["_update"])
    values = {"_update": None, "_update_invoice": None, "pending_update": None, "latest_invoice": invoice["id"]}
    previous = make(account, subscription, change, values, restarts=False)
    if waited:
        emit(account, "customer.subscription.pending_update_applied", subscription)
    tell(account, subscription, previous)
    plan(account, subscription)


def make(account: Account, subscription: Json, change: Change, values: Json, *, restarts: bool) -> Json:
    """Give a subscription the items and the cycle of a change, and further values; gives what was there before.

    `restarts` begins a trial."""
    items = [{**item, "discounts": redeem_for_item(account, subscription, item["id"], change.discounted[item["id"]])}
             if item["id"] in change.discounted else item for item in change.items]  # fmt: skip
    begun = _trial_start(subscription)
    if change.anchor != subscription["billing_cycle_anchor"]:
        values = {**values, "billing_cycle_anchor_config": None}
    previous = account.change(
        subscription, **values, items=item_list(subscription["id"], items), billing_cycle_anchor=change.anchor,
        status=change.status, trial_end=change.trial_end,
    )  # fmt: skip
    if restarts:
        previous |= account.change(subscription, trial_start=begun or account.clock.now_s(), _reminded=False)
    know_items(account, subscription)
    return previous


def _trial_start(subscription: Json) -> int | None:
    """When the trial of an update began before it. Classic billing shows the first trial for ever, flexible the latest."""
    goes_on = subscription["billing_mode"]["type"] == "classic" or subscription["status"] == "trialing"
    return subscription["trial_start"] if goes_on else None


def tell(account: Account, subscription: Json, previous: Json) -> None:
    """Tell an update of a subscription, unless nothing that shows has changed."""
    emit_update(account, "customer.subscription.updated", subscription, without_own(previous))


def _keep_parts(account: Account, subscription: Json, change: Change) -> None:
    """Put the prorations of a change on the next invoice."""
    customer = account.get("customer", subscription["customer"], "customer")
    rows = [(part, add_item(account, customer, proration_values(account, subscription, customer, part)))
            for part in change.parts if part["amount"]]  # fmt: skip
    early = [row["id"] for part, row in rows if part.get("early_end")]
    if early:
        account.change(subscription, _early_end=early)


def draft(account: Account, subscription: Json, change: Change, given: Json, period: Period, *,
          more: Json | None = None) -> Json | None:  # fmt: skip
    """The draft that a change needs at once: for a fresh cycle, or when prorations are to be invoiced always."""
    customer, now = account.get("customer", subscription["customer"], "customer"), account.clock.now_s()
    lines = []
    if change.fresh:
        lines = [period_line(account, subscription, item, change.anchor) for item in change.items]
    elif given.get("proration_behavior") != "always_invoice" and not change.at_once:
        return None
    lines = take_pending(account, customer, subscription["currency"], subscription["id"]) + lines
    if not lines:
        return None
    values = {"automatically_finalizes_at": None, "auto_advance": True, **(more or {})}
    return add_subscription_invoice(account, subscription, "subscription_update", lines, period=(period[0], now),
                                    given=values)  # fmt: skip

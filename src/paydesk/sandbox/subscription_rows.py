"""Subscriptions as rows: their items, their periods, and what is due next. Nothing here moves money."""

from __future__ import annotations

from collections.abc import Callable

from .accounts import Account
from .billing_parts import automatic_tax, invoice_settings, payment_settings
from .billing_settings import rules
from .catalog import refuse_inactive
from .errors import Json, invalid, missing_parameter
from .ids import new_id
from .later import later
from .lists import list_of
from .params import merged_metadata
from .periods import DAY_S, boundary, next_boundary, previous_boundary
from .plan_shape import plan_of

FIRST_PAYMENT_S = 23 * 3600
TRIAL_REMINDER_S = 3 * DAY_S
ENDED = ("canceled", "incomplete_expired")

Period = tuple[int, int]
Maker = Callable[[Account, Json, str], Json]


def recurring_price(account: Account, given: Json, param: str, made: Maker) -> Json:
    """The recurring price of an item, by id or made by `made` from `price_data`; others are refused."""
    if given.get("price_data"):
        price = made(account, given["price_data"], f"{param}[price_data]")
    elif given.get("price") or given.get("plan"):
        name = "price" if given.get("price") else "plan"
        price = account.get("price", given[name], f"{param}[{name}]")
        refuse_inactive(account, price, f"{param}[{name}]")
    else:
        raise missing_parameter(f"{param}[price]")
    if price["type"] != "recurring":
        raise invalid(
            f"The price specified is set to `type=one_time` but this field only accepts prices with "
            f"`type=recurring`. Price: {price['id']}", f"{param}[price]",
        )  # fmt: skip
    return price


def know_items(account: Account, subscription: Json) -> None:
    """Make the items of a subscription findable by their own ids."""
    for item in items_of(subscription):
        if account.find("_item", item["id"]) is None:
            account.save({"id": item["id"], "object": "_item", "subscription": subscription["id"]})


def new_item(account: Account, subscription: str, price: Json, given: Json, period: Period) -> Json:
    """A new item; the caller puts it on the subscription."""
    return {
        "id": new_id("subscription_item"),
        "object": "subscription_item",
        "billed_until": period[1],
        "billing_thresholds": None,
        "created": account.clock.now_s(),
        "current_period_end": period[1],
        "current_period_start": period[0],
        "current_trial": None,
        "discounts": [],
        "metadata": merged_metadata({}, given.get("metadata")),
        "plan": plan_of(price),
        "price": without_own(price),
        "quantity": given.get("quantity", 1),
        "subscription": subscription,
        "tax_rates": [],
    }


def without_own(row: Json) -> Json:
    """A row as it may stand inside another: without the sandbox's own fields."""
    return {name: value for name, value in row.items() if not name.startswith("_")}


def check_items(prices: list[Json], *, mixed: bool = False) -> None:
    """Refuse prices that cannot be on one subscription; `mixed` ones may be billed at different intervals."""
    currencies = {price["currency"] for price in prices}
    if len(currencies) > 1:
        raise invalid(
            f"You cannot combine currencies on a single subscription: {', '.join(sorted(currencies))}.", "items"
        )
    intervals = {(price["recurring"]["interval"], price["recurring"]["interval_count"]) for price in prices}
    if len(intervals) > 1 and not mixed:
        raise invalid(
            "Currently, all prices on a subscription must have the same `recurring.interval` and "
            "`recurring.interval_count`. If you meant to update an existing subscription item, specify its id.",
            "items",
        )
    ids = [price["id"] for price in prices]
    if len(set(ids)) < len(ids):
        raise invalid("Cannot add multiple subscription items with the same price.", "items")


def subscription_values(given: Json) -> Json:
    """The fields of a subscription that follow from the parameters alone, or have no value."""
    names = (
        "application", "application_fee_percent", "billing_cycle_anchor_config", "billing_thresholds", "cancel_at",
        "canceled_at", "customer_account", "days_until_due", "default_payment_method", "default_source", "description",
        "ended_at", "latest_invoice", "managed_payments", "next_pending_invoice_item_invoice", "on_behalf_of",
        "pause_collection", "pending_invoice_item_interval", "pending_setup_intent", "pending_update",
        "schedule", "status_details", "transfer_data", "trial_end", "trial_start",
    )  # fmt: skip
    trial = {"missing_payment_method": "create_invoice"}
    trial |= (given.get("trial_settings") or {}).get("end_behavior") or {}
    echoed = ("days_until_due", "default_payment_method", "default_source", "description")
    return dict.fromkeys(names) | {name: given[name] for name in echoed if name in given} | {
        "automatic_tax": automatic_tax(given.get("automatic_tax")),
        "billing_mode": billing_mode(given.get("billing_mode") or {}),
        "billing_schedules": [],
        "cancel_at_period_end": False,
        "cancellation_details": {"comment": None, "feedback": None, "feedback_option": None, "reason": None},
        "collection_method": given.get("collection_method", "charge_automatically"),
        "default_tax_rates": [],
        "discounts": [],
        "invoice_settings": invoice_settings(None, given.get("invoice_settings")),
        "payment_settings": payment_settings(None, given.get("payment_settings")),
        "trial_settings": {"end_behavior": trial},
    }  # fmt: skip


def billing_mode(given: Json) -> Json:
    """The field `billing_mode` of a subscription."""
    mode = given.get("type", "flexible")
    flexible = {"proration_discounts": "included", **(given.get("flexible") or {})}
    return {"flexible": flexible if mode == "flexible" else None, "type": mode}


def customer_currency(customer: Json, subscription: Json) -> str:
    """The currency of a customer who has this subscription; what they have or owe keeps its own."""
    kept = customer["currency"] if customer["balance"] else None
    return str(kept or subscription["currency"])


def items_of(subscription: Json) -> list[Json]:
    """The items of a subscription."""
    return list(subscription["items"]["data"])


def item_list(subscription: str, items: list[Json]) -> Json:
    """The field `items` of a subscription."""
    return list_of(items, f"/v1/subscription_items?subscription={subscription}")


def mixes(subscription: Json) -> bool:
    """Whether the items of a subscription may be billed at different intervals."""
    return bool(subscription["billing_mode"]["type"] == "flexible")


def period_of(item: Json) -> Period:
    """The paid-up period of one item."""
    return item["current_period_start"], item["current_period_end"]


def current_period(subscription: Json) -> Period:
    """The paid-up period of the item that is due next; of the shortest where several are."""
    return min((period_of(item) for item in items_of(subscription)), key=lambda period: (period[1], -period[0]))


def last_end(subscription: Json) -> int:
    """When the longest paid-up period ends."""
    return max(int(item["current_period_end"]) for item in items_of(subscription))


def placed(item: Json, period: Period) -> Json:
    """An item in a period."""
    return {**item, "billed_until": period[1], "current_period_start": period[0], "current_period_end": period[1]}


def placed_from(anchor: int, items: list[Json], moment: int, until: int | None = None) -> list[Json]:
    """Every item in the time from a moment to the next boundary of its own price, or to an earlier end."""
    return [placed(item, period_from(anchor, item["price"], moment, until)) for item in items]


def due_items(subscription: Json) -> list[Json]:
    """The items whose period ends first: those that the next renewal bills."""
    end = current_period(subscription)[1]
    return [item for item in items_of(subscription) if item["current_period_end"] == end]


def interval_of(price: Json) -> tuple[str, int]:
    """Interval and count by which a price is billed."""
    return price["recurring"]["interval"], price["recurring"]["interval_count"]


def shortest_interval(items: list[Json]) -> tuple[str, int]:
    """The interval of the item that is billed most often."""
    return min((interval_of(item["price"]) for item in items), key=lambda one: boundary(0, one[0], one[1], 1))


def period_at(anchor: int, price: Json, moment: int) -> Period:
    """The regular period of a price in which a moment lies."""
    interval, count = interval_of(price)
    return (
        previous_boundary(anchor, interval, count, moment),
        next_boundary(anchor, interval, count, moment),
    )


def period_from(anchor: int, price: Json, moment: int, until: int | None = None) -> Period:
    """The time from a moment to the next regular boundary of a price, or to an earlier end."""
    end = next_boundary(anchor, *interval_of(price), moment)
    return moment, end if until is None or until <= moment else min(end, until)


def next_due(subscription: Json) -> int | None:
    """When something happens to a subscription by itself next; None when nothing does."""
    status = subscription["status"]
    if status in ENDED:
        return None
    if status == "incomplete":
        return int(subscription["_first_payment_until"])
    if status == "paused":
        until: int | None = subscription.get("_resume_until")
        return until
    moments = [current_period(subscription)[1], subscription["cancel_at"]]
    if subscription["pending_update"]:
        moments.append(subscription["pending_update"]["expires_at"])
    if status == "trialing":
        moments.append(None if subscription.get("_reminded") else subscription["trial_end"] - TRIAL_REMINDER_S)
    if subscription["pause_collection"]:
        moments.append(subscription["pause_collection"]["resumes_at"])
    return min(int(moment) for moment in moments if moment is not None)


def plan(account: Account, subscription: Json) -> None:
    """Have the next due thing happen at its time."""
    moment = next_due(subscription)
    if moment is not None and moment != subscription.get("_planned"):
        account.change(subscription, _planned=moment)
        later(account, moment, "subscription.due", subscription["id"])
    _plan_upcoming(account, subscription)


def _plan_upcoming(account: Account, subscription: Json) -> None:
    """Have the renewal told some days before; a period shorter than that has no such event."""
    days, (start, end) = rules(account)["upcoming_days"], current_period(subscription)
    if days is None or subscription["status"] in (*ENDED, "incomplete") or subscription.get("_upcoming") == end:
        return
    if end - days * DAY_S > start:
        account.change(subscription, _upcoming=end)
        later(account, end - days * DAY_S, "subscription.upcoming", subscription["id"])

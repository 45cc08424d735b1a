"""Subscription schedules: phases that a subscription goes through by itself, each with its prices, one after the other.

A phase begins at the end of the one before it, ahead of the renewal that is due at the same moment: so a change at the
end of a period is billed with the new prices and without prorations. After the last phase the subscription goes on
alone (`release`) or ends (`cancel`).
"""

from __future__ import annotations

from .accounts import Account
from .billing_parts import invoice_settings
from .errors import Json
from .events import emit, emit_update
from .later import DEEDS, later
from .live_customers import live_customer
from .periods import DAY_S
from .subscription_calls import ordered, update
from .subscription_rows import ENDED, billing_mode, current_period, items_of
from .subscriptions import BEFORE_DUE, END_FOLLOWERS, start

KIND = "subscription_schedule"
_EXPIRING_S = 7 * DAY_S
OPEN = ("active", "not_started")


def default_settings(old: Json | None, given: Json | None) -> Json:
    """The field `default_settings` after an update; without an old one, that of something new."""
    names = (
        "application_fee_percent", "automatic_tax", "billing_thresholds", "default_payment_method", "description",
        "on_behalf_of", "transfer_data",
    )  # fmt: skip
    blank: Json = dict.fromkeys(names) | {
        "billing_cycle_anchor": "automatic",
        "collection_method": "charge_automatically",
        "invoice_settings": {**invoice_settings(None, None), "days_until_due": None},
    }
    return {**blank, **(old or {}), **(given or {})}


def phase(given: Json, begins_at: int, ends_at: int, currency: str) -> Json:
    """A phase with all of its fields. Its items name their prices by id."""
    names = (
        "application_fee_percent", "automatic_tax", "billing_cycle_anchor", "billing_thresholds", "collection_method",
        "default_payment_method", "default_tax_rates", "description", "invoice_settings", "on_behalf_of",
        "transfer_data", "trial_end",
    )  # fmt: skip
    known = {name: given[name] for name in names if given.get(name) is not None}
    items = [{"billing_thresholds": None, "discounts": [], "metadata": one.get("metadata") or {}, "plan": one["price"],
              "price": one["price"], "quantity": one.get("quantity", 1), "tax_rates": []}
             for one in given["items"]]  # fmt: skip
    return {
        **dict.fromkeys(names), **known,
        "add_invoice_items": [],
        "currency": currency,
        "discounts": [],
        "end_date": ends_at,
        "items": items,
        "metadata": given.get("metadata") or {},
        "proration_behavior": given.get("proration_behavior", "create_prorations"),
        "start_date": begins_at,
        "trial": None,
    }  # fmt: skip


def add_schedule(account: Account, customer: str, phases: list[Json], given: Json, subscription: Json | None) -> Json:
    """Keep a new schedule and tell it; it begins at its first phase, or follows a subscription that runs already."""
    running = subscription is not None
    schedule = account.add(KIND, {
        "application": None,
        "billing_mode": _mode(billing_mode(given.get("billing_mode") or {})),
        "canceled_at": None,
        "completed_at": None,
        "current_phase": None,
        "customer": customer,
        "customer_account": None,
        "default_settings": default_settings(None, given.get("default_settings")),
        "end_behavior": given.get("end_behavior", "release"),
        "metadata": given.get("metadata") or {},
        "pause_schedules": [],
        "phases": phases,
        "released_at": None,
        "released_subscription": None,
        "status": "active" if running else "not_started",
        "subscription": subscription["id"] if subscription else None,
        "test_clock": account.get("customer", customer, "customer")["test_clock"],
    })  # fmt: skip
    if subscription is not None:
        account.change(schedule, current_phase=_span(phases[0]), billing_mode=_mode(subscription["billing_mode"]))
        emit_update(account, "customer.subscription.updated", subscription,
                    account.change(subscription, schedule=schedule["id"]))  # fmt: skip
    emit(account, "subscription_schedule.created", schedule)
    plan_next(account, schedule)
    return schedule


def _mode(mode: Json) -> Json:
    return {**mode, "updated_at": mode.get("updated_at")}


def _span(one: Json) -> Json:
    return {"start_date": one["start_date"], "end_date": one["end_date"]}


def plan_next(account: Account, schedule: Json) -> None:
    """Have the next step of a schedule happen in its time, and its end told a week before."""
    if schedule["status"] not in OPEN:
        return
    now, last = account.clock.now_s(), schedule["phases"][-1]["end_date"]
    moments = [one["start_date"] for one in schedule["phases"] if one["start_date"] > now] + [last]
    begins = schedule["status"] == "not_started"
    later(
        account,
        max(now, schedule["phases"][0]["start_date"] if begins else moments[0]),
        "schedule.step",
        schedule["id"],
    )
    if last - _EXPIRING_S > now and schedule.get("_expiring") != last:
        account.change(schedule, _expiring=last)
        later(account, last - _EXPIRING_S, "schedule.expiring", schedule["id"])


def _step(account: Account, schedule_id: str) -> None:
    """A phase begins, or the last one is over."""
    schedule = account.find(KIND, schedule_id)
    if schedule is None or schedule["status"] not in OPEN:
        return
    if schedule["status"] == "not_started":
        if schedule["phases"][0]["start_date"] <= account.clock.now_s():
            begin(account, schedule)
        return
    _follow(account, account.get("subscription", schedule["subscription"], "subscription"))


def begin(account: Account, schedule: Json) -> None:
    """Make the subscription of a schedule whose first phase begins now."""
    first = schedule["phases"][0]
    customer = live_customer(account, schedule["customer"])
    given = {
        **_settings(schedule, first),
        "billing_mode": {"type": schedule["billing_mode"]["type"]},
        "items": [{"price": one["price"], "quantity": one["quantity"], "metadata": one["metadata"]}
                  for one in first["items"]],
        "metadata": first["metadata"],
    }  # fmt: skip
    subscription = start(account, ordered(account, customer, given), collects=True)
    account.change(subscription, schedule=schedule["id"], **_ending(schedule, first))
    previous = account.change(schedule, status="active", subscription=subscription["id"], current_phase=_span(first))
    emit(account, "subscription_schedule.updated", schedule, previous)
    plan_next(account, schedule)


def _settings(schedule: Json, one: Json) -> Json:
    """What a phase says of its subscription, or else the schedule does for all of them."""
    names = ("collection_method", "default_payment_method", "description")
    found = {name: one[name] or schedule["default_settings"][name] for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _ending(schedule: Json, one: Json) -> Json:
    """A subscription whose schedule cancels it at the end shows that during the last phase."""
    last = one is schedule["phases"][-1] and schedule["end_behavior"] == "cancel"
    return {"cancel_at": one["end_date"]} if last else {}


def _follow(account: Account, subscription: Json) -> None:
    """Bring a subscription into the phase that its schedule has for now, or set it free after the last one."""
    schedule = account.find(KIND, subscription["schedule"] or "")
    now = account.clock.now_s()
    if schedule is None or schedule["status"] != "active" or schedule["current_phase"]["end_date"] > now:
        return
    due = next((one for one in schedule["phases"] if one["start_date"] <= now < one["end_date"]), None)
    if due is not None:
        enter(account, schedule, subscription, due)
    elif schedule["end_behavior"] == "cancel":
        _finish(account, schedule, "completed", completed_at=now)
    else:
        release(account, schedule, subscription)


def enter(account: Account, schedule: Json, subscription: Json, one: Json, proration: str | None = None) -> None:
    """Give a subscription the prices of a phase, and tell it."""
    change: Json = {
        **_settings(schedule, one),
        "items": changed_items(subscription, one),
        "metadata": one["metadata"],
        "proration_behavior": proration or one["proration_behavior"],
    }
    anchor = one["billing_cycle_anchor"] or schedule["default_settings"]["billing_cycle_anchor"]
    if anchor == "phase_start" and proration is None:
        change["billing_cycle_anchor"] = {"type": "now"}
    previous = account.change(schedule, current_phase=_span(one))
    update(account, subscription, change)
    account.change(subscription, **_ending(schedule, one))
    emit_update(account, "subscription_schedule.updated", schedule, previous)
    plan_next(account, schedule)


def changed_items(subscription: Json, one: Json) -> list[Json]:
    """The update that turns the items of a subscription into those of a phase: same prices stay, others take over."""
    left = items_of(subscription)
    wanted = [{"price": row["price"], "quantity": row["quantity"], "metadata": row["metadata"]} for row in one["items"]]
    for row in wanted:
        same = next((item for item in left if item["price"]["id"] == row["price"]), None)
        if same is not None:
            row["id"] = same["id"]
            left.remove(same)
    for row in wanted:
        if "id" not in row and left:
            row["id"] = left.pop(0)["id"]
    return wanted + [{"id": item["id"], "deleted": True} for item in left]


def release(account: Account, schedule: Json, subscription: Json | None, *, keeps_end: bool = False) -> None:
    """A schedule lets its subscription go on alone."""
    values = {"released_at": account.clock.now_s(), "released_subscription": schedule["subscription"]}
    account.change(schedule, status="released", subscription=None, current_phase=None, **values)
    if subscription is not None:
        end = {} if keeps_end or subscription["cancel_at_period_end"] else {"cancel_at": None}
        emit_update(account, "customer.subscription.updated", subscription,
                    account.change(subscription, schedule=None, **end))  # fmt: skip
    emit(account, "subscription_schedule.released", schedule)


def _finish(account: Account, schedule: Json, status: str, **moment: int) -> None:
    account.change(schedule, status=status, current_phase=None, **moment)
    emit(account, f"subscription_schedule.{status}", schedule)


def set_canceled(account: Account, schedule: Json) -> None:
    """A schedule ends without its subscription going on; tells it."""
    _finish(account, schedule, "canceled", canceled_at=account.clock.now_s())


def _after_end(account: Account, subscription: Json) -> None:
    """The schedule of a subscription that ended before its time has nothing left to do."""
    schedule = account.find(KIND, subscription["schedule"] or "")
    if schedule is not None and schedule["status"] == "active":
        set_canceled(account, schedule)


def _tell_expiring(account: Account, schedule_id: str) -> None:
    schedule = account.find(KIND, schedule_id)
    now = account.clock.now_s()
    if schedule and schedule["status"] in OPEN and schedule["phases"][-1]["end_date"] - _EXPIRING_S <= now:
        emit(account, "subscription_schedule.expiring", schedule)


def phase_of_now(subscription: Json) -> Json:
    """The phase that a schedule made from a running subscription begins with: its items until its period ends."""
    begins_at, ends_at = current_period(subscription)
    items = [{"price": item["price"]["id"], "quantity": item["quantity"], "metadata": item["metadata"]}
             for item in items_of(subscription)]  # fmt: skip
    return phase({"items": items}, begins_at, ends_at, subscription["currency"])


def can_be_scheduled(subscription: Json) -> bool:
    """Whether a schedule may follow a subscription: one that runs and has none."""
    return subscription["status"] not in (*ENDED, "incomplete") and subscription["schedule"] is None


DEEDS |= {"schedule.step": _step, "schedule.expiring": _tell_expiring}
BEFORE_DUE.append(_follow)
END_FOLLOWERS.append(_after_end)

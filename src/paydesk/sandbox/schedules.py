"""Subscription schedules: phases that a subscription goes through by itself, each with its prices, one after the other.

A phase begins at the end of the one before it, ahead of the renewal that is due at the same moment: so a change at the
end of a period is billed with the new prices and without prorations. The first invoice of a schedule is a draft for an
hour, as a renewal's. After the last phase the subscription goes on alone (`release`) or ends (`cancel`).
"""

from __future__ import annotations

from dataclasses import replace

from .accounts import Account
from .coupons import redeemable
from .errors import Json
from .events import emit, emit_update
from .later import DEEDS, later
from .live_customers import live_customer
from .periods import DAY_S
from .schedule_phases import default_settings
from .subscription_calls import ordered, update
from .subscription_rows import ENDED, billing_mode, items_of
from .subscriptions import BEFORE_DUE, END_FOLLOWERS, start

KIND = "subscription_schedule"
_EXPIRING_S = 7 * DAY_S
OPEN = ("active", "not_started")


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
        "_bare": bare_phases(given.get("phases") or [], phases),
    })  # fmt: skip
    if subscription is not None:
        account.change(schedule, current_phase=_span(phases[0]), billing_mode=_mode(subscription["billing_mode"]))
        emit_update(account, "customer.subscription.updated", subscription,
                    account.change(subscription, schedule=schedule["id"]))  # fmt: skip
    emit(account, "subscription_schedule.created", schedule)
    plan_next(account, schedule)
    return schedule


def bare_phases(given: list[Json], phases: list[Json]) -> list[int]:
    """Where the phases begin that have no discount at all, not even the customer's: an empty list of them was given."""
    pairs = zip(given, phases, strict=False)
    return [made["start_date"] for one, made in pairs if "discounts" in one and not one["discounts"]]


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
    given: Json = {
        **_settings(schedule, first),
        "add_invoice_items": _extras(first),
        "billing_mode": {"type": schedule["billing_mode"]["type"]},
        "discounts": usable(account, first["discounts"]),
        "items": [{"price": one["price"], "quantity": one["quantity"], "metadata": one["metadata"],
                   "discounts": usable(account, one["discounts"])} for one in first["items"]],
        "metadata": first["metadata"],
        **_ending(schedule, first),
    }  # fmt: skip
    if first["trial_end"]:
        given["trial_end"] = first["trial_end"]
    drafts = given.get("collection_method", "charge_automatically") == "charge_automatically"
    order = replace(ordered(account, customer, given), bare=_is_bare(schedule, first))
    subscription = start(account, order, collects=True, drafts=drafts)
    account.change(subscription, schedule=schedule["id"], **_ending(schedule, first))
    previous = account.change(schedule, status="active", subscription=subscription["id"], current_phase=_span(first))
    emit(account, "subscription_schedule.updated", schedule, previous)
    plan_next(account, schedule)


def _settings(schedule: Json, one: Json) -> Json:
    """What a phase says of its subscription, or else the schedule does for all of them."""
    names = ("automatic_tax", "collection_method", "default_payment_method", "description", "invoice_settings")
    found = {name: one[name] or schedule["default_settings"][name] for name in names}
    settings = dict(found["invoice_settings"])
    days = settings.pop("days_until_due")
    if found["collection_method"] == "send_invoice":
        found["days_until_due"] = days
    return {name: value for name, value in {**found, "invoice_settings": settings}.items() if value is not None}


def _extras(one: Json) -> list[Json]:
    return [{"price": extra["price"], "quantity": extra["quantity"]} for extra in one["add_invoice_items"]]


def usable(account: Account, discounts: list[Json]) -> list[Json]:
    """The discounts of a phase as an order names them, less those that cannot be had any more."""
    named = [{name: value for name, value in one.items() if value is not None} for one in discounts]
    return [one for one in named if _is_there(account, one)]


def _is_there(account: Account, named: Json) -> bool:
    kind, object_id = next(iter(named.items()))
    row = account.find(kind, object_id)
    return row is not None and not row.get("deleted") and (kind == "discount" or redeemable(account, row))


def _is_bare(schedule: Json, one: Json) -> bool:
    return one["start_date"] in schedule["_bare"]


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


def enter(account: Account, schedule: Json, subscription: Json, one: Json) -> None:
    """A phase begins: give its subscription the prices, discounts and trial of it, and tell it."""
    change = {**_change(account, schedule, subscription, one, []), "add_invoice_items": _extras(one),
              "proration_behavior": one["proration_behavior"]}  # fmt: skip
    if one["discounts"] or subscription["discounts"]:
        change["discounts"] = usable(account, one["discounts"])
    anchor = one["billing_cycle_anchor"] or schedule["default_settings"]["billing_cycle_anchor"]
    if anchor == "phase_start":
        change["billing_cycle_anchor"] = {"type": "now"}
    _carry_out(account, schedule, subscription, one, change)


def amend(account: Account, schedule: Json, subscription: Json, pair: tuple[Json, Json], proration: str) -> None:
    """The phase that runs is changed: `pair` is what it was, and what it is now."""
    before, one = pair
    change = {**_change(account, schedule, subscription, one, before["items"]), "proration_behavior": proration}
    if one["discounts"] != before["discounts"]:
        change["discounts"] = usable(account, one["discounts"])
    _carry_out(account, schedule, subscription, one, change)


def _change(account: Account, schedule: Json, subscription: Json, one: Json, before: list[Json]) -> Json:
    return {
        **_settings(schedule, one),
        "items": changed_items(account, subscription, one, before),
        "metadata": one["metadata"],
        **_trial(account, subscription, one),
    }


def _carry_out(account: Account, schedule: Json, subscription: Json, one: Json, change: Json) -> None:
    previous = account.change(schedule, current_phase=_span(one))
    account.change(subscription, _bare=_is_bare(schedule, one))
    update(account, subscription, change)
    account.change(subscription, **_ending(schedule, one))
    emit_update(account, "subscription_schedule.updated", schedule, previous)
    plan_next(account, schedule)


def _trial(account: Account, subscription: Json, one: Json) -> Json:
    """What a phase changes about the trial: it begins, ends at another time, or is over."""
    now, until = account.clock.now_s(), one["trial_end"]
    trialing = subscription["status"] == "trialing" and subscription["trial_end"] > now
    if until is not None and until > now:
        return {} if trialing and subscription["trial_end"] == until else {"trial_end": until}
    return {"trial_end": "now"} if trialing else {}


def changed_items(account: Account, subscription: Json, one: Json, before: list[Json]) -> list[Json]:
    """The update that turns the items of a subscription into those of a phase: same prices stay, others take over.

    Discounts that an item of the phase had `before` the change are not given to it once more."""
    had = {row["price"]: row["discounts"] for row in before}
    left, kept = items_of(subscription), {item["id"]: item for item in items_of(subscription)}
    wanted = [{"price": row["price"], "quantity": row["quantity"], "metadata": row["metadata"]} for row in one["items"]]
    for row in wanted:
        same = next((item for item in left if item["price"]["id"] == row["price"]), None)
        if same is not None:
            row["id"] = same["id"]
            left.remove(same)
    for row, told in zip(wanted, one["items"], strict=True):
        if "id" not in row and left:
            row["id"] = left.pop(0)["id"]
        has = told["discounts"] or kept.get(row.get("id"), {}).get("discounts")
        if has and had.get(told["price"]) != told["discounts"]:
            row["discounts"] = usable(account, told["discounts"])
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
    """The schedule of a subscription that ended before its time has nothing left to do; for want of money it is aborted."""
    schedule = account.find(KIND, subscription["schedule"] or "")
    if schedule is None or schedule["status"] != "active":
        return
    if subscription["cancellation_details"]["reason"] == "payment_failed":
        account.change(schedule, status="canceled", current_phase=None, canceled_at=account.clock.now_s())
        emit(account, "subscription_schedule.aborted", schedule)
    else:
        set_canceled(account, schedule)


def _tell_expiring(account: Account, schedule_id: str) -> None:
    schedule = account.find(KIND, schedule_id)
    now = account.clock.now_s()
    if schedule and schedule["status"] in OPEN and schedule["phases"][-1]["end_date"] - _EXPIRING_S <= now:
        emit(account, "subscription_schedule.expiring", schedule)


def can_be_scheduled(subscription: Json) -> bool:
    """Whether a schedule may follow a subscription: one that runs and has none."""
    return subscription["status"] not in (*ENDED, "incomplete") and subscription["schedule"] is None


DEEDS |= {"schedule.step": _step, "schedule.expiring": _tell_expiring}
BEFORE_DUE.append(_follow)
END_FOLLOWERS.append(_after_end)

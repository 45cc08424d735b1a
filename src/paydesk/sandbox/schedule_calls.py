"""Subscription schedules in the API: create, from a running subscription too, update, release, cancel, list."""

from __future__ import annotations

from . import lists
from .accounts import Account
from .calls import Call, Operation, get, listing, post
from .errors import Json, invalid, missing_parameter
from .events import emit_update
from .live_customers import live_customer
from .params import Shape, choice, fields, flag, items, merged_metadata, metadata, moment_range, text
from .schedule_phases import (
    CHANGED_PHASE,
    MOMENT,
    PHASE,
    PRORATION,
    SETTINGS,
    check_default_method,
    default_settings,
    phase_of_now,
    phases_of,
)
from .schedules import (
    KIND,
    OPEN,
    add_schedule,
    amend,
    bare_phases,
    begin,
    can_be_scheduled,
    enter,
    plan_next,
    release,
    set_canceled,
)
from .subscription_calls import existing
from .subscription_ends import cancel
from .subscription_params import BILLING_MODE

# The fields of a phase that its subscription takes over.
_OF_SUBSCRIPTION = ("automatic_tax", "collection_method", "default_payment_method", "description", "discounts",
                    "invoice_settings", "items", "metadata", "trial_end")  # fmt: skip
_COMMON: Shape = {
    "default_settings": fields(SETTINGS),
    "end_behavior": choice("cancel", "release"),
    "metadata": metadata,
}
_CREATE: Shape = {
    **_COMMON,
    "billing_mode": BILLING_MODE,
    "customer": text(clearable=False),
    "from_subscription": text(clearable=False),
    "phases": items(fields(PHASE, ("items",)), 10),
    "start_date": MOMENT,
}
_UPDATE: Shape = {
    **_COMMON,
    "phases": items(fields(CHANGED_PHASE, ("items",)), 10),
    "proration_behavior": PRORATION,
}


def _existing(call: Call) -> Json:
    return call.account.get(KIND, call.id, "schedule", status=404, noun="subscription schedule")


def _open(call: Call) -> Json:
    schedule = _existing(call)
    if schedule["status"] not in OPEN:
        raise invalid(
            f"This subscription schedule has the status `{schedule['status']}` and cannot be changed any more."
        )
    return schedule


def _create(call: Call) -> Json:
    account, given = call.account, call.params
    if given.get("from_subscription"):
        return _from_subscription(account, given)
    if "customer" not in given:
        raise missing_parameter("customer")
    if not given.get("phases"):
        raise missing_parameter("phases")
    customer, now = live_customer(account, given["customer"]), account.clock.now_s()
    begins_at = given.get("start_date", "now")
    begins_at = now if begins_at == "now" else int(begins_at)
    if begins_at < now:
        raise invalid("This sandbox does not backdate schedules: start_date must not be in the past.", "start_date")
    check_default_method(account, customer["id"], given.get("default_settings") or {}, "default_settings")
    phases = phases_of(account, customer["id"], given["phases"], begins_at)
    schedule = add_schedule(account, customer["id"], phases, _with_metadata({}, given), None)
    if begins_at == now:
        begin(account, schedule)
    return schedule


def _with_metadata(old: Json, given: Json) -> Json:
    return {**given, "metadata": merged_metadata(old, given.get("metadata", {}))}


def _from_subscription(account: Account, given: Json) -> Json:
    unfit = sorted(set(given) - {"billing_mode", "from_subscription", "metadata"})
    if unfit:
        raise invalid(f"You cannot set `{unfit[0]}` if `from_subscription` is set.", unfit[0])
    subscription = existing(account, given["from_subscription"], "from_subscription", 400)
    if not can_be_scheduled(subscription):
        raise invalid("The subscription is over, not paid yet, or managed by a schedule already.", "from_subscription")
    first = phase_of_now(subscription)
    return add_schedule(account, subscription["customer"], [first], _with_metadata({}, given), subscription)


def _update(call: Call) -> Json:
    account, given, schedule = call.account, call.params, _open(call)
    before = _current(schedule)
    values: Json = {name: given[name] for name in ("end_behavior",) if name in given}
    if "metadata" in given:
        values["metadata"] = merged_metadata(schedule["metadata"], given["metadata"])
    if given.get("default_settings"):
        check_default_method(account, schedule["customer"], given["default_settings"], "default_settings")
        values["default_settings"] = default_settings(schedule["default_settings"], given["default_settings"])
    if given.get("phases"):
        values["phases"] = _new_phases(account, schedule, given["phases"])
    emit_update(account, "subscription_schedule.updated", schedule, account.change(schedule, **values))
    if schedule["status"] == "active":
        _apply_now(account, schedule, given, before)
    plan_next(account, schedule)
    return schedule


def _current(schedule: Json) -> Json:
    """The phase that runs, or the first one."""
    start = (schedule["current_phase"] or schedule["phases"][0])["start_date"]
    return dict(next(one for one in schedule["phases"] if one["start_date"] == start))


def _new_phases(account: Account, schedule: Json, given: list[Json]) -> list[Json]:
    """The phases of an update: those that are over, then the given ones. They begin with the current one, or where the
    schedule begins."""
    current, now = schedule["current_phase"], account.clock.now_s()
    starts = [schedule["phases"][0]["start_date"], *([current["start_date"]] if current else [])]
    begins_at = given[0].get("start_date", starts[-1])
    begins_at = now if begins_at == "now" else begins_at
    if current and begins_at not in starts:
        raise invalid(
            "You can not modify the start date of the current phase: give it as it is.", "phases[0][start_date]"
        )
    made = phases_of(account, schedule["customer"], given, begins_at)
    if current and not any(one["start_date"] == current["start_date"] for one in made):
        raise invalid("The current phase must be among the phases.", "phases")
    if made[-1]["end_date"] <= now:
        raise invalid("The last phase must end in the future.", f"phases[{len(made) - 1}][end_date]")
    over = [one for one in schedule["phases"] if current and one["end_date"] <= begins_at]
    account.change(schedule, _bare=[*schedule["_bare"], *bare_phases(given, made)])
    return over + made


def _apply_now(account: Account, schedule: Json, given: Json, before: Json) -> None:
    """What an update changes in the current phase, or the phase that it lets begin, holds at once."""
    now = account.clock.now_s()
    subscription = account.get("subscription", schedule["subscription"], "subscription")
    current = next((one for one in schedule["phases"] if one["start_date"] <= now < one["end_date"]), None)
    if current is None:
        return
    if current["start_date"] != before["start_date"]:
        enter(account, schedule, subscription, current)
    elif "default_settings" in given or any(current[name] != before[name] for name in _OF_SUBSCRIPTION):
        amend(account, schedule, subscription, (before, current), given.get("proration_behavior", "create_prorations"))
    else:
        _keep_on(account, schedule, subscription, current)


def _keep_on(account: Account, schedule: Json, subscription: Json, current: Json) -> None:
    """The current phase goes on with the same prices, perhaps for another time."""
    account.change(schedule, current_phase={name: current[name] for name in ("start_date", "end_date")})
    ends = current is schedule["phases"][-1] and schedule["end_behavior"] == "cancel"
    if not subscription["cancel_at_period_end"]:
        emit_update(account, "customer.subscription.updated", subscription,
                    account.change(subscription, cancel_at=current["end_date"] if ends else None))  # fmt: skip


def _release(call: Call) -> Json:
    schedule = _open(call)
    subscription = call.account.find("subscription", schedule["subscription"] or "")
    release(call.account, schedule, subscription, keeps_end=call.params.get("preserve_cancel_date", False))
    return schedule


def _cancel(call: Call) -> Json:
    schedule, account = _open(call), call.account
    subscription = account.find("subscription", schedule["subscription"] or "")
    if subscription is None:
        set_canceled(account, schedule)
        return schedule
    names = ("invoice_now", "prorate")
    cancel(account, subscription, {name: call.params.get(name, True) for name in names})
    return schedule


def _list(call: Call) -> Json:
    keep, given = lists.same(call.params, "customer"), call.params
    moments = [name for name in ("canceled_at", "completed_at", "released_at") if name in given]

    def fits(row: Json) -> bool:
        if given.get("scheduled") and row["status"] != "not_started":
            return False
        return keep(row) and all(row[name] is not None and lists.in_range(row[name], given[name]) for name in moments)

    return lists.page(call.account, KIND, given, "/v1/subscription_schedules", fits)


OPERATIONS: list[Operation] = [
    post("/v1/subscription_schedules", _create, _CREATE),
    listing("/v1/subscription_schedules", _list, {
        "canceled_at": moment_range, "completed_at": moment_range, "customer": text(), "released_at": moment_range,
        "scheduled": flag,
    }),
    get("/v1/subscription_schedules/{id}", _existing),
    post("/v1/subscription_schedules/{id}", _update, _UPDATE),
    post("/v1/subscription_schedules/{id}/cancel", _cancel, {"invoice_now": flag, "prorate": flag}),
    post("/v1/subscription_schedules/{id}/release", _release, {"preserve_cancel_date": flag}),
]  # fmt: skip

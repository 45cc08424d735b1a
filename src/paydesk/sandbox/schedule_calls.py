"""Subscription schedules in the API: create, from a running subscription too, update, release, cancel, list."""

from __future__ import annotations

from typing import Any

from . import lists
from .accounts import Account
from .calls import Call, Operation, get, listing, post
from .errors import Json, invalid, missing_parameter
from .events import emit_update
from .live_customers import live_customer
from .params import (
    Kind,
    Shape,
    choice,
    fields,
    flag,
    integer,
    items,
    merged_metadata,
    metadata,
    moment_range,
    text,
    whole,
)
from .periods import boundary
from .schedules import (
    KIND,
    OPEN,
    add_schedule,
    begin,
    can_be_scheduled,
    default_settings,
    enter,
    phase,
    phase_of_now,
    plan_next,
    release,
    set_canceled,
)
from .subscription_calls import existing
from .subscription_ends import cancel
from .subscription_params import BILLING_MODE
from .subscription_rows import check_items, recurring_price


def _start(value: Any, name: str) -> int | str:
    """A time in seconds, or `now`."""
    return "now" if value == "now" else integer(value, name)


def _no_maker(account: Account, given: Json, param: str) -> Json:
    raise invalid("Phases name prices that exist.", param)


_START: Kind = _start
_ITEM: Shape = {
    "metadata": metadata, "plan": text(clearable=False), "price": text(clearable=False), "quantity": whole(0, 999_999),
}  # fmt: skip
_SETTINGS: Shape = {
    "billing_cycle_anchor": choice("automatic", "phase_start"),
    "collection_method": choice("charge_automatically", "send_invoice"),
    "default_payment_method": text(clearable=False),
    "description": text(500),
}
_PRORATION = choice("always_invoice", "create_prorations", "none")
_PHASE: Shape = {
    **_SETTINGS,
    "currency": text(3, clearable=False),
    "duration": fields({"interval": choice("day", "month", "week", "year"), "interval_count": whole(1)}, ("interval",)),
    "end_date": integer,
    "items": items(fields(_ITEM), 20),
    "iterations": whole(1),  # the word of older versions: so many periods of the first price
    "metadata": metadata,
    "proration_behavior": _PRORATION,
}
_COMMON: Shape = {
    "default_settings": fields(_SETTINGS),
    "end_behavior": choice("cancel", "release"),
    "metadata": metadata,
}
_CREATE: Shape = {
    **_COMMON,
    "billing_mode": BILLING_MODE,
    "customer": text(clearable=False),
    "from_subscription": text(clearable=False),
    "phases": items(fields(_PHASE, ("items",)), 10),
    "start_date": _START,
}
_UPDATE: Shape = {
    **_COMMON,
    "phases": items(fields({**_PHASE, "start_date": _START}, ("items",)), 10),
    "proration_behavior": _PRORATION,
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
    phases = _phases(account, given["phases"], begins_at)
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


def _phases(account: Account, given: list[Json], begins_at: int) -> list[Json]:
    """The phases one after the other; each begins where the one before it ends."""
    made: list[Json] = []
    for place, one in enumerate(given):
        param = f"phases[{place}]"
        start = made[-1]["end_date"] if made else begins_at
        wanted = one.get("start_date", start)
        if made and wanted != start:
            raise invalid("The phase must begin where the phase before it ends.", f"{param}[start_date]")
        if not one["items"]:
            raise missing_parameter(f"{param}[items]")
        prices = [recurring_price(account, item, f"{param}[items][{number}]", _no_maker)
                  for number, item in enumerate(one["items"])]  # fmt: skip
        check_items(prices, mixed=True)
        rows = [{**item, "price": price["id"]} for item, price in zip(one["items"], prices, strict=True)]
        made.append(phase({**one, "items": rows}, start, _end(one, start, prices[0], param), prices[0]["currency"]))
    return made


def _end(given: Json, begins_at: int, price: Json, param: str) -> int:
    """When a phase ends: as it says, or after one period of its first price."""
    ways = [name for name in ("duration", "end_date", "iterations") if given.get(name) is not None]
    if len(ways) > 1:
        raise invalid(f"You may only specify one of these parameters: {', '.join(ways)}.", f"{param}[{ways[1]}]")
    if "end_date" in ways:
        if given["end_date"] <= begins_at:
            raise invalid("The phase must end after it begins.", f"{param}[end_date]")
        return int(given["end_date"])
    if "duration" in ways:
        return boundary(begins_at, given["duration"]["interval"], given["duration"].get("interval_count", 1), 1)
    recurring = price["recurring"]
    return boundary(begins_at, recurring["interval"], recurring["interval_count"], given.get("iterations", 1))


def _update(call: Call) -> Json:
    account, given, schedule = call.account, call.params, _open(call)
    values: Json = {name: given[name] for name in ("end_behavior",) if name in given}
    if "metadata" in given:
        values["metadata"] = merged_metadata(schedule["metadata"], given["metadata"])
    if given.get("default_settings"):
        values["default_settings"] = default_settings(schedule["default_settings"], given["default_settings"])
    if given.get("phases"):
        values["phases"] = _new_phases(account, schedule, given["phases"])
    emit_update(account, "subscription_schedule.updated", schedule, account.change(schedule, **values))
    if schedule["status"] == "active":
        _apply_now(account, schedule, given)
    plan_next(account, schedule)
    return schedule


def _new_phases(account: Account, schedule: Json, given: list[Json]) -> list[Json]:
    """The phases of an update; they begin with the current one, or where the schedule begins."""
    current = schedule["current_phase"]
    starts = [schedule["phases"][0]["start_date"], *([current["start_date"]] if current else [])]
    begins_at = given[0].get("start_date", starts[-1])
    begins_at = account.clock.now_s() if begins_at == "now" else begins_at
    if current and begins_at not in starts:
        raise invalid(
            "You can not modify the start date of the current phase: give it as it is.", "phases[0][start_date]"
        )
    made = _phases(account, given, begins_at)
    if current and not any(one["start_date"] == current["start_date"] for one in made):
        raise invalid("The current phase must be among the phases.", "phases")
    if made[-1]["end_date"] <= account.clock.now_s():
        raise invalid("The last phase must end in the future.", f"phases[{len(made) - 1}][end_date]")
    return made


def _apply_now(account: Account, schedule: Json, given: Json) -> None:
    """What an update changes in the current phase holds at once."""
    now = account.clock.now_s()
    subscription = account.get("subscription", schedule["subscription"], "subscription")
    current = next((one for one in schedule["phases"] if one["start_date"] <= now < one["end_date"]), None)
    if current is None:
        return
    before = {(item["price"]["id"], item["quantity"]) for item in subscription["items"]["data"]}
    if before != {(row["price"], row["quantity"]) for row in current["items"]}:
        enter(account, schedule, subscription, current, given.get("proration_behavior", "create_prorations"))
        return
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

"""Test clocks: a time of their own for some customers, that stands still until it is advanced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from . import lists
from .accounts import Account
from .calls import Call, Operation, delete, get, listing, post
from .clock import STEP_S, Timeline
from .errors import Json, invalid
from .events import emit
from .later import DEEDS, later
from .params import Shape, integer, text
from .periods import DAY_S, next_boundary
from .subscription_rows import ENDED, items_of, shortest_interval

KIND = "test_helpers.test_clock"
_KEPT_S = 30 * DAY_S
_OWN = {"card": "payment_method", "cn": "credit_note", "cs": "checkout.session", "cus": "customer", "ii": "invoiceitem",
        "in": "invoice", "pi": "payment_intent", "seti": "setup_intent", "si": "_item", "sub": "subscription"}  # fmt: skip
_NAMES = ("customer", "from_subscription", "subscription", "invoice", "payment_intent")


def timeline_of(account: Account, clock_id: str) -> Timeline:
    """What is due on a test clock."""
    if clock_id not in account.timelines:
        account.timelines[clock_id] = Timeline(account.clock)
    return account.timelines[clock_id]


@contextmanager
def time_of(account: Account, clock_id: str | None) -> Iterator[None]:
    """Live at the frozen time of a test clock: the clock shows it, and what is planned is planned on it."""
    row = account.find(KIND, clock_id or "")
    if row is None or row.get("deleted"):
        yield
        return
    held, at, known, told_at = account.clock.held, account.at, account.test_clock, account.told_at
    account.told_at = account.clock.now_s() if told_at is None else told_at
    account.clock.hold(row.get("_reached") or row["frozen_time"])
    account.at, account.test_clock = timeline_of(account, row["id"]).at, row["id"]
    try:
        yield
    finally:
        account.clock.hold(held)
        account.at, account.test_clock, account.told_at = at, known, told_at


def clock_of_request(account: Account, object_id: str, params: Mapping[str, Any]) -> str | None:
    """The test clock on which lives what a request is about, or None."""
    if params.get("test_clock"):
        return str(params["test_clock"])
    ids = [object_id, *(params[name] for name in _NAMES if isinstance(params.get(name), str))]
    for one in ids:
        kind = "subscription_schedule" if one.startswith("sub_sched_") else _OWN.get(one.partition("_")[0], "")
        row = account.find(kind, one)
        if row is not None and row["object"] == "_item":
            row = account.find("subscription", row["subscription"])
        if row is None:
            continue
        holder = row if "test_clock" in row else account.find("customer", row.get("customer") or "")
        if holder is not None:
            return holder.get("test_clock")
    return None


def _create(call: Call) -> Json:
    now = call.account.clock.now_s()
    row = call.account.add(KIND, {
        "deletes_after": now + _KEPT_S,
        "frozen_time": call.params["frozen_time"],
        "name": call.params.get("name"),
        "status": "ready",
        "status_details": {},
    })  # fmt: skip
    emit(call.account, "test_helpers.test_clock.created", row)
    return row


def _existing(call: Call) -> Json:
    row = call.account.get(KIND, call.id, "test_clock", status=404)
    if row.get("deleted"):
        call.account.get(KIND, f"{call.id} (deleted)", "test_clock", status=404)
    return row


def _advance(call: Call) -> Json:
    account, row, target = call.account, _existing(call), call.params["frozen_time"]
    if row["status"] != "ready":
        raise invalid("This test clock is advancing; wait until its status is `ready`.", None, "test_clock_not_ready")
    if target <= row["frozen_time"]:
        raise invalid("The test clock's frozen_time can only be advanced to a later time.", "frozen_time")
    if target > _farthest(account, row):
        raise invalid(
            "You cannot advance a test clock by more than two intervals from its current frozen time, based on the "
            "shortest subscription interval associated with the test clock.", "frozen_time",
        )  # fmt: skip
    account.change(row, status="advancing", status_details={"advancing": {"target_frozen_time": target}})
    emit(account, "test_helpers.test_clock.advancing", row)
    later(account, account.clock.now(), "test_clock.advance", row["id"])
    return row


def _farthest(account: Account, row: Json) -> int:
    """Two billing intervals on; two years without a subscription."""
    ends = [next_boundary(row["frozen_time"], "year", 2, row["frozen_time"])]
    for customer in _customers(account, row):
        for one in customer.get("_subscriptions", []):
            subscription = account.get("subscription", one, "subscription")
            if subscription["status"] not in ENDED:
                interval, count = shortest_interval(items_of(subscription))
                ends.append(next_boundary(row["frozen_time"], interval, 2 * count, row["frozen_time"]))
    return min(ends)


def _customers(account: Account, row: Json) -> list[Json]:
    return [one for one in account.all("customer") if one["test_clock"] == row["id"] and not one.get("deleted")]


def _move(account: Account, clock_id: str) -> None:
    """Everything due up to the target happens in order of time, then the clock is ready.

    A long way is gone in pieces; between them others are answered, and what has happened is told.
    """
    row = account.get(KIND, clock_id, "test_clock")
    if row["status"] != "advancing":
        return
    target = row["status_details"]["advancing"]["target_frozen_time"]
    with time_of(account, clock_id):
        stopped_at = timeline_of(account, clock_id).run_until(target, patience_s=STEP_S)
    if stopped_at is not None:
        account.change(row, _reached=int(stopped_at))
        later(account, account.clock.now(), "test_clock.advance", row["id"])
        return
    account.change(row, frozen_time=target, status="ready", status_details={}, _reached=None)
    emit(account, "test_helpers.test_clock.ready", row)


def _delete(call: Call) -> Json:
    row = _existing(call)
    for customer in _customers(call.account, row):
        for one in customer.get("_subscriptions", []):
            subscription = call.account.get("subscription", one, "subscription")
            if subscription["status"] not in ENDED:
                call.account.change(subscription, status="canceled", ended_at=row["frozen_time"])
        call.account.change(customer, deleted=True)
    call.account.timelines.pop(row["id"], None)
    emit(call.account, "test_helpers.test_clock.deleted", row)
    call.account.change(row, deleted=True)
    return {"id": row["id"], "object": KIND, "deleted": True}


def _list(call: Call) -> Json:
    return lists.page(call.account, KIND, call.params, "/v1/test_helpers/test_clocks", lambda row: True)


DEEDS["test_clock.advance"] = _move

_ADVANCE: Shape = {"frozen_time": integer}
OPERATIONS: list[Operation] = [
    post("/v1/test_helpers/test_clocks", _create, {"frozen_time": integer, "name": text(300)}, ("frozen_time",)),
    listing("/v1/test_helpers/test_clocks", _list, dated=False),
    get("/v1/test_helpers/test_clocks/{id}", _existing),
    delete("/v1/test_helpers/test_clocks/{id}", _delete),
    post("/v1/test_helpers/test_clocks/{id}/advance", _advance, _ADVANCE, ("frozen_time",)),
]

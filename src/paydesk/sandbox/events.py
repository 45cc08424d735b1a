"""Events: every change worth telling is written here once, and offered to each webhook endpoint that wants it.

What happens on a test clock is `created` at the time of that clock; it is kept, and delivered, by the real time.
"""

from __future__ import annotations

from typing import Any

from . import lists
from .accounts import Account
from .calls import Call, Operation, get, listing
from .errors import Json, invalid
from .params import flag, items, text
from .present import public

_KEPT_S = 30 * 24 * 3600


def emit(account: Account, event_type: str, row: Json, previous: Json | None = None) -> Json:
    """Record that something happened to an object, as it is now; `previous` holds the former values of an update."""
    data: Json = {"object": public(row)}
    if previous is not None:
        data["previous_attributes"] = previous
    wanting = [endpoint for endpoint in account.all("webhook_endpoint") if wants(endpoint, event_type)]
    event = account.add("event", {
        "api_version": account.settings.api_version,
        "data": data,
        "pending_webhooks": len(wanting),
        "request": {"id": account.cause.request_id, "idempotency_key": account.cause.idempotency_key},
        "type": event_type,
        **({} if account.told_at is None else {"_told_at": account.told_at}),
    })  # fmt: skip
    account.fresh_events.append(event)
    for endpoint in wanting:
        _offer(account, event, endpoint)
    _forget_old(account)
    return event


def _forget_old(account: Account) -> None:
    """Events are there for 30 days, or until they are delivered: a moved clock must not fill the memory."""
    now = account.clock.now_s() if account.told_at is None else account.told_at
    table = account.table("event")
    event = table.oldest()
    while event is not None and _told_at(event) < now - _KEPT_S and not event["pending_webhooks"]:
        account.remove("event", event["id"])
        event = table.oldest()


def _told_at(event: Json) -> int:
    """When an event was told; that is not its `created` where it belongs to a test clock, which has its own time."""
    return int(event["_told_at"] if "_told_at" in event else event["created"])


def emit_update(account: Account, event_type: str, row: Json, previous: Json) -> None:
    """Record an update, unless nothing changed."""
    if previous:
        emit(account, event_type, row, previous)


def wants(endpoint: Json, event_type: str) -> bool:
    """Whether an endpoint is enabled and listens to this type."""
    listened = endpoint["enabled_events"]
    return endpoint["status"] == "enabled" and ("*" in listened or event_type in listened)


def offer_again(account: Account, event: Json) -> int:
    """Send an event once more to every endpoint that wants it; gives their number."""
    wanting = [endpoint for endpoint in account.all("webhook_endpoint") if wants(endpoint, event["type"])]
    account.fresh_events.append(event)
    for endpoint in wanting:
        _offer(account, event, endpoint)
    account.change(event, pending_webhooks=event["pending_webhooks"] + len(wanting))
    return len(wanting)


def _offer(account: Account, event: Json, endpoint: Json) -> None:
    moment = account.clock.now_s() if account.told_at is None else account.told_at
    delivery = account.add("_delivery", {
        "event": event["id"],
        "endpoint": endpoint["id"],
        "status": "waiting",
        "attempts": [],
        "created": moment,
        "next_attempt_at": moment,
    })  # fmt: skip
    account.fresh_deliveries.append(delivery)


def _retrieve(call: Call) -> Json:
    return call.account.get("event", call.id, "id", status=404)


def _list(call: Call) -> Json:
    types = set(call.params.get("types") or [])
    single = call.params.get("type")
    if types and single:
        raise invalid("You may only specify one of these parameters: type, types.", "type")
    success = call.params.get("delivery_success")
    oldest = call.account.clock.now_s() - _KEPT_S

    def keep(event: Json) -> bool:
        if _told_at(event) < oldest or (success is not None and success != (event["pending_webhooks"] == 0)):
            return False
        return _type_matches(single, event["type"]) and (not types or event["type"] in types)

    return lists.page(call.account, "event", call.params, "/v1/events", keep)


def _type_matches(wanted: Any, event_type: str) -> bool:
    """`charge.*` takes every type that begins with `charge.`."""
    if not wanted:
        return True
    if wanted.endswith("*"):
        return event_type.startswith(wanted[:-1])
    return bool(wanted == event_type)


OPERATIONS: list[Operation] = [
    listing("/v1/events", _list, {"type": text(), "types": items(text(), 20), "delivery_success": flag}),
    get("/v1/events/{id}", _retrieve),
]

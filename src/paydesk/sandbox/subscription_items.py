"""Subscription items in the API: each call is an update of its subscription."""

from __future__ import annotations

from . import lists
from .accounts import Account
from .calls import Call, Operation, get, listing, post
from .errors import Json, invalid, no_such
from .params import Shape, flag, items, text
from .subscription_calls import existing, update
from .subscription_params import BEHAVIOR, ITEM, PRORATION
from .subscription_rows import items_of

_HOW: Shape = {**PRORATION, "payment_behavior": BEHAVIOR}
_HOW_NAMES = tuple(_HOW)


def _found(account: Account, item_id: str) -> tuple[Json, Json]:
    """The subscription and its item with this id."""
    row = account.find("_item", item_id)
    subscription = account.find("subscription", row["subscription"]) if row else None
    if subscription is not None:
        for item in items_of(subscription):
            if item["id"] == item_id:
                return subscription, item
    raise no_such("subscription_item", item_id, "item", 404)


def _split(given: Json) -> tuple[Json, Json]:
    """The parameters of the item, and those that say how to change it."""
    how = {name: given[name] for name in _HOW_NAMES if name in given}
    return {name: value for name, value in given.items() if name not in (*how, "subscription", "clear_usage")}, how


def _create(call: Call) -> Json:
    subscription = existing(call.account, call.params["subscription"], "subscription", 400)
    item, how = _split(call.params)
    known = {one["id"] for one in items_of(subscription)}
    update(call.account, subscription, {"items": [item], **how})
    return next(one for one in items_of(subscription) if one["id"] not in known)


def _retrieve(call: Call) -> Json:
    return _found(call.account, call.id)[1]


def _update(call: Call) -> Json:
    subscription, item = _found(call.account, call.id)
    values, how = _split(call.params)
    update(call.account, subscription, {"items": [{**values, "id": item["id"]}], **how})
    return _found(call.account, call.id)[1]


def _delete(call: Call) -> Json:
    subscription, item = _found(call.account, call.id)
    if len(items_of(subscription)) == 1:
        raise invalid("A subscription must have at least one item; cancel the subscription instead.", "item")
    update(call.account, subscription, {"items": [{"id": item["id"], "deleted": True}], **_split(call.params)[1]})
    return {"id": item["id"], "object": "subscription_item", "deleted": True}


def _list(call: Call) -> Json:
    subscription = existing(call.account, call.params["subscription"], "subscription", 400)
    data = items_of(subscription)
    return lists.window(data, call.params, f"/v1/subscription_items?subscription={subscription['id']}")


OPERATIONS: list[Operation] = [
    post("/v1/subscription_items", _create, {**ITEM, **_HOW, "subscription": text(clearable=False)},
         ("subscription",)),
    Operation("GET", "/v1/subscription_items", _list,
              {**listing("", _list, dated=False).shape, "subscription": text(clearable=False)}, ("subscription",)),
    get("/v1/subscription_items/{id}", _retrieve),
    post("/v1/subscription_items/{id}", _update, {**ITEM, **_HOW}),
    Operation("DELETE", "/v1/subscription_items/{id}", _delete,
              {"expand": items(text(), 20), **_HOW, "clear_usage": flag}),
]  # fmt: skip

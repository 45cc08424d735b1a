"""The OpenAPI description, made whole: what every call answers, every error it may answer, examples, and the key it needs.

FastAPI writes down what calls take; what they answer stands in `RESULTS`, by the name of the call. Nothing of it runs
when a call is answered. A call that is not in the table is described as FastAPI does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from paydesk.web import answers, answers_more
from paydesk.web.pages.reference import Reader

Json = dict[str, Any]

METHODS = ("get", "post", "patch", "put", "delete")
NATIVE = "/v1/"

RESULTS: dict[str, type[BaseModel] | list[type[BaseModel]]] = {
    "list_products": [answers.Product], "get_product": answers.Product, "get_config": answers_more.PageConfig,
    "create_customer": answers.Customer, "list_customers": [answers.Customer], "get_customer": answers.Customer,
    "change_customer": answers.Customer, "merge_customers": answers.Customer, "link_identity": answers.Customer,
    "unlink_identity": answers.Customer, "get_timeline": [answers.Step],
    "create_customer_session": answers_more.CustomerSession,
    "claim": [answers.Claimed], "list_memberships": [answers.Membership], "sync_memberships": [answers.Membership],
    "get_access": answers.Access,
    "create_checkout": answers.Order, "list_orders": [answers.Order], "get_order": answers.Order,
    "cancel_order": answers.Order,
    "create_payment": answers.Payment, "list_payments": [answers.Payment], "get_payment": answers.Payment,
    "cancel_payment": answers.Payment, "capture_payment": answers.Payment,
    "create_refund": answers.Refund, "list_refunds": [answers.Refund], "get_refund": answers.Refund,
    "list_disputes": [answers.Dispute], "get_dispute": answers.Dispute,
    "create_subscription": answers.NewSubscription, "list_subscriptions": [answers.Subscription],
    "get_subscription": answers.Subscription, "change_subscription": answers.Subscription,
    "end_subscription": answers.Subscription, "open_portal": answers.Portal,
    "get_credits": answers_more.Wallet, "get_ledger": [answers_more.Entry], "list_holds": [answers_more.Hold],
    "get_hold": answers_more.Hold, "spend_credits": answers_more.Moved, "grant_credits": answers_more.Moved,
    "hold_credits": answers_more.Hold, "settle_hold": answers_more.Hold, "release_hold": answers_more.Hold,
    "set_up_topup": answers_more.TopUp, "get_topup": answers_more.TopUp, "turn_off_topup": answers_more.TopUp,
    "list_events": [answers_more.Event], "get_event": answers_more.Event, "replay_event": answers_more.Event,
    "list_deliveries": [answers_more.Delivery], "get_delivery": answers_more.Delivery,
    "retry_delivery": answers_more.Delivery, "get_status": answers_more.Status,
    "create_endpoint": answers_more.WebhookEndpointWithSecret, "list_endpoints": [answers_more.WebhookEndpoint],
    "get_endpoint": answers_more.WebhookEndpoint, "change_endpoint": answers_more.WebhookEndpoint,
    "enable_endpoint": answers_more.WebhookEndpoint, "rotate_secret": answers_more.WebhookEndpointWithSecret,
    "delete_endpoint": answers_more.Deleted,
    "chat": answers_more.Replies, "chat_messages": [answers_more.Message],
    "create_key": answers_more.KeyItself, "list_keys": [answers_more.Key], "get_key": answers_more.Key,
    "rotate_key": answers_more.KeyItself, "revoke_key": answers_more.Key,
    "get_agent": answers_more.Agent, "create_refund_request": answers_more.RefundRequest,
    "list_refund_requests": [answers_more.RefundRequest], "get_refund_request": answers_more.RefundRequest,
}  # fmt: skip
"""What each call answers: a thing, or a list of things."""

NAMES = {
    "set_up": "set_up_topup", "turn_off": "turn_off_topup", "sync": "sync_memberships", "settle_credits": "settle_hold",
    "release_credits": "release_hold", "create_session": "create_customer_session",
}  # fmt: skip
"""Names of calls that say too little outside of their module."""

PAYING = {
    "create_checkout", "create_payment", "capture_payment", "cancel_payment", "create_refund", "cancel_order",
    "create_subscription", "change_subscription", "end_subscription", "open_portal", "set_up_topup", "spend_credits",
    "hold_credits", "settle_hold", "release_hold", "grant_credits",
}  # fmt: skip
"""Calls that may be refused for money: a declined card, too few credits, Stripe's no."""

NOT_KEPT = {"turn_off_topup", "unlink_identity"}
"""Calls that change something and take no `Idempotency-Key`: again, they change nothing."""

ERRORS: dict[str, tuple[str, Json]] = {
    "400": ("What was sent is refused; `param` names it",
            {"code": "invalid_request", "message": "starting_after: this list has no order ord_x", "param": "starting_after"}),
    "401": ("No key, or one that is unknown or revoked",
            {"code": "unauthorized", "message": "send an API key: Authorization: Bearer pdk_…"}),
    "402": ("The card or bank said no, or there are too few credits: nothing has changed",
            {"code": "card_declined", "message": "Your card has insufficient funds.", "decline_code": "insufficient_funds"}),
    "403": ("The key lacks the scope", {"code": "forbidden", "message": "this key lacks the scope sell"}),
    "404": ("There is no such thing, or it is somebody else's",
            {"code": "not_found", "message": "no order ord_x", "param": "order"}),
    "409": ("It cannot be now, or the `Idempotency-Key` was used for another request",
            {"code": "idempotency_mismatch", "message": "this Idempotency-Key was used for another request",
             "param": "Idempotency-Key"}),
    "413": ("The body is too large", {"code": "too_large", "message": "a request has at most 262144 bytes"}),
    "422": ("A field is missing, unknown or malformed; `param` names it",
            {"code": "invalid_request", "message": "quantity: Input should be greater than or equal to 1",
             "param": "quantity"}),
    "429": ("Too many requests: wait for `Retry-After` seconds",
            {"code": "rate_limited", "message": "that was a lot at once: wait 1 second and try again"}),
    "503": ("Stripe or the database is away: repeat after `Retry-After` seconds, with the same `Idempotency-Key`",
            {"code": "stripe_unavailable", "message": "Stripe did not answer (payment)"}),
}  # fmt: skip
REQUEST_ID = "req_7h3kq2m9x4c8v1n6t0b5w1j7de"

KEY: Json = {
    "name": "Idempotency-Key", "in": "header", "required": False,
    "description": "a word of yours for this request: repeated with the same, it takes effect once",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}  # fmt: skip
LIMIT_HEADERS: Json = {
    name: {"description": words, "schema": {"type": "integer"}}
    for name, words in (
        ("RateLimit-Limit", "how many calls this key may make at once"),
        ("RateLimit-Remaining", "how many are left of them now"),
        ("RateLimit-Reset", "after how many seconds all of them are there again"),
    )
}
TAGS = {
    "Catalogue": "What is sold.", "Customers": "People, and where they can be met.", "Checkouts": "Selling by a link.",
    "Orders": "What somebody wants to buy, or has bought.", "Payments": "Payment intents, on a page of your own.",
    "Refunds": "Giving money back.", "Disputes": "What buyers' banks dispute.",
    "Subscriptions": "What repeats, and Stripe's portal.", "Credits": "Wallets, holds and the ledger.",
    "Access": "Who may have what.", "Chat": "Speaking to Paydesk for somebody.",
    "Operation": "What came in, what leaves, and how much waits.", "Webhooks": "Where our own events are sent.",
    "Keys": "API keys.", "Agents": "For programs that act for people.", "Statistics": "Figures.",
}  # fmt: skip


def complete(description: Json, base: str) -> Json:
    """Make a description whole, in place, and return it. `base` is the address that the calls are made at."""
    schemas = description.setdefault("components", {}).setdefault("schemas", {})
    ours = _schemas()
    if twice := sorted(ours.keys() & schemas.keys()):
        raise AssertionError(f"two things are described as {', '.join(twice)}: call one otherwise")
    schemas |= ours
    description["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "bearerFormat": "pdk_…", "description": "an API key with scopes"}
    }
    description["components"]["responses"] = {f"Error{status}": _error(status) for status in ERRORS}
    description["servers"] = [{"url": base}]
    used = {tag for _, _, call in _calls(description) for tag in call.get("tags", ())}
    description["tags"] = [{"name": name, "description": text} for name, text in TAGS.items() if name in used]
    for path, method, call in _calls(description):
        if path.startswith(NATIVE):
            _describe(call, path, method)
        else:
            _add(call)
    reader = Reader(description, base)
    for _, _, call in _calls(description):
        _show(call, reader)
    for unused in ("HTTPValidationError", "ValidationError"):
        if f"/{unused}" not in str(description["paths"]):
            schemas.pop(unused, None)
    return description


def _calls(description: Json) -> Iterator[tuple[str, str, Json]]:
    for path, calls in description["paths"].items():
        for method in METHODS:
            if method in calls:
                yield path, method, calls[method]


def _schemas() -> Json:
    """Return the schemas of all answers, and of lists of them."""
    models = {model: None for one in RESULTS.values() for model in (one if isinstance(one, list) else [one])}
    wanted = [(model, "serialization") for model in (answers.Error, *models)]
    schemas: Json = models_json_schema(wanted, ref_template="#/components/schemas/{model}")[1]["$defs"]  # type: ignore[arg-type]
    lists = {one[0].__name__ for one in RESULTS.values() if isinstance(one, list)}
    return schemas | {f"{name}List": _list_of(name) for name in lists}


def _list_of(name: str) -> Json:
    return {
        "type": "object",
        "title": f"{name}List",
        "description": "A part of a list, newest first; `has_more` says whether it goes on.",
        "required": ["data", "has_more"],
        "properties": {
            "data": {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}},
            "has_more": {"type": "boolean", "examples": [False]},
        },
    }


def _describe(call: Json, path: str, method: str) -> None:
    """Say what a call answers and which errors, and what key it takes."""
    own = str(call["operationId"])
    name = call["operationId"] = NAMES.get(own, own)
    call["summary"] = str(call.get("summary", name.replace("_", " "))).capitalize()
    call["security"] = [{"key": []}]
    if method != "get" and name not in NOT_KEPT:
        call["parameters"] = [*call.get("parameters", ()), KEY]
    done = next((status for status in call["responses"] if status.startswith("2")), "200")
    told = call["responses"].get(done, {})
    if name in RESULTS:
        told = {"description": "Done" if done == "200" else "Made", "content": _json(_result(name))}
    headers = _headers(repeated=_takes_key(call))
    call["responses"] = {done: {**told, "headers": headers}, **_errors(call, path, method, name)}


def _add(call: Json) -> None:
    """Say of a call that other systems' documents describe which key it takes, and what stands in its headers."""
    call["security"] = [{"key": []}]
    for status, told in call["responses"].items():
        repeated = status.startswith("2") and _takes_key(call)
        told["headers"] = _headers(wait=status in ("429", "503"), repeated=repeated)


def _takes_key(call: Json) -> bool:
    return any(one["name"] == KEY["name"] for one in call.get("parameters", ()))


def _result(name: str) -> str:
    """Return the name of the schema that a call answers."""
    result = RESULTS[name]
    return f"{result[0].__name__}List" if isinstance(result, list) else result.__name__


def _errors(call: Mapping[str, Any], path: str, method: str, name: str) -> Json:
    """Return the errors that a call may answer."""
    names = {one["name"] for one in call.get("parameters", ()) if one["in"] == "query"}
    body = "requestBody" in call
    possible = {
        "400": True, "401": True, "402": name in PAYING, "403": True,
        "404": "{" in path or body or "customer" in names, "409": method != "get", "413": body,
        "422": body or bool(call.get("parameters")), "429": True, "503": True,
    }  # fmt: skip
    return {status: {"$ref": f"#/components/responses/Error{status}"} for status, wanted in possible.items() if wanted}


def _error(status: str) -> Json:
    return {
        "description": ERRORS[status][0],
        "headers": _headers(wait=status in ("429", "503")),
        "content": _json("Error", {"error": {**ERRORS[status][1], "request_id": REQUEST_ID}}),
    }


def _headers(*, wait: bool = False, repeated: bool = False) -> Json:
    """Return the headers of an answer: of one that asks to wait, and of one that may be a repeat."""
    number = {"description": "stands in our log too", "schema": {"type": "string"}}
    seconds = {"description": "seconds to wait", "schema": {"type": "integer"}}
    replay = {"description": "`true`: the answer to an earlier request with this key", "schema": {"type": "string"}}
    more = {"Retry-After": seconds} if wait else {"Idempotent-Replayed": replay} if repeated else {}
    return {"Request-Id": number, **LIMIT_HEADERS, **more}


def _json(schema: str, example: object = None) -> Json:
    content: Json = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    return {"application/json": content if example is None else {**content, "example": example}}


def _show(call: Json, reader: Reader) -> None:
    """Give a call an example of what is sent and of what is answered."""
    shown = [call["requestBody"]] if "requestBody" in call else []
    for part in (*shown, *call["responses"].values()):
        for content in part.get("content", {}).values():
            content.setdefault("example", reader.example(content["schema"]))

"""The calls that move credits: spend, grant, hold, settle, release. Plain ASGI, in front of everything else.

They are made for every message of a chat, so they cost as little as the ledger allows: one reader, one check by the
same models that describe the API, and one operation, which is durable when it is answered. Its `Idempotency-Key` is
kept in the ledger itself, for ever, apart for each customer; refusals are not kept.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import jiter
import orjson
from pydantic import Field, ValidationError, field_validator, model_validator

from paydesk import books, customers, ids, showing
from paydesk.catalog import CREDITS, DAYS_MAX
from paydesk.clock import iso
from paydesk.errors import Invalid, NotFound, PaydeskError, TooLarge
from paydesk.service import Service
from paydesk.telemetry import request_id
from paydesk.wallet import AMOUNT_MAX, HOLD_S, HOLD_S_MAX, Done, EndHold, Give, Operation, Reserve, Spend
from paydesk.web.asgi import Headers, Receive, Scope, Send
from paydesk.web.auth import Keys
from paydesk.web.limits import told
from paydesk.web.once import checked_key
from paydesk.web.parameters import measured, too_long
from paydesk.web.shapes import Given
from paydesk.web.whole import send_whole, written

log = logging.getLogger("paydesk.api")

BODY_BYTES_MAX = 64 * 1024
HOLD_ID = re.compile(r"hld_[0-9a-z]{26,32}", re.ASCII)


class Malformed(Invalid):
    """Change the body: `param` names the field."""

    status = 422


class NotAllowed(Invalid):
    """Use POST."""

    status = 405
    code = "method_not_allowed"


# --- what is sent ----------------------------------------------------------------------------------------------------


class SpendGiven(Given):
    """How much of which unit, and a word of yours about it."""

    amount: int = Field(ge=1, le=AMOUNT_MAX, examples=[1])
    unit: str = Field(CREDITS, max_length=64, description="a unit of the catalogue, or one that the customer has")
    reason: str | None = Field(None, max_length=200, description="a word of yours, kept in the ledger")


class GrantGiven(SpendGiven):
    """What is given, and for how long: for ever unless you say otherwise."""

    expires_days: int | None = Field(None, ge=1, le=DAYS_MAX)
    expires_at: datetime | None = Field(None, description="instead of `expires_days`: a time with its offset from UTC")

    @field_validator("expires_at", mode="before")
    @classmethod
    def exact(cls, value: object) -> object:
        """Return a time from ISO 8601; one that does not say its offset from UTC could be any."""
        if value is None:
            return None
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is None or moment.tzinfo is None:
            raise ValueError("a time is written like 2030-01-31T12:00:00Z")
        return moment

    @model_validator(mode="after")
    def one_end(self) -> GrantGiven:
        """Refuse two ends of one gift."""
        if self.expires_days is not None and self.expires_at is not None:
            raise ValueError("give expires_days or expires_at, not both")
        return self


class HoldGiven(SpendGiven):
    """What is held, and after how many seconds it goes back by itself."""

    lasts_s: int = Field(HOLD_S, ge=1, le=HOLD_S_MAX)


class SettleGiven(Given):
    """How much of the hold was used; 0 releases it."""

    amount: int = Field(ge=0, le=AMOUNT_MAX, examples=[1])


class ReleaseGiven(Given):
    """Nothing: the body may be empty."""


# --- what is done ----------------------------------------------------------------------------------------------------


def spend(customer: str, key: str, given: SpendGiven) -> Operation:
    """Take credits, those that end soonest first. 402 and nothing changed when there are too few.

    Needs the scope `spend`.
    """
    return Spend(customer, given.unit, given.amount, key, given.reason)


def grant(customer: str, key: str, given: GrantGiven) -> Operation:
    """Give credits for nothing. What the customer owes is paid from them first. Needs the scope `admin`."""
    return Give(customer, given.unit, given.amount, key, given.reason, given.expires_at, given.expires_days)


def hold(customer: str, key: str, given: HoldGiven) -> Operation:
    """Reserve credits for something whose price is known only afterwards, such as an answer of a language model.

    Settle it with what was used, or release it; untouched, it goes back after `lasts_s` seconds. Needs the scope `spend`.
    """
    return Reserve(customer, given.unit, given.amount, key, given.reason, given.lasts_s)


def settle(id_: str, key: str, given: SettleGiven) -> Operation:
    """Spend `amount` of a hold, once; the rest goes back at once. Needs the scope `spend`."""
    return EndHold(id_, given.amount, key)


def release(id_: str, key: str, _given: ReleaseGiven) -> Operation:
    """Let all of a hold go back. Releasing what has gone back already changes nothing. Needs the scope `spend`."""
    return EndHold(id_, None, key)


@dataclass(frozen=True, slots=True)
class Call:
    """One of these calls. `make` turns the id in its path, the key and the body into what is to be done."""

    path: str
    title: str
    scope: str
    given: type[Given]
    make: Callable[[str, str, Any], Operation]


CALLS = (
    Call("/v1/customers/{customer}/credits/spend", "Spend credits", "spend", SpendGiven, spend),
    Call("/v1/customers/{customer}/credits/grant", "Grant credits", "admin", GrantGiven, grant),
    Call("/v1/customers/{customer}/credits/hold", "Hold credits", "spend", HoldGiven, hold),
    Call("/v1/holds/{hold}/settle", "Settle a hold", "spend", SettleGiven, settle),
    Call("/v1/holds/{hold}/release", "Release a hold", "spend", ReleaseGiven, release),
)


def _shape(path: str) -> tuple[str, ...]:
    """Return a path without what differs from call to call: its third part, the id."""
    parts = path.split("/")
    return (parts[1], parts[2], *parts[4:]) if len(parts) > 4 else ()


_BY_SHAPE = {_shape(call.path): call for call in CALLS}


# --- the calls -------------------------------------------------------------------------------------------------------


class WalletCalls:
    """Answers these calls and no others: `call_of` says which one a path is."""

    def __init__(self, service: Service, keys: Keys) -> None:
        self._service = service
        self._keys = keys
        self._catalog = service.catalog
        self._units = service.catalog.units()

    def call_of(self, path: str) -> Call | None:
        """Return the call that a path means, `None` for every other path."""
        return _BY_SHAPE.get(_shape(path))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request whose path is one of these calls."""
        number = request_id()
        try:
            done = await self._carry_out(_BY_SHAPE[_shape(scope["path"])], scope, receive)
        except PaydeskError as error:
            if error.status >= 500:
                log.warning("%s: %s", scope["path"], error.message)
            await answer(send, error.status, number, error.body(number), (*headers_of(error, b"POST"), *told(scope)))
        except Exception as error:  # whatever it is, it is told as every error is
            log.error("%s failed", scope["path"], exc_info=error)
            unknown = PaydeskError("something went wrong here; it is in the log")
            await answer(send, unknown.status, number, unknown.body(number), ())
        else:
            body, again = orjson.dumps(shown(done)), _REPLAYED if done.replayed else ()
            headers = ((b"request-id", number.encode()), (b"content-length", b"%d" % len(body)), *again, *told(scope))
            await send_whole(scope, send, _LINES, headers, body)

    async def _carry_out(self, call: Call, scope: Scope, receive: Receive) -> Done:
        """Check everything that can be checked without the ledger, then run the operation."""
        if scope["method"] != "POST":
            raise NotAllowed("Method Not Allowed")
        headers = _read_headers(scope["headers"])
        caller = await self._keys.caller(scope)
        caller.require(call.scope)
        if scope["query_string"]:
            name = scope["query_string"].partition(b"=")[0].decode("latin-1")
            raise Invalid(f"this call has no parameter {name!a}: what it takes stands in the body", param=name)
        given_key = headers.get(b"idempotency-key")
        key = ids.new("op") if given_key is None else checked_key(given_key)
        given = _read(call, await _body(receive))
        operation = call.make(scope["path"].split("/")[3], key, given)
        if isinstance(operation, Give):
            operation = replace(operation, actor=caller.key_id)
        elif isinstance(operation, EndHold) and given_key is None:
            operation = replace(operation, key=None)
        await self._refuse_unknown(operation)
        return await self._service.wallets.run(operation)

    async def _refuse_unknown(self, operation: Operation) -> None:
        """Raise for an id that nothing can have, and for a unit that neither the catalogue nor the customer has."""
        if self._catalog is not self._service.catalog:  # it was edited
            self._catalog = self._service.catalog
            self._units = self._catalog.units()
        if isinstance(operation, EndHold):
            if not HOLD_ID.fullmatch(operation.hold):
                raise NotFound("there is no such hold", param="hold")
        elif operation.unit not in self._units or not customers.ID.fullmatch(operation.customer):
            person = await customers.resolve(self._service.store, operation.customer)
            async with self._service.store.transaction() as tx:
                known = await books.wallets(tx, person, self._service.clock.now())
            if operation.unit not in known:
                raise Invalid("the catalogue has no such unit, nor has the customer", param="unit")


# --- reading ---------------------------------------------------------------------------------------------------------


def _read_headers(headers: list[tuple[bytes, bytes]]) -> dict[bytes, str]:
    """Return the headers that count, the first of each name; refuse a body that says itself that it is too large."""
    found: dict[bytes, str] = {}
    for name, value in headers:
        if name == b"idempotency-key":
            found.setdefault(name, value.decode("latin-1"))
        elif name == b"content-length" and (not value.isdigit() or int(value[:20]) > BODY_BYTES_MAX):
            raise TooLarge(f"this request has at most {BODY_BYTES_MAX} bytes")
    return found


async def _body(receive: Receive) -> bytes:
    """Return the body, counted while it is read."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body") and len(body) <= BODY_BYTES_MAX:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Invalid("the sender went away before the body was complete")
        body += message.get("body", b"")
    if len(body) > BODY_BYTES_MAX:
        raise TooLarge(f"this request has at most {BODY_BYTES_MAX} bytes")
    return body


def _told(body: bytes) -> Any:
    """Return a body as JSON; a number too long to be read is endless, and its field says that nobody can mean that."""
    try:
        return jiter.from_json(body, catch_duplicate_keys=True)
    except ValueError as refused:
        if not too_long(refused):
            raise
        return measured(body)


def _read(call: Call, body: bytes) -> Given:
    """Return what was sent, checked; raises `Malformed` that names the field."""
    if not body and call.given is ReleaseGiven:
        return ReleaseGiven()
    try:
        value = _told(body)
    except ValueError as refused:
        raise Malformed(f"the body is not the JSON we take: {refused}") from None
    if not isinstance(value, dict):
        raise Malformed("the body must be a JSON object")
    try:
        return call.given.model_validate(value)
    except ValidationError as refused:
        first = refused.errors(include_url=False, include_input=False)[0]
        param = ".".join(str(part) for part in first["loc"]) or None
        raise Malformed(f"{param or 'the body'}: {first['msg']}", param=param) from None


# --- answering -------------------------------------------------------------------------------------------------------


def shown(done: Done) -> dict[str, Any]:
    """Show what became of an operation; of a hold, the hold."""
    if done.hold is not None:
        return showing.held(done.hold, done.balance)
    answer = {
        "id": done.id,
        "object": "credit_operation",
        "type": done.kind,
        "customer": done.customer,
        "unit": done.unit,
        "amount": done.amount,
        "balance": done.balance,
        "reason": done.memo,
        "created_at": iso(done.at),
    }
    return {**answer, "expires_at": iso(done.expires_at)} if done.kind == "grant" else answer


ALWAYS: Headers = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
_LINES = written(ALWAYS)
_REPLAYED: Headers = ((b"idempotent-replayed", b"true"),)


def headers_of(error: PaydeskError, method: bytes) -> Headers:
    """Return what an error says besides its body: when to come again, or which method is meant."""
    if error.retry_after_s is not None:
        return ((b"retry-after", b"%d" % error.retry_after_s),)
    return ((b"allow", method),) if error.status == 405 else ()


async def answer(send: Send, status: int, number: str, content: dict[str, Any], more: Headers) -> None:
    """Send one answer of the API, as JSON."""
    body = orjson.dumps(content)
    length = (b"content-length", str(len(body)).encode())
    headers = [*ALWAYS, (b"request-id", number.encode()), length, *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


# --- the description -------------------------------------------------------------------------------------------------

RESPONSES = {
    "200": {"description": "Done, now or before under the same key"},
    "402": {"description": "There are too few credits: nothing has changed"},
    "409": {"description": "The key was used for another request, or the hold has ended otherwise"},
}


def describe(description: dict[str, Any]) -> None:
    """Add these calls to an application's OpenAPI description, which knows only its own."""
    schemas = description.setdefault("components", {}).setdefault("schemas", {})
    for call in CALLS:
        name = call.given.__name__
        schemas[name] = call.given.model_json_schema()
        description["paths"][call.path] = {"post": _described(call, name)}


def _described(call: Call, schema: str) -> dict[str, Any]:
    id_ = call.path.split("/")[3].strip("{}")
    body = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {
        "tags": ["Credits"],
        "summary": call.title,
        "description": " ".join((call.make.__doc__ or "").split()),
        "operationId": f"{call.make.__name__}_credits",
        "parameters": [{"name": id_, "in": "path", "required": True, "schema": {"type": "string"}}],
        "requestBody": {"required": call.given is not ReleaseGiven, "content": body},
        "responses": RESPONSES,
    }

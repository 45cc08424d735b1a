"""Access checks over HTTP. Plain ASGI, in front of everything else: they are made for every message of a chat."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

import orjson

from paydesk.checks import Asked, Row, Running, reasons, standing
from paydesk.clock import iso
from paydesk.customers import ID
from paydesk.errors import Invalid, NotFound, PaydeskError
from paydesk.service import Service
from paydesk.telemetry import request_id
from paydesk.web.asgi import Receive, Scope, Send
from paydesk.web.auth import Keys, person_of
from paydesk.web.limits import told
from paydesk.web.wallet import ALWAYS, Malformed, answer, headers_of
from paydesk.web.whole import send_whole, written

log = logging.getLogger("paydesk.api")

PATH = "/v1/customers/{customer}/access"
HEAD, TAIL = PATH.split("{customer}")
FEATURE_MAX = 64
SAID_MAX = 10_000
RESPONSES = {"200": {"description": "The answer, as of now"}, "404": {"description": "Nobody has this id"}}


class NotRead(PaydeskError):
    """Use GET."""

    status = 405
    code = "method_not_allowed"


@dataclass(frozen=True, slots=True)
class Said:
    """An answer with the headers that are always the same, what it follows from, and from when to when it does."""

    rows: tuple[Row, ...]
    since: datetime
    until: datetime
    body: bytes
    lines: bytes


def say(asked: Asked, rows: tuple[Row, ...], now: datetime) -> Said:
    """Answer what access these rows amount to at `now`."""
    stands = standing(reasons(rows, *asked), now)
    content = {
        "allowed": stands.access.allowed,
        "until": iso(stands.access.until),
        "because": list(stands.access.because),
        "reasons": [_shown(one) for one in stands.running],
    }
    body = orjson.dumps(content)
    return Said(rows, stands.since, stands.until, body, written((*ALWAYS, (b"content-length", b"%d" % len(body)))))


class AccessCalls:
    """Answers `GET /v1/customers/{customer}/access?feature=` and nothing else."""

    def __init__(self, service: Service, keys: Keys) -> None:
        self._service = service
        self._keys = keys
        self._said: dict[Asked, Said] = {}

    def takes(self, path: str) -> bool:
        """Say whether a path is this call's."""
        return path.endswith(TAIL) and path.startswith(HEAD) and "/" not in path[len(HEAD) : -len(TAIL)]

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request."""
        number = request_id()
        try:
            said = await self._look(scope)
        except PaydeskError as error:
            if error.status >= 500:
                log.warning("%s: %s", scope["path"], error.message)
            await answer(send, error.status, number, error.body(number), (*headers_of(error, b"GET"), *told(scope)))
        except Exception as error:  # whatever it is, it is told as every error is
            log.error("%s failed", scope["path"], exc_info=error)
            unknown = PaydeskError("something went wrong here; it is in the log")
            await answer(send, unknown.status, number, unknown.body(number), ())
        else:
            await send_whole(scope, send, said.lines, ((b"request-id", number.encode()), *told(scope)), said.body)

    async def _look(self, scope: Scope) -> Said:
        if scope["method"] != "GET":
            raise NotRead("Method Not Allowed")
        caller = await self._keys.caller(scope)
        caller.require_buyer_or("read")
        feature = _feature(scope["query_string"])
        customer = scope["path"][len(HEAD) : -len(TAIL)]
        if caller.publishable:
            customer = await person_of(self._service.store, caller, customer)
        asked = (customer, feature)
        rows = await self._service.checks.submit(asked) if ID.fullmatch(customer) else None
        if rows is None:
            raise NotFound(f"no customer {customer if customer.isprintable() else 'of that id'}", param="customer")
        return self._answer(asked, rows, self._service.clock.now())

    def _answer(self, asked: Asked, rows: tuple[Row, ...], now: datetime) -> Said:
        """Return the answer. Who asks again gets the same words, as long as what is stored and the time allow."""
        said = self._said.get(asked)
        if said is None or said.rows != rows or not said.since <= now < said.until:
            if said is None and len(self._said) >= SAID_MAX:
                del self._said[next(iter(self._said))]
            said = self._said[asked] = say(asked, rows, now)
        return said


def _feature(query: bytes) -> str:
    """Return the one parameter; raises for a missing, empty or overlong one."""
    if query.startswith(b"feature=") and query[8:].isalnum() and len(query) <= 8 + FEATURE_MAX:
        return query[8:].decode("ascii")  # as nearly all are: nothing to unpack
    if b"%00" in query:
        raise Invalid("an address must not contain the character NUL")
    try:
        named = parse_qs(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=10)
    except ValueError:
        named = {}
    for name, values in named.items():
        if name != "feature" or len(values) > 1:
            raise Invalid(f"this call has one parameter, feature, once: not {name!a}", param=name)
    given = named.get("feature", [""])[0]
    if not 0 < len(given) <= FEATURE_MAX:
        raise Malformed(f"feature: a text of 1 to {FEATURE_MAX} characters", param="feature")
    return given


def _shown(one: Running) -> dict[str, Any]:
    own = one.reason
    return {
        "source": own.held.source,
        "kind": own.held.kind,
        "text": one.text,
        "order": own.order,
        "subscription": own.subscription,
        "product": own.product,
        "since": iso(one.since),
        "until": iso(one.until),
    }


def describe(description: dict[str, Any]) -> None:
    """Add this call to an application's OpenAPI description, which knows only its own."""
    text = {"type": "string"}
    description["paths"][PATH] = {
        "get": {
            "tags": ["Access"],
            "summary": "Check access",
            "description": "Tell whether a person may have a feature now, until when, and why: `because` names the "
            "sources that give it, `reasons` tells of each where it comes from. Needs the scope `read`.",
            "operationId": "get_access",
            "parameters": [
                {"name": "customer", "in": "path", "required": True, "schema": text},
                {"name": "feature", "in": "query", "required": True,
                 "schema": {**text, "minLength": 1, "maxLength": FEATURE_MAX}},
            ],
            "responses": RESPONSES,
        }
    }  # fmt: skip

"""How a request is taken in and answered: key, version, idempotency, headers, log. The calls know nothing of this."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from .accounts import Account, Cause
from .calls import Call, Operation
from .chaos import Mishap
from .errors import Json, StripeError, no_access, rate_limited, unauthorized, unreadable
from .idempotency import Answer, Answers
from .ids import random_text
from .params import decode, read
from .present import rendered
from .test_clocks import clock_of_request, time_of
from .unbuilt import refuse_unbuilt
from .versions import OLDEST, in_version, is_spoken, is_version, newer_params
from .world import World

_LARGEST_BODY = 1_000_000
_SILENCE_S = 120
_NO_KEY = (
    "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth "
    "(e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details, or we "
    "can help at https://support.stripe.com/."
)
_log = logging.getLogger("paydesk.sandbox")


@dataclass(frozen=True)
class Visit:
    """One request that was let in: for whom, in which version, and what shall go wrong with it."""

    request: Request
    operation: Operation
    account: Account
    cause: Cause
    version: str
    mishap: Mishap

    @property
    def path(self) -> str:
        """The path of the request."""
        return self.request.url.path


class Manners:
    """Answers requests of one sandbox as Stripe's front door does."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._answers = Answers(world)
        self._lately: dict[str, deque[float]] = {}

    async def answer(self, request: Request, operation: Operation) -> Response:
        """Answer one call of the API; every outcome has Stripe's headers and body."""
        started = time.perf_counter()
        request_id = "req_" + random_text(14)
        key = (request.headers.get("idempotency-key") or None) if request.method == "POST" else None
        visit: Visit | None = None
        try:
            visit = self._let_in(request, operation, Cause(request_id, key))
            answer = await self._answered(visit)
        except StripeError as error:
            answer = _of_error(error, request_id, visit)
        except Exception:
            _log.exception("%s %s failed", request.method, request.url.path)
            answer = _of_error(_broken(), request_id, visit)
        self._note(request, answer, request_id, started)
        if visit is not None and visit.mishap.unanswered:
            await _silence(request)
        return self._response(request, answer, request_id, key)

    def refuse(self, request: Request, error: StripeError) -> Response:
        """Answer a request that belongs to no call."""
        request_id = "req_" + random_text(14)
        answer = _of_error(error, request_id, None)
        self._note(request, answer, request_id, time.perf_counter())
        return self._response(request, answer, request_id, None)

    def _let_in(self, request: Request, operation: Operation, cause: Cause) -> Visit:
        """Look at key, version and rate; refused when one of them is wrong."""
        account = self._account(request, operation)
        version = self._version(request)
        if not is_version(version):
            raise unreadable(f"Invalid Stripe API version: {version}")
        if not is_spoken(version):
            raise unreadable(
                f"This sandbox does not know the Stripe API version {version}; the oldest one it knows is {OLDEST}."
            )
        other = request.headers.get("stripe-account")
        if other and other != account.id:
            raise no_access(account.key, other)
        self._count(account)
        return Visit(request, operation, account, cause, version, self._world.chaos.mishap() or Mishap())

    def _version(self, request: Request) -> str:
        return request.headers.get("stripe-version") or self._world.settings.api_version

    def _count(self, account: Account) -> None:
        """Refuse more requests within a second than the setting allows."""
        most, now = self._world.settings.rate_limit_per_s, time.monotonic()
        if not most:
            return
        lately = self._lately.setdefault(account.key, deque())
        while lately and lately[0] <= now - 1:
            lately.popleft()
        if len(lately) >= most:
            raise rate_limited()
        lately.append(now)

    async def _answered(self, visit: Visit) -> Answer:
        if visit.cause.idempotency_key is None:
            return self._perform(visit, await _params(visit.request))
        return await self._once(visit, visit.cause.idempotency_key)

    def _account(self, request: Request, operation: Operation) -> Account:
        """The account of the key; a hosted page may come with its session's id alone."""
        page = self._world.account_of_page(request.path_params.get("id", "")) if operation.open_to_page else None
        key = _api_key(request)
        if page is not None and (key is None or key.startswith("pk_test_")):
            return page
        if key is None:
            raise unauthorized(_NO_KEY)
        return self._world.account_of_key(key)

    async def _once(self, visit: Visit, key: str) -> Answer:
        """Perform a request with an idempotency key, or repeat the answer it had."""
        self._answers.begin(visit.account, key)
        try:
            params = await _params(visit.request)
            kept = self._answers.kept(visit.account, key, visit.path, params)
            return kept or self._performed_and_kept(visit, key, params)
        finally:
            self._answers.end(visit.account, key)

    def _performed_and_kept(self, visit: Visit, key: str, params: Json) -> Answer:
        """The first answer for a key is kept once the call has begun, errors included."""
        request_id = str(visit.cause.request_id)
        try:
            answer = self._perform(visit, params)
        except StripeError as error:
            if not error.executed:
                raise
            answer = _of_error(error, request_id, visit)
        except Exception:
            _log.exception("%s %s failed", visit.request.method, visit.path)
            answer = _of_error(_broken(), request_id, visit)
        self._answers.keep(visit.account, key, visit.path, params, answer)
        self._world.flush()
        return answer

    def _perform(self, visit: Visit, given: Json) -> Answer:
        """Read the parameters, call the handler, render its answer; a call that fails has changed nothing."""
        if visit.mishap.error is not None and not visit.mishap.after_work:
            raise visit.mishap.error
        operation, account = visit.operation, visit.account
        named = visit.request.headers.get("stripe-version")
        renamed = newer_params(visit.path, given, visit.version, unnamed=not named)
        refuse_unbuilt(operation.method, operation.path, renamed)
        params = read(renamed, operation.shape, operation.required)
        expand = params.pop("expand", [])
        account.cause = visit.cause
        try:
            clock_id = clock_of_request(account, visit.request.path_params.get("id", ""), params)
            with account.whole(), time_of(account, clock_id):
                row = operation.handler(
                    Call(self._world, account, visit.request.path_params, params, given, visit.version)
                )
                body = rendered(account, row, expand, visit.version)
        finally:
            account.cause = Cause()
            self._world.flush()
        if visit.mishap.error is not None:
            raise visit.mishap.error
        return Answer(200, body, str(visit.cause.request_id))

    def _note(self, request: Request, answer: Answer, request_id: str, started: float) -> None:
        self._world.requests.append({
            "id": request_id,
            "at": self._world.clock.now(),
            "method": request.method,
            "path": request.url.path,
            "status": answer.status,
            "error": (answer.body.get("error") or {}).get("message"),
            "duration_ms": round((time.perf_counter() - started) * 1000, 1),
        })  # fmt: skip

    def _response(self, request: Request, answer: Answer, request_id: str, key: str | None) -> Response:
        """The HTTP answer with Stripe's headers."""
        headers = {
            "Request-Id": request_id,
            "Stripe-Version": self._version(request),
            "Cache-Control": "no-cache, no-store",
        }
        if request.method == "POST":
            headers["Original-Request"] = answer.original_request
            if answer.retry_hint is not None:
                headers["Stripe-Should-Retry"] = answer.retry_hint
        if key is not None:
            headers["Idempotency-Key"] = key
        if answer.replayed:
            headers["Idempotent-Replayed"] = "true"
        if answer.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="Stripe"'
        if answer.status == 429 and answer.body["error"].get("code") == "rate_limit":
            headers["Stripe-Rate-Limited-Reason"] = "global-rate"
        body = orjson.dumps(answer.body, option=orjson.OPT_INDENT_2)
        return Response(body, answer.status, headers, "application/json")


def _api_key(request: Request) -> str | None:
    """The key from Bearer or Basic authorization; None when there is none."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip() or None
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0] or None
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


async def _params(request: Request) -> dict[str, Any]:
    """The parameters of the query (GET, DELETE) or of the form body (POST)."""
    if request.method != "POST":
        return decode(request.url.query)
    body = await request.body()
    if len(body) > _LARGEST_BODY:
        raise unreadable("The request body is too large.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and kind == "application/json":
        raise unreadable(
            "Invalid request: this API takes form-encoded bodies (application/x-www-form-urlencoded), not JSON."
        )
    try:
        return decode("&".join(part for part in (request.url.query, body.decode()) if part))
    except (UnicodeDecodeError, ValueError) as problem:
        raise unreadable("The request body could not be read as form data.") from problem


def _broken() -> StripeError:
    return StripeError(
        "An unknown error occurred in the sandbox; its log has the details.", status=500, kind="api_error"
    )


def _of_error(error: StripeError, request_id: str, visit: Visit | None) -> Answer:
    """The answer for an error, in the version of its request."""
    hint = None if error.status in (409, 500, 503) else "true" if error.code == "lock_timeout" else "false"
    body = error.body(request_id)
    if visit is not None:
        body = in_version(body, visit.version, visit.account)
    return Answer(error.status, body, request_id, retry_hint=hint)


async def _silence(request: Request) -> None:
    """Say nothing until the client is gone, or for two minutes."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_SILENCE_S):
            while (await request.receive())["type"] != "http.disconnect":
                pass

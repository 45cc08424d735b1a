"""How a request is taken in and answered: key, version, idempotency, headers, log. The calls know nothing of this."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import time
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from .accounts import Account, Cause
from .calls import Call, Operation
from .errors import Json, StripeError, unauthorized, unreadable
from .events import API_VERSION, VERSION_FORMAT
from .ids import random_text
from .params import decode, read
from .present import rendered
from .world import World

_LONGEST_KEY = 255
_KEPT_S = 24 * 3600
_LARGEST_BODY = 1_000_000
_NO_KEY = (
    "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth "
    "(e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details, or we "
    "can help at https://support.stripe.com/."
)
_log = logging.getLogger("paydesk.sandbox")


@dataclass
class Answer:
    """What is sent back: status and body, and what the headers tell of idempotency."""

    status: int
    body: Json
    original_request: str
    replayed: bool = False
    retry_hint: str | None = "false"


class Manners:
    """Answers requests of one sandbox as Stripe's front door does."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._under_way: set[tuple[str, str]] = set()

    async def answer(self, request: Request, operation: Operation) -> Response:
        """Answer one call of the API; every outcome has Stripe's headers and body."""
        started = time.perf_counter()
        request_id = "req_" + random_text(14)
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        try:
            answer = await self._answered(request, operation, Cause(request_id, key))
        except StripeError as error:
            answer = _of_error(error, request_id)
        except Exception:
            _log.exception("%s %s failed", request.method, request.url.path)
            answer = _of_error(_broken(), request_id)
        self._note(request, answer, request_id, started)
        return _response(request, answer, request_id, key)

    def refuse(self, request: Request, error: StripeError) -> Response:
        """Answer a request that belongs to no call."""
        request_id = "req_" + random_text(14)
        answer = _of_error(error, request_id)
        self._note(request, answer, request_id, time.perf_counter())
        return _response(request, answer, request_id, None)

    async def _answered(self, request: Request, operation: Operation, cause: Cause) -> Answer:
        account = self._account(request, operation)
        _checked_version(request)
        if cause.idempotency_key is None:
            return self._perform(request, operation, account, cause, await _params(request))
        return await self._once(request, operation, account, cause)

    def _account(self, request: Request, operation: Operation) -> Account:
        """The account of the key; a hosted page may come with its session's id alone."""
        page = self._world.account_of_page(request.path_params.get("id", "")) if operation.open_to_page else None
        key = _api_key(request)
        if page is not None and (key is None or key.startswith("pk_test_")):
            return page
        if key is None:
            raise unauthorized(_NO_KEY)
        return self._world.account_of_key(key)

    async def _once(self, request: Request, operation: Operation, account: Account, cause: Cause) -> Answer:
        """Perform a request with an idempotency key, or repeat the answer it had."""
        key = str(cause.idempotency_key)
        if len(key) > _LONGEST_KEY:
            raise unreadable(f"Idempotency keys can be at most {_LONGEST_KEY} characters long.")
        if (account.key, key) in self._under_way:
            raise _in_use(key)
        self._under_way.add((account.key, key))
        try:
            params = await _params(request)
            kept = account.find("_answer", key)
            if kept is not None and kept["created"] > account.clock.now_s() - _KEPT_S:
                return _replayed(kept, request, params)
            return self._performed_and_kept(request, operation, account, cause, params)
        finally:
            self._under_way.discard((account.key, key))

    def _performed_and_kept(
        self, request: Request, operation: Operation, account: Account, cause: Cause, params: Json
    ) -> Answer:
        """The first answer for a key is kept once the call has begun, errors included."""
        try:
            answer = self._perform(request, operation, account, cause, params)
        except StripeError as error:
            if not error.executed:
                raise
            answer = _of_error(error, str(cause.request_id))
        except Exception:
            _log.exception("%s %s failed", request.method, request.url.path)
            answer = _of_error(_broken(), str(cause.request_id))
        account.add("_answer", {
            "path": request.url.path, "params": _digest(params), "status": answer.status, "body": answer.body,
            "request": cause.request_id,
        }, object_id=cause.idempotency_key)  # fmt: skip
        self._world.flush()
        return answer

    def _perform(self, request: Request, operation: Operation, account: Account, cause: Cause, given: Json) -> Answer:
        """Read the parameters, call the handler, render its answer; changes are kept even when it refuses."""
        params = read(given, operation.shape, operation.required)
        expand = params.pop("expand", [])
        account.cause = cause
        try:
            row = operation.handler(Call(self._world, account, request.path_params, params, given))
            body = rendered(account, row, expand)
        finally:
            account.cause = Cause()
            self._world.flush()
        return Answer(200, body, str(cause.request_id))

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


def _checked_version(request: Request) -> None:
    version = request.headers.get("stripe-version", API_VERSION)
    if not VERSION_FORMAT.fullmatch(version):
        raise unreadable(f"Invalid Stripe API version: {version}")


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


def _digest(params: Json) -> str:
    return hashlib.sha256(orjson.dumps(params, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _replayed(kept: Json, request: Request, params: Json) -> Answer:
    """The answer that was kept for this key; another request under the same key is refused."""
    key = kept["id"]
    advice = f"Try using a key other than '{key}' if you meant to execute a different request."
    if kept["path"] != request.url.path:
        raise _misused(
            "Keys for idempotent requests can only be used for the same endpoint they were first used for "
            f"('{request.url.path}' vs '{kept['path']}'). {advice}"
        )
    if kept["params"] != _digest(params):
        raise _misused(
            f"Keys for idempotent requests can only be used with the same parameters they were first used with. "
            f"{advice}"
        )
    return Answer(kept["status"], kept["body"], kept["request"], replayed=True)


def _misused(message: str) -> StripeError:
    return StripeError(message, kind="idempotency_error", executed=False)


def _in_use(key: str) -> StripeError:
    return StripeError(
        "There is currently another in-progress request using this Idempotent Key (that probably means you submitted "
        f"twice, and the other request is still going through): {key}. Please try again later.",
        status=409,
        kind="idempotency_error",
        code="idempotency_key_in_use",
        executed=False,
    )


def _broken() -> StripeError:
    return StripeError(
        "An unknown error occurred in the sandbox; its log has the details.", status=500, kind="api_error"
    )


def _of_error(error: StripeError, request_id: str) -> Answer:
    hint = None if error.status in (409, 500) else "false"
    return Answer(error.status, error.body(request_id), request_id, retry_hint=hint)


def _response(request: Request, answer: Answer, request_id: str, key: str | None) -> Response:
    """The HTTP answer with Stripe's headers."""
    headers = {
        "Request-Id": request_id,
        "Stripe-Version": request.headers.get("stripe-version", API_VERSION),
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
    body = orjson.dumps(answer.body, option=orjson.OPT_INDENT_2)
    return Response(body, answer.status, headers, "application/json")

"""What the stub of Stripe.js asks for: the script itself at `/v3/`, and the few calls a browser may make with a client
secret instead of a secret key. Answers may be read by any page; bodies are simple forms, so no preflight is needed."""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable

import orjson
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from . import intents, methods, setup_intents
from .accounts import Account, Cause
from .calls import Call, Operation
from .errors import Json, StripeError, no_such, unauthorized
from .html import HERE
from .ids import random_text
from .params import decode, read
from .present import public
from .world import World

_HEADERS = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_INTENTS = ("payment_intent", "setup_intent")
# What a browser is not told about an intent.
_HIDDEN = ("application", "application_fee_amount", "customer", "latest_charge", "metadata", "on_behalf_of",
           "transfer_data", "transfer_group")  # fmt: skip


def _operation(module_operations: list[Operation], method: str, path: str) -> Operation:
    return next(one for one in module_operations if (one.method, one.path) == (method, path))


_RETRIEVE = {
    "payment_intent": _operation(intents.OPERATIONS, "GET", "/v1/payment_intents/{id}"),
    "setup_intent": _operation(setup_intents.OPERATIONS, "GET", "/v1/setup_intents/{id}"),
}
_CONFIRM = {
    "payment_intent": _operation(intents.OPERATIONS, "POST", "/v1/payment_intents/{id}/confirm"),
    "setup_intent": _operation(setup_intents.OPERATIONS, "POST", "/v1/setup_intents/{id}/confirm"),
}
_ADD_METHOD = _operation(methods.OPERATIONS, "POST", "/v1/payment_methods")


def routes(world: World) -> list[Route]:
    """The routes of the script and its calls."""

    async def script(request: Request) -> Response:
        return FileResponse(HERE / "static" / "stripe.js", media_type="text/javascript", headers=_HEADERS)

    def on_intent(kind: str, operations: dict[str, Operation]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            given = await _given(request)
            return _answered(world, request, lambda: _intent_answer(world, kind, operations[kind], request, given))

        return endpoint

    async def add_method(request: Request) -> Response:
        given = await _given(request)
        return _answered(world, request, lambda: _method_answer(world, given))

    calls = [Route("/v3/api/payment_methods", add_method, methods=["POST"])]
    for kind in _INTENTS:
        path = f"/v3/api/{kind}s/{{id}}"
        calls += [Route(path, on_intent(kind, _RETRIEVE), methods=["GET"]),
                  Route(f"{path}/confirm", on_intent(kind, _CONFIRM), methods=["POST"])]  # fmt: skip
    return [Route("/v3", script, methods=["GET"]), Route("/v3/", script, methods=["GET"]), *calls]


async def _given(request: Request) -> Json:
    if request.method == "GET":
        return decode(request.url.query)
    return decode((await request.body()).decode("utf-8", "replace"))


def _answered(world: World, request: Request, act: Callable[[], Json]) -> Response:
    """Stripe's answer to a browser, refusals included; noted among the requests."""
    started, request_id, status = time.perf_counter(), "req_" + random_text(14), 200
    try:
        body = act()
    except StripeError as error:
        status, body = error.status, error.body(request_id)
    finally:
        world.flush()
    world.requests.append({
        "id": request_id, "at": world.clock.now(), "method": request.method, "path": request.url.path,
        "status": status, "error": (body.get("error") or {}).get("message"),
        "duration_ms": round((time.perf_counter() - started) * 1000, 1),
    })  # fmt: skip
    return Response(orjson.dumps(body), status, _HEADERS, "application/json")


def _checked_key(given: Json) -> str:
    key = given.pop("key", "")
    if not isinstance(key, str) or not key.startswith("pk_test_"):
        raise unauthorized("You did not provide a publishable test key (pk_test_…).")
    return key


def _intent_answer(world: World, kind: str, operation: Operation, request: Request, given: Json) -> Json:
    _checked_key(given)
    account = _account_of_secret(world, kind, request.path_params["id"], given.pop("client_secret", ""))
    return _performed(world, account, operation, dict(request.path_params), given)


def _account_of_secret(world: World, kind: str, intent_id: str, secret: object) -> Account:
    """The account of an intent whose client secret the browser knows."""
    for account in world.accounts.values():
        intent = account.find(kind, intent_id)
        if intent is not None:
            if not isinstance(secret, str) or not hmac.compare_digest(
                secret.encode(), intent["client_secret"].encode()
            ):
                raise StripeError(f"The client_secret provided does not match the client_secret associated with this "
                                  f"{kind}.", param="client_secret")  # fmt: skip
            return account
    raise no_such(kind, intent_id, "intent", 404)


def _method_answer(world: World, given: Json) -> Json:
    """A payment method for the account whose publishable key has the same ending as its secret key."""
    key = _checked_key(given).removeprefix("pk_test_")
    account = world.accounts.get(f"sk_test_{key}")
    if account is None and len(world.accounts) == 1:
        account = next(iter(world.accounts.values()))
    if account is None:
        raise unauthorized("No account has this publishable key: it is pk_test_ and what follows sk_test_ in its "
                           "secret key.")  # fmt: skip
    return _performed(world, account, _ADD_METHOD, {}, given)


def _performed(world: World, account: Account, operation: Operation, path: dict[str, str], given: Json) -> Json:
    params = read(given, operation.shape, operation.required)
    params.pop("expand", None)
    account.cause = Cause("req_" + random_text(14), None)
    try:
        with account.whole():
            row = operation.handler(Call(world, account, path, params, given))
    except StripeError as error:
        error.extra = {name: _for_browser(value) if name in _INTENTS else value for name, value in error.extra.items()}
        raise
    finally:
        account.cause = Cause()
    return _for_browser(public(row))


def _for_browser(row: Json) -> Json:
    return {name: value for name, value in row.items() if name not in _HIDDEN or row["object"] == "payment_method"}

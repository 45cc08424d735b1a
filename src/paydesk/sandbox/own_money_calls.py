"""The sandbox's own calls that move money or repeat news: disputes, refunds and fraud warnings at the press of a button,
events again."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .accounts import Account
from .calls import Call
from .disputes import put_dispute
from .errors import Json, StripeError, no_such
from .events import emit, offer_again
from .fraud_warnings import add_warning
from .present import public
from .refunds import answer_buyer, ask_buyer, make_refund
from .world import World


def routes(world: World) -> list[Route]:
    """The routes of these calls; each takes a JSON object and answers with what it made."""

    async def disputes(request: Request) -> Response:
        return await _answered(world, request, _dispute)

    async def refunds(request: Request) -> Response:
        return await _answered(world, request, _refund)

    async def warnings(request: Request) -> Response:
        return await _answered(world, request, _warning)

    async def cards(request: Request) -> Response:
        return await _answered(world, request, _card)

    async def resend(request: Request) -> Response:
        return await _answered(world, request, _resend)

    return [
        Route("/_sandbox/disputes", disputes, methods=["POST"]),
        Route("/_sandbox/refunds", refunds, methods=["POST"]),
        Route("/_sandbox/fraud_warnings", warnings, methods=["POST"]),
        Route("/_sandbox/cards", cards, methods=["POST"]),
        Route("/_sandbox/events/{id}/resend", resend, methods=["POST"]),
    ]


async def _answered(world: World, request: Request, act: Any) -> Response:
    try:
        given = orjson.loads(await request.body() or b"{}")
        if not isinstance(given, dict):
            raise StripeError("The body must be a JSON object.")
        return JSONResponse(act(world, request, given))
    except orjson.JSONDecodeError as problem:
        return _refused(StripeError(f"The body is not JSON: {problem}."))
    except StripeError as error:
        return _refused(error)
    finally:
        world.flush()


def _refused(error: StripeError) -> Response:
    return JSONResponse({"error": error.fields()}, error.status)


def _owner(world: World, kind: str, object_id: Any) -> Account:
    """The account that has this object."""
    for account in world.accounts.values():
        if account.find(kind, str(object_id)) is not None:
            return account
    raise no_such(kind, str(object_id), kind, 404)


def _only(given: Json, *names: str) -> None:
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise StripeError(f"Unknown: {', '.join(unknown)}. Known here: {', '.join(names)}.", param=unknown[0])


def _dispute(world: World, request: Request, given: Json) -> Json:
    """`{"charge": "ch_…", "status": "needs_response"}`; `won`, `lost` and `warning_closed` end a dispute."""
    _only(given, "charge", "status")
    account = _owner(world, "charge", given.get("charge"))
    return public(put_dispute(account, given["charge"], str(given.get("status", "needs_response"))))


def _refund(world: World, request: Request, given: Json) -> Json:
    """`{"charge": "ch_…", "amount": 500}`; without an amount all that is left.

    `"asks_buyer": true` makes one that waits for its buyer (`requires_action`); `{"refund": "re_…"}` is the answer.
    """
    _only(given, "charge", "amount", "asks_buyer", "refund")
    if "refund" in given:
        account = _owner(world, "refund", given["refund"])
        refund = account.get("refund", given["refund"], "refund")
        answer_buyer(account, refund)
        return public(refund)
    account = _owner(world, "charge", given.get("charge"))
    amount = given.get("amount")
    if amount is not None and (not isinstance(amount, int) or isinstance(amount, bool) or amount < 1):
        raise StripeError("`amount` must be a whole number of the smallest unit.", param="amount")
    params = {name: value for name, value in given.items() if value is not None and name != "asks_buyer"}
    if given.get("asks_buyer"):
        return public(ask_buyer(account, params))
    return public(make_refund(Call(world, account, {}, params, {})))


def _warning(world: World, request: Request, given: Json) -> Json:
    """`{"charge": "ch_…"}`: the issuer of its card suspects fraud."""
    _only(given, "charge")
    account = _owner(world, "charge", given.get("charge"))
    if account.get("charge", given["charge"], "charge")["payment_method_details"]["type"] != "card":
        raise StripeError("Issuers warn of cards only; this charge was paid in another way.", param="charge")
    return public(add_warning(account, given["charge"]))


def _card(world: World, request: Request, given: Json) -> Json:
    """`{"payment_method": "pm_…", "exp_month": 1, "exp_year": 2040}`: the issuer has renewed a saved card by itself."""
    _only(given, "payment_method", "exp_month", "exp_year")
    account = _owner(world, "payment_method", given.get("payment_method"))
    method = account.get("payment_method", given["payment_method"], "payment_method")
    if method["type"] != "card" or method["customer"] is None:
        raise StripeError("Issuers renew saved cards only.", param="payment_method")
    renewed = {name: given.get(name) for name in ("exp_month", "exp_year")}
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in renewed.values()):
        raise StripeError("`exp_month` and `exp_year` must be whole numbers.", param="exp_year")
    previous = account.change(method, card={**method["card"], **renewed})
    emit(account, "payment_method.automatically_updated", method, previous)
    return public(method)


def _resend(world: World, request: Request, given: Json) -> Json:
    """Offer an event again to every endpoint that wants it."""
    _only(given)
    account = _owner(world, "event", request.path_params["id"])
    event = account.get("event", request.path_params["id"], "event")
    return {"event": event["id"], "deliveries": offer_again(account, event)}

"""`/_sandbox/billing`: what one account has settled about retries and reminders."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .billing_settings import rules, set_rules
from .errors import StripeError
from .world import World


def routes(world: World) -> list[Route]:
    """GET shows the rules of the account whose secret key is sent as Bearer, POST changes them."""

    async def billing(request: Request) -> Response:
        key = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        try:
            account = world.account_of_key(key)
            if request.method == "GET":
                return JSONResponse(rules(account))
            given = orjson.loads(await request.body())
            if not isinstance(given, dict):
                raise ValueError("The body must be a JSON object.")  # noqa: TRY004 (told to the client)
            return JSONResponse(set_rules(account, given))
        except StripeError as refusal:
            return JSONResponse({"error": refusal.fields()}, refusal.status)
        except ValueError as problem:
            return JSONResponse({"error": {"code": "invalid_billing_rules", "message": str(problem)}}, 400)
        finally:
            world.flush()

    return [Route("/_sandbox/billing", billing, methods=["GET", "POST"])]

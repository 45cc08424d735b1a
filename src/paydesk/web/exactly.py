"""JSON whose numbers never pass through a float, for calls whose amounts are decimals in the main unit.

A route of this kind reads `19.99` as the decimal that was sent, and `exact` writes `19.99` from 1999 cents: what a
number means is decided by its digits alone, in both directions.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Annotated, Any

import jiter
import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BeforeValidator, WithJsonSchema

from paydesk import money
from paydesk.errors import Invalid
from paydesk.web import shapes

DIGITS_MAX = 12
"""More digits than that, before the point or behind it, nobody can pay: such a number is refused before it is written out."""


class Malformed(Invalid):
    """Change the body: it is not the JSON that we take."""

    status = 422


class ExactRoute(APIRoute):
    """A route that reads numbers as they are written. JSON with NaN or with a key twice is refused with 422."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, given a request that reads exactly."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            return await handle(await _read(request))

        return handler


class _Exact(Request):
    """A request whose JSON has been read already."""

    content: Any = None

    async def json(self) -> Any:
        """Return what `_read` has read."""
        return self.content


async def _read(request: Request) -> Request:
    own = _Exact(request.scope, request.receive)
    body = await own.body()
    if body:
        try:
            own.content = jiter.from_json(body, allow_inf_nan=False, catch_duplicate_keys=True, float_mode="decimal")
        except ValueError as refused:
            if "InvalidOperation" in str(refused):  # an exponent that not even a decimal has
                raise Malformed("a number in the body is larger or smaller than anybody could mean") from None
            raise Malformed(f"the body is not the JSON we take: {refused}") from None
    return own


def _written(value: object) -> object:
    """Return an amount as its digits; a text stays what it is and is judged where the currency is known."""
    if isinstance(value, str) and len(value) <= 4 * DIGITS_MAX:
        return value
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError('an amount is a number or a decimal string such as "9.99"')  # noqa: TRY004 - pydantic's way
    most = 10**DIGITS_MAX
    number = Decimal(value) if -most < value < most else Decimal(0)
    if not number or number.adjusted() < -DIGITS_MAX or len(number.as_tuple().digits) > 2 * DIGITS_MAX:
        raise ValueError("this is no amount that anybody could pay")
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


Amount = Annotated[
    str,
    BeforeValidator(_written),
    WithJsonSchema({
        "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)?$"}],
        "description": "in the currency's main unit, read exactly as written",
        "examples": [100.00],
    }),
]  # fmt: skip
"""An amount in the main unit as a caller sends it, a number or a decimal string; a handler gets its digits."""

Shown = Annotated[
    Decimal, WithJsonSchema({"type": "number", "description": "in the currency's main unit", "examples": [100.00]})
]
"""An amount in the main unit as an answer shows it."""


def _texts(value: object) -> object:
    """Return metadata with numbers as text, as Stripe keeps them."""
    if not isinstance(value, dict):
        return value
    numbers = {name: str(one) for name, one in value.items() if type(one) in (int, Decimal)}
    return {**value, **numbers}


Metadata = Annotated[shapes.Metadata, BeforeValidator(_texts)]
"""What a caller notes with what is sold: short texts; a number counts as it is written."""


def exact(amount_minor: int, currency: str) -> orjson.Fragment:
    """Return an amount in the main unit as a JSON number with the currency's own decimals: `19.90`, never `19.9`."""
    return orjson.Fragment(format(money.to_decimal(amount_minor, currency), "f"))

"""What every call takes: in its address which part of a list, and nothing that it does not know; in its body JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any

import jiter
from fastapi import Depends, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BeforeValidator, WithJsonSchema

from paydesk.errors import Invalid
from paydesk.paging import LIMIT, LIMIT_MAX, Cut
from paydesk.web.exactly import Malformed

YEARS = range(1970, 9999)


def _moment(text: object) -> object:
    """Return a time from ISO 8601, in UTC unless it says otherwise; raises `ValueError` for what nobody means."""
    if text is None or isinstance(text, datetime):
        return text
    wrong = "a day or a time is written like 2030-01-31 or 2030-01-31T12:00:00Z"
    try:
        found = datetime.fromisoformat(str(text).replace(" ", "+"))  # a plus that nobody escaped
    except ValueError:
        raise ValueError(wrong) from None
    if found.year not in YEARS:
        raise ValueError(wrong)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2030-01-31T12:00:00Z"]}),
]
Text = Annotated[str | None, Query(max_length=200)]


def _cut(
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="how many at most")] = LIMIT,
    starting_after: Annotated[str | None, Query(max_length=300, description="an id: what is older than that")] = None,
    ending_before: Annotated[str | None, Query(max_length=300, description="an id: what is newer than that")] = None,
    since: Annotated[Moment | None, Query(alias="from", description="not made before this time or day, in UTC")] = None,
    until: Annotated[Moment | None, Query(alias="to", description="made before this time or day, in UTC")] = None,
) -> Cut:
    return Cut(limit, starting_after, ending_before, since, until)


Part = Annotated[Cut, Depends(_cut)]
"""Which part of a list is asked for."""


async def known(request: Request) -> None:
    """Refuse a parameter that the description of a call does not name, and one that is given twice, by its name."""
    names = _described(request) if request.query_params else None
    if names is None:
        return
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in names:
            raise Invalid(f"this call has no parameter {name!a}", param=name)
        if given.count(name) > 1:
            raise Invalid(f"{name} is given {given.count(name)} times: give it once", param=name)


DIGITS_MAX = 400
"""A whole number of more digits is read as endless: no field takes that, and each says so by its name."""


Pairs = list[tuple[str, Any]]


def once_each(pairs: Pairs) -> dict[str, Any]:
    """Return an object of JSON; raises `ValueError` for a key that stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in it")
    return found


def measured(body: bytes, made: Callable[[Pairs], dict[str, Any]] = once_each) -> Any:
    """Return a body as JSON, with numbers beyond all measure as endless ones, and each object as it is `made`.

    Raises `ValueError` for what is no JSON and for what is nested too deep.
    """
    try:
        return json.loads(body, parse_int=_number, object_pairs_hook=made)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _number(digits: str) -> float:
    return int(digits) if len(digits) <= DIGITS_MAX else math.inf


def too_long(refused: ValueError) -> bool:
    """Tell whether JSON was refused for nothing but a number that is too long to be read."""
    return "number out of range" in str(refused)


class _Careful(Request):
    async def json(self) -> Any:
        """Return the body as JSON, whatever its numbers; `well_told` has looked, or looks, for what else is wrong."""
        return measured(await self.body(), dict)


class CarefulRoute(APIRoute):
    """A route for which a number that is too long to be read is a wrong field, not a body that is no JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, given a request that reads numbers of any length."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            return await handle(_Careful(request.scope, request.receive))

        return handler


async def well_told(request: Request) -> None:
    """Refuse a body that does not say that it is JSON, and JSON with a key twice: whoever wrote it meant one of the two."""
    if request.scope["route"].body_field is None or not (body := await request.body()):
        return
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind.startswith("application/") or not kind.endswith("json"):
        raise Malformed("send the body as JSON, with the header Content-Type: application/json", param="Content-Type")
    try:
        jiter.from_json(body, catch_duplicate_keys=True, float_mode="lossless-float")
        return
    except ValueError as refused:
        if not too_long(refused):
            raise Malformed(f"the body is not the JSON we take: {refused}") from None
    try:  # how long a number may be is for its field to say
        measured(body)
    except ValueError as refused:
        raise Malformed(f"the body is not the JSON we take: {refused}") from None


def _described(request: Request) -> set[str] | None:
    """Return the parameters of a call's query as its description has them; `None` for what is not described."""
    path = request.app.openapi()["paths"].get(request.scope["route"].path)
    if path is None:
        return None
    return {one["name"] for one in path[request.method.lower()].get("parameters", ()) if one["in"] == "query"}

"""The sandbox's own calls under `/_sandbox`, and the feed of the page that watches it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .accounts import Account
from .endpoints import roll_secret
from .errors import Json
from .world import World

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"(\d+)\s*([smhdw])")
_LATEST = 50
_FARTHEST_S = 731 * 86400
_LONGEST_S = 1000 * 366 * 86400


def routes(world: World) -> list[Route]:
    """The routes of `/_sandbox`."""

    async def state(request: Request) -> Response:
        return JSONResponse(_state(world))

    async def reset(request: Request) -> Response:
        async with world.moving:
            world.reset()
        return JSONResponse(_state(world))

    async def clock(request: Request) -> Response:
        if request.method == "POST":
            try:
                body = await request.body()
                async with world.moving:
                    await world.move_clock(_target(world, body))
            except ValueError as problem:
                return JSONResponse({"error": {"code": "invalid_clock", "message": str(problem)}}, 400)
        return JSONResponse(_clock(world))

    async def chaos(request: Request) -> Response:
        if request.method == "POST":
            return await _taken(request, world.disturb, lambda: world.chaos.given, "invalid_chaos")
        return JSONResponse(world.chaos.given)

    async def settings(request: Request) -> Response:
        if request.method == "POST":
            return await _taken(request, world.take_settings, world.settings.shown, "invalid_setting")
        return JSONResponse(world.settings.shown())

    async def roll(request: Request) -> Response:
        return await _rolled(world, request)

    async def feed(request: Request) -> Response:
        return JSONResponse(_feed(world))

    return [
        Route("/_sandbox/state", state, methods=["GET"]),
        Route("/_sandbox/reset", reset, methods=["POST"]),
        Route("/_sandbox/clock", clock, methods=["GET", "POST"]),
        Route("/_sandbox/chaos", chaos, methods=["GET", "POST"]),
        Route("/_sandbox/settings", settings, methods=["GET", "POST"]),
        Route("/_sandbox/webhook_endpoints/{id}/roll", roll, methods=["POST"]),
        Route("/_sandbox/feed", feed, methods=["GET"]),
    ]


async def _taken(
    request: Request, take: Callable[[Json], None], shown: Callable[[], Json], code: str
) -> Response:  # fmt: skip
    """Take the body as settings, and show what holds now; 400 says what is wrong."""
    try:
        take(_json_object(await request.body()))
    except ValueError as problem:
        return _refused(code, str(problem))
    return JSONResponse(shown())


def _refused(code: str, message: str, status: int = 400) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status)


async def _rolled(world: World, request: Request) -> Response:
    """A new secret for an endpoint; the old one signs too until `{"expires_in": "24h"}` is over (at most a day)."""
    try:
        span_s = _span_s(str(_json_object(await request.body() or b"{}").get("expires_in", "0s")))
    except ValueError as problem:
        return _refused("invalid_span", str(problem))
    if span_s > _UNITS_S["d"]:
        return _refused("invalid_span", "A rolled secret lives on for at most 24h.")
    for account in world.accounts.values():
        endpoint = account.find("webhook_endpoint", request.path_params["id"])
        if endpoint is not None:
            secret = roll_secret(account, endpoint, span_s)
            world.flush()
            return JSONResponse({"id": endpoint["id"], "secret": secret})
    return _refused("not_found", "There is no such webhook endpoint.", 404)


def _clock(world: World) -> Json:
    return {"now": world.clock.iso(), "offset_s": round(world.clock.offset_s)}


def _target(world: World, body: bytes) -> float:
    """The moment to which the clock shall move, at most two years ahead; ValueError with a helpful text."""
    target = _named_moment(world, _json_object(body))
    if target > world.clock.now() + _FARTHEST_S:
        raise ValueError("The clock moves at most two years (731 days) ahead at once; send several shorter moves.")
    return target


def _named_moment(world: World, given: Json) -> float:
    if set(given) == {"advance"}:
        return world.clock.now() + _span_s(str(given["advance"]))
    if set(given) == {"to"}:
        moment = datetime.fromisoformat(str(given["to"]))
        target = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
        if target < world.clock.now():
            raise ValueError(f"The clock only moves forward; it is {world.clock.iso()} already.")
        return target
    raise ValueError('Send {"advance": "31d"} (s, m, h, d, w) or {"to": "2026-12-31T00:00:00Z"}.')


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise ValueError(f"The body is not JSON: {problem}.") from problem
    if not isinstance(given, dict):
        raise ValueError("The body must be a JSON object.")  # noqa: TRY004 (told to the client, as the others)
    return given


def _span_s(span: str) -> float:
    """`31d`, `90s`, `1d12h` in seconds; a span that is too long for a date counts as 1000 years."""
    parts = _SPAN.findall(span)
    if not parts or _SPAN.sub("", span).strip():
        raise ValueError(f"{span!r} is no span of time; write 90s, 30m, 12h, 31d or 2w.")
    return float(min(sum(int(number) * _UNITS_S[unit] for number, unit in parts), _LONGEST_S))


def _state(world: World) -> Json:
    """Counts of objects by kind, and of deliveries by status, in all and by account."""
    accounts = [_account_state(account) for account in world.accounts.values()]
    return {
        **_clock(world),
        "accounts": accounts,
        "kept_answers": sum(len(account.table("_answer")) for account in world.accounts.values()),
        "counts": _summed([account["counts"] for account in accounts]),
        "deliveries": {"waiting": 0, "delivered": 0, "gave_up": 0, "canceled": 0, "dropped": 0}
        | _summed([account["deliveries"] for account in accounts]),
    }


def _account_state(account: Account) -> Json:
    deliveries = [{str(row["status"]): 1} for row in account.all("_delivery")]
    return {"id": account.id, "counts": account.counts(), "deliveries": _summed(deliveries)}


def _summed(counts: list[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for count in counts:
        for name, number in count.items():
            total[name] = total.get(name, 0) + number
    return total


def _feed(world: World) -> Json:
    """The latest requests, events and deliveries, newest first."""
    events = _latest(world, "event")
    deliveries = _latest(world, "_delivery")
    return {
        **_clock(world),
        "requests": list(world.requests)[::-1][:_LATEST],
        "events": [_event_line(event) for _, event in events],
        "deliveries": [_delivery_line(account, row) for account, row in deliveries],
    }


def _latest(world: World, kind: str) -> list[tuple[Account, Json]]:
    rows = [
        (account, row)
        for account in world.accounts.values()
        for row in islice(account.table(kind).walk(len(account.table(kind).order), forward=False), _LATEST)
    ]
    return sorted(rows, key=lambda pair: pair[1]["created"], reverse=True)[:_LATEST]


def _event_line(event: Json) -> Json:
    about = event["data"]["object"]
    return {"id": event["id"], "type": event["type"], "about": about.get("id", ""), "at": event["created"],
            "charge": about.get("charge"), "pending_webhooks": event["pending_webhooks"]}  # fmt: skip


def _delivery_line(account: Account, delivery: Json) -> Json:
    event = account.find("event", delivery["event"])
    endpoint = account.find("webhook_endpoint", delivery["endpoint"])
    last = delivery["attempts"][-1] if delivery["attempts"] else {}
    return {
        "id": delivery["id"],
        "type": event["type"] if event else "",
        "event": delivery["event"],
        "url": endpoint["url"] if endpoint else "(deleted)",
        "status": delivery["status"],
        "attempts": len(delivery["attempts"]),
        "status_code": last.get("status_code"),
        "error": last.get("error"),
        "next_attempt_at": delivery["next_attempt_at"],
        "at": delivery["created"],
        "chaos": delivery.get("chaos"),
    }

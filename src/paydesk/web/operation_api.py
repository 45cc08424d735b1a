"""The API of what comes in and what leaves: events and deliveries, and doing them again."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from paydesk import customers, lists
from paydesk.errors import NotFound
from paydesk.web import shapes
from paydesk.web.api import Admin, Here, Reader
from paydesk.web.once import once
from paydesk.web.parameters import Part, Text

router = APIRouter(prefix="/v1", tags=["Operation"])

EventState = Literal["ready", "parked", "done", "ignored", "quarantined"]
DeliveryState = Literal["waiting", "sent", "dead"]


@router.get("/events")
async def list_events(
    here: Here, _caller: Reader, part: Part, state: EventState | None = None,
    type_: Annotated[str | None, Query(alias="type", max_length=200, examples=["payment_intent.succeeded"])] = None,
) -> dict[str, Any]:  # fmt: skip
    """List what came in, newest first, and what became of it: of a state, of a type."""
    page = await lists.events(here.store, part, state=state, kind=type_)
    return {"data": [shapes.event(row) for row in page.rows], "has_more": page.has_more}


@router.get("/events/{event}")
async def get_event(here: Here, _caller: Reader, event: str) -> dict[str, Any]:
    """Return what became of an event."""
    row = await lists.event(here.store, event)
    if row is None:
        raise NotFound(f"no event {event}", param="event")
    return shapes.event(row)


@router.post("/events/{event}/replay")
async def replay_event(request: Request, here: Here, caller: Admin, event: str) -> Response:
    """Send an event through the money path again. What it has done already it does not do twice."""

    async def work(_operation: str) -> dict[str, Any]:
        await lists.replay(here.store, [event], actor=caller.key_id)
        here.bell.ring("inbox")
        return await get_event(here, caller, event)

    return await once(here.store, caller.key_id, request, work)


@router.get("/deliveries")
async def list_deliveries(
    here: Here, _caller: Reader, part: Part, state: DeliveryState | None = None, customer: Text = None,
    channel: Annotated[str | None, Query(max_length=32, examples=["telegram"])] = None,
) -> dict[str, Any]:  # fmt: skip
    """List what was to be said or done outside, newest first: of a state, to a person, on a channel."""
    person = None if customer is None else await customers.resolve(here.store, customer)
    page = await lists.deliveries(here.store, part, state=state, customer=person, channel=channel)
    return {"data": [shapes.delivery(row) for row in page.rows], "has_more": page.has_more}


@router.get("/deliveries/{delivery}")
async def get_delivery(here: Here, _caller: Reader, delivery: str) -> dict[str, Any]:
    """Return how a delivery stands."""
    return shapes.delivery(await lists.delivery(here.store, lists.delivery_id(delivery, "delivery")))


@router.post("/deliveries/{delivery}/retry")
async def retry_delivery(request: Request, here: Here, caller: Admin, delivery: str) -> Response:
    """Try a dead or waiting delivery again now."""
    number = lists.delivery_id(delivery, "delivery")

    async def work(_operation: str) -> dict[str, Any]:
        row = await lists.retry(here.store, number, actor=caller.key_id)
        here.bell.ring("outbox")
        return shapes.delivery(row)

    return await once(here.store, caller.key_id, request, work)

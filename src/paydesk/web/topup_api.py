"""The API's calls for automatic top-up: set up, look, turn off. Off for everybody until somebody sets it up."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from paydesk import customers, topup
from paydesk.catalog import CREDITS
from paydesk.errors import NotFound
from paydesk.wallet import AMOUNT_MAX
from paydesk.web import shapes
from paydesk.web.api import Here, Reader, Seller
from paydesk.web.once import once
from paydesk.web.parameters import CarefulRoute

router = APIRouter(prefix="/v1", route_class=CarefulRoute)

Unit = Annotated[str, Query(max_length=64)]


class TopUpGiven(shapes.Given):
    """What is bought again, when, and for how much money a calendar month at most."""

    price: str = Field(max_length=64, description="a price of the catalogue that gives credits")
    below: int = Field(ge=1, le=AMOUNT_MAX, description="buy when less than this is left")
    month_limit: int = Field(
        ge=1, le=AMOUNT_MAX, description="at most so much a month, in the smallest unit of the price's currency"
    )
    payment_method: str | None = Field(None, max_length=255, description="a saved card; the newest when not given")


@router.post("/customers/{customer}/topup", tags=["Credits"])
async def set_up(request: Request, here: Here, _caller: Seller, customer: str, given: TopUpGiven) -> Response:
    """Buy credits again by themselves, with a saved card, when a balance falls below a mark."""
    id_ = await customers.resolve(here.store, customer)

    async def work(operation: str) -> dict[str, Any]:
        made = await topup.set_up(
            here.store, here.gateway, here.catalog, id_, price=given.price, below=given.below,
            month_limit=given.month_limit, payment_method=given.payment_method,
            operation=operation,
        )  # fmt: skip
        return _shape(made)

    return await once(here.store, id_, request, work)


@router.get("/customers/{customer}/topup", tags=["Credits"])
async def get_topup(here: Here, _caller: Reader, customer: str, unit: Unit = CREDITS) -> dict[str, Any]:
    """Return how a person's credits are bought again, and why that has stopped, if it has."""
    found = await topup.get(here.store, await customers.resolve(here.store, customer), unit)
    if found is None:
        raise NotFound("no automatic top-up was ever set up for this person", param="customer")
    return _shape(found)


@router.delete("/customers/{customer}/topup", tags=["Credits"])
async def turn_off(here: Here, caller: Seller, customer: str, unit: Unit = CREDITS) -> dict[str, Any]:
    """Turn automatic top-up off."""
    id_ = await customers.resolve(here.store, customer)
    await topup.stop(here.store, id_, unit, f"turned off by {caller.key_id}")
    return await get_topup(here, caller, id_, unit)


def _shape(one: topup.TopUp) -> dict[str, Any]:
    return {
        "object": "topup",
        "customer": one.customer,
        "unit": one.unit,
        "price": one.price,
        "below": one.below,
        "month_limit": one.month_limit,
        "payment_method": one.payment_method,
        "enabled": one.enabled,
        "stopped_because": one.stopped_because,
    }

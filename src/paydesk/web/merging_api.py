"""The API's call that merges two people."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from paydesk import customers, merging
from paydesk.web import shapes
from paydesk.web.api import Admin, Here
from paydesk.web.once import once

router = APIRouter(prefix="/v1")


class MergeGiven(shapes.Given):
    """Who turns out to be the same person: by id, or by where they can be met."""

    customer: str | shapes.IdentityGiven = Field(examples=["cst_…"])


@router.post("/customers/{customer}/merge", tags=["Customers"])
async def merge_customers(request: Request, here: Here, caller: Admin, customer: str, given: MergeGiven) -> Response:
    """Merge another person into this one: credits, passes, orders and identities of both are this person's then.

    It cannot be undone. The other's id goes on working and leads here.
    """
    other = given.customer
    named = other if isinstance(other, str) else customers.identity(other.channel, other.external_id)
    person = await customers.resolve(here.store, customer)

    async def work(_operation: str) -> dict[str, Any]:
        survivor = await merging.merge(here.store, here.vault, customer, named, actor=caller.key_id)
        return shapes.customer(await customers.get(here.store, here.vault, survivor))

    async def show(_operation: str) -> dict[str, Any]:
        return shapes.customer(await customers.get(here.store, here.vault, person))

    return await once(here.store, person, request, work, show=show)

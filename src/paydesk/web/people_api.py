"""The API's calls about people: where they can be met, where they are to be let in, and what they claim."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from paydesk import claims, customers, linking, memberships
from paydesk.clock import iso
from paydesk.memberships import Membership
from paydesk.web import shapes
from paydesk.web.api import Admin, BuyerOrSpender, Here, Reader, Seller
from paydesk.web.auth import person_of
from paydesk.web.once import once
from paydesk.web.parameters import Part

router = APIRouter(prefix="/v1")


class ClaimGiven(shapes.Given):
    """What is to start: a feature, or everything that waits to be claimed."""

    feature: str | None = Field(None, min_length=1, max_length=64, pattern=r"^[^\x00]*$")


@router.post("/customers/{customer}/claims", tags=["Access"])
async def claim(
    request: Request, here: Here, caller: BuyerOrSpender, customer: str, given: ClaimGiven | None = None
) -> Response:
    """Start what was sold to run from when it is claimed. Asked again, it starts nothing. Needs the scope `spend`."""
    person = await person_of(here.store, caller, customer)
    feature = given.feature if given is not None else None

    async def work(operation: str) -> dict[str, Any]:
        started = await claims.claim(here.store, person, feature, actor=caller.key_id, operation=operation)
        here.bell.ring("outbox")
        data = [
            {
                "source": one.source,
                "kind": one.kind,
                "feature": one.feature,
                "since": iso(one.since),
                "until": iso(one.until),
            }
            for one in started
        ]
        return {"data": data, "has_more": False}

    return await once(here.store, caller.keys_of(person), request, work)


@router.get("/customers/{customer}/memberships", tags=["Access"])
async def list_memberships(here: Here, _caller: Reader, part: Part, customer: str) -> dict[str, Any]:
    """List the roles and groups of a person, in the order of their names: those they are to have, and those they had.

    A cursor is the `feature` of one; `from` and `to` ask for those that began or ended in that time.
    """
    person = await customers.resolve(here.store, customer)
    found, more = await memberships.listed(here.store, person, part)
    return {"data": [_membership(one) for one in found], "has_more": more}


@router.post("/customers/{customer}/memberships/sync", tags=["Access"])
async def sync(request: Request, here: Here, _caller: Seller, customer: str) -> Response:
    """Give a person their roles and places again, as when they left and came back. Needs the scope `sell`."""
    person = await customers.resolve(here.store, customer)

    async def work(operation: str) -> dict[str, Any]:
        found = await memberships.sync(here.store, person, operation=operation)
        here.bell.ring("outbox")
        return {"data": [_membership(one) for one in found], "has_more": False}

    return await once(here.store, person, request, work)


@router.post("/customers/{customer}/identities", tags=["Customers"])
async def link_identity(
    request: Request, here: Here, caller: Seller, customer: str, given: shapes.IdentityGiven
) -> Response:
    """Let a person be met at one more place; what they have is theirs there at once.

    409 when somebody else is met there: merge the two. Needs the scope `sell`.
    """
    who = customers.identity(given.channel, given.external_id)
    person = await customers.resolve(here.store, customer)

    async def work(operation: str) -> dict[str, Any]:
        now = await linking.link(here.store, person, who, actor=caller.key_id, operation=operation)
        here.bell.ring("outbox")
        return shapes.customer(await customers.get(here.store, here.vault, now))

    async def show(_operation: str) -> dict[str, Any]:
        return shapes.customer(await customers.get(here.store, here.vault, person))

    return await once(here.store, person, request, work, show=show)


@router.delete("/customers/{customer}/identities/{channel}/{external_id:path}", tags=["Customers"])
async def unlink_identity(here: Here, caller: Admin, customer: str, channel: str, external_id: str) -> dict[str, Any]:
    """Let a person be met somewhere no more: roles and places of that id are taken back. Needs the scope `admin`.

    409 for the only place where they are met. Whoever speaks from there later is somebody new.
    """
    person = await customers.resolve(here.store, customer)
    who = customers.identity(channel, external_id)
    now = await linking.unlink(here.store, person, who, actor=caller.key_id)
    here.bell.ring("outbox")
    return shapes.customer(await customers.get(here.store, here.vault, now))


def _membership(one: Membership) -> dict[str, Any]:
    return {
        "channel": one.place.channel,
        "space": one.place.space,
        "role": one.place.role or None,
        "feature": one.place.feature,
        "wanted": one.wanted,
        "version": one.version,
    }

"""The API for programs that act for people: what a key may do, and refunds that wait for a person's approval.

There is no call that approves: that is done on the command line (`paydesk approvals`), where no key reaches.
"""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field, field_validator
from starlette.responses import Response

from paydesk import ids, money, refund_requests
from paydesk.keys import SCOPES
from paydesk.refund_requests import Ask, Limits
from paydesk.web import shapes
from paydesk.web.api import AnySecret, Here, Reader, Seller
from paydesk.web.once import once
from paydesk.web.parameters import Part

router = APIRouter(prefix="/v1")

RequestStatus = Literal["waiting", "expired", "refused", "approved", "refunded", "failed"]


class RefundRequestGiven(shapes.Given):
    """What to give back of an order, all that is left without an amount; why, in words; and who asks."""

    order: str = Field(max_length=200, examples=["ord_…"])
    amount: int | None = Field(None, ge=1, le=money.AMOUNT_MAX, description="in the smallest unit")
    reason: str = Field(min_length=1, max_length=500, description="what a person reads before they decide")
    agent: str = Field("a program", min_length=1, max_length=100, description="what the asking program calls itself")

    @field_validator("reason", "agent")
    @classmethod
    def seen(cls, text: str) -> str:
        """Refuse what could steer the terminal of the person who reads it."""
        if not text.isprintable():
            raise ValueError("only characters that can be seen, in one line")
        return text


@router.get("/agent", tags=["Agents"])
async def get_agent(here: Here, caller: AnySecret) -> dict[str, Any]:
    """Return what this key may do, and how much it may ask to give back. Every valid key may ask this."""
    scopes = [scope for scope in SCOPES if scope in caller.scopes or "admin" in caller.scopes]
    return {"key": caller.key_id, "scopes": scopes, "refunds": Limits.of(here.settings).shown()}


@router.post("/refund_requests", tags=["Agents"], status_code=201)
async def create_refund_request(request: Request, here: Here, caller: Seller, given: RefundRequestGiven) -> Response:
    """Ask a person to give money back: nothing moves before they approve it by `paydesk approvals`.

    409 `refund_limit` for more than the settings allow to ask for. Needs the scope `sell`.
    """
    ask = Ask(given.order, given.amount, given.reason, caller.key_id, given.agent)

    async def work(operation: str) -> dict[str, Any]:
        id_ = ids.derived("rrq", operation)
        row = await refund_requests.ask(here.store, ask, Limits.of(here.settings), id_=id_)
        here.bell.ring("outbox")
        return refund_requests.shown(row)

    return await once(here.store, caller.key_id, request, work, status=201)


@router.get("/refund_requests", tags=["Agents"])
async def list_refund_requests(
    here: Here, _caller: Reader, part: Part, status: RequestStatus | None = None
) -> dict[str, Any]:
    """List what was asked for, the newest first: all, or of a status, such as what is `waiting` for a person."""
    page = await refund_requests.listed(here.store, part, state=status)
    return {"data": [refund_requests.shown(row) for row in page.rows], "has_more": page.has_more}


@router.get("/refund_requests/{refund_request}", tags=["Agents"])
async def get_refund_request(here: Here, _caller: Reader, refund_request: str) -> dict[str, Any]:
    """Return a request as it is now: `waiting`, `expired`, `refused`, `approved`, `refunded` or `failed`."""
    return refund_requests.shown(await refund_requests.get(here.store, refund_request))

"""Looking at credits: what was posted for a person, and how a hold stands."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from paydesk import books, customers, lists, showing
from paydesk.errors import NotFound
from paydesk.web.api import Here, Reader
from paydesk.web.parameters import Part
from paydesk.web.wallet import HOLD_ID

router = APIRouter(prefix="/v1")


@router.get("/customers/{customer}/ledger", tags=["Credits"])
async def get_ledger(
    here: Here,
    _caller: Reader,
    part: Part,
    customer: str,
    unit: Annotated[str | None, Query(max_length=64, pattern=r"^[^\x00]*$")] = None,
) -> dict[str, Any]:
    """List what was posted for a person, newest first: each entry moves an amount from one account to another."""
    person = await customers.resolve(here.store, customer)
    page = await lists.entries(here.store, person, part, unit=unit)
    return {"data": [showing.entry(row) for row in page.rows], "has_more": page.has_more}


@router.get("/holds/{hold}", tags=["Credits"])
async def get_hold(here: Here, _caller: Reader, hold: str) -> dict[str, Any]:
    """Return a hold: `held`, `settled`, `released`, or `lapsed` when nobody ended it in time."""
    async with here.store.transaction() as tx:
        found = (await books.load_holds(tx, [hold])).get(hold) if HOLD_ID.fullmatch(hold) else None
        if found is None:
            raise NotFound("there is no such hold", param="hold")
        wallet = (await books.wallets(tx, found.customer, here.clock.now())).get(found.unit)
    return showing.held(found, wallet.balance if wallet is not None else 0)

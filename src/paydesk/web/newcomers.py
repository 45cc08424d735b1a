"""Who a call is about that names where they are met: somebody known, or somebody who is made with what is done for them.

A call that is refused leaves nobody behind, so nobody is made before its idempotency key is taken. The id of somebody
new follows from where they are met and from that key: a repeat means the same person, whoever has met them meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from paydesk import customers, ids
from paydesk.customers import Identity, NewCustomer
from paydesk.service import Service
from paydesk.web.once import checked_key


@dataclass(frozen=True, slots=True)
class Person:
    """A person's id; of somebody who may be new also where they are `met`, and the id that is or would be given to them.

    `guest` is what is told of somebody new.
    """

    id: str
    met: Identity | None = None
    given_id: str | None = None
    guest: NewCustomer | None = None

    async def made(self, here: Service, *, locale: str | None = None) -> str:
        """Return who it is, made when they are new; two calls at once make one person."""
        if self.met is None:
            return self.id
        if self.guest is not None and await customers.find(here.store, self.met) is None:
            return (await customers.create(here.store, here.vault, self.guest, id_=self.id)).id
        return await customers.find_or_make(here.store, self.met, locale=locale, id_=self.id)


async def met_at(here: Service, request: Request, who: Identity, guest: NewCustomer | None = None) -> Person:
    """Return who is met there. Makes nobody; raises `Invalid` for an `Idempotency-Key` that is none."""
    key = request.headers.get("Idempotency-Key")
    given_id = None if key is None else ids.derived("cst", f"{who.channel}:{who.external_id}:{checked_key(key)}")
    known = await customers.find(here.store, who)
    return Person(known or given_id or ids.new("cst"), who, given_id, guest)

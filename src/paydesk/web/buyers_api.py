"""The API of buyers' pages: tokens that a server asks for, and what a page has to know before it can show anything."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from paydesk import buyers, customers
from paydesk.clock import iso
from paydesk.keys import digest
from paydesk.stripe.shapes import NEWEST
from paydesk.web import shapes
from paydesk.web.api import AnybodyOrReader, Here, Seller
from paydesk.web.newcomers import Person, met_at
from paydesk.web.once import once

router = APIRouter(prefix="/v1")


class SessionGiven(shapes.Given):
    """Who the buyer is, whom your server has recognised, and for how long their page may act for them."""

    customer: shapes.IdentityGiven | str = Field(examples=[{"channel": "app", "external_id": "42"}])
    expires_in_s: int = Field(buyers.LIFE_S, ge=60, le=buyers.LIFE_S_MAX)


@router.post("/customer_sessions", tags=["Customers"], status_code=201)
async def create_session(request: Request, here: Here, caller: Seller, given: SessionGiven) -> Response:
    """Return a token for one buyer's page, which sends it as `Paydesk-Customer` beside a publishable key.

    An identity that nobody knows becomes a person. The token ends by itself, when your key is revoked or expires, and
    when the person is met no more at the identity that you named.
    """
    who, met = given.customer, None
    if isinstance(who, str):
        person = Person(await customers.resolve(here.store, who))
    else:
        met = customers.identity(who.channel, who.external_id)
        person = await met_at(here, request, met)
    first = here.settings.api_key

    async def work(_operation: str) -> dict[str, Any]:
        customer = await person.made(here)
        token, until = buyers.token(
            here.vault, customer, caller.key_id, given.expires_in_s,
            met=met, first=digest(first.reveal()) if first is not None else None,
        )  # fmt: skip
        return {"object": "customer_session", "customer": customer, "token": token, "expires_at": iso(until)}

    return await once(here.store, person.id, request, work, status=201, personal=True, also=person.given_id)


@router.get("/config", tags=["Catalogue"])
async def get_config(here: Here, _caller: AnybodyOrReader) -> dict[str, Any]:
    """Return what a page has to know: whose shop it is, Stripe's publishable key and API version, currencies, languages."""
    settings, catalog = here.settings, here.catalog
    return {
        "object": "config",
        "livemode": settings.livemode,
        "shop": catalog.shop.as_json(settings.public_url),
        "stripe_publishable_key": settings.stripe_publishable_key,
        "stripe_api_version": NEWEST,
        "public_url": settings.public_url,
        "currencies": list(dict.fromkeys(price.currency for price in catalog.prices.values())),
        "languages": list(here.conversation.languages),
        "language": settings.language,
    }

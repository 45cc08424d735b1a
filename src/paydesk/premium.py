"""Selling in a platform's own shop (Discord's Premium Apps): the same orders, terms and grants, by another rail.

A price of the catalogue names what stands for it there. What somebody has bought there is told again and again, by events
and by lists, in any order: each purchase gets an order of its own, under an id made of its own, and what it is now enters
by the inbox as a fact. The platform has the money, tells nobody how much, and gives it back by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import orjson

from paydesk import alerts, checkout, customers, ids, inbox, money, stars
from paydesk.catalog import Catalog, Price, Product
from paydesk.channels.base import BoughtThere
from paydesk.customers import Identity, Thread
from paydesk.facts import EntitlementIs
from paydesk.inbox import Envelope
from paydesk.outbox import Message
from paydesk.store import Store

SOURCE = "premium"
"""The source of rows that tell what was bought in a platform's own shop."""

PREFIX = stars.SHOP_PREFIX


def price_of(catalog: Catalog, told: BoughtThere) -> Price | None:
    """Return the price that what was bought stands for, `None` where the catalogue names it nowhere."""
    return next((price for price in catalog.prices.values() if price.discord_sku == told.article), None)


async def nobody_sells(store: Store, catalog: Catalog, told: BoughtThere, arrival: str) -> list[Message]:
    """Return what the people of the desk are told when money came in for what no price names, by this arrival."""
    if price_of(catalog, told) is not None or told.deleted or told.used_up or await _is_known(store, order_id(told)):
        return []
    because = f"somebody bought {told.article} there, and no price of the catalogue has it"
    mend = f'put discord_sku = "{told.article}" on the price it stands for, then: paydesk events replay {arrival}'
    return [alerts.of_channel("misconfigured", told.who.channel, about=told.article, because=because, mend=mend)]


async def envelopes(
    store: Store, catalog: Catalog, told: Iterable[BoughtThere], at: datetime, *, livemode: bool
) -> list[Envelope]:
    """Return what tells the inbox of purchases, heard of `at`, each with an order that is there.

    An order that is there keeps its terms, whatever the catalogue says by now. What nobody sells here tells nothing, nor
    what was used up before we knew of it: somebody else has given it.
    """
    found = []
    for one in told:
        price, order, news_at = price_of(catalog, one), order_id(one), at
        if not await _is_known(store, order):
            if price is None or one.used_up:
                continue
            await _make_order(store, catalog.products[price.product], price, one, livemode=livemode)
            news_at = one.starts_at  # what was bought long ago, and gone since, is no news
        uses_up = price is not None and not one.used_up and is_used_up(price, catalog.products[price.product])
        found.append(_envelope(one, order, news_at, uses_up=uses_up, livemode=livemode))
    return found


async def _is_known(store: Store, order: str) -> bool:
    return await store.fetchval("SELECT true FROM orders WHERE id = $1", order) is True


def order_id(told: BoughtThere) -> str:
    """Return the id of the order of a purchase: the same however often it is told."""
    return ids.derived("ord", f"{told.who.channel}:{told.bought}")


def is_used_up(price: Price, product: Product) -> bool:
    """Say whether something can be bought again and again, because it gives credits or days: then it is used up there."""
    return price.interval is None and any(grant.kind == "credits" or grant.days for grant in product.grants)


async def _make_order(store: Store, product: Product, price: Price, told: BoughtThere, *, livemode: bool) -> None:
    """Write the order of a purchase with the terms of today. What repeats gives as long as the platform says it does."""
    person = await customers.find_or_make(store, Identity(told.who.channel, told.who.external_id))
    once = replace(price, interval=None, interval_count=1, trial_days=0)
    line = checkout.Line(product.name, 1, price.amount, price.currency, once, product)
    thread = Thread(told.who.channel, told.who.external_id, None)
    await checkout.create_order(
        store, checkout.NewOrder(person, (line,), thread), livemode=livemode, id_=order_id(told)
    )


def _envelope(told: BoughtThere, order: str, at: datetime, *, uses_up: bool, livemode: bool) -> Envelope:
    """Return the envelope of a purchase as it is now: told again, it is the same one, whenever that is."""
    now = {
        "order": order, "bought": told.bought, "since": told.starts_at.isoformat(), "deleted": told.deleted,
        "ends_at": None if told.ends_at is None else told.ends_at.isoformat(), "uses_up": uses_up,
    }  # fmt: skip
    id_ = f"{order}:{hashlib.sha256(orjson.dumps(now)).hexdigest()[:32]}"
    body = orjson.dumps({**now, "at": at.isoformat()})
    return Envelope(SOURCE, id_, "premium.bought", inbox.lane_of(order), body, livemode)


def read(body: bytes) -> EntitlementIs:
    """Return the fact in a row."""
    told = orjson.loads(body)
    ends_at = told["ends_at"] and datetime.fromisoformat(told["ends_at"])
    return EntitlementIs(
        datetime.fromisoformat(told["at"]), PREFIX + told["bought"], told["order"], told["bought"], 1, money.PREMIUM,
        datetime.fromisoformat(told["since"]), ends_at, told["deleted"], told["uses_up"],
    )  # fmt: skip

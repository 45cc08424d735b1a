"""Selling in a platform's own shop (Discord's Premium Apps): the same orders, terms and grants, by another rail.

A price of the catalogue names what stands for it there. What somebody has bought there is told again and again, by events
and by lists, in any order: each purchase gets an order of its own, under an id made of its own, and what it is now enters
by the inbox as a fact. The platform has the money, tells nobody how much, and gives it back by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import orjson

from paydesk import alerts, checkout, customers, ids, inbox, money, stars
from paydesk.catalog import Catalog, Price, Product
from paydesk.channels.base import Article, BoughtThere, Finding
from paydesk.customers import Identity, Thread
from paydesk.facts import EntitlementIs
from paydesk.inbox import Envelope
from paydesk.outbox import Message
from paydesk.store import Store

SOURCE = "premium"
"""The source of rows that tell what was bought in a platform's own shop."""

PREFIX = stars.SHOP_PREFIX

AGAIN_AFTER = timedelta(minutes=5)
"""What is told without an end so long after its end has begun again; told before, it may be older than the end."""


def price_of(catalog: Catalog, told: BoughtThere) -> Price | None:
    """Return the price that what was bought stands for, `None` where the catalogue names it nowhere."""
    return next((price for price in catalog.prices.values() if price.discord_sku == told.article), None)


def findings(catalog: Catalog, articles: Mapping[str, Article]) -> Iterator[Finding]:
    """Yield for each price that is sold in a platform's own shop whether that has it, in a kind that fits."""
    for price in catalog.prices.values():
        if price.discord_sku is not None:
            sku, article = price.discord_sku, articles.get(price.discord_sku)
            yield _finding(f"Discord: the SKU {sku} of {price.key}", price, catalog.products[price.product], article)


def _finding(what: str, price: Price, product: Product, article: Article | None) -> Finding:
    portal = "Developer Portal → Monetization → SKUs"
    if article is None:
        mend = f"copy the right id from {portal} into the catalogue"
        return Finding(False, what, "this application has none of that id", mend)
    wanted = "subscription" if price.interval else "consumable" if is_used_up(price, product) else "durable"
    if article.kind != wanted:
        mend = f"name one of the kind {wanted} ({portal})"
        return Finding(False, what, f"{article.name}, of the kind {article.kind}", mend)
    mend_later = None if article.on_sale else f"nobody can buy it yet: publish it ({portal})"
    return Finding(True, what, article.name, mend_later)


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
        lifts = await _lifted(store, order, one)
        found.append(_envelope(one, order, news_at, uses_up=uses_up, lifts=lifts, livemode=livemode))
    return found


async def _lifted(store: Store, order: str, told: BoughtThere) -> datetime | None:
    """Return the end that is known of a purchase, where what is told shows that it has begun again since."""
    if told.ends_at is not None or told.deleted or told.told_at is None:
        return None
    ended = await store.fetchval("SELECT max(until) FROM source WHERE order_id = $1", order)
    return ended if ended is not None and ended + AGAIN_AFTER < told.told_at else None


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


def _envelope(
    told: BoughtThere, order: str, at: datetime, *, uses_up: bool, lifts: datetime | None, livemode: bool
) -> Envelope:
    """Return the envelope of a purchase as it is now: told again, it is the same one, whenever that is."""
    now = {
        "order": order, "bought": told.bought, "since": told.starts_at.isoformat(), "deleted": told.deleted,
        "ends_at": None if told.ends_at is None else told.ends_at.isoformat(), "uses_up": uses_up,
        **({} if lifts is None else {"lifts": lifts.isoformat()}),
    }  # fmt: skip
    id_ = f"{order}:{hashlib.sha256(orjson.dumps(now)).hexdigest()[:32]}"
    body = orjson.dumps({**now, "at": at.isoformat()})
    return Envelope(SOURCE, id_, "premium.bought", inbox.lane_of(order), body, livemode)


def read(body: bytes) -> EntitlementIs:
    """Return the fact in a row."""
    told = orjson.loads(body)
    ends_at, lifts = (text and datetime.fromisoformat(text) for text in (told["ends_at"], told.get("lifts")))
    return EntitlementIs(
        datetime.fromisoformat(told["at"]), PREFIX + told["bought"], told["order"], told["bought"], 1, money.PREMIUM,
        datetime.fromisoformat(told["since"]), ends_at, told["deleted"], told["uses_up"], lifts,
    )  # fmt: skip

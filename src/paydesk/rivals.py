"""One live subscription of a product for a person, however often somebody pressed: who stays and what has to go.

Whoever has a subscription cannot order it again. What slips through, because two pages were open before either was
paid, is decided here when it is settled: other open orders of the product are closed, and the younger of two
subscriptions that were begun by orders ends at once. `doubles` carries that out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from paydesk import inbox, subscriptions
from paydesk.outbox import Message
from paydesk.store import Tx
from paydesk.subscriptions import Bill, Subscription

YOUNG = timedelta(hours=72)
"""A subscription older than this is nobody's second press: people who were merged may well have two."""


@dataclass(frozen=True, slots=True)
class Rival:
    """A live subscription; `order` began it, if one of ours did."""

    id: str
    customer: str
    order: str | None
    status: str
    started_at: datetime
    products: frozenset[str]


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order of a subscription that can still be paid."""

    id: str
    customer: str
    products: frozenset[str]


@dataclass(frozen=True, slots=True)
class Known:
    """The live subscriptions and open orders of the people in hand."""

    live: tuple[Rival, ...] = field(default=())
    orders: tuple[OpenOrder, ...] = field(default=())


LIVE = """
SELECT s.id, s.customer_id, s.order_id, s.status, s.started_at,
       ARRAY(SELECT item -> 'terms' ->> 'product' FROM jsonb_array_elements(s.items -> 'data') item
             WHERE item -> 'terms' ->> 'product' IS NOT NULL) AS products
FROM subscription s WHERE s.customer_id = ANY($1::text[]) AND s.status = ANY($2::text[])
"""

OPEN = """
SELECT o.id, o.customer_id, ARRAY(SELECT p.value ->> 'product' FROM jsonb_each(o.plan) p) AS products
FROM orders o WHERE o.customer_id = ANY($1::text[]) AND o.mode = 'subscription' AND o.status IN ('open', 'expired')
"""

BEING_MADE = """
SELECT o.id FROM orders o JOIN stripe_call c ON c.subject = o.id AND c.kind = 'subscription' AND c.state <> 'refused'
WHERE o.customer_id = $1 AND o.id <> ALL($2::text[]) AND c.created_at > now() - interval '1 day'
  AND NOT EXISTS (SELECT FROM subscription s WHERE s.order_id = o.id)
  AND EXISTS (SELECT FROM jsonb_each(o.plan) p WHERE p.value ->> 'product' = $3)
LIMIT 1
"""

BEING_CHANGED = """
SELECT s.id FROM subscription s JOIN stripe_call c ON c.subject = s.id AND c.kind = 'change'
WHERE s.customer_id = $1 AND s.id <> $2 AND s.status = ANY($3::text[])
  AND c.params #>> '{metadata,paydesk_price}' = ANY($4::text[])
  AND ((c.state = 'pending' AND c.created_at > now() - interval '1 day')
       OR (c.state = 'done' AND EXISTS (SELECT FROM inbox i WHERE i.source = $5 AND i.state IN ('ready', 'parked')
                                        AND i.external_id = 'subscription:' || s.id || ':' || c.key)))
LIMIT 1
"""
"""A change at Stripe that our row of the subscription does not show yet: it is being asked for, or its look waits."""

UNPAID = """
SELECT o.id, c.object_id FROM orders o
JOIN stripe_call c ON c.subject = o.id AND c.kind = 'subscription' AND c.state = 'done' AND c.object_id IS NOT NULL
LEFT JOIN subscription s ON s.id = c.object_id
WHERE o.customer_id = $1 AND o.id <> $2 AND EXISTS (SELECT FROM jsonb_each(o.plan) p WHERE p.value ->> 'product' = $3)
  AND (s.status = 'incomplete' OR (s.id IS NULL AND c.created_at > now() - interval '1 day'))
"""


async def load(tx: Tx, people: Collection[str]) -> Known:
    """Return the live subscriptions and open orders of people who are locked."""
    live = [
        Rival(id_, customer, order, status, started_at, frozenset(products))
        for id_, customer, order, status, started_at, products in await tx.fetch(
            LIVE, sorted(people), list(subscriptions.LIVE)
        )
    ]
    orders = [OpenOrder(row[0], row[1], frozenset(row[2])) for row in await tx.fetch(OPEN, sorted(people))]
    return Known(tuple(live), tuple(orders))


async def live_one(tx: Tx, person: str, product: str, *, besides: Collection[str] = ()) -> str | None:
    """Return the person's live subscription of a product, other than those `besides`."""
    known = await load(tx, [person])
    ids = (one.id for one in known.live if product in one.products and one.id not in besides)
    return next(ids, None)


async def running_one(tx: Tx, person: str, product: str) -> str | None:
    """Return the person's live subscription of a product, unless it is an order's that waits for its first payment.

    That one bars nobody from ordering again: it makes room when the new one begins.
    """
    known = await load(tx, [person])
    ids = (one.id for one in known.live
           if product in one.products and (one.order is None or one.status != "incomplete"))  # fmt: skip
    return next(ids, None)


async def unpaid(tx: Tx, person: str, product: str, order: str) -> dict[str, str]:
    """Return subscriptions that other orders began and that, for all that is known, wait for their first payment.

    The order of each, by its id.
    """
    return {id_: of for of, id_ in await tx.fetch(UNPAID, person, order, product)}


async def being_made(tx: Tx, person: str, product: str, order: str, *, besides: Collection[str] = ()) -> str | None:
    """Return another order whose subscription to a product has been asked of Stripe and is not known yet."""
    found: str | None = await tx.fetchval(BEING_MADE, person, [order, *besides], product)
    return found


async def being_changed(tx: Tx, own: Subscription, price_keys: Collection[str]) -> str | None:
    """Return another subscription of the person that is being changed just now to one of these prices.

    The person is locked: of two changes at once one is first.
    """
    found: str | None = await tx.fetchval(
        BEING_CHANGED, own.customer, own.id, list(subscriptions.LIVE), sorted(price_keys), inbox.QUESTION
    )
    return found


# --- deciding: pure --------------------------------------------------------------------------------------------------


def verdict(now: datetime, own: Subscription, known: Known, told: Iterable[Bill], inbox_id: int) -> list[Message]:
    """Return what has to go now that `own` is as it is: instructions to Stripe, each given once.

    Of several the oldest stays; one that waits for its first payment never stays beside one that is running. `told`
    are the subscriptions as this very transaction knows them.
    """
    one = rival_of(own)
    if not own.live or not one.products:
        return []
    beside = [*_beside(one, known, [rival_of(bill.subscription) for bill in told if bill.subscription.live]), one]
    running = [each for each in beside if each.status != "incomplete"]
    if not running:
        return []
    stays = min(running, key=lambda each: (each.started_at, each.id))
    doubles = [each for each in beside if each != stays and each.order is not None and now - each.started_at < YOUNG]
    theirs = {each.order for each in beside}
    closing = [each for each in known.orders if each.customer == one.customer and each.products & one.products
               and each.id not in theirs]  # fmt: skip
    return [
        *(_end(each, stays, inbox_id) for each in doubles),
        *(_close(each, stays, inbox_id) for each in closing),
    ]


def rival_of(own: Subscription) -> Rival:
    """Return what counts of a subscription here."""
    products = frozenset(str(item.terms["product"]) for item in own.items if item.terms.get("product"))
    return Rival(own.id, own.customer, own.order, own.status, own.started_at, products)


def _beside(one: Rival, known: Known, told: Sequence[Rival]) -> list[Rival]:
    """Return the person's other live subscriptions of the same product."""
    newest = {each.id: each for each in [*known.live, *told]}
    return [each for each in newest.values()
            if each.id != one.id and each.customer == one.customer and each.products & one.products]  # fmt: skip


def _end(double: Rival, stays: Rival, inbox_id: int) -> Message:
    params = {"subscription": double.id, "order": double.order, "stays": stays.id}
    return Message(f"end_double:{double.id}", double.customer, "stripe", double.id, "end_double", params,
                   inbox_id=inbox_id)  # fmt: skip


def _close(order: OpenOrder, stays: Rival, inbox_id: int) -> Message:
    params = {"order": order.id, "subscription": stays.id}
    return Message(f"close_order:{order.id}", order.customer, "stripe", order.id, "close_order", params,
                   inbox_id=inbox_id)  # fmt: skip

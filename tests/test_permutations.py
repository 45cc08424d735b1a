"""Every order in which the events of one purchase may come, each also with duplicates, ends in the same state."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from desk import CARD, Desk
from paydesk import checkout, customers
from paydesk.catalog import Catalog
from paydesk.customers import Identity, Thread
from paydesk.service import Service
from paydesk.stripe.envelope import envelope

DECLINED = "pm_card_visa_chargeDeclined"
KINDS = (
    "payment_intent.created",
    "payment_intent.payment_failed",
    "charge.succeeded",
    "charge.updated",
    "payment_intent.succeeded",
    "checkout.session.completed",
)
PAYING = {"charge.succeeded", "charge.updated", "payment_intent.succeeded", "checkout.session.completed"}
PRODUCT = "bundle"
_IDS = re.compile(rb"\b(?:ord|pi|ch|cs_test|cus)_[0-9A-Za-z]+(?=\b|_secret)")
AT_ONCE = 16


@pytest.fixture(scope="module")
def purchase(desk: Desk) -> dict[str, bytes]:
    """The real bodies of one purchase, whose first card was declined, by type."""
    buyer = desk.buyer()
    order = buyer.checkout(PRODUCT)
    assert buyer.pay(order, DECLINED).status_code == 402
    assert buyer.pay(order, CARD).status_code == 200
    desk.settled(order["id"])
    told = [event for event in desk.events_at_stripe() if order["id"] in json.dumps(event)]
    return {event["type"]: json.dumps(event).encode() for event in told if event["type"] in KINDS}


@dataclass(frozen=True)
class Copy:
    """The purchase once more, by another person: its events in one order, perhaps each again in reverse."""

    number: int
    kinds: tuple[str, ...]
    bodies: tuple[bytes, ...]
    ids: dict[bytes, bytes]

    @property
    def order(self) -> str:
        return next(copy for copy in self.ids.values() if copy.startswith(b"ord_")).decode()

    @property
    def together(self) -> bool:
        """Whether its events are settled in one transaction: every second plain one, and of the doubled the others."""
        return (self.number + len(self.kinds) // len(KINDS)) % 2 == 0

    @property
    def stripe_customer(self) -> str:
        return next(copy for copy in self.ids.values() if copy.startswith(b"cus_")).decode()

    def original(self, text: str) -> str:
        """The text with the ids of the purchase that this is a copy of."""
        for original, copy in self.ids.items():
            text = text.replace(copy.decode(), original.decode())
        return text

    @property
    def templates(self) -> list[str]:
        """What the buyer is told: of the decline only when it was heard of before the payment."""
        heard_first = self.kinds.index(KINDS[1]) < min(self.kinds.index(kind) for kind in PAYING)
        return ["paid", "payment_failed"] if heard_first else ["paid"]


def copied(purchase: dict[str, bytes], number: int, kinds: tuple[str, ...]) -> Copy:
    """Return a copy whose events have these types in this order; event ids sort in that order too.

    As if a second had passed between one event and the next, and all lay in the past: then it shows whose time is
    taken, and no pass is still to begin when the state is read.
    """
    found = sorted({id_ for body in purchase.values() for id_ in _IDS.findall(body)})
    ids = {id_: id_[:-6] + f"{number:06d}".encode() for id_ in found}
    bodies = []
    for position, kind in enumerate(kinds):
        body = purchase[kind]
        for original, copy in ids.items():
            body = body.replace(original, copy)
        event = json.loads(body)
        event |= {"id": f"evt_{number:06d}{position:02d}", "created": event["created"] - len(KINDS) + KINDS.index(kind)}
        bodies.append(json.dumps(event).encode())
    return Copy(number, kinds, tuple(bodies), ids)


def all_copies(purchase: dict[str, bytes]) -> list[Copy]:
    """Return each permutation twice: plain, and then with every event once more in reverse."""
    plain = list(itertools.permutations(KINDS))
    doubled = [(*kinds, *kinds[::-1]) for kinds in plain]
    return [copied(purchase, number, kinds) for number, kinds in enumerate([*plain, *doubled])]


async def write_order(service: Service, copy: Copy) -> None:
    """Write the order that the copy pays, with its Checkout session open."""
    catalog: Catalog = service.catalog
    person = await customers.find_or_make(service.store, Identity("web", f"copy-{copy.number}"))
    thread = Thread("web", f"copy-{copy.number}", None)
    new = checkout.NewOrder(person, (checkout.line_of(catalog, PRODUCT, 1),), thread)
    await checkout.create_order(service.store, new, livemode=False, id_=copy.order)
    await service.store.execute(
        "UPDATE orders SET stripe_customer = $2 WHERE id = $1", copy.order, copy.stripe_customer
    )


async def in_groups(work: Iterable[Any], at_once: int = AT_ONCE) -> None:
    """Await everything, some at once."""
    waiting = list(work)
    for start in range(0, len(waiting), at_once):
        await asyncio.gather(*waiting[start : start + at_once])


async def receive(service: Service, bodies: Iterable[bytes]) -> None:
    """Take events in, in groups that share a commit."""
    await in_groups((service.receiver.receive(envelope(body)) for body in bodies), 500)


async def settle_together(service: Service, copies: Sequence[Copy]) -> None:
    """Receive all events of a person, one after the other, before any is worked on: one transaction settles them."""
    await receive(service, (body for copy in copies for body in copy.bodies))
    await service.worker.drain()


async def settle_one_by_one(service: Service, copies: Sequence[Copy]) -> None:
    """Work on each event of a person before the next is received."""
    for position in range(max(len(copy.bodies) for copy in copies)):
        await receive(service, (copy.bodies[position] for copy in copies if position < len(copy.bodies)))
        await service.worker.drain()


# --- the end state ---------------------------------------------------------------------------------------------------

STATE = """
SELECT o.id, jsonb_build_object(
    'order', to_jsonb(o) - '{id,customer_id,link_token,external_id,created_at}'::text[],
    'payments', (SELECT jsonb_agg(to_jsonb(p) - 'created_at' ORDER BY p.id) FROM payment p WHERE p.order_id = o.id),
    'sources', (SELECT jsonb_agg(to_jsonb(s) - 'customer_id' ORDER BY s.id) FROM source s WHERE s.order_id = o.id),
    'entries', (SELECT jsonb_agg(jsonb_build_array(e.source, e.revision, e.reason, e.unit, e.amount)
                                 ORDER BY e.source, e.reason)
                FROM entry e JOIN source s ON s.id = e.source WHERE s.order_id = o.id),
    'balances', (SELECT jsonb_agg(jsonb_build_array(a.unit, a.kind, a.balance) ORDER BY a.unit, a.kind)
                 FROM account a WHERE a.owner = o.customer_id),
    'lots', (SELECT jsonb_agg(to_jsonb(l) - '{account_id,created_at}'::text[] ORDER BY l.source)
             FROM lot l JOIN source s ON s.id = l.source WHERE s.order_id = o.id),
    'grants', (SELECT jsonb_agg(to_jsonb(g) - 'customer_id' ORDER BY g.source)
               FROM grant_ g WHERE g.customer_id = o.customer_id),
    'pass ends', (SELECT min(t.due) FROM timer t WHERE t.customer_id = o.customer_id),
    'paid', (SELECT jsonb_agg(jsonb_build_array(x.dedup_key, x.params) ORDER BY x.dedup_key)
             FROM outbox x WHERE x.customer_id = o.customer_id AND x.template = 'paid')
)::text AS state,
(SELECT coalesce(array_agg(x.template ORDER BY x.template), '{}') FROM outbox x
 WHERE x.customer_id = o.customer_id AND x.channel <> 'admin') AS templates,
(SELECT array_agg(m.text ORDER BY m.id) FROM message m WHERE m.external_id = o.external_id) AS texts
FROM orders o WHERE o.external_id LIKE 'copy-%'
"""


async def state_of(service: Service) -> str:
    """Return the state of the only copy."""
    (row,) = await service.store.fetch(STATE)
    return str(row["state"])


async def test_every_order_of_the_events_of_a_purchase_ends_the_same(
    service: Service, purchase: dict[str, bytes]
) -> None:
    assert set(purchase) == set(KINDS)
    copies = all_copies(purchase)
    await in_groups(write_order(service, copy) for copy in copies)
    await settle_together(service, [copy for copy in copies if copy.together])
    await settle_one_by_one(service, [copy for copy in copies if not copy.together])
    rows = {row["id"]: row for row in await service.store.fetch(STATE)}
    ends: dict[str, list[tuple[str, ...]]] = {}
    for copy in copies:
        row = rows[copy.order]
        ends.setdefault(copy.original(row["state"]), []).append(copy.kinds)
        assert list(row["templates"]) == copy.templates, copy.kinds
        assert row["texts"][0][:1] == "✅", copy.kinds
        assert len(row["texts"]) == 1, "what was told first was edited"
    assert len(ends) == 1, [(state, kinds[0], len(kinds)) for state, kinds in ends.items()]
    assert json.loads(next(iter(ends)))["order"]["status"] == "fulfilled"
    assert len(copies) == 2 * 720


async def test_every_event_is_finished_and_none_is_left(service: Service, purchase: dict[str, bytes]) -> None:
    copies = [copied(purchase, number, kinds) for number, kinds in enumerate([KINDS, KINDS[::-1]])]
    await in_groups(write_order(service, copy) for copy in copies)
    await settle_together(service, copies)
    states = await service.store.fetch("SELECT kind, state, count(*) FROM inbox WHERE source = 'stripe' GROUP BY 1, 2")
    expected = {(kind, "ignored" if kind == KINDS[0] else "done", 2) for kind in KINDS}
    assert {(row["kind"], row["state"], row["count"]) for row in states} == expected


async def test_late_news_of_an_older_session_takes_no_money_back(service: Service, purchase: dict[str, bytes]) -> None:
    copy = copied(purchase, 1, KINDS)
    await write_order(service, copy)
    await settle_together(service, [copy])
    before = await state_of(service)
    older = json.loads(copy.bodies[-1])
    older |= {"id": "evt_older", "type": "checkout.session.expired"}
    older["data"]["object"] |= {
        "id": "cs_test_older", "status": "expired", "payment_status": "unpaid", "payment_intent": None,
    }  # fmt: skip
    await receive(service, [json.dumps(older).encode()])
    await service.worker.drain()
    assert json.loads(await state_of(service)) == json.loads(before)

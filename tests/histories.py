"""The same history of many people's subscriptions at a real sandbox, told to a service in any order, number and shape.

Each shape has an account of its own, whose endpoint is told in that API version, and a service on a database of its
own. All live through the same phases on one clock; what a service hears of each, and when, is drawn from a seed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from desk import CARD
from paydesk import checkout, customers, pushing
from paydesk.app import follow_clock_once
from paydesk.customers import Identity, Thread
from paydesk.service import Service
from paydesk.stripe.envelope import envelope
from sandbox_fixtures import Receiver, Sandbox, until

SHAPES = ("2023-10-16", "2024-09-30.acacia", "2025-03-31.basil", "2026-10-28.endive")
BAD_CARD = "pm_card_chargeCustomerFail"
Json = dict[str, Any]


@dataclass
class Person:
    """Somebody with a subscription: their order here, who they are at Stripe."""

    number: int
    order: str
    customer: str
    stripe_customer: str = ""
    subscription: str = ""
    pending: list[tuple[str, bytes]] = field(default_factory=list)


@dataclass
class Account:
    """An account at the sandbox, its webhook receiver, and the service that is told."""

    shape: str
    sandbox: Sandbox
    receiver: Receiver
    service: Service
    people: list[Person] = field(default_factory=list)
    taken: int = 0
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = self.sandbox.http(self.service.gateway.key.reveal())

    def call(self, method: str, path: str, **params: Any) -> Json:
        answer = self.http.request(method, path, **{"params" if method in ("GET", "DELETE") else "data": params})
        assert answer.status_code == 200, f"{method} {path}: {answer.text}"
        return dict(answer.json())

    async def begin(self, people: int, price: str) -> None:
        """Push the catalogue, listen in our shape, and let so many people order."""
        await pushing.push(self.service.store, self.service.gateway, self.service.catalog)
        listen = {"url": self.receiver.url, "enabled_events[]": "*", "api_version": self.shape}
        self.call("POST", "/v1/webhook_endpoints", **listen)
        for number in range(people):
            self.people.append(await self._order(number, price))

    async def _order(self, number: int, price: str) -> Person:
        store = self.service.store
        person = await customers.find_or_make(store, Identity("web", f"copy-{number}"))
        line = checkout.line_of(self.service.catalog, price, 1)
        new = checkout.NewOrder(person, (line,), Thread("web", f"copy-{number}", None))
        order = await checkout.create_order(store, new, livemode=False)
        await checkout.open_session(store, self.service.gateway, order, public_url="http://127.0.0.1:9")
        row = await checkout.get(store, order)
        return Person(number, order, person, str(row["stripe_customer"]))

    # --- what happens at Stripe ------------------------------------------------------------------------------------

    def pay_first(self, person: Person) -> None:
        row = self.call("GET", "/v1/checkout/sessions", customer=person.stripe_customer)["data"][0]
        total = str(row["amount_total"])
        self.call("POST", f"/v1/payment_pages/{row['id']}/confirm", payment_method=CARD, expected_amount=total)
        person.subscription = self.call("GET", f"/v1/checkout/sessions/{row['id']}")["subscription"]

    def take_card(self, person: Person, card: str) -> None:
        method = self.call("POST", f"/v1/payment_methods/{card}/attach", customer=person.stripe_customer)["id"]
        self.call("POST", f"/v1/subscriptions/{person.subscription}", default_payment_method=method)

    def fail_next(self, person: Person) -> None:
        self.take_card(person, BAD_CARD)

    def recover(self, person: Person) -> None:
        self.take_card(person, CARD)
        newest = self.call("GET", f"/v1/subscriptions/{person.subscription}")["latest_invoice"]
        self.call("POST", f"/v1/invoices/{newest}/pay")

    def upgrade(self, person: Person) -> None:
        own = self.call("GET", f"/v1/subscriptions/{person.subscription}")
        price = self.call("GET", "/v1/prices", **{"lookup_keys[]": "paydesk:pro"})["data"][0]["id"]
        change = {"items[0][id]": own["items"]["data"][0]["id"], "items[0][price]": price,
                  "proration_behavior": "always_invoice"}  # fmt: skip
        self.call("POST", f"/v1/subscriptions/{person.subscription}", **change)

    def refund_half(self, person: Person) -> None:
        invoices = self.call("GET", "/v1/invoices", subscription=person.subscription)["data"]
        renewal = next(one for one in reversed(invoices) if one["billing_reason"] == "subscription_cycle")
        paid = self.call("GET", "/v1/invoice_payments", invoice=renewal["id"], status="paid")["data"][0]
        intent = paid["payment"]["payment_intent"]
        self.call("POST", "/v1/refunds", payment_intent=intent, amount=str(renewal["total"] // 2))

    def cancel(self, person: Person) -> None:
        self.call("DELETE", f"/v1/subscriptions/{person.subscription}")

    # --- what is heard of it ---------------------------------------------------------------------------------------

    def collect(self) -> None:
        """Give everybody the events that are news, once all have come."""
        until(lambda: self._waiting() == 0, patience_s=600, what="every event", gap_s=0.2)
        by_customer = {person.stripe_customer: person for person in self.people}
        hooks = self.receiver.hooks[self.taken :]
        self.taken += len(hooks)
        for hook in hooks:
            event = json.loads(hook.body)
            about = event["data"]["object"]
            whose = about["id"] if about["object"] == "customer" else about.get("customer")
            person = by_customer.get(whose) or self._whose(about)
            if person is not None:
                person.pending.append((event["type"], hook.body))

    def _waiting(self) -> int:
        return int(self.sandbox.state()["deliveries"]["waiting"])

    def _whose(self, about: Json) -> Person | None:
        """Whose a refund or a payment of an invoice is: it names no customer, but a payment of somebody's."""
        intent = about.get("payment_intent") or (about.get("payment") or {}).get("payment_intent")
        found = self.call("GET", f"/v1/payment_intents/{intent}") if intent else {}
        return next((one for one in self.people if one.stripe_customer == found.get("customer")), None)

    async def hear(self, bodies: list[bytes]) -> None:
        for start in range(0, len(bodies), 500):
            await asyncio.gather(
                *(self.service.receiver.receive(envelope(body)) for body in bodies[start : start + 500])
            )
        await self.service.worker.drain()

    async def follow_clock(self) -> None:
        async with httpx.AsyncClient(base_url=self.sandbox.url) as client:
            await follow_clock_once(self.service, client)


PHASES: dict[str, tuple[Callable[[Account, Person], None] | None, str | None]] = {
    "first payment": (Account.pay_first, None),
    "renewal": (None, "31d"),
    "failure": (Account.fail_next, "31d"),
    "recovery": (Account.recover, None),
    "upgrade": (Account.upgrade, None),
    "half of the renewal back": (Account.refund_half, None),
    "cancellation": (Account.cancel, None),
}
"""What happens to everybody in a phase, and by how much the clock moves then."""


async def live_through(accounts: list[Account], hear: Hearing) -> None:
    """Let everybody live through all phases; after each, what `hear` picks is told, and at the end the rest."""
    for phase, (act, span) in PHASES.items():
        for account in accounts:
            for person in account.people if act is not None else ():
                act(account, person)
        if span is not None:
            accounts[0].sandbox.advance(span)
        for account in accounts:
            account.collect()
            await account.follow_clock()
            await account.hear([body for person in account.people for body in hear(phase, person)])
    for account in accounts:
        await account.hear([body for person in account.people for _, body in person.pending])


Hearing = Callable[[str, Person], list[bytes]]


def permuted(kinds: dict[str, tuple[str, ...]]) -> Hearing:
    """Hear all of a phase at once: the types named, in the permutation of the person's number, then the others."""
    orders = {phase: list(itertools.permutations(named)) for phase, named in kinds.items()}

    def hear(phase: str, person: Person) -> list[bytes]:
        named = orders.get(phase, [()])
        order = named[person.number % len(named)]
        first = [body for kind in order for told, body in person.pending if told == kind]
        rest = [body for told, body in person.pending if told not in order]
        person.pending.clear()
        return first + rest

    return hear


def shuffled(seed: int) -> Hearing:
    """Hear some now, some in a later phase, in any order, some twice, some again much later."""
    chance = random.Random(seed)

    def hear(_phase: str, person: Person) -> list[bytes]:
        chance.shuffle(person.pending)
        now = [told for told in person.pending if chance.random() < 0.5]
        person.pending = [told for told in person.pending if told not in now or chance.random() < 0.2]
        bodies = [body for _, body in now]
        return bodies + [_again(body, chance) for body in bodies if chance.random() < 0.2]

    return hear


def _again(body: bytes, chance: random.Random) -> bytes:
    """The same fact as another event, as a second endpoint would tell it."""
    event = json.loads(body)
    return json.dumps({**event, "id": f"{event['id']}again{chance.randrange(10**9)}"}).encode()


# --- how it ended ----------------------------------------------------------------------------------------------------

END = """
SELECT o.external_id, jsonb_build_object(
    'subscription', (SELECT jsonb_agg(jsonb_build_array(s.status, s.ended_at IS NOT NULL, s.cancel_at IS NOT NULL))
                     FROM subscription s WHERE s.customer_id = o.customer_id),
    'invoices', (SELECT jsonb_agg(jsonb_build_array(i.status, i.billing_reason, i.total, i.order_id = i.id, b.status,
                                                    b.amount, b.paid_at IS NOT NULL) ORDER BY i.created_at, i.billing_reason)
                 FROM invoice i JOIN orders b ON b.id = i.order_id WHERE b.customer_id = o.customer_id),
    'payments', (SELECT jsonb_agg(jsonb_build_array(p.status, p.amount, p.charge IS NOT NULL) ORDER BY p.amount, p.status, p.id)
                 FROM payment p JOIN orders b ON b.id = p.order_id WHERE b.customer_id = o.customer_id),
    'refunds', (SELECT jsonb_agg(jsonb_build_array(r.status, r.amount)) FROM refund r JOIN payment p ON p.id = r.payment_id
                JOIN orders b ON b.id = p.order_id WHERE b.customer_id = o.customer_id),
    'fees', (SELECT jsonb_agg(t.fee ORDER BY t.fee) FROM balance_transaction t JOIN payment p ON p.id = t.payment_id
             JOIN orders b ON b.id = p.order_id WHERE b.customer_id = o.customer_id),
    'worth', (SELECT jsonb_agg(jsonb_build_array(s.kind, s.unit, s.worth, s.until IS NOT NULL)
                               ORDER BY s.kind, s.unit, s.worth, s.until)
              FROM source s WHERE s.customer_id = o.customer_id),
    'balances', (SELECT jsonb_agg(jsonb_build_array(a.unit, a.kind, a.balance) ORDER BY a.unit, a.kind)
                 FROM account a WHERE a.owner = o.customer_id),
    'grants', (SELECT jsonb_agg(jsonb_build_array(g.feature, g.until IS NOT NULL) ORDER BY g.feature)
               FROM grant_ g WHERE g.customer_id = o.customer_id)
)::text AS ends
FROM orders o WHERE o.external_id LIKE 'copy-%' AND o.mode = 'subscription'
"""

UNFINISHED = "SELECT kind, state, detail FROM inbox WHERE state NOT IN ('done', 'ignored') LIMIT 5"


async def ends_of(account: Account) -> dict[str, list[str]]:
    """Return how it ended, and for whom."""
    ends: dict[str, list[str]] = defaultdict(list)
    for row in await account.service.store.fetch(END):
        ends[row["ends"]].append(row["external_id"])
    return ends

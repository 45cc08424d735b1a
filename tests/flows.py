"""The flows that are cut at every point: what outsiders do, and what must be true for them at the end.

A new flow is one more `Flow`: its steps are what people and Stripe do, each safe to be taken again when its end was
not seen.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

import httpx

from faults import Actor, Flow, Step, application, drain
from invariants import unpaid
from paydesk import checkout, edge
from paydesk.channels.base import Address
from paydesk.errors import StoreUnavailable
from paydesk.stripe.envelope import envelope
from paydesk.web.application import bind

CARD = "pm_card_visa"
DECLINED = "pm_card_visa_chargeDeclined"


def order_in_chat(product: str) -> Step:
    """`/buy` in the chat and press the button, until Stripe's page is there."""

    async def step(actor: Actor) -> None:
        service = actor.service
        if f"link {product}" not in actor.memory:
            replies = await service.conversation.answer(Address("web", actor.name), f"/buy {product}")
            actor.keep(f"link {product}", replies[0].buttons[0].url)
        token = str(actor.memory[f"link {product}"]).rpartition("/")[2]
        order = (await checkout.by_token(service.store, token))["id"]
        public_url = service.settings.public_url
        await checkout.open_session(service.store, service.gateway, order, public_url=public_url)
        actor.keep(f"order {product}", order)

    return step


def order_by_api(product: str, **more: Any) -> Step:
    """`POST /v1/checkouts` with an idempotency key, sent again when no answer came."""

    async def step(actor: Actor) -> None:
        body = {"customer": who(actor), "items": [{"price": product}], **more}
        order = await post(actor, "/v1/checkouts", body, key=product)
        actor.keep(f"order {product}", order["id"])

    return step


def who(actor: Actor) -> dict[str, str]:
    """Where the actor is met."""
    return {"channel": "web", "external_id": actor.name}


async def post(actor: Actor, path: str, body: dict[str, Any], *, key: str, method: str = "POST") -> dict[str, Any]:
    """Return what our API answers to a POST under a key of the actor's.

    Raises `StoreUnavailable` when it could not, or when whoever asked before, and may be dead, has the key.
    """
    ours = actor.service.settings.api_key
    headers = {"Authorization": f"Bearer {ours.reveal() if ours else ''}", "Idempotency-Key": f"{actor.name}-{key}"}
    transport = httpx.ASGITransport(app=bind(application(), actor.service))
    async with httpx.AsyncClient(transport=transport, base_url="http://desk", headers=headers) as client:
        answer = await client.request(method, path, json=body)
    if answer.status_code >= 500 or "idempotency_key_in_use" in answer.text:
        raise StoreUnavailable(answer.text)
    if not answer.is_success:
        raise AssertionError(f"{method} {path}: {answer.text}")
    return dict(answer.json())


@dataclass(frozen=True)
class Beforehand:
    """Steps that lead to what a flow is about, as one: nobody is disturbed in them."""

    steps: tuple[Step, ...]

    async def __call__(self, actor: Actor) -> None:
        """Take the steps; whoever observes the edge looks away meanwhile."""
        observer = edge._observer
        edge.observe(None)
        for step in self.steps:
            await step(actor)
        edge.observe(observer)


def beforehand(*steps: Step) -> Step:
    """Return steps as one that is not cut."""
    return Beforehand(steps)


def pay(product: str, *cards: str) -> Step:
    """Pay on Stripe's page, card after card; a card that was tried is not tried again."""

    async def step(actor: Actor) -> None:
        order = await checkout.get(actor.service.store, actor.memory[f"order {product}"])
        for position, card in enumerate(cards):
            tried = f"tried {product} {position}"
            if tried not in actor.memory:
                form = {"payment_method": card, "expected_amount": str(order["amount"])}
                now = await actor.at_stripe("GET", f"/v1/checkout/sessions/{order['session']}")
                if now["status"] == "open":  # else the outsider died after paying, before remembering it
                    await actor.at_stripe("POST", f"/v1/payment_pages/{order['session']}/confirm", **form)
                actor.keep(tried)

    return step


async def hear(actor: Actor) -> None:
    """Stripe sends what it has to tell of this person's orders, all at once."""
    events = (await actor.at_stripe("GET", "/v1/events", limit="100"))["data"]
    bodies = [json.dumps(event) for event in events[::-1]]
    names = _names(bodies, _orders(actor))
    mine = [body.encode() for body in bodies if any(name in body for name in names)]
    await asyncio.gather(*(deliver(actor, body) for body in mine))


def _names(bodies: Collection[str], orders: Collection[str]) -> set[str]:
    """Return the orders and their payments and charges at Stripe: what is told of a dispute names no order."""
    ours = [body for body in bodies if any(order in body for order in orders)]
    return {*orders, *(name for body in ours for name in re.findall(r"\"((?:pi|ch)_[A-Za-z0-9]+)\"", body))}


async def deliver(actor: Actor, body: bytes) -> None:
    """Stripe sends an event, and sees that it was taken."""
    letter = envelope(body)
    await actor.service.receiver.receive(letter)
    actor.acknowledged(letter.external_id)


async def work(actor: Actor) -> None:
    """The worker does what there is to do."""
    await actor.service.worker.drain()


async def week_passes(actor: Actor) -> None:
    """The sandbox's clock goes on by seven days and an hour, and ours follows."""
    moved = (await actor.stripe.post("/_sandbox/clock", json={"advance": "169h"})).json()
    connection = await actor.service.store.connect()
    await connection.execute("UPDATE desk SET clock_offset_s = $1", int(moved["offset_s"]))
    await connection.close()


def _orders(actor: Actor) -> dict[str, str]:
    """Return the actor's orders and what was bought by each."""
    return {order: what[6:] for what, order in actor.memory.items() if what.startswith("order ")}


# --- what must be true for the person, here and at Stripe --------------------------------------------------------------


async def check_purchases(actor: Actor) -> list[str]:
    """Every order is paid once, here and at Stripe; nothing was given back; there is one Stripe customer."""
    store = actor.service.store
    found = await unpaid(store, _orders(actor))
    person = await store.fetchval("SELECT customer_id FROM identity WHERE external_id = $1", actor.name)
    stripe_customer = await store.fetchval("SELECT stripe_customer FROM customer WHERE id = $1", person)
    everybody = (await actor.at_stripe("GET", "/v1/customers", limit="100"))["data"]
    same = [one for one in everybody if one["metadata"].get("paydesk_customer") == person]
    if [one["id"] for one in same] != [stripe_customer]:
        found.append(f"stripe: {person} is {len(same)} customers there")
    for order in _orders(actor):
        found += await _check_order(actor, order, stripe_customer)
    return found


async def _check_order(actor: Actor, order: str, stripe_customer: str) -> list[str]:
    payments = await _of_order(actor, "/v1/payment_intents", order, stripe_customer)
    sessions = await _of_order(actor, "/v1/checkout/sessions", order, stripe_customer)
    paid = [payment for payment in payments if payment["status"] == "succeeded"]
    found = []
    if len(paid) != 1:
        found.append(f"stripe: {order} has {len(paid)} payments there")
    if len(sessions) != 1:
        found.append(f"stripe: {order} has {len(sessions)} sessions there")
    for payment in paid:
        if (await actor.at_stripe("GET", "/v1/refunds", payment_intent=payment["id"]))["data"]:
            found.append(f"stripe: {order} was refunded, and nobody had asked")
    return found


async def _of_order(actor: Actor, path: str, order: str, stripe_customer: str) -> list[dict[str, Any]]:
    listed = await actor.at_stripe("GET", path, customer=stripe_customer, limit="100")
    return [one for one in listed["data"] if one["metadata"].get("paydesk_order") == order]


def told(*templates: str) -> Callable[[Actor], Awaitable[list[str]]]:
    """The purchases are right, and the person was told these things, each once."""

    async def check(actor: Actor) -> list[str]:
        rows = await actor.service.store.fetch(
            "SELECT x.template FROM outbox x JOIN message m ON m.id = (x.receipt->>'message')::bigint "
            "WHERE m.external_id = $1 AND x.state = 'sent' ORDER BY x.id",
            actor.name,
        )
        heard = tuple(row["template"] for row in rows)
        wrong = [f"message: the person was told {heard}"] if heard != templates else []
        return [*await check_purchases(actor), *wrong]

    return check


async def hear_and_work(actor: Actor) -> None:
    """Stripe sends everything once more."""
    await hear(actor)
    await drain(actor.service)


IN_CHAT = Flow(
    "a purchase in the chat, paid by the second card",
    (
        order_in_chat("credits-10"), pay("credits-10", DECLINED), hear, work,
        pay("credits-10", DECLINED, CARD), hear, work,
    ),
    hear_and_work,
    told("payment_failed", "paid"),
)  # fmt: skip

BY_API = Flow(
    "a purchase by the API, with a pass that ends",
    (order_by_api("bundle"), pay("bundle", CARD), hear, work, week_passes, work),
    hear_and_work,
    told("paid", "pass_ended"),
)

SHORTEST = Flow(
    "credits bought in a chat",
    (order_in_chat("credits-10"), pay("credits-10", CARD), hear, work),
    hear_and_work,
    told("paid"),
)
"""For trying a planted bug quickly."""

FLOWS = (IN_CHAT, BY_API)
"""Cut at every point, each."""

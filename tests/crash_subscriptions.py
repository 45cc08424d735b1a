"""Whoever changes a subscription dies before or after each call to Stripe: who goes on with it changes it once.

And whoever carries out a renewal dies at every moment of it: it is taken over, given and told once.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from conftest import settings_for
from crash_planted import planted
from faults import (
    INSIDE,
    POINTS_MAX,
    Actor,
    Flow,
    Journal,
    Plant,
    Run,
    drain,
    first_found,
    in_child,
    killed_at_every_moment,
    unasked,
)
from flows import CARD, beforehand, deliver, order_in_chat, pay, post, work
from paydesk import asking, calls, changes, checkout, customers, edge, payers, subscribing, subscriptions
from paydesk.app import open_service
from paydesk.asking import Call, Find, Object, Send
from paydesk.clock import from_unix, iso
from paydesk.config import Settings, load
from paydesk.customers import Identity
from paydesk.errors import StripeRefused
from paydesk.service import Service
from paydesk.store import Store
from sandbox_fixtures import Sandbox, running_sandbox


@pytest.fixture
def crash_settings(new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path: Path) -> dict[str, str]:
    return settings_for(new_database(), stripe_sandbox.url, PAYDESK_DATA=str(tmp_path / "data"))


def die_at(number: int) -> None:
    """Let the process be killed at its so-many-th edge of a call to Stripe from now on."""
    left = number

    def at(name: str) -> None:
        nonlocal left
        left -= name.startswith("stripe:")
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    edge.observe(at)


def at_stripe(settings: dict[str, str], method: str, path: str, **given: str) -> httpx.Response:
    place = "params" if method == "GET" else "data"
    headers = {"Authorization": f"Bearer {settings['STRIPE_API_KEY']}"}
    answer = httpx.request(method, settings["STRIPE_API_BASE"] + path, headers=headers, **{place: given})
    assert answer.status_code == 200, answer.text
    return answer


async def with_card(service: Service, settings: dict[str, str]) -> str:
    """An order of Plus of somebody who has a saved card."""
    person = await customers.find_or_make(service.store, Identity("web", secrets.token_hex(8)))
    payer = await payers.stripe_customer(service.store, service.gateway, person)
    at_stripe(settings, "POST", "/v1/payment_methods/pm_card_visa/attach", customer=payer)
    new = checkout.NewOrder(person, (checkout.line_of(service.catalog, "plus", 1),))
    return await checkout.create_order(service.store, new, livemode=False)


async def begin(service: Service, order: str) -> str:
    ask = subscribing.Ask("default")
    made = await subscribing.make(service.store, service.gateway, service.catalog, order, ask)
    await service.worker.drain()
    return made.id


@pytest.mark.parametrize("number", range(1, 7))
def test_a_subscription_is_begun_once(crash_settings: dict[str, str], tmp_path: Path, number: int) -> None:
    """Its calls: the cards, the price, the subscription."""
    settings: Settings = load(crash_settings, folder=tmp_path)
    journal = Journal(tmp_path / "journal")

    async def die() -> None:
        async with open_service(settings) as service:
            order = await with_card(service, crash_settings)
            journal.note("order", "", order)
            die_at(number)
            await begin(service, order)

    async def go_on() -> None:
        async with open_service(settings) as service:
            journal.note("made", "", await begin(service, journal.of("order", "")[0]))

    assert in_child(die, journal) == -signal.SIGKILL
    assert in_child(go_on, journal) == 0, unasked(journal)
    found = at_stripe(crash_settings, "GET", "/v1/subscriptions", status="all").json()["data"]
    assert [one["id"] for one in found] == journal.of("made", "")


@pytest.mark.parametrize("number", range(1, 9))
def test_a_plan_is_changed_once(crash_settings: dict[str, str], tmp_path: Path, number: int) -> None:
    """Its calls: the subscription and its invoice, the price, the change."""
    settings: Settings = load(crash_settings, folder=tmp_path)
    journal = Journal(tmp_path / "journal")

    async def change(service: Service, id_: str) -> None:
        await changes.change(service.store, service.gateway, service.catalog, id_, changes.Wish(price="pro"),
                             operation="op_1", actor="test")  # fmt: skip

    async def die() -> None:
        async with open_service(settings) as service:
            id_ = await begin(service, await with_card(service, crash_settings))
            journal.note("made", "", id_)
            die_at(number)
            await change(service, id_)

    async def go_on() -> None:
        async with open_service(settings) as service:
            id_ = journal.of("made", "")[0]
            await change(service, id_)
            await change(service, id_)
            await service.worker.drain()
            row = await service.store.fetchrow("SELECT items FROM subscription WHERE id = $1", id_)
            journal.note("known", "", row["items"]["data"][0]["key"] if row is not None else None)

    assert in_child(die, journal) == -signal.SIGKILL
    assert in_child(go_on, journal) == 0, unasked(journal)
    assert journal.of("known", "") == ["pro"]
    invoices = at_stripe(crash_settings, "GET", "/v1/invoices", limit="100").json()["data"]
    assert sorted(one["billing_reason"] for one in invoices) == ["subscription_create", "subscription_update"]


async def test_a_change_that_was_refused_is_not_sent_again_under_its_name(service: Service) -> None:
    """What Stripe has said no to stays refused; another wish is another change."""
    settings = {"STRIPE_API_KEY": service.gateway.key.reveal(), "STRIPE_API_BASE": service.gateway.base}
    id_ = await begin(service, await with_card(service, settings))
    payer = at_stripe(settings, "GET", f"/v1/subscriptions/{id_}").json()["customer"]
    card = at_stripe(settings, "POST", "/v1/payment_methods/pm_card_chargeCustomerFail/attach", customer=payer).json()
    at_stripe(settings, "POST", f"/v1/subscriptions/{id_}", default_payment_method=card["id"])

    async def change(operation: str) -> str | None:
        return await changes.change(service.store, service.gateway, service.catalog, id_, changes.Wish(price="pro"),
                                    operation=operation, actor="test")  # fmt: skip

    with pytest.raises(StripeRefused) as declined:
        await change("op_1")
    assert declined.value.code == "card_declined"
    good = at_stripe(settings, "POST", "/v1/payment_methods/pm_card_visa/attach", customer=payer).json()["id"]
    at_stripe(settings, "POST", f"/v1/subscriptions/{id_}", default_payment_method=good)
    with pytest.raises(Exception, match="declined"):
        await change("op_1")
    assert await change("op_2") is not None


# --- a renewal ---------------------------------------------------------------------------------------------------------

MOMENTS_MIN = 20
MOMENTS_OF_CHANGE = 8
PAIRS = Path(__file__).parent / "catalog_pairs.toml"


def first_order(actor: Actor) -> str:
    """The order with which the actor's subscription begins."""
    return str(next(value for what, value in actor.memory.items() if what.startswith("order ")))


async def own_of(actor: Actor) -> dict[str, str]:
    """The actor's subscription at Stripe, once they have paid."""
    if "subscription" not in actor.memory:
        rows = "SELECT session, stripe_customer FROM orders WHERE id = $1"
        row = await actor.service.store.fetchrow(rows, first_order(actor))
        assert row is not None
        session = await actor.at_stripe("GET", f"/v1/checkout/sessions/{row['session']}")
        actor.keep("subscription", {"id": session["subscription"], "customer": row["stripe_customer"]})
    return dict(actor.memory["subscription"])


async def hear_all(actor: Actor) -> None:
    """Stripe sends what it has to tell of this person, all at once."""
    customer = (await own_of(actor))["customer"]
    bodies = [json.dumps(one) for one in (await actor.at_stripe("GET", "/v1/events", limit="100"))["data"][::-1]]
    mine = [body for body in bodies if customer in body]
    names = {name for body in mine for name in re.findall(r"\"((?:in|pi)_[A-Za-z0-9]+)\"", body)}
    await asyncio.gather(
        *(deliver(actor, body.encode()) for body in bodies if body in mine or any(name in body for name in names))
    )


async def month_passes(actor: Actor) -> None:
    """Both clocks go on until three hours after the cycle has ended: its successor is billed and paid."""
    own = await actor.at_stripe("GET", f"/v1/subscriptions/{(await own_of(actor))['id']}")
    until = from_unix(own["items"]["data"][0]["current_period_end"] + 3 * 3600)
    moved = (await actor.stripe.post("/_sandbox/clock", json={"to": iso(until)}, timeout=60)).json()
    await actor.service.store.execute("UPDATE desk SET clock_offset_s = $1", int(moved["offset_s"]))
    await actor.service.store.refresh_clock()


async def all_again(actor: Actor) -> None:
    """Stripe sends everything once more."""
    await hear_all(actor)
    await drain(actor.service)


RENEWED = """
SELECT o.id = $1 AS first, o.status, o.amount, (SELECT count(*) FROM payment p WHERE p.order_id = o.id) AS payments,
       (SELECT count(*) FROM balance_transaction t JOIN payment p ON p.id = t.payment_id WHERE p.order_id = o.id) AS fees,
       (SELECT sum(s.worth)::int FROM source s WHERE s.order_id = o.id AND s.kind = 'credits') AS credits
FROM orders o JOIN orders mine ON mine.customer_id = o.customer_id WHERE mine.id = $1 ORDER BY o.created_at
"""

HEARD = """
SELECT x.template FROM outbox x JOIN message m ON m.id = (x.receipt->>'message')::bigint
WHERE m.external_id = $1 AND x.state = 'sent' ORDER BY x.id
"""


async def renewed_once(actor: Actor) -> list[str]:
    """Both cycles are paid, given and told once; then the subscription ends, and is nobody's business any more."""
    store, own = actor.service.store, await own_of(actor)
    cycles = [tuple(row) for row in await store.fetch(RENEWED, first_order(actor))]
    told = [row["template"] for row in await store.fetch(HEARD, actor.name)]
    known = await store.fetchrow("SELECT status FROM subscription WHERE id = $1", own["id"])
    await actor.at_stripe("DELETE", f"/v1/subscriptions/{own['id']}")
    await all_again(actor)
    found = []
    if cycles != [(True, "fulfilled", 1000, 1, 1, 100), (False, "fulfilled", 1000, 1, 1, 100)]:
        found.append(f"effect: the cycles are {cycles}")
    if told != ["subscribed", "renewed"]:
        found.append(f"message: the person was told {told}")
    if known is None or known["status"] != "active":
        found.append(f"effect: the subscription is known as {dict(known or {})}")
    return found


RENEWAL = Flow(
    "a renewal",
    (beforehand(order_in_chat("plus"), pay("plus", CARD), hear_all, work, month_passes), hear_all, work),
    all_again,
    renewed_once,
)


# --- a plan that is changed by the API -----------------------------------------------------------------------------------


async def change_plan(actor: Actor) -> None:
    """`PATCH /v1/subscriptions/{id}`: the dearer plan for a year, now: a new cycle begins, each time it is asked."""
    path = f"/v1/subscriptions/{(await own_of(actor))['id']}"
    shown = await post(actor, path, {"price": "gold-year"}, key="change", method="PATCH")
    actor.keep("shown", shown["items"][0]["price"])


async def change_again(actor: Actor) -> None:
    """The change is asked for once more, and Stripe sends everything once more."""
    await change_plan(actor)
    await all_again(actor)


async def changed_once(actor: Actor) -> list[str]:
    """The plan is the dearer one, billed and given once; then the subscription ends, and is nobody's business any more."""
    store, own = actor.service.store, await own_of(actor)
    known = await store.fetchrow("SELECT status, items FROM subscription WHERE id = $1", own["id"])
    listed = await actor.at_stripe("GET", "/v1/invoices", subscription=own["id"], limit="100")
    invoices = sorted((one["billing_reason"], one["status"]) for one in listed["data"])
    bills = [tuple(row) for row in await store.fetch(CHANGED, first_order(actor))]
    told = [row["template"] for row in await store.fetch(HEARD, actor.name)]
    await actor.at_stripe("DELETE", f"/v1/subscriptions/{own['id']}")
    await all_again(actor)
    found = []
    if known is None or (known["status"], known["items"]["data"][0]["key"], actor.memory["shown"]) != ONLY_GOLD:
        found.append(f"effect: the subscription is known as {dict(known or {})}, shown as {actor.memory['shown']}")
    if invoices != [("subscription_create", "paid"), ("subscription_update", "paid")]:
        found.append(f"stripe: the invoices are {invoices}")
    if bills != [(True, "fulfilled", 1), (False, "fulfilled", 1)]:
        found.append(f"effect: the orders are {bills}")
    if told != ["subscribed", "plan_changed", "change_paid"]:
        found.append(f"message: the person was told {told}")
    return found


ONLY_GOLD = ("active", "gold-year", "gold-year")

CHANGED = """
SELECT o.id = $1 AS first, o.status, (SELECT count(*) FROM payment p WHERE p.order_id = o.id) AS payments
FROM orders o JOIN orders mine ON mine.customer_id = o.customer_id WHERE mine.id = $1 ORDER BY o.id <> $1
"""

PLAN_CHANGE = Flow(
    "a plan that is changed by the API",
    (beforehand(order_in_chat("club"), pay("club", CARD), hear_all, work), change_plan, hear_all, work),
    change_again,
    changed_once,
)

REPEATING = {
    "a renewal": (RENEWAL, (*INSIDE, "stripe"), POINTS_MAX),  # it only looks at Stripe
    "a plan change": (PLAN_CHANGE, INSIDE, MOMENTS_OF_CHANGE),
}


def settings_of(flow: Flow, database: str, sandbox: Sandbox, tmp_path: Path) -> Settings:
    """A desk of its own, which sells what the flow is about."""
    more = {"PAYDESK_CATALOG": str(PAIRS)} if flow is PLAN_CHANGE else {}
    return load(settings_for(database, sandbox.url, PAYDESK_DATA=str(tmp_path / "data"), **more), folder=tmp_path)


@pytest.mark.parametrize("name", REPEATING)
def test_every_moment_of_what_repeats(
    name: str, new_database: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow, inside, most = REPEATING[name]
    with running_sandbox() as sandbox:
        run = Run(flow, settings_of(flow, new_database(), sandbox, tmp_path), Journal(tmp_path / "journal"))
        _, kinds = killed_at_every_moment(run, capsys, inside, most=most)
    assert kinds.total() >= min(MOMENTS_MIN, most)


# --- does it bite? ---------------------------------------------------------------------------------------------------


async def change_under_a_new_key(store: Store, call: Call, send: Send, find: Find) -> Object:
    """Ask for a change under a key of its own each time, without looking whether it was made."""
    if call.kind != "change":
        return await right_answer(store, call, send, find)
    return await send(call.params, secrets.token_hex(8))


async def change_noted_before_it_is_made(store: Store, call: Call, send: Send, find: Find) -> Object:
    """Note that a change is done, and only then ask for it."""
    if call.kind == "change":
        await store.run(lambda tx: calls.end(tx, call.key, call.subject))
    return await right_answer(store, call, send, find)


right_answer = asking.answer
LOOKS = 3
"""So many calls to Stripe come before the change: the subscription, its invoice, the price."""

BUGS: dict[str, tuple[Plant, str, str]] = {
    "a new key each time": (lambda: planted(asking, "answer", change_under_a_new_key), "stripe:after", "stripe: "),
    "noted before it is made": (
        lambda: planted(asking, "answer", change_noted_before_it_is_made), "stripe:before", "effect: "),
    "what is not used is kept": (lambda: planted(subscriptions, "runs", lambda _bill: {}), "", "effect: "),
}  # fmt: skip
"""The bug, the name of the points that are cut (none: the flow is only gone through), what is found."""


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_planted_in_a_change_of_plan_is_reported(
    bug: str, new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path: Path
) -> None:
    plant, cut, kind = BUGS[bug]
    settings = settings_of(PLAN_CHANGE, new_database(), stripe_sandbox, tmp_path)
    run = Run(PLAN_CHANGE, settings, Journal(tmp_path / "journal"), plant)
    points = [number for number, name in enumerate(run.points(), 1) if name == cut]
    found = first_found(run, points[LOOKS:], kind)
    assert [one for one in found if one.startswith(kind)], found

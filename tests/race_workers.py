"""Several processes and many requests at the same moment."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from conftest import settings_for
from desk import Desk, clean_environ, running_desk
from faults import Journal, in_child, unasked
from invariants import WITNESS, finished_twice, named, unpaid, violations
from load import Bought, buy, events_of
from paydesk import edge
from paydesk.app import open_service
from paydesk.config import load
from sandbox_fixtures import Sandbox, until

REPAIRED_S = 35


@contextmanager
def working(settings: dict[str, str], name: str) -> Iterator[subprocess.Popen[bytes]]:
    """`paydesk work` as a process whom the witness knows by name."""
    environ = {**clean_environ(), **settings, "DATABASE_URL": named(settings["DATABASE_URL"], name)}
    process = subprocess.Popen([sys.executable, "-m", "paydesk", "work"], env=environ)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.fixture
def idle_desk(new_database: Callable[[], str], stripe_sandbox: Sandbox) -> Iterator[Desk]:
    """A desk that serves and does not work, with a witness in its database."""
    settings = settings_for(new_database(), stripe_sandbox.url)
    with running_desk(settings, stripe_sandbox, "--no-work", webhooks=False) as desk:
        run_sql(desk, WITNESS)
        yield desk


def run_sql(desk: Desk, script: str) -> None:
    """Run a script of statements."""

    async def run() -> None:
        connection = await asyncpg.connect(desk.settings["DATABASE_URL"])
        try:
            await connection.execute(script)
        finally:
            await connection.close()

    asyncio.run(run())


def bought(desk: Desk, journal: Journal, folder: Path, orders: int) -> list[Bought]:
    """Write orders, each waiting for its events."""

    async def write() -> None:
        async with open_service(load(desk.settings, folder=folder)) as service:
            for one in await buy(service, orders, 20):
                journal.note("bought", "", [one.order, one.stripe_customer])

    known = len(journal.lines("bought"))
    assert in_child(write, journal) == 0, unasked(journal)
    return [Bought(*pair) for _, pair in journal.lines("bought")[known:]]


async def send_all(desk: Desk, bodies: list[bytes], *, at_once: int = 16) -> list[int]:
    """Deliver events to the webhook, many at once; return the answers' statuses."""
    limit = asyncio.Semaphore(at_once)
    async with httpx.AsyncClient(base_url=desk.url, timeout=30) as client:

        async def send(body: bytes) -> int:
            async with limit:
                headers = {"Stripe-Signature": desk.signed(body), "Content-Type": "application/json"}
                return (await client.post("/webhooks/stripe", content=body, headers=headers)).status_code

        return list(await asyncio.gather(*(send(body) for body in bodies)))


def findings(desk: Desk, journal: Journal, folder: Path, orders: list[Bought]) -> list[str]:
    """Return what is not true of the desk now."""

    async def look() -> None:
        async with open_service(load(desk.settings, folder=folder)) as service:
            found = [*await violations(service.store), *await finished_twice(service.store)]
            for finding in [*found, *await unpaid(service.store, [one.order for one in orders])]:
                journal.note("violation", "", finding)

    assert in_child(look, journal) == 0, unasked(journal)
    return [value for _, value in journal.lines("violation")]


def settlers(desk: Desk) -> dict[str, int]:
    """Return how many rows each worker has finished."""
    rows = desk.sql("SELECT worker, count(*) FROM witness GROUP BY worker")
    return {row["worker"]: row["count"] for row in rows}


def test_two_workers_share_the_work_and_the_death_of_one_is_repaired(idle_desk: Desk, tmp_path: Path) -> None:
    """Takes half a minute more than its work: so long the dead are believed to live."""
    desk, journal = idle_desk, Journal(tmp_path / "journal")
    orders = bought(desk, journal, tmp_path, 500)
    bodies = list(events_of(orders).values())
    with working(desk.settings, "first") as first, working(desk.settings, "second") as second:
        assert set(asyncio.run(send_all(desk, bodies[:900]))) == {200}
        desk.quiet()
        assert set(settlers(desk)) == {"first", "second"}
        second.send_signal(signal.SIGSTOP)  # whatever is leased from here on, the first holds
        assert _dies_holding_lanes(desk, first, bodies[900:])
        second.send_signal(signal.SIGCONT)
        until(desk._is_quiet, patience_s=REPAIRED_S, what="the repair")
    assert findings(desk, journal, tmp_path, orders) == []


def _dies_holding_lanes(desk: Desk, victim: subprocess.Popen[bytes], bodies: list[bytes]) -> bool:
    """Send all events, and kill the worker at a moment when it holds lanes; return whether there was one."""
    for start in range(0, len(bodies), 60):
        assert set(asyncio.run(send_all(desk, bodies[start : start + 60]))) == {200}
        victim.send_signal(signal.SIGSTOP)
        if desk.sql("SELECT FROM lane WHERE leased_until > now()"):
            victim.kill()
            assert set(asyncio.run(send_all(desk, bodies[start + 60 :]))) <= {200}
            return True
        victim.send_signal(signal.SIGCONT)
    return False


def test_what_the_dead_held_is_done_within_35_seconds(idle_desk: Desk, tmp_path: Path) -> None:
    """Takes half a minute: so long the dead are believed to live."""
    desk, journal = idle_desk, Journal(tmp_path / "journal")
    orders = bought(desk, journal, tmp_path, 2)
    for one, name in zip(orders, ("send:before", "commit:before"), strict=True):
        assert set(asyncio.run(send_all(desk, list(events_of([one]).values())))) == {200}
        _work_until(desk, journal, tmp_path, name)
    held = desk.sql("SELECT (SELECT count(*) FROM lane WHERE leased_until > now()) AS lanes, count(*) AS messages "
                    "FROM outbox WHERE state = 'leased'")  # fmt: skip
    assert held == [{"lanes": 2, "messages": 1}]  # the first's question about its fee, and the second's events
    died = time.monotonic()
    with working(desk.settings, "heir"):
        until(desk._is_quiet, patience_s=REPAIRED_S - (time.monotonic() - died), what="the repair")
    assert findings(desk, journal, tmp_path, orders) == []


def _work_until(desk: Desk, journal: Journal, folder: Path, name: str) -> None:
    """Let a worker die before its first send, or before the commit of what it settled."""

    async def work() -> None:
        async with open_service(load(desk.settings, folder=folder)) as service:

            def observer(point: str) -> None:
                if point == name:
                    os.kill(os.getpid(), signal.SIGKILL)

            edge.observe(observer)
            await service.worker.work_inbox()
            await service.worker.work_outbox()

    assert in_child(work, journal) == -signal.SIGKILL, unasked(journal)


def test_t05_one_event_sent_fifty_times_at_once_is_stored_once_and_counts_once(desk: Desk) -> None:
    buyer = desk.buyer()
    order = buyer.buy("credits-10")
    told = [event for event in desk.events_at_stripe() if event["type"] == "payment_intent.succeeded"]
    event = next(one for one in told if one["data"]["object"]["metadata"].get("paydesk_order") == order["id"])
    again = {**event, "id": event["id"] + "again"}
    statuses = asyncio.run(send_all(desk, [httpx.Request("POST", "/", json=again).content] * 50, at_once=50))
    desk.quiet()
    assert statuses == [200] * 50
    assert len(desk.sql("SELECT FROM inbox WHERE external_id = $1", again["id"])) == 1
    assert buyer.balance() == 10
    assert len([text for text in buyer.told() if "Paid $9.99" in text]) == 1


async def at_once(desk: Desk, count: int, method: str, path: str, **options: object) -> list[httpx.Response]:
    """Make the same request many times at the same moment."""
    headers = {"Authorization": f"Bearer {desk.key}", **options.pop("headers", {})}  # type: ignore[dict-item]
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(base_url=desk.url, headers=headers, timeout=60, limits=limits) as client:
        return list(await asyncio.gather(*(client.request(method, path, **options) for _ in range(count))))  # type: ignore[arg-type]


def sessions_of(desk: Desk, order: str) -> list[str]:
    """Return the ids of an order's sessions at Stripe."""
    listed = desk.at_stripe("GET", "/v1/checkout/sessions", {"limit": "100"}).json()["data"]
    return [session["id"] for session in listed if session["client_reference_id"] == order]


def test_eight_presses_of_one_pay_link_make_one_session(desk: Desk) -> None:
    url = desk.buyer().say("/buy credits-10")[0]["buttons"][0]["url"]
    path = url.removeprefix(desk.url)
    answers = asyncio.run(at_once(desk, 8, "POST", path))
    order = desk.sql("SELECT id, session_url FROM orders WHERE link_token = $1", path.rpartition("/")[2])[0]
    assert {answer.status_code for answer in answers} <= {200, 303}
    assert {order["session_url"] in f"{answer.text} {answer.headers.get('location')}" for answer in answers} == {True}
    assert len(sessions_of(desk, order["id"])) == 1


def test_somebody_who_says_two_things_at_once_is_one_person(desk: Desk) -> None:
    buyer = desk.buyer()
    answers = asyncio.run(at_once(desk, 2, "POST", "/v1/chat", json={**buyer.who, "text": "/start"}))
    assert [answer.status_code for answer in answers] == [200, 200]
    people = desk.sql("SELECT customer_id FROM identity WHERE external_id = $1", buyer.external_id)
    assert len(people) == 1
    assert people[0]["customer_id"] == buyer.id


def test_fifty_orders_under_one_idempotency_key_are_one(desk: Desk) -> None:
    buyer = desk.buyer()
    body = {"customer": buyer.who, "items": [{"price": "credits-10"}]}
    answers = asyncio.run(
        at_once(desk, 50, "POST", "/v1/checkouts", json=body, headers={"Idempotency-Key": buyer.external_id})
    )
    made = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    refused = {answer.json()["error"]["code"] for answer in answers if answer.status_code != 201}
    assert len(made) == 1
    assert refused <= {"idempotency_key_in_use"}
    orders = desk.sql(
        "SELECT o.id FROM orders o JOIN identity i USING (customer_id) WHERE i.external_id = $1", buyer.external_id
    )
    assert {order["id"] for order in orders} == made
    assert len(sessions_of(desk, made.pop())) == 1

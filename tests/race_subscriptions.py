"""Several processes begin the same subscription for the same person at the same moment: one is live, one customer is theirs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from conftest import settings_for
from desk import Desk, running_desk, start_service
from sandbox_fixtures import Sandbox, free_port, until

AT_ONCE = 6


@pytest.fixture(scope="module")
def many(new_database: Callable[[], str], stripe_sandbox: Sandbox) -> Iterator[tuple[Desk, list[str]]]:
    """A desk of three processes on one database; their addresses."""
    others: list[subprocess.Popen[bytes]] = []
    with running_desk(settings_for(new_database(), stripe_sandbox.url), stripe_sandbox) as desk:
        urls = [desk.url]
        try:
            for _ in range(2):
                port = free_port()
                others.append(start_service(desk.settings, port))
                urls.append(f"http://127.0.0.1:{port}")
            yield desk, urls
        finally:
            for process in others:
                process.terminate()
                process.wait(30)


def at_once(desk: Desk, urls: list[str], path: str, body: dict[str, Any]) -> list[httpx.Response]:
    """Send the same request to all processes at the same moment, several times."""
    headers = {"Authorization": f"Bearer {desk.key}"}

    def send(number: int) -> httpx.Response:
        return httpx.post(urls[number % len(urls)] + path, json=body, headers=headers, timeout=60)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(send, range(AT_ONCE)))


def customers_at_stripe(desk: Desk, person: str) -> list[str]:
    made = desk.at_stripe("GET", "/v1/customers", {"limit": 100}).json()["data"]
    return [one["id"] for one in made if one["metadata"].get("paydesk_customer") == person]


def live_at_stripe(desk: Desk, payer: str) -> list[str]:
    rows = desk.at_stripe("GET", "/v1/subscriptions", {"customer": payer, "status": "all"}).json()["data"]
    return [row["id"] for row in rows if row["status"] not in ("canceled", "incomplete_expired")]


def test_t33_subscriptions_begun_at_once_leave_one_that_is_live(many: tuple[Desk, list[str]]) -> None:
    desk, urls = many
    buyer = desk.buyer()
    answers = at_once(desk, urls, "/v1/subscriptions", {"customer": buyer.who, "price": "plus"})
    made = [answer.json() for answer in answers if answer.status_code == 201]
    assert made, [answer.text for answer in answers]
    assert {answer.status_code for answer in answers} <= {201, 409}
    desk.quiet()
    (payer,) = customers_at_stripe(desk, buyer.id)
    until(lambda: len(live_at_stripe(desk, payer)) == 1, what="one live subscription")
    assert len(desk.get("/v1/subscriptions", customer=buyer.id, status="live")["data"]) == 1


def test_t33_checkouts_at_once_are_one_persons_and_one_of_them_is_kept(many: tuple[Desk, list[str]]) -> None:
    desk, urls = many
    buyer = desk.buyer()
    body = {"customer": buyer.who, "items": [{"price": "plus"}]}
    orders = [answer.json() for answer in at_once(desk, urls, "/v1/checkouts", body)]
    assert len({order["customer"] for order in orders}) == 1
    with ThreadPoolExecutor(AT_ONCE) as pool:
        paid = [answer.status_code for answer in pool.map(buyer.pay, orders)]
    assert 200 in paid
    desk.quiet()
    (payer,) = customers_at_stripe(desk, buyer.id)
    until(lambda: len(live_at_stripe(desk, payer)) == 1, what="one live subscription")
    until(lambda: buyer.balance() == 100, what="the credits of one")
    desk.quiet()
    taken = [
        c for c in desk.at_stripe("GET", "/v1/charges", {"customer": payer, "limit": 100}).json()["data"] if c["paid"]
    ]
    assert sum(one["amount"] - one["amount_refunded"] for one in taken) == 1000, "one is paid, the others went back"
    statuses = [desk.get(f"/v1/orders/{order['id']}")["status"] for order in orders]
    assert statuses.count("fulfilled") == 1
    assert set(statuses) <= {"fulfilled", "refunded", "canceled"}
    assert buyer.access("plus")["allowed"]

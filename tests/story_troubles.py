"""When something around is in trouble, those who paid are not: each of these once kept somebody from what they bought."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from conftest import settings_for
from desk import Desk, running_desk
from load import buy, events_of
from paydesk.app import open_service
from paydesk.config import Settings
from paydesk.errors import Invalid
from paydesk.service import Service
from paydesk.stripe.envelope import envelope
from sandbox_fixtures import Sandbox, running_sandbox, until


class Refusing(BaseHTTPRequestHandler):
    """A Stripe that knows its account and refuses everything else."""

    status = 403

    def do_GET(self) -> None:
        """Answer."""
        known = self.path.startswith("/v1/account")
        answer = {"id": "acct_1", "object": "account"} if known else {"error": {"type": "api_error", "message": "no"}}
        body = json.dumps(answer).encode()
        self.send_response(200 if known else self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Keep quiet."""


@pytest.fixture(params=[403, 500])
def refusing(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a Stripe that refuses."""
    handler = type("Handler", (Refusing,), {"status": request.param})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def foreign_charge() -> bytes:
    """A charge of another product on the same account: to know whose it is, its intent has to be looked at."""
    charge = {"id": "ch_f", "object": "charge", "status": "succeeded", "captured": True, "payment_intent": "pi_f"}
    event = {"id": "evt_f", "object": "event", "type": "charge.succeeded", "created": 1_790_000_000, "livemode": False}
    return json.dumps({**event, "data": {"object": {**charge, "metadata": {}}}}).encode()


async def test_a_look_that_stripe_refuses_holds_nobody_up(settings: Settings, refusing: str) -> None:
    async with open_service(replace(settings, stripe_api_base=refusing)) as service:
        bought = await buy(service, 1, 1)
        for body in (foreign_charge(), *events_of(bought).values()):
            await service.receiver.receive(envelope(body))
        await service.worker.drain()
        rows = await service.store.fetch("SELECT status FROM orders")
        assert [row["status"] for row in rows] == ["fulfilled"]
        row = await service.store.fetchrow("SELECT state, attempts FROM inbox WHERE external_id = 'evt_f'")
        assert row is not None
        assert (row["state"], row["attempts"]) == ("ready", 0), "it waits, and is not blamed"


async def test_a_full_disk_blames_no_event(service: Service) -> None:
    bought = await buy(service, 1, 1)
    await service.store.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$"
    )
    await service.store.execute("CREATE TRIGGER full_disk BEFORE INSERT ON entry EXECUTE FUNCTION full_disk()")
    body = next(iter(events_of(bought).values()))
    await service.receiver.receive(envelope(body))
    for _ in range(8):
        with pytest.raises(Exception, match="database is away"):
            await service.worker.work_inbox()
    await service.store.execute("DROP TRIGGER full_disk ON entry")
    await service.worker.drain()
    row = await service.store.fetchrow("SELECT state, attempts FROM inbox")
    assert row is not None
    assert row["state"] == "done"
    assert row["attempts"] <= 1


def test_a_poller_that_met_an_error_goes_on(new_database: Callable[[], str], stripe_sandbox: Sandbox) -> None:
    settings = settings_for(new_database(), stripe_sandbox.url, STRIPE_EVENTS="poll", STRIPE_WEBHOOK_SECRET="")
    with running_desk(settings, stripe_sandbox, webhooks=False) as desk:
        desk.sql("ALTER TABLE desk RENAME COLUMN polled_until TO lost")
        buyer = desk.buyer()
        order = buyer.checkout("credits-10")
        assert buyer.pay(order).status_code == 200
        until(lambda: desk.sql("SELECT pg_sleep(5), 1 AS later"), what="a few rounds that fail")
        desk.sql("ALTER TABLE desk RENAME COLUMN lost TO polled_until")
        desk.settled(order["id"])
        assert buyer.balance() == 10


def test_the_receipt_counts_no_expired_credits(new_database: Callable[[], str]) -> None:
    with running_sandbox() as sandbox, running_desk(settings_for(new_database(), sandbox.url), sandbox) as desk:
        buyer = desk.buyer()
        buyer.buy("credits-50")
        sandbox.advance("31d")
        until(lambda: buyer.balance() == 0, what="the expiry")
        buyer.buy("credits-10")
        assert [text for text in buyer.told() if "You now have 10 credits." in text]


def test_a_receipt_goes_to_the_conversation_where_it_was_bought(desk: Desk) -> None:
    buyer = desk.buyer()
    links = set()
    for conversation in ("group-1", "private-2"):
        body = {**buyer.who, "text": "/buy credits-10", "conversation": conversation}
        links.add(desk.post("/v1/chat", body)["replies"][0]["buttons"][0]["url"])
    assert len(links) == 2


def test_six_who_ask_at_once_get_one_link(desk: Desk) -> None:
    buyer = desk.buyer()
    buyer.say("/start")
    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(lambda _: buyer.say("/buy credits-10"), range(6)))
    assert len({reply[0]["buttons"][0]["url"] for reply in replies}) == 1


def test_a_failure_that_is_not_about_our_buyer_says_nothing_to_them(desk: Desk) -> None:
    buyer = desk.buyer()
    order = buyer.checkout("credits-10")
    intent = {
        "id": "pi_forged", "object": "payment_intent", "amount": 5, "currency": "jpy", "customer": "cus_other",
        "metadata": {"paydesk_order": order["id"]}, "last_payment_error": {"message": "FORGED"},
    }  # fmt: skip
    event = desk.event_of("payment_intent.payment_failed", intent)
    assert desk.deliver(event, secret=desk.settings["STRIPE_WEBHOOK_SECRET"].split(",")[0]).status_code == 200
    until(lambda: desk.sql("SELECT state FROM inbox WHERE external_id = $1 AND state <> 'ready'", event["id"]))
    assert desk.sql("SELECT state FROM inbox WHERE external_id = $1", event["id"]) == [{"state": "quarantined"}]
    assert buyer.told() == []


def test_nobody_can_be_met_on_the_channel_that_instructs_stripe(desk: Desk) -> None:
    answer = desk.call("POST", "/v1/chat", json={"channel": "stripe", "external_id": "pi_1", "text": "/buy"})
    assert answer.status_code == Invalid.status
    assert answer.json()["error"]["param"] == "channel"

"""What arrives at the door: taken once, durably, or refused with a reason; and nobody suffers for somebody else's event.

Names begin with the traps of payment integrations that they spring.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import CATALOG, settings_for
from desk import Buyer, Desk, new_order_id, running_desk
from paydesk import checkout, customers, lists
from paydesk.customers import Identity
from paydesk.service import Service
from paydesk.store import Record, embedded
from paydesk.stripe.envelope import envelope
from sandbox_fixtures import Sandbox, until

DAY_S = 86_400


@pytest.fixture(scope="module")
def desk(new_database: Callable[[], str], stripe_sandbox: Sandbox) -> Iterator[Desk]:
    """A desk of this module's own: bad events stay in its inbox."""
    with running_desk(settings_for(new_database(), stripe_sandbox.url), stripe_sandbox) as running:
        yield running


@pytest.fixture(scope="module")
def deaf_desk(new_database: Callable[[], str], stripe_sandbox: Sandbox) -> Iterator[Desk]:
    """A desk to which Stripe sends nothing: each test delivers the events itself."""
    with running_desk(settings_for(new_database(), stripe_sandbox.url), stripe_sandbox, webhooks=False) as running:
        yield running


def session_event(desk: Desk, order: dict[str, Any], *, created: int | None = None, **changes: Any) -> dict[str, Any]:
    """The event of a paid session of an order, as Stripe would send it, with changes to the session."""
    customer = desk.sql("SELECT stripe_customer FROM orders WHERE id = $1", order["id"])[0]["stripe_customer"]
    session = {
        "id": order["session"], "object": "checkout.session", "mode": "payment", "status": "complete",
        "payment_status": "paid", "payment_intent": f"pi_{secrets.token_hex(12)}", "customer": customer,
        "amount_total": order["amount"], "currency": order["currency"], "client_reference_id": order["id"],
        "metadata": {"paydesk_order": order["id"]}, **changes,
    }  # fmt: skip
    return desk.event_of("checkout.session.completed", session, created=created or int(time.time()))


def nothing_of_ours(desk: Desk) -> dict[str, Any]:
    """A fresh event that concerns nobody."""
    return desk.event_of("customer.created", {"id": f"cus_{secrets.token_hex(8)}", "object": "customer"})


def stored(desk: Desk, event: dict[str, Any]) -> list[dict[str, Any]]:
    """The inbox rows of an event."""
    return desk.sql("SELECT state, detail, attempts FROM inbox WHERE external_id = $1", event["id"])


def finished(desk: Desk, event: dict[str, Any], state: str) -> dict[str, Any]:
    """The event's row, once it is in that state."""
    row: dict[str, Any] = until(
        lambda: (rows := stored(desk, event)) and rows[0]["state"] == state and rows[0], what=f"{event['type']} {state}"
    )
    return row


def refused(desk: Desk, event: dict[str, Any], header: str | None, body: bytes | None = None) -> str:
    """The reason for which these bytes are refused with 400; nothing of them is stored."""
    sent = httpx.post(
        desk.url + "/webhooks/stripe",
        content=body if body is not None else encoded(event),
        headers={} if header is None else {"Stripe-Signature": header},
    )
    assert sent.status_code == 400, sent.text
    assert stored(desk, event) == []
    return str(sent.json()["error"]["message"])


def encoded(event: dict[str, Any]) -> bytes:
    return httpx.Request("POST", "http://x", json=event).content


# --- the signature ---------------------------------------------------------------------------------------------------


def test_t01_an_altered_body_is_refused_and_nothing_stored(deaf_desk: Desk) -> None:
    event = nothing_of_ours(deaf_desk)
    body = encoded(event)
    assert "no signature" in refused(deaf_desk, event, deaf_desk.signed(body), body + b" ")
    assert "no signature" in refused(deaf_desk, event, deaf_desk.signed(body, secret="whsec_of_somebody_else"))


def test_t01_a_missing_empty_or_old_scheme_header_is_refused(deaf_desk: Desk) -> None:
    event = nothing_of_ours(deaf_desk)
    good = deaf_desk.signed(encoded(event))
    assert "missing" in refused(deaf_desk, event, None)
    assert "malformed" in refused(deaf_desk, event, "")
    assert "no v1" in refused(deaf_desk, event, good.replace("v1=", "v0="))
    assert "malformed" in refused(deaf_desk, event, good.split(",")[1])


@pytest.mark.parametrize("age_s", [301, -302], ids=["stale", "from the future"])
def test_t01_a_time_stamp_more_than_300_seconds_away_is_refused(deaf_desk: Desk, age_s: int) -> None:
    event = nothing_of_ours(deaf_desk)
    assert "300 seconds" in refused(deaf_desk, event, deaf_desk.signed(encoded(event), age_s=age_s))


@pytest.mark.parametrize("age_s", [298, -299], ids=["old", "ahead"])
def test_t01_a_time_stamp_less_than_300_seconds_away_is_accepted(deaf_desk: Desk, age_s: int) -> None:
    event = nothing_of_ours(deaf_desk)
    assert deaf_desk.deliver(event, age_s=age_s).status_code == 200
    assert len(stored(deaf_desk, event)) == 1


def test_t02_while_a_secret_is_rotated_both_are_good(new_database: Callable[[], str], stripe_sandbox: Sandbox) -> None:
    settings = settings_for(
        new_database(), stripe_sandbox.url, STRIPE_WEBHOOK_SECRET="whsec_oldoldold, whsec_newnewnew"
    )
    with running_desk(settings, stripe_sandbox, "--no-work", webhooks=False) as desk:
        for secret in ("whsec_oldoldold", "whsec_newnewnew"):
            assert desk.deliver(nothing_of_ours(desk), secret=secret).status_code == 200
        event = nothing_of_ours(desk)
        strange, good = (desk.signed(encoded(event), secret=s) for s in ("whsec_strange", "whsec_newnewnew"))
        both = f"{strange},{good.split(',')[1]}"
        sent = httpx.post(desk.url + "/webhooks/stripe", content=encoded(event), headers={"Stripe-Signature": both})
        assert sent.status_code == 200
        assert desk.deliver(nothing_of_ours(desk), secret="whsec_strange").status_code == 400


def test_t03_without_a_secret_there_is_no_webhook(new_database: Callable[[], str], stripe_sandbox: Sandbox) -> None:
    settings = settings_for(new_database(), stripe_sandbox.url, STRIPE_WEBHOOK_SECRET="")
    with running_desk(settings, stripe_sandbox, "--no-work", webhooks=False) as desk:
        event = nothing_of_ours(desk)
        for path in ("/webhooks/stripe", "/stripe/webhook", "/stripe-webhook", "/payments/webhook", "/webhook/payments",
                     "/api/stripe/webhook"):  # fmt: skip
            header = {"Stripe-Signature": desk.signed(encoded(event), secret="")}
            assert httpx.post(desk.url + path, content=encoded(event), headers=header).status_code == 404
        assert stored(desk, event) == []


# --- stored before 200, once -----------------------------------------------------------------------------------------


def test_t04_with_the_database_down_the_answer_is_503_and_after_its_return_nothing_is_lost(
    tmp_path: Path, stripe_sandbox: Sandbox
) -> None:
    database = embedded.start(tmp_path / "db")
    try:
        settings = settings_for(database.dsn, stripe_sandbox.url)
        with running_desk(settings, stripe_sandbox, webhooks=False) as desk:
            buyer = desk.buyer()
            order = buyer.checkout("credits-10")
            event = session_event(desk, order)
            assert desk.deliver(nothing_of_ours(desk)).status_code == 200
            stop_database(database)
            down = desk.deliver(event)
            assert down.status_code == 503
            assert down.json()["error"]["code"] == "store_unavailable"
            assert httpx.get(desk.url + "/readyz").status_code == 503
            assert httpx.get(desk.url + "/healthz").status_code == 200
            assert desk.call("GET", f"/v1/orders/{order['id']}").status_code == 503
            assert database.ensure_running()
            until(lambda: desk.deliver(event).status_code == 200, what="the service, back without a restart")
            until(lambda: desk.get(f"/v1/orders/{order['id']}")["status"] == "fulfilled", patience_s=45)
            assert buyer.balance() == 10
            assert len(stored(desk, event)) == 1
    finally:
        database.release()


def stop_database(database: embedded.Embedded) -> None:
    """Take the server down at once, as a crash does."""
    pid = database.pid
    os.kill(pid, signal.SIGQUIT)
    until(lambda: database.pid != pid, what="the end of the database")


def test_t05_fifty_parallel_deliveries_of_one_event_leave_one_row_and_one_effect(deaf_desk: Desk) -> None:
    buyer = deaf_desk.buyer()
    order = buyer.checkout("credits-10")
    event = session_event(deaf_desk, order)
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: deaf_desk.deliver(event).status_code, range(50)))
    assert answers == [200] * 50
    deaf_desk.settled(order["id"])
    assert len(stored(deaf_desk, event)) == 1
    assert buyer.balance() == 10
    grants = deaf_desk.sql("SELECT amount FROM entry WHERE source = $1 AND reason = 'grant'", f"{order['id']}:0:0")
    assert [row["amount"] for row in grants] == [10]


def test_t06_what_a_killed_service_had_stored_is_done_by_the_next_one(
    new_database: Callable[[], str], stripe_sandbox: Sandbox
) -> None:
    settings = settings_for(new_database(), stripe_sandbox.url)
    with running_desk(settings, stripe_sandbox, "--no-work", webhooks=False) as desk:
        buyer = desk.buyer()
        order = buyer.checkout("credits-10")
        event = session_event(desk, order)
        assert desk.deliver(event).status_code == 200
        desk.sql(  # as a worker leaves it that dies while it settles
            "UPDATE lane SET claim_id = gen_random_uuid(), leased_until = now() + interval '1 s' "
            "WHERE id = (SELECT lane FROM inbox WHERE external_id = $1)",
            event["id"],
        )
        assert desk.stop(signal.SIGKILL) == -signal.SIGKILL
        customer = desk.sql("SELECT customer_id FROM orders")[0]["customer_id"]
    with running_desk(settings, stripe_sandbox, webhooks=False) as desk:
        desk.settled(order["id"])
        assert desk.get(f"/v1/customers/{customer}/credits")["balance"] == 10


# --- not everything is ours ------------------------------------------------------------------------------------------


def test_t08_an_unknown_type_and_other_products_objects_are_ignored_without_an_error(deaf_desk: Desk) -> None:
    strange = deaf_desk.event_of("customer.tax_id.created", {"id": "txi_1", "object": "tax_id"})
    foreign = deaf_desk.event_of("checkout.session.completed", {
        "id": f"cs_test_{secrets.token_hex(8)}", "object": "checkout.session", "mode": "payment", "metadata": {},
        "client_reference_id": "their-own-42", "status": "complete", "payment_status": "paid", "amount_total": 1,
        "currency": "usd", "customer": "cus_of_nobody", "payment_intent": "pi_of_nobody",
    })  # fmt: skip
    nobody = deaf_desk.event_of(
        "payment_intent.succeeded", {"id": "pi_x", "object": "payment_intent", "metadata": None}
    )
    setup = deaf_desk.event_of("checkout.session.completed", {
        "id": "cs_x", "object": "checkout.session", "mode": "setup", "metadata": {"paydesk_order": new_order_id()},
    })  # fmt: skip
    for event, reason in (
        (strange, "unhandled type"),
        (foreign, "foreign"),
        (nobody, "foreign"),
        (setup, "foreign"),
    ):
        assert deaf_desk.deliver(event).status_code == 200
        row = finished(deaf_desk, event, "ignored")
        assert reason in row["detail"]
        assert row["attempts"] <= 1


def test_t08_a_charge_without_our_metadata_is_ignored_after_one_look(deaf_desk: Desk) -> None:
    made = deaf_desk.at_stripe("POST", "/v1/payment_intents", {
        "amount": "700", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true",
        "automatic_payment_methods[enabled]": "true", "automatic_payment_methods[allow_redirects]": "never",
    }).json()  # fmt: skip
    assert made["status"] == "succeeded", made
    charge = next(e for e in deaf_desk.events_at_stripe() if e["type"] == "charge.succeeded"
                  and e["data"]["object"]["payment_intent"] == made["id"])  # fmt: skip
    assert charge["data"]["object"]["metadata"] == {}
    assert deaf_desk.deliver(charge).status_code == 200
    assert "foreign" in finished(deaf_desk, charge, "ignored")["detail"]
    unheard = deaf_desk.event_of("charge.succeeded", {**charge["data"]["object"], "payment_intent": "pi_unknown"})
    assert deaf_desk.deliver(unheard).status_code == 200
    assert "foreign" in finished(deaf_desk, unheard, "ignored")["detail"]


def test_t09_a_live_event_at_a_test_desk_is_recorded_without_effect(deaf_desk: Desk) -> None:
    buyer = deaf_desk.buyer()
    order = buyer.checkout("credits-10")
    event = {**session_event(deaf_desk, order), "livemode": True}
    assert deaf_desk.deliver(event).status_code == 200
    assert "mode" in finished(deaf_desk, event, "ignored")["detail"]
    assert buyer.balance() == 0
    assert deaf_desk.get(f"/v1/orders/{order['id']}")["status"] == "open"


def test_t10_one_fact_at_two_addresses_has_one_effect_and_a_thin_event_is_told_where_to_go(deaf_desk: Desk) -> None:
    buyer = deaf_desk.buyer()
    order = buyer.checkout("credits-10")
    event = session_event(deaf_desk, order)
    twin = {**event, "id": f"evt_{secrets.token_hex(12)}"}  # a second endpoint gets an event of its own
    for one, path in ((event, "/webhooks/stripe"), (event, "/stripe/webhook"), (twin, "/api/stripe/webhook")):
        headers = {"Stripe-Signature": deaf_desk.signed(encoded(one))}
        assert httpx.post(deaf_desk.url + path, content=encoded(one), headers=headers).status_code == 200
    deaf_desk.settled(order["id"])
    assert buyer.balance() == 10
    thin = {"id": f"evt_{secrets.token_hex(12)}", "object": "v2.core.event", "type": "v1.billing.meter.error_report_triggered",
            "created": "2026-01-01T00:00:00.000Z", "livemode": False, "related_object": {"id": "mtr_1"}}  # fmt: skip
    assert "set the endpoint's payload style to snapshot" in refused(deaf_desk, thin, deaf_desk.signed(encoded(thin)))


# --- poison ----------------------------------------------------------------------------------------------------------


async def test_t07_an_event_that_always_fails_is_set_aside_after_five_attempts_and_blocks_nobody(
    service: Service,
) -> None:
    desk = InProcess(service)
    poison = await desk.order()
    innocents = [await desk.order() for _ in range(6)]
    await service.store.execute(
        f"CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE division_by_zero; END $$;"
        f"CREATE TRIGGER poison BEFORE UPDATE ON orders FOR EACH ROW WHEN (NEW.id = '{poison}') EXECUTE FUNCTION fail()"
    )
    for order in (*innocents[:3], poison, *innocents[3:]):
        await desk.receive(order)
    await service.worker.drain()
    for order in innocents:
        assert await desk.status(order) == "fulfilled"
    assert await desk.status(poison) == "open"
    assert (await desk.row(poison))["state"] == "ready"
    for _ in range(10):
        await service.store.execute("UPDATE desk SET clock_offset_s = clock_offset_s + 3600")
        await service.worker.drain()
    row = await desk.row(poison)
    assert (row["state"], row["attempts"]) == ("quarantined", 5)
    assert "DivisionByZero" in row["detail"]
    rows = [await desk.row(order) for order in innocents]
    assert {row["state"] for row in rows} == {"done"}
    assert max(row["attempts"] for row in rows) <= 1


async def test_t07_a_quarantined_event_can_be_replayed_once_it_is_mended(service: Service) -> None:
    desk = InProcess(service)
    poison = await desk.order()
    await desk.receive(poison, amount_total=1)
    await service.worker.drain()
    assert (await desk.row(poison))["state"] == "quarantined"
    await service.store.execute("UPDATE orders SET amount = 1 WHERE id = $1", poison)
    assert await lists.replay(service.store, [f"evt_{poison}"], actor="test") == 1
    await service.worker.drain()
    assert await desk.status(poison) == "fulfilled"
    assert [tuple(row) for row in await service.store.fetch("SELECT actor, action, subject FROM audit")] == [
        ("test", "event.replay", f"evt_{poison}")
    ]


class InProcess:
    """A service in this process, with orders whose sessions nobody opened at Stripe."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def order(self, price: str = "credits-10", id_: str | None = None) -> str:
        """A new order of a new person, as if its session had been made."""
        store = self.service.store
        customer = await customers.find_or_make(store, Identity("web", secrets.token_hex(8)))
        line = checkout.line_of(self.service.catalog, price, 1)
        order = await checkout.create_order(store, checkout.NewOrder(customer, (line,)), livemode=False, id_=id_)
        await store.execute("UPDATE orders SET stripe_customer = $2 WHERE id = $1", order, f"cus_{customer}")
        return order

    async def receive(self, order: str, **changes: Any) -> dict[str, Any]:
        """Take in the event of the order's paid session, by the door that the webhook uses."""
        row = await self.service.store.fetchrow("SELECT * FROM orders WHERE id = $1", order)
        session = {
            "id": f"cs_{order}", "object": "checkout.session", "mode": "payment", "status": "complete",
            "payment_status": "paid", "payment_intent": f"pi_{order}", "amount_total": row["amount"] if row else 999,
            "customer": row["stripe_customer"] if row else "cus_later", "currency": "usd",
            "metadata": {"paydesk_order": order}, **changes,
        }  # fmt: skip
        event = {"id": f"evt_{order}", "object": "event", "type": "checkout.session.completed", "livemode": False,
                 "created": int(time.time()), "data": {"object": session}}  # fmt: skip
        await self.service.receiver.receive(envelope(encoded(event)))
        return event

    async def row(self, order: str) -> Record:
        found = await self.service.store.fetchrow("SELECT * FROM inbox WHERE external_id = $1", f"evt_{order}")
        assert found is not None
        return found

    async def status(self, order: str) -> str:
        return str(await self.service.store.fetchval("SELECT status FROM orders WHERE id = $1", order))


# --- faster than we are, and older than we are -----------------------------------------------------------------------


def test_t17_an_event_that_comes_before_our_session_row_is_saved_is_not_lost(desk: Desk) -> None:
    buyer = desk.buyer()
    order = buyer.checkout("credits-10")
    desk.sql("UPDATE orders SET session = NULL, session_url = NULL, session_status = NULL, session_payment_status = NULL, "
             "session_expires_at = NULL WHERE id = $1", order["id"])  # fmt: skip
    assert buyer.pay(order).status_code == 200
    assert desk.settled(order["id"])["session"] == order["session"]
    assert buyer.balance() == 10


async def test_t17_an_event_whose_order_is_not_committed_yet_waits_for_it(service: Service) -> None:
    desk = InProcess(service)
    order = new_order_id()
    event = await desk.receive(order)
    await service.worker.drain()
    assert ((await desk.row(order))["state"], (await desk.row(order))["waits_for"]) == ("parked", order)
    await desk.order(id_=order)
    await service.store.execute("UPDATE orders SET stripe_customer = 'cus_later' WHERE id = $1", order)
    await service.store.execute("UPDATE desk SET clock_offset_s = 5")
    await service.worker.drain()
    assert (await desk.row(order))["state"] == "done"
    assert await desk.status(order) == "fulfilled"
    assert event["id"] == f"evt_{order}"


def test_t45_a_session_from_before_a_price_change_is_honoured_with_the_old_terms(
    new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path: Path
) -> None:
    catalogue = Path(shutil.copy(CATALOG, tmp_path / "catalog.toml"))
    settings = settings_for(new_database(), stripe_sandbox.url, PAYDESK_CATALOG=str(catalogue))
    with running_desk(settings, stripe_sandbox, webhooks=False) as desk:
        buyer = Buyer(desk)
        old = buyer.checkout("credits-10")
    catalogue.write_text(catalogue.read_text().replace('"9.99"', '"19.99"').replace("amount = 10 }", "amount = 3 }"))
    with running_desk(settings, stripe_sandbox) as desk:
        buyer = Buyer(desk, external_id=buyer.external_id)
        new = buyer.checkout("credits-10")
        assert (old["amount"], new["amount"]) == (999, 1999)
        assert buyer.say("/buy credits-10")[0]["buttons"][0]["label"] == "Pay $19.99"
        assert buyer.pay(old).status_code == 200
        desk.settled(old["id"])
        assert buyer.balance() == 10
        assert buyer.pay(new).status_code == 200
        desk.settled(new["id"])
        assert buyer.balance() == 13


def test_t46_ten_thousand_order_ids_are_distinct_and_two_orders_in_one_second_do_not_collide(desk: Desk) -> None:
    assert len({new_order_id() for _ in range(10_000)}) == 10_000
    buyers = [desk.buyer() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        orders = list(pool.map(lambda buyer: buyer.checkout("supporter-usd"), buyers))
    assert len({order["id"] for order in orders}) == 8
    assert len({order["link"] for order in orders}) == 8


# --- whose money -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"customer": "cus_of_somebody_else"}, "paid by cus_of_somebody_else"),
        ({"customer": None}, "paid by None"),
        ({"amount_total": 1}, "1 usd paid, 999 usd ordered"),
        ({"currency": "jpy"}, "999 jpy paid, 999 usd ordered"),
    ],
    ids=["another customer", "no customer", "a cheaper amount", "another currency"],
)
def test_t21_an_event_that_bears_our_reference_but_not_our_terms_gives_nothing(
    deaf_desk: Desk, changes: dict[str, Any], reason: str
) -> None:
    buyer = deaf_desk.buyer()
    order = buyer.checkout("credits-10")
    event = session_event(deaf_desk, order, **changes)
    assert deaf_desk.deliver(event).status_code == 200
    assert reason in finished(deaf_desk, event, "quarantined")["detail"]
    assert buyer.balance() == 0
    assert deaf_desk.get(f"/v1/orders/{order['id']}")["status"] == "open"
    assert buyer.told() == []


def test_t25_naming_another_persons_order_in_ones_own_payment_gives_nothing(desk: Desk) -> None:
    victim, thief = desk.buyer(), desk.buyer()
    wanted, own = victim.checkout("credits-10"), thief.checkout("credits-10")
    theirs = desk.sql("SELECT stripe_customer FROM orders WHERE id = $1", own["id"])[0]["stripe_customer"]
    paid = pay_directly(desk, wanted, customer=theirs)
    event = until(lambda: next((e for e in desk.events_at_stripe() if e["type"] == "payment_intent.succeeded"
                                and e["data"]["object"]["id"] == paid["id"]), None))  # fmt: skip
    assert "mismatch" in finished(desk, event, "quarantined")["detail"]
    assert (victim.balance(), thief.balance()) == (0, 0)


def pay_directly(desk: Desk, order: dict[str, Any], *, customer: str) -> dict[str, Any]:
    """A payment made at Stripe without our session, that names our order."""
    made = desk.at_stripe("POST", "/v1/payment_intents", {
        "amount": str(order["amount"]), "currency": order["currency"], "customer": customer,
        "payment_method": "pm_card_visa", "confirm": "true", "metadata[paydesk_order]": order["id"],
        "automatic_payment_methods[enabled]": "true", "automatic_payment_methods[allow_redirects]": "never",
    })  # fmt: skip
    assert made.json().get("status") == "succeeded", made.text
    return dict(made.json())


def test_t33_a_second_payment_of_one_order_goes_back_and_is_told_once(desk: Desk) -> None:
    buyer = desk.buyer()
    order = buyer.buy("credits-10")
    customer = desk.sql("SELECT stripe_customer FROM orders WHERE id = $1", order["id"])[0]["stripe_customer"]
    second = pay_directly(desk, order, customer=customer)
    until(lambda: refunds_of(desk, second["id"]), patience_s=20, what="the refund")
    desk.quiet()
    assert [(refund["amount"], refund["reason"]) for refund in refunds_of(desk, second["id"])] == [(999, "duplicate")]
    assert buyer.balance() == 10
    assert len([text for text in buyer.told() if "paid order" in text and "twice" in text]) == 1
    assert refunds_of(desk, desk.sql("SELECT paid_by FROM orders WHERE id = $1", order["id"])[0]["paid_by"]) == []


def refunds_of(desk: Desk, intent: str) -> list[dict[str, Any]]:
    return list(desk.at_stripe("GET", "/v1/refunds", {"payment_intent": intent}).json()["data"])


def test_old_news_counts_and_messages_nobody(deaf_desk: Desk) -> None:
    buyer = deaf_desk.buyer()
    order = buyer.checkout("access-30d")
    paid_s = int(time.time()) - 4 * DAY_S
    assert deaf_desk.deliver(session_event(deaf_desk, order, created=paid_s)).status_code == 200
    settled = deaf_desk.settled(order["id"])
    assert buyer.told() == []
    access = buyer.access("premium")
    assert access["allowed"]
    ends_s = deaf_desk.sql("SELECT extract(epoch FROM $1::text::timestamptz)::bigint AS s", access["until"])[0]["s"]
    assert ends_s == paid_s + 30 * DAY_S
    assert settled["paid_at"] < settled["created_at"]


def test_what_postgresql_cannot_hold_is_set_aside_and_not_tried_again(deaf_desk: Desk) -> None:
    buyer = deaf_desk.buyer()
    order = buyer.checkout("credits-10")
    for changes in ({"payment_intent": "pi_\x00"}, {"customer": {"id": "cus_\x00"}}, {"id": "cs_\x00"}):
        event = session_event(deaf_desk, order, **changes)
        assert deaf_desk.deliver(event).status_code == 200
        row = finished(deaf_desk, event, "quarantined")
        assert row["attempts"] <= 1
    assert buyer.balance() == 0

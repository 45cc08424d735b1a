"""A tutoring desk on Chatwoot: parents buy in their conversation, and agents see beside it how the payment stands."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import settings_for
from desk import CARD, Desk, running_desk
from fakes.chatwoot import ADMIN_TOKEN, Conversation, Fake, running_chatwoot, signed
from sandbox_fixtures import Sandbox, until

SECRET = "chatwoot-webhook-secret"
ADMIN = 9
LESSONS = """
[products.lesson]
name = "Tutoring lesson"
goods = "real_world_service"
payment_methods = ["card", "ideal"]
prices = [{ key = "standard-60", currency = "eur", amount = "60.00", minutes = 60, segment = "standard" },
          { key = "weekend-60",  currency = "eur", amount = "75.00", minutes = 60, segment = "weekend" },
          { key = "urgent-120",  currency = "eur", amount = "120.00", minutes = 120, segment = "urgent" },
          { key = "trial",       currency = "eur", amount = "0.00", minutes = 30, segment = "trial" }]

[products.package]
name = "Five lessons"
prices = [{ currency = "eur", amount = "280.00", minutes = 60, segment = "standard" }]
grants = [{ kind = "credits", amount = 5, unit = "lessons" }]
"""
NOTE = {"message_type": "outgoing", "sender": {"id": 3, "name": "Anna", "type": "user"}, "private": True}
_numbers = itertools.count(100)


@pytest.fixture(scope="module")
def fake() -> Iterator[Fake]:
    with running_chatwoot() as server:
        server.conversation(ADMIN, contact=90)
        yield server
        assert server.complaints == []


@pytest.fixture(scope="module")
def desk(
    fake: Fake, new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    """A desk that sells lessons, in a process of its own."""
    catalogue: Path = tmp_path_factory.mktemp("tutor") / "catalog.toml"
    catalogue.write_text(LESSONS, encoding="utf-8")
    settings = settings_for(
        new_database(), stripe_sandbox.url, PAYDESK_CATALOG=str(catalogue), CHATWOOT_URL=fake.url,
        CHATWOOT_ACCOUNT_ID="1", CHATWOOT_API_TOKEN=ADMIN_TOKEN, CHATWOOT_WEBHOOK_SECRET=f"{SECRET},bot-secret",
        CHATWOOT_ADMIN_CONVERSATION=str(ADMIN),
    )  # fmt: skip
    with running_desk(settings, stripe_sandbox) as running:
        yield running


@dataclass
class Parent:
    """Somebody in a conversation of their own."""

    desk: Desk
    fake: Fake
    chat: Conversation

    @property
    def attributes(self) -> dict[str, Any]:
        """What the contact shows."""
        return dict(self.fake.contacts[self.chat.contact]["custom_attributes"])

    def says(self, text: str, **more: Any) -> dict[str, Any]:
        """Write something; gives the payload by which the desk was told."""
        payload = self.fake.told(self.chat.id, text, **more)
        assert call(self.desk, payload).status_code == 200
        return payload

    def asks(self, text: str, **more: Any) -> str:
        """Write something that is answered with an offer; gives its pay link."""
        before = len(self.chat.reached)
        self.says(text, **more)
        until(lambda: len(self.chat.reached) > before, what="an offer")
        self.desk.quiet()
        found = re.search(r"\nPay [^:]+: (\S+/r/\S+)$", self.chat.reached[-1])
        assert found is not None, self.chat.reached[-1]
        return found[1]

    def pays(self, link: str, card: str = CARD) -> str:
        """Press the link's button and pay on the hosted page; gives the order."""
        hosted = httpx.post(link)
        assert hosted.status_code in (200, 303), hosted.text
        order = self.desk.sql("SELECT * FROM orders WHERE link_token = $1", link.rpartition("/")[2])[0]
        form = {"payment_method": card, "expected_amount": str(order["amount"])} if order["amount"] else {}
        paid = self.desk.at_stripe("POST", f"/v1/payment_pages/{order['session']}/confirm", form)
        assert paid.is_success == (card == CARD), paid.text
        return str(order["id"])


@pytest.fixture
def parent(desk: Desk, fake: Fake) -> Parent:
    """Somebody new, whose conversation has a label and an attribute of the agents'."""
    return newcomer(desk, fake)


def newcomer(desk: Desk, fake: Fake) -> Parent:
    number = next(_numbers)
    chat = fake.conversation(number, contact=number + 1000, labels=["vip"], attributes={"program": "maths"})
    return Parent(desk, fake, chat)


def call(desk: Desk, payload: Any, *, headers: dict[str, str] | None = None, secret: str = SECRET) -> httpx.Response:
    """Call the webhook as Chatwoot does, or with other headers."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    given = signed(body, secret) if headers is None else headers
    return httpx.post(f"{desk.url}/webhooks/chatwoot", content=body, headers=given, timeout=30)


def shown(parent: Parent, status: str) -> dict[str, Any]:
    """What the conversation shows, once its payment stands so and nothing waits any more."""
    until(lambda: parent.chat.attributes.get("payment_status") == status, what=status)
    parent.desk.quiet()
    assert parent.chat.labels == ["vip", f"payment-{status}"]
    assert parent.chat.attributes["program"] == "maths"
    return parent.chat.attributes


def hasten(desk: Desk) -> None:
    """Let what is to be tried again later be tried now."""
    desk.sql("UPDATE outbox SET next_at = '-infinity' WHERE channel = 'chatwoot' AND state = 'ready'")


# --- buying ----------------------------------------------------------------------------------------------------------


def test_a_lesson_is_offered_paid_and_refunded_in_one_conversation(parent: Parent) -> None:
    link = parent.asks("/buy lesson 60 weekend")
    assert parent.chat.reached == [
        f"Tutoring lesson for €75.00. Pay with the button; you will hear here when it has arrived.\nPay €75.00: {link}"
    ]
    offered = shown(parent, "pending")
    order = offered["order_id"]
    assert (offered["payment_link"], offered["lesson_minutes"]) == (link, 60)
    assert "payment_date" not in offered
    assert parent.attributes == {}

    assert parent.pays(link) == order
    paid = shown(parent, "paid")
    assert (paid["order_id"], paid["payment_link"], paid["lesson_status"]) == (order, link, "weekend")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", paid["payment_date"])
    assert parent.attributes == {
        "has_paid_lesson": True, "customer_since": paid["payment_date"], "segment": "weekend"
    }  # fmt: skip
    assert [text.split(".")[0] for text in parent.chat.reached[1:]] == ["✅ Paid €75"]

    parent.desk.post("/v1/refunds", {"order": order})
    refunded = shown(parent, "refunded")
    assert refunded["payment_date"] == paid["payment_date"]
    assert "↩️ Refunded: €75.00, all of it." in parent.chat.reached[-1]
    assert (len(parent.chat.reached), parent.chat.notes) == (3, [])


def test_a_customer_stays_one_since_their_first_payment(parent: Parent) -> None:
    """The first payment is of an order that a program made, for this conversation."""
    who = {"channel": "chatwoot", "external_id": str(parent.chat.contact)}
    body = {"customer": who, "conversation": str(parent.chat.id), "items": [{"price": "package"}]}
    first = parent.pays(parent.desk.post("/v1/checkouts", body)["link"])
    since = shown(parent, "paid")["payment_date"]
    assert parent.attributes["customer_since"] == since
    parent.fake.contacts[parent.chat.contact]["custom_attributes"] = {"school": "Lyceum"}
    second = parent.pays(parent.asks("/buy urgent-120"))
    until(lambda: parent.chat.attributes["payment_status"] == "paid", what="the second payment")
    assert shown(parent, "paid")["order_id"] == second != first
    assert parent.attributes == {
        "school": "Lyceum", "has_paid_lesson": True, "customer_since": since, "segment": "urgent"
    }  # fmt: skip
    assert "5 lessons" in parent.chat.reached[0]


def test_a_card_that_is_declined_is_shown_until_another_one_pays(parent: Parent) -> None:
    link = parent.asks("/buy standard-60")
    parent.pays(link, "pm_card_visa_chargeDeclined")
    failed = shown(parent, "failed")
    assert failed["payment_link"] == link
    assert "did not go through" in parent.chat.reached[-1]
    assert parent.attributes == {}
    parent.pays(link)
    assert shown(parent, "paid")["lesson_status"] == "definitief"


def test_an_agents_note_asks_the_parent_and_an_agents_mistake_stays_among_agents(parent: Parent) -> None:
    link = parent.asks("/pay weekend-60", **NOTE)
    assert "Pay €75.00" in parent.chat.reached[0]
    assert shown(parent, "pending")["payment_link"] == link
    parent.says("/pay weekend-61", **NOTE)
    until(lambda: parent.chat.notes, what="a note")
    assert len(parent.chat.reached) == 1
    parent.pays(link)
    shown(parent, "paid")


def test_a_trial_lesson_costs_nothing_and_makes_nobody_a_customer(parent: Parent) -> None:
    link = parent.asks("/buy trial")
    assert shown(parent, "pending")["lesson_minutes"] == 30
    parent.pays(link)
    assert shown(parent, "paid")["lesson_status"] == "trial_lesson"
    assert parent.attributes == {}


def test_what_parents_and_agents_say_to_each_other_is_not_answered(parent: Parent) -> None:
    parent.says("Thank you for the lesson! Is Tuesday fine?")
    parent.says("Tuesday is fine.", **{**NOTE, "private": False})
    parent.says("/balance")
    until(lambda: parent.chat.reached, what="the balance")
    parent.desk.quiet()
    assert parent.chat.reached == ["You have nothing yet. /buy shows what there is."]


def test_a_bots_conversation_is_answered_until_it_is_given_to_the_agents(parent: Parent) -> None:
    parent.chat.status = "pending"
    assert parent.asks("A weekend-60 please").startswith(parent.desk.url)
    parent.says("xyzzy?")
    until(lambda: parent.chat.status == "open", what="the agents")
    assert parent.chat.reached[-1].startswith("I did not understand that.")
    parent.says("Is anybody there?")
    parent.desk.quiet()
    assert len(parent.chat.reached) == 2


# --- what comes in ---------------------------------------------------------------------------------------------------


def test_what_is_not_chatwoots_is_refused_and_nothing_of_it_is_stored(parent: Parent) -> None:
    desk, payload = parent.desk, parent.fake.told(parent.chat.id, "/buy standard-60")
    body = json.dumps(payload).encode()
    count = "SELECT count(*) AS n FROM inbox WHERE source = 'chatwoot'"
    before = desk.sql(count)
    good = signed(body, SECRET)
    for headers in (
        {}, signed(body, "a guess"), signed(body + b" ", SECRET), signed(body, SECRET, at=time.time() - 301),
        {**good, "x-chatwoot-timestamp": str(int(good["x-chatwoot-timestamp"]) + 1)},
    ):  # fmt: skip
        refused = call(desk, body, headers=headers)
        assert refused.status_code == 401
        assert SECRET not in refused.text
    assert call(desk, b'{"event": 7}').status_code == 400
    assert call(desk, json.dumps({**payload, "padding": "x" * 1_100_000}).encode()).status_code == 413
    assert httpx.get(f"{desk.url}/webhooks/chatwoot").status_code == 405
    desk.quiet()
    assert desk.sql(count) == before
    assert parent.chat.messages == []


def test_a_message_that_is_told_often_is_answered_once(parent: Parent) -> None:
    parent.asks("/buy standard-60")
    told = parent.fake.told(parent.chat.id, "/balance")
    for secret in (SECRET, SECRET, "bot-secret"):
        assert call(parent.desk, told, secret=secret).status_code == 200
    until(lambda: len(parent.chat.reached) == 2, what="the balance")
    parent.desk.quiet()
    assert len(parent.chat.reached) == 2
    assert len(parent.desk.sql("SELECT 1 FROM orders WHERE conversation = $1", str(parent.chat.id))) == 1


# --- agents ----------------------------------------------------------------------------------------------------------


def test_alerts_of_a_burst_are_one_private_note(desk: Desk, fake: Fake) -> None:
    orders = []
    for _ in range(2):
        one = newcomer(desk, fake)
        orders.append(one.pays(one.asks("/buy standard-60")))
        shown(one, "paid")
    office = fake.conversations[ADMIN]
    before = len(office.messages)
    for order in orders:
        charge = desk.sql("SELECT charge FROM payment WHERE order_id = $1", order)[0]["charge"]
        opened = httpx.post(
            f"{desk.sandbox.url}/_sandbox/disputes", json={"charge": charge, "status": "needs_response"}
        )
        assert opened.status_code == 200, opened.text
    until(lambda: len(office.messages) > before, patience_s=30, what="a note")
    desk.quiet()
    (note,) = office.messages[before:]
    assert note["private"]
    lines = note["content"].splitlines()
    assert [line.split(":")[0] for line in lines] == ["⚠️ Dispute opened (fraudulent)"] * 2
    assert all(order in note["content"].replace("\\", "") for order in orders)
    assert one.chat.labels == ["vip", "payment-paid"], "a dispute that is open changes no label"


def test_what_agents_change_at_the_same_time_stays(parent: Parent) -> None:
    def agent(chat: Conversation) -> None:
        """The page of the agent did not know of ours yet, and writes all labels it knows, with a new one."""
        if chat.id == parent.chat.id:
            chat.labels = ["vip", "hurry"]
            chat.attributes["level"] = "B2"
            parent.fake.after.clear()

    parent.fake.after["labels"] = agent
    link = parent.asks("/buy standard-60")
    assert parent.chat.labels == ["vip", "hurry", "payment-pending"]
    parent.pays(link)
    until(lambda: "payment-paid" in parent.chat.labels, what="the label")
    parent.desk.quiet()
    assert parent.chat.labels == ["vip", "hurry", "payment-paid"]
    assert (parent.chat.attributes["level"], parent.chat.attributes["program"]) == ("B2", "maths")


# --- Chatwoot is away ------------------------------------------------------------------------------------------------


def test_while_chatwoot_hangs_others_are_told_and_nothing_is_lost_or_doubled(parent: Parent) -> None:
    desk, fake = parent.desk, parent.fake
    link = parent.asks("/buy standard-60")
    fake.down = "hangs"
    order = parent.pays(link)
    until(lambda: desk.get(f"/v1/orders/{order}")["status"] != "open", what="the payment")
    buyer = desk.buyer()
    elsewhere = buyer.checkout("package")
    assert buyer.pay(elsewhere).status_code == 200
    until(lambda: [text for text in buyer.told() if text.startswith("✅ Paid €280.00")], what="the web chat's message")
    assert len(parent.chat.reached) == 1
    fake.down = None
    shown(parent, "paid")
    assert len(parent.chat.reached) == 2


def test_after_an_outage_everything_is_said_once_and_in_order(parent: Parent) -> None:
    desk, fake = parent.desk, parent.fake
    link = parent.asks("/buy standard-60")
    fake.cut_next("POST", f"/{parent.chat.id}/messages")  # said, and its answer lost
    order = parent.pays(link)
    until(lambda: len(parent.chat.reached) == 2, what="the message whose answer is lost")
    fake.down = "500"
    desk.post("/v1/refunds", {"order": order})
    parent.says("/balance")
    waiting = "SELECT 1 FROM outbox WHERE conversation = $1 AND state IN ('ready','leased')"
    until(lambda: len(desk.sql(waiting, str(parent.chat.id))) == 3, what="messages that wait")
    tries = "SELECT max(attempts) AS n FROM outbox WHERE conversation = $1 AND state = 'ready'"
    hasten(desk)
    until(lambda: (desk.sql(tries, str(parent.chat.id))[0]["n"] or 0) >= 2, what="a try in vain")
    assert parent.chat.labels == ["vip", "payment-pending"]
    fake.down = None
    hasten(desk)
    shown(parent, "refunded")
    assert [text.split(" ")[0] for text in parent.chat.reached[1:]] == ["✅", "↩️", "You"]
    keys = [one["content_attributes"]["paydesk"] for one in parent.chat.messages if one["message_type"] == 1]
    assert len(keys) == len(set(keys)) == 4
    assert parent.attributes["has_paid_lesson"] is True


# --- paydesk check ---------------------------------------------------------------------------------------------------


def look(desk: Desk, *arguments: str, **settings: str) -> dict[str, str]:
    """What `paydesk check` says of Chatwoot with these settings: line by what was looked at."""
    run = replace(desk, settings={**desk.settings, **settings}).command("check", *arguments)
    found = re.findall(r"^(?:ok |BAD)  (Chatwoot's [^:]+):.*$", run.stdout, re.MULTILINE)
    lines = [line for line in run.stdout.splitlines() if "Chatwoot's" in line]
    assert len(lines) == len(found), run.stdout + run.stderr
    assert run.returncode == (1 if "BAD" in run.stdout else 0)
    assert not any(secret in run.stdout + run.stderr for secret in (ADMIN_TOKEN, SECRET, "made-by-the-server"))
    return dict(zip(found, lines, strict=True))


def test_the_doctor_says_in_a_line_each_what_is_wrong_and_mends_what_it_can(desk: Desk, fake: Fake) -> None:
    until(lambda: "status-booked" in {label["title"] for label in fake.labels}, what="the labels that a start makes")
    fake.labels[:] = [label for label in fake.labels if label["title"] != "payment-failed"]
    before = look(desk)
    assert before["Chatwoot's labels"] == (
        "BAD  Chatwoot's labels: missing: payment-failed  →  paydesk check --fix makes them"
    )
    assert before["Chatwoot's webhook"].startswith("BAD  Chatwoot's webhook: no webhook of the account calls ")
    assert {line[:3] for what, line in before.items() if what not in ("Chatwoot's labels", "Chatwoot's webhook")} == {
        "ok "
    }
    after = look(desk, "--fix")
    assert after["Chatwoot's labels"].startswith("ok ")
    assert "copy the webhook's secret" in after["Chatwoot's webhook"]
    assert "payment-failed" in {label["title"] for label in fake.labels}
    assert fake.webhooks[0]["url"] == f"{desk.url}/webhooks/chatwoot"
    fake.webhooks[0]["secret"] = SECRET
    assert {line[:3] for line in look(desk).values()} == {"ok "}
    bad = look(desk, CHATWOOT_API_TOKEN="wrong-token-1")
    assert list(bad) == ["Chatwoot's token"]
    assert "put the access token of an agent" in bad["Chatwoot's token"]

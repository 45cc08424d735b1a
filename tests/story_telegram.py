"""Selling on Telegram: the chat, the groups that people pay to be in, and Stars, with everything running."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from desk import Desk
from fakes.telegram import BOT, TelegramFake
from paydesk import drift
from paydesk.app import open_service
from paydesk.config import load
from sandbox_fixtures import Sandbox, free_port, until
from telegram_desk import ATTIC, LOUNGE, Person, keys, office, telegram_desk

Json = dict[str, Any]


class Box:
    """A letter box: what was brought, as text."""

    def __init__(self) -> None:
        self.letters: list[str] = []

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        letter = email.message_from_bytes(envelope.content or b"", policy=email.policy.default)
        body = letter.get_body(("plain",))
        self.letters.append(str(body.get_content()).replace("\u00a0", " ") if body is not None else "")
        return "250 OK"


@pytest.fixture(scope="module")
def box() -> Iterator[tuple[Box, str]]:
    """A letter box, and its address."""
    made = Box()
    server = Controller(made, hostname="127.0.0.1", port=free_port())
    server.start()
    yield made, f"smtp://127.0.0.1:{server.port}"
    server.stop()


@pytest.fixture(scope="module")
def both(
    new_database: Callable[[], str], stripe_sandbox: Sandbox, box: tuple[Box, str]
) -> Iterator[tuple[Desk, TelegramFake]]:
    mail = {"SMTP_URL": box[1], "MAIL_FROM": "pay@shop.example"}
    with telegram_desk(new_database(), stripe_sandbox, **mail) as running:
        yield running


@pytest.fixture
def post(box: tuple[Box, str]) -> list[str]:
    """The letters that were brought."""
    return box[0].letters


@pytest.fixture
def desk(both: tuple[Desk, TelegramFake]) -> Desk:
    return both[0]


@pytest.fixture
def fake(both: tuple[Desk, TelegramFake]) -> TelegramFake:
    return both[1]


@pytest.fixture
def somebody(desk: Desk, fake: TelegramFake) -> Callable[..., Person]:
    """Somebody new on Telegram."""
    return lambda **more: Person(fake, desk, **more)


Somebody = Callable[..., Person]


def updates_handled(desk: Desk) -> int:
    return int(desk.sql("SELECT count(*) AS n FROM inbox WHERE source = 'telegram' AND state <> 'ready'")[0]["n"])


def look_for_drift(desk: Desk) -> dict[str, drift.Report]:
    """Look once, as the service does every hour."""

    async def look() -> dict[str, drift.Report]:
        async with open_service(load({**desk.settings})) as service:
            return await drift.once(service)

    reports = asyncio.run(look())
    desk.quiet()
    return reports


# --- the chat --------------------------------------------------------------------------------------------------------


def test_a_buyer_taps_pays_and_reads_about_it_in_the_same_chat(desk: Desk, somebody: Somebody) -> None:
    ada = somebody()
    hello = ada.asks("/start")[0]
    shelf = ada.presses(hello, "Buy")
    assert "1,000 tokens" in shelf["text"]
    offer = ada.presses(shelf, "10 credits")
    assert keys(offer)[0]["text"] == "Pay $9.99"
    order = ada.pays(offer)
    told = ada.hears("Paid $9.99")
    assert "10 credits" in told["text"]
    assert ada.asks("/balance")[0]["text"] == "You have 10 credits."
    assert "10 credits" in ada.asks("/history")[0]["text"]
    assert desk.settled(order["id"])["status"] == "fulfilled"
    assert len([text for text in ada.texts() if "Paid" in text]) == 1


def test_news_of_a_slow_payment_is_edited_into_the_message_that_told_the_last(desk: Desk, somebody: Somebody) -> None:
    ada = somebody()
    offer = ada.asks("/buy credits-10")[0]
    link = keys(offer)[0]["url"].removeprefix(desk.url)
    desk.call("POST", link)
    order = ada.order()
    for status, words in (("unpaid", "on its way"), ("paid", "Paid $9.99")):
        kind = "completed" if status == "unpaid" else "async_payment_succeeded"
        assert desk.deliver(session_event(desk, order, kind, status)).status_code == 200
        told = ada.hears(words)
    assert told["edit_date"]
    assert len(ada.read()) == 2, "the offer, and one message about the payment"


def session_event(desk: Desk, order: Json, kind: str, status: str) -> Json:
    """What Stripe tells of an order's session that is paid by a slow method."""
    customer = desk.sql("SELECT stripe_customer FROM orders WHERE id = $1", order["id"])[0]["stripe_customer"]
    return desk.event_of(f"checkout.session.{kind}", {
        "id": order["session"], "object": "checkout.session", "mode": "payment", "status": "complete",
        "payment_status": status, "payment_intent": f"pi_{order['id'][4:24]}", "customer": customer,
        "amount_total": order["amount"], "currency": order["currency"], "client_reference_id": order["id"],
        "metadata": {"paydesk_order": order["id"]},
    })  # fmt: skip


def test_a_pole_is_spoken_to_in_polish_and_a_page_leads_to_a_product(desk: Desk, somebody: Somebody) -> None:
    ada = somebody(language="pl")
    offer = ada.asks("/start buy_credits-10")[0]
    assert keys(offer)[0]["text"].startswith("Zapłać")
    ada.pays(offer)
    assert "Numer zamówienia" in ada.hears("Zapłacono")["text"]


def test_whoever_bought_elsewhere_opens_a_link_and_has_it_here(desk: Desk, somebody: Somebody) -> None:
    web, ada = desk.buyer(), somebody(standing="stranger")
    web.buy("lounge")
    ada.fake.says(ada.number, web.say("/link")[1]["text"])
    assert "t.me/" in keys(ada.hears("Your place is ready"))[0]["url"]
    assert ada.id == web.id


def test_who_blocks_the_bot_is_told_elsewhere_and_back_again_reads_what_waited(
    desk: Desk, fake: TelegramFake, post: list[str], somebody: Somebody
) -> None:
    ada, ben = somebody(), somebody()
    who = {"channel": "telegram", "external_id": str(ada.number)}
    desk.post("/v1/customers", {"identities": [who], "email": "ada@shop.example"})
    offers = [one.asks("/buy credits-10")[0] for one in (ada, ben)]
    for one in (ada, ben):
        fake.blocks(one.number)
        until(
            lambda one=one: desk.sql("SELECT 1 FROM unreachable WHERE external_id = $1", str(one.number)), what="Away"
        )
    orders = [one.pays(offer) for one, offer in zip((ada, ben), offers, strict=True)]
    until(lambda: [letter for letter in post if "Paid $9.99" in letter], what="a letter")
    paid = desk.settled(orders[1]["id"])
    assert desk.sql("SELECT state FROM outbox WHERE dedup_key = $1", f"paid:{paid['id']}")[0]["state"] == "waiting"
    fake.blocks(ben.number, blocked=False)
    fake.says(ada.number, "/start")
    ben.hears("Paid $9.99")
    ada.hears("Hello")
    desk.quiet()
    assert not any("Paid" in text for text in ada.texts()), "they have read it in the letter"


def test_a_corrected_command_is_answered_and_talk_of_others_is_not(
    desk: Desk, fake: TelegramFake, somebody: Somebody
) -> None:
    ada = somebody()
    ada.asks("/start")
    edited = {"message_id": 1, "date": 1, "edit_date": 2, "chat": {"id": ada.number, "type": "private"},
              "from": fake.people[ada.number]}  # fmt: skip
    fake.push("edited_message", {**edited, "text": "what I meant to say"})
    fake.push("edited_message", {**edited, "text": "/history"})
    ada.hears("You have not bought anything yet.")
    fake.says(ada.number, "hello everybody", chat=LOUNGE)
    fake.says(ada.number, "/buy@another_bot", chat=LOUNGE)
    handled = updates_handled(desk)
    answer = ada.asks("/balance@desk_bot")
    assert len(answer) == 1
    assert updates_handled(desk) >= handled
    assert fake.said_to(LOUNGE) == []
    fake.says(ada.number, "/buy", chat=LOUNGE)
    ada.hears("1,000 tokens")
    assert fake.said_to(LOUNGE) == [], "the answer is private"
    assert len(ada.read()) == 4


# --- groups ----------------------------------------------------------------------------------------------------------


def status_in(fake: TelegramFake, room: int, person: Person) -> str:
    return str(fake.members[room].get(person.number, {"status": "left"})["status"])


def test_who_has_paid_is_let_in_a_stranger_is_not_and_the_end_lets_them_come_back(
    desk: Desk, fake: TelegramFake, somebody: Somebody
) -> None:
    ada, eve = somebody(), somebody(standing="stranger")
    order = ada.buys("lounge")
    link = keys(ada.hears("Your place is ready"))[0]["url"]
    assert fake.links[link][0] == LOUNGE
    fake.asks_in(ada.number, LOUNGE)
    fake.asks_in(eve.number, LOUNGE)
    until(lambda: status_in(fake, LOUNGE, ada) == "member", what="a place")
    until(lambda: (LOUNGE, eve.number) not in fake.requests_to_join, what="a refusal")
    assert status_in(fake, LOUNGE, eve) == "left"
    desk.quiet()
    eve.asks("/start", 2)
    eve.hears("people who have a place in it")

    desk.post("/v1/refunds", {"order": order["id"]})
    until(lambda: status_in(fake, LOUNGE, ada) == "left", what="the end of it")
    assert fake.asked("banChatMember") == [], "nobody is kept from coming back"
    again = ada.buys("lounge")
    assert again["id"] != order["id"]
    fake.asks_in(ada.number, LOUNGE)
    until(lambda: status_in(fake, LOUNGE, ada) == "member", what="a place again")


def test_the_hourly_look_leaves_alone_who_waits_or_was_put_out_by_hand_and_puts_out_who_may_not_stay(
    desk: Desk, fake: TelegramFake, somebody: Somebody
) -> None:
    ada, ben, cid = somebody(), somebody(), somebody()
    orders = [(one, one.buys("lounge")) for one in (ada, ben, cid)]
    for one, _ in orders:
        one.hears("Your place is ready")
    fake.asks_in(cid.number, LOUNGE)
    until(lambda: status_in(fake, LOUNGE, cid) == "member", what="a place")
    desk.post("/v1/refunds", {"order": orders[1][1]["id"]})
    desk.settled(orders[1][1]["id"], "refunded")
    fake.moves(ben.number, LOUNGE, "member")  # let in by hand
    fake.moves(cid.number, LOUNGE, "left")  # and put out by hand
    assert look_for_drift(desk)["telegram"].taken == 1
    until(lambda: status_in(fake, LOUNGE, ben) == "left", what="put out")
    again = look_for_drift(desk)["telegram"]
    assert (again.given, again.taken, again.failed) == (0, 0, 0)
    assert status_in(fake, LOUNGE, cid) == "left"
    fake.asks_in(cid.number, LOUNGE)
    until(lambda: status_in(fake, LOUNGE, cid) == "member", what="a place again")
    for one, _ in orders:
        assert len([text for text in one.texts() if "Your place is ready" in text]) == 1


def test_a_ban_by_hand_stays_a_ban_and_is_told(desk: Desk, fake: TelegramFake, somebody: Somebody) -> None:
    ben = somebody()
    fake.moves(ben.number, LOUNGE, "kicked")
    ben.buys("lounge")
    until(lambda: any("is banned there" in line and str(ben.number) in line for line in office(fake)), what="an alert")
    assert status_in(fake, LOUNGE, ben) == "kicked"
    assert not any("Your place is ready" in text for text in ben.texts())


def test_without_its_rights_the_bot_tells_once_and_goes_on_when_it_has_them(
    desk: Desk, fake: TelegramFake, somebody: Somebody
) -> None:
    ada, ben = somebody(), somebody()
    fake.bot_becomes(LOUNGE, "administrator", can_restrict_members=True)
    ada.buys("lounge")
    ben.buys("lounge")
    until(lambda: waiting(desk) == 2, what="parked deliveries")
    lines = until(lambda: [line for line in office(fake) if "can_invite_users" in line], what="an alert")
    look_for_drift(desk)
    assert waiting(desk) == 2
    fake.bot_becomes(LOUNGE, "administrator", can_restrict_members=True, can_invite_users=True)
    for one in (ada, ben):
        one.hears("Your place is ready")
    assert len(lines) == len([line for line in office(fake) if "can_invite_users" in line]) == 1
    assert waiting(desk) == 0


def waiting(desk: Desk) -> int:
    return int(desk.sql("SELECT count(*) AS n FROM outbox WHERE waits_for LIKE 'mend:telegram:%'")[0]["n"])


def test_a_group_that_becomes_a_supergroup_is_found_at_once(desk: Desk, fake: TelegramFake, somebody: Somebody) -> None:
    ada, ben, new = somebody(), somebody(), -1005554443332
    ada.buys("attic")
    ada.hears("Your place is ready")
    fake.room(new)
    fake.rooms[ATTIC]["moved_to"] = new
    migrated = {"message_id": 9, "date": 1, "chat": {"id": new, "type": "supergroup", "title": "Attic"},
                "from": BOT, "migrate_from_chat_id": ATTIC}  # fmt: skip
    fake.push("message", migrated)
    fake.asks_in(ada.number, new)
    until(lambda: status_in(fake, new, ada) == "member", what="a place in the supergroup")
    ben.buys("attic")
    link = keys(ben.hears("Your place is ready"))[0]["url"]
    assert fake.links[link][0] == new
    assert look_for_drift(desk)["telegram"].failed == 0
    assert not any("people who have a place" in text for text in ada.texts())


# --- Stars -----------------------------------------------------------------------------------------------------------


def test_an_invoice_in_stars_is_paid_told_once_and_goes_back(
    desk: Desk, fake: TelegramFake, somebody: Somebody
) -> None:
    ada = somebody()
    offer = ada.asks("/buy credits-10")[0]
    assert [key["text"] for key in keys(offer)] == ["Pay $9.99", "Pay 650 ⭐"]
    invoice = ada.presses(offer, "⭐")
    assert (invoice["invoice"]["currency"], invoice["invoice"]["total_amount"]) == ("XTR", 650)
    fake.pays(ada.number, invoice["message_id"])
    ada.hears("Paid 650 ⭐")
    order = desk.settled(ada.order()["id"])
    assert ada.balance() == 10
    (payment,) = desk.sql("SELECT id, charge, paid_at FROM payment WHERE order_id = $1", order["id"])
    told_twice = fake.push("message", paid_again(fake, ada, order["id"], payment["charge"]))
    until(lambda: seen(desk, told_twice), what="the repeat")
    desk.quiet()
    assert ada.balance() == 10
    shown = desk.get(f"/v1/payments/{payment['id']}")
    assert (shown["status"], shown["amount"], shown["currency"]) == ("succeeded", 650, "xtr")
    assert "650 ⭐" in ada.asks("/history")[0]["text"]

    part = desk.call("POST", "/v1/refunds", json={"order": order["id"], "amount": 300})
    assert (part.status_code, part.json()["error"]["param"]) == (400, "amount")
    refund = desk.post("/v1/refunds", {"order": order["id"]}, Idempotency_Key=f"back-{order['id']}")
    assert desk.get(f"/v1/refunds/{refund['id']}")["amount"] == 650
    other = desk.call("POST", "/v1/refunds", json={"order": order["id"]})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "already_refunded")
    desk.sql("UPDATE idempotency_key SET status = NULL, locked_until = now()")  # as if it had died before it answered
    same = desk.post("/v1/refunds", {"order": order["id"]}, Idempotency_Key=f"back-{order['id']}")
    assert same["id"] == refund["id"]
    ada.hears("Refunded: 650 ⭐")
    assert fake.charges[payment["charge"]] == "refunded"
    assert desk.settled(order["id"], "refunded")["status"] == "refunded"
    assert ada.balance() == 0
    assert desk.get(f"/v1/refunds/{refund['id']}")["status"] == "succeeded"
    assert len(desk.sql("SELECT id FROM refund WHERE payment_id = $1", payment["id"])) == 1, "Telegram tells it too"
    again = desk.call("POST", "/v1/refunds", json={"payment": payment["id"]})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_refunded")
    for action in ("capture", "cancel"):
        assert desk.call("POST", f"/v1/payments/{payment['id']}/{action}").status_code == 409
    assert "stars_" in desk.command("why", ada.id).stdout


def paid_again(fake: TelegramFake, person: Person, order: str, charge: str) -> Json:
    """The message that tells of a payment."""
    return {
        "message_id": 10**6, "date": 1, "chat": {"id": person.number, "type": "private", "first_name": "Ada"},
        "from": fake.people[person.number],
        "successful_payment": {"currency": "XTR", "total_amount": 650, "invoice_payload": order,
                               "telegram_payment_charge_id": charge, "provider_payment_charge_id": f"{charge}_0"},
    }  # fmt: skip


def seen(desk: Desk, update: Json) -> bool:
    rows = desk.sql("SELECT state FROM inbox WHERE external_id = $1", f"{BOT['id']}:{update['update_id']}")
    return bool(rows) and rows[0]["state"] == "done"


def test_only_who_was_shown_an_invoice_pays_it_once_at_its_price_and_while_it_is_wanted(
    desk: Desk, fake: TelegramFake, somebody: Somebody
) -> None:
    ada, eve, pole = somebody(), somebody(), somebody(language="pl")
    first, second = ada.invoice("credits-10"), ada.invoice("credits-10")
    order = ada.order()["id"]
    assert refusal_of(fake, eve, order, 650) == "This order cannot be paid any more. /buy shows what there is."
    assert refusal_of(fake, ada, order, 649).startswith("This order cannot be paid")
    assert refusal_of(fake, ada, "ord_nothing", 650).startswith("This order cannot be paid")
    assert refusal_of(fake, ada, order, 650, "USD").startswith("This order cannot be paid")
    fake.pays(ada.number, first["message_id"])
    ada.hears("Paid 650 ⭐")
    assert refusal_of(fake, ada, order, 650).startswith("This order is paid already")
    assert second["invoice"]["total_amount"] == 650
    pole.invoice("credits-10")
    canceled = pole.order()["id"]
    desk.post(f"/v1/orders/{canceled}/cancel", {})
    assert "/buy" in refusal_of(fake, pole, canceled, 650)
    assert "cannot" not in refusal_of(fake, pole, canceled, 650), "they are told in their language"
    desk.quiet()
    assert (ada.balance(), pole.balance()) == (10, 0)


def refusal_of(fake: TelegramFake, person: Person, payload: str, amount: int, currency: str = "XTR") -> str:
    """Why somebody is not let pay."""
    query = {"id": f"pq{len(fake.calls)}", "from": fake.people[person.number], "currency": currency,
             "total_amount": amount, "invoice_payload": payload}  # fmt: skip
    fake.paying[query["id"]] = query
    fake.push("pre_checkout_query", query)
    answer: Json = until(lambda: answers_to(fake, query["id"]), what="an answer to who pays")[0]
    assert answer["ok"] is False
    return str(answer["error_message"])


def answers_to(fake: TelegramFake, query: str) -> list[Json]:
    """What a payer was answered."""
    return [one for one in fake.asked("answerPreCheckoutQuery") if one["pre_checkout_query_id"] == query]


def test_a_payer_is_answered_at_once_whatever_else_waits_to_be_told(
    desk: Desk, fake: TelegramFake, somebody: Somebody
) -> None:
    ada = somebody()
    invoice = ada.invoice("credits-10")
    desk.sql(
        "INSERT INTO outbox (dedup_key, channel, address, template, params) SELECT 'crowd:' || n, 'telegram', "
        "CASE WHEN n = 1 THEN $1 ELSE '5' END, 'reply', '{\"text\": \"hello\"}' FROM generate_series(1, 2000) n",
        str(ada.number),
    )
    fake.fail_next("sendMessage", 429, {"ok": False, "error_code": 429, "description": "Too Many Requests: retry",
                                        "parameters": {"retry_after": 3}}, times=3)  # fmt: skip
    asked = fake.pays(ada.number, invoice["message_id"])["pre_checkout_query"]["id"]
    yes = until(lambda: answers_to(fake, asked), patience_s=9, what="an answer within the ten seconds")
    assert yes[0]["ok"]
    desk.sql(  # what nobody has tried: the others have attempts of theirs, and go out by themselves
        "DELETE FROM outbox o WHERE dedup_key LIKE 'crowd:%' AND state = 'ready' "
        "AND NOT EXISTS (SELECT FROM attempt a WHERE a.outbox_id = o.id)"
    )
    ada.hears("Paid 650 ⭐", patience_s=20)


def test_paid_by_card_and_in_stars_the_second_one_goes_back_by_its_own_rail(
    desk: Desk, fake: TelegramFake, somebody: Somebody
) -> None:
    ada, ben = somebody(), somebody()
    ada.invoice("credits-10")
    order = ada.pays(ada.asks("/buy credits-10")[0])  # while Telegram takes its time with the Stars
    desk.settled(order["id"])
    charge = f"late{ada.number}"
    fake.charges[charge] = "paid"
    fake.push("message", paid_again(fake, ada, order["id"], charge))
    ada.hears("twice")
    until(lambda: fake.charges[charge] == "refunded", what="Stars back")

    bill = ben.invoice("credits-10")
    card = keys(ben.asks("/buy credits-10")[0])[0]["url"]
    assert desk.call("POST", card.removeprefix(desk.url)).status_code in (200, 303)
    session = ben.order()
    fake.pays(ben.number, bill["message_id"])
    ben.hears("Paid 650 ⭐")
    form = {"payment_method": "pm_card_visa", "expected_amount": "999"}
    desk.at_stripe("POST", f"/v1/payment_pages/{session['session']}/confirm", form)
    ben.hears("twice")
    until(lambda: desk.at_stripe("GET", "/v1/refunds").json()["data"], what="a refund at Stripe")
    desk.quiet()
    assert (ada.balance(), ben.balance()) == (10, 10)
    assert desk.get(f"/v1/orders/{session['id']}")["status"] == "fulfilled"


def test_a_refund_that_telegram_refuses_has_failed_and_the_credits_are_there_again(
    desk: Desk, fake: TelegramFake, somebody: Somebody
) -> None:
    ada = somebody()
    fake.pays(ada.number, ada.invoice("credits-10")["message_id"])
    ada.hears("Paid 650 ⭐")
    order = desk.settled(ada.order()["id"])
    (payment,) = desk.sql("SELECT id, charge FROM payment WHERE order_id = $1", order["id"])
    del fake.charges[payment["charge"]]
    refund = desk.post("/v1/refunds", {"payment": payment["id"]})
    ada.hears("did not reach you")
    desk.quiet()
    assert desk.get(f"/v1/refunds/{refund['id']}")["status"] == "failed"
    assert ada.balance() == 10
    until(lambda: [line for line in office(fake) if "Refund failed" in line], what="an alert")
    fake.charges[payment["charge"]] = "paid"
    (dead,) = desk.sql("SELECT id FROM outbox WHERE dedup_key = $1", f"give_back:{refund['id']}")
    desk.post(f"/v1/deliveries/{dead['id']}/retry", {})
    desk.quiet()
    assert fake.charges[payment["charge"]] == "paid", "what has failed is not done behind the buyer's back"
    second = desk.post("/v1/refunds", {"payment": payment["id"]})
    assert second["id"] != refund["id"]
    desk.settled(order["id"], "refunded")
    assert ada.balance() == 0


def test_stars_that_went_back_without_us_are_booked_like_any_refund_and_once(
    desk: Desk, fake: TelegramFake, somebody: Somebody
) -> None:
    ada = somebody()
    fake.pays(ada.number, ada.invoice("credits-10")["message_id"])
    ada.hears("Paid 650 ⭐")
    order = desk.settled(ada.order()["id"])
    (payment,) = desk.sql("SELECT id, charge FROM payment WHERE order_id = $1", order["id"])
    fake.charges[payment["charge"]] = "refunded"  # by another program that holds the bot's token
    for _ in range(2):
        told = fake.went_back(payment["charge"])
        until(lambda told=told: seen(desk, told), what="the update")
    ada.hears("Refunded: 650 ⭐")
    assert desk.settled(order["id"], "refunded")["status"] == "refunded"
    assert ada.balance() == 0
    again = desk.call("POST", "/v1/refunds", json={"payment": payment["id"]})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_refunded")
    rows = desk.sql("SELECT id, status, amount FROM refund WHERE payment_id = $1", payment["id"])
    assert [(row["status"], row["amount"]) for row in rows] == [("succeeded", 650)]


def test_after_all_that_the_books_are_right(desk: Desk) -> None:
    checked = desk.command("ledger", "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert desk.sql("SELECT id FROM inbox WHERE state IN ('quarantined', 'parked')") == []

"""Webhook endpoints: registered, changed, rotated, deleted; and a real shop's server that hears of everything, once."""

from __future__ import annotations

import base64
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from conftest import settings_for
from desk import Buyer, Desk, running_desk
from fakes.receiver import Answer, Receiver, receiving
from paydesk import announcing, endpoints
from paydesk.case import Case, Dispute, Order, Payment, Refund
from paydesk.config import Secret
from paydesk.endpoints import Wish
from paydesk.entitlements import Held
from paydesk.ledger import Source
from paydesk.privacy import Vault
from paydesk.subscriptions import Bill
from sandbox_fixtures import running_sandbox, until
from subscribers import advance
from test_purses import give, opened, person, proved, spend
from test_subscriptions import bill, invoice, own

Json = dict[str, Any]


@dataclass
class Shop:
    """A desk with a clock of its own, a server that listens, and the secret of the endpoint that leads there."""

    desk: Desk
    receiver: Receiver
    endpoint: Json = field(default_factory=dict)

    def heard(self, type_: str | None = None, **data: Any) -> list[Json]:
        """What the server has heard, once nothing is on its way any more."""
        self.desk.quiet()
        return self.receiver.events(type_, **data)

    def only(self, type_: str, **data: Any) -> Json:
        """The data of the one event like this."""
        (event,) = self.heard(type_, **data)
        return dict(event["data"])


@pytest.fixture(scope="module")
def shop(new_database: Callable[[], str]) -> Iterator[Shop]:
    with running_sandbox() as sandbox, receiving() as receiver:
        settings = settings_for(new_database(), sandbox.url, PAYDESK_WEBHOOK_ALLOW="127.0.0.1")
        with running_desk(settings, sandbox) as desk:
            own_shop = Shop(desk, receiver)
            own_shop.endpoint = desk.post("/v1/webhook_endpoints", {"url": receiver.url + "/in"})
            yield own_shop
            heard = Counter(request.headers["webhook-id"] for request in receiver.requests if request.path == "/in")
            assert [id_ for id_, times in heard.items() if times > 1] == [], "told twice"
            for request in receiver.requests:
                if request.path == "/in":
                    assert request.verified(own_shop.endpoint["secret"])["type"] in announcing.TYPES


@pytest.fixture
def ann(shop: Shop) -> Buyer:
    """Somebody who has spoken, and has nothing."""
    buyer = shop.desk.buyer()
    buyer.say("/start")
    return buyer


def told_of(shop: Shop, buyer: Buyer) -> Counter[str]:
    """How often each type was told about somebody."""
    return Counter(event["type"] for event in shop.heard(customer=buyer.id))


# --- registering -----------------------------------------------------------------------------------------------------


def refused(answer: httpx.Response) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error.get("param")


def test_an_endpoint_shows_its_secret_once_and_the_same_request_makes_one(shop: Shop) -> None:
    key = {"Idempotency-Key": secrets.token_hex(8)}
    body = {
        "url": "https://example.com/paydesk",
        "enabled_events": ["order.*", "credits.spent"],
        "description": "books",
    }
    first, again = (shop.desk.call("POST", "/v1/webhook_endpoints", json=body, headers=key) for _ in range(2))
    made = first.json()
    assert (first.status_code, again.status_code, again.json()) == (201, 201, made)
    assert again.headers["Idempotent-Replayed"] == "true"
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert made == {
        "id": made["id"], "object": "webhook_endpoint", "url": body["url"], "description": "books",
        "enabled_events": ["order.*", "credits.spent"], "status": "enabled", "disabled_at": None, "disabled_because": None,
        "failures": 0, "failing_since": None, "old_secret_until": None, "created_at": made["created_at"],
    }  # fmt: skip
    path = f"/v1/webhook_endpoints/{made['id']}"
    assert shop.desk.get(path) == made
    assert shop.desk.get("/v1/webhook_endpoints", limit=1) == {"data": [made], "has_more": True}
    after = shop.desk.get("/v1/webhook_endpoints", starting_after=made["id"])["data"]
    assert [one["id"] for one in after] == [shop.endpoint["id"]]
    before = shop.desk.get("/v1/webhook_endpoints", ending_before=shop.endpoint["id"])
    assert before == {"data": [made], "has_more": False}
    changed = shop.desk.call("PATCH", path, json={"enabled_events": ["*"], "description": "", "disabled": True}).json()
    assert (changed["enabled_events"], changed["description"], changed["status"]) == (["*"], None, "disabled")
    assert shop.desk.post(path + "/enable", {})["status"] == "enabled"
    other, replay = (
        shop.desk.call("POST", path + "/rotate", headers=key | {"Idempotency-Key": "r1"}) for _ in range(2)
    )
    assert (other.json(), other.json()["secret"] == secret) == (replay.json(), False)
    shop.desk.post(path + "/rotate", {})
    third = shop.desk.call("POST", path + "/rotate", headers={"Idempotency-Key": "r1"}).json()
    assert third["secret"] == other.json()["secret"], "the first answer, and nothing is turned back"
    kept = shop.desk.sql("SELECT body FROM idempotency_key WHERE key = ANY($1)", [key["Idempotency-Key"], "r1"])
    assert [row["body"] for row in kept] == [None, None], "no secret lies open"
    gone = {"id": made["id"], "object": "webhook_endpoint", "deleted": True}
    assert shop.desk.call("DELETE", path).json() == shop.desk.call("DELETE", path).json() == gone
    assert refused(shop.desk.call("GET", path)) == (404, "not_found", "webhook_endpoint")
    assert refused(shop.desk.call("DELETE", path + "x")) == (404, "not_found", "webhook_endpoint")


def test_what_is_refused(shop: Shop) -> None:
    for body, param in [
        ({"url": "http://example.com/"}, "url"),
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "https://example.com/", "enabled_events": []}, "enabled_events"),
        ({"url": "https://example.com/", "enabled_events": ["order.bought"]}, "enabled_events"),
    ]:
        assert refused(shop.desk.call("POST", "/v1/webhook_endpoints", json=body)) == (400, "invalid_request", param)
    assert (
        shop.desk.call("POST", "/v1/webhook_endpoints", json={"url": "https://x.org/", "secret": "mine"}).status_code
        == 422
    )
    key = shop.desk.command("keys", "create", "reader", "--scope", "read").stdout.split()[1]
    assert shop.desk.call("GET", "/v1/webhook_endpoints", key=key).status_code == 403
    made = [shop.desk.post("/v1/webhook_endpoints", {"url": "https://example.com/"})["id"] for _ in range(19)]
    full = shop.desk.call("POST", "/v1/webhook_endpoints", json={"url": "https://example.com/"})
    assert refused(full) == (409, "conflict", None)
    for id_ in made:
        shop.desk.call("DELETE", f"/v1/webhook_endpoints/{id_}")
    met = shop.desk.call("POST", "/v1/customers", json={"identities": [{"channel": "webhook", "external_id": "we_1"}]})
    assert met.status_code == 400, "an endpoint is nobody's thread"


# --- what is told ----------------------------------------------------------------------------------------------------


def test_a_purchase_is_told_once_in_the_shapes_of_the_api(shop: Shop, ann: Buyer) -> None:
    order = ann.buy("bundle")
    expected = Counter({"order.paid": 1, "order.fulfilled": 1, "payment.succeeded": 1, "credits.granted": 1,
                        "entitlement.granted": 2})  # fmt: skip
    assert told_of(shop, ann) == expected
    shown = {
        name: value
        for name, value in shop.desk.get(f"/v1/orders/{order['id']}").items()
        if name not in ("url", "link", "form")
    }
    assert shop.only("order.paid", id=order["id"]) == {**shown, "refunds": [], "disputes": []}
    assert shop.only("order.fulfilled", id=order["id"])["status"] == "fulfilled"
    (paid,) = shop.heard("payment.succeeded", order=order["id"])
    look = shop.desk.get(f"/v1/payments/{paid['data']['id']}")
    late = ("fee", "net", "settlement_currency", "card")  # Stripe tells these later
    assert {k: v for k, v in paid["data"].items() if k not in late} == {k: v for k, v in look.items() if k not in late}
    (entry,) = [one for one in shop.desk.get(f"/v1/customers/{ann.id}/ledger")["data"] if one["type"] == "grant"]
    assert shop.only("credits.granted", customer=ann.id) == {**entry, "balance": 100}
    premium = shop.only("entitlement.granted", customer=ann.id, feature="premium")
    access = ann.access("premium")
    assert premium == {
        "customer": ann.id,
        "feature": "premium",
        **{k: access[k] for k in ("allowed", "until", "because")},
    }
    assert set(paid) == {"id", "type", "timestamp", "data"}
    for event in shop.desk.events_at_stripe():
        if order["id"] in str(event):
            shop.desk.deliver({**event, "id": event["id"] + "_again"})
    assert told_of(shop, ann) == expected, "what is told again is not news"


def test_money_that_goes_back_is_told_each_time(shop: Shop, ann: Buyer) -> None:
    order = ann.buy("credits-10")
    for amount in (400, 599):
        shop.desk.post("/v1/refunds", {"order": order["id"], "amount": amount})
        shop.desk.quiet()
    partly, fully = (shop.only(f"order.{what}", id=order["id"]) for what in ("partially_refunded", "refunded"))
    assert [[one["amount"] for one in told["refunds"]] for told in (partly, fully)] == [[400], [400, 599]]
    taken = [event["data"]["amount"] for event in shop.heard("credits.taken_back", customer=ann.id)]
    assert sum(taken) == 10
    assert fully["refunds"][1]["object"] == "refund"


def test_a_dispute_and_its_end_are_told(shop: Shop, ann: Buyer) -> None:
    order = ann.buy("access-30d")
    charge = shop.desk.sql("SELECT charge FROM payment WHERE order_id = $1", order["id"])[0]["charge"]
    for status in ("needs_response", "won"):
        body, key = {"charge": charge, "status": status}, shop.desk.settings["STRIPE_API_KEY"]
        path = f"{shop.desk.sandbox.url}/_sandbox/disputes"
        assert httpx.post(path, json=body, headers={"Authorization": f"Bearer {key}"}).is_success
        wanted = "order.disputed" if status == "needs_response" else "order.restored"
        until(lambda wanted=wanted: shop.receiver.events(wanted, id=order["id"]), what=wanted)
    assert shop.only("order.disputed", id=order["id"])["disputes"][0]["status"] == "needs_response"
    assert shop.only("order.restored", id=order["id"])["status"] == "fulfilled"
    assert len(shop.heard("order.fulfilled", id=order["id"])) == 1
    assert told_of(shop, ann)["entitlement.granted"] == 2
    assert told_of(shop, ann)["entitlement.revoked"] == 1


def test_what_is_not_paid_is_told_too(shop: Shop, ann: Buyer) -> None:
    declined = ann.checkout("credits-10")
    ann.pay(declined, "pm_card_chargeDeclined")
    until(lambda: shop.receiver.events("payment.failed", order=declined["id"]), what="payment.failed")
    failed = shop.only("payment.failed", order=declined["id"])
    assert (failed["status"], failed["failure"]["code"]) == ("requires_payment_method", "generic_decline")
    shop.desk.post(f"/v1/orders/{declined['id']}/cancel", {})
    shop.desk.post(f"/v1/orders/{declined['id']}/cancel", {})
    assert shop.only("order.canceled", id=declined["id"])["status"] == "canceled"
    intent = shop.desk.post("/v1/payments", {"customer": ann.who, "amount": 500, "currency": "usd"})
    shop.desk.post(f"/v1/payments/{intent['id']}/cancel", {})
    assert shop.only("order.canceled", id=intent["order"])["canceled_at"] is not None


def test_credits_that_are_spent_held_and_given_are_told(shop: Shop, ann: Buyer) -> None:
    path = f"/v1/customers/{ann.id}/credits"
    shop.desk.post(path + "/grant", {"amount": 100, "reason": "welcome"})
    for number in range(5):
        for _ in range(2):
            shop.desk.post(
                path + "/spend", {"amount": 2, "reason": f"answer {number}"}, Idempotency_Key=f"s{number}-{ann.id}"
            )
    held = shop.desk.post(path + "/hold", {"amount": 30})
    shop.desk.post(f"/v1/holds/{held['id']}/settle", {"amount": 10})
    assert told_of(shop, ann) == Counter(
        {"credits.granted": 1, "credits.spent": 6, "credits.held": 1, "credits.released": 1}
    )
    spent = {
        event["data"]["reason"]: event["data"]["balance"] for event in shop.heard("credits.spent", customer=ann.id)
    }
    assert [spent[f"answer {number}"] for number in range(5)] == [98, 96, 94, 92, 90]
    assert shop.only("credits.held", id=held["id"]) == held
    assert shop.only("credits.released", id=held["id"]) == shop.desk.get(f"/v1/holds/{held['id']}")


def test_who_is_somebody_else_now_is_told_once(shop: Shop, ann: Buyer) -> None:
    bob = shop.desk.buyer()
    bob.say("/start")
    was = bob.id
    for _ in range(2):
        shop.desk.post(f"/v1/customers/{ann.id}/merge", {"customer": was})
    assert shop.only("customer.merged", customer=ann.id) == {"customer": ann.id, "merged": was}


def test_a_subscription_is_told_from_its_beginning_to_its_end(shop: Shop) -> None:
    buyer = shop.desk.buyer()
    buyer.buy("plus")
    id_ = shop.desk.sql("SELECT id FROM subscription WHERE customer_id = $1", buyer.id)[0]["id"]
    assert shop.only("subscription.started", id=id_) == shop.desk.get(f"/v1/subscriptions/{id_}")
    advance(shop.desk, timedelta(days=32))
    assert len(shop.heard("subscription.renewed", id=id_)) == 1
    assert told_of(shop, buyer)["order.paid"] == 2
    path = f"/v1/subscriptions/{id_}"
    for change in ({"pause": True}, {"pause": False}, {"pause": True}, {"pause": False}):
        assert shop.desk.call("PATCH", path, json=change).is_success
    assert [len(shop.heard(f"subscription.{what}", id=id_)) for what in ("paused", "resumed")] == [2, 2]
    assert shop.desk.call("PATCH", path, json={"price": "pro"}).is_success
    shop.desk.quiet()
    assert shop.only("subscription.changed", id=id_)["items"][0]["price"] == "pro"
    assert shop.desk.call("DELETE", path).is_success
    shop.desk.quiet()
    assert shop.only("subscription.ended", id=id_)["status"] == "canceled"
    revoked = shop.heard("entitlement.revoked", customer=buyer.id)
    assert sorted(event["data"]["feature"] for event in revoked) == ["plus", "pro"]


def test_what_ends_by_itself_is_told_once(shop: Shop, ann: Buyer) -> None:
    ann.buy("access-30d")
    ann.buy("credits-50")
    left = ann.checkout("credits-10")
    held = shop.desk.post(f"/v1/customers/{ann.id}/credits/hold", {"amount": 5, "lasts_s": 60})
    advance(shop.desk, timedelta(days=2))
    assert shop.only("order.expired", id=left["id"])["status"] == "expired"
    assert shop.only("credits.released", id=held["id"])["status"] == "lapsed"
    assert shop.heard("entitlement.revoked", customer=ann.id) == []
    advance(shop.desk, timedelta(days=29))
    gone = shop.only("entitlement.revoked", customer=ann.id)
    assert (gone["feature"], gone["allowed"]) == ("premium", False)
    assert shop.only("credits.expired", customer=ann.id)["amount"] == 50


def test_each_endpoint_hears_what_it_wants_and_nothing_while_it_is_disabled(shop: Shop, ann: Buyer) -> None:
    wanted = {"url": shop.receiver.url + "/some", "enabled_events": ["credits.*", "order.paid"]}
    other = shop.desk.post("/v1/webhook_endpoints", wanted)
    ann.buy("credits-10")
    shop.desk.call("PATCH", f"/v1/webhook_endpoints/{other['id']}", json={"disabled": True})
    shop.desk.post(f"/v1/customers/{ann.id}/credits/spend", {"amount": 1})
    shop.desk.quiet()
    there = [request for request in shop.receiver.requests if request.path == "/some"]
    assert sorted(request.event["type"] for request in there) == ["credits.granted", "order.paid"]
    here = {request.event["id"]: request.body for request in shop.receiver.requests if request.path == "/in"}
    for request in there:
        assert request.verified(other["secret"])
        assert here[request.event["id"]] == request.body, "one event, the same to everybody"
    shop.desk.call("DELETE", f"/v1/webhook_endpoints/{other['id']}")


def test_an_event_that_was_not_taken_is_sent_again_the_same(shop: Shop, ann: Buyer) -> None:
    shop.receiver.answer_next(Answer(500))
    path = f"/v1/customers/{ann.id}/credits/grant"
    before = len(shop.receiver.requests)
    shop.desk.post(path, {"amount": 1})
    until(lambda: len(shop.receiver.requests) > before + 1, patience_s=20, what="the second attempt")
    first, second = shop.receiver.requests[before:]
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    del shop.receiver.requests[before]  # so that what was heard twice is what was told twice


async def test_what_is_spent_from_memory_is_told_as_soon_as_somebody_listens(database: str) -> None:
    vault = Vault([Secret(base64.urlsafe_b64encode(os.urandom(32)).decode())])
    async with opened(database) as (store, wallets):
        who = await person(store)
        told = (
            "SELECT params->'data'->>'balance' AS left FROM outbox WHERE params->>'type' = 'credits.spent' ORDER BY id"
        )
        await give(wallets, who, 100)
        await spend(wallets, who, 1)
        assert wallets._purses._purses, "remembered"
        wish = Wish("https://example.com/", ("order.*", "credits.held"))
        await endpoints.create(store, vault, wish, operation="op_0", actor="key")
        await spend(wallets, who, 1)
        assert (await store.fetch(told), len(wallets._purses._purses)) == ([], 1), "nobody wants to hear of that"
        made, _ = await endpoints.create(store, vault, Wish("https://example.com/"), operation="op_1", actor="key")
        for key in ("k1", "k1", "k2"):
            await spend(wallets, who, 2, key)
        assert [row["left"] for row in await store.fetch(told)] == ["96", "94"]
        await endpoints.delete(store, made.id, actor="key")
        await spend(wallets, who, 2)
        assert (len(await store.fetch(told)), len(wallets._purses._purses)) == (2, 1)
        assert await proved(store)


# --- pure ------------------------------------------------------------------------------------------------------------

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def case(status: str = "open", **more: Any) -> Case:
    order = Order("ord_1", "cst_1", status, 1000, "usd", False, *[None] * 8, NOW if status != "open" else None, None, None,
                  None, "automatic", True)  # fmt: skip
    return Case(order, **more)


def paid(status: str, refunded: int = 0, disputed: str | None = None) -> Case:
    payment = Payment("pi_1", "ord_1", "succeeded", 1000, "usd", paid_at=NOW)
    refunds = {"re_1": Refund("re_1", "pi_1", "succeeded", refunded, "usd", None, None, NOW)} if refunded else {}
    disputes = {"dp_1": Dispute("dp_1", "pi_1", disputed, 1000, "usd", None, None, NOW)} if disputed else {}
    one = case(status, payments={"pi_1": payment}, refunds=refunds, disputes=disputes)
    return replace(one, order=replace(one.order, paid_by="pi_1"))


def types(events: list[announcing.Event]) -> list[str]:
    return sorted(event.type.partition(".")[2] for event in events)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (case(), paid("fulfilled"), ["fulfilled", "paid", "succeeded"]),
        (case(), paid("refunded", 1000), ["paid", "refunded", "succeeded"]),
        (paid("fulfilled"), paid("fulfilled"), []),
        (paid("fulfilled"), paid("partially_refunded", 10), ["partially_refunded"]),
        (paid("partially_refunded", 10), paid("partially_refunded", 20), ["partially_refunded"]),
        (paid("partially_refunded", 20), paid("partially_refunded", 20), []),
        (paid("fulfilled"), paid("disputed", disputed="needs_response"), ["disputed"]),
        (paid("disputed", disputed="needs_response"), paid("fulfilled", disputed="won"), ["restored"]),
        (paid("disputed", disputed="needs_response"), paid("disputed", disputed="lost"), ["disputed"]),
    ],
    ids=[f"{n}" for n in range(9)],
)
def test_what_becomes_of_an_order(before: Case, after: Case, expected: list[str]) -> None:
    assert types(announcing.of_case(before, after)) == expected
    again = announcing.of_case(before, after)
    assert [event.id for event in again] == [event.id for event in announcing.of_case(before, after)]
    assert len({event.id for event in again}) == len(again)


LATER = NOW + timedelta(minutes=1)
RENEWED = bill(own(), invoice(), invoice("in_2", cycle=1))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, bill(own(), invoice()), ["renewed", "started"]),
        (bill(own("incomplete"), invoice()), bill(own(), invoice()), ["started"]),
        (bill(own(), invoice()), bill(own(asked_at=LATER), invoice()), []),
        (bill(own(), invoice(), invoice("in_2", "open", cycle=1)), RENEWED, ["renewed"]),
        (bill(own(), invoice()), bill(own("past_due"), invoice()), ["past_due"]),
        (bill(own("past_due"), invoice()), bill(own("unpaid"), invoice()), []),
        (bill(own(), invoice()), bill(own(paused="void"), invoice()), ["paused"]),
        (bill(own(paused="void"), invoice()), bill(own(), invoice()), ["resumed"]),
        (bill(own(), invoice()), bill(own(cancel_at=LATER), invoice()), ["changed"]),
        (bill(own(), invoice()), bill(own("canceled", ended_at=LATER), invoice()), ["ended"]),
        (bill(own("incomplete"), invoice()), bill(own("incomplete_expired"), invoice()), []),
    ],
    ids=[f"{n}" for n in range(11)],
)
def test_what_becomes_of_a_subscription(before: Bill | None, after: Bill, expected: list[str]) -> None:
    assert types(announcing.of_bill(before, after)) == expected


def test_what_goes_back_and_forth_is_news_each_time() -> None:
    paused, later = (bill(own(paused="void", asked_at=at), invoice()) for at in (NOW, LATER))
    ids = {event.id for after in (paused, later) for event in announcing.of_bill(bill(own(), invoice()), after)}
    assert len(ids) == 2


def test_what_is_claimed_begins() -> None:
    source = Source("ord_1:0:0", "cst_1", "ord_1", "pass", "seconds", {"feature": "premium"})
    held = Held(source.id, "cst_1", "pass", "premium", NOW, 60)
    (event,) = announcing.of_claim([held], [source], NOW)
    assert (event.type, event.customer) == ("entitlement.granted", "cst_1")
    before = Held("ord_0:0:0", "cst_1", "pass", "premium", NOW, 60)
    assert announcing.of_claim([before, held], [source], NOW) == [], "they had it"


def test_patterns_and_types_agree() -> None:
    assert {pattern for type_ in announcing.TYPES for pattern in endpoints.patterns(type_)} == {
        "*", *endpoints.FAMILIES, *announcing.TYPES,
    }  # fmt: skip
    assert endpoints.Listener("we_1", ("order.*",)).wants("order.paid")
    assert not endpoints.Listener("we_1", ("order.*", "credits.spent")).wants("credits.granted")

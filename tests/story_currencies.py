"""A buyer who pays in another currency than the catalogue's gets what they bought, and the books know every currency."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import permutations
from typing import Any

import httpx
import pytest

from conftest import settings_for
from desk import Buyer, Desk, running_desk
from load import Bought, buy
from paydesk import listing, payments
from paydesk.app import open_service
from paydesk.config import Settings
from paydesk.paging import Cut
from paydesk.service import Service
from paydesk.stripe.envelope import envelope
from sandbox_fixtures import running_sandbox, until

NOW = 1_790_000_000
CHARGED = 921
"""€9.21 for what the catalogue sells at $9.99."""


class Balances(BaseHTTPRequestHandler):
    """A Stripe that knows its account, and what each charge and refund did to the balance: settled in dollars."""

    rows: dict[str, dict[str, Any]]

    def do_GET(self) -> None:
        """Answer."""
        name = self.path.partition("?")[0].rpartition("/")[2]
        found = {"id": "acct_1", "object": "account"} if name == "account" else self.rows.get(name)
        body = json.dumps(found or {"error": {"type": "invalid_request_error", "message": "no"}}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Keep quiet."""


def balance(id_: str, kind: str, amount: int, fee: int, rate: float | None, currency: str = "usd") -> dict[str, Any]:
    return {
        "id": id_, "object": "balance_transaction", "type": kind, "amount": amount, "fee": fee, "net": amount - fee,
        "currency": currency, "exchange_rate": rate, "available_on": NOW + 172_800, "created": NOW,
    }  # fmt: skip


@pytest.fixture
def balances() -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    """The address of that Stripe, and its balance transactions."""
    rows: dict[str, dict[str, Any]] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Balances,), {"rows": rows}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", rows
    server.shutdown()
    server.server_close()


def told(kind: str, about: dict[str, Any]) -> bytes:
    event = {"id": f"evt_{about['id']}_{kind.rpartition('.')[2]}", "object": "event", "type": kind, "created": NOW,
             "livemode": False, "api_version": "2024-06-20", "data": {"object": about}}  # fmt: skip
    return json.dumps(event).encode()


def events(one: Bought, session: dict[str, Any], paid: dict[str, Any]) -> list[bytes]:
    """The three events of a purchase; `session` and `paid` are what they say of the money."""
    tail = one.order.removeprefix("ord_")
    ours = {"metadata": {"paydesk_order": one.order}, "customer": one.stripe_customer}
    return [
        told("checkout.session.completed", {
            **ours, **session, "id": f"cs_{tail}", "object": "checkout.session", "mode": "payment",
            "client_reference_id": one.order, "status": "complete", "payment_status": "paid", "payment_intent": f"pi_{tail}",
        }),
        told("payment_intent.succeeded", {
            **ours, **paid, "id": f"pi_{tail}", "object": "payment_intent", "status": "succeeded",
            "amount_received": paid["amount"], "latest_charge": f"ch_{tail}",
        }),
        told("charge.updated", {
            **ours, **paid, "id": f"ch_{tail}", "object": "charge", "status": "succeeded", "captured": True,
            "amount_captured": paid["amount"], "payment_intent": f"pi_{tail}", "balance_transaction": f"txn_{tail}",
            "payment_method_details": {"type": "card", "card": {"brand": "visa", "last4": "4242"}},
        }),
    ]  # fmt: skip


OLD = (
    {"amount_total": CHARGED, "currency": "eur",
     "currency_conversion": {"amount_subtotal": 999, "amount_total": 999, "fx_rate": "0.9219", "source_currency": "usd"}},
    {"amount": CHARGED, "currency": "eur"},
)  # fmt: skip
PRESENTED = {"presentment_details": {"presentment_amount": CHARGED, "presentment_currency": "eur"}}
NEW = (
    {"amount_total": 999, "currency": "usd", "currency_conversion": None, **PRESENTED},
    {"amount": 999, "currency": "usd", **PRESENTED},
)
PLAIN = ({"amount_total": 999, "currency": "usd"}, {"amount": 999, "currency": "usd"})


async def hear(service: Service, bodies: list[bytes]) -> None:
    """Take events in one by one, working after each."""
    for body in bodies:
        await service.receiver.receive(envelope(body))
        await service.worker.drain()
    await service.store.execute("UPDATE inbox SET next_at = desk_now() WHERE state = 'parked'")
    await service.worker.drain()


async def booked(service: Service) -> dict[str, int]:
    """The balance that the ledger says we have at Stripe, by currency."""
    rows = await service.store.fetch(
        "SELECT a.unit, sum(CASE WHEN e.to_account = a.id THEN e.amount ELSE -e.amount END)::bigint AS balance "
        "FROM account a JOIN entry e ON a.id IN (e.from_account, e.to_account) WHERE a.kind = 'stripe' GROUP BY a.unit"
    )
    return {row["unit"]: row["balance"] for row in rows}


async def credits_left(service: Service) -> int:
    return int(await service.store.fetchval("SELECT coalesce(sum(balance), 0) FROM account WHERE kind = 'wallet'"))


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@pytest.mark.parametrize(
    "shape", [OLD, NEW], ids=["currency_conversion", "presentment_details"],
)  # fmt: skip
async def test_t23_a_buyer_charged_in_another_currency_gets_what_they_bought(
    settings: Settings, balances: tuple[str, dict[str, Any]], shape: tuple[dict[str, Any], dict[str, Any]],
    order: tuple[int, ...],
) -> None:  # fmt: skip
    url, rows = balances
    async with open_service(replace(settings, stripe_api_base=url)) as service:
        (one,) = await buy(service, 1, 1)
        tail = one.order.removeprefix("ord_")
        rows[f"txn_{tail}"] = balance(f"txn_{tail}", "charge", 999, 59, None)
        heard = events(one, *shape)
        await hear(service, [heard[place] for place in (*order, *order)])
        assert await service.store.fetchval("SELECT status FROM orders") == "fulfilled"
        assert await service.store.fetchval("SELECT count(*) FROM inbox WHERE state NOT IN ('done')") == 0
        assert await credits_left(service) == 10
        payment = await payments.get(service.store, service.gateway, f"pi_{tail}")
        assert (payment.amount, payment.currency, payment.fee, payment.net) == (999, "usd", 59, 940)
        assert (payment.amount_received, payment.settled_in) == (999, "usd")
        shown = await service.store.fetchrow("SELECT presented_amount, presented_currency FROM orders")
        assert shown is not None
        assert tuple(shown) == (CHARGED, "eur")
        assert await booked(service) == {"money:usd": 940}


async def test_what_went_back_in_the_buyers_currency_takes_its_share(
    settings: Settings, balances: tuple[str, dict[str, Any]]
) -> None:
    url, rows = balances
    async with open_service(replace(settings, stripe_api_base=url)) as service:
        (one,) = await buy(service, 1, 1)
        tail = one.order.removeprefix("ord_")
        rows[f"txn_{tail}"] = balance(f"txn_{tail}", "charge", 999, 59, None)
        rows["txn_back"] = balance("txn_back", "refund", -500, 0, None)
        back = {"id": "re_1", "object": "refund", "status": "succeeded", "amount": 461, "currency": "eur", "created": NOW,
                "payment_intent": f"pi_{tail}", "metadata": {}, "reason": None, "balance_transaction": "txn_back"}  # fmt: skip
        back["metadata"] = {"paydesk_order": one.order}
        rows["re_1"] = {**back, "amount": 500, "currency": "usd",
                        "presentment_details": {"presentment_amount": 461, "presentment_currency": "eur"}}  # fmt: skip
        refund = told("refund.created", back)
        await hear(service, [refund, *events(one, *OLD), refund])
        assert await service.store.fetchval("SELECT status FROM orders") == "partially_refunded"
        assert await credits_left(service) == 5
        assert await booked(service) == {"money:usd": 940 - 500}
        ((found,), _) = await listing.refunds(service.store, listing.About(order=one.order), Cut())
        assert (found[0].amount, found[0].currency) == (500, "usd")
        payment = await payments.get(service.store, service.gateway, f"pi_{tail}")
        assert (payment.amount_refunded, payment.fee, payment.net) == (500, 59, 940 - 500)


async def test_a_charge_that_is_settled_in_another_currency_is_booked_with_its_exchange(
    settings: Settings, balances: tuple[str, dict[str, Any]]
) -> None:
    url, rows = balances
    async with open_service(replace(settings, stripe_api_base=url)) as service:
        (one,) = await buy(service, 1, 1)
        tail = one.order.removeprefix("ord_")
        rows[f"txn_{tail}"] = balance(f"txn_{tail}", "charge", 4012, 157, 4.016, "pln")
        await hear(service, events(one, *PLAIN))
        assert await booked(service) == {"money:usd": 0, "money:pln": 4012 - 157}
        stored = await service.store.fetchrow("SELECT currency, exchange_rate, fee, net FROM balance_transaction")
        assert stored is not None
        assert list(stored) == ["pln", "4.016", 157, 3855]


@pytest.mark.parametrize(
    "session",
    [{"amount_total": CHARGED, "currency": "eur"},
     {**OLD[0], "currency_conversion": {**OLD[0]["currency_conversion"], "amount_total": 998, "amount_subtotal": 998}},
     {**OLD[0], "currency_conversion": {**OLD[0]["currency_conversion"], "source_currency": "gbp"}}],
    ids=["no conversion", "of another amount", "from another currency"],
)  # fmt: skip
async def test_another_currency_without_a_conversion_of_ours_moves_nothing(
    settings: Settings, balances: tuple[str, dict[str, Any]], session: dict[str, Any]
) -> None:
    async with open_service(replace(settings, stripe_api_base=balances[0])) as service:
        (one,) = await buy(service, 1, 1)
        await hear(service, events(one, session, OLD[1]))
        assert await service.store.fetchval("SELECT status FROM orders") == "open"
        assert await service.store.fetchval("SELECT count(*) FROM entry") == 0
        kinds = await service.store.fetch("SELECT kind, state FROM inbox ORDER BY kind")
        assert {row["kind"]: row["state"] for row in kinds} == {
            "charge.updated": "parked", "checkout.session.completed": "quarantined", "payment_intent.succeeded": "parked",
        }  # fmt: skip


# --- the whole way, with a buyer elsewhere ---------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["2024-09-30.acacia", "2026-10-28.endive"])
def abroad(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Desk]:
    """A desk that sells in dollars, is paid in euros and shows buyers elsewhere their own currency; events of a version."""
    with running_sandbox() as sandbox:
        chosen = {"settlement_currency": "eur", "adaptive_pricing": True, "api_version": request.param}
        httpx.post(f"{sandbox.url}/_sandbox/settings", json=chosen).raise_for_status()
        with running_desk(settings_for(new_database(), sandbox.url), sandbox) as desk:
            yield desk


def bought_from(desk: Desk, country: str) -> tuple[Buyer, dict[str, Any], str]:
    """Ten credits for $9.99, bought from there: buyer, order and payment."""
    buyer = desk.buyer()
    order = buyer.checkout("credits-10")
    form = {"payment_method": "pm_card_visa", "customer_email": f"jo+location_{country}@example.com"}
    paid = desk.at_stripe("POST", f"/v1/payment_pages/{order['session']}/confirm", form)
    assert paid.status_code == 200, paid.text
    desk.settled(order["id"])
    (payment,) = desk.sql("SELECT id FROM payment WHERE order_id = $1", order["id"])
    until(lambda: desk.get(f"/v1/payments/{payment['id']}")["fee"] is not None, what="the fee")
    return buyer, order, payment["id"]


def books_of(desk: Desk, payment: str) -> dict[str, int]:
    """What Stripe has for us of one payment by currency, as the ledger knows it."""
    rows = desk.sql(
        "SELECT e.unit, sum(CASE WHEN t.kind = 'stripe' THEN e.amount ELSE 0 END)::bigint "
        "- sum(CASE WHEN f.kind = 'stripe' THEN e.amount ELSE 0 END)::bigint AS there "
        "FROM entry e JOIN account t ON t.id = e.to_account JOIN account f ON f.id = e.from_account "
        "JOIN source s ON s.id = e.source JOIN payment p ON p.order_id = s.order_id "
        "WHERE p.id = $1 AND e.unit LIKE 'money:%' GROUP BY 1",
        payment,
    )
    return {row["unit"].removeprefix("money:"): row["there"] for row in rows}


@pytest.mark.parametrize("country", ["PL", "FR"])
def test_t23_a_buyer_elsewhere_has_what_they_bought_and_the_books_are_in_the_currency_of_settlement(
    abroad: Desk, country: str
) -> None:
    buyer, order, payment = bought_from(abroad, country)
    assert (buyer.balance(), order["amount"], order["currency"]) == (10, 999, "usd")
    known = abroad.get(f"/v1/payments/{payment}")
    assert known["settlement_currency"] == "eur"
    assert known["net"] > 0
    shown = {"PL": (3946, "pln"), "FR": (919, "eur")}[country]
    (row,) = abroad.sql("SELECT presented_amount, presented_currency FROM orders WHERE id = $1", order["id"])
    assert (known["amount"], known["currency"], tuple(row.values())) == (999, "usd", shown)
    assert {unit: there for unit, there in books_of(abroad, payment).items() if there} == {"eur": known["net"]}


def test_t23_half_and_all_of_it_go_back_and_the_credits_in_proportion(abroad: Desk) -> None:
    buyer, order, payment = bought_from(abroad, "PL")
    paid = abroad.get(f"/v1/payments/{payment}")["amount"]
    half = abroad.post("/v1/refunds", {"payment": payment, "amount": paid // 2})
    abroad.settled(order["id"], "partially_refunded")
    assert half["currency"] == abroad.get(f"/v1/payments/{payment}")["currency"]
    assert buyer.balance() == 5 + paid % 2, "its share, rounded in the buyer's favour"
    abroad.post("/v1/refunds", {"payment": payment})
    abroad.settled(order["id"], "refunded")
    assert buyer.balance() == 0
    assert abroad.get(f"/v1/payments/{payment}")["amount_refunded"] == paid
    assert abroad.command("ledger", "check").returncode == 0

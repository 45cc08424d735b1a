"""Statistics over HTTP say what really happened: they equal a recount of the rows that the money path has written."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from conftest import CATALOG
from desk import Buyer, Desk
from money_back import advance, calm, dispute, refund
from paydesk import catalog_file, stats_subscriptions
from paydesk.clock import Clock
from paydesk.store import Store
from sandbox_fixtures import until
from stats_recount import Recount, counted, items_of, recount, shown
from story_subscriptions import price_at_stripe, stripe, subscription_of

Json = dict[str, Any]

PRODUCTS = {"supporter-usd": "supporter", "supporter-jpy": "supporter", "vip-month": "vip", "vip-year": "vip"}
BEGINNING, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
MONTHS = {"plus": 1, "pro": 1, "group": 1, "vip-month": 1, "vip-year": 12}


@pytest.fixture(scope="module")
def lived(timed: Desk) -> Desk:
    """A desk where much has happened: sold, refused, given back, disputed, merged, spent, ended, renewed, changed."""
    _sell(timed)
    _give_back(timed)
    _use(timed)
    _subscribe(timed)
    return timed


def _sell(desk: Desk) -> None:
    """Many currencies and channels, two products at once, refused and late payments, orders that nobody pays."""
    for price in ("credits-10", "tokens", "supporter-jpy"):
        desk.buyer().buy(price)
    desk.buyer("discord").buy("credits-50")
    order = desk.post("/v1/checkouts", {"customer": desk.buyer().who,
                      "items": [{"name": "Ticket", "amount": 12_340, "currency": "kwd", "quantity": 2}]})  # fmt: skip
    _paid(desk, order)
    for items in (["credits-10", "access-30d"], ["supporter-usd", "bundle", "credits-50"]):
        order = desk.post("/v1/checkouts", {"customer": desk.buyer().who, "items": [{"price": one} for one in items]})
        _paid(desk, order)
        refund(desk, order, 1001)
    known = desk.post("/v1/customers", {"name": "Without a thread"})
    _paid(desk, desk.post("/v1/checkouts", {"customer": known["id"], "items": [{"price": "credits-10"}]}))
    refused, late = desk.buyer(), desk.buyer()
    assert refused.pay(refused.checkout("credits-10"), "pm_card_visa_chargeDeclined").status_code == 402
    order = late.checkout("credits-10")
    assert late.pay(order, "pm_card_visa_chargeDeclined").status_code == 402
    assert late.pay(order).status_code == 200
    desk.settled(order["id"])
    desk.post(f"/v1/orders/{desk.buyer().checkout('credits-10')['id']}/cancel", {})
    desk.buyer().checkout("access-30d")
    advance(desk, "25h")


def _paid(desk: Desk, order: Json) -> None:
    form = {"payment_method": "pm_card_visa", "expected_amount": str(order["amount"])}
    assert desk.at_stripe("POST", f"/v1/payment_pages/{order['session']}/confirm", form).status_code == 200
    until(lambda: desk.get(f"/v1/orders/{order['id']}")["status"] in ("paid", "fulfilled"), what="paid")
    desk.quiet()


def _give_back(desk: Desk) -> None:
    """Refunds of a part, of the whole, days later, and one that fails; disputes that are over."""
    part, whole, fails = (desk.buyer().buy("credits-50") for _ in range(3))
    refund(desk, part, 333)
    advance(desk, "3d")
    refund(desk, part, 500)
    refund(desk, whole)
    failing = refund(desk, fails, 100)
    _send_back(desk, failing["id"])
    for first, last in (
        ("needs_response", "won"),
        ("needs_response", "lost"),
        ("warning_needs_response", "warning_closed"),
    ):
        order = desk.buyer().buy("access-30d")
        dispute(desk, order, first)
        dispute(desk, order, last)


def _send_back(desk: Desk, refund_id: str) -> None:
    """The bank sends a refund back: the sandbox tells of it as Stripe does."""
    told = {
        **stripe(desk, "GET", f"/v1/refunds/{refund_id}"),
        "status": "failed",
        "failure_reason": "lost_or_stolen_card",
    }
    assert desk.deliver(desk.event_of("refund.failed", told)).status_code == 200
    calm(desk)


def _use(desk: Desk) -> None:
    """Credits are spent, held, given, taken back when they are spent already, and end; two people turn out to be one."""
    buyer, other = desk.buyer(), desk.buyer()
    order = buyer.buy("credits-50")
    other.buy("credits-10")
    desk.post(
        f"/v1/customers/{buyer.id}/credits/spend", {"amount": 45, "reason": "an answer"}, Idempotency_Key="stats-1"
    )
    refund(desk, order)
    desk.post(f"/v1/customers/{buyer.id}/credits/grant", {"amount": 60, "reason": "sorry"}, Idempotency_Key="stats-2")
    hold = desk.post(f"/v1/customers/{buyer.id}/credits/hold", {"amount": 8}, Idempotency_Key="stats-3")
    desk.post(f"/v1/holds/{hold['id']}/settle", {"amount": 5}, Idempotency_Key="stats-4")
    desk.post(f"/v1/customers/{buyer.id}/merge", {"customer": other.id})


def _subscribe(desk: Desk) -> None:
    """Subscriptions begin, with a trial too, renew, change, fail and end; credits of a month end."""
    stays, changes, ends, tries = (desk.buyer() for _ in range(4))
    for buyer, price in ((stays, "plus"), (changes, "plus"), (ends, "group")):
        buyer.buy(price)
    order = tries.checkout("vip-month")
    assert tries.pay({**order, "amount": 0}).status_code == 200
    calm(desk)
    price_at_stripe(desk, 4000, "pro")
    (own,) = desk.get("/v1/subscriptions", customer=changes.id)["data"]
    desk.call("PATCH", f"/v1/subscriptions/{own['id']}", json={"price": "pro"})
    advance(desk, "16d")
    advance(desk, "20d")
    (own,) = desk.get("/v1/subscriptions", customer=ends.id)["data"]
    assert desk.call("DELETE", f"/v1/subscriptions/{own['id']}").status_code == 200
    desk.buyer().buy("vip-year")
    assert subscription_of(desk, stays)["status"] == "active"
    dispute(desk, desk.buyer().buy("access-30d"), "needs_response")  # last: nobody answers it in time


def truth(desk: Desk) -> Recount:
    return recount(desk.sql, PRODUCTS)


def asked(desk: Desk, begins: datetime = BEGINNING, ends: datetime = END, **more: str) -> Json:
    return desk.get("/v1/stats", **{"from": begins.isoformat(), "to": ends.isoformat(), **more})


def test_all_that_ever_happened_equals_the_recount_and_the_ledger(lived: Desk) -> None:
    report, rows = asked(lived), truth(lived)
    assert counted(shown(report["totals"], None)) == counted(rows.money(BEGINNING, END))
    by_currency = {one["currency"]: one for one in report["totals"]}
    assert {"usd", "eur", "jpy", "kwd", "pln"} <= set(by_currency)
    for currency, one in by_currency.items():
        gone = one["refunded"] + one["disputes"]["amount_lost"] + one["disputes"]["amount_open"]
        assert one["gross"] - gone == -rows.system_balance(f"money:{currency}", "sales"), currency
        assert one["fees"] == rows.system_balance(f"money:{currency}", "fees"), currency
        assert one["net"] == one["gross"] - one["refunded"] - one["disputed"] - one["fees"]
    usd = by_currency["usd"]
    assert min(usd["failed"], usd["refunds"], usd["orders"]["canceled"], usd["orders"]["expired"], usd["fees"]) > 0
    assert {name: usd["disputes"][name] for name in ("opened", "won", "lost", "open", "inquiries")} == {
        "opened": 3, "won": 1, "lost": 1, "open": 1, "inquiries": 1,
    }  # fmt: skip
    assert usd["success_rate"] == str(round(usd["successful"] / (usd["successful"] + usd["failed"]), 4)).ljust(6, "0")


@pytest.mark.parametrize("by", ["day", "product", "channel", "currency"])
def test_breakdowns_equal_the_recount_and_add_up(lived: Desk, by: str) -> None:
    now = datetime.now(UTC)
    for begins, ends, zone in ((BEGINNING, END, "UTC"), (now - timedelta(hours=5), now + timedelta(days=9.3), "UTC"),
                               (now - timedelta(days=2), now + timedelta(days=80), "America/St_Johns")):  # fmt: skip
        report = asked(lived, begins, ends, by=by, timezone=zone)
        rows = truth(lived)
        assert counted(shown(report["data"], by)) == counted(rows.money(begins, ends, by, zone)), (by, zone)
        for total in report["totals"]:
            mine = [row for row in report["data"] if row["currency"] == total["currency"]]
            for figure in ("gross", "refunded", "disputed", "fees", "net"):
                assert sum(row[figure] for row in mine) == total[figure], (by, figure)


def test_parts_of_the_desk_equal_the_recount(lived: Desk) -> None:
    for only in (
        {"currency": "jpy"},
        {"channel": "discord"},
        {"product": "credits-10"},
        {"product": "vip", "currency": "pln"},
    ):
        report = asked(lived, **only)
        assert counted(shown(report["totals"], None)) == counted(truth(lived).money(BEGINNING, END, None, **only)), only
        assert report["totals"], only
        assert (report["subscriptions"], report["credits"]) == (None, None)


def test_credits_equal_the_entries_and_what_people_have(lived: Desk) -> None:
    found = {unit.pop("unit"): unit for unit in asked(lived)["credits"]}
    truly = {
        unit: figures for unit, figures in truth(lived).credits(BEGINNING, END).items() if not unit.startswith("money:")
    }
    assert found == truly
    own = found["credits"]
    assert min(own[name] for name in ("granted", "spent", "expired", "clawed_back", "outstanding")) > 0
    assert own["outstanding"] == own["granted"] - own["spent"] - own["expired"] - own["clawed_back"]


def test_subscriptions_equal_the_recount(lived: Desk) -> None:
    now = datetime.now(UTC)
    for begins, ends in ((BEGINNING, END), (now + timedelta(days=10), now + timedelta(days=60))):
        found = asked(lived, begins, ends)["subscriptions"]
        truly = truth(lived).subscriptions(begins, ends)
        assert {name: found[name] for name in truly} == truly
    monthly: dict[str, float] = {}
    for row in truth(lived).rows["subscription"]:
        for item in items_of(row) if row["status"] in ("active", "past_due") else []:
            months = MONTHS[item["key"]]
            monthly[item["currency"]] = monthly.get(item["currency"], 0) + item["amount"] * item["quantity"] / months
    assert {one["currency"]: one["amount"] for one in found["mrr"]} == {key: int(n + 0.5) for key, n in monthly.items()}
    assert {"usd", "pln"} <= set(monthly)
    assert found["churned"] >= 1
    assert found["churn_rate"] not in (None, "0.0000")


def test_what_is_kept_is_proved_and_shown_by_the_command(lived: Desk) -> None:
    until(
        lambda: lived.sql("SELECT count(*) AS n FROM stats_mark")[0]["n"] == 0, patience_s=40, what="all days counted"
    )
    before = asked(lived, by="product")
    said = lived.command("stats", "--check")
    assert (said.returncode, said.stderr) == (0, ""), said.stdout
    table = lived.command("stats", "--from", "2020-01-01", "--to", "2100-01-01", "--by", "product").stdout
    assert "credits-10" in table
    assert "outstanding now" in table
    assert lived.command("stats", "--by", "hour").returncode == 2
    lived.sql("UPDATE stats_day SET amount = amount + 1 WHERE figure = 'gross' AND price = 'credits-10'")
    assert lived.command("stats", "--check").returncode == 1
    lived.sql("INSERT INTO stats_mark SELECT DISTINCT day FROM stats_day")
    assert asked(lived, by="product") == before


def test_a_person_is_summed_up(lived: Desk) -> None:
    buyer: Buyer = lived.buyer()
    buyer.buy("plus")

    async def look() -> Json:
        store = await Store.open(lived.settings["DATABASE_URL"], clock=Clock())
        try:
            sold = catalog_file.load(CATALOG, {})
            return (await stats_subscriptions.summary(store, sold.prices, buyer.id)).as_json()
        finally:
            await store.close()

    found = asyncio.run(look())
    (own,) = lived.get("/v1/subscriptions", customer=buyer.id)["data"]
    assert found == {
        "total": 1, "live": 1, "active": 1, "trialing": 0, "past_due": 0, "unpaid": 0, "paused": 0, "canceled": 0,
        "ending": 0, "renews_at": own["items"][0]["current_period_end"], "mrr": [{"currency": "usd", "amount": 1000}],
        "paid": [{"currency": "usd", "gross": 1000, "refunded": 0}],
    }  # fmt: skip

"""Time in the sandbox: month arithmetic, test clocks, restarts, and a whole year with a thousand subscriptions."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from billing_fixtures import Biller, Json, biller, billing_sandbox, moment
from paydesk.sandbox.periods import boundary, next_boundary, previous_boundary
from sandbox_fixtures import running_sandbox


def day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:16]


@pytest.mark.parametrize(
    ("anchor", "interval", "count", "ends"),
    [
        ("2026-01-31T10:00", "month", 1, ["2026-02-28T10:00", "2026-03-31T10:00", "2026-04-30T10:00"]),
        ("2027-11-30T10:00", "month", 3, ["2028-02-29T10:00", "2028-05-30T10:00", "2028-08-30T10:00"]),
        ("2028-02-29T00:00", "year", 1, ["2029-02-28T00:00", "2030-02-28T00:00", "2031-02-28T00:00"]),
        ("2026-12-15T23:59", "week", 2, ["2026-12-29T23:59", "2027-01-12T23:59", "2027-01-26T23:59"]),
        ("2026-03-01T00:00", "day", 10, ["2026-03-11T00:00", "2026-03-21T00:00", "2026-03-31T00:00"]),
    ],
)
def test_periods_end_on_the_anchors_day(anchor: str, interval: str, count: int, ends: list[str]) -> None:
    start = moment(anchor)
    at, found = start, []
    for _ in range(3):
        at = next_boundary(start, interval, count, at)
        found.append(day(at))
        assert previous_boundary(start, interval, count, at) == at
        assert previous_boundary(start, interval, count, at - 1) < at
    assert found == ends
    assert next_boundary(start, interval, count, start - 1) == start
    assert boundary(start, interval, count, 3) == at


def test_renewals_keep_to_the_end_of_the_month(biller: Biller) -> None:
    biller.freeze("2026-01-31T09:00:00")
    subscription = biller.subscribe(biller.customer(), biller.price())
    ends = []
    for to in ("2026-03-01T00:00:00", "2026-04-01T00:00:00", "2026-05-01T00:00:00"):
        biller.advance(to)
        ends.append(day(biller.get(f"subscriptions/{subscription['id']}")["items"]["data"][0]["current_period_end"]))
    assert ends == ["2026-03-31T09:00", "2026-04-30T09:00", "2026-05-31T09:00"]
    starts = [day(one["created"]) for one in biller.all("invoices")[::-1]]
    assert starts == ["2026-01-31T09:00", "2026-02-28T09:00", "2026-03-31T09:00", "2026-04-30T09:00"]


def test_a_test_clock_moves_only_its_own_customers(biller: Biller) -> None:
    price = biller.price()
    outside = biller.subscribe(biller.customer(), price)
    biller.freeze("2026-01-01T00:00:00")
    inside = biller.subscribe(biller.customer(), price)
    assert inside["created"] == moment("2026-01-01T00:00:00")
    assert inside["test_clock"] == biller.clock
    path = f"/v1/test_helpers/test_clocks/{biller.clock}/advance"
    too_far = {"frozen_time": str(moment("2026-03-01T00:00:01"))}
    assert biller.refused("POST", path, too_far) == (400, None, "frozen_time")
    assert biller.refused("POST", path, {"frozen_time": str(moment("2025-12-31T00:00:00"))})[0] == 400
    biller.news()
    biller.advance("2026-02-01T01:00:00")
    news = biller.news()
    assert (news[0], news[-1]) == ("test_helpers.test_clock.advancing", "test_helpers.test_clock.ready")
    assert news.count("invoice.paid") == 1
    assert len(biller.all("invoices", subscription=outside["id"])) == 1
    assert len(biller.all("invoices", subscription=inside["id"])) == 2
    assert len(biller.all("subscriptions", test_clock=biller.clock)) == 1
    assert biller.call("DELETE", path.removesuffix("/advance"))["deleted"]
    assert biller.refused("GET", path.removesuffix("/advance"))[0] == 404


def test_what_is_due_outlives_a_restart(tmp_path: Path) -> None:
    data = str(tmp_path / "stripe.db")
    with running_sandbox("--data", data) as first:
        biller = Biller(first)
        running = biller.subscribe(biller.customer(), biller.price())["id"]
        biller.freeze("2026-01-01T00:00:00")
        clocked = biller.subscribe(biller.customer(), biller.price(), trial_period_days="5")["id"]
        first.stop()
    with running_sandbox("--data", data) as second:
        again = Biller(type(first)(second.port, second.process, first.key), clock=biller.clock)
        again.advance("2026-01-06T02:00:00")
        assert again.get(f"subscriptions/{clocked}")["status"] == "active"
        second.advance("40d")
        assert [one["status"] for one in again.all("invoices", subscription=running)] == ["paid", "paid"]
        assert len(again.all("invoices", subscription=clocked)) == 2


def _thousand(api: httpx.Client) -> None:
    """700 that pay, 150 whose card fails after a trial, 100 that end during their third month, 50 yearly."""

    def post(path: str, **params: str) -> Json:
        answer = api.post("/v1/" + path, data=params)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def price(interval: str) -> str:
        return str(post("prices", currency="usd", unit_amount="1000",
                        **{"recurring[interval]": interval, "product_data[name]": "Gold"})["id"])  # fmt: skip

    month, year = price("month"), price("year")
    for place in range(1000):
        customer = post("customers")["id"]
        card = "pm_card_chargeCustomerFail" if 700 <= place < 850 else "pm_card_visa"
        more = {"default_payment_method": post(f"payment_methods/{card}/attach", customer=customer)["id"]}
        more |= {"trial_period_days": "10"} if 700 <= place < 850 else {}
        more |= {"items[0][price]": year if place >= 950 else month}
        made = post("subscriptions", customer=customer, **more)
        if 850 <= place < 950:
            ends = made["items"]["data"][0]["current_period_end"] + 35 * 86400
            post(f"subscriptions/{made['id']}", cancel_at=str(ends))


def test_a_year_with_a_thousand_subscriptions_has_the_numbers_computed_by_hand() -> None:
    """In the 364 days after the first, a monthly cycle has 11 further beginnings and a yearly one none.

    700 pay 12 times. 150 have a trial invoice of nothing, then one that fails 9 times (once and 8 retries) and ends
    the subscription. 100 pay the first month and the beginnings 1 and 2 before they end 35 days after the first
    month. 50 pay once.
    """
    with running_sandbox() as running, running.http() as api:
        _thousand(api)
        answer = httpx.post(f"{running.url}/_sandbox/clock", json={"advance": "364d"}, timeout=600)
        assert answer.status_code == 200
        paid = 700 * 12 + 100 * 3 + 50
        counts = httpx.get(f"{running.url}/_sandbox/state", timeout=60).json()["counts"]
        assert counts["invoice"] == paid + 150 * 2
        assert counts["payment_intent"] == counts["invoice_payment"] == paid + 150
        assert counts["charge"] == paid + 150 * 9
        assert counts["balance_transaction"] == paid

        def ids(path: str, **params: str) -> int:
            found, last = 0, ""
            while True:
                after = {"starting_after": last} if last else {}
                page = api.get("/v1/" + path, params={"limit": "100", **params, **after})
                data = page.json()["data"]
                found += len(data)
                if not page.json()["has_more"]:
                    return found
                last = data[-1]["id"]

        assert ids("invoices", status="paid") == paid + 150
        assert ids("invoices", status="open") == 150
        assert ids("subscriptions", status="active") == 750
        assert ids("subscriptions", status="canceled") == 250

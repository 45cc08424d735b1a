"""Subscription schedules: a change at the end of the period, phases on the clock, and their ends."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from typing import Any

import pytest

from billing_fixtures import Biller, biller, billing_sandbox, moment


def downgraded(biller: Biller, **more: str) -> tuple[dict[str, Any], str, str]:
    """A subscription for 30.00 with a schedule that goes down to 10.00 at the end of the period."""
    biller.freeze("2026-04-01T00:00:00")
    customer, big, small = biller.customer(), biller.price(3000), biller.price(1000)
    subscription = biller.subscribe(customer, big)
    schedule = biller.post("subscription_schedules", from_subscription=subscription["id"])
    first = schedule["phases"][0]
    biller.post(f"subscription_schedules/{schedule['id']}", **{
        "phases[0][items][0][price]": big, "phases[0][start_date]": str(first["start_date"]),
        "phases[0][end_date]": str(first["end_date"]), "phases[1][items][0][price]": small,
        "phases[1][proration_behavior]": "none", "phases[1][duration][interval]": "month", **more,
    })  # fmt: skip
    return subscription, str(schedule["id"]), small


def prices(biller: Biller, subscription: dict[str, Any]) -> list[str]:
    now = biller.get(f"subscriptions/{subscription['id']}")
    return [item["price"]["id"] for item in now["items"]["data"]]


def test_a_downgrade_waits_for_the_end_of_the_period_and_is_not_prorated(biller: Biller) -> None:
    subscription, schedule, small = downgraded(biller)
    shown = biller.get(f"subscription_schedules/{schedule}", **{"expand[0]": "subscription"})
    assert (shown["status"], shown["end_behavior"]) == ("active", "release")
    assert shown["subscription"]["schedule"] == schedule
    assert shown["current_phase"] == {
        "start_date": moment("2026-04-01T00:00:00"),
        "end_date": moment("2026-05-01T00:00:00"),
    }
    biller.advance("2026-04-30T23:00:00")
    assert prices(biller, subscription) != [small]
    biller.news()
    biller.advance("2026-05-01T02:00:00")
    assert prices(biller, subscription) == [small]
    news = biller.news()
    assert "subscription_schedule.updated" in news
    invoices = biller.all("invoices", subscription=subscription["id"])
    assert [(one["billing_reason"], one["amount_paid"]) for one in invoices] == [
        ("subscription_cycle", 1000), ("subscription_create", 3000),
    ]  # fmt: skip
    biller.advance("2026-06-01T02:00:00")
    assert {"subscription_schedule.expiring", "subscription_schedule.released"} <= set(biller.news())
    ended = biller.get(f"subscription_schedules/{schedule}")
    assert (ended["status"], ended["subscription"], ended["released_subscription"]) == (
        "released", None, subscription["id"],
    )  # fmt: skip
    left = biller.get(f"subscriptions/{subscription['id']}")
    assert (left["status"], left["schedule"], prices(biller, subscription)) == ("active", None, [small])


def test_a_schedule_that_cancels_ends_its_subscription(biller: Biller) -> None:
    subscription, schedule, _ = downgraded(biller, end_behavior="cancel")
    biller.advance("2026-05-15T00:00:00")
    assert biller.get(f"subscriptions/{subscription['id']}")["cancel_at"] == moment("2026-06-01T00:00:00")
    biller.advance("2026-06-01T02:00:00")
    assert biller.get(f"subscriptions/{subscription['id']}")["status"] == "canceled"
    assert biller.get(f"subscription_schedules/{schedule}")["status"] == "completed"


def test_a_scheduled_subscription_is_not_canceled_past_its_schedule_and_can_be_released(biller: Biller) -> None:
    subscription, schedule, _ = downgraded(biller)
    path = f"/v1/subscriptions/{subscription['id']}"
    refusal = biller.refused("POST", path, {"cancel_at_period_end": "true"})
    assert refusal[::2] == (400, "cancel_at_period_end")
    assert biller.post(f"subscription_schedules/{schedule}/release")["status"] == "released"
    biller.post(f"subscriptions/{subscription['id']}", cancel_at_period_end="true")
    biller.advance("2026-05-01T02:00:00")
    assert biller.get(f"subscriptions/{subscription['id']}")["status"] == "canceled"
    assert biller.refused("POST", f"/v1/subscription_schedules/{schedule}/release")[0] == 400


def test_a_canceled_subscription_takes_its_schedule_along_and_the_other_way_round(biller: Biller) -> None:
    subscription, schedule, _ = downgraded(biller)
    biller.call("DELETE", f"/v1/subscriptions/{subscription['id']}")
    assert biller.get(f"subscription_schedules/{schedule}")["status"] == "canceled"
    other, second, _ = downgraded(biller)
    biller.news()
    assert biller.post(f"subscription_schedules/{second}/cancel", invoice_now="false")["status"] == "canceled"
    assert biller.get(f"subscriptions/{other['id']}")["status"] == "canceled"
    assert "subscription_schedule.canceled" in biller.news()


def test_a_schedule_begins_a_subscription_in_its_time(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer, price, more = biller.customer(), biller.price(1000), biller.price(2000)
    schedule = biller.post("subscription_schedules", customer=customer, start_date=str(moment("2026-04-10T00:00:00")), **{
        "phases[0][items][0][price]": price, "phases[0][items][0][quantity]": "2", "phases[0][iterations]": "2",
        "phases[1][items][0][price]": more, "metadata[plan]": "grow",
    })  # fmt: skip
    assert (schedule["status"], schedule["subscription"], schedule["metadata"]) == (
        "not_started",
        None,
        {"plan": "grow"},
    )
    assert [one["end_date"] for one in schedule["phases"]] == [
        moment("2026-06-10T00:00:00"),
        moment("2026-07-10T00:00:00"),
    ]
    assert biller.all("subscription_schedules", scheduled="true")
    biller.advance("2026-04-10T00:00:00")
    running = biller.get(f"subscription_schedules/{schedule['id']}")
    subscription = biller.get(f"subscriptions/{running['subscription']}")
    assert (running["status"], subscription["status"], subscription["schedule"]) == ("active", "active", schedule["id"])
    biller.advance("2026-05-10T02:00:00")
    biller.advance("2026-06-10T02:00:00")
    paid = [one["amount_paid"] for one in biller.all("invoices", subscription=subscription["id"])]
    assert paid == [2000, 2000, 2000]
    assert prices(biller, subscription) == [more]


def test_a_change_of_the_current_phase_holds_at_once(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer, small, big = biller.customer(), biller.price(1000), biller.price(3000)
    schedule = biller.post("subscription_schedules", customer=customer, start_date="now",
                           **{"phases[0][items][0][price]": small})  # fmt: skip
    first = schedule["phases"][0]
    biller.advance("2026-04-16T00:00:00")
    biller.post(f"subscription_schedules/{schedule['id']}", proration_behavior="always_invoice", **{
        "phases[0][items][0][price]": big, "phases[0][start_date]": str(first["start_date"]),
        "phases[0][end_date]": str(first["end_date"])})  # fmt: skip
    assert biller.all("invoices")[0]["total"] == 1000, "half of 30.00 less half of 10.00"


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({}, "customer"),
        ({"customer": "CUSTOMER"}, "phases"),
        ({"customer": "CUSTOMER", "phases[0][items][0][price]": "price_none"}, "phases[0][items][0][price]"),
        ({"customer": "CUSTOMER", "phases[0][items][0][price]": "PRICE", "phases[0][end_date]": "5"}, "phases[0][end_date]"),
        ({"customer": "CUSTOMER", "phases[0][items][0][price]": "PRICE", "phases[0][trial]": "true"}, "phases[0][trial]"),
        ({"customer": "CUSTOMER", "from_subscription": "sub_1"}, "customer"),
        ({"from_subscription": "sub_none"}, "from_subscription"),
    ],
)  # fmt: skip
def test_what_cannot_be_scheduled_is_refused(biller: Biller, given: dict[str, str], param: str) -> None:
    known = {"CUSTOMER": biller.customer(), "PRICE": biller.price()}
    params = {name: known.get(value, value) for name, value in given.items()}
    assert biller.refused("POST", "/v1/subscription_schedules", params)[::2] == (400, param)
    assert biller.all("subscription_schedules") == []


def test_what_a_schedule_names_is_expanded(biller: Biller) -> None:
    _, schedule, small = downgraded(biller)
    more = {"expand[0]": "phases.items.price", "expand[1]": "customer", "expand[2]": "phases.items.plan"}
    shown = biller.get(f"subscription_schedules/{schedule}", **more)
    assert shown["customer"]["object"] == "customer"
    assert shown["phases"][1]["items"][0]["price"]["id"] == small

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
        ({"customer": "CUSTOMER", "phases[0][items][0][price]": "PRICE", "phases[0][trial]": "true",
          "phases[0][trial_end]": "4102444800"}, "phases[0][trial_end]"),
        ({"customer": "CUSTOMER", "phases[0][items][0][price]": "PRICE", "phases[0][trial_end]": "4102444800"},
         "phases[0][trial_end]"),
        ({"customer": "CUSTOMER", "phases[0][items][0][price]": "PRICE", "phases[0][trial]": "true",
          "phases[0][billing_cycle_anchor]": "phase_start"}, "phases[0][billing_cycle_anchor]"),
        ({"customer": "CUSTOMER", "phases[0][items][0][price]": "PRICE", "phases[0][discounts][0][coupon]": "none"},
         "phases[0][discounts][0][coupon]"),
        ({"customer": "CUSTOMER", "phases[0][items][0][price]": "PRICE",
          "phases[0][items][0][discounts][0][coupon]": "none"}, "phases[0][items][0][discounts][0][coupon]"),
        ({"customer": "CUSTOMER", "phases[0][items][0][price]": "PRICE",
          "phases[0][add_invoice_items][0][price]": "PRICE"}, "phases[0][add_invoice_items][0][price]"),
        ({"customer": "CUSTOMER", "phases[0][items][0][price]": "PRICE", "phases[0][tax]": "1"}, "phases[0][tax]"),
        ({"customer": "CUSTOMER", "from_subscription": "sub_1"}, "customer"),
        ({"from_subscription": "sub_none"}, "from_subscription"),
    ],
)  # fmt: skip
def test_what_cannot_be_scheduled_is_refused(biller: Biller, given: dict[str, str], param: str) -> None:
    known = {"CUSTOMER": biller.customer(), "PRICE": biller.price()}
    params = {name: known.get(value, value) for name, value in given.items()}
    assert biller.refused("POST", "/v1/subscription_schedules", params)[::2] == (400, param)
    assert biller.all("subscription_schedules") == []


def scheduled(biller: Biller, customer: str, **phases: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A schedule that begins now, and its subscription."""
    given = {f"phases{name}": value for name, value in phases.items()}
    schedule = biller.post("subscription_schedules", customer=customer, start_date="now", **given)
    return schedule, biller.get(f"subscriptions/{schedule['subscription']}")


def bills(biller: Biller, subscription: dict[str, Any]) -> list[tuple[str, int, str]]:
    """Reason, total and status of the invoices of a subscription, oldest first."""
    rows = biller.all("invoices", subscription=subscription["id"])[::-1]
    return [(one["billing_reason"], one["total"], one["status"]) for one in rows]


def test_the_first_invoice_of_a_schedule_is_a_draft_for_an_hour(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    schedule, subscription = scheduled(biller, biller.customer(), **{"[0][items][0][price]": biller.price(1000)})
    assert (schedule["status"], subscription["status"]) == ("active", "active")
    assert bills(biller, subscription) == [("subscription_create", 1000, "draft")]
    biller.advance("2026-04-01T01:30:00")
    assert bills(biller, subscription) == [("subscription_create", 1000, "paid")]
    poor, unpaid = scheduled(biller, biller.customer("pm_card_chargeCustomerFail"),
                             **{"[0][items][0][price]": biller.price(1000)})  # fmt: skip
    biller.advance("2026-04-01T03:30:00")
    assert biller.get(f"subscriptions/{unpaid['id']}")["status"] == "past_due", "as after a renewal that fails"
    assert biller.get(f"invoices/{unpaid['latest_invoice']}")["next_payment_attempt"]
    assert biller.get(f"subscription_schedules/{poor['id']}")["status"] == "active"


def test_a_phase_is_a_trial_whole_or_in_part(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer, small, big = biller.customer(), biller.price(1000), biller.price(3000)
    schedule, whole = scheduled(biller, customer, **{
        "[0][items][0][price]": small, "[0][trial]": "true", "[0][duration][interval]": "month",
        "[1][items][0][price]": big, "[1][duration][interval]": "month"})  # fmt: skip
    assert schedule["phases"][0]["trial_end"] == schedule["phases"][0]["end_date"] == whole["trial_end"]
    until = moment("2026-04-08T00:00:00")
    _, part = scheduled(biller, customer, **{"[0][items][0][price]": small, "[0][trial_end]": str(until)})
    assert (whole["status"], part["status"], part["trial_end"]) == ("trialing", "trialing", until)
    biller.advance("2026-04-08T02:00:00")
    assert bills(biller, part) == [("subscription_create", 0, "paid"), ("subscription_cycle", 1000, "paid")]
    biller.advance("2026-05-01T02:00:00")
    assert biller.get(f"subscriptions/{whole['id']}")["status"] == "active"
    assert bills(biller, whole) == [("subscription_create", 0, "paid"), ("subscription_cycle", 3000, "paid")]
    assert prices(biller, whole) == [big]


def test_a_later_phase_begins_a_trial_and_one_is_taken_away(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    price = biller.price(1000)
    schedule, subscription = scheduled(biller, biller.customer(), **{
        "[0][items][0][price]": price, "[0][duration][interval]": "month",
        "[1][items][0][price]": price, "[1][duration][interval]": "month",
        "[1][trial_end]": str(moment("2026-05-11T00:00:00"))})  # fmt: skip
    biller.advance("2026-05-01T02:00:00")
    now = biller.get(f"subscriptions/{subscription['id']}")
    assert (now["status"], now["trial_start"], now["trial_end"]) == (
        "trialing", moment("2026-05-01T00:00:00"), moment("2026-05-11T00:00:00"),
    )  # fmt: skip
    begun, ends = (str(schedule["phases"][1][name]) for name in ("start_date", "end_date"))
    changed = biller.post(f"subscription_schedules/{schedule['id']}", **{
        "phases[0][items][0][price]": price, "phases[0][start_date]": begun, "phases[0][end_date]": ends})  # fmt: skip
    assert [one["trial_end"] for one in changed["phases"]] == [None, None], "what is over stays, what runs has changed"
    assert biller.get(f"subscriptions/{subscription['id']}")["status"] == "active"
    assert bills(biller, subscription)[-1] == ("subscription_update", 1000, "paid")


def test_the_discounts_of_a_phase_end_with_it(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    price = biller.price(1000)
    half = biller.post("coupons", percent_off="50", duration="forever")["id"]
    off = biller.post("coupons", amount_off="100", currency="usd", duration="forever")["id"]
    schedule, subscription = scheduled(biller, biller.customer(), **{
        "[0][items][0][price]": price, "[0][discounts][0][coupon]": half,
        "[1][items][0][price]": price, "[1][items][0][discounts][0][coupon]": off, "[2][items][0][price]": price})  # fmt: skip
    assert schedule["phases"][0]["discounts"] == [{"coupon": half, "discount": None, "promotion_code": None}]
    assert schedule["phases"][1]["items"][0]["discounts"] == [
        {"coupon": off, "discount": None, "promotion_code": None},
    ]  # fmt: skip
    assert len(subscription["discounts"]) == 1
    for month in ("04", "05", "06"):
        biller.advance(f"2026-{month}-01T02:00:00")
    assert [total for _, total, _ in bills(biller, subscription)] == [500, 900, 1000]
    left = biller.get(f"subscriptions/{subscription['id']}")
    assert (left["discounts"], left["items"]["data"][0]["discounts"]) == ([], [])
    news = biller.news()
    assert (news.count("customer.discount.created"), news.count("customer.discount.deleted")) == (2, 1)
    assert [biller.get(f"coupons/{one}")["times_redeemed"] for one in (half, off)] == [1, 1]


def test_a_change_of_the_current_phase_redeems_its_coupon_only_once(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    price, coupon = biller.price(1000), biller.post("coupons", percent_off="50", duration="once")["id"]
    schedule, subscription = scheduled(biller, biller.customer(), **{
        "[0][items][0][price]": price, "[0][discounts][0][coupon]": coupon})  # fmt: skip
    first = schedule["phases"][0]
    biller.post(f"subscription_schedules/{schedule['id']}", **{
        "phases[0][items][0][price]": price, "phases[0][discounts][0][coupon]": coupon,
        "phases[0][description]": "Gold", "phases[0][start_date]": str(first["start_date"]),
        "phases[0][end_date]": str(first["end_date"])})  # fmt: skip
    assert biller.get(f"subscriptions/{subscription['id']}")["description"] == "Gold"
    assert biller.get(f"coupons/{coupon}")["times_redeemed"] == 1


@pytest.mark.parametrize(("given", "total"), [({}, 900), ({"[0][discounts]": ""}, 1000)])
def test_a_phase_has_the_customers_discount_unless_it_has_none_at_all(
    biller: Biller, given: dict[str, str], total: int
) -> None:
    biller.freeze("2026-04-01T00:00:00")
    coupon = biller.post("coupons", percent_off="10", duration="forever")["id"]
    customer = biller.customer()
    old = biller.sandbox.call("POST", f"/v1/customers/{customer}", {"coupon": coupon}, Stripe_Version="2023-10-16")
    assert old.status_code == 200
    _, subscription = scheduled(biller, customer, **{"[0][items][0][price]": biller.price(1000), **given})
    biller.advance("2026-04-01T02:00:00")
    assert bills(biller, subscription) == [("subscription_create", total, "paid")]


@pytest.mark.parametrize(
    ("behavior", "expected"),
    [("none", [("subscription_cycle", 3000, "paid")]),
     ("create_prorations", [("subscription_cycle", 4000, "paid")]),
     ("always_invoice", [("subscription_update", 1000, "paid"), ("subscription_cycle", 3000, "paid")])],
)  # fmt: skip
def test_a_phase_that_begins_within_a_period_prorates_as_it_says(
    biller: Biller, behavior: str, expected: list[tuple[str, int, str]]
) -> None:
    biller.freeze("2026-04-01T00:00:00")
    small, big = biller.price(1000), biller.price(3000)
    _, subscription = scheduled(biller, biller.customer(), **{
        "[0][items][0][price]": small, "[0][end_date]": str(moment("2026-04-16T00:00:00")),
        "[1][items][0][price]": big, "[1][proration_behavior]": behavior})  # fmt: skip
    biller.advance("2026-04-16T02:00:00")
    assert prices(biller, subscription) == [big]
    if behavior == "always_invoice":
        lines = biller.get(f"invoices/{biller.all('invoices')[0]['id']}")["lines"]["data"]
        shown = [(one["amount"], one["parent"]["type"], one["parent"]["subscription_item_details"]["proration"])
                 for one in lines]  # fmt: skip
        assert shown == [(-500, "subscription_item_details", True), (1500, "subscription_item_details", True)]
        assert {one["parent"]["subscription_item_details"]["subscription"] for one in lines} == {subscription["id"]}
    biller.advance("2026-05-01T02:00:00")
    assert bills(biller, subscription)[1:] == expected


def test_the_last_phase_that_cancels_within_a_period_costs_its_part(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    schedule = biller.post("subscription_schedules", customer=biller.customer(), start_date="now", end_behavior="cancel", **{
        "phases[0][items][0][price]": biller.price(3000), "phases[0][end_date]": str(moment("2026-05-16T12:00:00"))})  # fmt: skip
    subscription = biller.get(f"subscriptions/{schedule['subscription']}")
    assert subscription["cancel_at"] == moment("2026-05-16T12:00:00")
    for to in ("2026-05-01T02:00:00", "2026-05-16T14:00:00"):
        biller.advance(to)
    assert bills(biller, subscription) == [("subscription_create", 3000, "paid"), ("subscription_cycle", 1500, "paid")]
    assert biller.get(f"subscriptions/{subscription['id']}")["status"] == "canceled"
    assert biller.get(f"subscription_schedules/{schedule['id']}")["status"] == "completed"


def test_a_phase_ends_now_and_the_next_one_begins(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    small, big, extra = biller.price(1000), biller.price(3000), biller.price(700, interval="")
    schedule, subscription = scheduled(biller, biller.customer(), **{
        "[0][items][0][price]": small, "[0][metadata][plan]": "small", "[0][metadata][by]": "us"})  # fmt: skip
    biller.advance("2026-04-16T00:00:00")
    now = str(moment("2026-04-16T00:00:00"))
    changed = biller.post(f"subscription_schedules/{schedule['id']}", **{
        "phases[0][items][0][price]": small, "phases[0][start_date]": str(schedule["phases"][0]["start_date"]),
        "phases[0][end_date]": "now", "phases[1][items][0][price]": big, "phases[1][start_date]": "now",
        "phases[1][proration_behavior]": "always_invoice", "phases[1][add_invoice_items][0][price]": extra,
        "phases[1][metadata][plan]": "big", "phases[1][metadata][by]": ""})  # fmt: skip
    assert changed["current_phase"]["start_date"] == int(now)
    assert bills(biller, subscription)[-1] == ("subscription_update", 1700, "paid"), "15.00 less 5.00, and 7.00"
    assert biller.get(f"subscriptions/{subscription['id']}")["metadata"] == {"plan": "big"}
    biller.advance("2026-05-17T00:00:00")
    assert biller.get(f"subscription_schedules/{schedule['id']}")["status"] == "released"


def test_a_schedule_made_of_a_subscription_shows_its_trial_and_discounts(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    coupon = biller.post("coupons", percent_off="50", duration="forever")["id"]
    subscription = biller.subscribe(biller.customer(), biller.price(1000), trial_period_days="7",
                                    **{"discounts[0][coupon]": coupon})  # fmt: skip
    schedule = biller.post("subscription_schedules", from_subscription=subscription["id"])
    first = schedule["phases"][0]
    assert first["trial_end"] == subscription["trial_end"]
    assert first["discounts"] == [{"coupon": None, "discount": subscription["discounts"][0], "promotion_code": None}]
    shown = biller.get(f"subscription_schedules/{schedule['id']}", **{"expand[0]": "phases.discounts.discount"})
    assert shown["phases"][0]["discounts"][0]["discount"]["source"]["coupon"] == coupon


def test_what_a_phase_does_not_say_the_schedule_says_for_all(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    schedule = biller.post("subscription_schedules", customer=biller.customer(), start_date="now", **{
        "phases[0][items][0][price]": biller.price(1000), "default_settings[collection_method]": "send_invoice",
        "default_settings[invoice_settings][days_until_due]": "10", "default_settings[invoice_settings][footer]": "Thanks",
        "default_settings[automatic_tax][enabled]": "true", "phases[0][invoice_settings][footer]": "Bye"})  # fmt: skip
    assert schedule["default_settings"]["invoice_settings"]["days_until_due"] == 10
    assert schedule["default_settings"]["automatic_tax"]["enabled"] is True
    subscription = biller.get(f"subscriptions/{schedule['subscription']}")
    assert (subscription["collection_method"], subscription["invoice_settings"]["footer"]) == ("send_invoice", "Bye")


def test_what_a_schedule_names_is_expanded(biller: Biller) -> None:
    _, schedule, small = downgraded(biller)
    more = {"expand[0]": "phases.items.price", "expand[1]": "customer", "expand[2]": "phases.items.plan"}
    shown = biller.get(f"subscription_schedules/{schedule}", **more)
    assert shown["customer"]["object"] == "customer"
    assert shown["phases"][1]["items"][0]["price"]["id"] == small


@pytest.mark.parametrize("place", ["default_settings", "phases[0]"])
def test_a_schedule_pays_with_a_method_of_its_own_customer(biller: Biller, place: str) -> None:
    other = biller.get(f"customers/{biller.customer()}")["invoice_settings"]["default_payment_method"]
    customer, field = biller.customer(), f"{place}[default_payment_method]"
    given = {"customer": customer, "phases[0][items][0][price]": biller.price(), "phases[0][iterations]": "1"}
    answer = biller.sandbox.call("POST", "/v1/subscription_schedules", {**given, field: other})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)
    own = biller.get(f"customers/{customer}")["invoice_settings"]["default_payment_method"]
    assert biller.post("subscription_schedules", **given, **{field: own})["status"] == "active"


def test_a_schedule_whose_subscription_is_canceled_for_want_of_money_is_aborted(biller: Biller) -> None:
    subscription, schedule, _ = downgraded(biller)
    failing = biller.post("payment_methods/pm_card_chargeCustomerFail/attach", customer=subscription["customer"])["id"]
    biller.post(f"subscriptions/{subscription['id']}", default_payment_method=failing)
    biller.news()
    biller.advance("2026-05-30T00:00:00")
    assert biller.get(f"subscriptions/{subscription['id']}")["cancellation_details"]["reason"] == "payment_failed"
    assert biller.get(f"subscription_schedules/{schedule}")["status"] == "canceled"
    news = biller.news()
    assert "subscription_schedule.aborted" in news
    assert "subscription_schedule.canceled" not in news

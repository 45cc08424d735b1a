"""The billing cycle of new subscriptions: given anchors, days of the month, short months, and the first part of a period."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from typing import Any

import pytest

from billing_fixtures import Biller, biller, billing_sandbox, moment
from sandbox_fixtures import confirm


def ends(biller: Biller, subscription: dict[str, Any]) -> int:
    """When the period that runs now is over."""
    return int(biller.get(f"subscriptions/{subscription['id']}")["items"]["data"][0]["current_period_end"])


def first_total(biller: Biller, subscription: dict[str, Any]) -> int:
    return int(biller.get(f"invoices/{subscription['latest_invoice']}")["total"])


def test_a_day_of_the_month_is_kept_through_short_months(biller: Biller) -> None:
    biller.freeze("2026-01-17T12:00:00")
    customer, price = biller.customer(), biller.price(3100)
    made = biller.subscribe(customer, price, **{"billing_cycle_anchor_config[day_of_month]": "31"})
    assert made["billing_cycle_anchor"] == moment("2026-01-31T12:00:00")
    assert made["billing_cycle_anchor_config"] == {
        "day_of_month": 31, "hour": None, "minute": None, "month": None, "second": None,
    }  # fmt: skip
    assert first_total(biller, made) == 1400, "14 of the 31 days from 31 December"
    for end in ("2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"):
        assert ends(biller, made) == moment(f"{end}T12:00:00")
        biller.advance(f"{end}T13:30:00")
    totals = [one["total"] for one in biller.all("invoices", subscription=made["id"])]
    assert totals == [3100, 3100, 3100, 3100, 1400]


@pytest.mark.parametrize(
    ("start", "interval", "count", "config", "anchor", "first_end"),
    [
        ("2026-02-10T08:00:00", "month", "1", {"day_of_month": "31"}, "2026-03-31T08:00:00", "2026-02-28T08:00:00"),
        ("2028-02-10T08:00:00", "month", "1", {"day_of_month": "30"}, "2028-03-30T08:00:00", "2028-02-29T08:00:00"),
        ("2026-02-10T08:00:00", "month", "2", {"day_of_month": "31"}, "2026-08-31T08:00:00", "2026-02-28T08:00:00"),
        ("2026-02-10T08:00:00", "year", "1", {"day_of_month": "1", "month": "7"}, "2026-07-01T08:00:00",
         "2026-07-01T08:00:00"),
        ("2026-09-10T08:00:00", "year", "1", {"day_of_month": "29", "month": "2"}, "2028-02-29T08:00:00",
         "2027-02-28T08:00:00"),
        ("2026-05-15T12:30:00", "month", "1", {"day_of_month": "15", "hour": "12", "minute": "30", "second": "0"},
         "2026-06-15T12:30:00", "2026-06-15T12:30:00"),
        ("2026-05-15T12:30:00", "month", "1", {"day_of_month": "15", "hour": "12", "minute": "30", "second": "1"},
         "2026-05-15T12:30:01", "2026-05-15T12:30:01"),
        ("2026-05-15T12:30:00", "month", "3", {"day_of_month": "1", "month": "1"}, "2027-01-01T12:30:00",
         "2026-07-01T12:30:00"),
    ],
)  # fmt: skip
def test_the_anchor_is_the_next_occurrence_and_the_first_period_ends_within_one_interval(
    biller: Biller, start: str, interval: str, count: str, config: dict[str, str], anchor: str, first_end: str
) -> None:
    biller.freeze(start)
    customer, price = biller.customer(), biller.price(1200, interval, **{"recurring[interval_count]": count})
    given = {f"billing_cycle_anchor_config[{name}]": value for name, value in config.items()}
    made = biller.subscribe(customer, price, **given)
    item = made["items"]["data"][0]
    assert (made["billing_cycle_anchor"], item["current_period_end"]) == (moment(anchor), moment(first_end))
    assert item["current_period_start"] == moment(start)


def test_a_part_of_a_period_without_proration_is_free_and_has_no_invoice(biller: Biller) -> None:
    biller.freeze("2026-04-16T00:00:00")
    customer, price = biller.customer(card=None), biller.price(3000)
    made = biller.subscribe(customer, price, proration_behavior="none",
                            **{"billing_cycle_anchor_config[day_of_month]": "1"})  # fmt: skip
    assert (made["status"], made["latest_invoice"]) == ("active", None)
    assert biller.all("invoices") == []
    assert "invoice.created" not in biller.news()
    method = biller.post("payment_methods/pm_card_visa/attach", customer=customer)["id"]
    biller.post(f"subscriptions/{made['id']}", default_payment_method=method)
    biller.advance("2026-05-01T02:00:00")
    assert [(one["total"], one["billing_reason"], one["status"]) for one in biller.all("invoices")] == [
        (3000, "subscription_cycle", "paid"),
    ]  # fmt: skip
    again = biller.subscribe(customer, biller.price(700), proration_behavior="none", **{
        "billing_cycle_anchor_config[day_of_month]": "20", "default_payment_method": method,
        "add_invoice_items[0][price]": biller.price(500, interval="")})  # fmt: skip
    assert first_total(biller, again) == 500, "what is sold beside it is paid for"


def test_a_whole_first_period_costs_whole_whatever_is_said_of_prorations(biller: Biller) -> None:
    biller.freeze("2026-04-16T00:00:00")
    made = biller.subscribe(biller.customer(), biller.price(3000), proration_behavior="none",
                            **{"billing_cycle_anchor_config[day_of_month]": "16"})  # fmt: skip
    assert (first_total(biller, made), ends(biller, made)) == (3000, moment("2026-05-16T00:00:00"))


def test_a_cycle_that_begins_anew_has_no_day_of_its_own_any_more(biller: Biller) -> None:
    biller.freeze("2026-04-16T00:00:00")
    made = biller.subscribe(biller.customer(), biller.price(3000),
                            **{"billing_cycle_anchor_config[day_of_month]": "1"})  # fmt: skip
    biller.advance("2026-04-20T00:00:00")
    changed = biller.post(f"subscriptions/{made['id']}", **{"billing_cycle_anchor[type]": "now"})
    assert (changed["billing_cycle_anchor"], changed["billing_cycle_anchor_config"]) == (
        moment("2026-04-20T00:00:00"), None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"billing_cycle_anchor_config[day_of_month]": "32"}, "billing_cycle_anchor_config[day_of_month]"),
        ({"billing_cycle_anchor_config[day_of_month]": "0"}, "billing_cycle_anchor_config[day_of_month]"),
        ({"billing_cycle_anchor_config[hour]": "1"}, "billing_cycle_anchor_config[day_of_month]"),
        ({"billing_cycle_anchor_config[day_of_month]": "1", "billing_cycle_anchor_config[hour]": "24"},
         "billing_cycle_anchor_config[hour]"),
        ({"billing_cycle_anchor_config[day_of_month]": "1", "billing_cycle_anchor": "4102444800"},
         "billing_cycle_anchor_config"),
        ({"billing_cycle_anchor_config[day_of_month]": "1", "items[0][price]": "WEEKLY"}, "billing_cycle_anchor_config"),
        ({"billing_cycle_anchor": "4102444800"}, "billing_cycle_anchor"),
        ({"billing_cycle_anchor": "1000"}, "billing_cycle_anchor"),
    ],
)  # fmt: skip
def test_what_cannot_be_an_anchor_is_refused(biller: Biller, given: dict[str, str], param: str) -> None:
    weekly = biller.price(interval="week")
    params = {"customer": biller.customer(), "items[0][price]": biller.price(),
              **{name: weekly if value == "WEEKLY" else value for name, value in given.items()}}  # fmt: skip
    assert biller.refused("POST", "/v1/subscriptions", params)[::2] == (400, param)
    assert biller.all("subscriptions") == []


@pytest.mark.parametrize("prorates", [True, False])
def test_checkout_takes_what_the_first_invoice_asks(biller: Biller, prorates: bool) -> None:
    behavior = {} if prorates else {"subscription_data[proration_behavior]": "none"}
    session = biller.post("checkout/sessions", mode="subscription", success_url="https://shop.example", **behavior, **{
        "line_items[0][price]": biller.price(100_000), "line_items[0][quantity]": "2",
        "subscription_data[billing_cycle_anchor_config][day_of_month]": "31"})  # fmt: skip
    assert (0 < session["amount_total"] < 200_000) if prorates else session["amount_total"] == 0
    paid = confirm(biller.sandbox, session["id"])
    assert paid.status_code == 200, paid.text
    subscription = biller.get(f"checkout/sessions/{session['id']}", **{"expand[0]": "subscription.latest_invoice"})[
        "subscription"
    ]
    assert subscription["billing_cycle_anchor_config"]["day_of_month"] == 31
    invoice = subscription["latest_invoice"]
    if prorates:
        charge = biller.all("charges")[0]
        assert invoice["total"] == invoice["amount_paid"] == charge["amount"] == session["amount_total"]
    else:
        assert (invoice, biller.all("charges")) == (None, [])


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"[billing_cycle_anchor]": "4102444800"}, "[billing_cycle_anchor]"),
        ({"[billing_cycle_anchor_config][day_of_month]": "1", "[trial_period_days]": "7"}, "[billing_cycle_anchor_config]"),
        ({"[billing_cycle_anchor_config][day_of_month]": "1", "[billing_cycle_anchor]": "4102444800"},
         "[billing_cycle_anchor_config]"),
        ({"[billing_cycle_anchor_config][day_of_month]": "1", "[proration_behavior]": "none"}, "[proration_behavior]"),
    ],
)  # fmt: skip
def test_what_checkout_cannot_anchor_is_refused(biller: Biller, given: dict[str, str], param: str) -> None:
    params = {"mode": "subscription", "success_url": "https://shop.example",
              "line_items[0][price]": biller.price(), "line_items[0][quantity]": "1",
              "line_items[1][price]": biller.price(interval=""), "line_items[1][quantity]": "1",
              **{f"subscription_data{name}": value for name, value in given.items()}}  # fmt: skip
    assert biller.refused("POST", "/v1/checkout/sessions", params)[::2] == (400, f"subscription_data{param}")

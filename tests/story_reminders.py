"""Reminders come before something happens, once each, and not where they no longer apply; what nobody told is looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import httpx
import pytest

from desk import Desk
from subscribers import CATALOG, DECLINED, Subscriber, alerts, desk_in_time, subscribed

__all__ = ["CATALOG"]  # what the desk `timed` sells

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def deaf(new_database: Callable[[], str]) -> Iterator[tuple[Desk, Subscriber]]:
    """A desk that Stripe has stopped telling anything, and somebody who subscribed before that."""
    with desk_in_time(new_database) as desk:
        yield desk, deafened(subscribed(desk, "gold"))


def deafened(person: Subscriber) -> Subscriber:
    """Let Stripe tell their desk nothing more."""
    endpoint = person.desk.at_stripe("GET", "/v1/webhook_endpoints").json()["data"][0]["id"]
    assert person.desk.at_stripe("DELETE", f"/v1/webhook_endpoints/{endpoint}").status_code == 200
    return person


def test_a_short_trial_is_told_of_a_day_before_its_end_and_no_sooner(timed: Desk) -> None:
    person = subscribed(timed, "short")
    end = person.period_end
    person.until(end, after=-25 * HOUR)
    assert person.news() == []
    person.until(end, after=-23 * HOUR)
    assert person.news() == [
        "Your trial of Short is almost over. It ends on …; then Short costs $5.00. Cancel before, and you pay nothing."
    ]


def test_a_product_without_reminders_reminds_of_nothing(timed: Desk) -> None:
    person = subscribed(timed, "silent")
    person.until(person.period_end, after=-1 * HOUR)
    assert person.news() == []
    person.renews()
    assert len(person.news()) == 1, "the receipt"
    person.until(person.period_end, after=-1 * HOUR)
    assert person.news() == []


def test_what_is_canceled_does_not_remind_of_its_renewal_and_what_is_taken_back_does(timed: Desk) -> None:
    leaves, stays = subscribed(timed, "gold"), subscribed(timed, "gold")
    for person in (leaves, stays):
        person.change(cancel_at_period_end="true")
    stays.change(cancel_at_period_end="false")
    assert [len(person.news()) for person in (leaves, stays)] == [1, 2]
    leaves.until(leaves.period_end, after=-2 * DAY)
    assert leaves.news() == []
    assert stays.news() == ["Gold renews on … for $30.00. There is nothing you have to do."]


def test_what_is_paused_says_so_and_reminds_of_nothing(timed: Desk) -> None:
    person = subscribed(timed, "gold")
    person.change(**{"pause_collection[behavior]": "void"})
    assert person.news() == ["Gold is paused: nothing is charged. You keep it until …."]
    person.until(person.period_end, after=-2 * DAY)
    assert person.news() == []
    person.change(pause_collection="")
    assert person.news() == ["Gold goes on after its pause. It renews on … for $30.00."]


def test_a_price_that_the_catalogue_does_not_know_is_told_to_those_who_run_the_desk(timed: Desk) -> None:
    person = subscribed(timed, "gold")
    price = person.call("prices", currency="usd", unit_amount=700, **{
        "recurring[interval]": "month", "product_data[name]": "By hand",
    })["id"]  # fmt: skip
    method = person.own["payment_method"]
    made = person.call("subscriptions", customer=person.own["stripe_customer"], default_payment_method=method,
                       **{"items[0][price]": price})  # fmt: skip
    (alert,) = [one for one in alerts(timed, "unknown_price") if made["id"] in one["dedup_key"]]
    assert price in alert["params"]


def test_a_renewal_of_which_no_webhook_tells_is_found_by_a_look_and_told_once(deaf: tuple[Desk, Subscriber]) -> None:
    desk, person = deaf
    renewal = person.period_end
    person.until(renewal, after=1.5 * HOUR)
    assert person.may("gold")
    assert person.buyer.balance() == 500, "nobody has told that it is paid"
    person.news()
    person.until(renewal, after=2.1 * HOUR)
    assert person.may("gold")
    assert person.buyer.balance() == 1000
    assert person.own["items"].count(f"{renewal:%Y-%m-%dT%H:%M:%S}") == 1, "the end of the last cycle began this one"
    assert len([text for text in person.news() if text.startswith("✅ Gold is renewed.")]) == 1
    person.until(renewal, after=4 * DAY)
    assert person.news() == []
    looks = "SELECT count(*) AS n FROM inbox WHERE source = 'question' AND external_id LIKE '%timer:subscription_due%'"
    assert desk.sql(looks) == [{"n": 1}]


def test_old_news_is_quiet_and_counts_all_the_same(new_database: Callable[[], str]) -> None:
    """A renewal fails, its grace ends, and all of it is heard of only days later."""
    with desk_in_time(new_database) as desk:
        rules = {"retry_days": [1, 2], "after_retries": "past_due"}
        key = {"Authorization": f"Bearer {desk.settings['STRIPE_API_KEY']}"}
        assert httpx.post(f"{desk.sandbox.url}/_sandbox/billing", json=rules, headers=key).status_code == 200
        person = subscribed(desk, "gold")
        person.pay_with(DECLINED)
        person.news()
        deafened(person)
        person.until(person.period_end, after=12 * DAY)
        for event in desk.events_at_stripe():
            assert desk.deliver(event).status_code == 200
        desk.quiet()
        assert person.own["status"] == "past_due"
        assert not person.may("gold")
        assert person.news() == []
        assert alerts(desk, "renewal_failed") == []

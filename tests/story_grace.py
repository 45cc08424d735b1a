"""Grace: who has not paid keeps what they have for so many days, is warned, and loses it exactly at the end."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import httpx

from desk import Desk
from sandbox_fixtures import until
from subscribers import ASKING, CATALOG, DECLINED, GOOD, Subscriber, alerts, offset_of, subscribed

__all__ = ["CATALOG"]  # what the desk `timed` sells

DAY = timedelta(days=1)


def in_grace(desk: Desk, price: str = "gold", card: str = DECLINED) -> tuple[Subscriber, datetime]:
    """Somebody whose renewal has just failed, and when the unpaid cycle began."""
    person = subscribed(desk, price)
    person.pay_with(card)
    failed = person.period_end
    person.until(failed, after=timedelta(minutes=30))  # our clock follows Stripe's a moment later than its news comes
    person.until(failed, after=timedelta(hours=2))
    assert person.own["status"] == "past_due"
    return person, failed


def warnings(person: Subscriber) -> list[str]:
    """Those of their news that tell of grace."""
    return [text for text in person.news() if "still not paid" in text or "has ended" in text]


def test_t30_access_ends_exactly_to_the_second_with_warnings_72_and_24_hours_before(timed: Desk) -> None:
    person, failed = in_grace(timed)
    end = failed + 5 * DAY
    person.until(end, after=-71 * timedelta(hours=1))
    assert len(warnings(person)) == 1
    person.until(end, after=-23 * timedelta(hours=1))
    assert [text.startswith("⚠️ Last day") for text in warnings(person)] == [True]
    assert person.buyer.access("gold")["until"].startswith(f"{end:%Y-%m-%dT%H:%M:%S}")
    person.until(end, after=timedelta(seconds=-4))
    offset = offset_of(timed)
    last, first = None, None
    while first is None:
        asked = datetime.now(UTC) + offset
        may, answered = person.may("gold"), datetime.now(UTC) + offset
        assert may or answered >= end, f"lost {end - answered} too early"
        assert not may or asked < end, f"kept {asked - end} too long"
        last, first = (asked, first) if may else (last, answered)
        time.sleep(0.05)
    assert last is not None
    until(lambda: warnings(person), what="the message that it has ended")
    timed.quiet()
    assert not warnings(person)
    assert len(alerts(timed, "subscription_unpaid")) == 1


def test_roles_fall_by_the_timer_of_the_end(timed: Desk) -> None:
    """Whoever follows access is told of the end by the rows that the timers leave."""
    person, failed = in_grace(timed)
    person.until(failed, after=5.1 * DAY)
    fired = "SELECT kind, state FROM inbox WHERE source = 'timer' AND external_id LIKE '%' || $1 || '%' AND kind = $2"
    assert timed.sql(fired, person.buyer.id, "grace_end") == [{"kind": "grace_end", "state": "done"}]
    assert {row["state"] for row in timed.sql(fired, person.buyer.id, "pass_end")} == {"done"}
    assert not [text for text in person.news() if "Your access to gold has ended" in text], (
        "told once, by the subscription"
    )


def test_t30_a_late_payment_gives_it_back_at_once(timed: Desk) -> None:
    person, failed = in_grace(timed)
    person.until(failed, after=5.1 * DAY)
    assert not person.may("gold")
    person.news()
    person.pay_with(GOOD)
    person.call(f"invoices/{person.invoice['id']}/pay")
    assert person.may("gold")
    assert len([text for text in person.news() if text.startswith("✅ Thank you, all is well with Gold again.")]) == 1


def test_t30_a_cycle_paid_after_all_was_given_up_is_given_until_its_end(timed: Desk) -> None:
    """Canceled, written off as uncollectible, and then somebody pays."""
    person, failed = in_grace(timed)
    end, invoice = person.period_end, person.invoice["id"]
    person.until(failed, after=5.1 * DAY)
    assert len(warnings(person)) == 1
    canceled = timed.at_stripe("DELETE", f"/v1/subscriptions/{person.own['id']}")
    assert canceled.status_code == 200
    person.call(f"invoices/{invoice}/mark_uncollectible")
    assert not person.may("gold")
    assert person.news() == [], "that it has ended was said"
    person.until(failed, after=5.2 * DAY)  # Stripe tells whole seconds: in the same one it would not be paid afterwards
    method = person.call(f"payment_methods/{GOOD}/attach", customer=person.own["stripe_customer"])["id"]
    person.call(f"invoices/{invoice}/pay", payment_method=method)
    access = person.buyer.access("gold")
    assert access["allowed"]
    assert access["until"].startswith(f"{end:%Y-%m-%dT%H:%M:%S}")
    assert [text.endswith("It ends on ….") for text in person.news()] == [True]


def test_without_days_of_grace_it_is_lost_when_the_payment_fails_and_comes_back_when_it_is_paid(timed: Desk) -> None:
    person, _ = in_grace(timed, "strict")
    assert not person.may("strict")
    assert person.news()[-1:] == [
        (
            "⚠️ Your payment of $10.00 for Strict did not go through: Your card was declined. Until it is paid, you do not "
            "have what it gives. It is tried again on …. Pay with the button, and all is well."
        ),
    ]
    person.pay_with(GOOD)
    person.call(f"invoices/{person.invoice['id']}/pay")
    assert person.may("strict")


def test_a_payment_that_the_bank_wants_confirmed_is_told_as_such(timed: Desk) -> None:
    person, _ = in_grace(timed, card=ASKING)
    assert person.news()[-1:] == [
        (
            "⚠️ Your bank wants you to confirm the payment of $30.00 for Gold. You keep it until …. "
            "Confirm it with the button, and all is well."
        )
    ]
    assert person.pay_link().startswith(timed.url + "/r/")
    page = httpx.get(person.pay_link()).text
    assert "Your bill" in page
    assert "your subscription goes on as it was" in page
    assert person.may("gold")


def test_many_failed_tries_are_one_message_and_one_alert(timed: Desk) -> None:
    person, failed = in_grace(timed)
    invoice = person.invoice["id"]
    person.until(failed, after=1.2 * DAY)
    person.until(failed, after=2.2 * DAY)
    assert person.invoice["attempts"] >= 3
    assert len([text for text in person.news() if "did not go through" in text]) == 1
    own = [one for one in alerts(timed, "renewal_failed") if one["dedup_key"].endswith(invoice)]
    assert len(own) == 1

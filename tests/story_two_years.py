"""Two years of one customer's life, with everything they are told, in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from desk import Desk
from subscribers import CATALOG, DECLINED, GOOD, Subscriber, advance, alerts, offset_of

__all__ = ["CATALOG"]  # what the desk `timed` sells

DAY = timedelta(days=1)


def test_two_years_of_one_customers_life(timed: Desk) -> None:
    """Takes half a minute: some thirty times the clock moves, and everything that this leads to is waited for."""
    jo = Subscriber(timed.buyer())
    on_the_twentieth(timed)
    begun = a_trial(jo)
    two_quiet_months(jo)
    a_failed_renewal_that_is_mended_in_grace(jo)
    an_upgrade(jo)
    a_card_about_to_expire(jo)
    a_failed_renewal_that_ends(jo)
    coming_back_for_a_year(jo)
    end = canceled_at_the_end_of_the_period(jo)
    assert end - begun > 730 * DAY
    assert [len(alerts(timed, name)) for name in ("renewal_failed", "subscription_unpaid", "unknown_price")] == [
        2,
        1,
        0,
    ]
    assert timed.get("/v1/status")["inbox"]["quarantined"] == 0


def on_the_twentieth(desk: Desk) -> None:
    """Begin on a day from which no renewal falls on the end of a month, where cards end."""
    now = datetime.now(UTC) + offset_of(desk)
    month = now.replace(day=20) if now.day <= 20 else (now.replace(day=1) + 32 * DAY).replace(day=20)
    advance(desk, month - now)


def a_trial(jo: Subscriber) -> datetime:
    jo.buyer.buy("club")
    begun: datetime = jo.own["started_at"]
    assert jo.news() == [
        (
            "✅ Your trial of Club has begun. You got 10 credits and club. You now have 10 credits. "
            "It ends on …; then Club costs $10.00. Cancel before, and you pay nothing."
        ),
    ]
    jo.until(jo.period_end, after=-3 * DAY)
    assert jo.news() == [
        "Your trial of Club is almost over. It ends on …; then Club costs $10.00. Cancel before, and you pay nothing."
    ]
    jo.renews()
    assert jo.news() == [
        (
            "✅ Your trial is over, and Club goes on. Paid $10.00. You got 100 credits. You now have 110 credits. "
            "It renews on … for $10.00."
        ),
    ]
    return begun


def two_quiet_months(jo: Subscriber) -> None:
    for balance in (210, 310):
        jo.until(jo.period_end, after=-3 * DAY)
        assert jo.news() == ["Club renews on … for $10.00. There is nothing you have to do."]
        jo.renews()
        assert jo.news() == [
            (
                f"✅ Club is renewed. Paid $10.00. You got 100 credits. You now have {balance} credits. "
                "It renews on … for $10.00."
            )
        ]


def a_failed_renewal_that_is_mended_in_grace(jo: Subscriber) -> None:
    jo.pay_with(DECLINED)
    failed = jo.period_end
    jo.renews()
    assert jo.news() == [
        (
            "⚠️ Your payment of $10.00 for Club did not go through: Your card was declined. You keep it until …. "
            "It is tried again on …. Pay with the button, and all is well."
        ),
    ]
    assert jo.pay_link().startswith(jo.desk.url + "/r/")
    jo.until(failed, after=2.5 * DAY)
    assert jo.news() == ["⚠️ Club is still not paid. You keep it until …. Pay $10.00 with the button, and it stays."]
    jo.pay_with(GOOD)
    jo.until(failed, after=3.5 * DAY)
    assert jo.news() == [
        (
            "✅ Thank you, all is well with Club again. Paid $10.00. You got 100 credits. You now have 410 credits. "
            "It renews on … for $10.00."
        )
    ]
    assert jo.may("club")


def an_upgrade(jo: Subscriber) -> None:
    price = jo.call("prices", currency="usd", unit_amount=3000, **{
        "recurring[interval]": "month", "product_data[name]": "Gold", "metadata[paydesk_price]": "gold",
    })["id"]  # fmt: skip
    item = jo.at_stripe["items"]["data"][0]["id"]
    jo.until(jo.period_end, after=-10 * DAY)
    balance = jo.buyer.balance()
    jo.change(**{"items[0][id]": item, "items[0][price]": price, "proration_behavior": "always_invoice"})
    changed, paid = jo.news()
    assert changed == "Your subscription is now Gold. It renews on … for $30.00."
    assert paid.startswith("✅ Paid $")
    assert "for the change to Gold. You got " in paid
    assert paid.endswith(f"You now have {jo.buyer.balance()} credits.")
    assert 0 < jo.buyer.balance() - balance < 500
    assert jo.may("gold")


def a_card_about_to_expire(jo: Subscriber) -> None:
    """The next renewal can still be paid with it, the one after that cannot."""
    renewal = jo.period_end
    jo.pay_with_card_until(renewal.year, renewal.month)
    jo.until(renewal, after=-3 * DAY)
    assert jo.news() == ["Gold renews on … for $30.00. There is nothing you have to do."]
    jo.renews()
    renewed, card = jo.news()
    assert renewed.startswith("✅ Gold is renewed. Paid $30.00. You got 500 credits.")
    assert card == (
        "The card that pays for Gold is valid until …. It is needed again on …: please put in a new one before then."
    )
    jo.until(renewal.replace(day=26))
    assert jo.news() == [card], "a week before the end of the card"
    jo.pay_with_card_until(2040, 12)
    jo.until(jo.period_end, after=-1 * DAY)
    assert [text for text in jo.news() if "card" in text] == []


def a_failed_renewal_that_ends(jo: Subscriber) -> None:
    jo.pay_with(DECLINED)
    failed = jo.period_end
    jo.renews()
    assert jo.news() == [
        (
            "⚠️ Your payment of $30.00 for Gold did not go through: Your card was declined. You keep it until …. "
            "It is tried again on …. Pay with the button, and all is well."
        ),
    ]
    jo.until(failed, after=2.1 * DAY)
    assert jo.news() == ["⚠️ Gold is still not paid. You keep it until …. Pay $30.00 with the button, and it stays."]
    jo.until(failed, after=4.1 * DAY)
    assert jo.news() == [
        "⚠️ Last day: Gold is still not paid. You keep it until …. Pay $30.00 with the button, and it stays."
    ]
    assert jo.may("gold")
    jo.until(failed, after=5.1 * DAY)
    assert jo.news() == [
        "Your access to Gold has ended: $30.00 was not paid. Pay with the button, and it comes back at once."
    ]
    assert not jo.may("gold")
    jo.until(failed, after=15 * DAY)
    assert jo.own["status"] == "canceled"
    assert jo.news() == [], "that it has ended was said"


def coming_back_for_a_year(jo: Subscriber) -> None:
    balance = jo.buyer.balance()
    jo.buyer.buy("gold-year")
    assert jo.news() == [
        (
            f"✅ You are subscribed to Gold. Paid $300.00. You got 500 credits, club and gold. "
            f"You now have {balance + 500:,} credits. It renews on … for $300.00."
        )
    ]
    jo.pay_with_card_until(2040, 12)
    jo.until(jo.period_end, after=-7 * DAY)
    assert jo.news() == ["Gold renews on … for $300.00. There is nothing you have to do."]
    jo.renews()
    assert jo.news() == [
        (
            f"✅ Gold is renewed. Paid $300.00. You got 500 credits. You now have {balance + 1000:,} credits. "
            "It renews on … for $300.00."
        )
    ]


def canceled_at_the_end_of_the_period(jo: Subscriber) -> datetime:
    stays = "Gold will end on …. You keep it until then, and no further renewal is charged."
    jo.change(cancel_at_period_end="true")
    jo.change(cancel_at_period_end="false")
    jo.change(cancel_at_period_end="true")
    assert jo.news() == [stays, "Gold goes on, and nothing ends. It renews on … for $300.00.", stays]
    end = jo.period_end
    jo.until(end, after=-1 * DAY)
    assert jo.news() == []
    assert jo.may("gold")
    jo.until(end, after=timedelta(minutes=5))
    assert jo.news() == ["Your subscription to Gold has ended. Thank you for having been with us. /buy brings it back."]
    assert not jo.may("gold")
    return end

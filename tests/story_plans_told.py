"""What the chat says of subscriptions is so: each asking is a wish of its own, and what waits at Stripe is seen."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from desk import Buyer, Desk
from sandbox_fixtures import until
from subscribers import DECLINED, Subscriber, subscribed

CATALOG = Path(__file__).parent / "catalog_plans.toml"

Json = dict[str, Any]
DAY = timedelta(days=1)


def say(buyer: Buyer, text: str) -> Json:
    (reply,) = buyer.say(text)
    return dict(reply)


def command(reply: Json, label: str) -> str:
    """What the button of this label says."""
    return str(next(one for one in reply["buttons"] if one["label"].startswith(label))["command"])


def labels(reply: Json) -> list[str]:
    return [one["label"] for one in reply["buttons"]]


def tap(person: Subscriber, reply: Json, label: str) -> Json:
    """Press a button; then everything that it led to is done."""
    answer = say(person.buyer, command(reply, label))
    person.desk.quiet()
    return answer


def price_at_stripe(person: Subscriber, amount: int, key: str) -> str:
    """A price as `paydesk catalog push` makes it."""
    product = person.at_stripe["items"]["data"][0]["price"]["product"]
    repeats = {"recurring[interval]": "month", "metadata[paydesk_price]": key}
    return str(person.call("prices", product=product, currency="usd", unit_amount=amount, **repeats)["id"])


def scheduled(person: Subscriber) -> Json:
    """Let a schedule at Stripe change Pro to Basic when its cycle ends, as the portal may."""
    item = person.at_stripe["items"]["data"][0]
    pro = price_at_stripe(person, 4000, "pro")
    person.change(**{"items[0][id]": item["id"], "items[0][price]": pro, "proration_behavior": "none"})
    person.news()
    made = person.call("subscription_schedules", from_subscription=person.own["id"])
    phases = {
        "phases[0][items][0][price]": pro,
        "phases[0][start_date]": item["current_period_start"],
        "phases[0][end_date]": item["current_period_end"],
        "phases[1][items][0][price]": price_at_stripe(person, 1000, "basic"),
        "phases[1][proration_behavior]": "none",
        "end_behavior": "release",
    }
    return person.call(f"subscription_schedules/{made['id']}", **phases)


# --- an asking, a wish -----------------------------------------------------------------------------------------------


def test_whoever_cancels_keeps_and_cancels_again_at_once_has_canceled(timed: Desk) -> None:
    person = subscribed(timed, "basic")
    buyer = person.buyer
    for _ in range(2):
        canceled = say(buyer, command(say(buyer, f"/cancel {person.own['id']}"), "Yes"))
        assert canceled["text"].startswith("Basic is being canceled."), "nobody waits for Stripe between these"
        kept = say(buyer, command(canceled, "Keep"))
        assert kept["text"].startswith("Basic is being kept")
    last = command(say(buyer, f"/cancel {person.own['id']}"), "Yes")
    for _ in range(2):
        say(buyer, last)
    until(lambda: person.at_stripe["cancel_at_period_end"], what="the last wish")
    timed.quiet()
    assert person.at_stripe["cancel_at_period_end"]
    wishes = "SELECT count(*) AS n FROM outbox WHERE template = 'wish' AND customer_id = $1"
    assert timed.sql(wishes, buyer.id) == [{"n": 5}], "each question once, however often its button is pressed"
    assert "already" in say(buyer, last)["text"]


def test_without_the_mark_of_a_question_asked_not_long_ago_nothing_ends_and_nothing_is_kept(timed: Desk) -> None:
    person = subscribed(timed, "basic")
    id_ = person.own["id"]
    yes = command(say(person.buyer, f"/cancel {id_}"), "Yes")
    mark = yes.rpartition(" ")[2]
    old = f"{int(mark, 16) - 90_000_000:x}"
    for words in (f"/cancel {id_} yes", f"/cancel {id_} {old}"):
        assert say(person.buyer, words)["text"].startswith("Cancel Basic?"), "it is asked"
    for words in (f"/keep {id_}", f"/keep {id_} {old}"):
        assert labels(say(person.buyer, words)) == ["Keep it"]
    timed.quiet()
    assert not timed.sql("SELECT 1 FROM outbox WHERE template = 'wish' AND customer_id = $1", person.buyer.id)
    assert tap(person, say(person.buyer, f"/cancel {id_}"), "Yes")["text"].startswith("Basic is being canceled.")


# --- what costs nothing, and what costs less -------------------------------------------------------------------------


def test_another_interval_begins_a_new_cycle_and_costs_what_was_said(timed: Desk) -> None:
    person = subscribed(timed, "basic")
    person.until(person.period_end, after=-10 * DAY)
    question = say(person.buyer, "/plan pro-year")
    assert "begins a new cycle: about $596." in question["text"]
    before = person.at_stripe["items"]["data"][0]["current_period_start"]
    tap(person, question, "Yes")
    until(lambda: "pro-year" in person.own["items"], what="the other plan")
    timed.quiet()
    item = person.at_stripe["items"]["data"][0]
    assert item["current_period_start"] > before + 15 * 86_400
    assert item["current_period_end"] - item["current_period_start"] >= 365 * 86_400
    assert 59_600 <= person.invoice["total"] <= 59_700


def test_what_a_change_gives_back_is_told_as_such_and_not_as_paid(timed: Desk) -> None:
    person = subscribed(timed, "pro")
    changed = timed.call("PATCH", f"/v1/subscriptions/{person.own['id']}", json={"price": "basic", "when": "now"})
    assert changed.status_code == 200, changed.text
    timed.quiet()
    least = "SELECT min(total) AS total FROM invoice WHERE subscription_id = $1"
    assert timed.sql(least, person.own["id"])[0]["total"] < 0
    told = person.news()
    assert next(text for text in told if "counts towards your next bills" in text).startswith("✅ Basic: $")
    assert not any("$-" in text or "-$" in text for text in told)


def test_before_a_renewal_the_change_that_waits_for_it_is_told(timed: Desk) -> None:
    person = subscribed(timed, "pro")
    tap(person, say(person.buyer, "/plan basic"), "Yes")
    until(lambda: any("Noted" in text for text in person.buyer.told()), what="the note")
    person.news()
    person.until(person.period_end, after=-2 * DAY)
    assert person.news() == [
        "Pro changes to Basic on …. There is nothing you have to do. /billing shows how it stands."
    ]


def test_a_quantity_that_waits_is_named_with_what_it_costs(timed: Desk) -> None:
    person = subscribed(timed, "seats")
    tap(person, say(person.buyer, "/plan 3"), "Yes")
    until(lambda: person.at_stripe["items"]["data"][0]["quantity"] == 3, what="the three")
    tap(person, say(person.buyer, "/plan 2"), "Yes")
    until(lambda: "Changes to Seats × 2, $10.00 a month, on " in say(person.buyer, "/billing")["text"], what="the two")
    timed.quiet()
    person.news()
    person.until(person.period_end, after=-2 * DAY)
    assert person.news()[0].startswith("Seats × 3 changes to Seats × 2 on ….")


def test_nothing_is_offered_to_be_taken_back_of_what_ends(timed: Desk) -> None:
    person = subscribed(timed, "pro")
    tap(person, say(person.buyer, "/plan basic"), "Yes")
    until(lambda: "Stay with this plan" in labels(say(person.buyer, "/billing")), what="the change that waits")
    tap(person, say(person.buyer, "/cancel"), "Yes")
    until(lambda: "Ends on" in say(person.buyer, "/billing")["text"], what="the end")
    assert "Stay with this plan" not in labels(say(person.buyer, "/billing"))


# --- what is not paid ------------------------------------------------------------------------------------------------


def test_an_end_that_was_asked_for_is_no_end_for_want_of_a_payment_and_no_pause_undoes_a_bill(timed: Desk) -> None:
    person = subscribed(timed, "basic")
    person.pay_with(DECLINED)
    failed = person.period_end
    person.until(failed, after=timedelta(hours=3))
    assert "you keep it until" in say(person.buyer, "/billing")["text"]
    paused = timed.call("PATCH", f"/v1/subscriptions/{person.own['id']}", json={"pause": True})
    assert paused.status_code == 409, paused.text
    assert "is not paid" in paused.json()["error"]["message"]
    person.news()
    tap(person, say(person.buyer, "/plan now"), "Yes")
    until(lambda: person.own["status"] == "canceled", what="the end")
    timed.quiet()
    (told,) = person.news()
    assert told.startswith("Your subscription to Basic has ended.")


def test_after_grace_nothing_is_kept_until_a_day_that_is_over(timed: Desk) -> None:
    person = subscribed(timed, "basic")
    person.pay_with(DECLINED)
    failed = person.period_end
    person.until(failed, after=6 * DAY)
    assert not person.buyer.access("basic")["allowed"]
    text = say(person.buyer, "/billing")["text"]
    assert text.endswith("The last payment did not go through."), text


def test_a_pause_that_the_shop_set_in_its_own_way_can_be_ended(timed: Desk) -> None:
    person = subscribed(timed, "basic")
    person.change(**{"pause_collection[behavior]": "keep_as_draft"})
    question = say(person.buyer, "/resume")
    assert question["text"].startswith("Go on with Basic? It renews on ")
    tap(person, question, "Yes")
    until(lambda: person.at_stripe["pause_collection"] is None, what="the end of the pause")


# --- a schedule at Stripe --------------------------------------------------------------------------------------------


def test_a_change_that_a_schedule_at_stripe_makes_is_shown_reminded_of_and_taken_back(timed: Desk) -> None:
    person = subscribed(timed, "pro")
    scheduled(person)
    shown = say(person.buyer, "/billing")
    assert "Changes to another plan on " in shown["text"]
    tap(person, shown, "Stay with this plan")
    until(lambda: person.at_stripe["schedule"] is None, what="the release")
    timed.quiet()
    assert "Renews on " in say(person.buyer, "/billing")["text"]
    assert "Your plan is Pro, and it stays so." in person.news()
    scheduled(person)
    person.until(person.period_end, after=-2 * DAY)
    assert person.news() == [
        "Pro changes to another plan on …. There is nothing you have to do. /billing shows how it stands."
    ]


def test_what_is_wished_for_takes_the_place_of_a_schedule(timed: Desk) -> None:
    ends, waits, changes, stays = (subscribed(timed, "pro") for _ in range(4))
    for person in (ends, waits, changes, stays):
        scheduled(person)
    tap(ends, say(ends.buyer, "/cancel"), "Yes")
    tap(waits, say(waits.buyer, "/plan seats"), "Yes")
    tap(changes, say(changes.buyer, "/plan pro-year"), "Yes")
    stays.pay_with(DECLINED)
    tap(stays, say(stays.buyer, "/plan pro-year"), "Yes")
    until(lambda: ends.at_stripe["cancel_at_period_end"], what="the end with the period")
    until(lambda: waits.at_stripe["schedule"] is None, what="the change that waits here")
    until(lambda: "pro-year" in changes.own["items"], what="the other plan")
    until(lambda: any("stays as it was" in text for text in stays.buyer.told()), what="the bank's no")
    timed.quiet()
    assert [one.at_stripe["schedule"] is None for one in (ends, waits, changes, stays)] == [True, True, True, False], (
        "a bank's no leaves everything as it was"
    )
    assert "Changes to Seats, $5.00 a month, on " in say(waits.buyer, "/billing")["text"]
    assert not any("could not be changed" in text for one in (ends, waits, changes) for text in one.buyer.told())

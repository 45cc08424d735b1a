"""Subscriptions to which two things happen at once: each keeps its promise, and nothing is given that nobody paid."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from desk import Desk
from sandbox_fixtures import until
from story_plans_told import price_at_stripe
from subscribers import DECLINED, GOOD, Subscriber, subscribed

CATALOG = Path(__file__).parent / "catalog_pairs.toml"

Json = dict[str, Any]
DAY = timedelta(days=1)


def shown(person: Subscriber) -> Json:
    """Their newest subscription, as the API shows it."""
    return person.desk.get(f"/v1/subscriptions/{person.own['id']}")


def cycles(person: Subscriber) -> list[Json]:
    """Their invoices at Stripe, oldest first."""
    asked = {"subscription": person.own["id"], "limit": 100}
    return list(person.desk.at_stripe("GET", "/v1/invoices", asked).json()["data"][::-1])


# --- a pause that Stripe ends ----------------------------------------------------------------------------------------


def test_a_pause_over_two_renewals_that_is_ended_in_stripe_gives_no_cycle_that_nobody_paid(timed: Desk) -> None:
    behaviors = ("void", "void", "keep_as_draft", "keep_as_draft", "mark_uncollectible")
    waits, goes_on, pays, _draft, _written_off = people = [subscribed(timed, "gold") for _ in behaviors]
    for person, behavior in zip(people, behaviors, strict=True):
        person.change(**{"pause_collection[behavior]": behavior})
    for _ in range(2):
        people[-1].renews()
    assert [one.may("gold") for one in people] == [False, False, True, True, True], "Stripe means the others as a gift"
    people[-1].until(waits.period_end, after=-10 * DAY)
    for person in people:
        person.news()
        person.change(pause_collection="")
    assert [one.may("gold") for one in people] == [False] * 5
    assert [one.buyer.balance() for one in people] == [500] * 5
    assert waits.news() == [
        "Gold goes on after its pause. Until it is paid, you do not have what it gives. It renews on … for $30.00."
    ]
    assert "Not paid for just now. The next cycle begins on " in waits.buyer.say("/billing")[0]["text"]
    dearer = timed.call("PATCH", f"/v1/subscriptions/{waits.own['id']}", json={"price": "gold-year"})
    assert dearer.status_code == 409, "what nobody paid is no credit for another plan"
    question = goes_on.buyer.say("/resume")[0]
    assert question["text"].startswith("Go on with Gold? A new cycle begins: $30.00 a month, charged now.")
    goes_on.buyer.say(question["buttons"][0]["command"])
    newest = cycles(pays)[-1]
    pays.call(f"invoices/{newest['id']}/finalize")
    pays.call(f"invoices/{newest['id']}/pay")
    until(lambda: goes_on.may("gold") and pays.may("gold"), what="what is paid later")
    timed.quiet()
    assert [one.buyer.balance() for one in people] == [500, 1000, 1000, 500, 500]
    people[-1].until(waits.period_end, after=timedelta(hours=3))
    assert [one.may("gold") for one in people] == [True] * 5
    assert [one.buyer.balance() for one in people] == [1000, 1000, 1500, 1000, 1000]
    assert timed.command("ledger", "check").returncode == 0


# --- two that become one ---------------------------------------------------------------------------------------------


def two(timed: Desk, *prices: str) -> tuple[Subscriber, list[str]]:
    """Somebody with several subscriptions, of as many products, in the order in which they were bought."""
    person = subscribed(timed, prices[0])
    buyer, ids = person.buyer, [person.own["id"]]
    for count, price in enumerate(prices[1:], 2):
        assert buyer.pay(buyer.checkout(price)).status_code == 200
        until(lambda count=count: len(live(person)) == count, what="the next")
        ids += [one["id"] for one in live(person) if one["id"] not in ids]
    timed.quiet()
    person.news()
    return person, ids


def live(person: Subscriber) -> list[Json]:
    return list(person.desk.get("/v1/subscriptions", customer=person.buyer.id, status="live")["data"])


def spent(person: Subscriber) -> int:
    """What they have paid at Stripe by now, less what came back."""
    asked = {"customer": person.own["stripe_customer"], "limit": 100}
    charges = person.desk.at_stripe("GET", "/v1/charges", asked).json()["data"]
    return sum(one["amount"] - one["amount_refunded"] for one in charges if one["status"] == "succeeded")


def test_two_that_are_changed_to_one_plan_at_once_are_changed_once(timed: Desk) -> None:
    person, ids = two(timed, "club", "side")
    change = lambda id_: timed.call("PATCH", f"/v1/subscriptions/{id_}", json={"price": "gold"})  # noqa: E731
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(change, ids))
    assert sorted(one.status_code for one in answers) == [200, 409]
    assert next(one for one in answers if one.status_code == 409).json()["error"]["code"] == "already_subscribed"
    timed.quiet()
    assert len(live(person)) == 2, "the other stays as it was"
    prices = sorted(one["items"][0]["price"] for one in live(person))
    assert (prices, spent(person)) in ((["gold", "side"], 5000), (["club", "gold"], 4000))


def changed_in_stripe(person: Subscriber, ids: list[str], key: str, amount: int) -> None:
    """Let subscriptions have another plan in Stripe itself, as its portal does it: the difference is charged at once."""
    price = price_at_stripe(person, amount, key)
    for id_ in ids:
        item = person.desk.at_stripe("GET", f"/v1/subscriptions/{id_}").json()["items"]["data"][0]["id"]
        change = {"items[0][id]": item, "items[0][price]": price, "proration_behavior": "always_invoice"}
        answer = person.desk.at_stripe("POST", f"/v1/subscriptions/{id_}", change)
        assert answer.status_code == 200, answer.text


def test_two_that_are_changed_to_one_plan_in_stripe_leave_one_and_all_that_was_paid_for_the_other_goes_back(
    timed: Desk,
) -> None:
    dearer, ids = two(timed, "club", "side")
    cheaper, others = two(timed, "side", "gold")
    changed_in_stripe(dearer, ids, "gold", 3000)
    changed_in_stripe(cheaper, others, "club", 1000)
    timed.quiet()
    until(lambda: [len(live(one)) for one in (dearer, cheaper)] == [1, 1], what="the end of one of each")
    timed.quiet()
    assert (spent(dearer), dearer.buyer.balance(), dearer.may("gold")) == (3000, 500, True)
    assert any("what you paid for it, $30.00, is on its way back" in text for text in dearer.news())
    balance = timed.at_stripe("GET", f"/v1/customers/{cheaper.own['stripe_customer']}").json()["balance"]
    assert (spent(cheaper), balance) == (4000, -3000), "what was left over is on their balance"
    assert timed.command("ledger", "check").returncode == 0


# --- a change that waits, and another that comes before it -----------------------------------------------------------


def waiting_for(person: Subscriber, **wish: Any) -> None:
    """Let a cheaper plan wait for the end of their cycle."""
    answer = person.desk.call("PATCH", f"/v1/subscriptions/{person.own['id']}", json=wish)
    assert answer.status_code == 200, answer.text
    assert answer.json()["pending_change"], "it waits"
    person.desk.quiet()
    person.news()


def test_a_waiting_change_that_will_not_be_made_is_not_shown_and_is_given_up_as_soon_as_that_is_known(
    timed: Desk,
) -> None:
    counted, anew, there, dearer, back = people = [subscribed(timed, "gold") for _ in range(5)]
    for person in people:
        waiting_for(person, price="club")
    (item,) = counted.at_stripe["items"]["data"]
    counted.change(**{"items[0][id]": item["id"], "items[0][quantity]": "2"})
    anew.until(anew.period_end, after=-10 * DAY)
    anew.change(**{"billing_cycle_anchor[type]": "now", "proration_behavior": "none"})
    changed_in_stripe(there, [there.own["id"]], "club", 1000)
    cost = {"agreed": {"amount": 900, "currency": "usd", "every": [1, "month"]}}
    planned = "SELECT state FROM stripe_call WHERE kind = 'planned_change' AND subject = $1"
    noted = "UPDATE stripe_call SET params = params || $2::text::jsonb WHERE kind = 'planned_change' AND subject = $1"
    timed.sql(noted, dearer.own["id"], json.dumps(cost))
    timed.quiet()
    for person in (counted, anew, there):
        told = [text for text in person.news() if "The change to Club that was noted is not made" in text]
        assert (len(told), shown(person)["pending_change"]) == (person is not there, None)
        assert timed.sql(planned, person.own["id"]) == [{"state": "refused"}]
    assert shown(dearer)["pending_change"] is None, "nobody agreed to another price"
    listed = timed.get("/v1/subscriptions", customer=dearer.buyer.id)["data"]
    assert (listed[0]["pending_change"], "Renews on" in dearer.buyer.say("/billing")[0]["text"]) == (None, True)
    assert shown(back)["pending_change"]["price"] == "club"
    back.until(back.period_end, after=timedelta(hours=3))
    assert [one.buyer.say("/billing")[0]["text"].split(" – ")[0] for one in people] == [
        "• Gold", "• Gold", "• Club", "• Gold", "• Club",
    ]  # fmt: skip
    assert timed.command("ledger", "check").returncode == 0


def test_a_change_that_a_schedule_at_stripe_makes_is_shown_by_the_api(timed: Desk) -> None:
    person = subscribed(timed, "gold")
    changed_in_stripe(person, [person.own["id"]], "gold", 3000)  # schedules take none of a checkout's prices
    item = person.at_stripe["items"]["data"][0]
    made = person.call("subscription_schedules", from_subscription=person.own["id"])
    cheaper = price_at_stripe(person, 1000, "club")
    timed.sql("INSERT INTO stripe_price (id, key) VALUES ($1, 'club')", cheaper)
    person.call(f"subscription_schedules/{made['id']}", **{
        "phases[0][items][0][price]": made["phases"][0]["items"][0]["price"],
        "phases[0][start_date]": item["current_period_start"], "phases[0][end_date]": item["current_period_end"],
        "phases[1][items][0][price]": cheaper, "phases[1][items][0][quantity]": 2, "end_behavior": "release",
    })  # fmt: skip
    assert shown(person)["pending_change"] == {
        "price": "club", "stripe_price": cheaper, "quantity": 2, "at": f"{person.period_end:%Y-%m-%dT%H:%M:%S}.000Z",
    }  # fmt: skip
    assert "Changes to Club × 2, $20.00 a month, on " in person.buyer.say("/billing")[0]["text"]


# --- money that is missing, and another wish -------------------------------------------------------------------------


def test_what_is_not_paid_is_no_credit_for_another_plan(timed: Desk) -> None:
    person = subscribed(timed, "gold")
    person.pay_with(DECLINED)
    person.renews()
    assert person.own["status"] == "past_due"
    cheaper = timed.call("PATCH", f"/v1/subscriptions/{person.own['id']}", json={"price": "club", "when": "now"})
    assert (cheaper.status_code, "is not paid" in cheaper.text) == (409, True), cheaper.text
    waiting_for(person, price="club")


def disputed(desk: Desk, charge: str, status: str) -> None:
    """Let a buyer's bank dispute a payment, or decide it."""
    headers = {"Authorization": f"Bearer {desk.settings['STRIPE_API_KEY']}"}
    body = {"charge": charge, "status": status}
    answer = httpx.post(f"{desk.sandbox.url}/_sandbox/disputes", json=body, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text


def test_a_dispute_of_what_was_paid_last_ends_grace_and_winning_it_gives_the_rest_of_it_back(timed: Desk) -> None:
    person = subscribed(timed, "gold")
    person.pay_with(DECLINED)
    person.renews()
    assert (person.may("gold"), person.buyer.balance()) == (True, 500)
    (charge,) = timed.at_stripe("GET", "/v1/charges", {"customer": person.own["stripe_customer"]}).json()["data"][-1:]
    for status, may, has in (("needs_response", False, 0), ("won", True, 500)):
        disputed(timed, charge["id"], status)
        until(lambda may=may: person.may("gold") == may, what=status)
        timed.quiet()
        assert person.buyer.balance() == has
    person.pay_with(GOOD)
    person.call(f"invoices/{cycles(person)[-1]['id']}/pay")
    until(lambda: person.buyer.balance() == 1000, what="the late payment")
    assert person.may("gold")
    assert timed.command("ledger", "check").returncode == 0


def test_a_quantity_that_is_changed_in_a_trial_is_billed_and_given_from_its_end(timed: Desk) -> None:
    person = subscribed(timed, "seats")
    assert person.buyer.balance() == 5
    assert timed.call("PATCH", f"/v1/subscriptions/{person.own['id']}", json={"quantity": 3}).status_code == 200
    timed.quiet()
    assert (person.buyer.balance(), spent(person)) == (5, 0), "a trial is given once, whatever is changed in it"
    person.renews()
    assert (person.buyer.balance(), spent(person)) == (185, 1500)


def test_a_coupon_for_ever_counts_for_the_cheaper_plan_too(timed: Desk) -> None:
    coupon = timed.at_stripe("POST", "/v1/coupons", {"percent_off": "50", "duration": "forever"}).json()["id"]
    person = subscribed(timed, "gold")
    person.change(**{"discounts[0][coupon]": coupon})
    waiting_for(person, price="club")
    end = person.period_end
    person.until(end, after=-timedelta(minutes=5))
    person.until(end, after=timedelta(hours=3))
    assert [(one["total"], one["status"]) for one in cycles(person)] == [(3000, "paid"), (500, "paid")]
    assert person.buyer.balance() == 600
    dearer = timed.call("PATCH", f"/v1/subscriptions/{person.own['id']}", json={"price": "gold"})
    assert dearer.status_code == 200, dearer.text
    timed.quiet()
    assert 995 <= cycles(person)[-1]["total"] <= 1000, "half of the difference"
    assert 995 <= person.buyer.balance() <= 1000, "time decides what is given, not what the discount makes of it"
    assert timed.command("ledger", "check").returncode == 0


def test_money_of_a_change_of_plan_that_goes_back_takes_what_it_gave_and_no_more(timed: Desk) -> None:
    person = subscribed(timed, "club")
    assert timed.call("PATCH", f"/v1/subscriptions/{person.own['id']}", json={"price": "gold"}).status_code == 200
    timed.quiet()
    assert 499 <= person.buyer.balance() <= 500
    changed = next(one for one in cycles(person) if one["billing_reason"] == "subscription_update")
    timed.post("/v1/refunds", {"order": changed["id"], "amount": 1000})
    timed.quiet()
    assert 249 <= person.buyer.balance() <= 251, "half of what was paid for it"
    assert person.may("gold")
    timed.post("/v1/refunds", {"order": changed["id"]})
    timed.quiet()
    assert (person.buyer.balance(), person.may("gold")) == (0, True)
    timed.post("/v1/refunds", {"order": person.own["order_id"]})
    until(lambda: not person.may("gold"), what="the end: all the money went back")
    timed.quiet()
    assert (spent(person), person.buyer.balance()) == (0, 0)
    assert timed.command("ledger", "check").returncode == 0

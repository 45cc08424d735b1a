"""Subscriptions are changed in the chat: tapped, asked where it costs something, done once, and told in the same thread."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

from desk import Buyer, Desk
from sandbox_fixtures import until
from subscribers import ASKING, DECLINED, GOOD, Subscriber, subscribed

CATALOG = Path(__file__).parent / "catalog_plans.toml"
COMMAND_BYTES_MAX = 64
"""What a button may send on every channel."""

Json = dict[str, Any]
DAY = timedelta(days=1)


def say(buyer: Buyer, text: str) -> Json:
    """What is answered; every button of it fits every channel."""
    (reply,) = buyer.say(text)
    for button in reply["buttons"]:
        assert len(button.get("command", "").encode()) <= COMMAND_BYTES_MAX, button
        assert button["label"].isprintable()
    return dict(reply)


def button(reply: Json, label: str) -> Json:
    return next(one for one in reply["buttons"] if one["label"].startswith(label))


def labels(reply: Json) -> list[str]:
    return [one["label"] for one in reply["buttons"]]


def tap(buyer: Buyer, reply: Json, label: str) -> Json:
    return say(buyer, button(reply, label)["command"])


def tap_twice(buyer: Buyer, reply: Json, label: str) -> None:
    """Press a button that changes something, twice before anybody has done it, and once more afterwards: it is one wish."""
    own, before = owned(buyer)["id"], wishes(buyer)
    said = [tap(buyer, reply, label)["text"] for _ in range(2)]
    assert said[0].startswith("One moment"), said
    buyer.desk.quiet()
    tap(buyer, reply, label)
    buyer.desk.quiet()
    assert wishes(buyer) == before + 1, own


def wishes(buyer: Buyer) -> int:
    rows = "SELECT count(*) AS n FROM outbox WHERE template = 'wish' AND customer_id = $1"
    return int(buyer.desk.sql(rows, buyer.id)[0]["n"])


def owned(buyer: Buyer, status: str = "live") -> Json:
    """The one subscription they have."""
    (found,) = buyer.desk.get("/v1/subscriptions", customer=buyer.id, status=status)["data"]
    return dict(found)


def plan(buyer: Buyer) -> tuple[str, int]:
    (item,) = owned(buyer)["items"]
    return item["price"], item["quantity"]


def paid(buyer: Buyer, price: str) -> str:
    """Order something and pay it; the order's id."""
    order = buyer.checkout(price)
    assert buyer.pay(order).status_code == 200
    return str(order["id"])


# --- another plan ----------------------------------------------------------------------------------------------------


def test_a_dearer_plan_is_chosen_confirmed_with_its_cost_charged_at_once_and_told(timed: Desk) -> None:
    person = subscribed(timed, "basic")
    buyer = person.buyer
    shown = say(buyer, "/billing")
    assert labels(shown) == ["Change plan", "Pause", "Cancel", "End now", "Cards, invoices, plan"]
    assert labels(say(buyer, "zmień")) == labels(say(buyer, "/plan")) == labels(shown)
    plans = tap(buyer, shown, "Change plan")
    assert plans["text"].splitlines()[1:] == [
        "• Pro – $40.00 a month, at once",
        "• Pro – $600.00 a year, at once",
        plans["text"].splitlines()[3],
    ]
    assert plans["text"].splitlines()[3].startswith("• Seats – $5.00 a month, from ")
    assert labels(plans) == ["Pro – $40.00 a month", "Pro – $600.00 a year", "Seats – $5.00 a month"], "none in euros"
    question = tap(buyer, plans, "Pro – $40.00")
    assert question["text"].startswith(
        "Change Basic to Pro for $40.00 a month? It counts at once, and about $30.00 is charged now:"
    )
    assert (plan(buyer), wishes(buyer)) == (("basic", 1), 0), "asking changes nothing"
    assert say(buyer, "/plan unknown")["text"] == shown["text"], "what is not understood shows what there is"
    person.news()
    tap_twice(buyer, question, "Yes")
    until(lambda: plan(buyer) == ("pro", 1), what="the other plan")
    timed.quiet()
    assert 2999 <= owned(buyer)["latest_invoice"]["total"] <= 3000
    assert buyer.access("pro")["allowed"]
    told = person.news()
    assert len([text for text in told if text.startswith("Your subscription is now Pro.")]) == 1
    assert len([text for text in told if text.startswith("✅ Paid $") and "the change to Pro" in text]) == 1
    assert tap(buyer, question, "Yes")["text"].startswith("• Pro – $40.00 a month"), "it is so already"


def test_a_declined_change_leaves_everything_is_told_with_what_mends_it_and_is_tried_again(timed: Desk) -> None:
    person = subscribed(timed, "basic")
    buyer = person.buyer
    person.pay_with(DECLINED)
    question = say(buyer, "/plan pro-year")
    assert "begins a new cycle: about $590" in question["text"].replace(",", "")
    person.news()
    tap_twice(buyer, question, "Yes")
    until(lambda: "stays as it was" in "".join(buyer.told()), what="the refusal")
    refusal = next(one for one in timed.get("/v1/chat/messages", **buyer.who, limit=100)["data"][::-1]
                   if "stays as it was" in one["text"])  # fmt: skip
    assert refusal["text"].startswith("⚠️ Basic stays as it was, and nothing was charged: Your card was declined.")
    assert [one["label"] for one in refusal["buttons"]] == ["Use another card", "Try again"]
    assert refusal["buttons"][0]["url"].startswith(f"{timed.url}/billing/{buyer.id}.")
    assert (plan(buyer), owned(buyer)["status"]) == (("basic", 1), "active")
    assert not timed.sql("SELECT 1 FROM outbox WHERE channel = 'admin' AND customer_id = $1", buyer.id), (
        "no news for the shop"
    )
    person.pay_with(GOOD)
    again = tap(buyer, refusal, "Try again")
    assert button(again, "Yes")["command"] != button(question, "Yes")["command"], "asked anew"
    tap_twice(buyer, again, "Yes")
    until(lambda: plan(buyer) == ("pro-year", 1), what="the other plan")


def test_a_bank_that_wants_the_buyer_is_told_with_the_way_to_stripes_page(timed: Desk) -> None:
    person = subscribed(timed, "basic")
    buyer = person.buyer
    person.pay_with(ASKING)
    tap_twice(buyer, say(buyer, "/plan pro-year"), "Yes")
    until(lambda: "wants you to confirm" in "".join(buyer.told()), what="the bank's wish")
    timed.quiet()
    told = next(one for one in timed.get("/v1/chat/messages", **buyer.who, limit=100)["data"]
                if "wants you to confirm" in one["text"])  # fmt: skip
    assert [one["label"] for one in told["buttons"]] == ["To Stripe's page", "Try again"]
    assert (plan(buyer), owned(buyer)["status"]) == (("basic", 1), "active")


def test_a_cheaper_plan_waits_for_the_cycles_end_is_told_and_is_taken_back(timed: Desk) -> None:
    person = subscribed(timed, "pro")
    buyer = person.buyer
    question = say(buyer, "/plan basic")
    assert question["text"].startswith("Change Pro to Basic for $10.00 a month? You keep what you have until ")
    tap_twice(buyer, question, "Yes")
    until(lambda: owned(buyer)["pending_change"], what="the change that waits")
    assert any(text.startswith("Noted: Pro stays as it is until") for text in buyer.told())
    assert plan(buyer) == ("pro", 1)
    shown = say(buyer, "/billing")
    assert "Changes to Basic" in shown["text"]
    tap_twice(buyer, shown, "Stay with this plan")
    until(lambda: owned(buyer)["pending_change"] is None, what="the taking back")
    assert any(text == "Your plan is Pro, and it stays so." for text in buyer.told())
    assert "Stay with this plan" not in labels(say(buyer, "/billing"))
    tap_twice(buyer, say(buyer, "/plan basic"), "Yes")
    end = person.period_end
    person.until(end, after=-timedelta(minutes=5))
    assert (plan(buyer), buyer.access("pro")["allowed"]) == (("basic", 1), True)
    person.until(end, after=timedelta(hours=3))
    assert (plan(buyer), owned(buyer)["latest_invoice"]["total"]) == (("basic", 1), 1000)
    assert tap(buyer, question, "Yes")["text"].startswith("• Basic"), "an old button does nothing"


def test_what_is_asked_counts_for_a_day_and_at_the_price_that_was_shown(timed: Desk) -> None:
    person = subscribed(timed, "basic")
    buyer = person.buyer
    question = say(buyer, "/plan pro-year")
    command = button(question, "Yes")["command"]
    head, word, agreed, mark = command.rsplit(" ", 3)
    old = f"{head} {word} {agreed} {int(mark, 16) - 90_000_000:x}"
    assert button(say(buyer, old), "Yes")["label"] == "Yes, change it", "it is asked again"
    otherwise = f"{head} {word} {int(agreed, 16) ^ 1:08x} {mark}"
    assert button(say(buyer, otherwise), "Yes")["command"] != otherwise, (
        "it was asked of another plan, or for another day"
    )
    other = f"{head} {int(word, 16) ^ 1:08x} {agreed} {mark}"
    assert say(buyer, other)["text"].startswith("• Basic"), "another price was agreed to"
    for nonsense in (
        "/plan x0",
        "/plan x99999",
        "/plan #",
        f"/plan {word} zz",
        "/plan plans #99",
        "/plan \u0662",
        "/plan now now",
    ):
        say(buyer, nonsense)
    assert wishes(buyer) == 0
    stranger = subscribed(timed, "basic").buyer
    assert "no such subscription" in say(stranger, command)["text"]


def test_a_wish_at_a_price_that_nobody_agreed_to_changes_nothing(timed: Desk) -> None:
    """The catalogue may be edited, and a cycle may end, between the button and its being carried out."""
    person = subscribed(timed, "basic")
    buyer, own = person.buyer, person.own["id"]
    was = {"price": "pro", "quantity": 1, "status": "active", "paused": None, "ends": person.period_end.isoformat()}
    for number, wish in enumerate(
        (
            {"price": "pro-year", "quantity": 1, "agreed": 1},
            {"price": "pro-year", "quantity": 1, "agreed": 60_000, "when": "now", "was": was},
            {"price": "gone", "quantity": 1},
        )
    ):
        timed.sql(
            "INSERT INTO outbox (dedup_key, customer_id, channel, address, template, params) "
            "VALUES ($1, $2, 'stripe', $3, 'wish', $4::text::jsonb)",
            f"wish:{own}:{number}", buyer.id, own, json.dumps({"subscription": own, **wish}),
        )  # fmt: skip
    until(lambda: len([text for text in buyer.told() if "stays as it was" in text]) == 3, what="the refusals")
    timed.quiet()
    told = sorted(buyer.told()[-3:])
    assert all(
        one.startswith("What it costs has changed in the meantime, so Basic stays as it was.") for one in told[:2]
    )
    assert told[2].startswith("⚠️ Basic could not be changed: it stays as it was, and we have been told.")
    assert plan(buyer) == ("basic", 1)
    alerts = timed.sql("SELECT template FROM outbox WHERE channel = 'admin' AND customer_id = $1", buyer.id)
    assert [one["template"] for one in alerts] == ["alert_wish_refused"], "a price is nobody's to mend"


def test_what_was_asked_in_another_chat_is_told_in_that_one_too(timed: Desk) -> None:
    person = subscribed(timed, "basic")
    there = Buyer(timed, "app")
    link = person.buyer.say("/link")[1]["text"]
    said = there.say(link)
    if said[0]["buttons"]:
        said = there.say(said[0]["buttons"][0]["command"])
    assert "one person" in said[0]["text"]
    tap(there, say(there, "/pause"), "Yes")
    until(lambda: "Done. /billing shows how Basic stands." in there.told(), what="the answer there")
    timed.quiet()
    assert any(text.startswith("Basic is paused") for text in person.buyer.told()), "and the news where it was bought"
    assert not any(text.startswith("Done.") for text in person.buyer.told())


def test_in_a_trial_a_change_costs_nothing_until_its_end(timed: Desk) -> None:
    person = subscribed(timed, "trial-month")
    buyer = person.buyer
    shown = say(buyer, "/billing")
    assert labels(shown) == ["Change plan", "Cancel", "End now", "Cards, invoices, plan"]
    question = tap(buyer, tap(buyer, shown, "Change plan"), "@everyone Trial")
    assert "nothing is charged before your trial ends on" in question["text"]
    tap_twice(buyer, question, "Yes")
    until(lambda: plan(buyer) == ("trial-year", 1), what="the other plan")
    assert owned(buyer)["status"] == "trialing"


def test_what_waits_is_made_as_it_was_agreed_to_or_given_up_and_told(timed: Desk) -> None:
    """The plan, the price and the catalogue may change before the cycle ends, and an end be taken back."""
    moved, dearer, gone, kept = (subscribed(timed, "pro") for _ in range(4))
    for person in (moved, dearer, gone, kept):
        tap_twice(person.buyer, say(person.buyer, "/plan basic"), "Yes")
        person.news()
    noted = "UPDATE stripe_call SET params = params || $2::text::jsonb WHERE kind = 'planned_change' AND subject = $1"
    cost = {"amount": 900, "currency": "usd", "every": [1, "month"]}
    timed.sql(noted, dearer.own["id"], json.dumps({"agreed": cost}))
    timed.sql(noted, gone.own["id"], json.dumps({"price": "gone"}))
    item = moved.at_stripe["items"]["data"][0]["id"]
    moved.change(**{"items[0][id]": item, "items[0][quantity]": "2"})
    kept.change(cancel_at_period_end="true")
    kept.until(kept.period_end, after=-timedelta(minutes=4))
    assert owned(kept.buyer)["pending_change"], "what ends may be kept yet"
    say(kept.buyer, button(say(kept.buyer, "/keep"), "Keep")["command"])
    until(lambda: plan(kept.buyer) == ("basic", 1), what="the change that waited on")
    timed.quiet()
    for person, count, name in ((moved, 2, "Basic"), (dearer, 1, "Basic"), (gone, 1, "gone")):
        said = [text for text in person.news() if text.startswith(f"⚠️ The change to {name} that was noted is not made")]
        assert (len(said), plan(person.buyer), owned(person.buyer)["pending_change"]) == (1, ("pro", count), None)
        alerts = timed.sql("SELECT 1 FROM outbox WHERE channel = 'admin' AND customer_id = $1", person.buyer.id)
        assert len(alerts) == (person is not moved), "a price is the shop's to mend"


# --- another quantity ------------------------------------------------------------------------------------------------


def test_a_quantity_is_offered_where_more_give_more(timed: Desk) -> None:
    person = subscribed(timed, "seats")
    buyer = person.buyer
    shown = say(buyer, "/billing")
    asked = tap(buyer, shown, "Change quantity")
    assert labels(asked) == ["2", "3", "6", "11"], "never none: that is canceling"
    question = tap(buyer, asked, "3")
    assert question["text"].startswith(
        "Change Seats to Seats × 3 for $15.00 a month? It counts at once, and about $10.00"
    )
    tap_twice(buyer, question, "Yes")
    until(lambda: plan(buyer) == ("seats", 3), what="the three")
    fewer = say(buyer, "/plan 2")
    assert fewer["text"].startswith("Change Seats to Seats × 2 for $10.00 a month? You keep what you have until ")
    tap_twice(buyer, fewer, "Yes")
    until(lambda: owned(buyer)["pending_change"], what="the change that waits")
    assert (plan(buyer), owned(buyer)["pending_change"]["quantity"]) == (("seats", 3), 2)
    assert any("from then on it is Seats × 2" in text for text in buyer.told())
    assert "Pro for $40.00" in tap(buyer, say(buyer, "/plan plans"), "Pro – $40.00")["text"], "one role is enough"


# --- a pause, an end -------------------------------------------------------------------------------------------------


def test_a_pause_charges_nothing_and_going_on_costs_a_cycle_when_the_paid_one_is_over(timed: Desk) -> None:
    person = subscribed(timed, "basic")
    buyer = person.buyer
    question = tap(buyer, say(buyer, "/billing"), "Pause")
    assert question["text"].startswith("Pause Basic? Nothing is charged while it is paused. You keep it until ")
    tap_twice(buyer, question, "Yes")
    until(lambda: owned(buyer)["paused"], what="the pause")
    assert any(text.startswith("Basic is paused") for text in buyer.told())
    resume = tap(buyer, say(buyer, "/billing"), "Go on")
    assert resume["text"].startswith("Go on with Basic? It renews on ")
    tap_twice(buyer, resume, "Yes")
    until(lambda: not owned(buyer)["paused"], what="its end")
    assert any(text.startswith("Basic goes on") for text in buyer.told())
    tap_twice(buyer, say(buyer, "pauza"), "Yes")
    person.renews()
    assert not buyer.access("basic")["allowed"]
    asked = say(buyer, "/resume")
    assert (
        asked["text"]
        == "Go on with Basic? A new cycle begins: $10.00 a month, charged now. If your bank says no, it stays paused."
    )
    person.pay_with(DECLINED)
    tap_twice(buyer, asked, "Yes")
    until(lambda: "stays as it was" in "".join(buyer.told()), what="the refusal")
    assert (owned(buyer)["paused"], buyer.access("basic")["allowed"]) == (True, False), (
        "no pause over a renewal saves its price"
    )
    person.pay_with(GOOD)
    tap_twice(buyer, say(buyer, "/resume"), "Yes")
    until(lambda: buyer.access("basic")["allowed"], what="the new cycle")
    newest = owned(buyer)["latest_invoice"]
    assert (newest["status"], newest["total"], owned(buyer)["paused"]) == ("paid", 1000, False)
    assert timed.command("ledger", "check").returncode == 0


def cycles(person: Subscriber) -> list[int]:
    """What was paid for their cycles, by what Stripe has."""
    found = person.desk.at_stripe("GET", "/v1/invoices", {"subscription": person.own["id"], "limit": 100}).json()[
        "data"
    ]
    return [one["total"] for one in found if one["status"] == "paid"]


def go_on(desk: Desk, id_: str) -> int:
    return desk.call("PATCH", f"/v1/subscriptions/{id_}", json={"pause": False}).status_code


def test_however_many_go_on_at_once_one_cycle_is_paid_and_no_change_gives_what_nobody_paid(timed: Desk) -> None:
    often, late, refused = subscribed(timed, "basic"), subscribed(timed, "pro"), subscribed(timed, "pro")
    tap_twice(late.buyer, say(late.buyer, "/plan basic"), "Yes")
    for person in (often, late, refused):
        tap_twice(person.buyer, say(person.buyer, "/pause"), "Yes")
    answer = timed.call("PATCH", f"/v1/subscriptions/{refused.own['id']}", json={"price": "basic", "when": "now"})
    assert (answer.status_code, "is paused" in answer.text) == (409, True), answer.text
    late.renews()
    assert (plan(late.buyer), cycles(late)) == (("basic", 1), [4000]), "the bill of the dearer plan is void"
    id_ = often.own["id"]
    often.pay_with(DECLINED)
    assert go_on(timed, id_) == 402
    often.pay_with(GOOD)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: go_on(timed, id_), range(4))) == {200}
    assert go_on(timed, id_) == 200, "it goes on already"
    timed.quiet()
    assert (cycles(often), owned(often.buyer)["paused"]) == ([1000, 1000], False)
    tap_twice(late.buyer, say(late.buyer, "/resume"), "Yes")
    until(lambda: not owned(late.buyer)["paused"], what="its going on")
    assert cycles(late) == [1000, 4000], "what was never paid is no credit"


def test_while_a_renewals_bill_is_a_draft_a_pause_costs_access_and_going_on_no_second_cycle(timed: Desk) -> None:
    before, within = subscribed(timed, "basic"), subscribed(timed, "basic")
    before_end = before.period_end
    before.until(before_end, after=-timedelta(minutes=5))
    tap_twice(before.buyer, say(before.buyer, "/pause"), "Yes")
    before.until(within.period_end, after=timedelta(minutes=12))
    question = say(within.buyer, "/pause")
    assert "The cycle that has just begun is not paid yet" in question["text"]
    tap_twice(within.buyer, question, "Yes")
    assert not within.may("basic")
    for person in (before, within):
        tap_twice(person.buyer, say(person.buyer, "/resume"), "Yes")
        assert not owned(person.buyer)["paused"]
    before.until(before_end, after=timedelta(hours=3))
    for person in (before, within):
        assert (cycles(person), person.may("basic")) == ([1000, 1000], True)


def test_an_end_at_once_says_what_is_lost_and_an_end_with_the_period_is_offered(timed: Desk) -> None:
    person = subscribed(timed, "pro")
    buyer = person.buyer
    question = tap(buyer, say(buyer, "/billing"), "End now")
    assert question["text"].startswith("End Pro at once? You lose basic and pro now instead of on ")
    assert labels(question) == ["Yes, end it now", "End it with its period", "No, leave it"]
    assert tap(buyer, question, "End it with")["text"].startswith("Cancel Pro? You keep it until ")
    said = [tap(buyer, question, "Yes")["text"] for _ in range(2)]
    assert said[0].startswith("One moment")
    until(lambda: not buyer.access("pro")["allowed"], what="the end")
    timed.quiet()
    assert owned(buyer, "canceled")["ended_at"]
    assert (wishes(buyer), buyer.access("pro")["allowed"]) == (1, False)
    assert any(text.startswith("Your subscription to Pro has ended.") for text in buyer.told())
    assert "no subscription" in tap(buyer, question, "Yes")["text"]


def test_of_several_subscriptions_each_has_its_own_button_and_none_is_doubled(timed: Desk) -> None:
    person = subscribed(timed, "basic")
    buyer = person.buyer
    timed.settled(paid(buyer, "seats"), "paid")
    shown = say(buyer, "/billing")
    assert sorted(one for one in labels(shown) if one.startswith("Change")) == ["Change Basic", "Change Seats"]
    assert sorted(labels(say(buyer, "/plan"))) == ["Basic", "Seats"]
    which = say(buyer, "/plan pro-year")
    question = tap(buyer, which, "Basic")
    assert question["text"].startswith("Change Basic to Pro for $600.00 a year?")
    plans = tap(buyer, tap(buyer, shown, "Change Basic"), "Change plan")
    assert all("Seats" not in label for label in labels(plans)), "that one they have already"
    tap_twice_of_several(buyer, question)


def tap_twice_of_several(buyer: Buyer, question: Json) -> None:
    for _ in range(2):
        tap(buyer, question, "Yes")
    has = lambda: sorted(one["items"][0]["price"] for one in  # noqa: E731
                         buyer.desk.get("/v1/subscriptions", customer=buyer.id, status="live")["data"])  # fmt: skip
    until(lambda: has() == ["pro-year", "seats"], what="the other plan")
    assert wishes(buyer) == 1


# --- what was not paid -----------------------------------------------------------------------------------------------


def test_what_was_never_paid_ends_at_once_and_no_day_is_promised(timed: Desk) -> None:
    buyer = timed.buyer()
    buyer.say("/start")
    begun = timed.post("/v1/subscriptions", {"customer": buyer.who, "price": "basic"})
    assert begun["status"] == "incomplete"
    timed.quiet()
    shown = say(buyer, "/billing")
    assert labels(shown) == ["Pay", "Cancel", "Cards, invoices, plan"]
    question = say(buyer, "/cancel")
    assert question["text"] == "Cancel Basic? It was never paid, so it ends at once, and nothing is charged."
    done = tap(buyer, question, "Yes")
    assert done["text"].startswith("Basic is being canceled. It was never paid, so it ends at once")
    assert labels(done) == []
    until(lambda: not timed.get("/v1/subscriptions", customer=buyer.id, status="live")["data"], what="the end")


def test_an_unpaid_renewal_is_kept_to_the_end_of_grace_and_no_plan_is_changed_before_it_is_paid(timed: Desk) -> None:
    person = subscribed(timed, "basic")
    buyer = person.buyer
    person.pay_with(DECLINED)
    failed = person.period_end
    person.until(failed, after=timedelta(hours=3))
    assert person.own["status"] == "past_due"
    shown = say(buyer, "/billing")
    assert labels(shown) == ["Pay", "Cancel", "End now", "Cards, invoices, plan"]
    assert say(buyer, "/plan plans")["text"].startswith("That cannot be done with Basic just now.")
    assert say(buyer, "/pause")["text"].startswith("That cannot be done with Basic just now.")
    question = say(buyer, "/cancel")
    assert "Its last bill is still open: unless that is paid, you keep it only until" in question["text"]
    person.until(failed, after=6 * DAY)
    assert "You do not have what it gives just now" in say(buyer, "/cancel")["text"]
    assert say(buyer, "/plan now")["text"].startswith("End Basic at once? No money is given back")

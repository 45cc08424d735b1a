"""Subscriptions change: another plan, a pause, an end and its taking back, by API, chat and portal alike."""

from __future__ import annotations

from typing import Any

import httpx

from desk import Buyer, Desk, start_service
from sandbox_fixtures import until
from story_subscriptions import price_at_stripe

Json = dict[str, Any]


def advance(desk: Desk, span: str) -> None:
    """Move the sandbox's clock, and wait until the desk has followed and nothing waits."""
    desk.sandbox.advance(span)
    offset_s = httpx.get(f"{desk.sandbox.url}/_sandbox/clock").json()["offset_s"]
    until(lambda: desk.sql("SELECT clock_offset_s FROM desk")[0]["clock_offset_s"] == offset_s, what="the desk's clock")
    desk.quiet()


def subscribed(buyer: Buyer, price: str) -> Json:
    """Buy by the hosted page; the subscription."""
    buyer.buy(price)
    return only(buyer)


def only(buyer: Buyer, status: str = "live") -> Json:
    """The one subscription they have."""
    found: list[Json] = buyer.desk.get("/v1/subscriptions", customer=buyer.id, status=status)["data"]
    assert len(found) == 1, found
    return found[0]


def change(desk: Desk, subscription: Json, **wish: Any) -> Json:
    answer = desk.call("PATCH", f"/v1/subscriptions/{subscription['id']}", json=wish)
    assert answer.status_code == 200, answer.text
    desk.quiet()
    body: Json = answer.json()
    assert body == desk.get(f"/v1/subscriptions/{subscription['id']}"), "what was answered is what is known"
    return body


def plan(subscription: Json) -> tuple[str, int]:
    (item,) = subscription["items"]
    return item["price"], item["quantity"]


def card_of(desk: Desk, buyer: Buyer, card: str) -> None:
    """Let their subscription be paid by another card from now on."""
    payer = desk.sql("SELECT stripe_customer FROM customer WHERE id = $1", buyer.id)[0]["stripe_customer"]
    method = desk.at_stripe("POST", f"/v1/payment_methods/{card}/attach", {"customer": payer}).json()["id"]
    id_ = only(buyer)["id"]
    answer = desk.at_stripe("POST", f"/v1/subscriptions/{id_}", {"default_payment_method": method})
    assert answer.status_code == 200, answer.text


# --- another plan ----------------------------------------------------------------------------------------------------


def test_a_dearer_plan_counts_and_is_charged_at_once(desk: Desk) -> None:
    buyer = desk.buyer()
    before = subscribed(buyer, "plus")
    assert plan(before) == ("plus", 1)
    after = change(desk, before, price="pro")
    assert (plan(after), after["status"], after["pending_change"]) == (("pro", 1), "active", None)
    assert buyer.access("pro")["allowed"]
    assert after["latest_invoice"]["status"] == "paid"
    assert 2999 <= after["latest_invoice"]["total"] <= 3000, "the rest of the cycle, less what was not used"
    assert 999 <= buyer.balance() <= 1000, "what the cycle's money paid for, of either plan"


def test_a_declined_upgrade_changes_nothing(desk: Desk) -> None:
    buyer = desk.buyer()
    before = subscribed(buyer, "plus")
    card_of(desk, buyer, "pm_card_chargeCustomerFail")
    desk.quiet()
    answer = desk.call("PATCH", f"/v1/subscriptions/{before['id']}", json={"price": "pro"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (402, "card_declined"), answer.text
    desk.quiet()
    after = only(buyer)
    assert (plan(after), after["status"], after["latest_invoice"]) == (("plus", 1), "active", before["latest_invoice"])
    assert not buyer.access("pro")["allowed"]
    assert buyer.balance() == 100


def test_a_cheaper_plan_counts_from_the_next_cycle(timed: Desk) -> None:
    buyer = timed.buyer()
    before = subscribed(buyer, "pro")
    end = before["items"][0]["current_period_end"]
    waiting = change(timed, before, price="plus")
    assert plan(waiting) == ("pro", 1)
    assert waiting["pending_change"] == {"price": "plus", "stripe_price": None, "quantity": 1, "at": end}
    assert buyer.access("pro")["allowed"]
    span_s = timed.sql("SELECT extract(epoch FROM $1::text::timestamptz - desk_now())::int AS s", end)[0]["s"]
    advance(timed, f"{span_s - 300}s")
    until(lambda: plan(only(buyer)) == ("plus", 1), what="the other plan")
    assert only(buyer)["pending_change"] is None
    timed.quiet()
    last = buyer.access("pro")
    assert (last["allowed"], last["until"]) == (True, end), "the dearer plan is paid for to the second"
    assert buyer.access("plus")["allowed"]
    assert timed.command("ledger", "check").returncode == 0
    advance(timed, "2h")
    until(lambda: only(buyer)["latest_invoice"]["id"] != before["latest_invoice"]["id"], what="the renewal")
    assert only(buyer)["latest_invoice"]["total"] == 1000
    assert not buyer.access("pro")["allowed"]
    assert buyer.access("plus")["allowed"]
    timed.quiet()
    assert buyer.balance() == 1100
    assert change(timed, only(buyer), price="pro", when="period_end")["pending_change"] is not None
    assert timed.command("ledger", "check").returncode == 0, "what is over stays over"


def test_a_waiting_change_that_was_missed_is_made_up_for(timed: Desk) -> None:
    buyer = timed.buyer()
    before = subscribed(buyer, "pro")
    change(timed, before, price="plus")
    advance(timed, "32d")
    until(lambda: plan(only(buyer)) == ("plus", 1), what="the other plan")
    timed.quiet()
    invoice = only(buyer)["latest_invoice"]
    assert (invoice["status"], invoice["total"]) == ("paid", -3000), "the cycle that was billed by the old plan"


def test_a_waiting_change_is_taken_back_by_wishing_for_the_plan_that_is(desk: Desk) -> None:
    buyer = desk.buyer()
    before = subscribed(buyer, "pro")
    assert change(desk, before, price="plus")["pending_change"]["price"] == "plus"
    assert change(desk, before, price="pro")["pending_change"] is None


def test_the_quantity_changes_now_when_more_is_wanted_and_at_the_end_when_less(desk: Desk) -> None:
    buyer = desk.buyer()
    before = subscribed(buyer, "plus")
    more = change(desk, before, quantity=3)
    assert plan(more) == ("plus", 3)
    less = change(desk, before, quantity=2)
    assert (plan(less), less["pending_change"]["quantity"]) == (("plus", 3), 2)


# --- an end, a pause -------------------------------------------------------------------------------------------------


def test_t31_canceled_at_the_end_taken_back_and_canceled_now(desk: Desk) -> None:
    buyer = desk.buyer()
    before = subscribed(buyer, "plus")
    ending = change(desk, before, cancel_at_period_end=True)
    assert ending["cancel_at"] == ending["until"] == before["items"][0]["current_period_end"]
    assert buyer.access("plus")["until"] == ending["until"]
    assert change(desk, before, cancel_at_period_end=False)["cancel_at"] is None
    assert buyer.access("plus") == {**buyer.access("plus"), "allowed": True, "until": None}
    later = desk.call("DELETE", f"/v1/subscriptions/{before['id']}", params={"at": "period_end"})
    assert later.json()["cancel_at"] == ending["cancel_at"]
    ended = desk.call("DELETE", f"/v1/subscriptions/{before['id']}")
    assert (ended.status_code, ended.json()["status"]) == (200, "canceled")
    assert ended.json()["ended_at"] is not None
    again = desk.call("DELETE", f"/v1/subscriptions/{before['id']}")
    assert (again.status_code, again.json()) == (200, ended.json())
    desk.quiet()
    assert not buyer.access("plus")["allowed"]


def test_t31_a_pause_gives_until_the_paid_up_time_and_ends_when_it_is_resumed(desk: Desk) -> None:
    buyer = desk.buyer()
    before = subscribed(buyer, "plus")
    paused = change(desk, before, pause=True)
    assert (paused["paused"], paused["until"]) == (True, before["items"][0]["current_period_end"])
    resumed = change(desk, before, pause=False)
    assert (resumed["paused"], resumed["until"]) == (False, None)


# --- the chat --------------------------------------------------------------------------------------------------------


def button(replies: list[Json], label: str) -> Json:
    return next(one for reply in replies for one in reply["buttons"] if label in one["label"])


def test_the_chat_names_the_cycle_and_the_trial(desk: Desk) -> None:
    buyer = desk.buyer()
    plus, vip = buyer.say("/buy plus")[0], buyer.say("/buy vip-month")[0]
    assert plus["text"].startswith("Plus for $10.00 a month.")
    assert plus["buttons"][0]["label"] == "Pay $10.00 a month"
    assert vip["text"].startswith("VIP for 19.99 PLN a month, the first 7 days for free.")


def test_billing_cancel_and_keep_in_the_chat(desk: Desk) -> None:
    buyer = desk.buyer()
    assert "no subscription" in buyer.say("/billing")[0]["text"]
    before = subscribed(buyer, "plus")
    shown = buyer.say("/billing")
    assert shown[0]["text"].startswith("• Plus – $10.00 a month. Renews on ")
    question = buyer.say(button(shown, "Cancel")["command"])
    assert question[0]["text"].startswith("Cancel Plus? You keep it until ")
    assert only(buyer)["cancel_at"] is None, "asking changes nothing"
    yes = button(question, "Yes")["command"]
    said = [buyer.say(yes), buyer.say(yes)]
    until(lambda: only(buyer)["cancel_at"] == before["items"][0]["current_period_end"], what="the end")
    desk.quiet()
    assert "Ends on" in buyer.say("/billing")[0]["text"]
    assert len(desk.sql("SELECT 1 FROM outbox WHERE template = 'wish' AND address = $1", before["id"])) == 1
    buyer.say(button(said[0], "Keep")["command"])
    until(lambda: only(buyer)["cancel_at"] is None, what="the taking back")


def test_a_wish_that_cannot_be_is_told_to_the_buyer_and_to_the_people_of_the_desk(desk: Desk) -> None:
    buyer = desk.buyer()
    own = subscribed(buyer, "plus")["id"]
    desk.sql(
        "INSERT INTO outbox (dedup_key, customer_id, channel, address, template, params) "
        "VALUES ($1, $2, 'stripe', $3, 'wish', jsonb_build_object('subscription', $3::text, 'price', 'gone'))",
        f"wish:{own}:gone", buyer.id, own,
    )  # fmt: skip
    until(lambda: "could not be changed" in buyer.told()[-1], what="the refusal in the thread")
    desk.quiet()
    assert buyer.told()[-1].startswith("⚠️ Plus could not be changed: it stays as it was")
    (wish,) = desk.sql("SELECT state FROM outbox WHERE template = 'wish' AND address = $1", own)
    assert wish["state"] == "sent", "it is dealt with: nothing dead is left for somebody to find"
    said = desk.sql("SELECT text FROM message WHERE channel = 'admin' ORDER BY id DESC LIMIT 1")[0]["text"]
    assert own in said
    assert "gone" in said


def test_what_a_schedule_at_stripe_drives_is_let_go_of_and_ends_with_its_period(desk: Desk) -> None:
    buyer = desk.buyer()
    own = subscribed(buyer, "plus")["id"]
    made = desk.at_stripe("POST", "/v1/subscription_schedules", {"from_subscription": own})
    assert made.status_code == 200, made.text
    buyer.say(button(buyer.say("/cancel"), "Yes")["command"])
    until(lambda: only(buyer)["cancel_at"] is not None, what="the end")
    schedule = desk.at_stripe("GET", f"/v1/subscription_schedules/{made.json()['id']}").json()
    assert (schedule["status"], schedule["released_subscription"]) == ("released", own)


def test_nobody_cancels_what_is_somebody_elses(desk: Desk) -> None:
    buyer, stranger = desk.buyer(), desk.buyer()
    before = subscribed(buyer, "plus")
    yes = button(buyer.say("/cancel"), "Yes")["command"]
    for words in (yes, yes.replace("/cancel", "/keep"), "/cancel sub_nothing yes"):
        assert "no such subscription" in stranger.say(words)[0]["text"]
    desk.quiet()
    assert only(buyer) == before


def test_the_chats_link_leads_to_the_portal_and_only_when_it_is_pressed(desk: Desk) -> None:
    buyer = desk.buyer()
    subscribed(buyer, "plus")
    link = button(buyer.say("/billing"), "Cards")["url"]
    made = len([e for e in desk.events_at_stripe() if e["type"] == "billing_portal.session.created"])
    assert httpx.get(link).status_code == 200
    assert len([e for e in desk.events_at_stripe() if e["type"] == "billing_portal.session.created"]) == made
    pressed = httpx.post(link, headers={"Origin": desk.url})
    assert pressed.status_code == 303
    assert pressed.headers["location"].startswith(f"{desk.sandbox.url}/p/session/")
    wrong = link[:-1] + ("0" if link[-1] != "0" else "1")
    assert (httpx.get(wrong).status_code, httpx.post(wrong, headers={"Origin": desk.url}).status_code) == (404, 404)


def test_a_change_in_the_portal_is_taken_over(desk: Desk) -> None:
    """The portal changes Stripe; its event alone tells us."""
    buyer = desk.buyer()
    before = subscribed(buyer, "plus")
    desk.at_stripe("POST", f"/v1/subscriptions/{before['id']}", {"cancel_at_period_end": "true"})
    until(lambda: only(buyer)["cancel_at"] is not None, what="the end")


def priced(desk: Desk, subscription: Json, price: str, **more: str) -> None:
    """Let a subscription have another price, as from the dashboard."""
    path = f"/v1/subscriptions/{subscription['id']}"
    (item,) = desk.at_stripe("GET", path).json()["items"]["data"]
    answer = desk.at_stripe("POST", path, {"items[0][id]": item["id"], "items[0][price]": price, **more})
    assert answer.status_code == 200, answer.text


def test_a_cheaper_plan_that_counts_at_once_in_stripe_counts_at_once_here(desk: Desk) -> None:
    """Stripe gives back what is not used of the dearer plan, so that nothing of it is left to be given."""
    buyer = desk.buyer()
    before = subscribed(buyer, "pro")
    priced(desk, before, price_at_stripe(desk, 1000, "plus"))
    until(lambda: plan(only(buyer)) == ("plus", 1), what="the other plan")
    desk.quiet()
    assert not buyer.access("pro")["allowed"]
    assert buyer.access("plus")["allowed"]


def test_a_cheaper_plan_that_stripe_keeps_for_the_next_cycle_counts_from_then(timed: Desk) -> None:
    """As the portal plans it: a schedule at Stripe holds the change until the cycle ends."""
    buyer = timed.buyer()
    before = subscribed(buyer, "pro")
    dear = price_at_stripe(timed, 4000, "pro")
    priced(timed, before, dear, proration_behavior="none")
    schedule = timed.at_stripe("POST", "/v1/subscription_schedules", {"from_subscription": before["id"]}).json()
    (phase,) = schedule["phases"]
    phases = {
        "phases[0][items][0][price]": dear, "phases[0][items][0][quantity]": "1",
        "phases[0][start_date]": str(phase["start_date"]), "phases[0][end_date]": str(phase["end_date"]),
        "phases[1][items][0][price]": price_at_stripe(timed, 1000, "plus"), "phases[1][items][0][quantity]": "1",
        "end_behavior": "release",
    }  # fmt: skip
    answer = timed.at_stripe("POST", f"/v1/subscription_schedules/{schedule['id']}", phases)
    assert answer.status_code == 200, answer.text
    timed.quiet()
    advance(timed, "20d")
    assert (plan(only(buyer)), buyer.access("pro")["allowed"]) == (("pro", 1), True)
    advance(timed, "13d")
    until(lambda: plan(only(buyer)) == ("plus", 1), what="the other plan")
    timed.quiet()
    assert not buyer.access("pro")["allowed"]
    assert buyer.access("plus")["allowed"]
    assert timed.command("ledger", "check").returncode == 0


# --- one of each -----------------------------------------------------------------------------------------------------


def test_t33_who_has_one_is_shown_it_instead_of_buying_it_again(desk: Desk) -> None:
    buyer = desk.buyer()
    have = subscribed(buyer, "plus")
    answer = desk.call("POST", "/v1/checkouts", json={"customer": buyer.who, "items": [{"price": "plus"}]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "already_subscribed")
    assert have["id"] in answer.json()["error"]["message"]
    said = buyer.say("/buy plus")
    assert said[0]["text"].startswith("You have Plus already:\n• Plus – $10.00 a month. Renews on ")
    assert button(said, "Cards")["url"]


def test_t33_an_older_open_page_is_expired_when_another_is_paid(desk: Desk) -> None:
    buyer = desk.buyer()
    older = buyer.checkout("plus")
    buyer.buy("plus")
    until(lambda: desk.get(f"/v1/orders/{older['id']}")["status"] == "canceled", what="the older order's end")
    session = desk.at_stripe("GET", f"/v1/checkout/sessions/{older['session']}").json()
    assert session["status"] == "expired"
    assert buyer.pay(older).status_code != 200


def test_t33_one_of_two_that_were_paid_ends_and_goes_back_in_full(own_desk: Desk) -> None:
    desk = own_desk
    buyer = desk.buyer()
    first, second = buyer.checkout("plus"), buyer.checkout("plus")
    desk.stop()
    desk.process = start_service(desk.settings, desk.port, "--no-work")
    assert [buyer.pay(order).status_code for order in (first, second)] == [200, 200], "both pages were open"
    desk.stop()
    desk.process = start_service(desk.settings, desk.port)
    statuses = lambda: [desk.get(f"/v1/orders/{order['id']}")["status"] for order in (first, second)]  # noqa: E731
    until(lambda: "refunded" in statuses(), patience_s=40, what="the money's way back")
    desk.quiet()
    assert sorted(statuses()) == ["fulfilled", "refunded"], "in the same second either may stay, never both or none"
    assert only(buyer)["status"] == "active"
    assert desk.get(f"/v1/orders/{only(buyer)['order']}")["status"] == "fulfilled"
    assert buyer.balance() == 100
    assert buyer.access("plus")["allowed"]
    told = [text for text in buyer.told() if "subscribed to Plus twice" in text]
    assert len(told) == 1
    assert "$10.00" in told[0]
    alerts = desk.sql("SELECT 1 FROM outbox WHERE template = 'alert_subscribed_twice' AND customer_id = $1", buyer.id)
    assert len(alerts) == 1


# --- coupons and trials ----------------------------------------------------------------------------------------------


def test_a_coupon_and_a_code_make_it_cheaper_and_a_whole_one_free(desk: Desk) -> None:
    half = desk.at_stripe("POST", "/v1/coupons", {"percent_off": "50", "duration": "once"}).json()["id"]
    whole = desk.at_stripe("POST", "/v1/coupons", {"percent_off": "100", "duration": "forever"}).json()["id"]
    desk.at_stripe("POST", "/v1/promotion_codes",
                   {"promotion[type]": "coupon", "promotion[coupon]": half, "code": "HALF"})  # fmt: skip
    for given, total, more in (
        ({"coupon": half}, 500, {}), ({"promotion_code": "HALF"}, 500, {}),
        ({"coupon": whole}, 0, {"payment_method_collection": "if_required"}),
    ):  # fmt: skip
        buyer = desk.buyer()
        body = {"customer": buyer.who, "items": [{"price": "plus"}], **given, **more}
        order = desk.post("/v1/checkouts", body)
        form = {"expected_amount": str(total), **({"payment_method": "pm_card_visa"} if total else {})}
        paid = desk.at_stripe("POST", f"/v1/payment_pages/{order['session']}/confirm", form)
        assert paid.status_code == 200, paid.text
        desk.settled(order["id"])
        assert only(buyer)["latest_invoice"]["total"] == total
        assert buyer.access("plus")["allowed"]


def test_t29_a_trial_without_a_card_ends_access_on_time(timed: Desk) -> None:
    buyer = timed.buyer()
    buyer.say("/start")
    begun = timed.post("/v1/subscriptions", {"customer": buyer.who, "price": "vip-month"})
    assert begun["status"] == "trialing"
    timed.quiet()
    assert buyer.access("vip")["allowed"]
    advance(timed, "8d")
    until(lambda: only(buyer, "canceled")["status"] == "canceled", what="the end")
    assert not buyer.access("vip")["allowed"]


# --- a payment that is missing ---------------------------------------------------------------------------------------


def test_the_link_of_an_unpaid_bill_leads_to_its_page(timed: Desk) -> None:
    buyer = timed.buyer()
    before = subscribed(buyer, "plus")
    card_of(timed, buyer, "pm_card_chargeCustomerFail")
    advance(timed, "32d")
    until(lambda: only(buyer)["status"] == "past_due", what="the failed renewal")
    assert only(buyer)["latest_invoice"]["id"] != before["latest_invoice"]["id"]
    link = button(buyer.say("/billing"), "Pay")["url"]
    pressed = httpx.post(link, headers={"Origin": timed.url})
    assert pressed.status_code == 303, pressed.text
    assert pressed.headers["location"] == only(buyer)["latest_invoice"]["url"]

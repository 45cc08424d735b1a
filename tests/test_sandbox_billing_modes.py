"""Classic and flexible billing: where they differ in cycles, trials and words."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import pytest

from billing_fixtures import Biller, biller, billing_sandbox, moment


@pytest.mark.parametrize(
    ("mode", "anchor", "end", "total"),
    [("classic", "2026-04-16", "2027-04-16", 9500), ("flexible", "2026-04-01", "2027-04-01", 9089)],
)
def test_another_interval_is_invoiced_now_and_moves_the_cycle_of_classic_billing(
    biller: Biller, mode: str, anchor: str, end: str, total: int
) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer, month, year = biller.customer(), biller.price(1000), biller.price(10000, "year")
    subscription = biller.subscribe(customer, month, **{"billing_mode[type]": mode})
    biller.advance("2026-04-16T00:00:00")
    change = {"items[0][id]": subscription["items"]["data"][0]["id"], "items[0][price]": year}
    preview = biller.post("invoices/create_preview", subscription=subscription["id"],
                          **{f"subscription_details[items]{name[5:]}": value for name, value in change.items()})  # fmt: skip
    now = biller.post(f"subscriptions/{subscription['id']}", **change)
    assert now["billing_cycle_anchor"] == moment(f"{anchor}T00:00:00")
    assert now["items"]["data"][0]["current_period_end"] == moment(f"{end}T00:00:00")
    invoice = biller.get(f"invoices/{now['latest_invoice']}")
    assert (invoice["total"], invoice["status"]) == (total, "paid")
    assert preview["total"] == total


@pytest.mark.parametrize(("mode", "anchor"), [("classic", "2026-04-16"), ("flexible", "2026-04-01")])
def test_from_free_to_paid_begins_a_new_cycle_with_classic_billing_only(biller: Biller, mode: str, anchor: str) -> None:
    biller.freeze("2026-04-01T00:00:00")
    subscription = biller.subscribe(biller.customer(), biller.price(0), **{"billing_mode[type]": mode})
    biller.advance("2026-04-16T00:00:00")
    now = biller.post(f"subscriptions/{subscription['id']}", proration_behavior="always_invoice", **{
        "items[0][id]": subscription["items"]["data"][0]["id"], "items[0][price]": biller.price(1000)})  # fmt: skip
    assert now["billing_cycle_anchor"] == moment(f"{anchor}T00:00:00")
    total = biller.get(f"invoices/{now['latest_invoice']}")["total"]
    assert total == (1000 if mode == "classic" else 500)


@pytest.mark.parametrize(
    ("mode", "said"), [("classic", "Trial period for Gold"), ("flexible", "Free trial for 2 × Gold")]
)
def test_the_line_of_a_trial_is_in_the_words_of_its_billing_mode(biller: Biller, mode: str, said: str) -> None:
    more = {"billing_mode[type]": mode, "items[0][quantity]": "2", "expand[0]": "latest_invoice"}
    made = biller.subscribe(biller.customer(), biller.price(1000), trial_period_days="7", **more)
    assert [line["description"] for line in made["latest_invoice"]["lines"]["data"]] == [said]


def test_the_start_of_a_trial_is_that_of_the_latest_one(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer = biller.customer()
    made = {mode: biller.subscribe(customer, biller.price(1000), trial_period_days="7", **{"billing_mode[type]": mode})
            for mode in ("classic", "flexible")}  # fmt: skip
    biller.advance("2026-04-20T00:00:00")
    again = {mode: biller.post(f"subscriptions/{one['id']}", trial_end=str(moment("2026-05-20T00:00:00")))
             for mode, one in made.items()}  # fmt: skip
    assert {mode: one["trial_start"] for mode, one in again.items()} == {
        "classic": moment("2026-04-01T00:00:00"), "flexible": moment("2026-04-20T00:00:00"),
    }  # fmt: skip


@pytest.mark.parametrize(("mode", "credit"), [("classic", -1000), ("flexible", -500)])
def test_a_credit_of_flexible_billing_is_worth_what_was_billed(biller: Biller, mode: str, credit: int) -> None:
    coupon = biller.post("coupons", percent_off="50", duration="once")["id"]
    biller.freeze("2026-04-01T00:00:00")
    made = biller.subscribe(biller.customer(), biller.price(1000), **{
        "billing_mode[type]": mode, "discounts[0][coupon]": coupon})  # fmt: skip
    first = biller.get(f"invoices/{made['latest_invoice']}")
    gone = biller.call("DELETE", f"/v1/subscriptions/{made['id']}", {"prorate": "true", "invoice_now": "true"})
    last = biller.get(f"invoices/{gone['latest_invoice']}")
    assert (first["total"], last["total"]) == (500, credit)
    credited = last["lines"]["data"][0]["parent"]["subscription_item_details"]["proration_details"]["credited_items"]
    billed = {"invoice": first["id"], "invoice_line_items": [first["lines"]["data"][0]["id"]]}
    assert credited == (billed if mode == "flexible" else None)


def test_flexible_credits_follow_every_debit_and_credit_before_them(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    fixed = biller.post("coupons", amount_off="900", currency="usd", duration="forever")["id"]
    cheap = biller.subscribe(biller.customer(), biller.price(1000), **{"discounts[0][coupon]": fixed})
    grown, changed = (biller.subscribe(biller.customer(), biller.price(1000)) for _ in range(2))
    item = {"items[0][id]": grown["items"]["data"][0]["id"], "items[0][quantity]": "5"}
    biller.post(f"subscriptions/{grown['id']}", proration_behavior="none", **item)
    biller.advance("2026-04-16T00:00:00")
    item = {"items[0][id]": changed["items"]["data"][0]["id"], "items[0][quantity]": "3"}
    biller.post(f"subscriptions/{changed['id']}", **item)
    given = []
    for one in (cheap, grown, changed):
        ended = biller.call("DELETE", f"/v1/subscriptions/{one['id']}", {"prorate": "true", "invoice_now": "true"})
        lines = biller.get(f"invoices/{ended['latest_invoice']}")["lines"]["data"]
        given.append(sorted(line["amount"] for line in lines))
    assert given == [[-50], [-500], [-1500, -500, 1500]]

"""Invoices that do not exist yet, in the sandbox: previews, the older upcoming invoice; and plans, the older prices."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import pytest

from billing_fixtures import Biller, Json, biller, billing_sandbox, moment

_ACACIA = "2024-09-30.acacia"


def upcoming(biller: Biller, path: str = "upcoming", version: str = _ACACIA, **params: str) -> tuple[int, Json]:
    """Status and body of an older preview."""
    answer = biller.sandbox.call("GET", f"/v1/invoices/{path}", params, Stripe_Version=version)
    return answer.status_code, answer.json()


def test_the_upcoming_invoice_is_that_of_the_subscription_billed_next(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer = biller.customer()
    biller.subscribe(customer, biller.price(9000, "year"))
    soon = biller.subscribe(customer, biller.price(1000))
    status, row = upcoming(biller, customer=customer)
    assert (status, row["subscription"], row["total"], row["billing_reason"]) == (200, soon["id"], 1000, "upcoming")
    assert "id" not in row
    assert row["next_payment_attempt"] == moment("2026-05-01T01:00:00")
    assert (row["lines"]["data"][0]["type"], row["lines"]["data"][0]["price"]["unit_amount"]) == ("subscription", 1000)
    assert len(biller.all("invoices")) == 2


def test_the_older_words_for_a_change_are_understood(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer, big = biller.customer(), biller.price(3000)
    subscription = biller.subscribe(customer, biller.price(1000))
    item = subscription["items"]["data"][0]["id"]
    biller.advance("2026-04-16T00:00:00")
    change = {"subscription_items[0][id]": item, "subscription_items[0][price]": big}
    _, row = upcoming(biller, subscription=subscription["id"], **change)
    assert [line["amount"] for line in row["lines"]["data"]] == [-500, 1500, 3000]
    nested = {f"subscription_details[items][0][{name}]": value for name, value in (("id", item), ("price", big))}
    _, again = upcoming(biller, "upcoming/lines", subscription=subscription["id"], limit="2", **nested)
    assert ([line["amount"] for line in again["data"]], again["has_more"]) == ([-500, 1500], True)
    _, rest = upcoming(biller, "upcoming/lines", subscription=subscription["id"],
                       starting_after=again["data"][1]["id"], **nested)  # fmt: skip
    assert ([line["amount"] for line in rest["data"]], rest["has_more"]) == ([3000], False)
    _, now = upcoming(biller, subscription=subscription["id"], subscription_billing_cycle_anchor="now")
    assert now["lines"]["data"][-1]["period"]["start"] == moment("2026-04-16T00:00:00")
    coupon = biller.post("coupons", percent_off="10", duration="once")["id"]
    assert upcoming(biller, subscription=subscription["id"], coupon=coupon)[1]["total"] == 900


def test_where_nothing_is_upcoming_it_is_404_and_newer_versions_have_another_way(biller: Biller) -> None:
    customer = biller.customer()
    status, body = upcoming(biller, customer=customer)
    assert (status, body["error"]["code"]) == (404, "invoice_upcoming_none")
    assert upcoming(biller)[1]["error"]["param"] == "customer"
    assert upcoming(biller, customer=customer, colour="red")[1]["error"]["code"] == "parameter_unknown"
    for path in ("upcoming", "upcoming/lines"):
        status, body = upcoming(biller, path, "2025-03-31.basil", customer=customer)
        assert (status, body["error"]["type"]) == (400, "invalid_request_error")
        assert "create_preview" in body["error"]["message"]
    biller.post("invoiceitems", customer=customer, amount="700", currency="usd")
    assert upcoming(biller, customer=customer)[1]["total"] == 700


def test_a_preview_of_prices_described_on_the_spot_makes_none(biller: Biller) -> None:
    customer, price = biller.customer(), biller.price(1000)
    product = biller.get(f"prices/{price}")["product"]
    before = len(biller.all("prices"))
    data = {"currency": "usd", "product": product, "unit_amount": "400"}
    items = {f"subscription_details[items][0][price_data][{name}]": value for name, value in data.items()}
    items |= {"subscription_details[items][0][price_data][recurring][interval]": "month"}
    items |= {f"invoice_items[0][price_data][{name}]": value for name, value in data.items()}
    biller.news()
    preview = biller.post("invoices/create_preview", customer=customer, **items)
    assert preview["total"] == 800
    assert preview["id"].startswith("upcoming_in")
    assert len(biller.all("prices")) == before
    assert biller.news() == []
    subscription = biller.subscribe(customer, price)["id"]
    biller.news()
    assert biller.post("invoices/create_preview", subscription=subscription, **items)["total"] == 1000 + 3 * 400
    assert (len(biller.all("prices")), biller.news()) == (before, [])


def test_a_preview_shows_units_trials_ends_and_what_recurs(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer, price = biller.customer(), biller.price(1000)
    units = {"invoice_items[0][unit_amount]": "333", "invoice_items[0][quantity]": "2",
             "invoice_items[0][currency]": "usd"}  # fmt: skip
    assert biller.post("invoices/create_preview", customer=customer, **units)["total"] == 666
    both = {"customer": customer, **units, "invoice_items[0][amount]": "1"}
    assert biller.refused("POST", "/v1/invoices/create_preview", both)[0] == 400
    trial = {"subscription_details[items][0][price]": price,
             "subscription_details[trial_end]": str(moment("2026-04-20T00:00:00"))}  # fmt: skip
    assert biller.post("invoices/create_preview", customer=customer, **trial)["total"] == 0
    subscription = biller.subscribe(customer, price)["id"]
    biller.post("invoiceitems", customer=customer, amount="55", currency="usd", subscription=subscription)
    assert biller.post("invoices/create_preview", subscription=subscription)["total"] == 1055
    assert biller.post("invoices/create_preview", subscription=subscription, preview_mode="recurring")["total"] == 1000
    biller.advance("2026-04-16T00:00:00")
    ended = biller.post("invoices/create_preview", subscription=subscription, **{
        "subscription_details[cancel_now]": "true"})  # fmt: skip
    assert [line["amount"] for line in ended["lines"]["data"]] == [55, -500]
    other = {"subscription": subscription, "customer": biller.customer()}
    assert biller.refused("POST", "/v1/invoices/create_preview", other)[::2] == (400, "subscription")
    deep = {"subscription": subscription, "subscription_details[items][0][colour]": "red"}
    assert biller.refused("POST", "/v1/invoices/create_preview", deep) == (
        400, "parameter_unknown", "subscription_details[items][0][colour]",
    )  # fmt: skip


def test_a_plan_is_a_price_seen_the_older_way(biller: Biller) -> None:
    biller.news()
    plan = biller.post("plans", id="gold", amount="900", currency="usd", interval="month", nickname="Gold",
                       **{"product[name]": "Gold"})  # fmt: skip
    assert (plan["id"], plan["amount"], plan["interval"], plan["active"]) == ("gold", 900, "month", True)
    assert biller.news() == ["product.created", "plan.created", "price.created"]
    assert biller.get("prices/gold")["unit_amount"] == 900
    price = biller.price(1000)
    biller.price(500, interval="")
    assert [one["id"] for one in biller.all("plans")] == [price, "gold"]
    assert [one["id"] for one in biller.get("plans", ending_before="gold")["data"]] == [price]
    assert biller.all("plans", product=plan["product"])[0]["id"] == "gold"
    biller.news()
    changed = biller.post("plans/gold", active="false", nickname="", trial_period_days="7", **{"metadata[a]": "b"})
    assert (changed["active"], changed["nickname"], changed["trial_period_days"]) == (False, None, 7)
    assert biller.get("prices/gold")["metadata"] == {"a": "b"}
    assert biller.news() == ["plan.updated", "price.updated"]
    subscription = biller.subscribe(biller.customer(), price)
    biller.news()
    assert biller.call("DELETE", f"/v1/plans/{price}") == {"id": price, "object": "plan", "deleted": True}
    assert biller.news() == ["plan.deleted", "price.deleted"]
    assert biller.refused("GET", f"/v1/plans/{price}") == (404, "resource_missing", "plan")
    assert biller.get(f"subscriptions/{subscription['id']}")["items"]["data"][0]["plan"]["id"] == price


@pytest.mark.parametrize(("wrong", "expected"), [
    ({"amount": None}, (400, "parameter_missing", "amount")),
    ({"amount_decimal": "1.5"}, (400, None, "amount")),
    ({"interval": "hour"}, (400, None, "interval")),
    ({"interval": None}, (400, "parameter_missing", "interval")),
    ({"product": None}, (400, "parameter_missing", "product")),
    ({"product": "prod_none"}, (400, "resource_missing", "product")),
    ({"interval_count": "37"}, (400, None, "interval_count")),
    ({"product[name]": "Gold", "product[colour]": "red", "product": None}, (400, "parameter_unknown", "product[colour]")),
])  # fmt: skip
def test_a_plan_that_cannot_be_is_refused(biller: Biller, wrong: Json, expected: tuple[int, str, str]) -> None:
    product = biller.post("products", name="Gold")["id"]
    good = {"amount": "900", "currency": "usd", "interval": "month", "product": product}
    given = {name: value for name, value in {**good, **wrong}.items() if value is not None}
    assert biller.refused("POST", "/v1/plans", given) == expected

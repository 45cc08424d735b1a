"""Updates of subscriptions that wait for their payment, and items that are billed at different intervals."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from billing_fixtures import Biller, Json, biller, billing_sandbox, moment


def waiting(biller: Biller, card: str = "pm_card_chargeCustomerFail") -> tuple[Json, Json, str]:
    """A subscription for 10 a month, half through April, whose change to 30 waits for its payment."""
    biller.freeze("2026-04-01T00:00:00")
    customer, big = biller.customer(), biller.price(3000)
    subscription = biller.subscribe(customer, biller.price(1000))
    biller.advance("2026-04-16T00:00:00")
    bad = biller.post(f"payment_methods/{card}/attach", customer=customer)["id"]
    biller.post(f"customers/{customer}", **{"invoice_settings[default_payment_method]": bad})
    biller.news()
    changed = biller.post(f"subscriptions/{subscription['id']}", **upgrade(subscription, big))
    return subscription, changed, big


def upgrade(subscription: Json, price: str) -> dict[str, str]:
    return {"items[0][id]": subscription["items"]["data"][0]["id"], "items[0][price]": price,
            "payment_behavior": "pending_if_incomplete", "proration_behavior": "always_invoice"}  # fmt: skip


def price_of(subscription: Json) -> str:
    return str(subscription["items"]["data"][0]["price"]["id"])


def test_an_update_that_is_paid_at_once_is_made_at_once(biller: Biller) -> None:
    customer, big = biller.customer(), biller.price(3000)
    subscription = biller.subscribe(customer, biller.price(1000))
    biller.news()
    changed = biller.post(f"subscriptions/{subscription['id']}", **upgrade(subscription, big))
    assert (price_of(changed), changed["pending_update"]) == (big, None)
    news = biller.news()
    assert "invoice.paid" in news
    assert news.count("customer.subscription.updated") == 1
    assert "customer.subscription.pending_update_applied" not in news


def test_an_update_that_is_not_paid_waits_and_is_made_when_it_is(biller: Biller) -> None:
    subscription, changed, big = waiting(biller)
    assert (price_of(changed), changed["status"]) == (price_of(subscription), "active")
    pending = changed["pending_update"]
    assert pending["expires_at"] == moment("2026-04-16T23:00:00")
    assert pending["subscription_items"][0]["price"]["id"] == big
    invoice = biller.get(f"invoices/{changed['latest_invoice']}")
    assert (invoice["status"], invoice["total"], invoice["next_payment_attempt"]) == ("open", 1000, None)
    assert "customer.subscription.updated" in biller.news()
    biller.advance("2026-04-16T22:59:00")
    biller.post(f"invoices/{invoice['id']}/pay", payment_method="pm_card_visa")
    now = biller.get(f"subscriptions/{subscription['id']}")
    assert (price_of(now), now["pending_update"], now["status"]) == (big, None, "active")
    news = [one for one in biller.news() if one.startswith("customer.subscription")]
    assert news == ["customer.subscription.pending_update_applied", "customer.subscription.updated"]
    biller.advance("2026-05-01T01:00:00")
    assert biller.all("invoices")[0]["total"] == 3000


def test_an_update_that_is_never_paid_is_given_up_after_23_hours(biller: Biller) -> None:
    subscription, changed, _ = waiting(biller)
    biller.news()
    biller.advance("2026-04-16T23:00:00")
    now = biller.get(f"subscriptions/{subscription['id']}")
    assert (price_of(now), now["pending_update"], now["status"]) == (price_of(subscription), None, "active")
    assert biller.get(f"invoices/{changed['latest_invoice']}")["status"] == "void"
    news = [one for one in biller.news() if "clock" not in one]
    assert news == ["payment_intent.canceled", "invoice.voided", "customer.subscription.pending_update_expired",
                    "customer.subscription.updated"]  # fmt: skip


def test_a_pending_update_does_not_outlive_the_period(biller: Biller) -> None:
    subscription, _, big = waiting(biller)
    biller.advance("2026-04-30T12:00:00")
    more = {**upgrade(subscription, big), "items[0][quantity]": "30"}
    again = biller.post(f"subscriptions/{subscription['id']}", **more)
    assert again["pending_update"]["expires_at"] == moment("2026-05-01T00:00:00")


def test_voiding_its_invoice_or_another_update_gives_a_pending_one_up(biller: Biller) -> None:
    subscription, changed, big = waiting(biller)
    path = f"subscriptions/{subscription['id']}"
    biller.post(f"invoices/{changed['latest_invoice']}/void")
    assert biller.get(path)["pending_update"] is None
    second = biller.post(path, **upgrade(subscription, big))
    third = biller.post(path, **{**upgrade(subscription, big), "items[0][quantity]": "2"})
    assert third["pending_update"]["subscription_items"][0]["quantity"] == 2
    assert biller.get(f"invoices/{second['latest_invoice']}")["status"] == "void"
    biller.call("DELETE", f"/v1/{path}")
    assert biller.get(path)["pending_update"] is None
    assert biller.get(f"invoices/{third['latest_invoice']}")["status"] == "void"


def test_a_pending_update_that_needs_the_buyer_is_made_after_3d_secure(biller: Biller) -> None:
    subscription, changed, big = waiting(biller, "pm_card_authenticationRequired")
    assert changed["pending_update"] is not None
    assert "invoice.payment_action_required" in biller.news()
    assert biller.get(f"subscriptions/{subscription['id']}")["status"] == "active"
    biller.post(f"invoices/{changed['latest_invoice']}/pay", payment_method="pm_card_visa")
    assert price_of(biller.get(f"subscriptions/{subscription['id']}")) == big


def test_what_cannot_wait_is_refused(biller: Biller) -> None:
    customer, price = biller.customer(), biller.price()
    path = f"/v1/subscriptions/{biller.subscribe(customer, price)['id']}"
    pending = {"payment_behavior": "pending_if_incomplete"}
    new = {"customer": customer, "items[0][price]": price, **pending}
    assert biller.refused("POST", "/v1/subscriptions", new)[::2] == (400, "payment_behavior")
    assert biller.refused("POST", path, {**pending, "metadata[a]": "b"})[::2] == (400, "metadata")
    assert biller.refused("POST", path, {**pending, "description": "x"})[::2] == (400, "description")
    inside = {**pending, "items[0][price]": price, "items[0][metadata][a]": "b"}
    assert biller.refused("POST", path, inside)[::2] == (400, "items[0][metadata]")
    sent = biller.subscribe(customer, price, collection_method="send_invoice", days_until_due="5")["id"]
    assert biller.refused("POST", f"/v1/subscriptions/{sent}", pending)[::2] == (400, "payment_behavior")


def test_items_of_different_intervals_renew_each_at_its_own_time(biller: Biller) -> None:
    biller.freeze("2026-01-31T00:00:00")
    quarter = biller.price(10000, **{"recurring[interval_count]": "3"})
    subscription = biller.subscribe(biller.customer(), quarter, **{"items[1][price]": biller.price(1500)})
    ends = [one["current_period_end"] for one in subscription["items"]["data"]]
    assert ends == [moment("2026-04-30T00:00:00"), moment("2026-02-28T00:00:00")]
    old = biller.sandbox.call("GET", f"/v1/subscriptions/{subscription['id']}", Stripe_Version="2024-09-30.acacia")
    assert old.json()["current_period_end"] == moment("2026-02-28T00:00:00")
    preview = biller.post("invoices/create_preview", subscription=subscription["id"])
    assert [line["amount"] for line in preview["lines"]["data"]] == [1500]
    for to in ("2026-02-28T02:00:00", "2026-03-31T02:00:00", "2026-04-30T02:00:00", "2026-05-31T02:00:00"):
        biller.advance(to)
    invoices = biller.all("invoices")[::-1]
    assert [row["total"] for row in invoices] == [11500, 1500, 1500, 11500, 1500]
    assert {row["status"] for row in invoices} == {"paid"}
    path = f"/v1/test_helpers/test_clocks/{biller.clock}/advance"
    assert biller.refused("POST", path, {"frozen_time": str(moment("2026-08-31T00:00:00"))})[0] == 400


def test_mixed_intervals_need_flexible_billing(biller: Biller) -> None:
    customer, month, year = biller.customer(), biller.price(1000), biller.price(9000, "year")
    both = {"customer": customer, "items[0][price]": month, "items[1][price]": year}
    assert biller.refused("POST", "/v1/subscriptions", {**both, "billing_mode[type]": "classic"})[::2] == (400, "items")
    older = biller.sandbox.call("POST", "/v1/subscriptions", both, Stripe_Version="2024-09-30.acacia")
    assert older.json()["error"]["param"] == "items"
    classic = biller.subscribe(customer, month, **{"billing_mode[type]": "classic"})
    path = f"/v1/subscriptions/{classic['id']}"
    assert biller.refused("POST", path, {"items[0][price]": year})[::2] == (400, "items")
    assert biller.refused("POST", f"{path}/pause")[0] == 400
    now = biller.call("POST", f"{path}/migrate", {"billing_mode[type]": "flexible"})
    assert now["billing_mode"]["flexible"] == {"proration_discounts": "included"}
    assert biller.refused("POST", f"{path}/migrate", {"billing_mode[type]": "flexible"})[0] == 400
    added = biller.call("POST", path, {"items[0][price]": year})
    assert len(added["items"]["data"]) == 2


def test_an_item_added_later_is_charged_for_the_rest_of_its_own_period(biller: Biller) -> None:
    biller.freeze("2026-01-01T00:00:00")
    subscription = biller.subscribe(biller.customer(), biller.price(1000))
    biller.advance("2026-01-21T00:00:00")  # 345 of the 365 days of the year are left
    year = biller.price(36500, "year")
    item = biller.post("subscription_items", subscription=subscription["id"], price=year,
                       proration_behavior="always_invoice")  # fmt: skip
    assert item["current_period_end"] == moment("2027-01-01T00:00:00")
    assert biller.all("invoices")[0]["total"] == 34500
    biller.advance("2026-02-01T02:00:00")
    assert biller.all("invoices")[0]["total"] == 1000


def test_a_subscription_ends_with_its_first_or_its_last_item(biller: Biller) -> None:
    biller.freeze("2026-01-01T00:00:00")
    customer = biller.customer()
    ends = {"min_period_end": "2026-02-01T00:00:00", "max_period_end": "2027-01-01T00:00:00"}
    for word, end in ends.items():
        made = biller.subscribe(customer, biller.price(), **{"items[1][price]": biller.price(9000, "year")})
        assert biller.post(f"subscriptions/{made['id']}", cancel_at=word)["cancel_at"] == moment(end)

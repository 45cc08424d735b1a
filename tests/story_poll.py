"""Money works without a public address: events are read from Stripe's list, through the same door."""

from __future__ import annotations

from collections.abc import Callable

from conftest import settings_for
from desk import running_desk
from sandbox_fixtures import Sandbox


def test_a_purchase_is_settled_without_any_webhook(new_database: Callable[[], str], stripe_sandbox: Sandbox) -> None:
    settings = settings_for(new_database(), stripe_sandbox.url, STRIPE_EVENTS="poll", STRIPE_WEBHOOK_SECRET="")
    with running_desk(settings, stripe_sandbox, webhooks=False) as desk:
        buyer = desk.buyer()
        order = buyer.buy("credits-10")
        assert buyer.balance() == 10
        assert len([text for text in buyer.told() if "Paid" in text]) == 1
        assert desk.call("POST", "/webhooks/stripe", content=b"{}").status_code in (404, 405)
        before = desk.sql("SELECT count(*) AS rows FROM inbox")
        until_polled_again = desk.sql("SELECT polled_until FROM desk")[0]["polled_until"]
        while desk.sql("SELECT polled_until FROM desk")[0]["polled_until"] <= until_polled_again:
            pass
        assert desk.sql("SELECT count(*) AS rows FROM inbox") == before, "the overlap is read again and stored once"
        assert desk.get(f"/v1/orders/{order['id']}")["status"] == "fulfilled"

"""Somebody with a subscription, and the time that passes for them. Import what you need."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from conftest import settings_for
from desk import Buyer, Desk, running_desk
from sandbox_fixtures import running_sandbox, until

CATALOG = Path(__file__).parent / "catalog_life.toml"
DECLINED = "pm_card_chargeCustomerFail"
ASKING = "pm_card_authenticationRequired"
GOOD = "pm_card_visa"

_DATE = re.compile(r"\d{1,2} [A-Z][a-z]+ \d{4}, \d\d:\d\d UTC")
_REFERENCE = re.compile(r" Reference [0-9A-Z]{8}\.")


@contextmanager
def desk_in_time(new_database: Callable[[], str], *, webhooks: bool = True) -> Iterator[Desk]:
    """A desk with a sandbox of its own, whose clock may be moved."""
    with running_sandbox() as sandbox:
        settings = settings_for(new_database(), sandbox.url, PAYDESK_CATALOG=str(CATALOG))
        with running_desk(settings, sandbox, webhooks=webhooks) as desk:
            yield desk


def offset_of(desk: Desk) -> timedelta:
    """How far the desk's clock is ahead."""
    return timedelta(seconds=desk.sql("SELECT clock_offset_s FROM desk")[0]["clock_offset_s"])


def advance(desk: Desk, span: timedelta) -> None:
    """Move the sandbox's clock, wait until the desk has followed and everything that this has led to is done.

    By whole seconds, upwards: half a second before the moment that is meant, nothing of it is due.
    """
    desk.sandbox.advance(f"{max(0, math.ceil(span.total_seconds()))}s")
    offset_s = httpx.get(f"{desk.sandbox.url}/_sandbox/clock").json()["offset_s"]
    until(lambda: desk.sql("SELECT clock_offset_s FROM desk")[0]["clock_offset_s"] == offset_s, what="the desk's clock")
    until(lambda: _is_done(desk), patience_s=60, what="everything that was due")


WAITING = """
SELECT (SELECT count(*) FROM timer WHERE state = 'waiting' AND due <= desk_now())
     + (SELECT count(*) FROM inbox WHERE state = 'ready')
     + (SELECT count(*) FROM outbox WHERE state IN ('ready', 'leased')) AS things
"""


def _is_done(desk: Desk) -> bool:
    """Whether Stripe's news has arrived and, at one moment after that, nothing waits: no timer, row or message."""
    return _has_arrived(desk) and desk.sql(WAITING)[0]["things"] == 0


def _has_arrived(desk: Desk) -> bool:
    hooks = desk.at_stripe("GET", "/v1/webhook_endpoints").json()["data"]
    if not hooks:
        return True
    told = desk.at_stripe("GET", "/v1/events", {"limit": 30}).json()["data"]
    seen = {row["external_id"] for row in desk.sql("SELECT external_id FROM seen WHERE source = 'stripe'")}
    return {event["id"] for event in told if event["created"] > hooks[-1]["created"]} <= seen


@dataclass
class Subscriber:
    """Somebody with a subscription, and how much of what they were told has been read."""

    buyer: Buyer
    read: int = 0

    @property
    def desk(self) -> Desk:
        return self.buyer.desk

    @property
    def own(self) -> dict[str, Any]:
        """Their newest subscription, as the desk knows it."""
        rows = "SELECT * FROM subscription WHERE customer_id = $1 ORDER BY started_at DESC LIMIT 1"
        return self.desk.sql(rows, self.buyer.id)[0]

    @property
    def at_stripe(self) -> dict[str, Any]:
        """Their newest subscription, as Stripe knows it."""
        return dict(self.desk.at_stripe("GET", f"/v1/subscriptions/{self.own['id']}").json())

    @property
    def period_end(self) -> datetime:
        return datetime.fromtimestamp(self.at_stripe["items"]["data"][0]["current_period_end"], UTC)

    @property
    def invoice(self) -> dict[str, Any]:
        """Their newest invoice, as the desk knows it."""
        rows = "SELECT * FROM invoice WHERE subscription_id = $1 ORDER BY created_at DESC LIMIT 1"
        return self.desk.sql(rows, self.own["id"])[0]

    def call(self, path: str, **params: Any) -> dict[str, Any]:
        """One POST to the sandbox that must work; then everything that it led to is done."""
        answer = self.desk.at_stripe("POST", f"/v1/{path}", params)
        assert answer.status_code == 200, answer.text
        until(lambda: _is_done(self.desk), patience_s=60, what="what a call led to")
        return dict(answer.json())

    def change(self, **params: Any) -> None:
        """Change the subscription at Stripe, as its portal does."""
        self.call(f"subscriptions/{self.own['id']}", **params)

    def pay_with(self, card: str) -> None:
        """Put in another card: a name such as `pm_card_visa`, or the id of a method."""
        method = self.call(f"payment_methods/{card}/attach", customer=self.own["stripe_customer"])["id"]
        self.change(default_payment_method=method)

    def pay_with_card_until(self, year: int, month: int) -> None:
        """Put in a card that ends with that month."""
        card = {
            "card[number]": "4242424242424242",
            "card[exp_year]": year,
            "card[exp_month]": month,
            "card[cvc]": "123",
        }
        self.pay_with(self.call("payment_methods", type="card", **card)["id"])

    def may(self, feature: str) -> bool:
        """Whether they have access now."""
        return bool(self.buyer.access(feature)["allowed"])

    def until(self, moment: datetime, *, after: timedelta = timedelta(0)) -> None:
        """Let time pass until so long after a moment."""
        advance(self.desk, moment + after - (datetime.now(UTC) + offset_of(self.desk)))

    def renews(self) -> None:
        """Let time pass until the next renewal is through: the invoice is paid an hour after it was made."""
        self.until(self.period_end, after=timedelta(hours=3))

    def news(self) -> list[str]:
        """What they were told since the last look; dates and references left out."""
        told = self.buyer.told()
        fresh, self.read = told[self.read :], len(told)
        return [_REFERENCE.sub("", _DATE.sub("…", text)) for text in fresh]

    def pay_link(self) -> str:
        """The link under the last thing they were told."""
        said = self.desk.get("/v1/chat/messages", **self.buyer.who, limit=100)["data"]
        return str(next(one for one in said[::-1] if one["direction"] == "out")["buttons"][0]["url"])


def subscribed(desk: Desk, price: str) -> Subscriber:
    """Somebody who has just subscribed; what they were told of it is read."""
    buyer = desk.buyer()
    person = Subscriber(buyer)
    assert buyer.pay(buyer.checkout(price)).status_code == 200
    until(lambda: desk.sql("SELECT id FROM subscription WHERE customer_id = $1", buyer.id), what="the subscription")
    until(lambda: _is_done(desk), patience_s=60, what="everything of the purchase")
    person.news()
    return person


def alerts(desk: Desk, template: str) -> list[dict[str, Any]]:
    """What the people who run the desk were told."""
    return desk.sql("SELECT * FROM outbox WHERE channel = 'admin' AND template = $1 ORDER BY id", f"alert_{template}")

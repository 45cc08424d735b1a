"""A sandbox whose every answer and event is checked against the SDK's types, with short ways to bill. Import what you need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from sandbox_fixtures import Sandbox, running_sandbox
from stripe_shapes import problems

Json = dict[str, Any]


def moment(text: str) -> int:
    """A date and time in UTC as seconds since 1970."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@dataclass
class Biller:
    """One account of a sandbox. `clock` is its test clock, if one was made."""

    sandbox: Sandbox
    clock: str | None = None
    seen: set[str] = field(default_factory=set)
    found: list[str] = field(default_factory=list)

    def call(self, method: str, path: str, params: Json | None = None) -> Json:
        """A call that must work, in the right shape."""
        answer = self.sandbox.call(method, path, params)
        assert answer.status_code == 200, f"{method} {path}: {answer.text}"
        body: Json = answer.json()
        self.found += problems(body)
        return body

    def refused(self, method: str, path: str, params: Json | None = None) -> tuple[int, str | None, str | None]:
        """Status, code and param of a refusal."""
        answer = self.sandbox.call(method, path, params)
        error = answer.json()["error"]
        return answer.status_code, error.get("code"), error.get("param")

    def post(self, path: str, **params: Any) -> Json:
        return self.call("POST", "/v1/" + path, params)

    def get(self, path: str, **params: Any) -> Json:
        return self.call("GET", "/v1/" + path, params)

    def all(self, path: str, **params: Any) -> list[Json]:
        """Every object of a list, newest first."""
        rows: list[Json] = []
        while True:
            more = {"starting_after": rows[-1]["id"]} if rows else {}
            page = self.get(path, limit="100", **params, **more)
            rows += page["data"]
            if not page["has_more"]:
                return rows

    def news(self) -> list[str]:
        """The types of the events since the last look, oldest first."""
        fresh = [event for event in self.all("events")[::-1] if event["id"] not in self.seen]
        self.seen |= {event["id"] for event in fresh}
        return [event["type"] for event in fresh]

    def price(self, amount: int = 1000, interval: str = "month", currency: str = "usd", **more: str) -> str:
        given = {"recurring[interval]": interval} if interval else {}
        return str(self.post("prices", currency=currency, unit_amount=str(amount),
                             **{"product_data[name]": "Gold", **given, **more})["id"])  # fmt: skip

    def customer(self, card: str | None = "pm_card_visa", **more: str) -> str:
        """A customer with a default card, on the account's test clock if there is one."""
        own = {"test_clock": self.clock} if self.clock else {}
        customer = str(self.post("customers", email="jo@example.com", **own, **more)["id"])
        if card:
            method = self.post(f"payment_methods/{card}/attach", customer=customer)["id"]
            self.post(f"customers/{customer}", **{"invoice_settings[default_payment_method]": method})
        return customer

    def subscribe(self, customer: str, price: str, **more: str) -> Json:
        return self.post("subscriptions", customer=customer, **{"items[0][price]": price, **more})

    def freeze(self, at: str) -> None:
        """Have a test clock."""
        self.clock = str(self.post("test_helpers/test_clocks", frozen_time=str(moment(at)))["id"])

    def advance(self, to: str) -> None:
        """Move the test clock, and wait until it is there."""
        answer = self.post(f"test_helpers/test_clocks/{self.clock}/advance", frozen_time=str(moment(to)))
        assert answer["status"] == "advancing"
        for _ in range(200):
            if self.get(f"test_helpers/test_clocks/{self.clock}")["status"] == "ready":
                return
        raise AssertionError("the test clock did not get ready")

    def rules(self, **given: Any) -> httpx.Response:
        """Change what becomes of failed renewals."""
        key = {"Authorization": f"Bearer {self.sandbox.key}"}
        return httpx.post(f"{self.sandbox.url}/_sandbox/billing", json=given, headers=key)


@pytest.fixture(scope="session")
def billing_sandbox() -> Iterator[Sandbox]:
    """One sandbox for the tests of billing; those that move its clock bring their own."""
    with running_sandbox("--gap-factor", "0.1") as running:
        yield running


@pytest.fixture
def biller(billing_sandbox: Sandbox) -> Iterator[Biller]:
    """An account of the test's own; at the end every answer and event has had the SDK's shape."""
    biller = Biller(billing_sandbox.other())
    yield biller
    biller.news()
    assert not biller.found, "\n".join(biller.found)

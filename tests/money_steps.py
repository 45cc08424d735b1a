"""Steps that the tests of the sandbox's money share: calls whose answers must have the SDK's shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox_fixtures import Sandbox, running_sandbox
from stripe_shapes import problems

GOOD_IBAN, BAD_IBAN, DISPUTED_IBAN = "DE89370400440532013000", "DE62370400440532013001", "DE35370400440532013002"
ONLINE = {
    "mandate_data[customer_acceptance][type]": "online",
    "mandate_data[customer_acceptance][online][ip_address]": "127.0.0.1",
    "mandate_data[customer_acceptance][online][user_agent]": "test",
}


@pytest.fixture(scope="module")
def clocked() -> Iterator[Sandbox]:
    """A sandbox whose clock these tests may move."""
    with running_sandbox("--gap-factor", "0.1") as started:
        yield started


@pytest.fixture
def ours(clocked: Sandbox) -> Sandbox:
    """The sandbox with a clock of its own, with an account of this test's own."""
    return clocked.other()


def call(sandbox: Sandbox, path: str, **params: str) -> dict[str, Any]:
    """A POST that must succeed; its answer has the SDK's shape."""
    answer = sandbox.call("POST", path, params)
    assert answer.status_code == 200, answer.text
    assert not problems(answer.json()), problems(answer.json())
    return dict(answer.json())


def refused(sandbox: Sandbox, path: str, **params: str) -> dict[str, Any]:
    answer = sandbox.call("POST", path, params)
    assert answer.status_code in (400, 402), answer.text
    return dict(answer.json()["error"])


def now(sandbox: Sandbox, path: str, **params: str) -> dict[str, Any]:
    answer = sandbox.call("GET", path, params)
    assert answer.status_code == 200, answer.text
    assert not problems(answer.json()), problems(answer.json())
    return dict(answer.json())


def pay(sandbox: Sandbox, token: str = "pm_card_visa", amount: int = 2000, **more: str) -> dict[str, Any]:
    base = {"amount": str(amount), "currency": "usd", "confirm": "true", "payment_method": token}
    return call(sandbox, "/v1/payment_intents", **{**base, **more})


def assert_event_shapes(sandbox: Sandbox) -> None:
    found = [problem for event in sandbox.events() for problem in problems(event)]
    assert not found, found

"""Webhooks of the sandbox, received by a real server: signatures, retries, order, and what an endpoint wants."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import stripe

from sandbox_fixtures import Receiver, Sandbox, confirm, receiver, sandbox, session_of, shared_sandbox, until


def listen(sandbox: Sandbox, receiver: Receiver, *types: str) -> dict[str, Any]:
    params = {f"enabled_events[{place}]": name for place, name in enumerate(types or ("*",))}
    answer = sandbox.call("POST", "/v1/webhook_endpoints", {"url": receiver.url, **params})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def attempts_noted(sandbox: Sandbox) -> int:
    """How many attempts the sandbox has noted for the account's latest event."""
    latest = sandbox.events()[-1]["id"]
    feed = httpx.get(f"{sandbox.url}/_sandbox/feed").json()
    return next(int(row["attempts"]) for row in feed["deliveries"] if row["event"] == latest)


def received(receiver: Receiver, count: int) -> list[dict[str, Any]]:
    until(lambda: len(receiver.hooks) >= count, what=f"{count} webhooks")
    return [json.loads(hook.body) for hook in receiver.hooks]


def test_every_event_arrives_signed(sandbox: Sandbox, receiver: Receiver) -> None:
    secret = listen(sandbox, receiver)["secret"]
    session = session_of(sandbox)
    assert confirm(sandbox, session["id"]).status_code == 200
    received(receiver, 7)
    for hook in receiver.hooks:
        event = stripe.Webhook.construct_event(hook.body, hook.headers["Stripe-Signature"], secret)
        assert event.livemode is False
        assert hook.signed_with(secret)
        assert not hook.signed_with(secret.removeprefix("whsec_"))
        assert abs(int(hook.headers["Stripe-Signature"][2:].split(",")[0]) - hook.at) < 5
    assert {json.loads(hook.body)["id"] for hook in receiver.hooks} == {event["id"] for event in sandbox.events()}
    until(lambda: all(event["pending_webhooks"] == 0 for event in sandbox.events()), what="pending_webhooks 0")


def test_an_endpoint_gets_what_it_asked_for(sandbox: Sandbox, receiver: Receiver) -> None:
    endpoint = listen(sandbox, receiver, "customer.deleted")
    customer = sandbox.call("POST", "/v1/customers").json()["id"]
    sandbox.call("DELETE", f"/v1/customers/{customer}")
    assert [event["type"] for event in received(receiver, 1)] == ["customer.deleted"]
    sandbox.call("POST", f"/v1/webhook_endpoints/{endpoint['id']}", {"disabled": "true", "enabled_events[]": "*"})
    sandbox.call("POST", "/v1/customers")
    sandbox.call("POST", f"/v1/webhook_endpoints/{endpoint['id']}", {"disabled": "false"})
    sandbox.call("POST", "/v1/products", {"name": "x"})
    assert [event["type"] for event in received(receiver, 2)] == ["customer.deleted", "product.created"]


@pytest.mark.parametrize("status", [500, 404, 302, 301])
def test_anything_but_2xx_is_tried_again_with_a_new_signature(
    sandbox: Sandbox, receiver: Receiver, status: int
) -> None:
    receiver.answers = [status, status, status]
    secret = listen(sandbox, receiver, "customer.created")["secret"]
    sandbox.call("POST", "/v1/customers")
    events = received(receiver, 4)
    assert len({event["id"] for event in events}) == 1
    assert all(hook.signed_with(secret) for hook in receiver.hooks)
    gaps = [later.at - earlier.at for earlier, later in zip(receiver.hooks, receiver.hooks[1:], strict=False)]
    assert gaps == sorted(gaps)
    until(lambda: sandbox.events()[0]["pending_webhooks"] == 0, what="delivery")


def test_retries_follow_the_sandbox_clock(sandbox: Sandbox, receiver: Receiver) -> None:
    receiver.answers = [500] * 6
    listen(sandbox, receiver, "customer.created")
    sandbox.call("POST", "/v1/customers")
    for attempt in range(1, 7):
        received(receiver, attempt)
        until(lambda expected=attempt: attempts_noted(sandbox) >= expected, what="the note of the failure")
        sandbox.advance("10m")
    received(receiver, 7)
    until(lambda: sandbox.events()[0]["pending_webhooks"] == 0, what="delivery")


def test_an_event_is_given_up_after_three_days(sandbox: Sandbox, receiver: Receiver) -> None:
    receiver.answers = [500] * 100
    listen(sandbox, receiver, "customer.created")
    sandbox.call("POST", "/v1/customers")
    received(receiver, 1)
    account = sandbox.call("GET", "/v1/account").json()["id"]

    def given_up() -> bool:
        sandbox.advance("1h")
        state = next(row for row in sandbox.state()["accounts"] if row["id"] == account)
        return state["deliveries"].get("gave_up") == 1

    until(given_up, what="giving up")
    assert sandbox.events()[0]["pending_webhooks"] == 1


def test_a_slow_endpoint_holds_up_neither_the_api_nor_others(sandbox: Sandbox, receiver: Receiver) -> None:
    slow = Receiver()
    try:
        slow.pause_s = 5
        listen(sandbox, slow)
        listen(sandbox, receiver)
        began = [sandbox.call("POST", "/v1/customers").status_code for _ in range(30)]
        assert began == [200] * 30
        received(receiver, 30)
        assert sandbox.state()["deliveries"]["waiting"] > 0
    finally:
        slow.close()


def test_first_attempts_start_in_the_order_of_the_events(sandbox: Sandbox, receiver: Receiver) -> None:
    listen(sandbox, receiver)
    for number in range(40):
        sandbox.call("POST", "/v1/customers", {"name": str(number)})
    names = [event["data"]["object"]["name"] for event in received(receiver, 40)]
    displaced = [abs(int(name) - place) for place, name in enumerate(names)]
    assert max(displaced) <= 10  # threads of the receiver may overtake one another a little


def test_the_state_counts_deliveries(sandbox: Sandbox, receiver: Receiver) -> None:
    listen(sandbox, receiver)
    sandbox.call("POST", "/v1/customers")
    account = sandbox.call("GET", "/v1/account").json()["id"]

    def mine() -> dict[str, Any]:
        return next(row for row in sandbox.state()["accounts"] if row["id"] == account)

    until(lambda: mine()["deliveries"] == {"delivered": 1}, what="the delivery")
    assert mine()["counts"] == {"webhook_endpoint": 1, "customer": 1, "event": 1}
    feed = httpx.get(f"{sandbox.url}/_sandbox/feed").json()
    assert feed["deliveries"][0]["status_code"] == 200

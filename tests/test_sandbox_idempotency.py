"""Idempotency keys: replay, mismatch, in flight, and what is not kept."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import socket

import pytest
import stripe

from sandbox_fixtures import Sandbox, sandbox, shared_sandbox, until

_PAYMENT = {"amount": "500", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true"}


def test_a_repeat_gets_the_first_answer(sandbox: Sandbox) -> None:
    first = sandbox.call("POST", "/v1/payment_intents", _PAYMENT, Idempotency_Key="one")
    again = sandbox.call("POST", "/v1/payment_intents", _PAYMENT, Idempotency_Key="one")
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert again.headers["Request-Id"] != first.headers["Request-Id"]
    assert len(sandbox.call("GET", "/v1/charges").json()["data"]) == 1
    assert sandbox.events()[0]["request"] == {"id": first.headers["Request-Id"], "idempotency_key": "one"}


def test_a_kept_decline_stays_a_decline(sandbox: Sandbox) -> None:
    params = {**_PAYMENT, "payment_method": "pm_card_chargeDeclined"}
    first = sandbox.call("POST", "/v1/payment_intents", params, Idempotency_Key="no")
    again = sandbox.call("POST", "/v1/payment_intents", params, Idempotency_Key="no")
    assert first.status_code == again.status_code == 402
    assert again.headers["Idempotent-Replayed"] == "true"
    assert sandbox.event_types().count("charge.failed") == 1


def test_the_same_key_for_something_else_is_refused(sandbox: Sandbox) -> None:
    sandbox.call("POST", "/v1/customers", {"name": "A"}, Idempotency_Key="two")
    sdk = sandbox.sdk().v1
    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        sdk.customers.create({"name": "B"}, {"idempotency_key": "two"})
    with pytest.raises(stripe.IdempotencyError, match="/v1/products"):
        sdk.products.create({"name": "A"}, {"idempotency_key": "two"})
    assert len(sandbox.call("GET", "/v1/customers").json()["data"]) == 1


def test_a_refused_parameter_leaves_the_key_free(sandbox: Sandbox) -> None:
    assert sandbox.call("POST", "/v1/customers", {"colour": "red"}, Idempotency_Key="three").status_code == 400
    assert sandbox.call("POST", "/v1/customers", {"name": "A"}, Idempotency_Key="three").status_code == 200


def test_a_key_is_forgotten_after_a_day(sandbox: Sandbox) -> None:
    first = sandbox.call("POST", "/v1/customers", {"name": "A"}, Idempotency_Key="four").json()
    sandbox.advance("25h")
    again = sandbox.call("POST", "/v1/customers", {"name": "A"}, Idempotency_Key="four").json()
    assert again["id"] != first["id"]


def test_the_same_key_while_the_first_is_under_way_is_409(sandbox: Sandbox) -> None:
    head = (
        f"POST /v1/customers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sandbox.key}\r\nIdempotency-Key: five\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 6\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", sandbox.port)) as slow:
        slow.sendall(head.encode() + b"nam")  # the rest is still on its way

        def clash() -> bool:
            answer = sandbox.call("POST", "/v1/customers", {"colour": "red"}, Idempotency_Key="five")
            return answer.status_code == 409 and answer.json()["error"]["code"] == "idempotency_key_in_use"

        until(clash, what="the clash")
        slow.sendall(b"e=A")
        assert slow.recv(65536).startswith(b"HTTP/1.1 200")
    assert sandbox.call("POST", "/v1/customers", {"name": "A"}, Idempotency_Key="five").headers["Idempotent-Replayed"]

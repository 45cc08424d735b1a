"""What Stripe takes and the sandbox does not build is refused in words of its own; only the unknown is called unknown."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import stripe

from paydesk.sandbox.app import OPERATIONS
from sandbox_fixtures import Sandbox, sandbox, shared_sandbox
from stripe_params import declared_calls, normal

_ROOT = Path(__file__).parent.parent
_SESSION = {"mode": "payment", "success_url": "https://example.com", "line_items[0][quantity]": "1"}
_INTENT = {"amount": "500", "currency": "usd"}


@pytest.mark.parametrize(
    ("path", "params", "param", "named"),
    [
        ("payment_intents", {**_INTENT, "confirmation_token": "ctoken_1", "confirm": "true"}, "confirmation_token",
         "the parameter 'confirmation_token'"),
        ("payment_intents", {**_INTENT, "payment_method_data[klarna][x]": "1", "payment_method_data[type]": "klarna"},
         "payment_method_data[klarna]", "the parameter 'payment_method_data[klarna]'"),
        ("payment_intents", {**_INTENT, "payment_method_data[type]": "klarna"}, "payment_method_data[type]",
         "the value 'klarna' of 'payment_method_data[type]'"),
        ("payment_intents", {**_INTENT, "transfer_data[destination]": "acct_1"}, "transfer_data",
         "the parameter 'transfer_data'"),
        ("checkout/sessions", {**_SESSION, "payment_method_types[0]": "klarna"}, "payment_method_types[0]",
         "the value 'klarna' of 'payment_method_types[0]'"),
        ("checkout/sessions", {**_SESSION, "line_items[0][tax_rates][0]": "txr_1"}, "line_items[0][tax_rates]",
         "the parameter 'line_items[0][tax_rates]'"),
        ("subscriptions", {"customer": "cus_1", "backdate_start_date": "1"}, "backdate_start_date",
         "the parameter 'backdate_start_date'"),
    ],
)  # fmt: skip
def test_what_is_real_and_not_built_is_named(
    sandbox: Sandbox, path: str, params: dict[str, str], param: str, named: str
) -> None:
    answer = sandbox.call("POST", f"/v1/{path}", params)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert (error["code"], error["param"]) == ("sandbox_unsupported", param)
    assert error["message"].startswith(f"This sandbox does not support {named} yet; Stripe does.")
    assert "doc_url" not in error, "Stripe has no page about it"


def test_what_is_unknown_stays_unknown_and_what_is_built_passes(sandbox: Sandbox) -> None:
    wrong = sandbox.call("POST", "/v1/payment_intents", {**_INTENT, "confirmation_tokens": "x"}).json()["error"]
    assert (wrong["code"], wrong["message"]) == ("parameter_unknown", "Received unknown parameter: confirmation_tokens")
    word = sandbox.call("POST", "/v1/payment_intents", {**_INTENT, "payment_method_data[type]": "barter"}).json()
    assert word["error"]["message"].startswith("Invalid payment_method_data[type]: must be one of card")
    assert sandbox.call("POST", "/v1/payment_intents", {**_INTENT, "metadata[klarna]": "x"}).status_code == 200


def test_nothing_is_kept_of_a_refused_key_so_that_it_can_be_used_again(sandbox: Sandbox) -> None:
    client = sandbox.sdk()
    with pytest.raises(stripe.InvalidRequestError, match="does not support the parameter 'transfer_data'"):
        client.v1.payment_intents.create(
            {"amount": 500, "currency": "usd", "transfer_data": {"destination": "acct_1"}}, {"idempotency_key": "once"}
        )
    made = client.v1.payment_intents.create({"amount": 500, "currency": "usd"}, {"idempotency_key": "once"})
    assert made.status == "requires_payment_method"


def test_every_call_of_stripes_is_answered_or_named_as_not_built(sandbox: Sandbox) -> None:
    built = {normal(operation.method, operation.path) for operation in OPERATIONS}
    unbuilt = sorted(set(declared_calls()) - built)
    assert len(unbuilt) > 100
    with sandbox.http() as client:
        for call in unbuilt:
            method, path = call.replace("{}", "x_1").split()
            answer = client.request(method, path)
            error = answer.json()["error"]
            assert (answer.status_code, error["code"], error["type"]) == (
                400, "sandbox_unsupported", "invalid_request_error",
            ), call  # fmt: skip
            assert error["message"].startswith(f"This sandbox does not support the call '{method} {path}' yet"), call
        assert client.get("/v1/balance_transactions").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/nothing"), ("GET", "/v1/quotes/"), ("PUT", "/v1/quotes"), ("DELETE", "/v1/charges"),
     ("GET", "/v1/accounts/acct_1/nothing"), ("GET", "/v1"), ("GET", "/nothing")],
)  # fmt: skip
def test_an_address_that_stripe_does_not_have_is_unrecognized(sandbox: Sandbox, method: str, path: str) -> None:
    answer = sandbox.call(method, path)
    error = answer.json()["error"]
    assert (answer.status_code, error.get("code")) == (404, None)
    assert error["message"].startswith(f"Unrecognized request URL ({method}: {path})")


def test_the_lists_are_those_of_the_tables_and_the_sdk() -> None:
    script = [sys.executable, str(_ROOT / "scripts" / "unbuilt_params.py"), "--check"]
    checked = subprocess.run(script, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr

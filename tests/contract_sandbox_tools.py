"""The official Node SDK and the official CLI drive the sandbox unchanged."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe

from sandbox_fixtures import Receiver, Sandbox, receiver, sandbox, shared_sandbox, until
from tools import node_package

_STORY = Path(__file__).with_name("node_story.mjs")
_TRIGGERS = """
    charge.captured charge.dispute.closed charge.dispute.created charge.dispute.updated charge.failed
    charge.refund.updated charge.refunded charge.succeeded
    checkout.session.async_payment_failed checkout.session.async_payment_succeeded checkout.session.completed
    checkout.session.expired
    cash_balance.funds_available coupon.created coupon.deleted coupon.updated
    credit_note.created credit_note.updated credit_note.voided customer.created customer.deleted customer.updated
    customer.discount.created customer.discount.deleted customer.discount.updated
    customer.source.created customer.source.updated customer_cash_balance_transaction.created
    customer.subscription.created customer.subscription.deleted customer.subscription.paused
    customer.subscription.trial_will_end customer.subscription.updated
    invoice.created invoice.deleted invoice.finalized invoice.marked_uncollectible invoice.paid
    invoice.payment_action_required invoice.payment_failed invoice.payment_succeeded invoice.sent invoice.updated
    invoice.voided invoiceitem.created invoiceitem.deleted
    billing_portal.configuration.created billing_portal.configuration.updated billing_portal.session.created
    promotion_code.created promotion_code.updated subscription.payment_failed subscription.payment_succeeded
    test_helpers.test_clock.advancing test_helpers.test_clock.created test_helpers.test_clock.deleted
    test_helpers.test_clock.ready
    payment_intent.amount_capturable_updated payment_intent.canceled payment_intent.created
    payment_intent.partially_funded payment_intent.payment_failed payment_intent.processing
    payment_intent.requires_action payment_intent.succeeded
    payment_method.attached payment_method.detached payment_method.updated
    plan.created plan.deleted plan.updated price.created price.updated product.created product.deleted product.updated
    setup_intent.canceled setup_intent.created setup_intent.requires_action setup_intent.setup_failed
    setup_intent.succeeded
    subscription_schedule.canceled subscription_schedule.created subscription_schedule.released
    subscription_schedule.updated tax_rate.created tax_rate.updated
""".split()  # noqa: SIM905
# The CLI's own names for a story whose event is called otherwise.
_EVENT_OF = {
    "subscription.payment_failed": "invoice.payment_failed",
    "subscription.payment_succeeded": "invoice.payment_succeeded",
}
_DAYS_LATER = {"checkout.session.async_payment_failed", "checkout.session.async_payment_succeeded"}


def cli(sandbox: Sandbox, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One command of the CLI, with a home folder of its own."""
    program = node_package("@stripe/cli", "1.52.0") / "node_modules" / ".bin" / "stripe"
    command = [str(program), *arguments, "--api-key", sandbox.key, "--api-base", sandbox.url]
    surroundings = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "STRIPE_CLI_TELEMETRY_OPTOUT": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=surroundings)


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr + done.stdout
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("event", _TRIGGERS)
def test_the_cli_triggers(sandbox: Sandbox, tmp_path: Path, event: str) -> None:
    done = cli(sandbox, tmp_path, "trigger", event)
    assert done.returncode == 0, done.stderr + done.stdout
    if event in _DAYS_LATER:
        sandbox.advance("14d")
    assert _EVENT_OF.get(event, event) in sandbox.event_types()


def test_the_cli_creates_reads_and_deletes(sandbox: Sandbox, tmp_path: Path) -> None:
    customer = answer(cli(sandbox, tmp_path, "customers", "create", "--name", "Jo", "-d", "metadata[a]=b"))
    assert (customer["name"], customer["metadata"]) == ("Jo", {"a": "b"})
    path = f"/v1/customers/{customer['id']}"
    assert answer(cli(sandbox, tmp_path, "customers", "retrieve", customer["id"])) == customer
    assert answer(cli(sandbox, tmp_path, "get", path)) == customer
    assert answer(cli(sandbox, tmp_path, "post", path, "-d", "name=Jay"))["name"] == "Jay"
    assert [one["id"] for one in answer(cli(sandbox, tmp_path, "customers", "list", "--limit", "1"))["data"]] == [
        customer["id"]
    ]
    assert answer(cli(sandbox, tmp_path, "delete", path, "--confirm"))["deleted"] is True
    assert "resource_missing" in cli(sandbox, tmp_path, "get", "/v1/customers/cus_0").stdout


def test_the_cli_resends_nothing_it_does_not_know(sandbox: Sandbox, tmp_path: Path) -> None:
    done = cli(sandbox, tmp_path, "trigger", "no.such.event")
    assert done.returncode != 0
    assert sandbox.event_types() == []


def test_the_cli_listens_and_forwards(sandbox: Sandbox, receiver: Receiver, tmp_path: Path) -> None:
    """`stripe listen` gets every event of its account over its WebSocket and posts it on, signed with its own secret."""
    program = node_package("@stripe/cli", "1.52.0") / "node_modules" / ".bin" / "stripe"
    command = [str(program), "listen", "--all-snapshot", "--skip-update", "--forward-to", receiver.url,
               "--api-key", sandbox.key, "--api-base", sandbox.url]  # fmt: skip
    surroundings = {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "STRIPE_CLI_TELEMETRY_OPTOUT": "1",
    }
    secret = cli(sandbox, tmp_path, "listen", "--print-secret").stdout.strip()
    assert secret.startswith("whsec_")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=surroundings) as listening:
        try:
            assert listening.stderr is not None
            until(lambda: "Ready!" in listening.stderr.readline(), what="the CLI")
            long_text = "x" * 4000
            sandbox.call("POST", "/v1/customers", {"description": long_text})
            sandbox.other().call("POST", "/v1/customers", {"name": "somebody else's"})
            sandbox.call("POST", "/v1/products", {"name": "y"})
            until(lambda: len(receiver.hooks) == 2, what="both events")
        finally:
            listening.terminate()
    events = [
        stripe.Webhook.construct_event(hook.body, hook.headers["Stripe-Signature"], secret) for hook in receiver.hooks
    ]
    assert {event.type for event in events} == {"customer.created", "product.created"}
    assert long_text in {event.data.object.description for event in events}


def test_a_stranger_cannot_listen(sandbox: Sandbox) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Websocket-Id": "cliws_0",
    }
    answer = httpx.get(f"{sandbox.url}/v1/stripecli/subscribe", headers={**upgrade, "Sec-WebSocket-Key": "AAAA"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "Unknown WebSocket ID."


def test_the_node_sdk_tells_the_same_story(sandbox: Sandbox) -> None:
    folder = node_package("stripe", "23")
    command = ["node", str(_STORY), sandbox.url, sandbox.key, str(folder)]
    seen = answer(subprocess.run(command, capture_output=True, text=True, timeout=60))
    assert seen == {
        "version": "2026-10-28.endive",
        "events": ["charge.refunded", "checkout.session.completed"],
        "refund": "succeeded",
        "charges": 2,
        "decline": "generic_decline",
        "missing": "resource_missing",
        "found": [True],
    }

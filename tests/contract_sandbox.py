"""Every answer and every event of the sandbox has exactly the shape that the official SDK declares."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import stripe

from sandbox_fixtures import Sandbox, confirm, sandbox, session_of, shared_sandbox
from stripe_shapes import problems


class Recorder(stripe.RequestsClient):
    """The SDK's own HTTP client, which also keeps each answer as it came."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[dict[str, Any]] = []

    def request(self, *arguments: Any, **named: Any) -> Any:
        body, status, headers = super().request(*arguments, **named)
        self.answers.append(json.loads(body))
        return body, status, headers


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def api(sandbox: Sandbox, recorder: Recorder) -> Any:
    return sandbox.sdk(http_client=recorder).v1


def assert_shapes(answers: list[dict[str, Any]]) -> None:
    found = [problem for answer in answers for problem in problems(answer)]
    assert not found, "\n".join(found)
    assert answers


def test_the_catalogue_has_the_shapes_of_the_sdk(api: Any, recorder: Recorder) -> None:
    product = api.products.create(
        {"name": "Credits", "metadata": {"a": "b"}, "default_price_data": {"currency": "usd", "unit_amount": 999}}
    )
    api.products.update(product.id, {"description": "Ten", "images": ["https://example.com/a.png"]})
    price = api.prices.create({"currency": "jpy", "unit_amount": 500, "product": product.id, "lookup_key": "ten"})
    api.prices.create({"currency": "eur", "unit_amount_decimal": "0.5", "product": product.id})
    api.prices.create(
        {"currency": "pln", "unit_amount": 1999, "product": product.id, "recurring": {"interval": "month"}}
    )
    api.prices.update(price.id, {"nickname": "n"})
    api.prices.retrieve(price.id, {"expand": ["product.default_price"]})
    api.products.list({"active": True})
    api.prices.list({"lookup_keys": ["ten"], "expand": ["data.product"]})
    assert_shapes(recorder.answers)


def test_customers_and_methods_have_the_shapes_of_the_sdk(api: Any, recorder: Recorder) -> None:
    customer = api.customers.create({"email": "a@example.com", "address": {"city": "Delft"},
                                     "shipping": {"name": "A", "address": {"line1": "x"}}})  # fmt: skip
    method = api.payment_methods.create(
        {"type": "card", "card": {"token": "tok_visa"}, "billing_details": {"name": "A"}}
    )
    api.payment_methods.attach(method.id, {"customer": customer.id})
    api.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
    api.customers.retrieve(customer.id, {"expand": ["invoice_settings.default_payment_method.customer"]})
    api.customers.list({"email": "a@example.com"})
    api.customers.payment_methods.list(customer.id)
    api.payment_methods.list({"customer": customer.id, "type": "card"})
    api.payment_methods.update(method.id, {"card": {"exp_year": 2044}})
    api.payment_methods.detach(method.id)
    api.customers.delete(customer.id)
    api.customers.retrieve(customer.id)
    assert_shapes(recorder.answers)


def test_a_checkout_and_its_refunds_have_the_shapes_of_the_sdk(
    api: Any, recorder: Recorder, sandbox: Sandbox
) -> None:  # fmt: skip
    session = api.checkout.sessions.create({
        "mode": "payment",
        "line_items": [
            {"quantity": 2, "price_data": {"currency": "usd", "unit_amount": 1000, "product_data": {"name": "T"}}}
        ],
        "success_url": "https://example.com/{CHECKOUT_SESSION_ID}",
        "customer_creation": "always",
        "payment_intent_data": {"metadata": {"order": "1"}},
        "expand": ["line_items.data.price.product"],
    })  # fmt: skip
    assert confirm(sandbox, session.id, "4000000000009995").status_code == 402
    api.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert confirm(sandbox, session.id).status_code == 200
    whole = [
        "payment_intent.latest_charge.balance_transaction",
        "payment_intent.payment_method",
        "customer",
        "line_items",
    ]
    paid = api.checkout.sessions.retrieve(session.id, {"expand": whole})
    refund = api.refunds.create({"charge": paid.payment_intent.latest_charge.id, "amount": 500, "metadata": {"a": "b"}})
    api.refunds.create({"payment_intent": paid.payment_intent.id, "reason": "requested_by_customer"})
    api.refunds.retrieve(refund.id, {"expand": ["balance_transaction.source", "charge.refunds.data", "payment_intent"]})
    api.refunds.list({"payment_intent": paid.payment_intent.id})
    api.charges.list({"payment_intent": paid.payment_intent.id, "expand": ["data.balance_transaction"]})
    api.charges.update(paid.payment_intent.latest_charge.id, {"description": "d"})
    api.balance_transactions.list()
    api.checkout.sessions.list({"status": "complete"})
    api.checkout.sessions.line_items.list(session.id)
    api.checkout.sessions.expire(session_of(sandbox)["id"])
    assert_shapes(recorder.answers)


def test_payment_intents_have_the_shapes_of_the_sdk(api: Any, recorder: Recorder) -> None:
    intent = api.payment_intents.create({"amount": 2000, "currency": "eur", "metadata": {"a": "b"}})
    api.payment_intents.update(intent.id, {"amount": 2500, "description": "x"})
    api.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa", "expand": ["latest_charge"]})
    money = {"amount": 2000, "currency": "eur", "confirm": True}
    asked = api.payment_intents.create(
        {**money, "payment_method": "pm_card_authenticationRequired", "return_url": "https://example.com"}
    )
    sdk_only = api.payment_intents.create({**money, "payment_method": "pm_card_threeDSecure2Required"})
    assert sdk_only.next_action.type == "use_stripe_sdk"
    httpx.post(asked.next_action.redirect_to_url.url, data={"result": "fail"})
    failed = api.payment_intents.retrieve(asked.id)
    assert failed.last_payment_error.code == "payment_intent_authentication_failure"
    api.payment_intents.cancel(asked.id, {"cancellation_reason": "abandoned"})
    with pytest.raises(stripe.CardError) as declined:
        api.payment_intents.create(
            {"amount": 2000, "currency": "eur", "payment_method": "pm_card_chargeDeclined", "confirm": True}
        )
    recorder.answers[-1] = recorder.answers[-1]["error"]["payment_intent"]
    assert declined.value.code == "card_declined"
    api.payment_intents.list()
    assert_shapes(recorder.answers)


def test_endpoints_and_the_account_have_the_shapes_of_the_sdk(api: Any, recorder: Recorder) -> None:
    endpoint = api.webhook_endpoints.create(
        {"url": "http://127.0.0.1:9/", "enabled_events": ["charge.succeeded"], "metadata": {"a": "b"}}
    )
    assert endpoint.secret.startswith("whsec_")
    api.webhook_endpoints.update(endpoint.id, {"disabled": True, "enabled_events": ["*"]})
    assert "secret" not in api.webhook_endpoints.retrieve(endpoint.id)
    api.webhook_endpoints.list()
    api.webhook_endpoints.delete(endpoint.id)
    api.accounts.retrieve_current()
    assert_shapes(recorder.answers)


def test_every_event_of_a_scenario_has_the_shape_of_the_sdk(sandbox: Sandbox) -> None:
    session = session_of(sandbox)
    confirm(sandbox, session["id"], "4000000000000002")
    confirm(sandbox, session["id"])
    intent = sandbox.call("GET", f"/v1/checkout/sessions/{session['id']}").json()["payment_intent"]
    sandbox.call("POST", "/v1/refunds", {"payment_intent": intent, "amount": "100"})
    sandbox.call("POST", f"/v1/checkout/sessions/{session_of(sandbox)['id']}/expire")
    customer = sandbox.call("POST", "/v1/customers", {"name": "A"}).json()["id"]
    sandbox.call("POST", f"/v1/customers/{customer}", {"name": "B"})
    sandbox.call("POST", "/v1/payment_methods/pm_card_visa/attach", {"customer": customer})
    sandbox.call("DELETE", f"/v1/customers/{customer}")
    events = sandbox.events()
    assert {event["type"] for event in events} >= {
        "payment_intent.created", "charge.failed", "payment_intent.payment_failed", "charge.succeeded",
        "charge.updated", "payment_intent.succeeded", "checkout.session.completed", "checkout.session.expired", "refund.created",
        "charge.refunded", "refund.updated", "customer.created", "customer.updated", "customer.deleted",
        "payment_method.attached", "product.created", "price.created",
    }  # fmt: skip
    assert_shapes(events)


def test_the_judge_finds_unknown_missing_and_wrong_fields(sandbox: Sandbox) -> None:
    customer = sandbox.call("POST", "/v1/customers").json()
    assert problems(customer) == []
    assert problems({**customer, "colour": "red"}) == ["customer.colour: unknown field"]
    assert problems({**customer, "balance": "0"})
    assert problems({name: value for name, value in customer.items() if name != "description"}) == [
        "customer.description: missing"
    ]
    session = session_of(sandbox)
    assert problems({**session, "status": "done"})
    assert problems({**session, "automatic_tax": {"enabled": False, "colour": 1}})

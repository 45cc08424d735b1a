"""Paying in the sandbox: cards and their refusals, 3-D Secure, Checkout, refunds, and the events of each."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import stripe

from sandbox_fixtures import Sandbox, confirm, price_of, running_sandbox, sandbox, session_of, shared_sandbox, until

_DECLINES = [
    ("4000000000000002", "card_declined", "generic_decline"),
    ("4000000000009995", "card_declined", "insufficient_funds"),
    ("4000000000009987", "card_declined", "lost_card"),
    ("4000000000009979", "card_declined", "stolen_card"),
    ("4000000000000069", "expired_card", "expired_card"),
    ("4000000000000127", "incorrect_cvc", "incorrect_cvc"),
    ("4000000000000119", "processing_error", "processing_error"),
    ("4000000000000341", "card_declined", "generic_decline"),
]
# The field of the card that a decline names.
_FIELDS = {"expired_card": "exp_month", "incorrect_cvc": "cvc"}
_PAYMENT = {"amount": "2000", "currency": "usd", "confirm": "true"}


def pay(sandbox: Sandbox, token: str, **more: str) -> httpx.Response:
    return sandbox.call("POST", "/v1/payment_intents", {**_PAYMENT, "payment_method": token, **more})


def session_now(sandbox: Sandbox, session: dict[str, Any], *expand: str) -> dict[str, Any]:
    params = {f"expand[{place}]": path for place, path in enumerate(expand)}
    return dict(sandbox.call("GET", f"/v1/checkout/sessions/{session['id']}", params).json())


def answer_3ds(intent: dict[str, Any], result: str) -> httpx.Response:
    action = intent["next_action"]
    url = action["redirect_to_url"]["url"] if "redirect_to_url" in action else action["use_stripe_sdk"]["stripe_js"]
    assert httpx.get(url).status_code == 200
    return httpx.post(url, data={"result": result})


def test_a_checkout_is_paid_with_its_events_in_stripes_order(sandbox: Sandbox) -> None:
    more = {"payment_intent_data[metadata][order]": "o1", "metadata[order]": "o1", "client_reference_id": "ref"}
    session = session_of(sandbox, **more)
    assert session["id"].startswith("cs_test_")
    assert len(session["id"]) == len("cs_test_") + 58
    assert session["payment_intent"] is None
    assert session["expires_at"] == session["created"] + 86400
    answer = confirm(sandbox, session["id"])
    assert answer.status_code == 200, answer.text
    assert answer.json()["success_url"] == f"http://127.0.0.1:9/thanks?s={session['id']}"
    assert sandbox.event_types()[-5:] == [
        "payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "checkout.session.completed",
        "charge.updated",
    ]  # fmt: skip
    now = session_now(sandbox, session, "payment_intent.latest_charge.balance_transaction")
    charge = now["payment_intent"]["latest_charge"]
    assert (now["status"], now["payment_status"], now["url"]) == ("complete", "paid", None)
    assert now["customer_details"]["email"] == "jo@example.com"
    assert charge["metadata"] == now["payment_intent"]["metadata"] == {"order": "o1"}
    assert charge["balance_transaction"]["fee"] == 59  # 2.9 % of 9.99 is 28.97, and 30
    assert charge["balance_transaction"]["net"] == 940
    assert httpx.get(charge["receipt_url"]).status_code == 200


@pytest.mark.parametrize(("number", "code", "decline_code"), _DECLINES)
def test_a_declined_card_leaves_the_session_open(sandbox: Sandbox, number: str, code: str, decline_code: str) -> None:
    session = session_of(sandbox)
    answer = confirm(sandbox, session["id"], number)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"], error["decline_code"]) == (
        402,
        "card_error",
        code,
        decline_code,
    )
    assert error.get("param") == _FIELDS.get(code)
    assert error["payment_intent"]["status"] == "requires_payment_method"
    assert error["payment_intent"]["last_payment_error"]["message"] == error["message"]
    assert sandbox.event_types()[-3:] == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]
    charge = sandbox.call("GET", f"/v1/charges/{error['charge']}").json()
    assert (charge["status"], charge["paid"], charge["failure_code"]) == ("failed", False, code)
    assert session_now(sandbox, session)["status"] == "open"
    assert confirm(sandbox, session["id"]).status_code == 200
    assert sandbox.event_types().count("payment_intent.created") == 1


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"number": "4242424242424241"}, "incorrect_number", "number"),
        ({"number": "4111111111111111"}, "card_declined", ""),
        ({"exp_month": "13"}, "invalid_expiry_month", "exp_month"),
        ({"exp_year": "2020"}, "invalid_expiry_year", "exp_year"),
        ({"cvc": "12"}, "invalid_cvc", "cvc"),
    ],
)
def test_a_card_that_cannot_be_right_is_refused(
    sandbox: Sandbox, changes: dict[str, str], code: str, param: str
) -> None:
    card = {"number": "4242424242424242", "exp_month": "12", "exp_year": "2040", "cvc": "123", **changes}
    params = {"type": "card", **{f"card[{name}]": value for name, value in card.items()}}
    answer = sandbox.call("POST", "/v1/payment_methods", params)
    assert (answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["param"]) == (402, code, param)


def test_a_declining_card_fails_when_it_is_attached(sandbox: Sandbox) -> None:
    customer = sandbox.call("POST", "/v1/customers").json()["id"]
    sdk = sandbox.sdk().v1
    with pytest.raises(stripe.CardError) as refused:
        sdk.payment_methods.attach("pm_card_visa_chargeDeclined", {"customer": customer})
    assert (refused.value.code, refused.value.param) == ("card_declined", "")
    method = sdk.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer})
    with pytest.raises(stripe.CardError):
        sdk.payment_intents.create(
            {"amount": 500, "currency": "usd", "customer": customer, "payment_method": method.id, "confirm": True}
        )


@pytest.mark.parametrize("number", ["4000002500003155", "4000002760003184", "4000000000003220"])
def test_3d_secure_passed_completes_the_session(sandbox: Sandbox, number: str) -> None:
    session = session_of(sandbox)
    intent = confirm(sandbox, session["id"], number).json()["payment_intent"]
    assert intent["status"] == "requires_action"
    back = answer_3ds(intent, "complete")
    assert back.headers["location"] == f"http://127.0.0.1:9/thanks?s={session['id']}"
    now = session_now(sandbox, session, "payment_intent.latest_charge")
    assert now["payment_status"] == "paid"
    card = now["payment_intent"]["latest_charge"]["payment_method_details"]["card"]
    assert card["three_d_secure"]["result"] == "authenticated"
    assert sandbox.event_types()[-6:] == [
        "payment_intent.created", "payment_intent.requires_action", "charge.succeeded", "payment_intent.succeeded",
        "checkout.session.completed", "charge.updated",
    ]  # fmt: skip
    assert httpx.post(intent["next_action"]["redirect_to_url"]["url"], data={"result": "complete"}).status_code == 404


@pytest.mark.parametrize(
    ("number", "result", "code"),
    [
        ("4000002760003184", "fail", "payment_intent_authentication_failure"),
        ("4000008260003178", "complete", "card_declined"),
        ("4000008400001629", "complete", "card_declined"),
    ],
)
def test_3d_secure_failed_or_declined_leads_back_with_the_error(
    sandbox: Sandbox, number: str, result: str, code: str
) -> None:
    session = session_of(sandbox)
    intent = confirm(sandbox, session["id"], number).json()["payment_intent"]
    back = answer_3ds(intent, result)
    assert back.headers["location"] == session["url"]
    now = session_now(sandbox, session, "payment_intent")
    assert (now["status"], now["payment_intent"]["status"]) == ("open", "requires_payment_method")
    error = now["payment_intent"]["last_payment_error"]
    assert error["code"] == code
    assert error["message"] in httpx.get(session["url"]).text.replace("&#39;", "'")
    assert confirm(sandbox, session["id"]).status_code == 200


def test_an_intent_of_the_api_goes_through_3d_secure_to_its_return_url(sandbox: Sandbox) -> None:
    intent = pay(sandbox, "pm_card_threeDSecure2Required", return_url="http://127.0.0.1:9/r?a=1").json()
    back = answer_3ds(intent, "complete").headers["location"]
    assert back.startswith("http://127.0.0.1:9/r?a=1&payment_intent=pi_")
    assert back.endswith("redirect_status=succeeded")
    assert sandbox.call("GET", f"/v1/payment_intents/{intent['id']}").json()["status"] == "succeeded"
    excluded = pay(sandbox, "pm_card_authenticationRequired", error_on_requires_action="true")
    assert (excluded.status_code, excluded.json()["error"]["code"]) == (402, "authentication_required")
    absent = pay(sandbox, "pm_card_authenticationRequired", off_session="true")
    assert absent.json()["error"]["decline_code"] == "authentication_required"


def test_a_session_is_paid_once_however_many_try(sandbox: Sandbox) -> None:
    session = session_of(sandbox)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: confirm(sandbox, session["id"]), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
    assert len(sandbox.call("GET", "/v1/charges").json()["data"]) == 1


def test_the_page_is_paid_with_the_secret_key_the_page_id_or_the_session_alone(sandbox: Sandbox) -> None:
    for with_key in (True, False):
        session = session_of(sandbox)
        caller = sandbox.http() if with_key else httpx.Client(base_url=sandbox.url)
        with caller as http:
            shown = http.get(f"/v1/payment_pages/{session['id']}").json()
            wrong = http.post(f"/v1/payment_pages/{shown['id']}/confirm",
                              data={"payment_method": "pm_card_visa", "expected_amount": "1"})  # fmt: skip
            right = http.post(f"/v1/payment_pages/{shown['id']}/confirm",
                              data={"payment_method": "pm_card_visa", "expected_amount": "999"})  # fmt: skip
        assert (wrong.status_code, right.status_code) == (400, 200)
        assert sandbox.key not in str(shown)
    assert httpx.get(f"{sandbox.url}/v1/payment_pages/cs_test_0").status_code == 401


def test_a_free_session_needs_no_payment(sandbox: Sandbox) -> None:
    price = sandbox.call(
        "POST", "/v1/prices", {"currency": "usd", "unit_amount": "0", "product_data[name]": "Trial"}
    ).json()
    session = session_of(sandbox, **{"line_items[0][price]": price["id"]})
    assert session["payment_status"] == "no_payment_required"
    answer = httpx.post(f"{sandbox.url}/v1/payment_pages/{session['id']}/confirm", data={"customer_email": "a@b.co"})
    assert answer.status_code == 200
    now = session_now(sandbox, session)
    assert (now["status"], now["payment_status"], now["payment_intent"]) == ("complete", "no_payment_required", None)


def test_what_a_session_refuses(sandbox: Sandbox) -> None:
    recurring = sandbox.call("POST", "/v1/prices", {"currency": "usd", "unit_amount": "500", "product_data[name]": "x",
                                                    "recurring[interval]": "month"}).json()["id"]  # fmt: skip
    inactive, yen = price_of(sandbox), price_of(sandbox, 500, "jpy")
    sandbox.call("POST", f"/v1/prices/{inactive}", {"active": "false"})
    created = sandbox.call("POST", "/v1/customers").json()
    base = {"mode": "payment", "success_url": "https://x.example", "line_items[0][quantity]": "1"}
    good = {**base, "line_items[0][price]": price_of(sandbox)}
    for wrong in (
        {**base, "line_items[0][price]": recurring},
        {**base, "line_items[0][price]": inactive},
        {**base, "line_items[0][price]": price_of(sandbox, 49)},
        {**good, "line_items[1][price]": yen, "line_items[1][quantity]": "1"},
        {**good, "line_items[0][quantity]": "0"},
        {**good, "line_items[0][amount]": "500"},
        {**good, "expires_at": str(created["created"] + 60)},
        {**good, "expires_at": str(created["created"] + 90000)},
        {**good, "customer": created["id"], "customer_email": "a@b.co"},
        {**good, "client_reference_id": "x" * 201},
        {"mode": "payment", "success_url": "https://x.example"},
    ):
        answer = sandbox.call("POST", "/v1/checkout/sessions", wrong)
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error"), wrong
    assert sandbox.call("POST", "/v1/checkout/sessions", good).status_code == 200


def test_a_session_expires_on_the_clock_by_itself() -> None:
    with running_sandbox() as sandbox:
        soon = str(sandbox.call("POST", "/v1/customers").json()["created"] + 1801)
        session = session_of(sandbox, expires_at=soon)
        confirm(sandbox, session["id"], "4000000000000002")
        sandbox.advance("29m")
        assert session_now(sandbox, session)["status"] == "open"
        sandbox.advance("2m")
        now = session_now(sandbox, session, "payment_intent")
        assert (now["status"], now["url"], now["payment_intent"]["status"]) == ("expired", None, "canceled")
        event = sandbox.events()[-1]
        assert (event["type"], event["created"]) == ("checkout.session.expired", session["expires_at"])
        assert confirm(sandbox, session["id"]).json()["error"]["code"] == "checkout_session_expired"
        paid = session_of(sandbox)
        confirm(sandbox, paid["id"])
        sandbox.advance("25h")
        assert session_now(sandbox, paid)["status"] == "complete"


def test_the_intent_of_a_session_is_not_ours_to_touch(sandbox: Sandbox) -> None:
    session = session_of(sandbox)
    confirm(sandbox, session["id"], "4000000000000002")
    intent = session_now(sandbox, session)["payment_intent"]
    assert sandbox.call("POST", f"/v1/payment_intents/{intent}/cancel").status_code == 400
    params = {"payment_method": "pm_card_visa"}
    assert sandbox.call("POST", f"/v1/payment_intents/{intent}/confirm", params).status_code == 400
    assert sandbox.call("POST", f"/v1/checkout/sessions/{session['id']}/expire").json()["status"] == "expired"
    assert sandbox.call("POST", f"/v1/checkout/sessions/{session['id']}/expire").status_code == 400


def test_intents_keep_to_their_states(sandbox: Sandbox) -> None:
    intent = sandbox.call("POST", "/v1/payment_intents", {"amount": "500", "currency": "usd"}).json()
    path = f"/v1/payment_intents/{intent['id']}"
    assert intent["status"] == "requires_payment_method"
    assert sandbox.call("POST", f"{path}/confirm").json()["error"]["code"] == "payment_intent_unexpected_state"
    assert sandbox.call("POST", path, {"payment_method": "pm_card_visa"}).json()["status"] == "requires_confirmation"
    assert sandbox.call("POST", f"{path}/confirm").json()["status"] == "succeeded"
    for action in ("/confirm", "/cancel"):
        error = sandbox.call("POST", path + action).json()["error"]
        assert error["code"] == "payment_intent_unexpected_state"
        assert error["payment_intent"]["id"] == intent["id"]
    assert sandbox.call("POST", path, {"amount": "700"}).status_code == 400
    assert sandbox.call("POST", path, {"metadata[a]": "b"}).json()["metadata"] == {"a": "b"}


def test_refunds_in_parts_to_the_last_cent(sandbox: Sandbox) -> None:
    charge = pay(sandbox, "pm_card_visa").json()["latest_charge"]
    first = sandbox.call("POST", "/v1/refunds", {"charge": charge, "amount": "500"})
    assert first.json()["status"] == "succeeded"
    assert sandbox.event_types()[-4:] == [
        "refund.created", "charge.refunded", "refund.updated", "charge.refund.updated",
    ]  # fmt: skip
    now = sandbox.call("GET", f"/v1/charges/{charge}").json()
    assert (now["amount_refunded"], now["refunded"]) == (500, False)
    too_much = sandbox.call("POST", "/v1/refunds", {"charge": charge, "amount": "1501"})
    assert (too_much.status_code, too_much.json()["error"]["param"]) == (400, "amount")
    sandbox.call("POST", "/v1/refunds", {"payment_intent": now["payment_intent"]})
    now = sandbox.call("GET", f"/v1/charges/{charge}", {"expand[]": "refunds"}).json()
    assert (now["amount_refunded"], now["refunded"]) == (2000, True)
    assert [refund["amount"] for refund in now["refunds"]["data"]] == [1500, 500]
    spent = sandbox.call("POST", "/v1/refunds", {"charge": charge})
    assert spent.json()["error"]["code"] == "charge_already_refunded"
    booked = sandbox.call("GET", "/v1/balance_transactions").json()["data"]
    assert sorted(row["amount"] for row in booked) == [-1500, -500, 2000]


def test_events_are_listed_by_type_and_delivery(sandbox: Sandbox) -> None:
    pay(sandbox, "pm_card_visa")
    endpoint = {"url": "http://127.0.0.1:9/nobody", "enabled_events[]": "charge.succeeded"}
    sandbox.call("POST", "/v1/webhook_endpoints", endpoint)
    pay(sandbox, "pm_card_visa")

    def types(**params: str) -> list[str]:
        data = sandbox.call("GET", "/v1/events", {"limit": "100", **params}).json()["data"]
        return [event["type"] for event in data]

    assert types(type="charge.succeeded") == ["charge.succeeded"] * 2
    assert types(type="charge.*") == ["charge.updated", "charge.succeeded"] * 2
    assert set(types(**{"types[]": "payment_intent.created"})) == {"payment_intent.created"}
    assert types(delivery_success="false") == ["charge.succeeded"]
    assert len(types(delivery_success="true")) == 7
    oldest = sandbox.events()[0]["id"]
    assert len(types(ending_before=oldest)) == 7
    assert until(lambda: sandbox.events()[-3]["pending_webhooks"] == 1)


@pytest.mark.parametrize(
    ("currency", "amount", "shown"),
    [
        ("usd", 123456, "$1,234.56"),
        ("eur", 50, "€0.50"),
        ("jpy", 500, "¥500"),
        ("pln", 1999, "zł\u00a019.99"),
        ("kwd", 1500, "KWD\u00a01.500"),
    ],
)
def test_the_page_writes_amounts_as_their_currency_does(
    sandbox: Sandbox, currency: str, amount: int, shown: str
) -> None:
    session = session_of(sandbox, **{"line_items[0][price]": price_of(sandbox, amount, currency)})
    assert f"Pay {shown}<" in httpx.get(session["url"]).text


def test_held_money_can_be_captured_by_its_charge(sandbox: Sandbox) -> None:
    given = {"amount": "2000", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true",
             "capture_method": "manual", "payment_method_types[0]": "card"}  # fmt: skip
    held = sandbox.call("POST", "/v1/payment_intents", given).json()
    path = f"/v1/charges/{held['latest_charge']}/capture"
    assert sandbox.call("POST", path, {"amount": "2001"}).json()["error"]["code"] == "amount_too_large"
    taken = sandbox.call("POST", path, {"amount": "1500"}).json()
    assert (taken["object"], taken["captured"], taken["amount_captured"], taken["amount_refunded"]) == (
        "charge", True, 1500, 500)  # fmt: skip
    intent = sandbox.call("GET", f"/v1/payment_intents/{held['id']}").json()
    assert (intent["status"], intent["amount_received"]) == ("succeeded", 1500)
    again = sandbox.call("POST", path)
    assert (again.status_code, again.json()["error"]["code"]) == (400, "charge_already_captured")

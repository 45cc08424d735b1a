"""Checkout inside the seller's own page: its sessions, and how such a page goes on after payment."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from typing import Any

import httpx
import pytest
import stripe

from sandbox_fixtures import Sandbox, confirm, price_of, sandbox, shared_sandbox
from stripe_shapes import problems

RETURN = "http://127.0.0.1:9/thanks?s={CHECKOUT_SESSION_ID}"


def embedded(sandbox: Sandbox, **more: str) -> dict[str, Any]:
    given = {"mode": "payment", "ui_mode": "embedded_page", "return_url": RETURN, **more}
    line = {"line_items[0][price]": price_of(sandbox), "line_items[0][quantity]": "1"}
    answer = sandbox.call("POST", "/v1/checkout/sessions", {**line, **{k: v for k, v in given.items() if v}})
    assert answer.status_code == 200, answer.text
    session = dict(answer.json())
    assert problems(session) == []
    return session


def test_a_session_has_a_secret_instead_of_an_address(sandbox: Sandbox) -> None:
    session = embedded(sandbox)
    assert (session["ui_mode"], session["url"], session["success_url"]) == ("embedded_page", None, None)
    assert session["client_secret"].startswith(session["id"] + "_secret_")
    assert (session["return_url"], session["redirect_on_completion"]) == (RETURN, "always")
    page = httpx.get(f"{sandbox.url}/c/pay/{session['id']}")
    assert "frame-ancestors *" in page.headers["Content-Security-Policy"]
    assert 'data-embedded="yes"' in page.text
    paid = confirm(sandbox, session["id"]).json()
    assert (paid["status"], paid["success_url"]) == ("complete", RETURN.replace("{CHECKOUT_SESSION_ID}", session["id"]))


@pytest.mark.parametrize("how", ["if_required", "never"])
def test_a_page_that_stays_has_nowhere_to_go(sandbox: Sandbox, how: str) -> None:
    session = embedded(sandbox, redirect_on_completion=how, return_url=RETURN if how == "if_required" else "")
    assert confirm(sandbox, session["id"]).json()["success_url"] is None


def test_the_older_word_is_taken_and_said_back_to_older_versions(sandbox: Sandbox) -> None:
    session = embedded(sandbox, ui_mode="embedded")
    old = sandbox.call("GET", f"/v1/checkout/sessions/{session['id']}", Stripe_Version="2025-03-31.basil").json()
    assert old["ui_mode"] == "embedded"


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"ui_mode": "embedded_page"}, "return_url"),
        ({"ui_mode": "embedded_page", "return_url": RETURN, "success_url": RETURN}, "success_url"),
        ({"ui_mode": "embedded_page", "return_url": RETURN, "redirect_on_completion": "never"}, "return_url"),
        ({"success_url": RETURN, "return_url": RETURN}, "return_url"),
        ({"ui_mode": "hosted_page"}, "success_url"),
        ({"ui_mode": "embedded_page", "redirect_on_completion": "never", "payment_method_types[0]": "p24"},
         "payment_method_types"),
        ({"ui_mode": "form", "return_url": RETURN}, "ui_mode"),
    ],
)  # fmt: skip
def test_addresses_that_do_not_go_with_the_page_are_refused(
    sandbox: Sandbox, given: dict[str, str], param: str
) -> None:
    line = {"mode": "payment", "line_items[0][price]": price_of(sandbox), "line_items[0][quantity]": "1"}
    answer = sandbox.call("POST", "/v1/checkout/sessions", {**line, **given})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_after_a_banks_page_the_buyer_is_back_at_the_sellers(sandbox: Sandbox) -> None:
    price = {"line_items[0][price]": price_of(sandbox, 2000, "pln"), "payment_method_types[0]": "p24"}
    session = embedded(sandbox, **price)
    paying = httpx.post(f"{sandbox.url}/v1/payment_pages/{session['id']}/confirm", data={
        "payment_method_data[type]": "p24", "payment_method_data[billing_details][email]": "jo@example.com",
        "payment_method_data[billing_details][name]": "Jo", "customer_email": "jo@example.com"}).json()  # fmt: skip
    assert "payment_intent" in paying, paying
    bank = paying["payment_intent"]["next_action"]["redirect_to_url"]["url"]
    back = httpx.post(bank, data={"result": "complete"}).headers["location"]
    assert back == RETURN.replace("{CHECKOUT_SESSION_ID}", session["id"])
    assert "embedded.js" in httpx.get(f"{sandbox.url}/c/pay/{session['id']}").text


def test_the_sdk_makes_one(sandbox: Sandbox) -> None:
    client = sandbox.sdk()
    session = client.v1.checkout.sessions.create({
        "mode": "payment", "ui_mode": "embedded_page", "return_url": RETURN,
        "line_items": [{"price": price_of(sandbox), "quantity": 1}],
    })  # fmt: skip
    assert session.client_secret
    with pytest.raises(stripe.InvalidRequestError, match="does not support the value 'elements'"):
        client.v1.checkout.sessions.create({"mode": "payment", "ui_mode": "elements", "return_url": RETURN})

"""Two currencies in one payment, what a capture leaves, fees and warnings: what stands in the seller's books."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from money_steps import assert_event_shapes, call, now, pay, refused
from sandbox_fixtures import Sandbox, price_of, running_sandbox, sandbox, session_of, shared_sandbox
from stripe_shapes import problems


def paid_session(sandbox: Sandbox, email: str, **more: str) -> dict[str, Any]:
    """A session of 10.00 USD whose buyer has this address, paid."""
    session = session_of(sandbox, **{"line_items[0][price]": price_of(sandbox, 1000, "usd"),
                                     "adaptive_pricing[enabled]": "true", "customer_email": email, **more})  # fmt: skip
    page = f"{sandbox.url}/v1/payment_pages/{session['id']}"
    assert httpx.post(f"{page}/confirm", data={"payment_method": "pm_card_fr"}).status_code == 200
    return now(sandbox, f"/v1/checkout/sessions/{session['id']}", **{"expand[]": "payment_intent.latest_charge"})


def test_a_buyer_elsewhere_is_shown_another_currency(sandbox: Sandbox) -> None:
    session = paid_session(sandbox, "jo+location_FR@example.com")
    assert (session["amount_total"], session["currency"], session["currency_conversion"]) == (1000, "usd", None)
    shown = {"presentment_amount": 920, "presentment_currency": "eur"}
    intent = session["payment_intent"]
    assert session["presentment_details"] == intent["presentment_details"] == shown
    assert intent["latest_charge"]["presentment_details"] == shown
    booked = now(sandbox, f"/v1/balance_transactions/{intent['latest_charge']['balance_transaction']}")
    assert (booked["amount"], booked["currency"], booked["exchange_rate"]) == (1000, "usd", None)
    refund = call(sandbox, "/v1/refunds", payment_intent=intent["id"], amount="500")
    assert refund["presentment_details"] == {"presentment_amount": 460, "presentment_currency": "eur"}
    assert_event_shapes(sandbox)


def test_an_older_client_sees_it_the_other_way_round(sandbox: Sandbox) -> None:
    session = paid_session(sandbox, "jo+location_FR@example.com")
    path = f"/v1/checkout/sessions/{session['id']}"
    old = sandbox.call("GET", path, {"expand[]": "payment_intent"}, Stripe_Version="2024-09-30.acacia").json()
    assert (old["amount_total"], old["currency"]) == (920, "eur")
    assert old["currency_conversion"] == {
        "amount_subtotal": 1000, "amount_total": 1000, "fx_rate": "0.92", "source_currency": "usd",
    }  # fmt: skip
    assert "presentment_details" not in old
    assert (old["payment_intent"]["amount"], old["payment_intent"]["currency"]) == (920, "eur")
    assert old["payment_intent"]["amount_received"] == 920


@pytest.mark.parametrize("email", ["jo@example.com", "jo+location_US@example.com", "jo+location_XX@example.com"])
def test_a_buyer_at_home_is_not(sandbox: Sandbox, email: str) -> None:
    assert "presentment_details" not in paid_session(sandbox, email)


def test_nothing_is_converted_unless_it_is_asked_for(sandbox: Sandbox) -> None:
    off = {"adaptive_pricing[enabled]": "false"}
    assert "presentment_details" not in paid_session(sandbox, "jo+location_FR@example.com", **off)


@pytest.mark.parametrize(("country", "shown"), [("JP", (1550, "jpy")), ("IS", (138000, "isk")), ("KW", (3070, "kwd"))])
def test_a_shown_amount_keeps_to_the_steps_of_its_currency(
    sandbox: Sandbox, country: str, shown: tuple[int, str]
) -> None:
    details = paid_session(sandbox, f"jo+location_{country}@example.com")["presentment_details"]
    assert (details["presentment_amount"], details["presentment_currency"]) == shown


@pytest.fixture(scope="module")
def settling() -> Iterator[Sandbox]:
    """A sandbox that pays its sellers in euros."""
    with running_sandbox() as started:
        httpx.post(f"{started.url}/_sandbox/settings", json={"settlement_currency": "eur"})
        yield started


def books(sandbox: Sandbox, source: str) -> list[dict[str, Any]]:
    shown = now(sandbox, "/v1/balance_transactions", source=source)
    return list(shown["data"][::-1])


def test_payments_in_another_currency_are_exchanged(settling: Sandbox) -> None:
    ours = settling.other()
    charge = pay(ours, amount=1000)["latest_charge"]
    (booked,) = books(ours, charge)
    assert (booked["amount"], booked["currency"], booked["exchange_rate"]) == (920, "eur", 0.92)
    assert (booked["fee"], booked["net"]) == (57, 863)  # 2.9 % of 9.20 and 0.30
    assert booked["fee_details"][0]["currency"] == "eur"
    refund = call(ours, "/v1/refunds", charge=charge, amount="500")
    (back,) = books(ours, refund["id"])
    assert (back["amount"], back["currency"], back["fee"]) == (-460, "eur", 0)
    dispute = httpx.post(f"{ours.url}/_sandbox/disputes", json={"charge": charge, "status": "won"}).json()
    taken, returned = books(ours, dispute["id"])
    assert (taken["amount"], taken["fee"], taken["net"]) == (-920, 1500, -2420)
    assert (returned["amount"], returned["fee"], returned["net"]) == (920, -1500, 2420)
    own = pay(ours, amount=1000, currency="eur")["latest_charge"]
    assert books(ours, own)[0]["exchange_rate"] is None


def test_a_settlement_currency_must_have_a_rate(settling: Sandbox) -> None:
    assert httpx.post(f"{settling.url}/_sandbox/settings", json={"settlement_currency": "zzz"}).status_code == 400


def test_a_partial_capture_gives_the_rest_back(sandbox: Sandbox) -> None:
    intent = pay(sandbox, capture_method="manual")
    told = next(one for one in sandbox.events() if one["type"] == "payment_intent.amount_capturable_updated")
    assert told["data"]["object"]["amount_capturable"] == 2000
    final = refused(sandbox, f"/v1/payment_intents/{intent['id']}/capture", final_capture="false")
    assert final["param"] == "final_capture"
    call(sandbox, f"/v1/payment_intents/{intent['id']}/capture", amount_to_capture="1500")
    charge = now(sandbox, f"/v1/charges/{intent['latest_charge']}", **{"expand[]": "refunds"})
    assert (charge["amount"], charge["amount_captured"], charge["amount_refunded"], charge["refunded"]) == (
        2000,
        1500,
        500,
        False,
    )
    assert [one["amount"] for one in charge["refunds"]["data"]] == [500]
    assert now(sandbox, f"/v1/balance_transactions/{charge['balance_transaction']}")["amount"] == 1500
    assert call(sandbox, "/v1/refunds", charge=charge["id"])["amount"] == 1500
    assert now(sandbox, f"/v1/charges/{charge['id']}")["refunded"] is True
    assert refused(sandbox, "/v1/refunds", charge=charge["id"])["code"] == "charge_already_refunded"


def test_a_warning_of_fraud_at_the_press_of_a_button(sandbox: Sandbox) -> None:
    charge = pay(sandbox)["latest_charge"]
    press = f"{sandbox.url}/_sandbox/fraud_warnings"
    warning = httpx.post(press, json={"charge": charge}).json()
    assert problems(warning) == []
    assert (warning["charge"], warning["actionable"]) == (charge, True)
    assert sandbox.event_types()[-1] == "radar.early_fraud_warning.created"
    assert httpx.post(press, json={"charge": "ch_none"}).status_code == 404
    assert httpx.post(press, json={"charge": charge, "colour": 1}).status_code == 400
    assert now(sandbox, "/v1/radar/early_fraud_warnings", charge=charge)["data"][0]["id"] == warning["id"]

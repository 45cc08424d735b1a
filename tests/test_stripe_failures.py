"""Every error of Stripe becomes one clear answer: the right status, a code, a text; nothing of Stripe's insides."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import settings_for
from desk import Desk, running_desk
from money_back import bought, dispute
from paydesk.errors import NotFound, PaydeskError, StripeClash, StripeFailed, StripeKeyRefused, StripeUnavailable
from paydesk.stripe.failures import Failure, meaning, plain
from sandbox_fixtures import Sandbox, free_port, running_sandbox
from test_api import error_of

INSIDE = re.compile(r"https?://|sk_test|(?<!pdk)_live_|dashboard|Traceback|stripe\.com|File \"")
DECLINED = [
    ("pm_card_chargeDeclined", "card_declined", "generic_decline", "Karta została odrzucona."),
    ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds",
     "Na karcie brakuje środków."),
    ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card", "Karta straciła ważność."),
    ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc",
     "Kod zabezpieczający karty jest nieprawidłowy."),
    ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error", None),
]  # fmt: skip


@pytest.fixture(scope="module")
def stormy(new_database: Callable[[], str]) -> Iterator[Desk]:
    """A desk whose sandbox is its own, to bring it into disorder."""
    with running_sandbox() as sandbox, running_desk(settings_for(new_database(), sandbox.url), sandbox) as running:
        yield running


def storm(desk: Desk, **chaos: Any) -> None:
    answer = httpx.post(
        f"{desk.sandbox.url}/_sandbox/chaos", json=chaos,
        headers={"Authorization": f"Bearer {desk.settings['STRIPE_API_KEY']}"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text


def wish(desk: Desk, **more: Any) -> dict[str, Any]:
    return {"customer": desk.buyer().who, "amount": 2000, "currency": "usd", **more}


def told(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The error, in which nothing of Stripe's insides stands."""
    error = error_of_payment(answer, status, code)
    assert not INSIDE.search(answer.text), answer.text
    assert len(re.findall(r"\breq_", answer.text)) == 1, "our own request id, and not Stripe's"
    return error


def error_of_payment(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    if answer.status_code != 402:
        return error_of(answer, status, code)
    assert (status, answer.json()["error"]["code"]) == (402, code), answer.text
    return dict(answer.json()["error"])


@pytest.mark.parametrize(("card", "code", "decline_code", "polish"), DECLINED, ids=[one[0] for one in DECLINED])
def test_a_declined_card_is_402_with_the_banks_reason_in_the_buyers_language(
    desk: Desk, card: str, code: str, decline_code: str, polish: str | None
) -> None:
    pays = {"payment_method": card, "confirm": True}
    error = told(desk.call("POST", "/v1/payments", json=wish(desk, **pays)), 402, code)
    assert error["decline_code"] == decline_code
    assert error["message"].startswith("Your card") or "processing" in error["message"]
    assert desk.get(f"/v1/payments/{error['payment']}")["status"] == "requires_payment_method"
    pole = desk.post("/v1/customers", {"locale": "pl"})["id"]
    error = told(desk.call("POST", "/v1/payments", json={**wish(desk, **pays), "customer": pole}), 402, code)
    assert (error["decline_code"], bool(error["message"])) == (decline_code, True)
    if polish is not None:
        assert error["message"] == polish


def test_what_stripe_does_not_take_names_our_parameter(desk: Desk) -> None:
    unknown = wish(desk, payment_method="pm_nothing", confirm=True)
    assert told(desk.call("POST", "/v1/payments", json=unknown), 400, "invalid_request")["param"] == "payment_method"
    body = {"customer": desk.buyer().who, "items": [{"price": "credits-10"}], "coupon": "none"}
    assert told(desk.call("POST", "/v1/checkouts", json=body), 400, "invalid_request")["param"] == "coupon"
    assert told(desk.call("GET", "/v1/refunds/re_nothing"), 404, "not_found")["param"] == "refund"


def test_what_the_bank_took_back_is_not_given_back_again_and_is_told_in_our_words(stormy: Desk) -> None:
    _, order = bought(stormy, "credits-10")
    dispute(stormy, order, "lost")
    error = told(stormy.call("POST", "/v1/refunds", json={"order": order["id"]}), 409, "payment_disputed")
    assert "bank" in error["message"]
    assert "ch_" not in error["message"]


@pytest.mark.parametrize(("name", "code"), [("429", "stripe_busy"), ("lock_timeout", "stripe_busy"),
                                            ("500", "stripe_unavailable"), ("503", "stripe_unavailable"),
                                            ("409", "stripe_unavailable")])  # fmt: skip
def test_a_stripe_in_trouble_is_503_and_the_same_key_goes_on_afterwards(stormy: Desk, name: str, code: str) -> None:
    body, headers = wish(stormy, payment_method="pm_card_visa", confirm=True), {"Idempotency-Key": secrets.token_hex(8)}
    stormy.post("/v1/checkouts", {"customer": body["customer"], "items": [{"price": "credits-10"}]})
    storm(stormy, errors={name: 1.0})
    try:
        answer = stormy.call("POST", "/v1/payments", json=body, headers=headers)
    finally:
        storm(stormy)
    told(answer, 503, code)
    assert int(answer.headers["Retry-After"]) >= 1
    again = stormy.call("POST", "/v1/payments", json=body, headers=headers)
    assert (again.status_code, again.json().get("status")) == (201, "succeeded"), again.text
    person = again.json()["customer"]
    whose = stormy.sql("SELECT stripe_customer FROM customer WHERE id = $1", person)[0]["stripe_customer"]
    made = stormy.at_stripe("GET", "/v1/payment_intents", {"customer": whose, "limit": 100}).json()["data"]
    assert [one["id"] for one in made] == [again.json()["id"]], "one payment, however often it was asked for"


def test_a_stripe_that_is_busy_for_a_moment_is_asked_again(stormy: Desk) -> None:
    storm(stormy, errors={"429": 0.3}, seed=4)
    try:
        answers = [stormy.call("POST", "/v1/payments", json=wish(stormy)).status_code for _ in range(8)]
    finally:
        storm(stormy)
    assert answers.count(201) >= 7, answers


@pytest.fixture
def refusing() -> Iterator[str]:
    """The address of something that answers every request as Stripe answers a key that was revoked."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = (
                b'{"error": {"type": "invalid_request_error", "code": "api_key_expired", '
                b'"message": "Expired API Key provided: sk_test_********wxyz. See https://dashboard.stripe.com/keys"}}'
            )
            self.send_response(401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_key_that_stripe_refuses_is_our_fault_and_is_never_shown(
    new_database: Callable[[], str], stripe_sandbox: Sandbox, refusing: str
) -> None:
    settings = settings_for(new_database(), stripe_sandbox.url)
    with running_desk(settings, stripe_sandbox) as before:
        before.buyer().checkout("credits-10")
    with running_desk({**settings, "STRIPE_API_BASE": refusing}, stripe_sandbox, "--no-work", webhooks=False) as after:
        answer = after.call("POST", "/v1/payments", json=wish(after))
        error = told(answer, 503, "stripe_not_configured")
        assert "its key is refused" in error["message"]
        assert answer.headers["Retry-After"] == "60"
        assert after.get("/v1/products")["data"], "what needs no Stripe goes on"


def test_a_stripe_that_nobody_reaches_is_503(new_database: Callable[[], str], stripe_sandbox: Sandbox) -> None:
    settings = settings_for(new_database(), stripe_sandbox.url)
    with running_desk(settings, stripe_sandbox):
        pass
    gone = {**settings, "STRIPE_API_BASE": f"http://127.0.0.1:{free_port()}"}
    with running_desk(gone, stripe_sandbox, "--no-work", webhooks=False) as after:
        answer = after.call("POST", "/v1/payments", json=wish(after))
        told(answer, 503, "stripe_unavailable")
        assert answer.headers["Retry-After"] == "5"


# --- the table -------------------------------------------------------------------------------------------------------

TABLE: list[tuple[Failure, type[PaydeskError], int, str]] = [
    (Failure("AuthenticationError", "payment", "Invalid API Key provided: sk_test_1"), StripeKeyRefused, 503,
     "stripe_not_configured"),
    (Failure("PermissionError", "payment", "no access", 403), StripeKeyRefused, 503, "stripe_not_configured"),
    (Failure("IdempotencyError", "payment", "Keys for idempotent requests…", 400), StripeClash, 409,
     "stripe_idempotency_clash"),
    (Failure("IdempotencyError", "payment", "in progress", 409), StripeUnavailable, 503, "stripe_unavailable"),
    (Failure("InvalidRequestError", "price", "No such price: 'p'", 404), NotFound, 404, "not_found"),
    (Failure("APIError", "payment", "Boom at req_1", 500), StripeUnavailable, 503, "stripe_unavailable"),
    (Failure("APIError", "payment", "Boom", 500, replayed=True), StripeFailed, 503, "stripe_unavailable"),
    (Failure("APIConnectionError", "payment", "https://api.stripe.com timed out"), StripeUnavailable, 503,
     "stripe_unavailable"),
]  # fmt: skip


@pytest.mark.parametrize(("failure", "kind", "status", "code"), TABLE, ids=range(len(TABLE)))
def test_each_kind_of_failure_has_one_meaning(
    failure: Failure, kind: type[PaydeskError], status: int, code: str
) -> None:
    error = meaning(failure)
    assert (type(error), error.status, error.code) == (kind, status, code)
    assert not INSIDE.search(str(error.body("req_ours")))
    assert (error.retry_after_s is not None) == (status == 503)


def test_busy_tells_how_long_within_reason() -> None:
    for given, expected in (("7", 7), ("0", 1), ("99999999", 60), ("soon", 5), (None, 5)):
        assert meaning(Failure("RateLimitError", "payment", "", 429, retry_after=given)).retry_after_s == expected


def test_what_is_for_whoever_has_the_account_is_left_out() -> None:
    assert (
        plain("No such coupon: 'x'. See your Dashboard. You can find it at https://stripe.com.")
        == "No such coupon: 'x'."
    )
    assert plain("Charge ch_3utE5tnABCD has been charged back. Try later.") == "Try later."
    assert plain("No such PaymentMethod: 'pm_nothing'") == "No such PaymentMethod: 'pm_nothing'"
    assert plain("Look at https://stripe.com") == "Stripe does not take this request"


def test_the_page_about_the_api_has_every_code() -> None:
    page = (Path(__file__).parent.parent / "docs" / "api.md").read_text(encoding="utf-8")
    for _, _, status, code in TABLE:
        assert f"| {status} | `{code}` |" in page

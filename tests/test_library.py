"""The library: the same calls, results and errors in this process and from afar, waited for and awaited."""

from __future__ import annotations

import asyncio
import inspect
import json
import math
import re
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

import paydesk
from conftest import settings_for
from desk import Buyer, Desk, clean_environ
from paydesk import AsyncPaymentManager, PaymentItem, PaymentManager, errors
from paydesk.config import Settings, load
from paydesk.library import Calls
from paydesk.library_asking import minor_of
from paydesk.library_shapes import Customer
from paydesk.library_sold import CheckoutSession, PaymentIntent
from paydesk.money import exponent, to_decimal
from sandbox_fixtures import Sandbox, free_port, until

HERE = {"success_url": "https://shop.example/yes", "cancel_url": "https://shop.example/no"}


class Awaiting:
    """An `AsyncPaymentManager` on a loop of its own, to be called like the other one."""

    def __init__(self, payments: AsyncPaymentManager) -> None:
        self._payments = payments
        self._runner = asyncio.Runner()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._payments, name)
        if not inspect.iscoroutinefunction(method):
            return method
        return lambda *args, **kwargs: self._runner.run(method(*args, **kwargs))

    def close(self) -> None:
        self._runner.run(self._payments.close())
        self._runner.close()


def settings_of(desk: Desk) -> Settings:
    return load(desk.settings, folder=Path(desk.settings["PAYDESK_CATALOG"]).parent)


@pytest.fixture(scope="module", params=["remote", "local", "remote-async", "local-async"])
def payments(request: pytest.FixtureRequest, desk: Desk) -> Iterator[Any]:
    """A manager of each kind, on the same desk."""
    where, _, kind = request.param.partition("-")
    options: dict[str, Any] = {"settings": settings_of(desk)}
    if where == "remote":
        options = {"url": desk.url, "api_key": desk.key}
    made: Any = Awaiting(AsyncPaymentManager(**options)) if kind else PaymentManager(**options)
    yield made
    made.close()


@pytest.fixture
def buyer(desk: Desk) -> Buyer:
    return desk.buyer("telegram")


def who(buyer: Buyer) -> tuple[str, str]:
    return buyer.channel, buyer.external_id


def refusal(kind: type[errors.PaydeskError], call: Any, *args: Any, **kwargs: Any) -> Any:
    """The error that a call raises, of exactly this class."""
    with pytest.raises(errors.PaydeskError) as caught:
        call(*args, **kwargs)
    assert type(caught.value) is kind, caught.value
    return caught.value


# --- every call ------------------------------------------------------------------------------------------------------


def test_a_payment_is_made_looked_at_and_canceled(payments: Any, desk: Desk) -> None:
    intent = payments.create_payment_intent(amount=100.00, currency="usd", description="Two seats")
    assert isinstance(intent, PaymentIntent)
    assert intent.id.startswith("pi_")
    assert (intent.status, intent.amount, intent.amount_minor) == ("requires_payment_method", Decimal("100.00"), 10_000)
    at_stripe = desk.at_stripe("GET", f"/v1/payment_intents/{intent.id}").json()
    assert (at_stripe["amount"], at_stripe["client_secret"]) == (10_000, intent.client_secret)
    assert payments.retrieve_payment_intent(intent.id) == intent
    assert payments.payment_status(intent.id) == "requires_payment_method"

    assert payments.cancel_payment_intent(intent.id).status == "canceled"
    assert payments.cancel_payment_intent(intent.id).status == "canceled"
    assert payments.retrieve_order(intent.order).status == "canceled"
    assert refusal(errors.NotFound, payments.payment_status, "pi_unknown").status == 404


def test_what_is_reserved_is_captured_in_part_and_given_back(payments: Any, desk: Desk, buyer: Buyer) -> None:
    reserved = payments.create_payment_intent(
        "60",
        "EUR",
        customer=who(buyer),
        capture="manual",
        confirm=True,
        payment_method="pm_card_visa",
        metadata={"n": 7},
    )
    assert (reserved.status, reserved.amount_capturable) == ("requires_capture", Decimal("60.00"))
    assert (reserved.customer, reserved.metadata, reserved.currency) == (buyer.id, {"n": "7"}, "eur")
    taken = payments.capture_payment_intent(reserved.id, 40.5)
    assert (taken.status, taken.amount_received) == ("succeeded", Decimal("40.50"))
    until(lambda: payments.retrieve_order(taken.order).status == "paid", what="the payment")
    back = payments.refund(taken.id, Decimal("10.25"), reason="requested_by_customer")
    assert (back.status, back.amount, back.payment, back.order) == (
        "succeeded",
        Decimal("10.25"),
        taken.id,
        taken.order,
    )
    assert payments.retrieve_refund(back.id).to_dict() == {**back.to_dict(), "status": "succeeded"}
    assert "3025" in refusal(errors.Conflict, payments.refund, taken.order, "30.26").message
    assert payments.refund(taken.order).amount_minor == 3025
    until(lambda: payments.retrieve_order(taken.order).status == "refunded", what="the refund")
    refusal(errors.Conflict, payments.refund, taken.order)


def test_a_declined_card_says_which_payment_can_still_be_paid(payments: Any, buyer: Buyer) -> None:
    declined = refusal(
        errors.PaymentRefused, payments.create_payment_intent, "20.00", "usd", customer=who(buyer), confirm=True,
        payment_method="pm_card_chargeDeclined",
    )  # fmt: skip
    assert (declined.status, declined.code) == (402, "card_declined")
    assert payments.payment_status(declined.payment) == "requires_payment_method"


def test_a_page_is_made_paid_and_told_of(payments: Any, desk: Desk, buyer: Buyer) -> None:
    session = payments.create_checkout_session(
        items=["credits-10", PaymentItem("Ticket", "12.34", 2, "Row 5")], customer=who(buyer),
        metadata={"order_id": "A7"}, **HERE,
    )  # fmt: skip
    assert isinstance(session, CheckoutSession)
    assert session.url.startswith(desk.sandbox.url)
    assert (session.status, session.amount, session.amount_minor) == ("open", Decimal("34.67"), 3467)
    assert desk.at_stripe("GET", f"/v1/checkout/sessions/{session.id}").json()["metadata"]["order_id"] == "A7"
    order = payments.retrieve_order(session.order)
    assert [(line.name, line.amount, line.quantity) for line in order.items] == [
        ("10 credits", Decimal("9.99"), 1),
        ("Ticket, Row 5", Decimal("12.34"), 2),
    ]
    buyer.pay({"session": session.id, "amount": session.amount_minor})
    desk.settled(session.order)
    (told,) = payments.messages(*who(buyer))
    assert "10 credits" in told.text
    assert payments.messages(*who(buyer), after=told.id) == []
    assert payments.retrieve_order(session.order).paid_at is not None
    assert refusal(errors.Conflict, payments.cancel_order, session.order).param == "order"


def test_an_unpaid_order_is_canceled(payments: Any, buyer: Buyer) -> None:
    session = payments.create_checkout_session([PaymentItem(price="supporter-jpy", quantity=3)], customer=who(buyer))
    assert (str(session.amount), session.amount_minor, session.currency) == ("1500", 1500, "jpy")
    assert payments.cancel_order(session.order).status == "canceled"


def test_a_guest_pays_and_may_leave_an_address(payments: Any) -> None:
    items = [PaymentItem("Ticket", 5)]
    plain = payments.create_checkout_session(items, **HERE)
    assert [one.channel for one in payments.retrieve_customer(plain.customer).identities] == ["guest"]
    key = secrets.token_hex(8)
    named = payments.create_checkout_session(items, customer_email="ann@example.com", idempotency_key=key)
    assert payments.retrieve_customer(named.customer).email == "ann@example.com"
    assert payments.create_checkout_session(items, customer_email="ann@example.com", idempotency_key=key) == named
    assert named.customer != plain.customer


def test_people_are_made_and_found(payments: Any) -> None:
    number = secrets.randbits(40)
    assert payments.find_customer("discord", number) is None
    ann = payments.create_customer(
        "ann@example.com", "Ann", identities=[("discord", number)], locale="nl", metadata={"a": 1}
    )
    assert isinstance(ann, Customer)
    assert (ann.email, ann.name, ann.locale, ann.metadata) == ("ann@example.com", "Ann", "nl", {"a": "1"})
    assert payments.find_customer("discord", number) == ann
    for name in (ann.id, ann, ("discord", number), ann.identities[0]):
        assert payments.retrieve_customer(name) == ann
    assert refusal(errors.Conflict, payments.create_customer, identities=[("discord", number)]).param == "identities"
    assert refusal(errors.NotFound, payments.retrieve_customer, ("discord", number + 1)).param == "customer"


def test_credits_are_given_spent_held_and_settled(payments: Any, buyer: Buyer) -> None:
    buyer.say("/start")
    soon = datetime.now(UTC) + timedelta(days=2)
    gift = payments.grant(who(buyer), 10, reason="welcome", expires_at=soon)
    assert (gift.balance, gift.reason) == (10, "welcome")
    assert abs(gift.expires_at - soon) < timedelta(seconds=1)
    assert payments.spend(buyer.id, 3, reason="a picture").balance == 7
    held = payments.hold(buyer.id, 5, lasts_s=60)
    assert (held.status, held.balance, payments.credits(buyer.id).held) == ("held", 2, 5)
    assert refusal(errors.InsufficientCredits, payments.spend, buyer.id, 3).code == "insufficient_credits"
    settled = payments.settle(held, 4)
    assert (settled.status, settled.used, settled.balance) == ("settled", 4, 3)
    assert payments.retrieve_hold(held.id).status == "settled"
    refusal(errors.Conflict, payments.release, held)
    other = payments.hold(buyer.id, 1)
    assert payments.release(other.id).status == "released"
    has = payments.credits(who(buyer))
    assert (has.unit, has.balance, has.held, has.debt, [lot.remaining for lot in has.lots]) == ("credits", 3, 0, 0, [3])
    assert refusal(errors.Invalid, payments.credits, buyer.id, unit="shells").param == "unit"
    refusal(errors.Invalid, payments.spend, buyer.id, 0)
    refusal(errors.Invalid, payments.grant, buyer.id, 1, expires_at=datetime(2030, 1, 1))  # noqa: DTZ001 - is refused


def test_access_is_true_only_while_they_may(payments: Any, desk: Desk, buyer: Buyer) -> None:
    assert not payments.access(who(buyer), "premium")
    buyer.buy("access-30d")
    allowed = payments.access(who(buyer), "premium")
    assert allowed
    assert allowed.until is not None
    assert allowed.until - datetime.now(UTC) > timedelta(days=29)
    assert payments.access(buyer.id, "premium") == allowed
    assert not payments.access(buyer.id, "vip")
    refusal(errors.NotFound, payments.access, "cst_nobody", "premium")


def test_the_conversation_is_passed_on(payments: Any, buyer: Buyer) -> None:
    (hello,) = payments.say(*who(buyer), "/start", "pl")
    assert {button.command for button in hello.buttons} == {"/buy", "/balance", "/help"}
    (offer,) = payments.say(*who(buyer), "/buy credits-10")
    assert next(button.url for button in offer.buttons if button.url is not None).count("/r/") == 1
    assert payments.find_customer(*who(buyer)).locale == "pl"


def test_subscriptions_begin_change_and_end(payments: Any, desk: Desk, buyer: Buyer) -> None:
    begun = payments.create_subscription(who(buyer), "plus", metadata={"team": 3})
    assert (begun.status, begun.items[0].price) == ("incomplete", "plus")
    assert begun.client_secret is not None
    other = desk.buyer("telegram")
    other.checkout("credits-10")
    payer = desk.sql("SELECT stripe_customer FROM customer WHERE id = $1", other.id)[0]["stripe_customer"]
    desk.at_stripe("POST", "/v1/payment_methods/pm_card_visa/attach", {"customer": payer})
    live = payments.create_subscription(who(other), "plus", payment_method="default")
    assert (live.status, live.customer) == ("active", other.id)
    again = refusal(errors.Conflict, payments.create_subscription, who(other), "plus", payment_method="default")
    assert again.code == "already_subscribed"
    assert payments.change_subscription(live.id, quantity=2).items[0].quantity == 2
    assert payments.change_subscription(live.id, cancel_at_period_end=True).cancel_at is not None
    assert [one.id for one in payments.subscriptions(who(other), status="live")] == [live.id]
    assert payments.portal_url(who(other), "https://shop.example/back").startswith(desk.sandbox.url)
    assert payments.cancel_subscription(live.id).status == "canceled"
    assert payments.retrieve_subscription(live.id).ended_at is not None


def test_the_catalogue_and_any_other_call(payments: Any) -> None:
    by_key = {product.key: product for product in payments.products()}
    (price,) = by_key["credits-10"].prices
    assert (price.amount, price.amount_minor, price.display) == (Decimal("9.99"), 999, "$9.99")
    assert set(payments.call("GET", "/v1/status")["inbox"]) == {"waiting", "parked", "quarantined"}
    refusal(errors.NotFound, payments.call, "GET", "/v1/nothing")
    refusal(errors.Invalid, payments.call, "GET", "/admin")


# --- errors are the same everywhere ------------------------------------------------------------------------------------


def test_refusals_are_the_same_class_with_the_same_words(payments: Any, desk: Desk, buyer: Buyer) -> None:
    refused = refusal(errors.NotFound, payments.create_checkout_session, ["no-such"], customer=who(buyer))
    asked = {"customer": buyer.who, "items": [{"price": "no-such"}]}
    told = desk.call("POST", "/v1/checkouts", json=asked).json()["error"]
    assert (refused.code, refused.message, refused.param) == (told["code"], told["message"], told["param"])
    assert refused.request_id.startswith("req_")
    assert refusal(errors.Invalid, payments.create_payment_intent, "0.10", "usd").param == "amount"
    assert "minus" not in refusal(errors.Invalid, payments.create_payment_intent, "-1", "usd").message
    for items in ([], "credits-10", [PaymentItem("Ticket")], [PaymentItem("Ticket", 1, price="credits-10")], [7]):
        assert refusal(errors.Invalid, payments.create_checkout_session, items).param == "items"
    for person in (7, ("telegram",), ("telegram", True), ""):
        refusal(errors.Invalid, payments.credits, person)
    ours = {"metadata": {"paydesk_coupon": "all"}}
    assert refusal(errors.Invalid, payments.create_payment_intent, "10", "usd", **ours).param == "metadata"
    assert refusal(errors.Invalid, payments.create_checkout_session, ["credits-10"], **ours).param == "metadata"
    both = {"customer": "cst_1", "customer_email": "ann@example.com"}
    assert refusal(errors.Invalid, payments.create_checkout_session, ["credits-10"], **both).param == "customer_email"


def test_a_key_makes_it_happen_once(payments: Any, desk: Desk, buyer: Buyer) -> None:
    buyer.say("/start")
    key = secrets.token_hex(8)
    assert [payments.grant(buyer.id, 5, idempotency_key=key).balance for _ in range(3)] == [5, 5, 5]
    refused = refusal(errors.Conflict, payments.grant, buyer.id, 6, idempotency_key=key)
    assert refused.code == "idempotency_mismatch"
    made = {payments.create_payment_intent("10", idempotency_key=key).id for _ in range(2)}
    assert len(made) == 1


# --- amounts -----------------------------------------------------------------------------------------------------------


@given(minor=st.integers(1, 99_999_999), currency=st.sampled_from(["usd", "jpy", "pln", "eur"]))
def test_an_amount_is_exact_however_it_is_written(minor: int, currency: str) -> None:
    amount = to_decimal(minor, currency)
    assert minor_of(amount, currency) == minor_of(str(amount), currency) == minor_of(float(amount), currency) == minor
    assert minor_of(amount * Decimal("1.000000000"), currency) == minor
    if amount == int(amount):
        assert minor_of(int(amount), currency) == minor
    assert minor_of(minor / 10 ** exponent(currency), currency) == minor


@pytest.mark.parametrize("amount", [0.1 + 0.2, "9.999", Decimal("0.001"), 1e-7])
def test_too_many_decimals_are_never_rounded_away(amount: Any) -> None:
    assert "round it first" in refusal(errors.Invalid, minor_of, amount, "usd").message


@pytest.mark.parametrize(
    "amount", [0, "0.00", -1, "-1", "1,50", "1e2", " 1", "", "NaN", math.nan, math.inf, True, None, b"1", 1e30, "١"]
)  # fmt: skip
def test_what_is_no_amount_is_refused(amount: Any) -> None:
    assert refusal(errors.Invalid, minor_of, amount, "usd").param == "amount"


def test_results_are_frozen_and_plain_as_json(payments: Any) -> None:
    intent = payments.create_payment_intent(amount="19.9", currency="usd")
    plain = json.loads(json.dumps(intent.to_dict()))
    assert (plain["amount"], plain["amount_minor"], plain["fee"]) == ("19.90", 1990, None)
    assert datetime.fromisoformat(plain["created_at"]) == intent.created_at
    with pytest.raises(AttributeError):
        intent.status = "succeeded"


# --- both managers -------------------------------------------------------------------------------------------------------


def test_both_managers_have_every_call_with_the_same_words() -> None:
    calls = {name for name in dir(Calls) if not name.startswith("_")}
    assert len(calls) >= 30
    for manager in (PaymentManager, AsyncPaymentManager):
        own = {name for name in vars(manager) if not name.startswith("_")} - {"close", "construct_event"}
        assert own == calls
        for name in calls:
            assert getattr(manager, name).__doc__ == getattr(Calls, name).__doc__
            assert inspect.signature(getattr(manager, name)) == inspect.signature(getattr(Calls, name))


def test_threads_share_one_manager(payments: Any, buyer: Buyer) -> None:
    if isinstance(payments, Awaiting):  # one loop: many at once are a gather
        return
    buyer.say("/start")
    payments.grant(buyer.id, 8)
    with ThreadPoolExecutor(8) as pool:
        left = sorted(done.balance for done in pool.map(lambda _: payments.spend(buyer.id, 1), range(8)))
    assert left == list(range(8))


async def test_a_running_loop_may_wait_for_the_one_and_await_the_other(desk: Desk) -> None:
    ann = desk.buyer("telegram")
    with PaymentManager(settings=settings_of(desk)) as waiting:
        assert waiting.say(ann.channel, ann.external_id, "/start")
    async with AsyncPaymentManager(url=desk.url, api_key=desk.key) as payments:
        person = await payments.find_customer(ann.channel, ann.external_id)
        assert person is not None
        await payments.grant(person, 5)
        done = await asyncio.gather(*(payments.spend(person, 1) for _ in range(5)))
        assert sorted(one.balance for one in done) == [0, 1, 2, 3, 4]


def test_what_is_closed_stays_closed(desk: Desk) -> None:
    before = threading.active_count()
    for options in ({"settings": settings_of(desk)}, {"url": desk.url, "api_key": desk.key}):
        payments = PaymentManager(**options)  # type: ignore[arg-type]
        assert payments.products()
        payments.close()
        payments.close()
        with pytest.raises(RuntimeError, match="closed"):
            payments.products()
    assert threading.active_count() <= before
    PaymentManager(settings=settings_of(desk)).close()


async def test_whoever_gives_up_while_it_starts_leaves_nothing_behind(desk: Desk) -> None:
    payments = AsyncPaymentManager(settings=settings_of(desk))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await payments.products()
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert await payments.products()
    await payments.close()


# --- settings ------------------------------------------------------------------------------------------------------------


def run_python(code: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a program of somebody who uses the library, in their folder."""
    source = str(Path(paydesk.__file__).parent.parent)
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={**clean_environ(), "PYTHONPATH": f"{folder}:{source}", **environ},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


MAKE = "from paydesk import PaymentManager; PaymentManager({}).products()"


@pytest.mark.parametrize(
    ("options", "environ", "named"),
    [
        ("", {}, "STRIPE_API_KEY"),
        ("", {"STRIPE_API_KEY": "pk_test_123456"}, "STRIPE_API_KEY"),
        ("", {"PAYDESK_URL": "pay.example.com", "PAYDESK_API_KEY": "pdk_0123456789abcdef"}, "PAYDESK_URL"),
        ("", {"PAYDESK_URL": "https://pay.example.com"}, "PAYDESK_API_KEY"),
        ("url='http://127.0.0.1:9', api_key='secret'", {}, "PAYDESK_API_KEY"),
        ("api_key='pdk_0123456789abcdef'", {}, "PAYDESK_URL"),
        ("work=True", {"PAYDESK_URL": "http://127.0.0.1:9", "PAYDESK_API_KEY": "pdk_0123456789abcdef"}, "work=True"),
        ("", {"STRIPE_API_KEY": "sk_test_123456", "DATABASE_URL": "sqlite:///bot.db"}, "DATABASE_URL"),
    ],
    ids=[
        "none",
        "publishable",
        "no scheme",
        "no key",
        "no such key",
        "no address",
        "contradiction",
        "foreign database",
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, options: str, environ: dict[str, str], named: str) -> None:
    ended = run_python(MAKE.format(options), tmp_path, **environ)
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("paydesk.errors.SettingError: ")
    assert named in last
    assert "0123456789abcdef" not in ended.stderr
    assert not (tmp_path / ".paydesk").exists()


def test_settings_come_from_the_folders_env_file(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        f"PAYDESK_URL={desk.url}\nPAYDESK_API_KEY={desk.key}\nDATABASE_URL=sqlite:///bot.db\n"
    )
    ended = run_python("from paydesk import PaymentManager; print(len(PaymentManager().products()))", tmp_path)
    assert int(ended.stdout) > 5, ended.stderr


def test_a_wrong_key_and_a_wrong_address_are_told_apart(desk: Desk) -> None:
    with PaymentManager(url=desk.url, api_key="pdk_" + "0" * 32) as payments:
        refusal(errors.Unauthorized, payments.products)
    with PaymentManager(url=f"http://127.0.0.1:{free_port()}", api_key=desk.key, timeout_s=1) as payments:
        assert "does not answer" in refusal(errors.Unreachable, payments.products).message
    with PaymentManager(url=f"{desk.url}/nowhere", api_key=desk.key) as payments:
        refusal(errors.NotFound, payments.products)


def test_importing_paydesk_costs_nothing_and_speaking_to_a_far_one_little(tmp_path: Path) -> None:
    code = "import sys, paydesk; {}; print(*(m for m in {!r} if m in sys.modules))"
    heavy = ["asyncpg", "fastapi", "httpx", "sqlalchemy", "stripe", "dotenv", "uvicorn"]
    assert run_python(code.format("pass", heavy), tmp_path).stdout.split() == []
    far = "paydesk.PaymentManager(url='http://127.0.0.1:9', api_key='pdk_0123456789abcdef')"
    assert run_python(code.format(far, heavy), tmp_path).stdout.split() == ["httpx", "dotenv"]
    assert run_python("import paydesk; paydesk.nothing", tmp_path).stderr.strip().endswith("no attribute 'nothing'")


def test_a_program_of_its_own_needs_nothing_else_and_may_forget_to_close(
    tmp_path: Path, stripe_sandbox: Sandbox
) -> None:
    settings = settings_for("", stripe_sandbox.url, PAYDESK_DATA=str(tmp_path / "data"), STRIPE_EVENTS="poll")
    code = """
import time, httpx, os
from paydesk import PaymentManager
payments = PaymentManager(work=True)
session = payments.create_checkout_session(["credits-10"], customer=("telegram", 42))
httpx.post(f"{os.environ['STRIPE_API_BASE']}/v1/payment_pages/{session.id}/confirm",
           data={"payment_method": "pm_card_visa", "expected_amount": "999"},
           headers={"Authorization": f"Bearer {os.environ['STRIPE_API_KEY']}"}).raise_for_status()
while payments.retrieve_order(session.order).status != "fulfilled":
    time.sleep(0.1)
print(payments.credits(("telegram", 42)).balance)
"""
    ended = run_python(code, tmp_path, **settings)
    assert (ended.stdout, ended.returncode) == ("10\n", 0), ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list((tmp_path / "data").rglob("postmaster.pid"))


# --- a network that loses answers ------------------------------------------------------------------------------------------


def test_an_answer_lost_on_the_way_is_asked_for_again_and_takes_effect_once(desk: Desk, buyer: Buyer) -> None:
    buyer.say("/start")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        cut: list[bytes] = []
        threading.Thread(target=_losing, args=(listener, desk.port, cut), daemon=True).start()
        with PaymentManager(url=f"http://127.0.0.1:{listener.getsockname()[1]}", api_key=desk.key) as payments:
            assert payments.grant(buyer.id, 5).balance == 5
    assert b"200 OK" in cut[0]
    assert buyer.balance() == 5


def _losing(listener: socket.socket, port: int, cut: list[bytes]) -> None:
    """Pass each request on, and keep the answer of the first to itself."""
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        with near, socket.create_connection(("127.0.0.1", port)) as far:
            near.settimeout(0.2)
            try:
                while part := near.recv(65536):
                    far.sendall(part)
            except TimeoutError:
                pass
            told = far.recv(65536)
            if cut:
                near.sendall(told)
            cut.append(told)


# --- what Stripe has signed ------------------------------------------------------------------------------------------------


def test_an_event_is_read_only_if_stripe_signed_it(payments: Any, desk: Desk) -> None:
    body = json.dumps(desk.event_of("checkout.session.completed", {"metadata": {"order_id": "7"}})).encode()
    event = payments.construct_event(body, desk.signed(body), desk.secret)
    assert event["data"]["object"]["metadata"]["order_id"] == "7"
    for wrong in (desk.signed(body, secret="whsec_other"), desk.signed(body, age_s=400), "", "t=1"):
        with pytest.raises(errors.Invalid):
            payments.construct_event(body, wrong, desk.secret)
    with pytest.raises(errors.Invalid):
        payments.construct_event(body + b" ", desk.signed(body), desk.secret)


# --- inside an application ---------------------------------------------------------------------------------------------------


def test_paydesk_is_mounted_in_an_application_of_ones_own(desk: Desk) -> None:
    """Its own routes first, Paydesk behind them, and the library in a handler."""
    pay = paydesk.create_app(settings_of(desk), work=False)
    app = FastAPI(lifespan=pay.running)
    payments = AsyncPaymentManager(settings=settings_of(desk))

    @app.get("/tickets")
    async def tickets() -> dict[str, str]:
        session = await payments.create_checkout_session([PaymentItem("Ticket", 50.00, 2)], **HERE)
        return {"url": session.url}

    app.mount("/", pay)
    server = uvicorn.Server(uvicorn.Config(app, port=free_port(), log_config=None, lifespan="on"))
    runs = threading.Thread(target=server.run)
    runs.start()
    until(lambda: server.started, what="the application")
    base = f"http://127.0.0.1:{server.config.port}"
    assert httpx.get(f"{base}/tickets", timeout=30).json()["url"].startswith(desk.sandbox.url)
    key = {"Authorization": f"Bearer {desk.key}"}
    assert httpx.get(f"{base}/v1/products", headers=key).json() == desk.get("/v1/products")
    assert httpx.post(f"{base}/webhooks/stripe", content=b"{}").status_code == 400
    server.should_exit = True
    runs.join(20)
    assert not runs.is_alive()


async def test_an_application_that_forgets_to_run_it_is_told_how(desk: Desk) -> None:
    app = paydesk.create_app(settings_of(desk))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://own") as client:
        with pytest.raises(RuntimeError, match=r"lifespan=desk\.running"):
            await client.get("/v1/products")


# --- for those who had another one ---------------------------------------------------------------------------------------------


def test_a_messaging_agent_keeps_its_calls(desk: Desk, tmp_path: Path) -> None:
    """The import, the names, the keywords and the results that an agent's own client had, over one file of one line."""
    folder = tmp_path / "integrations" / "payments"
    folder.mkdir(parents=True)
    (folder / "stripe_client.py").write_text(
        "from paydesk import PaymentItem, PaymentManager as StripePaymentManager\n"
    )
    code = """
from integrations.payments.stripe_client import PaymentItem, StripePaymentManager

payment_manager = StripePaymentManager()
intent = payment_manager.create_payment_intent(amount=100.00, currency='usd', description='Tickets')
print(f"{intent.id} {intent.status} {intent.amount}")
intent = payment_manager.create_payment_intent(
    amount=150.00, currency='usd', description='A better seat', metadata={'order_id': 'ORD7'})
print(bool(intent.client_secret), intent.metadata['order_id'])
upgrade_fee, order_id = 25, 7
intent = payment_manager.create_payment_intent(
    amount=upgrade_fee, description=f'Order {order_id}', metadata={'order_id': order_id})
print(intent.amount, intent.currency)
session = payment_manager.create_checkout_session(
    items=[PaymentItem(name='A game', description='Section 9, Row 5', amount=200.00, quantity=2)],
    success_url='https://shop.example/yes', cancel_url='https://shop.example/no', customer_email='ann@example.com')
print(session.url, session.status, session.amount)
session = payment_manager.create_checkout_session(
    items=[PaymentItem(name='A ticket', amount=50.00, quantity=2)],
    success_url='https://shop.example/yes', cancel_url='https://shop.example/no')
print(session.id, session.url)
"""
    ended = run_python(code, tmp_path, PAYDESK_URL=desk.url, PAYDESK_API_KEY=desk.key)
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert len(lines) == 5, ended.stderr
    assert lines[0][1:] == ["requires_payment_method", "100.00"]
    assert lines[1] == ["True", "ORD7"]
    assert lines[2] == ["25.00", "usd"]
    assert lines[3][1:] == ["open", "400.00"]
    assert httpx.get(lines[4][1]).status_code == 200


def test_what_the_guide_prints_runs(desk: Desk, tmp_path: Path) -> None:
    guide = (Path(__file__).parent.parent / "docs" / "library.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 5
    ended = run_python("\n".join(blocks), tmp_path, PAYDESK_URL=desk.url, PAYDESK_API_KEY=desk.key)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.search(r"^pi_\w+ requires_payment_method pi_\w+_secret_\w+$", ended.stdout, re.MULTILINE)
    assert re.search(r"^6$", ended.stdout, re.MULTILINE)
    named = {name for name in dir(Calls) if not name.startswith("_")}
    assert {name for name in named if f"`{name}" not in guide} == set()

"""What facts make of an order: the same end in any order and number, and nothing for facts that are not ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paydesk import orders
from paydesk.facts import ChargeIs, IntentIs, SessionIs
from paydesk.orders import Mismatch, MoneyFact, Order, Payment, Step

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ORDER = Order(
    id="ord_1", customer="cst_1", status="open", amount=999, currency="usd", livemode=False, channel="web", address="7",
    conversation=None, stripe_customer="cus_1", session="cs_1", session_status="open", session_payment_status="unpaid",
    paid_by=None, paid_at=None, canceled_at=None, grants=True,
)  # fmt: skip
MONEY: dict[str, Any] = {"order": "ord_1", "stripe_customer": "cus_1", "amount": 999, "currency": "usd"}


def session(status: str = "complete", paid: str = "paid", after_s: int = 0, **more: Any) -> SessionIs:
    at = NOW + timedelta(seconds=after_s)
    return SessionIs(
        **{**MONEY, "at": at, "session": "cs_1", "status": status, "payment_status": paid, "intent": "pi_1", **more}
    )


def intent(status: str = "succeeded", after_s: int = 0, **more: Any) -> IntentIs:
    at = NOW + timedelta(seconds=after_s)
    return IntentIs(**{**MONEY, "at": at, "intent": "pi_1", "status": status, "charge": None, **more})


def charge(after_s: int = 0, **more: Any) -> ChargeIs:
    at = NOW + timedelta(seconds=after_s)
    known = {"charge": "ch_1", "balance_transaction": "txn_1", "card_brand": "visa", "card_last4": "4242"}
    return ChargeIs(**{**MONEY, "at": at, "intent": "pi_1", **known, **more})


FAILED = intent("failed", failure_code="card_declined", failure_message="Your card was declined.")
FACTS: list[MoneyFact] = [
    session(), session(paid="unpaid"), session("expired", "unpaid"), session("open", "unpaid"),
    session(paid="unpaid", failed=True), intent(), intent(after_s=-3, charge="ch_1"), intent("canceled"), FAILED,
    charge(), charge(after_s=5, balance_transaction=None),
]  # fmt: skip


def told(facts: list[MoneyFact], order: Order = ORDER) -> tuple[Order, Payment | None, list[str]]:
    """What an order and its payment are after these facts, and what was said."""
    payment: Payment | None = None
    said = []
    for fact in facts:
        step: Step = orders.apply(order, payment, fact)
        order, payment = step.order, step.payment or payment
        said += [step.say] if step.say else []
    return order, payment, said


@given(st.lists(st.sampled_from(FACTS), max_size=8), st.randoms())
def test_t13_facts_in_any_order_and_number_end_in_the_same_state(facts: list[MoneyFact], chance: Any) -> None:
    mixed = facts + [fact for fact in facts if chance.random() < 0.3]
    chance.shuffle(mixed)
    assert told(mixed)[:2] == told(facts)[:2]


@given(st.lists(st.sampled_from(FACTS), max_size=8))
def test_t18_one_meaning_is_said_once_and_a_failure_never_after_the_payment(facts: list[MoneyFact]) -> None:
    said = told(facts)[2]
    assert said.count("paid") <= 1
    assert "payment_failed" not in said[said.index("paid") :] if "paid" in said else True
    assert "paid_twice" not in said


@given(st.permutations([session(), intent(), charge()]))
def test_t16_three_facts_of_one_purchase_are_one_payment(facts: list[MoneyFact]) -> None:
    order, payment, said = told(facts)
    assert (order.status, order.paid_by, order.paid_at) == ("fulfilled", "pi_1", NOW)
    assert payment is not None
    assert (payment.status, payment.charge, payment.card_last4) == ("succeeded", "ch_1", "4242")
    assert said == ["paid"]


PAYMENTS = st.builds(
    Payment,
    id=st.just("pi_1"), order=st.just("ord_1"), status=st.sampled_from(["failed", "canceled", "succeeded"]),
    amount=st.just(999), currency=st.just("usd"), charge=st.sampled_from([None, "ch_1"]),
    balance_transaction=st.sampled_from([None, "txn_1"]), card_brand=st.sampled_from([None, "visa"]),
    card_last4=st.sampled_from([None, "4242"]), failure_code=st.sampled_from([None, "card_declined"]),
    failure_message=st.sampled_from([None, "No."]),
    paid_at=st.sampled_from([None, NOW, NOW + timedelta(days=1)]),
)  # fmt: skip


@given(st.lists(PAYMENTS, min_size=1, max_size=5), st.randoms())
def test_merging_payments_is_commutative_associative_and_idempotent(heard: list[Payment], chance: Any) -> None:
    def all_of(news: list[Payment]) -> Payment:
        return reduce(orders.merge, news[1:], orders.merge(None, news[0]))

    mixed = heard * 2
    chance.shuffle(mixed)
    once, twice = all_of(heard), all_of(mixed)
    if once.status == "succeeded":  # a failure before it is forgotten, at the latest by the next news
        once, twice = (replace(p, failure_code=None, failure_message=None) for p in (once, twice))
    assert once == twice


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ([], "open"),
        ([session("open", "unpaid")], "open"),
        ([session(paid="unpaid")], "pending"),
        ([session(paid="unpaid"), session(paid="unpaid", failed=True)], "open"),
        ([session(paid="unpaid"), session()], "fulfilled"),
        ([session("expired", "unpaid")], "expired"),
        ([session("expired", "unpaid"), intent()], "fulfilled"),
        ([session(paid="no_payment_required", intent=None)], "fulfilled"),
        ([FAILED], "open"),
        ([intent("canceled")], "open"),
        ([charge()], "fulfilled"),
    ],
)
def test_t19_the_status_follows_from_the_facts(facts: list[MoneyFact], status: str) -> None:
    assert told(facts)[0].status == status


def test_an_order_that_grants_nothing_is_paid_and_one_canceled_in_vain_too() -> None:
    assert told([intent()], replace(ORDER, grants=False))[0].status == "paid"
    canceled = replace(ORDER, status="canceled", canceled_at=NOW)
    assert told([session("expired", "unpaid")], canceled)[0].status == "canceled"
    assert told([intent()], canceled)[0].status == "fulfilled"


def test_t20_a_free_order_is_paid_by_its_session() -> None:
    order, payment, said = told([session(paid="no_payment_required", intent=None)] * 2)
    assert (order.paid_by, payment, said) == ("cs_1", None, ["paid"])


def test_t33_a_second_payment_goes_back_whole() -> None:
    order, _, _ = told([intent()])
    step = orders.apply(order, None, intent(intent="pi_2"))
    assert (step.give_back, step.say) == ("pi_2", "paid_twice")
    assert step.order == order


def test_the_news_of_an_older_session_changes_no_newer_one() -> None:
    order, _, _ = told([session("expired", "unpaid", session="cs_0")])
    assert order == ORDER


WRONG = [
    {"stripe_customer": "cus_2"},
    {"stripe_customer": None},
    {"amount": 998},
    {"amount": 1000},
    {"currency": "eur"},
]


@pytest.mark.parametrize(
    "fact", [session(), session(paid="unpaid"), intent(), charge()], ids=lambda fact: type(fact).__name__
)
@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_t21_a_fact_with_other_terms_moves_nothing(fact: MoneyFact, wrong: dict[str, Any]) -> None:
    with pytest.raises(Mismatch, match="ord_1"):
        orders.apply(ORDER, None, replace(fact, **wrong))


def test_an_order_whose_session_was_never_asked_for_is_paid_by_nobody() -> None:
    with pytest.raises(Mismatch):
        orders.apply(replace(ORDER, stripe_customer=None), None, intent(stripe_customer=None))


@pytest.mark.parametrize(
    ("terms", "worth"),
    [({"kind": "credits", "amount": 10, "quantity": 3}, 30), ({"kind": "pass", "days": 7, "quantity": 2}, 14 * 86_400),
     ({"kind": "feature", "quantity": 5}, 1)],
)  # fmt: skip
def test_a_source_is_worth_its_frozen_terms_once_paid_and_nothing_before(terms: dict[str, Any], worth: int) -> None:
    assert orders.worth(terms, ORDER) == 0
    assert orders.worth(terms, replace(ORDER, paid_at=NOW)) == worth

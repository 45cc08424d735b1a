"""What facts make of an order: the same end in any order and number, and nothing for facts that are not ours."""

from __future__ import annotations

import doctest
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paydesk import case as case_module
from paydesk import orders
from paydesk.case import (
    Case,
    NotYet,
    Order,
    Payment,
    Refund,
    Returned,
    balance_moves,
    left_of,
    money_of,
    returned_of,
    shown_of,
    worth,
)
from paydesk.facts import (
    BalanceIs,
    CaseFact,
    ChargeIs,
    DisputeIs,
    EntitlementIs,
    FraudWarning,
    IntentIs,
    RefundIs,
    RefundsAre,
    SessionIs,
)
from paydesk.orders import Mismatch, Step

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ORDER = Order(
    id="ord_1", customer="cst_1", status="open", amount=999, currency="usd", livemode=False, channel="web", address="7",
    conversation=None, stripe_customer="cus_1", session="cs_1", session_status="open", session_payment_status="unpaid",
    paid_by=None, paid_at=None, canceled_at=None, presented_amount=None, presented_currency=None, capture="automatic",
    grants=True,
)  # fmt: skip
OPEN = Case(ORDER)
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


def refund(name: str, amount: int, status: str = "succeeded", **more: Any) -> RefundIs:
    base = {"at": NOW, "refund": name, "order": "ord_1", "intent": "pi_1", "status": status, "amount": amount,
            "currency": "usd", "reason": None, "failure_reason": None, "made_at": NOW}  # fmt: skip
    return RefundIs(**{**base, **more})


def refunds(*known: RefundIs) -> RefundsAre:
    return RefundsAre(NOW, "ord_1", "pi_1", known)


def dispute(status: str = "needs_response", amount: int = 999, **more: Any) -> DisputeIs:
    base = {"at": NOW, "dispute": "du_1", "order": "ord_1", "intent": "pi_1", "status": status, "amount": amount,
            "currency": "usd", "reason": "fraudulent", "evidence_due_at": NOW + timedelta(days=9), "made_at": NOW}  # fmt: skip
    return DisputeIs(**{**base, **more})


FAILED = intent("failed", failure_code="card_declined", failure_message="Your card was declined.")
PAYING: list[CaseFact] = [
    session(), session(paid="unpaid"), session("expired", "unpaid"), session("open", "unpaid"),
    session(paid="unpaid", failed=True), intent(), intent(after_s=-3, charge="ch_1"), intent("canceled"), FAILED,
    intent("processing"), charge(), charge(after_s=5, balance_transaction=None),
]  # fmt: skip


def told(facts: Sequence[CaseFact], case: Case = OPEN) -> tuple[Case, list[str]]:
    """What a case is after these facts, and what was said. A fact that must wait comes again when another was heard."""
    said: list[str] = []
    waiting: list[CaseFact] = list(facts)
    while waiting:
        late = []
        for fact in waiting:
            try:
                step: Step = orders.apply(case, fact)
            except NotYet:
                late.append(fact)
                continue
            case = step.case
            said += [step.say] if step.say else []
        if len(late) == len(waiting):
            break
        waiting = late
    return case, said


def status(facts: Sequence[CaseFact], case: Case = OPEN) -> str:
    return told(facts, case)[0].order.status


# --- bought in a platform's own shop ---------------------------------------------------------------------------------


def entitlement(*, deleted: bool = False, after_s: int = 0, **more: Any) -> EntitlementIs:
    at = NOW + timedelta(seconds=after_s)
    base = {"at": at, "intent": "premium_7", "order": "ord_1", "bought": "7", "amount": 1, "currency": "xdp", "since": NOW,
            "ends_at": None, "deleted": deleted, "uses_up": True}  # fmt: skip
    return EntitlementIs(**{**base, **more})


BOUGHT = [entitlement(), entitlement(ends_at=NOW), entitlement(after_s=9), entitlement(deleted=True, after_s=5)]


@given(st.permutations(BOUGHT))
def test_t47_what_was_bought_in_a_platforms_shop_is_paid_once_and_stays_gone(facts: list[EntitlementIs]) -> None:
    case, said = told(facts, Case(replace(ORDER, session=None, session_status=None)))
    assert (case.order.status, case.order.paid_by, case.order.paid_at) == ("refunded", "premium_7", NOW)
    assert {one.id: (one.amount, one.currency, one.charge) for one in case.payments.values()} == {
        "premium_7": (1, "xdp", "7")
    }
    assert [(one.amount, one.status) for one in case.refunds.values()] == [(1, "succeeded")]
    assert worth({"kind": "credits", "amount": 100, "quantity": 1}, case.order, returned_of(case)) == 0
    assert said.count("refunded") == 1
    assert said[-1] == "refunded"


# --- paying ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(PAYING), max_size=8), st.randoms())
def test_t13_facts_in_any_order_and_number_end_in_the_same_state(facts: list[CaseFact], chance: Any) -> None:
    mixed = facts + [fact for fact in facts if chance.random() < 0.3]
    chance.shuffle(mixed)
    assert told(mixed)[0] == told(facts)[0]


@given(st.lists(st.sampled_from(PAYING), max_size=8))
def test_t18_one_meaning_is_said_once_and_a_failure_never_after_the_payment(facts: list[CaseFact]) -> None:
    said = told(facts)[1]
    assert said.count("paid") <= 1
    assert "payment_failed" not in said[said.index("paid") :] if "paid" in said else True
    assert "pending" not in said[said.index("paid") :] if "paid" in said else True
    assert "paid_twice" not in said


@given(st.permutations([session(), intent(), charge()]))
def test_t16_three_facts_of_one_purchase_are_one_payment(facts: list[CaseFact]) -> None:
    case, said = told(facts)
    assert (case.order.status, case.order.paid_by, case.order.paid_at) == ("fulfilled", "pi_1", NOW)
    payment = case.payments["pi_1"]
    assert (payment.status, payment.charge, payment.card_last4) == ("succeeded", "ch_1", "4242")
    assert said == ["paid"]


PAYMENTS = st.builds(
    Payment,
    id=st.just("pi_1"), order=st.just("ord_1"), status=st.sampled_from(["processing", "failed", "canceled", "succeeded"]),
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
    ("facts", "expected"),
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
def test_t19_the_status_follows_from_the_facts(facts: list[CaseFact], expected: str) -> None:
    assert status(facts) == expected


def test_t19_a_slow_payment_is_told_when_it_starts_and_when_it_ends() -> None:
    slow = [session(paid="unpaid"), session(paid="unpaid")]
    assert told(slow)[1] == ["pending"]
    assert told([*slow, session(after_s=9)])[1] == ["pending", "paid"]
    steps = [orders.apply(told(slow)[0], fact) for fact in (session(paid="unpaid", failed=True), FAILED)]
    assert [(step.say, step.about) for step in steps] == [("payment_failed", "pi_1"), (None, None)]


SLOW_FAILED = replace(FAILED, charge="ch_1", at=FAILED.at + timedelta(days=5))


SLOWLY = (
    session(paid="unpaid"),
    intent("processing"),
    SLOW_FAILED,
    session(paid="unpaid", failed=True, after_s=432_000),
)


@pytest.mark.parametrize("card", [(), (FAILED,)], ids=["at-once", "after-a-card"])
def test_t18_the_failure_of_a_slow_method_is_one_meaning_in_every_order_and_the_last_word(
    card: tuple[CaseFact, ...],
) -> None:
    for order in permutations(SLOWLY):
        case, keys = OPEN, []
        for fact in (*card, *order):
            step = orders.apply(case, fact)
            case = step.case
            keys += [f"{step.say}:{step.about or case.order.id}"] if step.say else []
        said = list(dict.fromkeys(keys))  # a key is told once
        assert said[: len(card)] == ["payment_failed:ord_1"][: len(card)]
        assert [key for key in said[len(card) :] if key.startswith("payment_failed")] == ["payment_failed:pi_1"], order
        assert said[-1] == "payment_failed:pi_1", f"nothing is on its way any more: {order}"
        assert orders.status_of(case) == "open"


def test_a_topup_that_is_refused_is_told_of_by_itself_and_what_fails_days_later_by_us() -> None:
    alone = Case(replace(ORDER, unattended=True))
    assert orders.apply(alone, FAILED).say is orders.apply(alone, FAILED).alert is None
    assert orders.apply(alone, SLOW_FAILED).say == "payment_failed"


def test_t18_a_card_refused_before_the_slow_payment_began_is_no_news_after_it() -> None:
    assert told([session(paid="unpaid"), FAILED])[1] == ["pending"]
    assert told([FAILED, session(paid="unpaid")])[1] == ["payment_failed", "pending"]


def test_an_order_that_grants_nothing_is_paid_and_one_canceled_in_vain_too() -> None:
    assert status([intent()], Case(replace(ORDER, grants=False))) == "paid"
    canceled = Case(replace(ORDER, status="canceled", canceled_at=NOW))
    assert status([session("expired", "unpaid")], canceled) == "canceled"
    assert status([intent()], canceled) == "fulfilled"


def test_t20_a_free_order_is_paid_by_its_session() -> None:
    free = session(paid="no_payment_required", intent=None, charged_amount=0)
    case, said = told([free] * 2)
    assert (case.order.paid_by, dict(case.payments), said) == ("cs_1", {}, ["paid"])
    assert worth({"kind": "credits", "amount": 10, "quantity": 1}, case.order, returned_of(case)) == 10


@given(st.permutations([session(charged_amount=500), intent(amount=500), charge(amount=500)]))
def test_t20_a_discount_that_the_session_tells_of_is_paid_less_and_grants_the_whole(facts: list[CaseFact]) -> None:
    case, said = told(facts)
    assert (case.order.status, case.payments["pi_1"].amount, said) == ("fulfilled", 500, ["paid"])
    assert returned_of(case) == Returned(of=500)


# A buyer who was shown euros. Before 2025-03-31 the session tells both currencies, and everything else only the shown
# one; since then everything tells the order's own, with what was shown beside it.
SHOWN: dict[str, Any] = {"presented_amount": 870, "presented_currency": "eur"}
OLDER: list[CaseFact] = [session(**SHOWN), intent(amount=870, currency="eur"), charge(amount=870, currency="eur")]
NEWER: list[CaseFact] = [session(**SHOWN), intent(**SHOWN), charge(**SHOWN)]
CUT: dict[str, Any] = {"charged_amount": 500, "presented_amount": 436, "presented_currency": "eur"}


@given(st.permutations([*OLDER, *NEWER]), st.integers(1, 6))
def test_t23_paid_in_another_currency_is_kept_in_the_orders_whoever_tells_it(facts: list[CaseFact], heard: int) -> None:
    told_of = [*facts[:heard], *OLDER] if heard % 2 else [*facts[:heard], *NEWER]
    case, said = told(told_of)
    payment, order = case.payments["pi_1"], case.order
    assert (order.status, payment.amount, payment.currency, said) == ("fulfilled", 999, "usd", ["paid"])
    assert (order.presented_amount, order.presented_currency) == (870, "eur")
    assert shown_of(order, payment, 999) == (870, "eur")
    assert shown_of(order, payment, 500) == (435, "eur")


@given(st.permutations([session(**CUT), session("open", "unpaid"), intent(amount=436, currency="eur"), charge(amount=500),
                        intent(amount=500, presented_amount=436, presented_currency="eur")]))  # fmt: skip
def test_t23_a_coupon_and_another_currency_are_told_by_the_session(facts: list[CaseFact]) -> None:
    case, said = told(facts)
    payment = case.payments["pi_1"]
    assert (case.order.status, payment.amount, payment.currency, said) == ("fulfilled", 500, "usd", ["paid"])


def test_t23_a_slow_payment_with_a_coupon_waits_in_the_orders_currency() -> None:
    slow = told([session(paid="unpaid", **CUT), intent("processing", amount=436, currency="eur")])[0]
    assert (slow.order.status, slow.payments["pi_1"].status) == ("pending", "processing")
    assert (slow.payments["pi_1"].amount, slow.payments["pi_1"].currency) == (500, "usd")
    for paid in (intent(amount=500), intent(amount=436, currency="eur"), session(**CUT)):
        case, said = told([paid], slow)
        assert (case.order.status, case.payments["pi_1"].amount, said) == ("fulfilled", 500, ["paid"])


def test_t23_what_was_shown_waits_until_it_is_told_what_that_is() -> None:
    assert told(OLDER[1:])[0] == OPEN
    with pytest.raises(Mismatch):
        orders.apply(told(OLDER)[0], intent(amount=871, currency="eur"))


BACK_IN_EUROS: dict[str, Any] = {"presented_amount": 435, "presented_currency": "eur"}


def test_t33_a_second_payment_in_the_shown_currency_waits_for_its_own_session() -> None:
    second = intent(intent="pi_2", amount=870, currency="eur")
    paid = told(OLDER)[0]
    with pytest.raises(NotYet, match="has to be told"):
        orders.apply(paid, second)
    case, said = told([second, session(session="cs_0", intent="pi_2", **SHOWN)], paid)
    assert (case.payments["pi_2"].amount, case.payments["pi_2"].currency) == (999, "usd")
    assert set(said) == {"paid_twice"}


def test_t23_what_goes_back_counts_in_the_payments_currency_or_not_at_all() -> None:
    paid = told(OLDER)[0]
    assert returned_of(told([refund("re_1", 500, **BACK_IN_EUROS)], paid)[0]).refunded == 500
    told_back = refund("re_1", 435, currency="eur", presented_amount=500, presented_currency="usd")
    assert returned_of(told([told_back], paid)[0]).refunded == 500
    for strange in (refund("re_1", 435, currency="eur"), dispute(amount=870, currency="eur")):
        with pytest.raises(Mismatch, match="is in eur, paid was usd"):
            orders.apply(paid, strange)


# What was paid before payments were kept in their order's currency: in the one that was shown.
ONCE = replace(ORDER, status="fulfilled", session_status="complete", session_payment_status="paid", paid_by="pi_1",
               paid_at=NOW, presented_amount=870, presented_currency="eur")  # fmt: skip
KEPT = Case(ONCE, {"pi_1": Payment("pi_1", "ord_1", "succeeded", 870, "eur", paid_at=NOW)})


@given(st.permutations([*OLDER, *NEWER]))
def test_t23_a_payment_that_was_kept_in_the_shown_currency_stays_in_it(facts: list[CaseFact]) -> None:
    case, _ = told(facts, KEPT)
    payment = case.payments["pi_1"]
    assert (payment.amount, payment.currency, case.order.status) == (870, "eur", "fulfilled")


@given(st.permutations([0, 1, 2]))
def test_t23_of_such_a_payment_all_goes_back_though_each_part_is_rounded(order: list[int]) -> None:
    each: dict[str, Any] = {"presented_amount": 289, "presented_currency": "eur"}
    parts: list[CaseFact] = [refund(f"re_{one}", 333, **each) for one in range(3)]
    case, _ = told([parts[one] for one in order], KEPT)
    assert case.order.status == "partially_refunded", "3 of 870 are no rounding"
    parts = [refund("re_1", 333, presented_amount=290, presented_currency="eur"),
             refund("re_2", 333, presented_amount=290, presented_currency="eur"),
             dispute("lost", 333, presented_amount=289, presented_currency="eur")]  # fmt: skip
    case, _ = told([parts[one] for one in order], KEPT)
    assert money_of(case, "pi_1")[0] == 0
    assert worth({"kind": "credits", "amount": 500, "quantity": 1}, case.order, returned_of(case)) == 0
    too_much = [refund(f"re_{one}", 333, presented_amount=shown, presented_currency="eur")
                for one, shown in enumerate((290, 290, 291))]  # fmt: skip
    case, _ = told([too_much[one] for one in order], KEPT)
    assert (case.order.status, returned_of(case).refunded, money_of(case, "pi_1")[0]) == ("refunded", 870, 0)


def test_t33_a_second_payment_goes_back_whole() -> None:
    case, _ = told([intent()])
    step = orders.apply(case, intent(intent="pi_2"))
    assert (step.give_back, step.say) == ("pi_2", "paid_twice")
    assert step.case.order == case.order


def test_a_second_payments_refund_takes_nothing_from_the_first() -> None:
    case, said = told([intent(), intent(intent="pi_2"), refund("re_2", 999, intent="pi_2")])
    assert (case.order.status, returned_of(case).refunded) == ("fulfilled", 0)
    assert said == ["paid", "paid_twice"]
    assert money_of(case, "pi_1")[0] == 999
    assert money_of(case, "pi_2")[0] == 0


def test_the_news_of_an_older_session_changes_no_newer_one() -> None:
    assert told([session("expired", "unpaid", session="cs_0")])[0] == OPEN


# --- what is not ours ------------------------------------------------------------------------------------------------

WRONG = [{"stripe_customer": "cus_2"}, {"stripe_customer": None}, {"amount": 1000}]
FOUR = [session(), session(paid="unpaid"), intent(), charge()]


@pytest.mark.parametrize("fact", FOUR, ids=lambda fact: type(fact).__name__)
@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_t21_a_fact_with_other_terms_moves_nothing(fact: CaseFact, wrong: dict[str, Any]) -> None:
    with pytest.raises(Mismatch, match="ord_1"):
        orders.apply(OPEN, replace(fact, **wrong))


@pytest.mark.parametrize("fact", [session(), session(paid="unpaid")], ids=["paid", "unpaid"])
@pytest.mark.parametrize("wrong", [{"amount": 998}, {"currency": "eur"}], ids=str)
def test_t21_a_session_made_for_less_or_in_another_currency_moves_nothing(
    fact: CaseFact, wrong: dict[str, Any]
) -> None:
    with pytest.raises(Mismatch):
        orders.apply(OPEN, replace(fact, **wrong))


@pytest.mark.parametrize("fact", [intent(), charge()], ids=["intent", "charge"])
@pytest.mark.parametrize("wrong", [{"amount": 998}, {"currency": "eur"}], ids=str)
def test_t21_less_money_waits_for_the_session_and_is_refused_when_that_tells_of_no_discount(
    fact: CaseFact, wrong: dict[str, Any]
) -> None:
    less = replace(fact, **wrong)
    with pytest.raises(NotYet):
        orders.apply(OPEN, less)
    whole, _ = told([session()])
    with pytest.raises(Mismatch):
        orders.apply(whole, less)


def test_an_order_whose_session_was_never_asked_for_is_paid_by_nobody() -> None:
    with pytest.raises(Mismatch):
        orders.apply(Case(replace(ORDER, stripe_customer=None)), intent(stripe_customer=None))


def test_a_shop_may_capture_a_part_of_what_was_reserved_and_never_more() -> None:
    reserved = Case(replace(ORDER, capture="manual"))
    case, _ = told([intent("requires_capture"), intent(amount=400)], reserved)
    assert (case.order.status, money_of(case, "pi_1")[0]) == ("fulfilled", 400)
    with pytest.raises(Mismatch):
        orders.apply(reserved, intent(amount=1000))


def test_a_refund_in_another_currency_than_was_paid_is_refused() -> None:
    with pytest.raises(Mismatch, match="eur"):
        orders.apply(told([intent()])[0], refund("re_1", 5, currency="eur"))


BACK: list[CaseFact] = [
    refund("re_1", 100), refunds(refund("re_1", 100)), dispute(), FraudWarning(NOW, "efw_1", "ord_1", "pi_1", "fraud"),
    BalanceIs(NOW, "txn_1", "ord_1", "pi_1", "charge", "ch_1", 999, 59, 940, "usd", None, None, NOW),
]  # fmt: skip


@pytest.mark.parametrize("fact", BACK, ids=lambda fact: type(fact).__name__)
def test_what_goes_back_waits_for_the_payment_that_it_is_of(fact: CaseFact) -> None:
    with pytest.raises(NotYet, match="ord_1"):
        orders.apply(OPEN, fact)


# --- going back ------------------------------------------------------------------------------------------------------

STATUSES = ("pending", "requires_action", "succeeded", "canceled", "failed")
REFUNDS = st.lists(
    st.builds(refund, st.sampled_from(["re_1", "re_2", "re_3"]), st.just(300), st.sampled_from(STATUSES)), max_size=8
)


@given(REFUNDS, st.randoms())
def test_t35_refunds_in_any_order_and_number_end_the_same(heard: list[RefundIs], chance: Any) -> None:
    facts: list[CaseFact] = [session(), intent(), charge(), *heard]
    mixed = facts + [fact for fact in facts if chance.random() < 0.5]
    chance.shuffle(mixed)
    once, twice = told(facts)[0], told(mixed)[0]
    assert once == twice
    last = {name: [one.status for one in heard if one.refund == name] for name in ("re_1", "re_2", "re_3")}
    counting = [name for name, seen in last.items() if seen and not {"failed", "canceled"} & set(seen)]
    assert returned_of(once).refunded == 300 * len(counting)


@given(REFUNDS)
def test_t35_a_list_of_all_refunds_tells_the_same_as_each_alone(heard: list[RefundIs]) -> None:
    paid, _ = told([intent()])
    assert told([refunds(*heard)], paid)[0] == told(heard, paid)[0]


@given(REFUNDS)
def test_t36_a_refund_and_its_failure_are_each_said_once(heard: list[RefundIs]) -> None:
    said = told([intent(), *heard, *heard])[1]
    assert said.count("refunded") <= 3
    assert said.count("refund_failed") <= said.count("refunded")


@pytest.mark.parametrize(
    ("seen", "counts", "said"),
    [
        (["pending"], True, ["refunded"]),
        (["pending", "succeeded"], True, ["refunded"]),
        (["succeeded", "pending"], True, ["refunded"]),
        (["pending", "failed"], False, ["refunded", "refund_failed"]),
        (["pending", "canceled"], False, ["refunded", "refund_failed"]),
        (["succeeded", "failed", "succeeded"], False, ["refunded", "refund_failed"]),
        (["failed", "pending"], False, []),
        (["canceled"], False, []),
    ],
)
def test_t36_the_furthest_status_of_a_refund_counts(seen: list[str], counts: bool, said: list[str]) -> None:
    case, words = told([intent(), *(refund("re_1", 999, one) for one in seen)])
    assert returned_of(case).refunded == (999 if counts else 0)
    assert case.order.status == ("refunded" if counts else "fulfilled")
    assert words == ["paid", *said]


def test_t36_a_refund_that_failed_is_the_desks_business_too() -> None:
    case, _ = told([intent(), refund("re_1", 999)])
    step = orders.apply(case, refund("re_1", 999, "failed", failure_reason="expired_or_canceled_card"))
    assert (step.say, step.alert, step.about) == ("refund_failed", "refund_failed", "re_1")


def test_a_payment_in_our_own_form_is_on_its_way_although_the_page_at_stripe_was_closed_for_it() -> None:
    closed, on_its_way = session("expired", "unpaid", intent=None), intent("processing", intent="pi_form")
    for facts in ([closed, on_its_way], [on_its_way, closed]):
        case, _ = told(facts)
        assert case.order.status == "pending"
        case, _ = told([*facts, intent(intent="pi_form")])
        assert case.order.status == "fulfilled"
        assert told([*facts, intent("failed", intent="pi_form")])[0].order.status == "expired"


def test_a_refund_heard_of_before_the_payment_was_is_what_is_told() -> None:
    case, said = told([intent("processing"), refund("re_1", 999), intent()])
    assert (case.order.status, said) == ("refunded", ["refunded"])


@pytest.mark.parametrize(
    ("seen", "expected", "said", "alerts"),
    [
        (["needs_response"], "disputed", ["disputed"], ["dispute_opened"]),
        (["needs_response", "under_review", "needs_response"], "disputed", ["disputed"], ["dispute_opened"]),
        (["needs_response", "won"], "fulfilled", ["disputed", "dispute_won"], ["dispute_opened", "dispute_won"]),
        (["needs_response", "lost"], "disputed", ["disputed", "dispute_lost"], ["dispute_opened", "dispute_lost"]),
        (["lost", "won"], "fulfilled", ["dispute_lost", "dispute_won"], ["dispute_lost", "dispute_won"]),
        (["won"], "fulfilled", [], ["dispute_won"]),
        (["warning_needs_response", "warning_under_review", "warning_closed"], "fulfilled", [], ["inquiry_opened"]),
        (["warning_needs_response", "needs_response"], "disputed", ["disputed"], ["inquiry_opened", "dispute_opened"]),
        (["warning_closed"], "fulfilled", [], []),
    ],
)
def test_t37_a_dispute_is_what_it_is_now(seen: list[str], expected: str, said: list[str], alerts: list[str]) -> None:
    case, heard, alerted = told([intent()])[0], [], []
    for one in [status for status in seen for _ in range(2)]:
        step = orders.apply(case, dispute(one))
        case = step.case
        heard += [step.say] if step.say else []
        alerted += [step.alert] if step.alert else []
    assert (case.order.status, heard, alerted) == (expected, said, alerts)


def test_t37_an_early_warning_is_for_the_desk_alone_and_changes_nothing() -> None:
    case, _ = told([intent()])
    step = orders.apply(case, FraudWarning(NOW, "efw_1", "ord_1", "pi_1", "made_with_stolen_card"))
    assert (step.say, step.alert, step.about, step.case) == (None, "fraud_warning", "efw_1", case)


# --- worth -----------------------------------------------------------------------------------------------------------

CREDITS = {"kind": "credits", "amount": 500, "quantity": 1}


@pytest.mark.parametrize(
    ("terms", "whole"),
    [({"kind": "credits", "amount": 10, "quantity": 3}, 30), ({"kind": "pass", "days": 7, "quantity": 2}, 14 * 86_400),
     ({"kind": "feature", "quantity": 5}, 1)],
)  # fmt: skip
def test_a_source_is_worth_its_frozen_terms_once_paid_and_nothing_before(terms: dict[str, Any], whole: int) -> None:
    paid = replace(ORDER, paid_at=NOW)
    assert worth(terms, ORDER, Returned()) == 0
    assert worth(terms, paid, Returned(of=999)) == whole
    assert worth(terms, paid, Returned(of=999, refunded=999)) == 0


AMOUNTS = st.integers(0, 3000)


@given(st.integers(1, 10**12), st.integers(1, 10**9), AMOUNTS, AMOUNTS, AMOUNTS, st.sampled_from(["hold", "wait"]))
def test_worth_is_never_more_than_the_whole_nor_less_than_nothing(
    whole: int, of: int, refunded: int, disputed: int, lost: int, policy: str
) -> None:
    paid = replace(ORDER, paid_at=NOW)
    returned = Returned(of, refunded, disputed, lost)
    for terms in ({"kind": "credits", "amount": whole}, {"kind": "pass", "days": whole}, {"kind": "feature"}):
        now = worth({**terms, "quantity": 1, "on_dispute": policy}, paid, returned)
        assert 0 <= now <= worth({**terms, "quantity": 1}, paid, Returned(of))


@given(st.integers(1, 10**12), st.integers(1, 10**9), st.integers(0, 2 * 10**9))
def test_what_is_left_is_the_share_rounded_in_the_buyers_favour(whole: int, paid: int, back: int) -> None:
    left = left_of(whole, paid, back)
    assert left == max(0, -(-whole * (paid - back) // paid)) if back else left == whole
    assert left_of(whole, paid, back + 1) <= left


def test_what_was_free_is_not_taken_back() -> None:
    assert worth(CREDITS, replace(ORDER, paid_at=NOW), Returned()) == 500


@pytest.mark.parametrize(
    ("returned", "hold", "wait"),
    [
        (Returned(of=999), 500, 500),
        (Returned(of=999, refunded=500), 250, 250),
        (Returned(of=999, disputed=999), 0, 500),
        (Returned(of=999, lost=999), 0, 0),
        (Returned(of=999, refunded=500, disputed=499), 0, 250),
        (Returned(of=999, refunded=999, lost=999), 0, 0),
    ],
)
def test_t37_a_dispute_holds_back_at_once_or_waits_as_the_product_says(
    returned: Returned, hold: int, wait: int
) -> None:
    paid = replace(ORDER, paid_at=NOW)
    assert worth({**CREDITS, "on_dispute": "hold"}, paid, returned) == hold
    assert worth({**CREDITS, "on_dispute": "wait"}, paid, returned) == wait


def test_a_feature_falls_only_when_everything_has_gone_back() -> None:
    paid = replace(ORDER, paid_at=NOW)
    feature = {"kind": "feature", "quantity": 1}
    assert worth(feature, paid, Returned(of=999, refunded=998)) == 1
    assert worth(feature, paid, Returned(of=999, refunded=999)) == 0


@given(REFUNDS, st.sampled_from([None, "needs_response", "won", "lost"]))
def test_the_money_left_of_a_payment_is_what_came_less_what_went(heard: list[RefundIs], disputed: str | None) -> None:
    case, _ = told([intent(), *heard, *([dispute(disputed)] if disputed else [])])
    gone = returned_of(case)
    taken = 0 if disputed in (None, "won") else 999
    assert money_of(case, "pi_1") == (999 - gone.refunded - taken, NOW), "below zero: a loss"
    assert money_of(case, "pi_9") == (0, None)


# --- what Stripe keeps -----------------------------------------------------------------------------------------------


def balance(about: str = "ch_1", amount: int = 999, fee: int = 59, currency: str = "usd") -> BalanceIs:
    return BalanceIs(
        NOW, "txn_1", "ord_1", "pi_1", "charge", about, amount, fee, amount - fee, currency, None, None, NOW
    )


PAID = told([intent(), charge(), refund("re_1", 400)])[0]


@pytest.mark.parametrize(
    ("fact", "moves"),
    [
        (balance(), [("fee", "usd", 59)]),
        (balance(fee=0), []),
        (balance(fee=-59), [("fee_back", "usd", 59)]),
        (balance(amount=870, currency="eur"), [("fee", "eur", 59), ("exchange_out", "usd", 999), ("exchange_in", "eur", 870)]),
        (balance("re_1", -350, 0, "eur"), [("exchange_in", "usd", 400), ("exchange_out", "eur", 350)]),
        (balance("ch_unknown"), []),
    ],
)  # fmt: skip
def test_a_balance_transaction_books_the_fee_and_the_exchange(
    fact: BalanceIs, moves: list[tuple[str, str, int]]
) -> None:
    assert balance_moves(PAID, fact) == moves
    assert balance_moves(OPEN, fact) == []


def test_a_balance_transaction_waits_for_the_object_that_it_is_about() -> None:
    with pytest.raises(NotYet, match="re_9"):
        orders.apply(PAID, balance("re_9"))
    assert orders.apply(PAID, balance()).case == PAID


# --- what was not captured -------------------------------------------------------------------------------------------


def test_the_examples_of_the_case_are_true() -> None:
    assert doctest.testmod(case_module).failed == 0
    assert doctest.testmod(case_module).attempted > 2


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 500), st.integers(0, 5000))
def test_a_part_that_was_captured_sells_its_share(agreed: int, captured: int, amount: int, refunded: int) -> None:
    order = replace(ORDER, amount=agreed, capture="manual", paid_by="pi_1", paid_at=NOW)
    payment = Payment("pi_1", order.id, "succeeded", captured := min(captured, agreed), order.currency)
    back = Refund("re_1", "pi_1", "succeeded", min(refunded, captured), order.currency, None, None, NOW)
    now = returned_of(Case(order, {"pi_1": payment}, {"re_1": back}))
    left = captured - back.amount
    assert worth({"kind": "credits", "amount": amount, "quantity": 1}, order, now) == -(-amount * left // agreed)
    assert worth({"kind": "feature", "quantity": 1}, order, now) == (left > 0)
    assert (now.of, now.arrived) == (agreed, captured)


def test_a_session_that_took_less_by_a_coupon_sells_everything() -> None:
    order = replace(ORDER, paid_by="pi_1", paid_at=NOW)
    payment = Payment("pi_1", order.id, "succeeded", order.amount - 100, order.currency)
    assert worth(CREDITS, order, returned_of(Case(order, {"pi_1": payment}))) == 500

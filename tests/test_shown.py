"""What Stripe's objects say of money whose buyer was shown another currency, in the shapes before and since 2025-03-31."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paydesk.facts import DisputeIs, Look, RefundIs
from paydesk.money import share
from paydesk.stripe import events, shapes

ORDER = "ord_" + "7" * 26
SHOWN = {"presentment_details": {"presentment_amount": 3946, "presentment_currency": "pln"}}
INTENT = {"object": "payment_intent", "id": "pi_1", "amount_received": 999, "currency": "usd",
          "metadata": {"paydesk_order": ORDER}, **SHOWN}  # fmt: skip
REFUND = {"object": "refund", "id": "re_1", "payment_intent": "pi_1", "status": "succeeded", "created": 1_790_000_000,
          "metadata": {"paydesk_order": ORDER}}  # fmt: skip
MINOR = st.integers(1, 10**8)


@given(MINOR, MINOR, MINOR)
def test_a_share_is_never_more_than_the_whole_and_never_nothing(part: int, whole: int, of: int) -> None:
    assert share(whole, whole, of) == of
    assert 1 <= share(part, whole, of) <= of
    if part < whole and share(part, whole, of) not in (1, of):
        assert abs(2 * share(part, whole, of) * whole - 2 * part * of) <= whole, "the nearest"


@pytest.mark.parametrize(
    ("of", "charged", "shown"),
    [({"amount_total": 999, "currency": "usd"}, None, (None, None)),
     ({"amount_total": 500, "amount_subtotal": 999, "currency": "usd"}, 500, (None, None)),
     ({"amount_total": 999, "currency": "usd", **SHOWN}, None, (3946, "pln")),
     ({"amount_total": 500, "amount_subtotal": 999, "currency": "usd", **SHOWN}, 500, (3946, "pln")),
     ({"amount_total": 3946, "currency": "pln", "currency_conversion": {"amount_subtotal": 999, "amount_total": 999,
                                                                       "source_currency": "usd"}}, None, (3946, "pln")),
     ({"amount_total": 1975, "currency": "pln", "currency_conversion": {"amount_subtotal": 999, "amount_total": 500,
                                                                       "source_currency": "usd"}}, 500, (1975, "pln"))],
    ids=["plain", "coupon", "newer", "newer with a coupon", "older", "older with a coupon"],
)  # fmt: skip
def test_a_session_tells_what_was_ordered_charged_and_shown(
    of: dict[str, Any], charged: int | None, shown: tuple[int | None, str | None]
) -> None:
    assert (shapes.ordered(of), shapes.charged(of), shapes.presented(of)) == ((999, "usd"), charged, shown)


@pytest.mark.parametrize(
    ("disputed", "both"),
    [((999, "usd"), (999, "usd", 3946, "pln")), ((3946, "pln"), (999, "usd", 3946, "pln")),
     ((500, "usd"), (500, "usd", 1975, "pln")), ((1975, "pln"), (500, "usd", 1975, "pln")),
     ((4000, "pln"), (999, "usd", 4000, "pln")), ((1, "pln"), (1, "usd", 1, "pln"))],
    ids=str,
)  # fmt: skip
def test_a_dispute_is_read_in_both_currencies_of_its_payment(
    disputed: tuple[int, str], both: tuple[int, str, int, str]
) -> None:
    found = {"object": "dispute", "id": "du_1", "status": "lost", "amount": disputed[0], "currency": disputed[1],
             "created": 1_790_000_000, "payment_intent": INTENT}  # fmt: skip
    event = {"type": "charge.dispute.closed", "created": 1_790_000_000, "data": {"object": found}}
    fact = events.read(event, {Look("dispute", "du_1"): found})
    assert isinstance(fact, DisputeIs)
    assert (fact.amount, fact.currency, fact.presented_amount, fact.presented_currency) == both


def test_a_refund_that_an_older_version_tells_is_looked_up_and_no_other() -> None:
    older = {**REFUND, "amount": 1975, "currency": "pln"}
    newer = {**REFUND, "amount": 500, "currency": "usd", "presentment_details": {
        "presentment_amount": 1975, "presentment_currency": "pln"}}  # fmt: skip
    event: dict[str, Any] = {"type": "refund.created", "created": 1_790_000_000, "data": {"object": older}}
    look = Look("refund", "re_1")
    for version in ("2023-10-16", "2024-09-30.acacia"):
        assert events.read({**event, "api_version": version}) == look
        fact = events.read({**event, "api_version": version}, {look: newer})
        assert isinstance(fact, RefundIs)
        assert (fact.amount, fact.currency, fact.presented_amount, fact.presented_currency) == (500, "usd", 1975, "pln")
        gone = events.read({**event, "api_version": version}, {look: {}})
        assert isinstance(gone, RefundIs)
        assert (gone.amount, gone.currency, gone.presented_amount) == (1975, "pln", None), "as it was told"
    for version in ("2025-03-31.basil", "2026-10-28.endive", None):
        told = events.read({**event, "api_version": version, "data": {"object": newer}})
        assert isinstance(told, RefundIs)
        assert told.amount == 500

"""Amounts: decimal strings outside, integers inside, exact both ways in every currency."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paydesk import money


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [("9.99", "usd", 999), ("0", "usd", 0), ("0.00", "eur", 0), ("10", "eur", 1000), ("10.5", "pln", 1050),
     ("500", "jpy", 500), ("5.000", "kwd", 5000), ("5.120", "bhd", 5120), ("5.12", "kwd", 5120), ("100", "ugx", 10_000),
     ("25", "isk", 2500), ("12.34", "huf", 1234), ("999999.99", "usd", 99_999_999)],
)  # fmt: skip
def test_t22_an_amount_becomes_the_currencys_smallest_units(amount: str, currency: str, minor: int) -> None:
    assert money.to_minor(amount, currency) == minor
    assert money.to_decimal(minor, currency) == Decimal(amount)


@pytest.mark.parametrize(
    ("amount", "currency", "reason"),
    [(9.99, "usd", "decimal string"), (999, "usd", "decimal string"), (True, "usd", "decimal string"),
     (None, "usd", "decimal string"), ("", "usd", "decimal string"), ("-1.00", "usd", "decimal string"),
     ("+1.00", "usd", "decimal string"), ("1e3", "usd", "decimal string"), ("1,00", "usd", "decimal string"),
     ("1.", "usd", "decimal string"), (".5", "usd", "decimal string"), (" 1", "usd", "decimal string"),
     ("٣", "usd", "decimal string"), ("NaN", "usd", "decimal string"), ("1.00\n", "usd", "decimal string"),
     ("9.999", "usd", "has 2 decimals"), ("500.5", "jpy", "has 0 decimals"), ("5.123", "kwd", "must be 0"),
     ("100.50", "ugx", "must be whole"), ("1000000.00", "usd", "more than"), ("999999999999", "jpy", "more than")],
)  # fmt: skip
def test_t22_anything_else_is_refused_with_a_reason(amount: object, currency: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        money.to_minor(amount, currency)  # type: ignore[arg-type]


@given(st.integers(0, money.AMOUNT_MAX), st.sampled_from(["usd", "jpy", "kwd", "huf", "isk", "eur", "clp"]))
def test_every_amount_survives_the_way_out_and_back(minor: int, currency: str) -> None:
    step = 10 if currency in money.THREE_DECIMAL else 100 if currency in money.WHOLE_HUNDREDTHS else 1
    minor -= minor % step
    assert money.to_minor(str(money.to_decimal(minor, currency)), currency) == minor


@given(st.text(max_size=20), st.sampled_from(["usd", "jpy", "kwd"]))
def test_no_text_makes_anything_but_an_amount_or_a_value_error(text: str, currency: str) -> None:
    try:
        minor = money.to_minor(text, currency)
    except ValueError:
        return
    assert 0 <= minor <= money.AMOUNT_MAX


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(999, "usd", "$9.99"), (0, "usd", "$0.00"), (99_999_999, "eur", "€999,999.99"), (500, "jpy", "¥500"),
     (1999, "pln", "19.99 PLN"), (5120, "kwd", "5.120 KWD"), (10_000, "ugx", "100 UGX"), (5, "gbp", "£0.05")],
)  # fmt: skip
def test_an_amount_is_written_as_people_read_it(minor: int, currency: str, text: str) -> None:
    assert money.display(minor, currency) == text


def test_a_currency_is_one_whose_decimals_are_known() -> None:
    assert all(money.is_currency(text) for text in ("usd", "eur", "pln", "jpy", "kwd", "ugx", "isk", "huf", "xcg"))
    assert not any(money.is_currency(text) for text in ("USD", "us", "usdd", "us1", "usd\n", "", "ůsd", "zzz", "xau"))
    assert not money.ZERO_DECIMAL & money.THREE_DECIMAL
    assert not (money.ZERO_DECIMAL | money.THREE_DECIMAL) & money.TWO_DECIMAL
    assert money.WHOLE_HUNDREDTHS <= money.TWO_DECIMAL
    assert set(money.MINIMUM_MINOR) <= money.CURRENCIES


@pytest.mark.parametrize(
    ("minor", "currency", "reason"),
    [(49, "usd", r"\$0.49 is less than Stripe takes: \$0.50"), (0, "chf", "less than"), (-5, "usd", "less than"),
     (100_000_000, "usd", "more than"), (5123, "kwd", "last decimal of kwd must be 0, 5.123"),
     (10_050, "ugx", "no decimals in life"), (2501, "isk", "no decimals in life"), (199, "pln", "2.00 PLN")],
)  # fmt: skip
def test_t22_what_stripe_does_not_charge_is_refused_with_a_reason(minor: int, currency: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        money.check_charge(minor, currency)


@pytest.mark.parametrize(("minor", "currency"), [(50, "usd"), (50, "jpy"), (5120, "kwd"), (10_000, "ugx"), (1, "chf")])
def test_t22_what_stripe_charges_is_taken(minor: int, currency: str) -> None:
    money.check_charge(minor, currency)

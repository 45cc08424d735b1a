"""What went back of an invoice's money: refunds, disputes and credit notes, each counted once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from paydesk.billing import with_gone
from paydesk.case import Case, Dispute, Order, Payment, Refund
from paydesk.subscriptions import Bill, Invoice, Line, Subscription

AT = datetime(2026, 1, 1, tzinfo=UTC)
LINE = Line("il_1", "si_1", "plus", 1, 1000, proration=False, start=AT, end=AT)
INVOICE = Invoice("in_1", "sub_1", "in_1", "paid", "subscription_cycle", 1000, "usd", AT, AT, AT, (LINE,), 1, None, None,
                  None, AT, AT)  # fmt: skip
OWN = Subscription(
    "sub_1", "cst_1", None, "cus_1", "active", False, (), AT, None, None, None, None, None, None, None, AT
)
ORDER = Order("in_1", "cst_1", "paid", 1000, "usd", False, None, None, None, "cus_1", None, None, None, "pi_1", AT, None,
              None, None, "automatic", True, "invoice")  # fmt: skip
PAYMENT = Payment("pi_1", "in_1", "succeeded", 1000, "usd", paid_at=AT)


def refunded(amount: int) -> dict[str, Refund]:
    return {"re_1": Refund("re_1", "pi_1", "succeeded", amount, "usd", None, None, AT)}


def disputed(status: str) -> dict[str, Dispute]:
    return {"dp_1": Dispute("dp_1", "pi_1", status, 1000, "usd", None, None, AT)}


CASES = {
    "nothing": (Case(ORDER, {"pi_1": PAYMENT}), INVOICE, False, False),
    "a part": (Case(ORDER, {"pi_1": PAYMENT}, refunded(999)), INVOICE, False, False),
    "all of it": (Case(ORDER, {"pi_1": PAYMENT}, refunded(1000)), INVOICE, True, True),
    "a bank asks for it": (Case(ORDER, {"pi_1": PAYMENT}, {}, disputed("needs_response")), INVOICE, False, True),
    "a bank took it": (Case(ORDER, {"pi_1": PAYMENT}, {}, disputed("lost")), INVOICE, True, True),
    "a credit note for all of it": (Case(ORDER, {"pi_1": PAYMENT}), replace(INVOICE, credited=1000), True, True),
    "a credit note and its refund, of a half": (
        Case(ORDER, {"pi_1": PAYMENT}, refunded(500)), replace(INVOICE, credited=500), False, False),
    "a credit note before it was paid": (Case(ORDER), replace(INVOICE, credited_before=1000), True, True),
}  # fmt: skip


@pytest.mark.parametrize(("case", "invoice", "gone", "asked_back"), CASES.values(), ids=list(CASES))
def test_whether_all_the_money_of_an_invoice_went_back(
    case: Case, invoice: Invoice, gone: bool, asked_back: bool
) -> None:
    bill = with_gone(Bill(OWN, {"in_1": invoice}), {"in_1": case})
    assert (bill.gone == {"in_1"}, bill.asked_back == {"in_1"}) == (gone, asked_back)

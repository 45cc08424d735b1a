"""What is told because of a fact: to the buyer in the thread of the order, and to the people of the desk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from paydesk import customers, inbox, ledger, orders
from paydesk.case import Dispute, Order, Payment, Refund, returned_of, shown_of, worth
from paydesk.desk import Desk
from paydesk.facts import CaseFact, ChargeIs, DisputeIs, EntitlementIs, FraudWarning, RefundIs, RefundsAre, SessionIs
from paydesk.inbox import Row
from paydesk.ledger import Source
from paydesk.outbox import Message

USE_UP = "use_up"
"""The template of the instruction to a platform that what was bought in its shop is used up."""


def questions(fact: CaseFact, row: Row) -> list[inbox.Envelope]:
    """Return what is to be asked of Stripe because of a fact: what it did to the balance, and what that cost."""
    match fact:
        case ChargeIs():
            about, ids = fact.charge, [fact.balance_transaction]
        case RefundIs():
            about, ids = fact.refund, [fact.balance_transaction, fact.returned_by]
        case RefundsAre():
            return [question for refund in fact.refunds for question in questions(refund, row)]
        case DisputeIs():
            about, ids = fact.dispute, list(fact.balance)
        case SessionIs(subscription=str() as begun):
            return [inbox.look_again("subscription", begun, row.lane, row.external_id, livemode=row.livemode)]
        case _:
            return []
    return [inbox.question("balance_transaction", id_, fact.order, fact.intent, about, row) for id_ in ids if id_]


def made_by_us(fact: CaseFact) -> list[tuple[str, str, str]]:
    """Return which calls of ours have made what, as `calls.heard_of` takes it: refunds bear the name of theirs."""
    refunds = fact.refunds if isinstance(fact, RefundsAre) else (fact,) if isinstance(fact, RefundIs) else ()
    return [(one.intent, one.asked_as, one.refund) for one in refunds if one.asked_as is not None]


def say(desk: Desk, step: orders.Step, params: dict[str, Any], row: Row) -> None:
    """Tell the buyer in the thread where the order was made, and the people of the desk; one message per meaning."""
    order = step.case.order
    about = step.about or order.id
    if step.say is not None and order.channel is not None and order.address is not None:
        apart = step.say == "paid_twice"  # the order's own message goes on saying that it is paid
        desk.messages.append(
            Message(f"{step.say}:{about}", order.customer, order.channel, order.address, step.say, params,
                    order.conversation, row.id, about=None if apart else order.id)
        )  # fmt: skip
    if step.alert is not None:
        desk.messages.append(alert(f"{step.alert}:{about}", step.alert, order.customer, params, row.id))


def alert(key: str, template: str, customer: str | None, params: dict[str, Any], inbox_id: int | None) -> Message:
    """Return a message to the people who run the desk, once per key; its template's name begins with `alert_`."""
    return Message(
        f"alert:{key}", customer, customers.ADMIN, "desk", f"alert_{template}", params, inbox_id=inbox_id
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """What the parts of an order are worth, and what its buyer owes of each unit, before a fact."""

    worth: dict[str, int]
    debts: dict[str, int]


def _given(desk: Desk, order: Order) -> list[Source]:
    """Return what an order gives, besides money."""
    own = [one for one in desk.parts.get(order.id, ()) if one.kind not in ledger.MONEY_MOVES]
    return sorted(own, key=lambda source: source.id)


def standing(desk: Desk, order: Order) -> Standing:
    """Return what the parts of an order are worth now, and what its buyer owes."""
    given = _given(desk, order)
    units = {source.unit for source in given if source.kind == "credits"}
    return Standing(
        {source.id: source.worth for source in given}, {unit: desk.book.debt(order.customer, unit) for unit in units}
    )


def params_of(desk: Desk, step: orders.Step, fact: CaseFact, before: Standing) -> dict[str, Any]:
    """Return what templates may name: amounts in the smallest unit, what an order gave, took and gave back, balances.

    Of each thing given: what it is worth, was worth before the fact, and would be worth had nothing gone back.
    """
    case, order = step.case, step.case.order
    now, given, returned = standing(desk, order), _given(desk, order), returned_of(case)
    payment = case.payments.get(fact.intent or order.paid_by or "")
    back = case.refunds.get(step.about or "") or case.disputes.get(step.about or "")
    paid, currency = _price(order) if payment is None else shown_of(order, payment, payment.amount)
    due = back.evidence_due_at if isinstance(back, Dispute) else None
    return {
        "order": order.id,
        "amount": paid if back is None or payment is None else shown_of(order, payment, back.amount)[0],
        "currency": currency,
        "paid": paid,
        "refunded": returned.refunded if payment is None else shown_of(order, payment, returned.refunded)[0],
        "grants": [
            {**source.terms, "worth": source.worth, "before": before.worth[source.id],
             "whole": worth(source.terms, order, returned.at_first)}
            for source in given
        ],
        "balances": {unit: desk.book.balance(order.customer, unit) for unit in sorted(now.debts)},
        "debts": now.debts,
        "paid_off": {unit: before.debts[unit] - owed for unit, owed in now.debts.items() if owed < before.debts[unit]},
        "reason": _reason(fact, payment, back),
        "due": None if due is None else due.isoformat(),
    }  # fmt: skip


def _price(order: Order) -> tuple[int, str]:
    """Return what the buyer of an order has to pay: what its session said, else what was ordered."""
    if order.presented_amount is not None and order.presented_currency is not None:
        return order.presented_amount, order.presented_currency
    return order.amount, order.currency


def _reason(fact: CaseFact, payment: Payment | None, back: Refund | Dispute | None) -> str | None:
    """Return why, in Stripe's words: why a payment or refund failed, what a dispute or warning is about."""
    if isinstance(fact, FraudWarning):
        return fact.kind
    if isinstance(fact, SessionIs):
        return fact.failure_message
    if isinstance(back, Refund):
        return back.failure_reason or back.status
    if back is not None:
        return back.reason
    return payment.failure_message if payment is not None else None


def refund_of(order: Order, intent: str, row: Row) -> Message:
    """Return the instruction to give a second payment back in full, once."""
    params = {"payment_intent": intent, "reason": "duplicate", "order": order.id}
    return Message(f"refund:second:{intent}", order.customer, "stripe", intent, "refund", params, inbox_id=row.id)


def use_up_of(order: Order, fact: EntitlementIs, row: Row) -> list[Message]:
    """Return the instruction to use up what was bought in a platform's own shop, once: what it gives is given with it."""
    if not fact.uses_up or fact.deleted or order.channel is None or order.address is None:
        return []
    params = {"bought": fact.bought, "order": order.id}
    key = f"{USE_UP}:{fact.intent}"
    return [Message(key, order.customer, order.channel, order.address, USE_UP, params, inbox_id=row.id)]

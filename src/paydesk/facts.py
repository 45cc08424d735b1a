"""Our own words for what is now a fact, whoever told us.

A fact says how something *is*, never what to add. Each may arrive many times, in any order, and once is enough.
`at` is the fact's own time, as its teller gives it. Amounts are in the smallest unit of `currency`; `presented_…` are the
same amount as the buyer was shown it, in another currency, where the teller says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SessionIs:
    """A Checkout session's state. `complete` alone is not paid: `payment_status` decides.

    `amount` is what was ordered, `charged_amount` what is paid of it where a coupon made it less, both in `currency`: the
    one that was ordered in. `presented_…` are set when the buyer was shown, and pays, another one.
    `subscription` is what it has begun: its invoices say what is paid.
    """

    at: datetime
    session: str
    order: str
    status: str
    payment_status: str
    intent: str | None
    stripe_customer: str | None
    amount: int
    currency: str
    failed: bool = False
    failure_message: str | None = None
    charged_amount: int | None = None
    presented_amount: int | None = None
    presented_currency: str | None = None
    subscription: str | None = None


@dataclass(frozen=True, slots=True)
class IntentIs:
    """A payment intent's state: `succeeded`, `failed` (a try was refused, another may follow), `canceled`,

    `processing` (a slow method is on its way) or `requires_capture` (reserved, not taken yet). One that `failed` names its
    charge where that was a slow method's: it had been on its way.
    """

    at: datetime
    intent: str
    order: str
    status: str
    stripe_customer: str | None
    amount: int
    currency: str
    charge: str | None
    failure_code: str | None = None
    failure_message: str | None = None
    presented_amount: int | None = None
    presented_currency: str | None = None


@dataclass(frozen=True, slots=True)
class ChargeIs:
    """A successful charge, with the card as a buyer knows it and where its fee is written."""

    at: datetime
    charge: str
    order: str
    intent: str
    stripe_customer: str | None
    amount: int
    currency: str
    balance_transaction: str | None
    card_brand: str | None
    card_last4: str | None
    presented_amount: int | None = None
    presented_currency: str | None = None


@dataclass(frozen=True, slots=True)
class RefundIs:
    """A refund's state: `pending`, `requires_action`, `succeeded`, `failed` or `canceled`.

    `balance_transaction` is what it took from the balance, `returned_by` what brought that back when it failed.
    `asked_as` is the name of the call of ours that asked for it.
    """

    at: datetime
    refund: str
    order: str
    intent: str
    status: str
    amount: int
    currency: str
    reason: str | None
    failure_reason: str | None
    made_at: datetime
    presented_amount: int | None = None
    presented_currency: str | None = None
    balance_transaction: str | None = None
    stripe_customer: str | None = None
    returned_by: str | None = None
    asked_as: str | None = None


@dataclass(frozen=True, slots=True)
class RefundsAre:
    """All refunds of a payment, as they are now."""

    at: datetime
    order: str
    intent: str
    refunds: tuple[RefundIs, ...]
    stripe_customer: str | None = None


@dataclass(frozen=True, slots=True)
class EntitlementIs:
    """What was bought in a platform's own shop: it gives from `since` until `ends_at` (`None`: no end is known).

    `deleted`: it went back, which it never does twice. `uses_up`: once it is given, it is used up there. `lifts` is an end
    that was known and holds no more, because it has begun again since. The platform keeps the money and does not tell
    how much: our books count the purchase.
    """

    at: datetime
    intent: str
    order: str
    bought: str
    amount: int
    currency: str
    since: datetime
    ends_at: datetime | None
    deleted: bool
    uses_up: bool
    lifts: datetime | None = None


@dataclass(frozen=True, slots=True)
class DisputeIs:
    """A dispute as it is now (looked at, not read from an event). Fees are in `balance`."""

    at: datetime
    dispute: str
    order: str
    intent: str
    status: str
    amount: int
    currency: str
    reason: str | None
    evidence_due_at: datetime | None
    made_at: datetime
    balance: tuple[str, ...] = ()
    stripe_customer: str | None = None
    presented_amount: int | None = None
    presented_currency: str | None = None


@dataclass(frozen=True, slots=True)
class FraudWarning:
    """The card's network thinks that a payment is fraudulent: a dispute may follow."""

    at: datetime
    warning: str
    order: str
    intent: str
    kind: str
    stripe_customer: str | None = None


@dataclass(frozen=True, slots=True)
class BalanceIs:
    """What a charge, refund or dispute (`about`) did to the balance at Stripe, in the currency of settlement."""

    at: datetime
    transaction: str
    order: str
    intent: str
    kind: str
    about: str
    amount: int
    fee: int
    net: int
    currency: str
    exchange_rate: str | None
    available_on: datetime | None
    made_at: datetime


# --- subscriptions: always looked at, never read from an event --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ItemIs:
    """What repeats: a Stripe price with its quantity, and the cycle it is in.

    `key` is the catalogue's name of the price as the price bears it, `inherited` the one with which the subscription began.
    `amount` is what a cycle costs before discounts, `None` where that depends on more than the quantity.
    """

    id: str
    price: str
    key: str | None
    inherited: str | None
    quantity: int
    start: datetime
    end: datetime
    amount: int | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True)
class LineIs:
    """A line of an invoice: `amount` is below zero for what was not used of an item."""

    id: str
    item: str | None
    price: str | None
    quantity: int
    amount: int
    proration: bool
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class PaidBy:
    """A payment of an invoice, as it is now: one of several perhaps."""

    intent: str
    status: str
    amount: int
    currency: str
    charge: str | None
    failure_code: str | None
    failure_message: str | None
    paid_at: datetime | None


@dataclass(frozen=True, slots=True)
class InvoiceIs:
    """An invoice of a subscription as it is now. Paid is what has the status `paid`, however it was paid.

    `credited_before` and `credited` are what credit notes took off before and after it was paid.
    """

    invoice: str
    order: str
    status: str
    billing_reason: str
    total: int
    currency: str
    paid_at: datetime | None
    created_at: datetime
    lines: tuple[LineIs, ...]
    payments: tuple[PaidBy, ...]
    attempts: int
    next_attempt_at: datetime | None
    url: str | None
    due_at: datetime | None = None
    credited_before: int = 0
    credited: int = 0


@dataclass(frozen=True, slots=True)
class SubscriptionIs:
    """A subscription as it is now, with the invoices that were looked at with it (the newest one, or the one asked for).

    `order` is ours when we made it. `cancel_at` is when it will end, `ended_at` when it did. `paused` says what becomes of
    invoices while no money is collected (`void`, `keep_as_draft`, `mark_uncollectible`). `changes_at` is when a schedule
    at Stripe gives it other prices, `changes_to` what these are, `ended_by` why it ended, in Stripe's word. `kept_since`
    is when the cycle began whose bill is a draft that nobody collects, as a pause may leave it; it counts only where the
    look `saw_cycle`: the bill of the newest cycle. What was asked earlier than what is known already is old: whatever
    changed since then brings a look of its own.
    """

    at: datetime
    subscription: str
    order: str | None
    stripe_customer: str
    status: str
    items: tuple[ItemIs, ...]
    started_at: datetime
    trial_end: datetime | None
    cancel_at: datetime | None
    ended_at: datetime | None
    paused: str | None
    resumes_at: datetime | None
    payment_method: str | None
    card_ends_at: datetime | None
    asked_at: datetime
    invoices: tuple[InvoiceIs, ...] = ()
    changes_at: datetime | None = None
    changes_to: tuple[tuple[str, int], ...] = ()
    ended_by: str | None = None
    kept_since: datetime | None = None
    saw_cycle: bool = False


@dataclass(frozen=True, slots=True)
class TimerFired:
    """Desk time has reached `due` for `subject`."""

    at: datetime
    kind: str
    subject: str


CaseFact = (
    SessionIs | IntentIs | ChargeIs | EntitlementIs | RefundIs | RefundsAre | DisputeIs | FraudWarning | BalanceIs
)
Fact = CaseFact | SubscriptionIs | TimerFired


# --- what a reader may say instead of a fact -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Look:
    """The envelope does not say enough: look at this object first (`kind` as Stripe names it).

    `whose` is the Stripe customer that the envelope names: nobody looks for a stranger's.
    """

    kind: str
    id: str
    whose: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing to do, and why: an unhandled type, a foreign object, another mode."""

    reason: str


@dataclass(frozen=True, slots=True)
class Impossible:
    """Verified, but not what its kind must look like: a person has to see it."""

    reason: str


Reading = Fact | Look | Ignored | Impossible

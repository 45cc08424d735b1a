"""Our own words for what is now a fact, whoever told us.

A fact says how something *is*, never what to add. Each may arrive many times, in any order, and once is enough.
`at` is the fact's own time, as its teller gives it. Amounts are in the smallest unit of `currency`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SessionIs:
    """A Checkout session's state. `complete` alone is not paid: `payment_status` decides.

    `amount` is what was ordered. `charged_…` are set when the buyer pays in another currency, or less by a coupon.
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
    charged_currency: str | None = None


@dataclass(frozen=True, slots=True)
class IntentIs:
    """A payment intent's state: `succeeded`, `failed` (a try was refused, another may follow), `canceled`,

    `processing` (a slow method is on its way) or `requires_capture` (reserved, not taken yet).
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


@dataclass(frozen=True, slots=True)
class RefundIs:
    """A refund's state: `pending`, `requires_action`, `succeeded`, `failed` or `canceled`."""

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
    balance_transaction: str | None = None


@dataclass(frozen=True, slots=True)
class RefundsAre:
    """All refunds of a payment, as they are now."""

    at: datetime
    order: str
    intent: str
    refunds: tuple[RefundIs, ...]


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


@dataclass(frozen=True, slots=True)
class FraudWarning:
    """The card's network thinks that a payment is fraudulent: a dispute may follow."""

    at: datetime
    warning: str
    order: str
    intent: str
    kind: str


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


@dataclass(frozen=True, slots=True)
class TimerFired:
    """Desk time has reached `due` for `subject`."""

    at: datetime
    kind: str
    subject: str


CaseFact = SessionIs | IntentIs | ChargeIs | RefundIs | RefundsAre | DisputeIs | FraudWarning | BalanceIs
Fact = CaseFact | TimerFired


# --- what a reader may say instead of a fact -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Look:
    """The envelope does not say enough: look at this object first (`kind` as Stripe names it)."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing to do, and why: an unhandled type, a foreign object, another mode."""

    reason: str


@dataclass(frozen=True, slots=True)
class Impossible:
    """Verified, but not what its kind must look like: a person has to see it."""

    reason: str


Reading = Fact | Look | Ignored | Impossible

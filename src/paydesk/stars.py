"""Paying in a platform's own money (Telegram's Stars): the same orders, terms and grants, by another rail.

An invoice names its order. Who is about to pay is answered by what the order says now; what was paid enters by the
inbox as a fact of the payment, like Stripe's; what goes back is written down first and told by the same door. The
platform has the money: our books know it in Stars.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from paydesk import audit, customers, inbox, money, outbox
from paydesk.case import Refund
from paydesk.channels.base import PaidThere, Paying, RefundedThere
from paydesk.errors import Conflict, Invalid
from paydesk.facts import IntentIs, RefundIs
from paydesk.inbox import Envelope
from paydesk.outbox import Message
from paydesk.store import Record, Store, Tx

SOURCE = "stars"
"""The source of rows that tell of payments and refunds in a platform's own money."""

PREFIX = "stars_"
"""How the ids of such payments begin; Stripe's begin with `pi_`."""

SHOP_PREFIX = "premium_"
"""How the ids of payments begin that were made in a platform's own shop: see `premium`."""

ANSWER = "answer_paying"
GIVE_BACK = "give_back"
TEMPLATES = (ANSWER, GIVE_BACK)
INVOICE = "stars"
"""The kind of answer in a conversation that is an invoice in a platform's own money."""

LINE = ":pay"
"""What is done about payments in a channel's own money leaves in a line of its own, that of the channel with this behind
its name: a payer waits ten seconds at most, whatever else is to be told there, and no message holds up a refund."""

OPEN = """
SELECT o.status, o.stars, o.session_status FROM orders o JOIN identity i ON i.customer_id = o.customer_id
WHERE o.id = $1 AND i.channel = $2 AND i.external_id = $3 AND o.channel = $2 AND o.external_id = $3
"""
"""An invoice was shown to one person, and is passed on easily: only they pay it."""


async def refusal(store: Store, paying: Paying) -> str | None:
    """Return which text says why somebody cannot pay now, `None` when they can."""
    row = await store.fetchrow(OPEN, paying.payload, paying.who.channel, paying.who.external_id)
    if row is None or row["stars"] is None or paying.currency.lower() != money.STARS:
        return "stars_unknown"
    if row["session_status"] == "complete" or row["status"] not in ("open", "expired", "canceled"):
        return "stars_paid_already"
    return None if row["stars"] == paying.amount and row["status"] != "canceled" else "stars_unknown"


def answer(paying: Paying, error: str | None, key: str) -> Message:
    """Return the instruction that lets a payment happen, or not."""
    params = {"answers": dict(paying.answers), "error": error}
    return Message(f"{ANSWER}:{key}", None, paying.who.channel + LINE, paying.who.external_id, ANSWER, params)


def channel_of(line: str) -> str:
    """Return the channel whose line for payments this is.

    >>> channel_of("telegram:pay")
    'telegram'
    """
    return line.removesuffix(LINE)


# --- what was paid and went back: by the one door --------------------------------------------------------------------


def paid(told: PaidThere, at: datetime, *, livemode: bool) -> Envelope:
    """Return the envelope that tells of a payment, once per charge."""
    body = {
        "kind": "paid", "order": told.payload, "charge": told.charge, "amount": told.amount, "at": at.isoformat(),
        "currency": told.currency.lower(), "channel": told.who.channel, "external_id": told.who.external_id,
    }  # fmt: skip
    return _envelope(body, f"paid:{told.charge}", livemode=livemode)


def gave_back(params: dict[str, Any], status: str, reason: str | None, at: datetime) -> Envelope:
    """Return the envelope that tells what became of a refund."""
    body = {**params, "kind": "refund", "status": status, "failure_reason": reason, "at": at.isoformat()}
    return _envelope(body, f"{params['refund']}:{status}", livemode=params["livemode"])


FAILED = "SELECT count(*) FROM refund WHERE payment_id = $1 AND status = 'failed'"


async def gone_back(store: Store, told: RefundedThere, at: datetime, *, livemode: bool) -> Envelope:
    """Return the envelope that tells of a refund which the platform reports, whoever asked for it.

    A payment goes back once, so it has the name that a refund of ours has or would have: what we have asked for ourselves
    is known already, and is told no second time.
    """
    payment = PREFIX + told.charge
    params = {
        "refund": f"re_{payment}_{await store.fetchval(FAILED, payment)}", "charge": told.charge, "order": told.payload,
        "payment": payment, "amount": told.amount, "made_at": at.isoformat(), "livemode": livemode,
    }  # fmt: skip
    return gave_back(params, "succeeded", None, at)


def _envelope(body: dict[str, Any], id_: str, *, livemode: bool) -> Envelope:
    return Envelope(SOURCE, id_, f"stars.{body['kind']}", inbox.lane_of(body["order"]), orjson.dumps(body), livemode)


def read(body: bytes) -> IntentIs | RefundIs:
    """Return the fact in a row."""
    told = orjson.loads(body)
    at, intent = datetime.fromisoformat(told["at"]), PREFIX + told["charge"]
    if told["kind"] == "paid":
        return IntentIs(at, intent, told["order"], "succeeded", None, told["amount"], told["currency"], told["charge"])
    return RefundIs(
        at, told["refund"], told["order"], intent, told["status"], told["amount"], money.STARS, told.get("reason"),
        told["failure_reason"], datetime.fromisoformat(told["made_at"]),
    )  # fmt: skip


# --- giving back -----------------------------------------------------------------------------------------------------

CHARGE = f"""
SELECT p.id, p.charge, p.amount, p.order_id, o.customer_id, o.livemode, o.channel, o.external_id, desk_now() AS now,
       (SELECT body FROM inbox WHERE source = '{SOURCE}' AND external_id = 'paid:' || p.charge) AS told,
       (SELECT count(*) FROM refund WHERE payment_id = p.id AND status = 'failed') AS failed,
       EXISTS (SELECT FROM refund WHERE payment_id = p.id AND status <> 'failed') AS gone
FROM payment p JOIN orders o ON o.id = p.order_id WHERE p.id = $1
"""

ASKED = "SELECT params FROM outbox WHERE dedup_key = $1"


def is_one(payment: str) -> bool:
    """Say whether a payment was made in a platform's own money, or in its own shop."""
    return payment.startswith((PREFIX, SHOP_PREFIX))


async def give_back(
    store: Store, payment: str, amount: int | None, reason: str | None, *, operation: str, actor: str
) -> tuple[Refund, str]:
    """Ask the platform to give a payment back, once, and return the refund with its order.

    Raises `Invalid` for a part of it (platforms give back all or nothing), `Conflict` when it has gone back already or
    is about to, by another `operation`, or where the platform's own shop took the money: only that gives it back.
    """
    if payment.startswith(SHOP_PREFIX):
        raise Conflict(
            f"{payment} was bought in the platform's own shop: Discord gives it back, and tells us", param="payment"
        )

    async def work(tx: Tx) -> tuple[Refund, str]:
        whose = await tx.fetchval(
            "SELECT customer_id FROM orders o JOIN payment p ON p.order_id = o.id WHERE p.id = $1", payment
        )
        await customers.lock_person(tx, whose)
        row = await tx.fetchrow(CHARGE, payment)
        assert row is not None  # noqa: S101 - whoever calls has just read it
        if amount is not None and amount != row["amount"]:
            raise Invalid(f"stars go back whole: leave the amount out, or say {row['amount']}", param="amount")
        id_ = f"re_{payment}_{row['failed']}"
        asked = await tx.fetchval(ASKED, f"{GIVE_BACK}:{id_}")
        if asked is not None and asked["operation"] == operation:
            return _refund(asked, "pending"), row["order_id"]
        if row["gone"] or asked is not None:
            raise Conflict(f"{payment} is given back already, or about to be", param="payment", code="already_refunded")
        params = await _ask(tx, row, id_, {"reason": reason, "operation": operation})
        await audit.note(tx, actor, "refund.create", [payment], {"amount": row["amount"], "currency": money.STARS})
        return _refund(params, "pending"), row["order_id"]

    return await store.run(work)


async def _ask(tx: Tx, row: Record, id_: str, why: dict[str, Any]) -> dict[str, Any]:
    """Write down that a payment goes back to who paid it, and tell the inbox; return what was written."""
    told = orjson.loads(row["told"]) if row["told"] is not None else row
    params = {"refund": id_, "charge": row["charge"], "order": row["order_id"], "payment": row["id"],
              "amount": row["amount"], "made_at": row["now"].isoformat(), "livemode": row["livemode"], **why}  # fmt: skip
    await inbox.put(tx, [gave_back(params, "pending", None, row["now"])])
    await outbox.put(tx, [Message(
        f"{GIVE_BACK}:{id_}", row["customer_id"], told["channel"] + LINE, told["external_id"], GIVE_BACK, params
    )])  # fmt: skip
    return params


async def has_failed(store: Store, refund: str) -> bool:
    """Say whether a refund has failed: what it took is given again, so it is never made after all."""
    return bool(await store.fetchval("SELECT true FROM refund WHERE id = $1 AND status = 'failed'", refund))


async def refund_asked_for(store: Store, id_: str) -> tuple[Refund, str] | None:
    """Return a refund that was asked for, with its order, before it is settled; `None` for one that never was."""
    asked = await store.fetchval(ASKED, f"{GIVE_BACK}:{id_}")
    return None if asked is None else (_refund(asked, "pending"), asked["order"])


def _refund(asked: dict[str, Any], status: str) -> Refund:
    return Refund(
        asked["refund"], asked["payment"], status, asked["amount"], money.STARS, asked["reason"], None,
        datetime.fromisoformat(asked["made_at"]),
    )  # fmt: skip

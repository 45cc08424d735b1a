"""Telegram's own money: Stars (`XTR`), the rail that Telegram asks for where digital goods are sold inside it.

An invoice with our order's reference as payload → the payer confirms → `Paying`, answered within ten seconds, or
Telegram drops the payment → `PaidThere`, whose `charge` is what a refund names. Facts: core.telegram.org/bots/payments-stars.
"""

from __future__ import annotations

from typing import Any

from paydesk.channels.base import AnswerPaying, GiveBack, Invoice, Receipt, Refused
from paydesk.channels.telegram_api import Bot
from paydesk.channels.telegram_texts import fit

CURRENCY = "XTR"
TITLE_MAX = 32
DESCRIPTION_MAX = 255
PAYLOAD_BYTES_MAX = 128
ERROR_MAX = 200
ANSWER_S_MAX = 9.0
"""Telegram waits ten seconds for the answer to a payer who has confirmed."""


StarAction = Invoice | AnswerPaying | GiveBack


async def carry_out(bot: Bot, action: StarAction) -> Receipt:
    """Carry out what concerns Stars, and return a receipt; raises the errors of the contract.

    An answer that comes too late raises `Refused` with `done`: Telegram has dropped the payment, nothing was paid.
    """
    if isinstance(action, Invoice):
        return await _invoice(bot, action)
    if isinstance(action, AnswerPaying):
        await bot.ask("answerPreCheckoutQuery", _answer(action), call_s_max=ANSWER_S_MAX)
        return Receipt()
    return await _give_back(bot, action)


async def _invoice(bot: Bot, action: Invoice) -> Receipt:
    if len(action.payload.encode()) > PAYLOAD_BYTES_MAX:
        raise Refused(f"a payload has at most {PAYLOAD_BYTES_MAX} bytes", tell="An order's reference is too long.")
    return shown(await bot.ask("sendInvoice", invoice(action), repeatable=False))


def shown(sent: Any) -> Receipt:
    """Return the receipt of a message that Telegram shows: what an edit needs to find it again."""
    number, chat = sent.get("message_id"), sent.get("chat") or {}
    return Receipt({"message_id": number, "chat_id": chat.get("id")})


def invoice(action: Invoice) -> dict[str, Any]:
    """Return an invoice in Stars as parameters of a call: exactly one price, no provider."""
    title = fit(action.title, TITLE_MAX)
    return {
        "chat_id": int(action.to.external_id), "title": title, "description": fit(action.description, DESCRIPTION_MAX),
        "payload": action.payload, "provider_token": "", "currency": CURRENCY,
        "prices": [{"label": title, "amount": action.amount}],
    }  # fmt: skip


def _answer(action: AnswerPaying) -> dict[str, Any]:
    query = {"pre_checkout_query_id": action.answers["pre_checkout_query_id"]}
    if action.error is None:
        return {**query, "ok": True}
    return {**query, "ok": False, "error_message": fit(action.error, ERROR_MAX)}


async def _give_back(bot: Bot, action: GiveBack) -> Receipt:
    params = {"user_id": int(action.to.external_id), "telegram_payment_charge_id": action.charge}
    try:
        await bot.ask("refundStarPayment", params)
    except Refused as refused:
        if not refused.done:  # "already refunded" is what was wanted
            raise
    return Receipt({"charge": action.charge})

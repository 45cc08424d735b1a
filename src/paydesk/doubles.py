"""Carrying out at Stripe what `rivals` has decided: a second subscription ends and is paid back, open orders are closed.

Each may be repeated: what is done already is found so.
"""

from __future__ import annotations

from typing import Any

from paydesk import checkout, customers, inbox, outbox, refunds, subscribed, subscriptions
from paydesk.errors import Conflict, NotFound, StripeRefused, StripeUnavailable
from paydesk.outbox import Message
from paydesk.saying import alert
from paydesk.store import Store
from paydesk.stripe.gateway import Gateway

OVER = ("canceled", "incomplete_expired")


async def close_order(store: Store, gateway: Gateway, _key: str, params: dict[str, Any]) -> str:
    """Cancel an open order with its session, so that nobody pays it any more; return what became of it."""
    try:
        await checkout.cancel(store, gateway, params["order"])
    except Conflict as conflict:  # somebody was quicker: what they began is judged when it is settled
        return conflict.message
    return "closed"


async def end_double(store: Store, gateway: Gateway, key: str, params: dict[str, Any]) -> str:
    """End a second subscription at once and give back in full what was paid for it; tell the buyer and the desk.

    Raises `StripeUnavailable` while a payment of it is still on its way: then repeat.
    """
    id_ = params["subscription"]
    found = await gateway.look("subscription", id_)
    if found["subscription"]["status"] not in OVER:
        try:
            await gateway.cancel_subscription(id_)
        except (NotFound, StripeRefused):  # it ended between the two calls
            found = await gateway.look("subscription", id_)
            if found["subscription"]["status"] not in OVER:
                raise
    invoices = await _invoices(store, gateway, id_, found)
    amount, currency = 0, invoices[0]["currency"] if invoices else "usd"
    # What a change to less had left over is on their balance: that was given back before.
    left = sum(int(one["total"]) for one in invoices if one["status"] == "paid")
    for invoice in invoices:
        amount += await _given_back(store, gateway, invoice, left - amount)
    await _tell(store, gateway, key, params, found["subscription"]["customer"], amount, currency)
    return f"ended, {amount} {currency} given back"


async def _invoices(store: Store, gateway: Gateway, id_: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return everything that was billed for a subscription, as Stripe has it, the newest first.

    It may have had another plan before it became a second one of this: that was paid for nothing as well.
    """
    known = (await subscribed.get(store, id_)).bill.invoices.values()
    newest = [one["id"] for one in found["invoices"]]
    older = [one.id for one in sorted(known, key=subscriptions.age, reverse=True) if one.id not in newest]
    looks = [(await gateway.look("invoice", one))["invoices"] for one in older]
    return [*found["invoices"], *(invoice for look in looks for invoice in look)]


async def _given_back(store: Store, gateway: Gateway, invoice: dict[str, Any], left: int) -> int:
    """Give back every payment of an invoice, each once, at most what is `left`; return how much that is."""
    amount = 0
    for one in invoice["payments"]["data"]:
        intent = one["payment"].get("payment_intent")
        if intent is None:
            continue
        if intent["status"] == "processing":
            raise StripeUnavailable(f"{intent['id']} is on its way: it is given back when it has arrived")
        if one["status"] != "paid":
            continue
        paid = int(one["amount_paid"])
        part = min(paid, left - amount)
        if part <= 0:
            continue
        ask = refunds.Ask(payment=intent["id"], amount=None if part == paid else part, reason="duplicate")
        try:
            await refunds.make(store, gateway, ask, operation=f"double:{intent['id']}", actor="paydesk", insist=True)
        except Conflict as conflict:
            if conflict.code != "already_refunded":
                raise
        except NotFound as unknown:
            raise StripeUnavailable(f"{intent['id']} is not known here yet") from unknown
        amount += part
    return amount


async def _tell(
    store: Store, gateway: Gateway, key: str, params: dict[str, Any], payer: str, amount: int, currency: str
) -> None:
    """Let our rows follow, and tell buyer and desk, each once."""
    shown = await subscribed.get(store, params["subscription"])
    customer = shown.own.customer
    said = {"order": params["order"], "amount": amount, "currency": currency, "name": shown.name,
            "subscription": params["subscription"], "stays": params["stays"]}  # fmt: skip
    messages = [alert(key, "subscribed_twice", customer, said, None)]
    thread = await customers.thread_of(store, customer)
    if thread is not None:
        messages.append(
            Message(f"told:{key}", customer, thread.channel, thread.address, "subscribed_twice", said,
                    thread.conversation)
        )  # fmt: skip
    look = inbox.look_again(
        "subscription", params["subscription"], inbox.lane_of(payer), key, livemode=gateway.livemode
    )
    async with store.transaction() as tx:
        await outbox.put(tx, messages)
        await inbox.put(tx, [look])

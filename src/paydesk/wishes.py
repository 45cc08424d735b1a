"""What somebody wished for in the chat about a subscription: carried out once, and told in the thread where it was asked.

The outbox holds the wish, under a key that the button makes the same however often it is pressed. What Stripe takes
over is told by the look that follows, like every change; what has to be told besides is told here: a bank's no, with
what mends it, what waits for the end of the cycle, and what cannot be.
"""

from __future__ import annotations

from typing import Any

from paydesk import changes, customers, inbox, outbox, subscribed, waiting
from paydesk.catalog import Catalog
from paydesk.changes import Wish
from paydesk.clock import iso
from paydesk.customers import Thread
from paydesk.errors import Conflict, Invalid, NotFound, PaydeskError, StripeRefused
from paydesk.outbox import Message
from paydesk.saying import alert
from paydesk.store import Store, Tx
from paydesk.stripe.gateway import Gateway
from paydesk.subscribed import Shown
from paydesk.waiting import OUTDATED

FIELDS = ("price", "quantity", "when", "was", "pause", "paid", "cancel_at_period_end")
"""What of a wish is passed on as it is."""

CONFIRMED_BY_BUYER = ("authentication_required", "subscription_payment_intent_requires_action")
"""Stripe's codes for a payment that the buyer's bank wants them to confirm."""

MENDED_BY_BUYER = ("change_declined", "change_to_confirm")
"""What is told with a way to the portal, where cards are, and a button that asks once more."""


async def carry_out(store: Store, gateway: Gateway, catalog: Catalog, key: str, params: dict[str, Any]) -> str:
    """Carry out a wish, and tell what became of it where nobody else does; return that in words.

    `params` name the subscription, what is to be another way (`end` for an end at once), the `thread` in which it was
    asked, what was `agreed` to pay for a cycle, from what it was asked (`was`), whether going on is to be `paid`, and what
    to say to ask `again`. Raises `StripeUnavailable`: then repeat.
    """
    id_ = params["subscription"]
    try:
        because = await _change(store, gateway, catalog, key, params)
    except (StripeRefused, Conflict, Invalid, NotFound) as refused:
        shown, why = await subscribed.get(store, id_), refused
        thread = await _thread(store, shown, params)
        await store.run(lambda tx: _tell_refused(tx, shown, thread, key, params, why))
        return refused.message
    shown = await subscribed.get(store, id_)
    template = await _done(store, shown, because, params)
    if template is not None:
        thread = await _thread(store, shown, params)
        facts = _facts(catalog, shown)
        await store.run(lambda tx: _tell(tx, shown, thread, f"done:{key}", template, facts))
    return "done"


async def _change(store: Store, gateway: Gateway, catalog: Catalog, key: str, params: dict[str, Any]) -> str | None:
    """Make the change; return the reason of the look that follows, `None` when nothing was asked of Stripe."""
    id_ = params["subscription"]
    if params.get("end"):
        return await changes.end(store, gateway, id_, operation=key, actor="chat")
    if params.get("agreed") is not None and catalog.price(params["price"]).amount != params["agreed"]:
        raise Conflict(f"{params['price']} has another price by now", param="price", code=OUTDATED)
    wish = changes.checked(Wish(**{name: params[name] for name in FIELDS if name in params}))
    return await changes.change(store, gateway, catalog, id_, wish, operation=key, actor="chat")


# --- what is told ----------------------------------------------------------------------------------------------------


async def _done(store: Store, shown: Shown, because: str | None, params: dict[str, Any]) -> str | None:
    """Return what to say of a wish that was carried out; `None` where the look that follows tells it in that thread."""
    if because is None:
        return "change_planned" if shown.planned is not None else "change_withdrawn"
    asked = params.get("thread")
    return "wish_done" if asked is not None and asked[:2] != await _told_in(store, shown) else None


async def _told_in(store: Store, shown: Shown) -> list[str] | None:
    """Return channel and address of the thread in which a subscription's news are told: where it was bought."""
    own = shown.own
    orders = [id_ for id_ in (own.order, *(one.order for one in shown.bill.invoices.values())) if id_ is not None]
    row = await store.fetchrow(
        "SELECT channel, external_id FROM orders WHERE id = ANY($1::text[]) AND channel IS NOT NULL "
        "AND external_id IS NOT NULL ORDER BY array_position($1::text[], id) LIMIT 1",
        orders,
    )
    if row is not None:
        return [row["channel"], row["external_id"]]
    last = await customers.thread_of(store, own.customer)
    return None if last is None else [last.channel, last.address]


async def _thread(store: Store, shown: Shown, params: dict[str, Any]) -> Thread | None:
    """Return where somebody wished for it, else where they are told things."""
    asked = params.get("thread")
    return Thread(*asked) if asked is not None else await customers.thread_of(store, shown.own.customer)


def _facts(catalog: Catalog, shown: Shown) -> dict[str, Any]:
    """Return what texts about a wish may name."""
    facts: dict[str, Any] = {"subscription": shown.own.id, "name": shown.name, "ends": iso(shown.own.period_end)}
    if shown.planned is not None:
        facts["plan"] = waiting.name_of(catalog, shown.planned)
    return facts


def _refusal(why: PaydeskError) -> str:
    """Return what to say when something cannot be: a bank's no is mended by the buyer, everything else by the shop."""
    if isinstance(why, StripeRefused) and why.code in CONFIRMED_BY_BUYER:
        return "change_to_confirm"
    if isinstance(why, StripeRefused) and (why.decline_code is not None or why.code == "no_payment_method"):
        return "change_declined"
    return "wish_outdated" if why.code == OUTDATED else "wish_refused"


async def _tell_refused(
    tx: Tx, shown: Shown, thread: Thread | None, key: str, params: dict[str, Any], why: PaydeskError
) -> None:  # fmt: skip
    """Tell that a wish cannot be carried out, the desk's people too where it is theirs to mend, and look how it really is."""
    own, template = shown.own, _refusal(why)
    facts: dict[str, Any] = {
        "subscription": own.id,
        "name": shown.name,
        "because": why.message,
        "customer": own.customer,
    }
    mended = {"manages": own.customer, "again": params.get("again")} if template in MENDED_BY_BUYER else {}
    await _tell(tx, shown, thread, f"refused:{key}", template, facts | mended)
    if template == "wish_refused":
        await outbox.put(tx, [alert(key, template, own.customer, facts, None)])
    await inbox.put(tx, [changes.look_at(own, key)])


async def _tell(tx: Tx, shown: Shown, thread: Thread | None, key: str, template: str, facts: dict[str, Any]) -> None:
    if thread is not None:
        told = Message(key, shown.own.customer, thread.channel, thread.address, template, facts, thread.conversation)
        await outbox.put(tx, [told])

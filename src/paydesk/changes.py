"""Changing a subscription at Stripe: another plan or quantity, pause and resume, an end, and taking it back.

Our rows are never written here: every change only asks to look again, under the same lane as Stripe's own events, so
that whoever changes something, and wherever, it is taken over the same way. A change is written down before it is
sent; the subscription bears its name, which tells after a crash whether it was made.

A dearer plan counts at once and is charged at once for the rest of the cycle, or not at all: a declined card leaves
everything as it was. A cheaper one counts from the next cycle: it waits, written down, until shortly before that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from functools import partial
from typing import Any

from paydesk import asking, audit, calls, customers, inbox, recurring, refusals, rivals, subscribed, waiting
from paydesk.asking import Call, Object
from paydesk.catalog import Catalog, Price
from paydesk.clock import iso
from paydesk.errors import Conflict, Invalid, NotFound, PaydeskError, StripeRefused
from paydesk.store import Store, Tx
from paydesk.stripe.gateway import Gateway
from paydesk.subscribed import PLANNED, Shown
from paydesk.subscriptions import OVERDUE, Item, Subscription, lapse, paid_until, rests

DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
MARK = "paydesk_change"
OVER = ("canceled", "incomplete_expired")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be different: one of plan (`price`, `quantity`, with `when` and `proration`), `pause`, `cancel`.

    `was` is from what another plan was asked (`asked_from`), `paid` whether an end of a pause may begin a cycle, which is
    charged; `None` leaves either open.
    """

    price: str | None = None
    quantity: int | None = None
    when: str | None = None
    proration: str | None = None
    pause: bool | None = None
    cancel_at_period_end: bool | None = None
    paid: bool | None = None
    was: Object | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A price of the catalogue and how many of it."""

    price: Price
    quantity: int


def checked(wish: Wish) -> Wish:
    """Return a wish that names one change; raises `Invalid` for none, several, or what does not go together."""
    plan = wish.price is not None or wish.quantity is not None
    if plan + (wish.pause is not None) + (wish.cancel_at_period_end is not None) != 1:
        raise Invalid("say one change: price or quantity, pause, or cancel_at_period_end", param="price")
    if not plan and (wish.when is not None or wish.proration is not None):
        raise Invalid("when and proration go with a price or quantity", param="when")
    if wish.when == "period_end" and wish.proration is not None:
        raise Invalid("nothing is prorated at the end of a period", param="proration")
    return wish


async def change(
    store: Store, gateway: Gateway, catalog: Catalog, id_: str, wish: Wish, *, operation: str, actor: str
) -> str | None:
    """Make one change, once for each `operation`; return the reason of the look that follows, if Stripe was asked.

    Raises `NotFound`, `Invalid` and `Conflict`, `StripeRefused` when the bank says no (then nothing has changed), and
    `StripeUnavailable`: then ask again under the same operation.
    """
    shown = await subscribed.get(store, id_)
    async with store.transaction() as tx:
        made = await asking.known(tx, f"change:{operation}", "change", id_)
        written = await asking.known(tx, f"planned:{operation}", PLANNED, id_)
    if written is not None or (made is not None and made.state == "done"):
        return None if made is None else made.key  # whatever others have changed since
    if not shown.own.live:
        raise Conflict(f"{id_} is over: subscribe anew", param="subscription", code="subscription_ended")
    if wish.pause and shown.own.status in OVERDUE:
        raise Conflict(f"{id_} is not paid: a pause would not undo that. Let it be paid, or end it", param="pause")
    try:
        if made is not None:
            return await _update(store, gateway, shown.own, made.params, operation, actor)
        if wish.pause is not None:
            return await (_pause if wish.pause else _resume)(store, gateway, shown.own, wish, operation, actor)
        if wish.cancel_at_period_end is not None:
            if wish.cancel_at_period_end and shown.own.status == "incomplete":
                ended = await _end_unpaid(store, gateway, shown.own, operation, actor)
                if ended is not None:
                    return ended
            await _release(store, gateway, shown.own, actor)  # Stripe takes no end beside a schedule
            params: Object = {"cancel_at_period_end": wish.cancel_at_period_end}
            if not wish.cancel_at_period_end and await _ends_on_a_day(gateway, id_):
                params = {"cancel_at": ""}
            because = await _update(store, gateway, shown.own, params, operation, actor)
            if not wish.cancel_at_period_end and shown.planned is not None:
                await waiting.wait_for(store, shown.own, shown.own.period_end - waiting.LEAD)
            return because
        return await _change_plan(store, gateway, catalog, shown, wish, operation, actor)
    except StripeRefused as refused:
        raise refusals.told(refused) from refused


async def _release(store: Store, gateway: Gateway, own: Subscription, actor: str) -> None:
    """Let go of a schedule at Stripe that changes the subscription by itself: what is wished for takes its place.

    Again, it changes nothing.
    """
    schedule = (await gateway.subscription(own.id)).get("schedule")
    if not schedule:
        return
    await store.run(lambda tx: audit.note(tx, actor, "subscription.release", [own.id], {"schedule": schedule}))
    with suppress(StripeRefused, NotFound):  # somebody was quicker; where not, what follows is refused
        await gateway.release_schedule(schedule)


async def _ends_on_a_day(gateway: Gateway, id_: str) -> bool:
    """Say whether a subscription ends by a date of its own, as the portal may set it: that is taken back by itself."""
    now = await gateway.subscription(id_)
    return bool(now.get("cancel_at")) and not now["cancel_at_period_end"]


async def end(store: Store, gateway: Gateway, id_: str, *, operation: str, actor: str) -> str:
    """End a subscription now, without giving anything back; again, it changes nothing. Returns the look's reason.

    Raises `NotFound`, and `StripeUnavailable`: then ask again.
    """
    own = (await subscribed.get(store, id_)).own
    because = f"end:{operation}"
    await store.run(lambda tx: audit.note(tx, actor, "subscription.end", [id_]))
    try:
        await gateway.cancel_subscription(id_)
    except (NotFound, StripeRefused):
        if (await gateway.subscription(id_))["status"] not in OVER:
            raise
    look = look_at(own, because)
    await store.run(lambda tx: inbox.put(tx, [look]))
    return because


async def let_go(gateway: Gateway, id_: str) -> bool:
    """End a subscription that waits for its first payment; `False` when that was made, or is on its way.

    Its bill is voided, which Stripe refuses once it is paid: so nobody ever pays for what ends here. Again, it changes
    nothing. Raises `StripeUnavailable`: then ask again.
    """
    found = await gateway.look("subscription", id_)
    if found["subscription"]["status"] == "incomplete" and not any(map(_on_its_way, found["invoices"])):
        for invoice in found["invoices"]:
            with suppress(StripeRefused):  # somebody was quicker: what they did shows below
                await gateway.void_invoice(invoice["id"])
        found = await gateway.look("subscription", id_)
        if found["subscription"]["status"] == "incomplete" and all(
            one["status"] == "void" for one in found["invoices"]
        ):
            found = {"subscription": await gateway.cancel_subscription(id_)}
    return found["subscription"]["status"] in OVER


def _on_its_way(invoice: Object) -> bool:
    intents = (one["payment"].get("payment_intent") for one in invoice["payments"]["data"])
    return any(intent is not None and intent["status"] == "processing" for intent in intents)


async def _end_unpaid(store: Store, gateway: Gateway, own: Subscription, operation: str, actor: str) -> str | None:
    """End at once what waits for its first payment: it has no period to end with. `None` when it was just paid."""
    because = f"end:{operation}"
    await store.run(lambda tx: audit.note(tx, actor, "subscription.end", [own.id]))
    if not await let_go(gateway, own.id):
        return None
    look = look_at(own, because)
    await store.run(lambda tx: inbox.put(tx, [look]))
    return because


def look_at(own: Subscription, because: str) -> inbox.Envelope:
    """Return the envelope that asks to look at a subscription again, in the lane of its events."""
    lane = inbox.lane_of(own.stripe_customer)
    return inbox.look_again("subscription", own.id, lane, because, livemode=own.livemode)


# --- one call to Stripe ----------------------------------------------------------------------------------------------

Send = Callable[[str, Object, str], Awaitable[Object]]
Check = Callable[[Tx], Awaitable[None]]
"""Raises what stops a change; the person is locked."""


async def _nothing(_: Tx) -> None:
    """Let every change be made."""


async def _pause(store: Store, gateway: Gateway, own: Subscription, _: Wish, operation: str, actor: str) -> str:
    """Let no money be collected until somebody goes on."""
    return await _update(store, gateway, own, {"pause_collection": {"behavior": "void"}}, operation, actor)


async def _resume(store: Store, gateway: Gateway, own: Subscription, wish: Wish, operation: str, actor: str) -> str:
    """Let money be collected again; what is not paid for any more begins again by being paid.

    Stripe itself is asked how it stands, and all who saw the same newest invoice make one call: however many go on at
    once, one cycle is paid. A bill that is on its way is that cycle's.
    """
    now, bill = await subscribed.at_stripe(store, gateway, store.clock, own.id)
    trial_over = now.own.status == "paused"
    if now.own.paused is None and not trial_over and lapse(now.bill) is None:
        return await _goes_on(store, own, operation)
    if not trial_over and (_is_coming(bill) or not has_run_out(now, store.clock.now())):
        return await _update(store, gateway, own, {"pause_collection": ""}, operation, actor)
    if wish.paid is False:
        raise Conflict("going on costs a cycle by now", param="pause", code=waiting.OUTDATED)
    params: Object = {"billing_cycle_anchor": {"type": "now"}}
    if not trial_over:
        params |= {"pause_collection": "", "proration_behavior": "none", "payment_behavior": "error_if_incomplete"}
    send = gateway.resume_subscription if trial_over else None
    return await _update(store, gateway, now.own, params, operation, actor, send, f"resume:{own.id}:{bill.get('id')}")


def _is_coming(bill: Object) -> bool:
    """Say whether a bill, as Stripe shows it, is still to be collected, so that going on is paid by it."""
    return bill.get("status") == "open" or (bill.get("status") == "draft" and bill.get("auto_advance") is not False)


async def _goes_on(store: Store, own: Subscription, operation: str) -> str:
    """Note that somebody had it go on before, and ask to look; returns the look's reason."""
    name = f"change:{operation}"

    async def keep(tx: Tx) -> None:
        await customers.lock_person(tx, own.customer)
        await calls.write(tx, name, "change", own.id, {})
        await tx.execute(
            "UPDATE stripe_call SET state = 'done', object_id = $1 WHERE subject = $1 AND kind = 'change' "
            "AND state = 'pending' AND (key = $2 OR starts_with(key, $3))", own.id, name, f"resume:{own.id}:",
        )  # fmt: skip
        await inbox.put(tx, [look_at(own, name)])

    await store.run(keep)
    return name


def has_run_out(shown: Shown, now: datetime) -> bool:
    """Say whether a pause has outlasted what was paid for: nobody collects the money of the cycle that runs.

    Going on then begins a cycle, which is paid at once: else a pause over the day of a renewal would save its price. It
    makes no difference whether the pause goes on, or was ended in Stripe, which brings no bill before the next cycle.
    """
    return (shown.own.paused is not None or lapse(shown.bill) is not None) and is_unpaid(shown, now)


def is_unpaid(shown: Shown, now: datetime) -> bool:
    """Say whether the cycle is not paid that runs: its bill was voided, or is a draft, as for an hour at every renewal."""
    paid = paid_until(shown.bill)
    return shown.own.status == "active" and paid is not None and paid <= now


async def _update(
    store: Store, gateway: Gateway, own: Subscription, params: Object, operation: str, actor: str,
    send: Send | None = None, shared: str | None = None, checks: Check = _nothing,
) -> str:  # fmt: skip
    """Send a change that is written down, and ask to look; returns the look's reason.

    All who ask for the same under a `shared` name make one call. What a bank refused one of them another may ask again.
    What `checks` raises, under the lock of whose it is, stops a change that was not written down before.
    """
    mine = f"change:{operation}"
    name = shared or mine
    if send is None:
        params = {**params, "metadata": {**params.get("metadata", {}), MARK: name}}

    async def plan(tx: Tx) -> Call:
        await customers.lock_person(tx, own.customer)
        known = await asking.known(tx, mine, "change", own.id) or await asking.known(tx, name, "change", own.id)
        if known is not None and known.name != mine and known.state == "refused":
            return await asking.again(tx, known, params, known.detail or "")
        if known is not None:
            return known
        await checks(tx)
        await audit.note(tx, actor, "subscription.change", [own.id], dict(params))
        if "items" in params:
            await waiting.withdraw(tx, own.id, besides=operation)
        return await asking.written(tx, name, "change", own.id, params)

    async def find() -> Object | None:
        now = await gateway.subscription(own.id)
        made = now["status"] != own.status if send is not None else (now["metadata"] or {}).get(MARK) == name
        return now if made else None

    call = await store.run(plan)
    if call.state == "refused":
        raise StripeRefused(call.detail or "Stripe refused this change before")
    if call.state == "pending":
        try:
            await asking.answer(store, call, partial(send or gateway.update_subscription, own.id), find)
        except StripeRefused as refused:
            await calls.write(store, mine, "change", own.id, params)
            await calls.refuse(store, mine, refused.message)
            raise

    if "items" in params:  # only now: a bank's no leaves everything as it was
        await _release(store, gateway, own, actor)

    async def keep(tx: Tx) -> None:
        await calls.write(tx, mine, "change", own.id, params)
        await calls.end(tx, mine, own.id)
        await calls.end(tx, call.key, own.id)
        await inbox.put(tx, [look_at(own, call.key)])

    await store.run(keep)
    return call.key


# --- another plan ----------------------------------------------------------------------------------------------------


async def _change_plan(
    store: Store, gateway: Gateway, catalog: Catalog, shown: Shown, wish: Wish, operation: str, actor: str
) -> str | None:
    shown = await subscribed.fresh(store, gateway, store.clock, shown.own.id)
    own, item = shown.own, _only_item(shown.own)
    if wish.was is not None and wish.was != asked_from(shown):
        raise Conflict(f"{own.id} has another plan or cycle by now", param="price", code=waiting.OUTDATED)
    if own.status == "incomplete":
        raise Conflict(f"{own.id} waits for its first payment: pay it first, or end it", param="subscription")
    if own.cancel_at is not None and own.cancel_at <= own.period_end:
        raise Conflict(f"{own.id} ends with this period: take that back first", param="subscription")
    plan = _plan(catalog, item, wish)
    if shown.newest is not None and shown.newest.currency != plan.price.currency:
        raise Invalid(
            f"{own.id} is billed in {shown.newest.currency}: it cannot change to {plan.price.key}", param="price"
        )
    await store.run(lambda tx: _refuse_double(tx, catalog, own, plan))
    stays = (plan.price.key, plan.quantity) == (item.key, item.quantity)
    if stays or (own.paused is None and (wish.when or usual_time(catalog, shown, plan)) == "period_end"):
        await _release(store, gateway, own, actor)  # for a change that counts at once only when it is made
    if (plan.price.key, plan.quantity) == (item.key, item.quantity):
        await store.run(lambda tx: waiting.withdraw_alone(tx, own))
        return None
    if rests(shown.bill):
        raise Conflict(f"{own.id} is paused, or its cycle is not paid: let it go on first", param="subscription")
    if (wish.when or usual_time(catalog, shown, plan)) == "period_end":
        await store.run(lambda tx: waiting.write_down(tx, own, plan.price, plan.quantity, operation, actor))
        return None
    if own.status in OVERDUE:
        raise Conflict(f"{own.id} is not paid: let it be paid first, or change it from the next cycle", param="when")
    how: Object = {"proration_behavior": wish.proration or "always_invoice"}
    if wish.proration is None and own.status == "active" and begins_anew(catalog, item, plan.price):
        how["billing_cycle_anchor"] = {"type": "now"}  # in every billing mode the same, as it is asked in the chat
    return await _switch(store, gateway, catalog, own, plan, operation, actor, how)


async def _switch(
    store: Store, gateway: Gateway, catalog: Catalog, own: Subscription, plan: Plan, operation: str, actor: str,
    how: Object,
) -> str:  # fmt: skip
    """Let another plan count at once, as a whole or not at all; the subscription names its price."""
    params: Object = {
        "items": [{"id": _only_item(own).id, "quantity": plan.quantity,
                   "price": await recurring.stripe_price(store, gateway, catalog, plan.price)}],
        "payment_behavior": "error_if_incomplete",
        "metadata": {"paydesk_price": plan.price.key},
        **how,
    }  # fmt: skip
    checks = partial(_refuse_double, catalog=catalog, own=own, plan=plan)  # again: of two at once, one is first
    return await _update(store, gateway, own, params, operation, actor, checks=checks)


def _only_item(own: Subscription) -> Item:
    if len(own.items) != 1:
        raise Conflict(f"{own.id} has several items: change it in Stripe or in the portal", param="subscription")
    return own.items[0]


def _plan(catalog: Catalog, item: Item, wish: Wish) -> Plan:
    """Return what is wished for; raises `Invalid` for what cannot be subscribed to."""
    name = wish.price or item.key
    if name is None:
        raise Invalid("say which price: this subscription has none of the catalogue", param="price")
    price = catalog.price(name)
    if price.interval is None:
        raise Invalid(f"{price.key} is paid once: it cannot be subscribed to", param="price")
    return Plan(price, wish.quantity or item.quantity)


async def _refuse_double(tx: Tx, catalog: Catalog, own: Subscription, plan: Plan) -> None:
    """Raise `Conflict` where the person has the product already, or is just getting it by another change."""
    product = catalog.products[plan.price.product]
    has = await rivals.live_one(tx, own.customer, product.key, besides=[own.id])
    has = has or await rivals.being_changed(tx, own, [price.key for price in product.prices])
    if has is not None:
        raise Conflict(
            f"{plan.price.product} is subscribed to already: {has}", param="price", code="already_subscribed"
        )


def usual_time(catalog: Catalog, shown: Shown, plan: Plan) -> str:
    """Return when a change counts if nobody says: what costs less counts from the next cycle, everything else now.

    Raises `Conflict` for a subscription of several items.
    """
    before, after = _cost_now(catalog, _only_item(shown.own)), _a_day(plan.price) * plan.quantity
    paid = shown.own.status != "trialing"
    return "period_end" if paid and before is not None and after < before else "now"


def begins_anew(catalog: Catalog, item: Item, price: Price) -> bool:
    """Say whether a new cycle begins with a change that counts at once: where it is of another length."""
    has = catalog.find_price(item.key or "")
    return has is None or (has.interval, has.interval_count) != (price.interval, price.interval_count)


def _cost_now(catalog: Catalog, item: Item) -> Fraction | None:
    """Return what the running plan costs a day, as Stripe has it, else as the catalogue says."""
    price = catalog.find_price(item.key) if item.key is not None else None
    if price is None or price.interval is None:
        return None
    if item.amount is None:
        return _a_day(price) * item.quantity
    return Fraction(item.amount, DAYS[price.interval] * price.interval_count)


def _a_day(price: Price) -> Fraction:
    return Fraction(price.amount, DAYS[price.interval or "month"] * price.interval_count)


# --- at the end of the cycle -----------------------------------------------------------------------------------------


async def carry_out(store: Store, gateway: Gateway, catalog: Catalog, params: dict[str, Any]) -> str:
    """Make the change of plan that waits for the end of a cycle; return in words what became of it.

    It is made as it was agreed to, from the plan and in the cycle it was asked in: else it is given up, and its buyer
    told. What ends with the cycle may still be kept: then it waits on. Raises `StripeUnavailable`: then repeat.
    """
    id_ = params["subscription"]
    planned = (await subscribed.get(store, id_)).planned
    if planned is None:
        return "nothing waits"
    shown, bill = await subscribed.at_stripe(store, gateway, store.clock, id_)
    own = shown.own
    if not own.live:
        await store.run(lambda tx: waiting.withdraw_alone(tx, own))
        return "the subscription is over"
    if own.cancel_at is not None and own.cancel_at <= max(planned.at, own.period_end):
        await waiting.wait_for(store, own, max(own.cancel_at, store.clock.now()) + waiting.LEAD)
        return "the subscription ends"
    async with store.transaction() as tx:
        begun = await asking.known(tx, f"change:{planned.key}", "change", id_)
        due = await tx.fetchval("SELECT desk_now() >= $1", planned.at - waiting.LEAD)
    if begun is None and (planned.price, planned.quantity) == (own.items[0].key, own.items[0].quantity):
        await store.run(lambda tx: waiting.withdraw_alone(tx, own))
        return "it has that plan by now"
    why: PaydeskError | None = None if begun is not None else waiting.outdated(catalog, own, planned)
    if why is None and not due:
        return "it waits on"
    if why is None:
        try:
            plan = Plan(catalog.price(planned.price), planned.quantity)
            await _switch(store, gateway, catalog, own, plan, planned.key, "timer", _late(own, bill, planned.at))
        except (StripeRefused, Conflict, Invalid, NotFound) as refused:
            why = refused
    if why is not None:
        await waiting.give_up(store, catalog, shown, planned, why)
        return why.message
    await store.run(lambda tx: calls.end(tx, planned.key, id_))
    return f"changed to {planned.price}"


def _late(own: Subscription, bill: Object, planned_at: datetime) -> Object:
    """Return how a waiting change is prorated: not at all, unless the cycle after it has begun, and is billed.

    Nothing is given back for a bill that nobody pays: `bill` is the newest, as Stripe has it.
    """
    starts = own.items[0].start
    if starts < planned_at or own.paused is not None or bill.get("status") in ("void", "uncollectible"):
        return {"proration_behavior": "none"}
    return {"proration_behavior": "always_invoice", "proration_date": int(starts.timestamp())}


def asked_from(shown: Shown) -> Object:
    """Return from what a change of plan is asked: when it is another later, so are its day and what it costs."""
    own, item = shown.own, shown.own.items[0]
    return {"price": item.key, "quantity": item.quantity, "status": own.status, "paused": own.paused,
            "ends": iso(own.period_end)}  # fmt: skip

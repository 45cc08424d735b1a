"""A change of plan that waits, written down, for the end of the cycle it was asked in.

What was agreed to is kept with it: the price, and from which plan and in which cycle it was asked. When that is another
later, it is given up, and its buyer told: nobody is charged what nobody agreed to.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from paydesk import asking, audit, calls, customers, outbox, timers
from paydesk.asking import Object
from paydesk.catalog import Catalog, Price
from paydesk.clock import iso
from paydesk.errors import Conflict, PaydeskError
from paydesk.outbox import Message
from paydesk.saying import alert
from paydesk.store import Store, Tx
from paydesk.subscribed import PLANNED, Planned, Shown
from paydesk.subscriptions import Subscription, still_from
from paydesk.timers import Timer

LEAD = timedelta(minutes=10)
"""How long before the end of a cycle a change of plan that waits for it is carried out: before it is billed."""

OUTDATED = "price_changed"
"""The code of what would cost something else than what was agreed to."""

ANOTHER = "plan_changed"
"""The code of a waiting change whose place another has taken."""


async def write_down(tx: Tx, own: Subscription, price: Price, quantity: int, operation: str, actor: str) -> None:
    """Let a change of plan wait for the end of the cycle; it takes the place of one that waits already."""
    await customers.lock_person(tx, own.customer)
    name, item = f"planned:{operation}", own.items[0]
    if await asking.known(tx, name, PLANNED, own.id) is not None:
        return
    params: Object = {"price": price.key, "quantity": quantity, "at": iso(own.period_end), "from": item.key,
                      "from_quantity": item.quantity, "agreed": _cost_of(price)}  # fmt: skip
    await withdraw(tx, own.id)
    await audit.note(tx, actor, "subscription.plan", [own.id], dict(params))
    await calls.write(tx, name, PLANNED, own.id, params)
    await timers.put(tx, [Timer("plan_change", f"{own.customer}|{own.id}", own.period_end - LEAD, own.customer)])


async def wait_for(store: Store, own: Subscription, due: datetime) -> None:
    """Let a waiting change be carried out at `due`, at once where that is over."""
    timer = Timer("plan_change", f"{own.customer}|{own.id}", max(due, store.clock.now()), own.customer)
    await store.run(lambda tx: timers.put(tx, [timer]))


async def withdraw(tx: Tx, id_: str, besides: str = "") -> None:
    """Give up the change that waits, unless it is `besides`: the one that is being carried out."""
    await tx.execute(
        "UPDATE stripe_call SET state = 'refused', detail = 'withdrawn' "
        "WHERE kind = $1 AND subject = $2 AND state = 'pending' AND key <> $3",
        PLANNED,
        id_,
        besides,
    )


async def withdraw_alone(tx: Tx, own: Subscription) -> None:
    """Give up the change that waits, under the lock of whose it is."""
    await customers.lock_person(tx, own.customer)
    await withdraw(tx, own.id)


# --- whether it is still what was agreed to --------------------------------------------------------------------------


def _cost_of(price: Price) -> Object:
    """Return what a price costs, to be compared with what it costs later."""
    return {"amount": price.amount, "currency": price.currency, "every": [price.interval_count, price.interval]}


def outdated(catalog: Catalog, own: Subscription, planned: Planned) -> Conflict | None:
    """Return why a waiting change is not what was agreed to any more; `None` where it is.

    What was written down before all this was kept is compared as far as it says.
    """
    price, noted = catalog.find_price(planned.price), planned.noted
    if price is None or noted.get("agreed", _cost_of(price)) != _cost_of(price):
        return Conflict(f"{planned.price} is not in the catalogue at the price that was agreed to", code=OUTDATED)
    if not still_from(own, noted.get("from"), noted.get("from_quantity"), planned.at):
        return Conflict("the plan was changed, or another cycle has begun, in the meantime", code=ANOTHER)
    return None


def seen(catalog: Catalog, shown: Shown) -> Shown:
    """Return a subscription as people are shown it: with the change that waits only where that will be made."""
    planned = shown.planned
    if planned is None or outdated(catalog, shown.own, planned) is None:
        return shown
    return replace(shown, planned=None)


async def give_up(store: Store, catalog: Catalog, shown: Shown, planned: Planned, why: PaydeskError) -> None:
    """Give a waiting change up, and tell its buyer; the desk's people too, unless another change took its place."""
    own, thread = shown.own, await customers.thread_of(store, shown.own.customer)
    facts = {"subscription": own.id, "name": shown.name, "plan": name_of(catalog, planned)}
    template = "planned_outdated" if why.code in (OUTDATED, ANOTHER) else "wish_refused"
    named = {"subscription": own.id, "price": planned.price, "because": why.message}

    async def keep(tx: Tx) -> None:
        await withdraw_alone(tx, own)
        if thread is not None:
            told = Message(f"given_up:{planned.key}", own.customer, thread.channel, thread.address, template, facts,
                           thread.conversation)  # fmt: skip
            await outbox.put(tx, [told])
        if why.code != ANOTHER:
            key = f"plan_change:{own.id}:{planned.price}:{iso(planned.at)}"
            await outbox.put(tx, [alert(key, "plan_change_failed", own.customer, named, None)])

    await store.run(keep)


def name_of(catalog: Catalog, planned: Planned) -> str:
    """Return what the plan of a waiting change is called, with how many of it."""
    price = catalog.find_price(planned.price)
    plan = catalog.products[price.product].name if price is not None else planned.price
    return f"{plan} × {planned.quantity}" if planned.quantity > 1 else plan

"""Automatic top-up: when a balance falls below a mark, the same is bought again with a saved card. Off by default.

Set up per person and unit, with a limit of money a month. The buyer is not there, so a bank that wants them says no:
then it stops by itself, and the buyer is told with a button to buy. The order and its payment are ordinary ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from paydesk import books, checkout, customers, deeds, ids, low, outbox, payers, payments, timers
from paydesk.case import TOPUP
from paydesk.catalog import Catalog
from paydesk.errors import Conflict, Invalid, NotFound, PaymentRefused, StripeRefused
from paydesk.outbox import Message
from paydesk.store import Store, Tx
from paydesk.stripe.gateway import Gateway
from paydesk.timers import Timer

MARK = TOPUP


@dataclass(frozen=True, slots=True)
class TopUp:
    """Buy `price` with `payment_method` when less than `below` is left, for at most `month_limit` a calendar month.

    `month_limit` is in the smallest unit of the price's currency. `stopped_because` says why it is off, if it stopped.
    """

    customer: str
    unit: str
    price: str
    below: int
    month_limit: int
    payment_method: str | None
    enabled: bool
    stopped_because: str | None = None


class SetUpAnew(Exception):
    """What is to be bought was changed, turned off or merged while we were about to buy: look again."""


class Needless(Exception):
    """Nothing need be bought; says why."""


class OverLimit(Exception):
    """One more would pass the limit of the month."""


LOAD = """
SELECT customer_id, unit, price_key, below, month_limit, payment_method, enabled, stopped_because FROM topup
WHERE customer_id = $1 AND unit = $2
"""

SAVE = """
INSERT INTO topup (customer_id, unit, price_key, below, month_limit, payment_method, enabled)
VALUES ($1, $2, $3, $4, $5, $6, true)
ON CONFLICT (customer_id, unit) DO UPDATE SET price_key = excluded.price_key, below = excluded.below,
    month_limit = excluded.month_limit, payment_method = excluded.payment_method, enabled = true, stopped_because = NULL
"""

WALLET = "INSERT INTO account (owner, unit, kind, balance) VALUES ($1, $2, 'wallet', 0) ON CONFLICT DO NOTHING"

MARK_WALLET = """
UPDATE account SET low_mark = $3, told_low = false WHERE owner = $1 AND unit = $2 AND kind = 'wallet'
"""

BUYING = """
SELECT told_low AND low_mark IS NOT NULL FROM account WHERE owner = $1 AND unit = $2 AND kind = 'wallet'
"""
"""Whether a top-up that was set up before has begun to buy: another set-up does not buy the same once more."""

TELL_WALLET = "UPDATE account SET told_low = true WHERE owner = $1 AND unit = $2 AND kind = 'wallet'"

SPENT = """
SELECT coalesce(sum(amount), 0)::bigint FROM orders
WHERE customer_id = $1 AND metadata->>$2 = $3 AND canceled_at IS NULL AND id <> $4 AND currency = $5
  AND coalesce(paid_at, desk_now()) >= date_trunc('month', desk_now(), 'UTC')
"""

BEGUN = "SELECT EXISTS (SELECT FROM orders WHERE id = $1)"

UNDER_WAY = """
SELECT EXISTS (SELECT FROM orders WHERE customer_id = $1 AND metadata->>$2 = $3
               AND status IN ('open', 'pending') AND created_at > now() - interval '1 day')
"""
"""Whether another top-up is bought just now: two reasons to buy that come at once buy once."""


# --- settings --------------------------------------------------------------------------------------------------------


async def set_up(
    store: Store,
    gateway: Gateway,
    catalog: Catalog,
    customer: str,
    *,
    price: str,
    below: int,
    month_limit: int,
    payment_method: str | None = None,
    operation: str | None = None,
) -> TopUp:
    """Let a person's credits be bought again by themselves; the newest saved card pays when none is named.

    The same `operation` sets it up once, whatever others have set up meanwhile.

    Who has less than `below` already buys at once. Raises `Invalid` for a price that gives no credits or is above the
    limit, `Conflict` when no card is saved.
    """
    chosen = catalog.price(price)
    units = [grant.unit for grant in catalog.products[chosen.product].grants if grant.kind == "credits"]
    if not units:
        raise Invalid(f"{price} gives no credits", param="price")
    if below < 1:
        raise Invalid("below must be a whole number of at least 1", param="below")
    if month_limit < chosen.amount:
        raise Invalid(f"month_limit is less than one {chosen.key} costs: {chosen.amount}", param="month_limit")
    card = payment_method or await _saved_card(store, gateway, customer)
    wanted = TopUp(customer, units[0], chosen.key, below, month_limit, card, enabled=True)
    await store.run(lambda tx: _save(tx, wanted, operation))
    return wanted


async def _saved_card(store: Store, gateway: Gateway, customer: str) -> str:
    """Return the newest card that the person has let us keep."""
    known: str | None = await store.fetchval("SELECT stripe_customer FROM customer WHERE id = $1", customer)
    cards = await gateway.cards(known) if known is not None else []
    if not cards:
        raise Conflict("this person has no saved card: let one be kept with save_card", param="payment_method")
    return cards[0]


async def _save(tx: Tx, wanted: TopUp, operation: str | None) -> None:
    person = await customers.lock_person(tx, wanted.customer)
    if not await deeds.first(tx, operation):
        return
    await tx.execute(SAVE, person, wanted.unit, wanted.price, wanted.below, wanted.month_limit, wanted.payment_method)
    await tx.execute(WALLET, person, wanted.unit)
    buying = await tx.fetchval(BUYING, person, wanted.unit)
    await tx.execute(MARK_WALLET, person, wanted.unit, wanted.below)
    book = await books.open_book(tx, await tx.fetchval("SELECT desk_now()"), (), [(person, wanted.unit)])
    if not buying and book.balance(person, wanted.unit) < wanted.below:  # the next fall may be long in coming
        await tx.execute(TELL_WALLET, person, wanted.unit)
        await timers.put(tx, [Timer(low.KIND, f"{person}|{wanted.unit}", book.now, person)])


async def get(store: Store | Tx, customer: str, unit: str) -> TopUp | None:
    """Return a person's top-up of a unit, if it was ever set up."""
    row = await store.fetchrow(LOAD, customer, unit)
    return None if row is None else TopUp(*row)


async def stop(store: Store, customer: str, unit: str, because: str) -> None:
    """Turn a top-up off, and remember why."""

    async def work(tx: Tx) -> None:
        await _stop(tx, await customers.lock_person(tx, customer), unit, because)

    await store.run(work)


async def _stop(tx: Tx, customer: str, unit: str, because: str) -> None:
    await tx.execute(
        "UPDATE topup SET enabled = false, stopped_because = $3 WHERE customer_id = $1 AND unit = $2",
        customer,
        unit,
        because,
    )
    await tx.execute(MARK_WALLET, customer, unit, None)


# --- buying ----------------------------------------------------------------------------------------------------------


async def carry_out(store: Store, gateway: Gateway, catalog: Catalog, key: str, params: dict[str, Any]) -> str:
    """Buy again, once per `key`; return in a few words what became of it.

    Safe to repeat: the order and its payment are those of the first time. Raises `StripeUnavailable`: then repeat.
    """
    customer = await customers.resolve(store, params["customer"])
    wanted = await get(store, customer, params["unit"])
    order = ids.derived("ord", key)
    if wanted is None or not wanted.enabled:
        return await _call_off(store, gateway, order)
    needless = await store.run(lambda tx: _needless(tx, wanted, order))
    if needless is not None:
        return needless
    price = catalog.find_price(wanted.price)
    if price is None:
        return await _give_up(store, wanted, key, "topup_failed", f"{wanted.price} is not sold any more")
    try:
        await _buy(store, gateway, catalog, wanted, order)
    except SetUpAnew:
        return await carry_out(store, gateway, catalog, key, params)
    except Needless as reason:
        return str(reason)
    except OverLimit:
        await store.run(lambda tx: _again_next_month(tx, wanted))
        return await _say(store, wanted, f"{key}:limit", "topup_limit", "the limit of this month is reached")
    except (PaymentRefused, StripeRefused, Invalid, NotFound) as refused:
        await payments.cancel_of_order(store, gateway, order)
        return await _give_up(store, wanted, key, "topup_failed", refused.message)
    return f"bought {price.key}"


async def _call_off(store: Store, gateway: Gateway, order: str) -> str:
    """End an order that was begun before its top-up was turned off, with the payment that was asked for it.

    What Stripe has taken already is bought: its event tells so.
    """
    if not await store.fetchval(BEGUN, order):
        return "it is turned off"
    try:
        if await checkout.has_payment(store, order):
            await payments.cancel_of_order(store, gateway, order)
        else:
            await checkout.cancel(store, gateway, order)
    except Conflict:
        return "it was bought before it was turned off"
    except (PaymentRefused, StripeRefused, Invalid):
        return "it is turned off, and its payment was refused"
    return "it is turned off"


async def _needless(tx: Tx, wanted: TopUp, order: str) -> str | None:
    """Return why nothing need be bought any more, if so: it is bought already, or some came in meanwhile.

    An order that was begun is gone on with, whatever there is by now.
    """
    if await tx.fetchval(BEGUN, order):
        return None
    if await tx.fetchval(UNDER_WAY, wanted.customer, MARK, wanted.unit):
        return "it is being bought already"
    wallet = (await books.wallets(tx, wanted.customer, await tx.fetchval("SELECT desk_now()"))).get(wanted.unit)
    return "there is enough again" if wallet is not None and wallet.balance >= wanted.below else None


async def _buy(store: Store, gateway: Gateway, catalog: Catalog, wanted: TopUp, order: str) -> None:
    """Make the order and its payment. Raises `SetUpAnew`, `Needless` or `OverLimit` before there is any order."""
    line = checkout.line_of(catalog, wanted.price, 1)
    thread = await customers.thread_of(store, wanted.customer)
    new = checkout.NewOrder(wanted.customer, (line,), thread, metadata={MARK: wanted.unit})

    async def check(tx: Tx, person: str) -> None:
        mine = replace(wanted, customer=person)
        if await get(tx, person, wanted.unit) != mine:
            raise SetUpAnew
        needless = await _needless(tx, mine, order)
        if needless is not None:
            raise Needless(needless)
        spent: int = await tx.fetchval(SPENT, person, MARK, wanted.unit, order, line.currency)
        if spent + line.unit_amount > wanted.month_limit:
            raise OverLimit

    await checkout.create_order(store, new, livemode=gateway.livemode, id_=order, check=check)
    await payers.stripe_customer(store, gateway, wanted.customer)
    ask = payments.Ask(wanted.payment_method, confirm=True, off_session=True, description=line.name)
    await payments.make(store, gateway, order, ask)


async def _again_next_month(tx: Tx, wanted: TopUp) -> None:
    """Look again when the month is over: the balance is then still low, or it is not."""
    start = await tx.fetchval("SELECT date_trunc('month', desk_now(), 'UTC') + interval '1 month'")
    await timers.put(tx, [Timer(low.KIND, f"{wanted.customer}|{wanted.unit}", start, wanted.customer)])


async def _give_up(store: Store, wanted: TopUp, key: str, template: str, because: str) -> str:
    await stop(store, wanted.customer, wanted.unit, because)
    return await _say(store, wanted, f"{key}:failed", template, because)


async def _say(store: Store, wanted: TopUp, key: str, template: str, because: str) -> str:
    """Tell the buyer where they were met last, and the people of the desk."""
    thread = await customers.thread_of(store, wanted.customer)
    params = {"unit": wanted.unit, "price": wanted.price, "because": because}
    alert = Message(
        f"alert:{key}",
        wanted.customer,
        customers.ADMIN,
        "desk",
        f"alert_{template}",
        {**params, "customer": wanted.customer},
    )
    told = [alert]
    if thread is not None:
        told.append(
            Message(key, wanted.customer, thread.channel, thread.address, template, params, thread.conversation)
        )
    await store.run(lambda tx: outbox.put(tx, told))
    return because

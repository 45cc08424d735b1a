"""Who a person is at Stripe: their default Stripe customer, made once, and made afresh when it was deleted there."""

from __future__ import annotations

import logging

from paydesk import calls, customers
from paydesk.errors import NotFound
from paydesk.store import Store, Tx
from paydesk.stripe.gateway import Gateway

log = logging.getLogger("paydesk")


async def stripe_customer(store: Store, gateway: Gateway, customer: str) -> str:
    """Return the person's default Stripe customer, made once."""
    known: str | None = await store.fetchval("SELECT stripe_customer FROM customer WHERE id = $1", customer)
    return known if known is not None else await _make(store, gateway, customer, instead_of=None)


async def person_of(store: Store, id_: str) -> str:
    """Return who pays as this Stripe customer; raises `NotFound`."""
    found: str | None = await store.fetchval("SELECT customer_id FROM stripe_customer WHERE id = $1", id_)
    if found is None:
        raise NotFound(f"no customer {id_}", param="customer")
    return found


async def replace(store: Store, gateway: Gateway, customer: str, gone: str) -> str:
    """Return the person's default Stripe customer after `gone` was found deleted: another one, made once.

    What was paid as `gone` stays theirs: the row that says so is kept.
    """
    known: str | None = await store.fetchval("SELECT stripe_customer FROM customer WHERE id = $1", customer)
    if known != gone:
        return await stripe_customer(store, gateway, customer)
    log.warning("Stripe customer %s of %s was deleted in Stripe: a fresh one is made", gone, customer)
    return await _make(store, gateway, customer, instead_of=gone)


async def _make(store: Store, gateway: Gateway, customer: str, *, instead_of: str | None) -> str:
    key = f"customer:{customer}" if instead_of is None else f"customer:{customer}:{instead_of}"
    params = {"metadata": {"paydesk_customer": customer}}
    await calls.write(store, key, "customer", customer, params)
    made = await gateway.create_customer(params, key)

    async def work(tx: Tx) -> str:
        person = await customers.lock_person(tx, customer)
        await tx.execute(
            "INSERT INTO stripe_customer (id, customer_id) VALUES ($1, $2) ON CONFLICT DO NOTHING", made, person
        )
        await tx.execute(
            "UPDATE customer SET stripe_customer = $2 WHERE id = $1 AND stripe_customer IS NOT DISTINCT FROM $3",
            person,
            made,
            instead_of,
        )
        await calls.end(tx, key, made)
        return str(await tx.fetchval("SELECT stripe_customer FROM customer WHERE id = $1", person))

    return await store.run(work)

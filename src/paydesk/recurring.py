"""The Stripe price of what repeats: the one that was pushed, else one that is made here once and kept.

A subscription takes a price only by its id, so what was never pushed needs one of its own before it is begun.
"""

from __future__ import annotations

from typing import Any

from paydesk import asking, bills
from paydesk.asking import Call
from paydesk.catalog import Catalog, Price
from paydesk.errors import Invalid
from paydesk.store import Store, Tx
from paydesk.stripe.gateway import Gateway

PUSHED = "SELECT stripe_price FROM price WHERE key = $1 AND amount = $2 AND currency = $3"


async def stripe_price(store: Store, gateway: Gateway, catalog: Catalog, price: Price) -> str:
    """Return the Stripe price that stands for a price of the catalogue as it is today, made when there is none.

    Raises `Invalid` for a price that is paid once.
    """
    if price.interval is None:
        raise Invalid(f"{price.key} is paid once: it cannot be subscribed to", param="price")
    if price.stripe_price is not None:
        return price.stripe_price
    pushed: str | None = await store.fetchval(PUSHED, price.key, price.amount, price.currency)
    if pushed is not None:
        return pushed
    name = f"price:{price.key}:{price.amount}{price.currency}:{price.interval_count}{price.interval}"
    params: dict[str, Any] = {
        "currency": price.currency,
        "unit_amount": price.amount,
        "recurring": {"interval": price.interval, "interval_count": price.interval_count},
        "product_data": {"name": catalog.products[price.product].name},
        "metadata": {"paydesk_price": price.key},
    }

    async def plan(tx: Tx) -> Call:
        return await asking.known(tx, name, "price", price.key) or await asking.written(
            tx, name, "price", price.key, params
        )

    call = await store.run(plan)
    if call.state == "done" and call.object_id is not None:
        return call.object_id
    return await _made(store, gateway, call, price.key)


async def _made(store: Store, gateway: Gateway, call: Call, key: str) -> str:
    """Make the price. One that was made and never noted does no harm: it has the same amount and name."""

    async def find() -> None:
        return None

    made = await asking.answer(store, call, gateway.create_price, find)

    async def keep(tx: Tx) -> None:
        await tx.execute(
            "UPDATE stripe_call SET state = 'done', object_id = $2 WHERE key = $1 AND state <> 'done'",
            call.key,
            made["id"],
        )
        await bills.note_prices(tx, {made["id"]: key})

    await store.run(keep)
    return str(made["id"])

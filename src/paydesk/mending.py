"""What a sale needs and somebody has deleted or archived in Stripe: made afresh, replaced, or named."""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import Any

from paydesk import payers
from paydesk.errors import StripeRefused
from paydesk.store import Record, Store
from paydesk.stripe.gateway import Gateway

log = logging.getLogger("paydesk")

_PRICE = re.compile(r"line_items\[(\d+)\]\[price\]", re.ASCII)


async def mend(store: Store, gateway: Gateway, row: Record, params: dict[str, Any], refused: StripeRefused) -> None:
    """Replace what was refused because it was deleted or archived in Stripe; raises when that is not possible."""
    if refused.about == "customer" and refused.reason == "resource_missing":
        await payers.replace(store, gateway, row["customer_id"], params["customer"])
        return
    item = _PRICE.fullmatch(refused.about or "")
    if item is None:
        raise refused
    await _mend_price(store, row, params["line_items"][int(item[1])]["price"], refused)


async def _mend_price(store: Store, row: Record, gone: str, refused: StripeRefused) -> None:
    """Let the order's lines be sold by the price that was pushed meanwhile; what the order costs never changes."""
    mended = await store.execute(
        "UPDATE order_line l SET stripe_price = p.stripe_price FROM price p WHERE l.order_id = $1 "
        "AND l.stripe_price = $2 AND p.stripe_price <> $2 AND p.key = l.price_key AND p.amount = l.unit_amount "
        "AND p.currency = $3",
        row["id"],
        gone,
        row["currency"],
    )
    if not mended:
        log.error("Stripe does not sell %s: %s What mends it: paydesk catalog plan", gone, refused.message)
        raise StripeRefused(
            f"this is not for sale just now: Stripe does not take its price {gone} ({refused.message}); "
            "`paydesk catalog plan` tells the shop what mends it",
            code="price_unavailable",
        ) from refused


@lru_cache(maxsize=1000)
def tell_unpushed(price_key: str, price: str) -> None:
    """Tell once for each price that it is sold without being in Stripe, where its sales then stand under no product."""
    log.warning(
        "price %s (%s) is not in Stripe: its amount is written into each checkout instead; what mends it: paydesk catalog push",
        price_key,
        price,
    )

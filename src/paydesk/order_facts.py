"""What of an order is shown beside a conversation, by channels that show more than words."""

from __future__ import annotations

from typing import Any

from paydesk.catalog import Catalog
from paydesk.clock import iso
from paydesk.store import Store

SHOWN = """
SELECT o.link_token, o.paid_at, l.price_key,
    (SELECT min(p.paid_at) FROM orders p WHERE p.customer_id = o.customer_id AND p.amount > 0) AS customer_since
FROM orders o LEFT JOIN order_line l ON l.order_id = o.id AND l.position = 0
WHERE o.id = $1
"""
"""Whoever had something for nothing is no customer yet."""


async def facts_of(store: Store, catalog: Catalog, public_url: str, order: str) -> dict[str, Any]:
    """Return what is known of an order: `link`, `paid_at`, `customer_since` (ISO 8601 in UTC), `segment`, `minutes`.

    The last two are those of its first line's price, as it stands in the catalogue now. What is not known is left out.
    """
    row = await store.fetchrow(SHOWN, order)
    if row is None:
        return {}
    price = catalog.prices.get(row["price_key"] or "")
    found = {
        "link": f"{public_url}/r/{row['link_token']}",
        "paid_at": iso(row["paid_at"]),
        "customer_since": iso(row["customer_since"]),
        "segment": price.segment if price is not None else None,
        "minutes": price.minutes if price is not None else None,
    }
    return {name: value for name, value in found.items() if value is not None}

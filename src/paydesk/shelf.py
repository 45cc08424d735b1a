"""What is sold now: the catalogue in use, which follows its file while we run.

An edit is taken whole or not at all: a file that is refused leaves everything as it was, with one line in the log.
What was sold already keeps the terms that its order froze.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from paydesk import catalog_file, low
from paydesk.catalog import Catalog
from paydesk.errors import CatalogError, StoreUnavailable
from paydesk.store import Store

log = logging.getLogger("paydesk")

LOOK_S = 1.0
Stamp = tuple[int, int, int] | None


class Shelf:
    """Holds the catalogue in use. `look` takes a changed file over once it has rested for one look."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        """Read the catalogue; raises `CatalogError`."""
        self._path = path
        self._environ = environ
        self._read = self._seen = _stamp(path)
        self.catalog: Catalog = catalog_file.load(path, environ)

    def look(self) -> bool:
        """Take a changed file over, or refuse it; return whether another catalogue is in use now.

        A file that somebody is just writing may be a good one that lacks its end: so it is read only when it looks
        the same twice.
        """
        before, self._seen = self._seen, _stamp(self._path)
        if self._seen == self._read or self._seen != before:
            return False
        self._read = self._seen
        try:
            self.catalog = catalog_file.load(self._path, self._environ)
        except CatalogError as error:
            log.error("the catalogue was changed and is refused, the one before stays in use: %s", error.message)
            return False
        return True

    async def follow(self, store: Store) -> None:
        """Look again and again until cancelled; tell what a new catalogue still needs, and who is below a new mark."""
        swept: Catalog | None = None
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                if self.look():
                    await note_plans(store, self.catalog)
                    await self._tell(store)
                if swept is not self.catalog:
                    catalog = self.catalog
                    await low.sweep(store, catalog.low_marks)
                    swept = catalog
            except StoreUnavailable:
                continue
            except Exception:  # whatever it was, the catalogue in use stays good and the next edit is looked at
                log.exception("the catalogue could not be followed")

    async def _tell(self, store: Store) -> None:
        log.info("the catalogue was changed: %d products are sold from now", len(self.catalog.products))
        missing = await unpushed(store, self.catalog)
        if missing:
            log.warning(
                "not in Stripe as the catalogue says: %s; what mends it: paydesk catalog push", ", ".join(missing)
            )


async def note_plans(store: Store, catalog: Catalog) -> None:
    """Write down what each price gives from now on: cycles of subscriptions are billed while nobody reads the file."""
    terms = {key: catalog.products[price.product].terms() for key, price in catalog.prices.items()}
    keys = sorted(terms)
    named = {price.stripe_price: key for key, price in catalog.prices.items() if price.stripe_price is not None}
    await store.execute(
        "INSERT INTO plan (key, terms) SELECT * FROM unnest($1::text[], $2::jsonb[]) "
        "ON CONFLICT (key) DO UPDATE SET terms = excluded.terms, noted_at = now() WHERE plan.terms <> excluded.terms",
        keys,
        [terms[key] for key in keys],
    )
    await store.execute(
        "INSERT INTO stripe_price (id, key) SELECT * FROM unnest($1::text[], $2::text[]) "
        "ON CONFLICT (id) DO UPDATE SET key = excluded.key",
        sorted(named),
        [named[one] for one in sorted(named)],
    )


async def unpushed(store: Store, catalog: Catalog) -> list[str]:
    """Return the keys of prices that were never pushed to Stripe as they are now, in the catalogue's order."""
    rows = await store.fetch("SELECT key, amount, currency FROM price")
    pushed = {(row["key"], row["amount"], row["currency"]) for row in rows}
    return [
        key
        for key, price in catalog.prices.items()
        if price.stripe_price is None and (key, price.amount, price.currency) not in pushed
    ]


def _stamp(path: Path) -> Stamp:
    """Return what changes when a file does: its identity, size and time; `None` when it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns

"""The store: PostgreSQL, embedded or given, one pool, one `transaction()`; the only code that commits."""

from paydesk.store.pool import Record, Store, Tx

__all__ = ["Record", "Store", "Tx"]

"""What only one process at a time may do: whoever holds the lease does it, and another takes over when it dies.

Judged by the database's real time. A holder that was paused may act a little too long: whatever is done under a lease
has to be harmless when two do it.
"""

from __future__ import annotations

from time import monotonic
from uuid import uuid4

from paydesk.store import Store

LEASE_S = 30.0
RENEW_S = 10.0

HOLD = f"""
INSERT INTO lease (name, holder, until) VALUES ($1, $2, now() + make_interval(secs => {LEASE_S}))
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE lease.holder = excluded.holder OR lease.until <= now()
RETURNING true
"""


class Lease:
    """One lease, wanted by this process under `name`."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._holder = uuid4()
        self._renewed: float | None = None

    async def hold(self) -> bool:
        """Take the lease or keep it; return whether it is ours for the next twenty seconds."""
        if self._renewed is not None and monotonic() - self._renewed < RENEW_S:
            return True
        asked = monotonic()
        held = bool(await self._store.fetchval(HOLD, self._name, self._holder))
        self._renewed = asked if held else None
        return held

    async def release(self) -> None:
        """Give it back, so that another need not wait until it ends."""
        self._renewed = None
        await self._store.execute("DELETE FROM lease WHERE name = $1 AND holder = $2", self._name, self._holder)

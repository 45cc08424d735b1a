"""What an operation has done already: a mark in the transaction of the effect itself.

The answer to a call is kept after its effect. When a process dies in between, the same `Idempotency-Key` resumes the
operation; what it has changed may have been changed by others meanwhile, and is not to be put back over it.
"""

from __future__ import annotations

from paydesk.store import Tx

MARK = "INSERT INTO seen (source, external_id) VALUES ('operation', $1) ON CONFLICT DO NOTHING"


async def first(tx: Tx, operation: str | None) -> bool:
    """Say whether an operation does its work for the first time, and note that it has; `None` is one that nobody repeats."""
    return operation is None or bool(await tx.execute(MARK, operation))

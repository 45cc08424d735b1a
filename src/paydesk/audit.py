"""What a person or key changed by hand: who, what, on which object, when. Written in the change's own transaction."""

from __future__ import annotations

from collections.abc import Iterable

from paydesk.store import Tx


async def note(
    tx: Tx, actor: str, action: str, subjects: Iterable[str], detail: dict[str, object] | None = None
) -> None:
    """Note that `actor` did `action` on each of `subjects`."""
    await tx.execute(
        "INSERT INTO audit (actor, action, subject, detail) SELECT $1, $2, subject, $4 FROM unnest($3::text[]) subject",
        actor,
        action,
        list(subjects),
        detail or {},
    )

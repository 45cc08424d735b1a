"""What a person or key changed by hand: who, what, on which object, when. Written in the change's own transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from paydesk.store import Tx


@dataclass(frozen=True, slots=True)
class Note:
    """That `actor` did `action` on `subject`."""

    actor: str
    action: str
    subject: str
    detail: dict[str, object] = field(default_factory=dict)


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


async def note_each(tx: Tx, notes: Iterable[Note]) -> None:
    """Note many things at once."""
    rows = [(one.actor, one.action, one.subject, one.detail) for one in notes]
    if rows:
        await tx.execute(
            "INSERT INTO audit (actor, action, subject, detail) "
            "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[])",
            *(list(column) for column in zip(*rows, strict=True)),
        )

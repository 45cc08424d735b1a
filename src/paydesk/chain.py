"""Walking along the chain: every seal follows the one before, and every entry is the one that was sealed.

One pass over the entries in the order in which they were sealed, some thousands at a time, to the end of the chain and on
over those that are not sealed yet. What two seals hold between them is one range of the index, so nothing can stand
there unseen: a row that was changed, added or taken away is found where its mark should be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from paydesk.seal import BEGINNING, FOR_EVER, LINK, MARK, MARK_BYTES, STEADY, Seal, horizon, last
from paydesk.store import Record, Tx

Progress = Callable[[float], None]
"""Told how much is done, from 0 to 1."""

AT_ONCE = 20_000
PIECE_MAX = AT_ONCE + 1
"""One more than seals read together can have: a piece that is not full is the last of its range."""

FOLLOWS = "every seal follows the one before"
SEALED = "every sealed entry is as it was sealed"
FORM = "an entry moves something from one account to another"
PLACED = "every entry has a place in the chain"

SEALS = f"""
SELECT {LINK} FROM (
    SELECT *, sum(entries) OVER (ORDER BY number) AS so_far
    FROM (SELECT * FROM seal WHERE number > $1 ORDER BY number LIMIT 1000) s) s
WHERE so_far <= {AT_ONCE} OR so_far = entries ORDER BY number
"""
"""The next seals: of so many entries at once, or a single one."""

ENDS = "SELECT epoch - 1, after_entry FROM seal WHERE entries = 0 AND number > 0"
"""The id of the last entry of each epoch that has ended."""

LENGTH = """
SELECT coalesce((SELECT sum(entries) FROM seal), 0)::bigint
     + (SELECT count(*) FROM entry WHERE (transaction, id) > ($1::bigint, $2::bigint) AND id > $3::bigint)
"""

_RANGE = f"""
WHERE (transaction, id) > ($1::bigint, $2::bigint) AND (transaction, id) <= ($3::bigint, $4::bigint)
  AND id > $5::bigint AND id <= $6::bigint ORDER BY transaction, id LIMIT {PIECE_MAX}
"""

PIECE = f"""
SELECT count(*), string_agg(mark, ''), min(id) FILTER (WHERE ill)
FROM (SELECT id, {MARK} AS mark, amount <= 0 OR from_account = to_account AS ill FROM entry {_RANGE}) e
"""

PLACE = f"SELECT transaction, id FROM (SELECT transaction, id FROM entry {_RANGE}) e ORDER BY 1 DESC, 2 DESC LIMIT 1"

ROWS = f"""
SELECT id, {MARK}, reason || ' of ' || source || ', ' || amount || ' ' || unit || ' from account ' || from_account ||
       ' to ' || to_account FROM entry {_RANGE}
"""

STRAY = """
(SELECT 'entry ' || id || ': ids begin with 1' FROM entry WHERE id <= 0 ORDER BY id LIMIT 1) UNION ALL
(SELECT 'entry ' || id || ': transaction ' || transaction || ' has not begun yet; was this database restored?'
 FROM entry WHERE transaction >= $1::bigint AND id > $2::bigint ORDER BY transaction, id LIMIT 1)
"""


@dataclass(frozen=True, slots=True)
class Range:
    """The entries after one place (transaction, id) up to another, of the epoch whose ids go from … to …."""

    after: tuple[int, int]
    to: tuple[int, int]
    ids_after: int
    ids_to: int

    @property
    def arguments(self) -> tuple[int, ...]:
        """What the statements ask for."""
        return (*self.after, *self.to, self.ids_after, self.ids_to)


@dataclass(slots=True)
class Walk:
    """A walk along the chain: how many entries were met, how many of them sealed, the last seal, and what was found."""

    tx: Tx
    progress: Progress
    length: int
    ends: dict[int, int]
    entries: int = 0
    sealed: int = 0
    end: Seal = BEGINNING
    findings: dict[str, str | None] = field(default_factory=lambda: dict.fromkeys((FOLLOWS, SEALED, FORM, PLACED)))

    @classmethod
    async def along(cls, tx: Tx, progress: Progress) -> Walk:
        """Walk from the first seal to the newest entry, in a transaction whose snapshot stands still."""
        await tx.execute(f"SELECT {STEADY}")
        end = await last(tx)
        length = await tx.fetchval(LENGTH, *end.place, end.after_entry)
        walk = cls(tx, progress, length, {row[0]: row[1] for row in await tx.fetch(ENDS)})
        while links := [Seal(*row) for row in await tx.fetch(SEALS, walk.end.number)]:
            for _, run in groupby(links, key=lambda link: link.epoch):
                await walk._pass(list(run))
        await walk._rest(walk.end, None)
        _, unborn = await horizon(tx)
        walk._note(PLACED, await tx.fetchval(STRAY, unborn, walk.end.after_entry))
        return walk

    async def _pass(self, run: Sequence[Seal]) -> None:
        """Compare the entries of seals of one epoch with their marks."""
        before, end = self.end, run[-1]
        follows = self._follow(run)
        if run[0].epoch != before.epoch:
            await self._rest(before, b"")  # an epoch is closed with nothing left over
        start = before.place if run[0].epoch == before.epoch else (0, end.after_entry)
        marks = b"".join(link.marks for link in run)
        await self._look(Range(start, end.place, end.after_entry, self._end_of(end)), marks if follows else None)
        self.sealed += sum(link.entries for link in run)

    def _follow(self, run: Sequence[Seal]) -> bool:
        """Go over these seals; tell whether each follows the one before."""
        follows = True
        for link in run:
            if not link.follows(self.end):
                follows = False
                gap = link.number > self.end.number + 1
                self._note(
                    FOLLOWS, f"seal {self.end.number + 1} is missing" if gap else f"seal {link.number} was changed"
                )
            self.end = link
        return follows

    async def _rest(self, end: Seal, marks: bytes | None) -> None:
        """Look at what comes after the last seal of an epoch."""
        await self._look(Range(end.place, (FOR_EVER, FOR_EVER), end.after_entry, self._end_of(end)), marks)

    def _end_of(self, link: Seal) -> int:
        return self.ends.get(link.epoch, FOR_EVER)

    async def _look(self, where: Range, marks: bytes | None) -> None:
        """Look at the entries of a range, a piece at a time, and compare them with the marks that they should have."""
        entries = PIECE_MAX
        while entries == PIECE_MAX:
            row = await self.tx.fetchrow(PIECE, *where.arguments)
            entries, found, ill = row or (0, None, None)
            if marks is not None and not _goes_on(marks, found or b"", last=entries < PIECE_MAX):
                self._note(SEALED, _difference(await self.tx.fetch(ROWS, *where.arguments), marks, where.after[1]))
                marks = None
            if ill is not None:
                self._note(FORM, f"entry {ill}: its amount is not above zero, or its two accounts are one")
            self._went(entries)
            if entries == PIECE_MAX:
                place = await self.tx.fetchrow(PLACE, *where.arguments) or where.after
                where = replace(where, after=(place[0], place[1]))
                marks = None if marks is None else marks[entries * MARK_BYTES :]

    def _went(self, entries: int) -> None:
        self.entries += entries
        self.progress(min(1.0, self.entries / max(self.length, 1)))

    def _note(self, promise: str, finding: str | None) -> None:
        """Keep the first finding of each promise."""
        self.findings[promise] = self.findings[promise] or finding


def _goes_on(marks: bytes, found: bytes, *, last: bool) -> bool:
    """Tell whether `found` is what `marks` begin with, and the whole of them if it is the `last` piece."""
    return found == marks if last else marks.startswith(found)


def _difference(rows: Sequence[Record], marks: bytes, before: int) -> str:
    """Name the first entry that is not where its mark is. `rows`: id, mark and what it is; `before`: the id before them."""
    wanted = [marks[at : at + MARK_BYTES] for at in range(0, len(marks), MARK_BYTES)]
    found = [bytes(row[1]) for row in rows]
    same = next(
        (n for n, (a, b) in enumerate(zip(wanted, found, strict=False)) if a != b), min(len(wanted), len(found))
    )
    if same == len(found) or (same < len(wanted) and found[same] in wanted[same + 1 :]):
        previous = rows[same - 1][0] if same else before
        following = f" and before entry {rows[same][0]}" if same < len(rows) else ""
        return f"an entry is missing after entry {previous}{following}"
    entry = f"entry {rows[same][0]} ({rows[same][2]})"
    if same == len(wanted) or wanted[same] in found[same + 1 :]:
        return f"{entry} was put in later: it was never sealed"
    return f"{entry} is not what was sealed"

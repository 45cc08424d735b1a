"""Spending survives a kill at every input and output, and every answer of the database that is lost, once each.

Whoever got no answer asks again with the same key: the effect is there once, and the answer is the first one.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from faults import POINTS_MAX, Journal, in_child, kill_at, report, unasked
from paydesk import edge, ids
from paydesk.errors import StoreUnavailable
from paydesk.store import Store
from paydesk.wallet import Done, EndHold, Give, Operation, Reserve, Spend, Wallets
from race_spend import answer_of, broken, opened

UNIT = "credits"
PATIENCE_S = 20.0


def operations(who: str) -> list[Operation]:
    """What somebody does, each under a key of its own: ten credits come, nine go, one of them by a hold."""
    return [
        Give(who, UNIT, 10, "give"),
        Spend(who, UNIT, 3, "spend"),
        Spend(who, UNIT, 2, "spend by memory"),
        Reserve(who, UNIT, 4, "hold"),
        EndHold(ids.derived("hld", f"op:{who}:hold"), 1),
        Spend(who, UNIT, 3, "spend the rest but one"),
    ]


BALANCES = [10, 7, 5, 1, 4, 1]
ENTRIES = ["grant", "hold", "release", "settle", "spend", "spend", "spend"]


async def a_person(store: Store) -> str:
    id_ = ids.new("cst")
    await store.execute("INSERT INTO customer (id) VALUES ($1)", id_)
    return id_


async def wrong(store: Store, who: str) -> list[str]:
    """Return what is not true of somebody who has done all that, once."""
    rows = await store.fetch("SELECT reason FROM entry WHERE customer_id = $1 ORDER BY reason", who)
    found = [row["reason"] for row in rows]
    return [*([f"{who} has {found}"] if found != ENTRIES else []), *await broken(store)]


# --- killed at every point -------------------------------------------------------------------------------------------


@dataclass
class Life:
    """What one child does: mend what the last one left, then die at a point of its own."""

    database: str
    journal: Journal
    mend: str | None
    cut: int

    async def live(self) -> None:
        async with opened(self.database) as (store, wallets):
            if self.mend is not None:
                await self._go_through(wallets, self.mend)
                for finding in await wrong(store, self.mend):
                    self.journal.note("violation", str(self.cut - 1), finding)
            who = await a_person(store)
            self.journal.note("person", str(self.cut), who)
            passed: list[str] = []
            edge.observe(kill_at(self.cut, passed, self.journal))
            await self._go_through(wallets, who)
            edge.observe(None)

    async def _go_through(self, wallets: Wallets, who: str) -> None:
        """Do everything, from the start; what was answered before must be answered again."""
        heard = dict(self.journal.of("heard", who))
        for number, operation in enumerate(operations(who)):
            answer = answer_of(await wallets.run(operation))
            if str(number) in heard and heard[str(number)] != answer:
                self.journal.note("violation", who, f"{operation} was answered {heard[str(number)]}, then {answer}")
            self.journal.note("heard", who, [str(number), answer])


def test_a_kill_at_every_point_of_spending_loses_and_doubles_nothing(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal, mend, ended, number = Journal(tmp_path / "journal"), None, -signal.SIGKILL, 0
    while ended == -signal.SIGKILL and number < POINTS_MAX:
        number += 1
        ended = in_child(Life(database, journal, mend, number).live, journal)
        mend = (journal.of("person", str(number)) or [None])[0]
    kinds = Counter(name for _, name in journal.lines("killed"))
    report(capsys, f"{number - 1} points of spending killed: {dict(sorted(kinds.items()))}")
    assert ended == 0, unasked(journal)
    assert (journal.lines("violation"), unasked(journal)) == ([], [])
    assert kinds.total() == number - 1 >= 90
    assert kinds["commit:before"] == kinds["commit:after"] >= 3


# --- the connection is cut -------------------------------------------------------------------------------------------


@dataclass
class Line:
    """A line to the database that can be cut: at the so-many-th piece that goes one way, then for so many new calls."""

    server: str
    cut_at: int = 0
    lost: str = "answer"
    refused: int = 0
    pieces: int = 0
    open: list[asyncio.StreamWriter] = field(default_factory=list)

    def arm(self, lost: str, cut_at: int, refused: int) -> None:
        """Let the `cut_at`-th piece be lost from now on, and the next `refused` connections with it."""
        self.lost, self.cut_at, self.refused, self.pieces = lost, cut_at, refused, 0

    @property
    def cut(self) -> bool:
        """Whether the line was cut since it was armed."""
        return self.pieces >= self.cut_at

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        if self.cut and self.refused:
            self.refused -= 1
            writer.close()
            return
        there_reader, there_writer = await asyncio.open_unix_connection(self.server)
        self.open = [writer, there_writer]
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await asyncio.gather(
                self._carry(reader, there_writer, "request"), self._carry(there_reader, writer, "answer")
            )

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, what: str) -> None:
        while piece := await reader.read(65536):
            if what == self.lost:
                self.pieces += 1
                if self.pieces == self.cut_at:
                    break
            writer.write(piece)
            await writer.drain()
        for end in self.open:
            end.close()


@asynccontextmanager
async def a_line(database: str, folder: Path) -> AsyncIterator[tuple[Line, str]]:
    """A line to the database, and the address at its near end."""
    host = parse_qs(urlsplit(database).query)["host"][0]
    socket = next(Path(host).glob(".s.PGSQL.*[0-9]"))
    line = Line(str(socket))
    server = await asyncio.start_unix_server(line.serve, str(folder / socket.name))
    near = database.replace(quote(host, safe=""), quote(str(folder), safe="")).replace(host, str(folder))
    try:
        yield line, near
    finally:
        server.close()


@asynccontextmanager
async def writing_over(line_to: str, store: Store) -> AsyncIterator[Wallets]:
    """Wallets whose own connection goes over that line; everything else goes straight."""
    near = Store(line_to, store._pool, store.clock, None)
    wallets = Wallets(near)
    wallets.start()
    try:
        yield wallets
    finally:
        await wallets.stop()


async def until_answered(wallets: Wallets, operation: Operation) -> tuple[Done, int]:
    """Ask until there is an answer, always with the same key; return it and how often there was none."""
    for failures in range(5):
        try:
            return await wallets.run(operation), failures
        except StoreUnavailable:
            continue
    raise AssertionError(f"{operation} is never answered")


@pytest.mark.parametrize("lost", ["answer", "request"])
@pytest.mark.parametrize("refused", [0, 1], ids=["once", "and the next connection too"])
async def test_what_the_database_did_and_could_not_say_is_done_once(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], lost: str, refused: int
) -> None:
    cut_at, unanswered = 0, 0
    async with opened(database) as (store, _), a_line(database, tmp_path) as (line, near):
        line.cut_at = 1
        while line.cut_at > 0:
            cut_at += 1
            async with writing_over(near, store) as wallets:
                warm = await a_person(store)
                line.arm(lost, 10**6, 0)
                await wallets.run(Give(warm, UNIT, 1, "warm"))  # statements are known: what is cut is what matters
                who = await a_person(store)
                line.arm(lost, cut_at, refused)
                heard = []
                for operation in operations(who):
                    done, failures = await until_answered(wallets, operation)
                    heard.append(done.balance)
                    unanswered += failures
                assert heard == BALANCES
                assert await wrong(store, who) == []
                for operation, balance in zip(operations(who), BALANCES, strict=True):
                    again, _ = await until_answered(wallets, operation)
                    assert (again.replayed, again.balance) == (True, balance)
                if not line.cut:
                    line.cut_at = 0
    report(capsys, f"{cut_at - 1} pieces lost ({lost}, {refused} more refused): {unanswered} requests were unanswered")
    assert cut_at > 20
    assert (unanswered > 0) == bool(refused)

"""`ledger check`: a good ledger is proved, and every change behind its back is found and named."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from desk import clean_environ
from ledger_rows import SPEND, behind_its_back, found, write, written
from paydesk import proof, seal
from paydesk.chain import FOLLOWS, FORM, PLACED, SEALED
from paydesk.clock import Clock
from paydesk.proof import BALANCE, FILLED, KNOWN, TOTALS, ZERO
from paydesk.recount import ENTITLED, LIVES, PAID, WORTH
from paydesk.store import Store, embedded
from sandbox_fixtures import new_key

POSTED = "what is posted for a source is what it is worth"
SOURCE = "an entry that changes what is sold belongs to a source and its revision"
UNPAID = "a source of an unpaid order is worth nothing"
LOTS = "the balance of a wallet is what its lots hold"
HELD = "what a person has held is what their lots and open holds say"
HELD_LOT = "what a lot has held is what open holds took from it"
HOLD = "a hold is made of its parts, and ends as its entries say"
GRANTED = "every entitlement that is worth something is granted"


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    await write(database)
    opened = await Store.open(database, clock=Clock())
    yield opened
    await opened.close()


async def test_a_good_ledger_is_proved_sealed_or_not(store: Store) -> None:
    unsealed = await proof.check(store)
    assert unsealed.findings == dict.fromkeys(unsealed.findings)
    assert (unsealed.entries, unsealed.sealed, unsealed.seals, unsealed.ok) == (10, 0, 0, True)
    assert await seal.seal(store, at_once=True) == 10
    sealed = await proof.check(store)
    assert (sealed.entries, sealed.sealed, sealed.seals, sealed.ok) == (10, 10, 1, True)
    assert sealed.head != unsealed.head
    assert "10 entries prove the ledger. 10 of them are in 1 seals" in sealed.text()
    assert sealed.as_json() == {
        "ok": True, "entries": 10, "sealed": 10, "seals": 1, "head": sealed.head, "findings": {},
    }  # fmt: skip


# What somebody does to a sealed ledger of ten entries, which promise is broken, and what is said of it.
TAMPERED = {
    "an amount": (
        "UPDATE entry SET amount = 21 WHERE id = 4",
        {SEALED: "entry 4 (spend of op:cst_a:k1, 21 credits from account 7 to 2) is not what was sealed",
         BALANCE: "account 7 of cst_a (credits wallet): balance 35, entries sum to 34",
         ZERO: "credits: 1", TOTALS: "account 2 (credits spent): sealed 25, entries sum to 26"},
    ),
    "a memo": ("UPDATE entry SET memo = 'no' WHERE id = 5", {SEALED: "entry 5 (hold of op:cst_a:k2, 10 credits from account 7 to "
               "8) is not what was sealed"}),
    "a time": ("UPDATE entry SET at = at - interval '1 day' WHERE id = 1", {SEALED: "entry 1 (payment of payment:pi_1, 1000 "
               "money:usd from account 4 to 5) is not what was sealed"}),
    "an entry taken away": (
        "DELETE FROM entry WHERE id = 4",
        {SEALED: "an entry is missing after entry 3 and before entry 5",
         BALANCE: "account 7 of cst_a (credits wallet): balance 35, entries sum to 55",
         ZERO: "credits: -20", TOTALS: "account 2 (credits spent): sealed 25, entries sum to 5"},
    ),
    "the last entry taken away": (
        "DELETE FROM taken; DELETE FROM entry WHERE id = 10",
        {SEALED: "an entry is missing after entry 9", BALANCE: "account 7 of cst_a (credits wallet): balance 35, entries sum to "
         "65", ZERO: "credits: -30", TOTALS: "account 1 (credits sold): sealed -70, entries sum to -100",
         POSTED: "source ord_1:0:0: worth 70, entries post 100"},
    ),
    "an entry put between": (
        """INSERT INTO entry (source, revision, reason, unit, from_account, to_account, amount, at, transaction)
           SELECT 'op:cst_b:x', 0, 'spend', unit, from_account, to_account, 1, now(), transaction FROM entry WHERE id = 4""",
        {SEALED: "entry 11 (spend of op:cst_b:x, 1 credits from account 7 to 2) was put in later: it was never sealed",
         BALANCE: "account 7 of cst_a (credits wallet): balance 35, entries sum to 34",
         ZERO: "credits: 1", TOTALS: "account 2 (credits spent): sealed 25, entries sum to 26"},
    ),
    "an entry put at the end, for nothing": (
        """INSERT INTO entry (source, revision, reason, unit, from_account, to_account, amount, at)
           SELECT 'ord_9:0:0', 1, 'grant', unit, from_account, to_account, 500, now() FROM entry WHERE id = 2""",
        {BALANCE: "account 7 of cst_a (credits wallet): balance 35, entries sum to 535", ZERO: "credits: -500",
         SOURCE: "entry 11: source ord_9:0:0 revision 1 is not known",
         FILLED: "source ord_9:0:0: entries brought 500, its lots got 0"},
    ),
    "an entry of a transaction to come": (
        """INSERT INTO entry (source, revision, reason, unit, from_account, to_account, amount, at, transaction)
           SELECT 'op:x:y', 0, 'merge', 'credits', 9, 10, 1, now(), 1000000000000""",
        {BALANCE: "account 9 of cst_a (credits debt): balance 0, entries sum to -1",
         PLACED: "entry 11: transaction 1000000000000 has not begun yet; was this database restored?"},
    ),
    "an entry before the first": (
        """INSERT INTO entry (id, source, revision, reason, unit, from_account, to_account, amount, at) OVERRIDING SYSTEM VALUE
           SELECT 0, 'op:x:y', 0, 'merge', 'credits', 9, 10, 1, now()""",
        {BALANCE: "account 9 of cst_a (credits debt): balance 0, entries sum to -1", PLACED: "entry 0: ids begin with 1"},
    ),
    "an account that does not exist": (
        "UPDATE entry SET to_account = 77 WHERE id = 4",
        {SEALED: "entry 4 (spend of op:cst_a:k1, 20 credits from account 7 to 77) is not what was sealed",
         KNOWN: "entry 4: credits, but account 77 does not exist",
         ZERO: "credits: -20", TOTALS: "account 2 (credits spent): sealed 25, entries sum to 5"},
    ),
    "a unit": (
        "UPDATE entry SET unit = 'coins' WHERE id = 4",
        {SEALED: "entry 4 (spend of op:cst_a:k1, 20 coins from account 7 to 2) is not what was sealed",
         KNOWN: "entry 4: coins, but account 2 is of credits"},
    ),
    "no amount": (
        "ALTER TABLE entry DROP CONSTRAINT ck_entry_amount; UPDATE entry SET amount = -20 WHERE id = 4",
        {SEALED: "entry 4 (spend of op:cst_a:k1, -20 credits from account 7 to 2) is not what was sealed",
         FORM: "entry 4: its amount is not above zero, or its two accounts are one",
         BALANCE: "account 7 of cst_a (credits wallet): balance 35, entries sum to 75",
         ZERO: "credits: -40", TOTALS: "account 2 (credits spent): sealed 25, entries sum to -15"},
    ),
    "a mark": ("UPDATE seal SET marks = overlay(marks PLACING '\\x00' FROM 20)", {FOLLOWS: "seal 1 was changed"}),
    "the place of a seal": ("UPDATE seal SET last_entry = 9, last_transaction = 1", {FOLLOWS: "seal 1 was changed",
                            TOTALS: "account 1 (credits sold): sealed -140, entries sum to -70"}),
    "a sealed total": ("UPDATE seal SET totals = jsonb_set(totals, '{4}', '-1')", {TOTALS: "account 4 (money:usd sales): sealed "
                       "-1, entries sum to -700"}),
    "a balance": ("UPDATE account SET balance = 40 WHERE id = 7", {
        BALANCE: "account 7 of cst_a (credits wallet): balance 40, entries sum to 35", ZERO: "credits: 5",
        LOTS: "account 7 of cst_a (credits wallet): balance 40, lots hold 35"}),
    "a lot": ("UPDATE lot SET remaining = 36", {LOTS: "account 7 of cst_a (credits wallet): balance 35, lots hold 36"}),
    "a lot that is not in a wallet": ("UPDATE lot SET account_id = 8", {
        LOTS: "account 7 of cst_a (credits wallet): balance 35, lots hold 0",
        LIVES: "lot ord_1:0:0: in the held of cst_a in credits, but its source is of cst_a in credits"}),
    "what a lot has held": ("UPDATE lot SET held = 11", {
        HELD: "cst_a (credits held): balance 10, lots hold 11, open holds say 10",
        HELD_LOT: "lot ord_1:0:0: 11 held, open holds took 10"}),
    "a hold": ("UPDATE hold SET amount = 12 WHERE id = 'hld_1'", {
        HELD: "cst_a (credits held): balance 10, lots hold 10, open holds say 12",
        HOLD: 'hold hld_1: held, 0 used of 12, entries say 0 used of 0, its parts are {"ord_1:0:0": 10}'}),
    "a hold ended by hand": ("UPDATE hold SET state = 'released' WHERE id = 'hld_1'", {
        HELD: "cst_a (credits held): balance 10, lots hold 10, open holds say 0",
        HELD_LOT: "lot ord_1:0:0: 10 held, open holds took 0",
        HOLD: 'hold hld_1: released, 0 used of 10, entries say 0 used of 0, its parts are {"ord_1:0:0": 10}'}),
    "what a source is worth": ("UPDATE source SET worth = 80, posted = 80 WHERE id = 'ord_1:0:0'", {
        POSTED: "source ord_1:0:0: worth 80, entries post 70",
        WORTH: "source ord_1:0:0: posted 80, worth 70 by its terms and the money of its order"}),
    "what a payment brought": ("UPDATE source SET worth = 999, posted = 999 WHERE id = 'payment:pi_1'", {
        POSTED: "source payment:pi_1: worth 999, entries post 700",
        WORTH: "source payment:pi_1: posted 999, worth 700 by pi_1 and what went back of it"}),
    "a fee": ("UPDATE source SET worth = 60, posted = 60 WHERE id = 'fee:txn_1'", {
        POSTED: "source fee:txn_1: worth 60, entries post 59",
        WORTH: "source fee:txn_1: posted 60, worth 59 by balance transaction txn_1"}),
    "a revision": ("UPDATE source SET revision = 1 WHERE id = 'ord_1:0:0'", {
        SOURCE: "entry 10: source ord_1:0:0 revision 2 is not known"}),
    "a source": ("DELETE FROM source WHERE id = 'fee:txn_1'", {
        SOURCE: "entry 3: source fee:txn_1 revision 1 is not known",
        WORTH: "source fee:txn_1: not there, worth 59 by balance transaction txn_1"}),
    "who paid": ("UPDATE orders SET paid_at = NULL, status = 'open' WHERE id = 'ord_1'", {
        UNPAID: "source ord_1:0:0: worth 70 while order ord_1 is open",
        WORTH: "source ord_1:0:0: posted 70, worth 0 by its terms and the money of its order",
        PAID: "order ord_1 is not paid, and payment pi_1 has succeeded"}),
    "a grant taken away": ("DELETE FROM grant_", {GRANTED: "source ord_1:0:1: worth 604800 and not granted"}),
    "a longer pass": ("UPDATE grant_ SET seconds = 1000000", {
        ENTITLED: "grant ord_1:0:1: pass premium to cst_a for 1000000 seconds, but its source gives pass premium to cst_a "
        "for 604800 seconds"}),
    "an event": (
        "INSERT INTO inbox (source, external_id, kind, lane, body, livemode) SELECT 'stripe', 'evt_1', 'x', 1, '', false", {
        "a finished event stays known for ever": "event evt_1 is in the inbox and was never seen"}),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERED)
async def test_what_somebody_does_behind_its_back_is_named(store: Store, server: embedded.Embedded, what: str) -> None:
    await seal.seal(store, at_once=True)
    assert await found(store) == {}
    statement, findings = TAMPERED[what]
    await behind_its_back(server, store.dsn, *statement.split("; "))
    assert await found(store) == findings


async def test_a_seal_that_is_gone_is_missed(store: Store, server: embedded.Embedded) -> None:
    for number in range(1, 4):
        await store.execute(SPEND, str(number))
        await seal.seal(store, at_once=True)
    await behind_its_back(
        server, store.dsn, "UPDATE account SET balance = 32 WHERE id = 7; UPDATE lot SET remaining = 32"
    )
    assert await found(store) == {}
    await behind_its_back(server, store.dsn, "DELETE FROM seal WHERE number = 2")
    assert await found(store) == {FOLLOWS: "seal 2 is missing"}
    await behind_its_back(server, store.dsn, "DELETE FROM seal WHERE number = 1")
    assert await found(store) == {FOLLOWS: "seal 1 is missing"}


async def test_the_first_bad_row_is_found_in_the_middle_of_many_and_in_a_piece_that_is_too_full(
    store: Store, server: embedded.Embedded
) -> None:
    await store.execute(
        """INSERT INTO entry (source, revision, reason, unit, from_account, to_account, amount, at)
           SELECT 'm:' || n, 0, 'merge', 'credits', 7 + n % 2 * 3, 10 - n % 2 * 3, 1, now() FROM generate_series(1, 44000) n"""
    )
    while await seal.seal(store, at_once=True):
        pass
    seen: list[float] = []
    result = await proof.check(store, seen.append)
    assert result.ok, result.text()
    assert (result.entries, result.sealed, result.seals) == (44_010, 44_010, 45)
    assert seen == sorted(seen)
    assert seen[-1] == 1
    await behind_its_back(
        server,
        store.dsn,
        """INSERT INTO entry (source, revision, reason, unit, from_account, to_account, amount, at, transaction)
           SELECT 'p:' || n, 0, 'merge', 'credits', 7 + n % 2 * 3, 10 - n % 2 * 3, 1, now(), transaction
           FROM generate_series(1, 44000) n, entry WHERE id = 4""",
    )
    many = await proof.check(store)
    assert many.entries == 88_010
    assert {what: bad for what, bad in many.findings.items() if bad} == {
        SEALED: "entry 44011 (merge of p:1, 1 credits from account 10 to 7) is not what was sealed"
    }
    await behind_its_back(server, store.dsn, "DELETE FROM entry WHERE id > 44010")
    await behind_its_back(server, store.dsn, "UPDATE entry SET created_at = now() WHERE id IN (30000, 40000)")
    assert (await found(store))[SEALED].startswith("entry 30000 (merge of m:29990, ")


async def test_a_proof_blocks_nobody_and_sees_one_moment(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.execute("SELECT 1 FROM account FOR UPDATE")
        await tx.execute(SPEND, "while")
        assert (await proof.check(store)).ok, "somebody else's transaction is not in it, and nobody waits"
        await tx.execute("UPDATE account SET balance = 34 WHERE id = 7")
        await tx.execute("UPDATE lot SET remaining = 34")
    result = await proof.check(store)
    assert (result.entries, result.ok) == (11, True)


def test_the_command_says_what_it_found_and_a_terminal_sees_how_far_it_is(
    database: str, server: embedded.Embedded, tmp_path: Path
) -> None:
    written(database)
    asyncio.run(behind_its_back(server, database, "UPDATE account SET balance = 40 WHERE id = 7"))
    terminal, other_end = pty.openpty()
    ended = subprocess.run(
        [sys.executable, "-m", "paydesk", "ledger", "check"],
        env={**clean_environ(), "DATABASE_URL": database, "STRIPE_API_KEY": new_key(), "TERM": "xterm"},
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=other_end, text=True, timeout=60, check=False,
    )  # fmt: skip
    os.close(other_end)
    shown = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert ended.returncode == 1, shown
    assert "BAD  the balance of an account is the sum of its entries: account 7 of cst_a" in ended.stdout
    assert "10 entries DO NOT prove the ledger." in ended.stdout
    assert "100%" in shown


async def test_a_number_that_no_machine_word_holds_is_summed(store: Store) -> None:
    connection = await asyncpg.connect(store.dsn)
    try:
        for number in range(3):
            await connection.execute(
                "INSERT INTO entry (source, revision, reason, unit, from_account, to_account, amount, at) "
                "VALUES ('big:' || $1, 0, 'merge', 'credits', 1, 2, 9000000000000000000, now())",
                str(number),
            )
    finally:
        await connection.close()
    await seal.seal(store, at_once=True)
    async with store.transaction() as tx:
        assert (await seal.system_balances(tx))["credits", "spent"] == 27 * 10**18 + 25
    assert TOTALS not in await found(store)

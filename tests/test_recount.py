"""What `ledger check` works out anew: a row of truth changed behind the ledger's back is named, an honest desk never is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from ledger_rows import behind_its_back, found, write
from machine_model import History
from paydesk.clock import Clock
from paydesk.proof import EXPIRED, FILLED, OWNED, SOLD, TOOK, UNDONE
from paydesk.recount import AT_ONCE, ENTITLED, LIVES, PAID, WORTH
from paydesk.store import Store, embedded
from test_machine import made_up, town

UNPAID = "a source of an unpaid order is worth nothing"
WALLET = "the balance of a wallet is what its lots hold"
HELD = "what a person has held is what their lots and open holds say"
HOLD = "a hold is made of its parts, and ends as its entries say"
FULL = "a lot has no more than came in and was not taken"
ENDED = "what ended in a lot ended with it"
LIVED = "what was taken lived as long as the lot it was taken from"
MERGED = "somebody who was merged has nothing of their own any more"
EXISTS = "what belongs to something belongs to something that exists"

BY_TERMS = "by its terms and the money of its order"
CREDITS, PASS = "WHERE id = 'ord_1:0:0'", "WHERE id = 'ord_1:0:1'"
DAY = "interval '1 day'"
FEW = "source ord_1:0:0: posted 70, worth"


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    await write(database)
    async with opened(database) as store:
        yield store


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Store]:
    """Connections of one's own."""
    store = await Store.open(dsn, clock=Clock())
    try:
        yield store
    finally:
        await store.close()


# What somebody changes in a ledger of ten entries, and what is said of it: promise and how the finding begins.
CHANGED: dict[str, tuple[str, dict[str, str]]] = {
    # terms
    "fewer credits for the price": (f"UPDATE source SET terms = jsonb_set(terms, '{{amount}}', '25') {CREDITS}", {
        WORTH: f"{FEW} 35 {BY_TERMS}"}),
    "a longer pass for the price": (f"UPDATE source SET terms = jsonb_set(terms, '{{days}}', '20') {PASS}", {
        WORTH: f"source ord_1:0:1: posted 604800, worth 1209600 {BY_TERMS}"}),
    "credits that live longer": (f"UPDATE source SET terms = jsonb_set(terms, '{{expires_days}}', '60') {CREDITS}", {
        LIVES: "lot ord_1:0:0: ends "}),
    "credits that are spent first": (f"UPDATE source SET terms = jsonb_set(terms, '{{priority}}', '0') {CREDITS}", {
        LIVES: "lot ord_1:0:0: priority 1, free False, but 0 and False by its terms"}),
    "another feature": (f"UPDATE source SET terms = jsonb_set(terms, '{{feature}}', '\"gold\"') {PASS}", {
        ENTITLED: "grant ord_1:0:1: pass premium to cst_a for 604800 seconds, but its source gives pass gold to cst_a for "}),
    "another unit": (f"UPDATE source SET terms = jsonb_set(terms, '{{unit}}', '\"coins\"') {CREDITS}", {
        WORTH: "source ord_1:0:0: credits in credits, but credits in coins by its terms"}),
    "terms without an amount": (f"UPDATE source SET terms = terms - 'amount' {CREDITS}", {
        WORTH: "source ord_1:0:0: its terms cannot be read (KeyError('amount'))"}),
    "terms that are no terms": (f"UPDATE source SET terms = '[]' {CREDITS}", {
        WORTH: "source ord_1:0:0: its terms cannot be read (TypeError("}),
    # sources
    "the worth of a pass": (f"UPDATE source SET worth = 864000, posted = 864000 {PASS}", {
        WORTH: f"source ord_1:0:1: posted 864000, worth 604800 {BY_TERMS}",
        ENTITLED: "grant ord_1:0:1: pass premium to cst_a for 604800 seconds, but its source gives pass premium to cst_a for 8"}),
    "when a pass began": (f"UPDATE source SET since = since - interval '1 day' {PASS}", {
        WORTH: "source ord_1:0:1: since ", ENTITLED: "grant ord_1:0:1: since "}),
    "whose order it is of": (f"UPDATE source SET order_id = 'ord_2' {CREDITS}", {
        WORTH: "source ord_1:0:0: it is not of order ord_2",
        UNPAID: "source ord_1:0:0: worth 70 while order ord_2 is open"}),
    "no order at all": (f"UPDATE source SET order_id = NULL {CREDITS}", {WORTH: "source ord_1:0:0: it is of no order"}),
    "whose pass it is": (f"UPDATE source SET customer_id = 'cst_b' {PASS}", {
        WORTH: "source ord_1:0:1: of cst_b, but its order is of cst_a", ENTITLED: "grant ord_1:0:1: pass premium to cst_a "}),
    "the source of a payment": ("DELETE FROM source WHERE id = 'payment:pi_1'", {
        WORTH: "source payment:pi_1: not there, worth 700 by pi_1 and what went back of it",
        SOLD: "entry 1: source payment:pi_1 revision 1 is not known"}),
    # orders and payments
    "when it was paid": ("UPDATE orders SET paid_at = paid_at - interval '1 day' WHERE id = 'ord_1'", {
        WORTH: "source ord_1:0:0: since ", PAID: "order ord_1 was paid "}),
    "by what it was paid": ("UPDATE orders SET paid_by = 'pi_9' WHERE id = 'ord_1'", {
        WORTH: f"{FEW} 100 {BY_TERMS}", PAID: "order ord_1 is paid by pi_9, which is not a payment of it"}),
    "an order taken away": ("DELETE FROM orders WHERE id = 'ord_1'", {EXISTS: "payment pi_1: order_id ord_1 does not exist"}),
    "a customer taken away": ("DELETE FROM customer WHERE id = 'cst_b'", {
        EXISTS: "orders ord_2: customer_id cst_b does not exist"}),
    "a payment that failed": ("UPDATE payment SET status = 'failed' WHERE id = 'pi_1'", {
        WORTH: "source payment:pi_1: posted 700, worth 0 by pi_1 and what went back of it",
        PAID: "order ord_1 is paid by payment pi_1, which is failed"}),
    "what was paid": ("UPDATE payment SET amount = 2000 WHERE id = 'pi_1'", {WORTH: f"{FEW} 85 {BY_TERMS}"}),
    "when a payment came": ("UPDATE payment SET paid_at = paid_at - interval '1 day' WHERE id = 'pi_1'", {
        WORTH: "source payment:pi_1: since ", PAID: "order ord_1 was paid "}),
    "a payment of another order": ("UPDATE payment SET order_id = 'ord_2' WHERE id = 'pi_1'", {
        WORTH: "source fee:txn_1: worth 59, and nothing tells of it",
        PAID: "order ord_1 is paid by pi_1, which is not a payment of it"}),
    "a payment that nobody made": ("UPDATE payment SET status = 'succeeded' WHERE id = 'pi_2'", {
        WORTH: "source payment:pi_2: not there, worth 999 by pi_2 and what went back of it",
        PAID: "order ord_2 is not paid, and payment pi_2 has succeeded"}),
    # what went back
    "how much was refunded": ("UPDATE refund SET amount = 500 WHERE id = 're_1'", {WORTH: f"{FEW} 50 {BY_TERMS}"}),
    "a refund that failed": ("UPDATE refund SET status = 'failed' WHERE id = 're_1'", {WORTH: f"{FEW} 100 {BY_TERMS}"}),
    "a refund that had failed": ("UPDATE refund SET status = 'succeeded' WHERE id = 're_2'", {WORTH: f"{FEW} 60 {BY_TERMS}"}),
    "a refund taken away": ("DELETE FROM refund WHERE id = 're_1'", {WORTH: f"{FEW} 100 {BY_TERMS}"}),
    "a dispute that was won": ("UPDATE dispute SET status = 'lost'", {WORTH: f"{FEW} 0 {BY_TERMS}"}),
    "Stripe's fee": ("UPDATE balance_transaction SET fee = 9", {
        WORTH: "source fee:txn_1: posted 59, worth 9 by balance transaction txn_1"}),
    "a balance transaction taken away": ("DELETE FROM balance_transaction", {
        WORTH: "source fee:txn_1: worth 59, and nothing tells of it"}),
    # grants
    "a grant that began earlier": ("UPDATE grant_ SET since = since - interval '1 day'", {ENTITLED: "grant ord_1:0:1: since "}),
    "a grant for ever": ("UPDATE grant_ SET seconds = NULL", {
        ENTITLED: "grant ord_1:0:1: pass premium to cst_a for ever, but its source gives pass premium to cst_a for 604800 "}),
    "a grant of somebody else": ("UPDATE grant_ SET customer_id = 'cst_b'", {ENTITLED: "grant ord_1:0:1: pass premium to cst_b"}),
    "a grant of something else": ("UPDATE grant_ SET feature = 'gold'", {ENTITLED: "grant ord_1:0:1: pass gold to cst_a "}),
    # lots
    "what came into a lot": ("UPDATE lot SET granted = 200", {FILLED: "source ord_1:0:0: entries brought 100, its lots got 200"}),
    "a lot that has more than came in": (
        "ALTER TABLE lot DROP CONSTRAINT ck_lot_remaining; UPDATE lot SET remaining = 65", {
        FULL: "lot ord_1:0:0: 100 came in, 30 were taken, 65 remain, 10 held, 0 ended",
        WALLET: "account 7 of cst_a (credits wallet): balance 35, lots hold 65"}),
    "when a lot ends": ("UPDATE lot SET expires_at = expires_at - interval '1 day'; UPDATE taken SET expires_at = NULL", {
        LIVES: "lot ord_1:0:0: ends ", LIVED: "source ord_1:0:0 revision 2: took from lot ord_1:0:0, which lived for ever"}),
    "a lot that never ends": ("UPDATE lot SET expires_at = NULL; UPDATE taken SET expires_at = NULL", {
        LIVES: "lot ord_1:0:0: ends never, but "}),
    "a lot that was free": ("UPDATE lot SET free = true", {
        LIVES: "lot ord_1:0:0: priority 1, free True, but 1 and False by its terms"}),
    "whose lot it is": ("UPDATE lot SET account_id = 10", {
        LIVES: "lot ord_1:0:0: in the wallet of cst_b in credits, but its source is of cst_a in credits",
        WALLET: "account 7 of cst_a ", HELD: "cst_a (credits held): balance 10, lots hold 0, open holds say 10"}),
    "where a lot came from": ("UPDATE lot SET source = 'ord_2:0:0'", {
        LIVES: "lot ord_1:0:0: in the wallet of cst_a in credits, but its source is of cst_b in credits"}),
    "a lot of nothing": ("UPDATE lot SET source = 'ord_9:0:0'", {EXISTS: "lot ord_1:0:0: source ord_9:0:0 does not exist"}),
    "what ended in a lot": ("UPDATE lot SET expired = 1", {
        EXPIRED: "credits: entries say 0, lots 1", ENDED: "lot ord_1:0:0: 1 ended, and it lives until "}),
    # claw-backs
    "how much was taken": ("UPDATE taken SET amount = 20", {
        TOOK: "source ord_1:0:0 revision 2: entries took 30, 0 of it owed, at ",
        UNDONE: "source ord_1:0:0: 20 noted as taken and not given back, 30 by its entries"}),
    "what came back of it": ("UPDATE taken SET returned = 10", {
        UNDONE: "source ord_1:0:0: 20 noted as taken and not given back, 30 by its entries"}),
    "when it was taken": ("UPDATE taken SET at = at + interval '1 day'", {TOOK: "source ord_1:0:0 revision 2: entries took 30"}),
    "that it was taken": ("DELETE FROM taken", {TOOK: "source ord_1:0:0 revision 2: entries took 30, 0 of it owed, at "}),
    "where it was taken from": ("UPDATE taken SET lot_id = 'lot_9'", {
        LIVED: "source ord_1:0:0 revision 2: took from lot lot_9, which lived until "}),
    "that it was owed": ("UPDATE taken SET lot_id = 'debt', expires_at = NULL", {
        TOOK: "source ord_1:0:0 revision 2: entries took 30, 0 of it owed, at "}),
    # holds
    "what a hold used": ("UPDATE hold SET used = 4 WHERE id = 'hld_2'", {
        HOLD: "hold hld_2: settled, 4 used of 8, entries say 5 used of 8"}),
    "what a hold was for": ("UPDATE hold SET amount = 9, parts = '{\"ord_1:0:0\": 9}' WHERE id = 'hld_2'", {
        HOLD: "hold hld_2: settled, 5 used of 9, entries say 5 used of 8"}),
    "what a hold was made of": ("UPDATE hold SET parts = '{\"ord_1:0:0\": 7}' WHERE id = 'hld_2'", {
        HOLD: 'hold hld_2: settled, 5 used of 8, entries say 5 used of 8, its parts are {"ord_1:0:0": 7}'}),
    "how a hold ended": ("UPDATE hold SET state = 'released' WHERE id = 'hld_2'", {HOLD: "hold hld_2: released, 5 used of 8"}),
    "a hold taken away": ("DELETE FROM hold WHERE id = 'hld_2'", {HOLD: "hold hld_2: does not exist, entries say 5 used of 8"}),
    "what a hold that ended was made of": ("UPDATE hold SET parts = '{}' WHERE id = 'hld_2'", {
        HOLD: "hold hld_2: settled, 5 used of 8, entries say 5 used of 8, its parts are {}"}),
    "whose hold it was": ("UPDATE hold SET customer_id = 'cst_b' WHERE id = 'hld_2'", {
        HOLD: 'hold hld_2: settled, 5 used of 8, entries say 5 used of 8, its parts are {"ord_1:0:0": 8}, of cst_b, '
        "entries say cst_a"}),
    # people
    "whose credits they are": ("UPDATE account SET owner = 'cst_c' WHERE id = 7", {
        OWNED: "entry 2: of cst_a, but account 7 (credits wallet) is of cst_c",
        HELD: "cst_a (credits held): balance 10, lots hold 0, open holds say 10",
        LIVES: "lot ord_1:0:0: in the wallet of cst_c in credits, but its source is of cst_a in credits"}),
    "somebody said to be merged": ("UPDATE customer SET merged_into = 'cst_b' WHERE id = 'cst_a'", {
        MERGED: "customer cst_a is cst_b, and has 10 credits (held)"}),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGED)
async def test_a_row_changed_behind_its_back_is_named(store: Store, server: embedded.Embedded, what: str) -> None:
    statement, findings = CHANGED[what]
    await behind_its_back(server, store.dsn, *statement.split("; "))
    said = await found(store)
    assert said.keys() == findings.keys()
    assert [
        f"{said[promise]} / {begins}" for promise, begins in findings.items() if not said[promise].startswith(begins)
    ] == []


# --- a desk on which much has happened -------------------------------------------------------------------------------

# Of which table which row, what is done to it and how it is undone, and which promise names the row.
AND_BACK = {
    "what a gift is worth": (
        "source",
        "order_id IS NULL AND worth > 1",
        "worth = worth {}, posted = posted {}",
        "1",
        WORTH,
    ),
    "when a gift ends": (
        "lot",
        "source LIKE 'op:%' AND expires_at IS NOT NULL",
        "expires_at = expires_at {}",
        DAY,
        LIVES,
    ),
    "when credits end that came back": ("lot", "id <> source", "expires_at = expires_at {}", DAY, LIVES),
    "how credits are spent that came back": ("lot", "id <> source", "priority = priority {}", "1", LIVES),
    "what a released hold used": (
        "hold",
        "state IN ('released', 'lapsed') AND amount > 1",
        "used = used {}",
        "1",
        HOLD,
    ),
}


def test_much_that_happened_is_proved_at_any_moment_and_a_row_of_it_is_found(new_database: Callable[[], str]) -> None:
    asyncio.run(lived_and_changed(new_database(), made_up(60, draw=1)))


async def lived_and_changed(dsn: str, histories: list[History]) -> None:
    """Live histories of payments, refunds, disputes, holds, gifts and merged people, while somebody proves the ledger."""
    async with town(dsn, histories) as here, opened(dsn) as elsewhere:
        living = asyncio.create_task(here.live())
        proofs = 0
        while not living.done():
            said = await found(elsewhere)
            assert said == {}
            proofs += 1
        await living
        assert proofs > 1
        assert await found(elsewhere) == {}
        for what, (table, which, change, by, promise) in AND_BACK.items():
            row = await here.store.fetchval(f"SELECT min(id) FROM {table} WHERE {which}")
            assert row is not None, what
            await here.store.execute(f"UPDATE {table} SET {change.replace('{}', f'+ {by}')} WHERE id = $1", row)
            assert f" {row}: " in (await found(elsewhere)).get(promise, ""), what
            await here.store.execute(f"UPDATE {table} SET {change.replace('{}', f'- {by}')} WHERE id = $1", row)
        assert await found(elsewhere) == {}


async def test_orders_are_recounted_a_thousand_at_a_time(store: Store, server: embedded.Embedded) -> None:
    await behind_its_back(
        server,
        store.dsn,
        f"""INSERT INTO orders (id, customer_id, amount, currency, livemode, link_token)
            SELECT 'ord_3' || n, 'cst_b', 5, 'usd', false, 't' || n FROM generate_series(1, {2 * AT_ONCE + 1}) n""",
        """INSERT INTO source (id, customer_id, order_id, kind, unit, terms)
           SELECT o.id || ':0:0', o.customer_id, o.id, 'credits', 'credits', s.terms FROM orders o, source s
           WHERE s.id = 'ord_2:0:0' AND o.id LIKE 'ord_3%'""",
        "UPDATE orders SET paid_by = 'cs_free', paid_at = now() WHERE id = 'ord_3999'",
    )
    assert await found(store) == {WORTH: f"source ord_3999:0:0: posted 0, worth 50 {BY_TERMS}"}

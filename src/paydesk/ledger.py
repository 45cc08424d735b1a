"""The ledger: append-only double entry, credits in lots, and one rule for everything: post `worth - posted`.

An entry moves an amount of one unit from one account to another, so every posting sums to zero by construction.
A wallet cannot go below zero: what is taken back beyond it is owed in the person's `debt` account (zero or less),
which whatever comes in next pays first. The system's own accounts store no balance; it is the sum of their entries.

`Book` is pure: it works on what was loaded and remembers what to write. Rows are read and written in `books`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from paydesk.errors import InsufficientCredits
from paydesk.lots import DEBT, Lot, Taken, order_of_spending, order_of_taking, pick, spendable

SYSTEM = "system"

AccountKey = tuple[str, str, str]
"""(owner, unit, kind): kind is `wallet`, `held` or `debt` of a person; one of the system's otherwise."""

MONEY_MOVES = {
    "money": ("sales", "stripe"),  # what a payment brought in and has not given back
    "fee": ("stripe", "fees"),  # what Stripe keeps
    "fee_back": ("fees", "stripe"),
    "exchange_out": ("stripe", "exchange"),  # settled in another currency: this one leaves the balance …
    "exchange_in": ("exchange", "stripe"),  # … and that one enters it
}
"""Sources of money by kind: from which of the system's accounts to which their worth moves."""


def money_unit(currency: str) -> str:
    """Return the unit in which a currency is kept, apart from every unit of credits."""
    return f"money:{currency}"


@dataclass(slots=True)
class Account:
    """An account and, for a person's, its balance. `told_low` while its owner knows that less than `low_mark` is left."""

    id: int
    balance: int | None
    told_low: bool = False
    low_mark: int | None = None


@dataclass(slots=True)
class Source:
    """A thing sold or given, with its frozen terms: `worth` is what it is worth now, and what is posted.

    What a `subscription` gives for as long as it lasts ends `until`; what starts by being claimed has its `claimed_at`.
    """

    id: str
    customer: str
    order: str | None
    kind: str
    unit: str
    terms: Mapping[str, Any]
    worth: int = 0
    revision: int = 0
    since: datetime | None = None
    until: datetime | None = None
    claimed_at: datetime | None = None
    subscription: str | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an entry is written: the source and its revision, whose it is, the inbox row, a word of the caller's."""

    source: str
    revision: int
    customer: str | None
    unit: str
    inbox_id: int | None = None
    memo: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An amount that leaves one account and enters another. `balance_after` is what its person can spend then."""

    cause: Cause
    reason: str
    from_account: int
    to_account: int
    amount: int
    balance_after: int | None = None


@dataclass(slots=True)
class Hold:
    """Credits reserved until what they are for has its price. `parts`: how many of which lot."""

    id: str
    customer: str
    unit: str
    amount: int
    state: str
    parts: dict[str, int]
    memo: str | None
    expires_at: datetime
    used: int | None = None
    created_at: datetime | None = None


@dataclass(slots=True)
class Book:
    """The accounts and lots of the people in hand at `now`; posting changes them and collects entries."""

    now: datetime
    accounts: dict[AccountKey, Account] = field(default_factory=dict)
    lots: dict[str, Lot] = field(default_factory=dict)
    taken: dict[str, list[Taken]] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    changed_accounts: dict[int, Account] = field(default_factory=dict)
    changed_lots: dict[str, Lot] = field(default_factory=dict)
    changed_taken: dict[tuple[str, int, str], Taken] = field(default_factory=dict)
    _queues: dict[int, list[Lot]] = field(default_factory=dict)

    # --- what something is worth -----------------------------------------------------------------------------------

    def post(
        self,
        source: Source,
        target: int,
        since: datetime | None,
        *,
        until: datetime | None = None,
        inbox_id: int | None = None,
    ) -> bool:
        """Make `source` worth `target` since `since`, by entries for the difference; return whether anything changed.

        Repeating it changes nothing. `target` is never negative but of a payment's money. `until` is where what lasts ends.
        """
        if target < 0 and source.kind != "money":
            raise ValueError(f"{source.id} cannot be worth {target}")
        difference = target - source.worth
        if difference == 0 and (since, until) == (source.since, source.until):
            return False
        source.since, source.until = since, until
        source.worth = target
        if difference != 0:
            source.revision += 1
        cause = Cause(source.id, source.revision, source.customer, source.unit, inbox_id)
        if source.kind in MONEY_MOVES:
            self._move_money(source.kind, cause, difference)
        elif source.kind == "credits":
            self._move_credits(source, cause, difference)
        return True

    def _move_money(self, kind: str, cause: Cause, difference: int) -> None:
        giver, taker = ((SYSTEM, cause.unit, name) for name in MONEY_MOVES[kind])
        reason = "payment" if kind == "money" else kind
        if difference > 0:
            self._move(cause, reason, giver, taker, difference)
        elif difference < 0:
            self._move(cause, f"{reason}_back", taker, giver, -difference)

    def _move_credits(self, source: Source, cause: Cause, difference: int) -> None:
        if difference > 0:
            self._give(source, cause, difference)
        elif difference < 0:
            self._take_back(source, cause, -difference)
        own = self.lots.get(source.id)
        if own is not None and own.expires_at != expiry(source):
            own.expires_at = expiry(source)
            self._queues.pop(own.account, None)
            self.changed_lots[own.id] = own

    # --- giving, and giving back -----------------------------------------------------------------------------------

    def _give(self, source: Source, cause: Cause, amount: int) -> None:
        """Give credits: what was taken back comes back as it was, debt is paid first, the rest fills lots.

        What had ended when it was taken, and what ends before it comes, goes where ended credits are.
        """
        undone = self._undo(source, amount)
        ended = [(taken, share) for taken, share in undone if taken.ended()]
        for taken, share in ended:
            self._keep_expired(self.lots[taken.lot], share)
        gone = sum(share for _, share in ended)
        live = amount - gone
        self.accounts[self._key(cause, "wallet")].told_low = False
        rest = self._pay_debt(cause, (SYSTEM, cause.unit, "sold"), live)
        back = [(taken, share) for taken, share in undone if not taken.ended()]
        fresh = amount - sum(share for _, share in undone)
        late = self._fill(source, cause, [*back, (None, fresh)], eaten=live - rest)
        self._move(cause, "grant", (SYSTEM, cause.unit, "sold"), self._key(cause, "wallet"), rest - late)
        self._move(cause, "grant_expired", (SYSTEM, cause.unit, "sold"), (SYSTEM, cause.unit, "expired"), gone + late)

    def _undo(self, source: Source, amount: int) -> list[tuple[Taken, int]]:
        """Undo claw-backs of `source`, the last first and of each what was owed first; return what came of which."""
        undone = []
        for taken in sorted(self.taken.get(source.id, ()), key=order_of_taking, reverse=True):
            share = min(amount, taken.outstanding)
            if share:
                amount -= share
                taken.returned += share
                self.changed_taken[taken.source, taken.revision, taken.lot] = taken
                undone.append((taken, share))
        return undone

    def _fill(self, source: Source, cause: Cause, pots: Iterable[tuple[Taken | None, int]], *, eaten: int) -> int:
        """Put credits into lots, those that debt has not `eaten`; return how many are for a lot that has ended."""
        late = 0
        for number, (taken, share) in enumerate(pots):
            left = share - min(eaten, share)
            eaten -= share - left
            if left == 0:
                continue
            lot = self._lot_for(source, cause, taken, number)
            if taken is None or taken.lot != lot.id:
                lot.granted += left
            if lot.alive(self.now):
                lot.remaining += left
            else:
                lot.expired += left
                late += left
            self.changed_lots[lot.id] = lot
        return late

    def _lot_for(self, source: Source, cause: Cause, taken: Taken | None, number: int) -> Lot:
        """Return the lot that credits go to: back where they were, as long-lived as they were, or the source's own.

        What had been spent, and was owed, is as good as new.
        """
        again = f"{source.id}/{cause.revision}/{number}"
        days = source.terms.get("expires_days")
        if taken is not None and taken.lot == DEBT and days is not None:
            return self._lot(cause, again, source.id, self.now + timedelta(days=int(days)), source.terms)
        if taken is None or taken.lot == DEBT:
            return self._lot(cause, source.id, source.id, expiry(source), source.terms)
        old = self.lots[taken.lot]
        if taken.expires_at is None:
            return old
        terms = {"priority": old.priority, "free": old.free}
        return self._lot(cause, again, old.source, self.now + (taken.expires_at - taken.at), terms)

    def _lot(self, cause: Cause, id_: str, source: str, expires_at: datetime | None, terms: Mapping[str, Any]) -> Lot:
        """Return a lot of the cause's person, made when it is new."""
        lot = self.lots.get(id_)
        if lot is None:
            account = self.accounts[self._key(cause, "wallet")].id
            priority, free = int(terms.get("priority", 0)), bool(terms.get("free", False))
            lot = self.lots[id_] = Lot(id_, source, account, 0, 0, 0, 0, priority, free, expires_at)
            self._queues.pop(account, None)
        return lot

    def _pay_debt(self, cause: Cause, giver: AccountKey, amount: int) -> int:
        """Pay the person's debt out of `amount`; return what is left of it."""
        debt = self._key(cause, "debt")
        paid = min(amount, -(self.accounts[debt].balance or 0))
        self._move(cause, "debt_paid", giver, debt, paid)
        return amount - paid

    def _keep_expired(self, lot: Lot, amount: int) -> None:
        lot.expired += amount
        self.changed_lots[lot.id] = lot

    # --- taking back -----------------------------------------------------------------------------------------------

    def _take_back(self, source: Source, cause: Cause, amount: int) -> None:
        """Take what has ended unspent, then the source's own credits, then others', never held ones; the rest is owed."""
        sold, wallet = (SYSTEM, cause.unit, "sold"), self._key(cause, "wallet")
        own = sorted((lot for lot in self.lots.values() if lot.source == source.id), key=order_of_spending)
        missing = before = self._take_expired(cause, own, amount)
        self._move(cause, "take_expired", (SYSTEM, cause.unit, "expired"), sold, amount - missing)
        ended = [lot for lot in own if not lot.alive(self.now)]
        alive = [lot for lot in own if lot.alive(self.now)]
        others = [
            lot for lot in self._queue(self.accounts[wallet].id) if lot.alive(self.now) and lot.source != source.id
        ]
        for lot in (*ended, *alive, *others):
            share = min(missing, lot.remaining)
            if share:
                lot.remaining -= share
                missing -= share
                self._note_taken(cause, lot.id, share, lot.expires_at)
                self.changed_lots[lot.id] = lot
        self._move(cause, "take_back", wallet, sold, before - missing)
        if missing:
            self._note_taken(cause, DEBT, missing, None)
            self._move(cause, "owed", self._key(cause, "debt"), sold, missing)

    def _take_expired(self, cause: Cause, own: Iterable[Lot], amount: int) -> int:
        """Count what ended unspent as returned; return what is still missing."""
        for lot in own:
            share = min(amount, lot.expired)
            if share:
                lot.expired -= share
                amount -= share
                self._note_taken(cause, lot.id, share, lot.expires_at)
                self.changed_lots[lot.id] = lot
        return amount

    def _note_taken(self, cause: Cause, lot: str, amount: int, expires_at: datetime | None) -> None:
        """Remember where credits were taken from, so that they can go back there."""
        key = (cause.source, cause.revision, lot)
        taken = self.changed_taken.get(key)
        if taken is None:
            taken = self.changed_taken[key] = Taken(cause.source, cause.revision, lot, 0, 0, self.now, expires_at)
            self.taken.setdefault(cause.source, []).append(taken)
        taken.amount += amount

    # --- spending and holding --------------------------------------------------------------------------------------

    def balance(self, owner: str, unit: str) -> int:
        """Return what can be spent: ended credits are not in it, swept or not, nor held ones."""
        account = self.accounts.get((owner, unit, "wallet"))
        return 0 if account is None else spendable(self._queue(account.id), self.now)

    def debt(self, owner: str, unit: str) -> int:
        """Return what is owed: taken back, but spent before."""
        account = self.accounts.get((owner, unit, "debt"))
        return 0 if account is None else -(account.balance or 0)

    def spend(self, cause: Cause, amount: int) -> int:
        """Spend credits, soonest-ending first; return what can be spent after. Raises `InsufficientCredits`."""
        for lot, share in self._pick(cause, amount):
            lot.remaining -= share
            self.changed_lots[lot.id] = lot
        after = self.balance(cause.customer or "", cause.unit)
        self._move(cause, "spend", self._key(cause, "wallet"), (SYSTEM, cause.unit, "spent"), amount, after)
        return after

    def hold(self, cause: Cause, id_: str, amount: int, expires_at: datetime) -> Hold:
        """Reserve credits, soonest-ending first; they end with the hold, not before. Raises `InsufficientCredits`."""
        picked = self._pick(cause, amount)
        for lot, share in picked:
            lot.remaining -= share
            lot.held += share
            self.changed_lots[lot.id] = lot
        after = self.balance(cause.customer or "", cause.unit)
        self._move(cause, "hold", self._key(cause, "wallet"), self._key(cause, "held"), amount, after)
        parts = {lot.id: share for lot, share in picked}
        return Hold(
            id_, cause.customer or "", cause.unit, amount, "held", parts, cause.memo, expires_at, None, self.now
        )

    def end_hold(self, hold: Hold, cause: Cause, used: int, state: str) -> int:
        """End a hold: `used` of it is spent, the rest pays debt, then goes back; return what can be spent after."""
        held = self._key(cause, "held")
        back = self._release(hold, used)
        self._move(cause, "settle", held, (SYSTEM, cause.unit, "spent"), used)
        rest = self._pay_debt(cause, held, hold.amount - used)
        eaten = hold.amount - used - rest
        ended = 0
        for lot, share in back:
            lost = min(eaten, share)
            eaten -= lost
            if lot.alive(self.now):
                lot.remaining += share - lost
            else:
                lot.expired += share - lost
                ended += share - lost
        hold.used, hold.state = used, state
        after = self.balance(cause.customer or "", cause.unit)
        self._move(cause, "release", held, self._key(cause, "wallet"), rest - ended)
        self._move(cause, "expired", held, (SYSTEM, cause.unit, "expired"), ended)
        self.entries[-1] = replace(self.entries[-1], balance_after=after)  # told again when the hold is ended again
        return after

    def _release(self, hold: Hold, used: int) -> list[tuple[Lot, int]]:
        """Let go of the lots of a hold: the soonest-ending pay what was used; return what is left of which."""
        back = []
        for lot in sorted((self.lots[id_] for id_ in hold.parts), key=order_of_spending):
            share = hold.parts[lot.id]
            lot.held -= share
            spent = min(used, share)
            used -= spent
            self.changed_lots[lot.id] = lot
            back.append((lot, share - spent))
        return back

    def lapse(self, owner: str, unit: str, *, inbox_id: int | None = None) -> int:
        """Move what has ended out of a wallet; return how much that was. Nobody could spend it any more anyway."""
        account = self.accounts.get((owner, unit, "wallet"))
        swept = 0
        for lot in self._queue(account.id) if account is not None else ():
            if lot.remaining and not lot.alive(self.now):
                cause = Cause(f"lapse:{lot.id}", 0, owner, unit, inbox_id)
                self._move(cause, "expired", (owner, unit, "wallet"), (SYSTEM, unit, "expired"), lot.remaining)
                swept += lot.remaining
                lot.expired += lot.remaining
                lot.remaining = 0
                self.changed_lots[lot.id] = lot
        return swept

    def merge(self, cause: Cause, other: str) -> None:
        """Post everything that `other` has of a unit to the cause's person; who owes then pays from what there is."""
        wallet, theirs = self._key(cause, "wallet"), (other, cause.unit, "wallet")
        self._move(cause, "merge", theirs, wallet, self.accounts[theirs].balance or 0)
        self._move(cause, "merge_held", (other, cause.unit, "held"), self._key(cause, "held"),
                   self.accounts[other, cause.unit, "held"].balance or 0)  # fmt: skip
        self._move(cause, "merge_debt", self._key(cause, "debt"), (other, cause.unit, "debt"),
                   -(self.accounts[other, cause.unit, "debt"].balance or 0))  # fmt: skip
        for lot in self.lots.values():
            if lot.account == self.accounts[theirs].id:
                lot.account = self.accounts[wallet].id
                self.changed_lots[lot.id] = lot
        self._queues.clear()
        self.accounts[wallet].told_low = False
        owed = -(self.accounts[self._key(cause, "debt")].balance or 0)
        paid = 0
        for lot, share in pick(self._queue(self.accounts[wallet].id), owed, self.now):
            lot.remaining -= share
            paid += share
            self.changed_lots[lot.id] = lot
        self._pay_debt(cause, wallet, paid)

    def _pick(self, cause: Cause, amount: int) -> list[tuple[Lot, int]]:
        account = self.accounts.get(self._key(cause, "wallet"))
        picked = pick(self._queue(account.id), amount, self.now) if account is not None else []
        there = sum(share for _, share in picked)
        if there < amount:
            raise InsufficientCredits(f"{amount:,} {cause.unit} are asked for, {there:,} can be spent", param="amount")
        return picked

    # --- one movement ----------------------------------------------------------------------------------------------

    def _queue(self, account: int) -> list[Lot]:
        """Return the lots of a wallet in the order of spending."""
        queue = self._queues.get(account)
        if queue is None:
            queue = sorted((lot for lot in self.lots.values() if lot.account == account), key=order_of_spending)
            self._queues[account] = queue
        return queue

    def _key(self, cause: Cause, kind: str) -> AccountKey:
        return (cause.customer or "", cause.unit, kind)

    def _move(
        self, cause: Cause, reason: str, from_: AccountKey, to: AccountKey, amount: int, after: int | None = None
    ) -> None:
        if amount == 0:
            return
        giver, taker = self.accounts[from_], self.accounts[to]
        for account, change in ((giver, -amount), (taker, amount)):
            if account.balance is not None:
                account.balance += change
                self.changed_accounts[account.id] = account
        self.entries.append(Entry(cause, reason, giver.id, taker.id, amount, after))


def expiry(source: Source) -> datetime | None:
    """Return when credits of `source` end: when its terms say, so many days of 24 hours after they were paid, or never."""
    if "expires_at" in source.terms:
        return datetime.fromisoformat(source.terms["expires_at"])
    days = source.terms.get("expires_days")
    return None if days is None or source.since is None else source.since + timedelta(days=int(days))


def accounts_of(customer: str, unit: str, kind: str = "credits") -> set[AccountKey]:
    """Return the accounts that posting something of this kind and unit may touch."""
    if kind in MONEY_MOVES:
        return {(SYSTEM, unit, name) for name in MONEY_MOVES[kind]}
    if kind != "credits":
        return set()
    system = {(SYSTEM, unit, name) for name in ("sold", "spent", "expired")}
    return system | {(customer, unit, name) for name in ("wallet", "held", "debt")}

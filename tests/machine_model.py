"""A small model of one or two people's money: what histories are made of, and what must come of them.

Nothing here is Paydesk's. Time is days; an order's facts tell of its time, `HOURS` before the day it is heard of, so
that two orders never end at the same moment.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

FOR_EVER = (10**6, 0)
UNITS = ("credits", "tokens")

# --- histories -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Goods:
    """What an order gives: credits of a unit (for so many days, `None`: for ever) and days of a pass; and its price.

    The shop lets go of `let_go` of the price when it takes the rest.
    """

    price: int
    unit: str
    credits: int
    days: int | None
    pass_days: int
    on_dispute: str
    let_go: int = 0

    @property
    def taken(self) -> int:
        """What is paid of the price."""
        return max(1, self.price - self.let_go)


@dataclass(frozen=True)
class Deed:
    """Something that happens to an order at Stripe: of what makes sense then, the `choice`-th."""

    order: int
    choice: int
    number: int


@dataclass(frozen=True)
class Act:
    """Something that a person does with their credits, under one of their names."""

    kind: str
    person: int
    unit: str
    number: int


@dataclass(frozen=True)
class Day:
    """Deeds, then acts, then perhaps a merge: (who stays, who goes)."""

    deeds: tuple[Deed, ...]
    acts: tuple[Act, ...]
    merge: tuple[int, int] | None


@dataclass(frozen=True)
class History:
    """Days of two people with two orders each. `costs`: Stripe tells its fees. `seed` shuffles the second telling."""

    goods: tuple[Goods, ...]
    days: tuple[Day, ...]
    costs: bool
    seed: int


ACTS = ("spend", "spend", "spend", "hold", "hold", "settle", "release", "give")


def _deeds(least: int, most: int) -> st.SearchStrategy[tuple[Deed, ...]]:
    order = st.sampled_from((0, 0, 0, 0, 1, 2, 2, 3))
    deed = st.builds(Deed, order, st.integers(0, 99), st.integers(0, 999))
    return st.lists(deed, min_size=least, max_size=most).map(tuple)


def _days(deeds: int, least: int, most: int) -> st.SearchStrategy[tuple[Day, ...]]:
    unit = st.sampled_from((*UNITS[:1] * 4, *UNITS))
    act = st.builds(Act, st.sampled_from(ACTS), st.integers(0, 1), unit, st.integers(0, 99))
    acts = st.lists(act, max_size=3).map(tuple)
    merge = st.sampled_from((None,) * 12 + ((0, 1), (1, 0)))
    return st.lists(st.builds(Day, _deeds(1, deeds), acts, merge), min_size=least, max_size=most).map(tuple)


def _goods(days: st.SearchStrategy[int | None]) -> st.SearchStrategy[tuple[Goods, ...]]:
    one = st.builds(
        Goods, st.sampled_from((999, 1000, 7)), st.sampled_from((*UNITS[:1] * 3, *UNITS)), st.integers(1, 60), days,
        st.sampled_from((0, 0, 1, 3)), st.sampled_from(("hold", "hold", "wait")), st.sampled_from((0, 0, 0, 2, 500)),
    )  # fmt: skip
    return st.tuples(one, one, one, one)


# Where credits end, it depends on the order of deeds which are taken back: then there is one deed a day.
LASTING = st.builds(History, _goods(st.none()), _days(4, 3, 7), st.booleans(), st.integers(0, 2**32))
ENDING = st.builds(
    History, _goods(st.sampled_from((None, 1, 2, 4, 7))), _days(1, 5, 12), st.booleans(), st.integers(0, 2**32)
)
HISTORIES = st.one_of(LASTING, ENDING)


def shorter(history: History) -> list[History]:
    """Every history with one thing less."""
    found = [_with(history, days=_without(history.days, n)) for n in range(len(history.days))]
    for n, day in enumerate(history.days):
        less = [Day(_without(day.deeds, i), day.acts, day.merge) for i in range(len(day.deeds))]
        less += [Day(day.deeds, _without(day.acts, i), day.merge) for i in range(len(day.acts))]
        less += [Day(day.deeds, day.acts, None)] if day.merge else []
        found += [_with(history, days=(*history.days[:n], one, *history.days[n + 1 :])) for one in less]
    return found + ([_with(history, costs=False)] if history.costs else [])


def _with(history: History, **changes: Any) -> History:
    return History(**{**{name: getattr(history, name) for name in ("goods", "days", "costs", "seed")}, **changes})


def _without(things: tuple[Any, ...], n: int) -> tuple[Any, ...]:
    return things[:n] + things[n + 1 :]


# --- orders ----------------------------------------------------------------------------------------------------------


@dataclass
class Sold:
    """An order: what Stripe knows of it."""

    goods: Goods
    paid_day: int | None = None
    started: bool = False
    refunds: dict[int, tuple[int, str]] = field(default_factory=dict)
    disputes: dict[int, tuple[int, str]] = field(default_factory=dict)

    def back(self, *, holding: bool) -> int:
        """How much of the price has gone back; `holding`: money in open disputes counts."""
        counted = ("needs_response", "lost") if holding else ("lost",)
        refunded = sum(amount for amount, status in self.refunds.values() if status not in ("failed", "canceled"))
        return refunded + sum(amount for amount, status in self.disputes.values() if status in counted)

    def worth(self, whole: int) -> int:
        """What is left of `whole`: the share of the money that stays, rounded up."""
        if self.paid_day is None:
            return 0
        stays = max(0, self.goods.taken - self.back(holding=self.goods.on_dispute == "hold"))
        return -(-whole * stays // self.goods.price)

    def money(self) -> int:
        """What is left of the money; less than nothing where a bank took what had been refunded."""
        return 0 if self.paid_day is None else self.goods.taken - self.back(holding=True)

    def status(self) -> str:
        if self.paid_day is None:
            return "pending" if self.started else "open"
        if [1 for amount, status in self.disputes.values() if status in ("needs_response", "lost") and amount]:
            return "disputed"
        refunded = sum(amount for amount, status in self.refunds.values() if status not in ("failed", "canceled"))
        return "fulfilled" if not refunded else "refunded" if refunded >= self.goods.taken else "partially_refunded"

    def left(self) -> int:
        """How much can be refunded."""
        return self.goods.taken - sum(n for n, status in self.refunds.values() if status not in ("failed", "canceled"))

    def choices(self) -> list[str]:
        """What may happen next."""
        if self.paid_day is None:
            return [*["pay"] * 6, "start", "decline"]
        undecided = [1 for _, status in self.disputes.values() if status.endswith("needs_response")]
        unended = [1 for _, status in self.refunds.values() if status not in ("failed", "canceled")]
        return [
            "warn",
            *(["refund"] * 4 if self.left() else []),
            *(["dispute", "dispute", "inquiry"] if len(self.disputes) < 2 else []),
            *["refund_end"] * 3 * len(unended),
            *["decide"] * 5 * len(undecided),
        ]

    def happen(self, deed: Deed, day: int) -> list[tuple[str, int, str]]:
        """Let a deed happen; return what is heard of it: (kind, number of the refund or dispute, status)."""
        choices = self.choices()
        match choices[deed.choice % len(choices)]:
            case "decline":
                return [("declined", 0, "")]
            case "start":
                self.started = True
                return [("started", 0, "")]
            case "pay":
                self.paid_day = day
                return [("session", 0, ""), ("intent", 0, ""), ("charge", 0, "")]
            case "refund":
                number, status = len(self.refunds), "pending" if deed.number % 3 == 0 else "succeeded"
                self.refunds[number] = (self.left() if deed.number % 5 == 0 else 1 + deed.number % self.left(), status)
                return [("refund", number, "pending"), ("refund", number, status), ("refunds", 0, "")]
            case "refund_end":
                return self._end_refund(deed.number)
            case "dispute":
                return self._dispute(deed.number, "needs_response")
            case "inquiry":
                return self._dispute(deed.number, "warning_needs_response")
            case "decide":
                return self._decide(deed.number)
        return [("warning", 0, "")]

    def _end_refund(self, choice: int) -> list[tuple[str, int, str]]:
        alive = [number for number, (_, status) in self.refunds.items() if status not in ("failed", "canceled")]
        number = alive[choice % len(alive)]
        amount, was = self.refunds[number]
        now = ("succeeded", "failed", "canceled")[choice % 3] if was == "pending" else "failed"
        self.refunds[number] = (amount, now)
        return [("refund", number, now), ("refunds", 0, "")]

    def _dispute(self, choice: int, status: str) -> list[tuple[str, int, str]]:
        number = len(self.disputes)
        amount = self.goods.taken if choice % 2 else 1 + choice % self.goods.taken
        self.disputes[number] = (amount, status)
        return [("dispute", number, status)] * 2

    def _decide(self, choice: int) -> list[tuple[str, int, str]]:
        undecided = [number for number, (_, status) in self.disputes.items() if status.endswith("needs_response")]
        number = undecided[choice % len(undecided)]
        amount, was = self.disputes[number]
        now = (
            ("lost", "won", "won")
            if was == "needs_response"
            else ("warning_closed", "needs_response", "needs_response")
        )
        self.disputes[number] = (amount, now[choice % 3])
        return [("dispute", number, now[choice % 3])] * 2


# --- credits ---------------------------------------------------------------------------------------------------------


@dataclass
class Pot:
    """Credits of one source that end together: (day, hour).

    Below 0 it is so many hours before that day begins; from 0 on, some seconds after: nobody knows how many.
    """

    id: str
    source: str
    ends: tuple[int, int]
    free: bool
    left: int = 0
    held: int = 0
    expired: int = 0


@dataclass
class Note:
    """What a claw-back took from a pot (`None`: what was owed), how long that had to live, and what came back."""

    revision: int
    pot: Pot | None
    left: int
    day: int
    ends: tuple[int, int]


@dataclass
class Kept:
    """An open hold."""

    amount: int
    ends: int
    parts: list[tuple[Pot, int]]


@dataclass
class Purse:
    """One person's credits of one unit."""

    pots: list[Pot] = field(default_factory=list)
    debt: int = 0
    holds: dict[int, Kept] = field(default_factory=dict)
    unsure: bool = False

    def alive(self, day: int) -> list[Pot]:
        """Pots that can be spent from, in the order of spending."""
        found = [pot for pot in self.pots if pot.left and pot.ends[0] > day]
        seconds = defaultdict(list)
        for pot in found:
            if pot.ends[1] >= 0 and pot.ends != FOR_EVER:
                seconds[pot.ends[0]].append(pot.free)
        self.unsure |= any(len(free) > 1 and not all(free) for free in seconds.values())
        return sorted(found, key=lambda pot: (pot.ends, not pot.free, pot.id))

    def balance(self, day: int) -> int:
        return sum(pot.left for pot in self.alive(day))

    def held(self) -> int:
        return sum(kept.amount for kept in self.holds.values())

    def pick(self, amount: int, day: int) -> list[tuple[Pot, int]]:
        picked = []
        for pot in self.alive(day):
            share = min(amount, pot.left)
            amount -= share
            pot.left -= share
            picked.append((pot, share))
        return [(pot, share) for pot, share in picked if share]

    def pay_debt(self, amount: int) -> int:
        """Pay what is owed out of `amount`; return how much that was."""
        paid = min(amount, self.debt)
        self.debt -= paid
        return paid

    def new_day(self, day: int) -> None:
        """What ends, ends; holds that nobody has ended are released."""
        lapsed = [number for number, kept in self.holds.items() if kept.ends <= day]
        self.unsure |= len(lapsed) > 1 and self.debt > 0  # the first of them pays, whichever that is
        for number in lapsed:
            self.end(number, 0, day)
        for pot in self.pots:
            if pot.ends[0] <= day:
                pot.expired, pot.left = pot.expired + pot.left, 0

    def end(self, number: int, used: int, day: int) -> None:
        kept = self.holds.pop(number)
        eaten = None
        back = []
        for pot, share in sorted(kept.parts, key=lambda part: (part[0].ends, not part[0].free, part[0].id)):
            pot.held -= share
            spent = min(used, share)
            used -= spent
            back.append((pot, share - spent))
        eaten = self.pay_debt(sum(share for _, share in back))
        for pot, share in back:
            lost = min(eaten, share)
            eaten -= lost
            if pot.ends[0] > day:
                pot.left += share - lost
            else:
                pot.expired += share - lost

    def merge(self, other: Purse, day: int) -> None:
        self.pots += other.pots
        self.holds |= other.holds
        self.debt += other.debt
        self.unsure |= other.unsure
        self.debt -= sum(share for _, share in self.pick(self.debt, day))


@dataclass
class Credits:
    """What an order's credits are worth, and where they were taken from."""

    id: str
    ends: tuple[int, int] = FOR_EVER
    free: bool = False
    days: int | None = None
    worth: int = 0
    revision: int = 0
    notes: list[Note] = field(default_factory=list)

    def become(self, worth: int, purse: Purse, day: int) -> None:
        """Post the difference."""
        difference, self.worth = worth - self.worth, worth
        self.revision += difference != 0
        if difference > 0:
            self._give(purse, difference, day)
        elif difference < 0:
            self._take(purse, -difference, day)

    def _give(self, purse: Purse, amount: int, day: int) -> None:
        undone = []
        for note in sorted(self.notes, key=self._order, reverse=True):
            share = min(amount, note.left)
            amount -= share
            note.left -= share
            undone += [(note, share)] if share else []
        pots: list[tuple[Note | None, int]] = []
        for note, share in undone:
            if note.pot is not None and note.ends[0] <= note.day:
                note.pot.expired += share
            else:
                pots.append((note, share))
        pots.append((None, amount))
        eaten = purse.pay_debt(sum(share for _, share in pots))
        for number, (one, share) in enumerate(pots):
            lost = min(eaten, share)
            eaten -= lost
            if share > lost:
                self._pot(purse, one, number, day).left += share - lost

    def _order(self, note: Note) -> tuple[int, bool, bool, tuple[int, int], str]:
        """As they happened: own pots first, what was owed last."""
        if note.pot is None:
            return (note.revision, True, True, FOR_EVER, "")
        return (note.revision, False, not (note.pot.id + "/").startswith(self.id + "/"), note.ends, note.pot.id)

    def _pot(self, purse: Purse, note: Note | None, number: int, day: int) -> Pot:
        """Where given credits go: back to where they were, with the life they had, or into the order's own pot.

        What had been spent, and was owed, is as good as new.
        """
        if note is not None and note.pot is not None and note.ends == FOR_EVER:
            return note.pot
        if note is not None and (note.pot is not None or self.days is not None):
            ends = (day + (self.days or 0), 0) if note.pot is None else (note.ends[0] - note.day + day, note.ends[1])
            source, free = (self.id, self.free) if note.pot is None else (note.pot.source, note.pot.free)
            return self._new(purse, Pot(f"{self.id}/{self.revision}/{number}", source, ends, free))
        own = [pot for pot in purse.pots if pot.id == self.id]
        return own[0] if own else self._new(purse, Pot(self.id, self.id, self.ends, self.free))

    def _new(self, purse: Purse, pot: Pot) -> Pot:
        purse.pots.append(pot)
        return pot

    def _take(self, purse: Purse, amount: int, day: int) -> None:
        own = sorted((p for p in purse.pots if p.source == self.id), key=lambda p: (p.ends, not p.free, p.id))
        for pot in own:
            share = min(amount, pot.expired)
            pot.expired -= share
            amount -= share
            self._note(pot, share, day)
        for pot in [*(p for p in own if p.left), *(p for p in purse.alive(day) if p.source != self.id)]:
            share = min(amount, pot.left)
            pot.left -= share
            amount -= share
            self._note(pot, share, day)
        purse.debt += amount
        self._note(None, amount, day)

    def _note(self, pot: Pot | None, amount: int, day: int) -> None:
        if amount:
            self.notes.append(Note(self.revision, pot, amount, day, pot.ends if pot is not None else FOR_EVER))


# --- everything together ---------------------------------------------------------------------------------------------


@dataclass
class Model:
    """What is true of a history so far."""

    history: History
    orders: list[Sold] = field(init=False)
    credits: list[Credits] = field(init=False)
    purses: dict[tuple[int, str], Purse] = field(init=False)
    now: list[int] = field(default_factory=lambda: [0, 1])
    spent: dict[str, int] = field(default_factory=lambda: dict.fromkeys(UNITS, 0))
    given: dict[str, int] = field(default_factory=lambda: dict.fromkeys(UNITS, 0))

    def __post_init__(self) -> None:
        self.orders = [Sold(goods) for goods in self.history.goods]
        self.credits = [Credits(f"order{n}", days=goods.days) for n, goods in enumerate(self.history.goods)]
        self.purses = {(who, unit): Purse() for who in (0, 1) for unit in UNITS}

    @property
    def lasting(self) -> bool:
        """Whether nothing ends: then plain arithmetic says what there is."""
        return all(goods.days is None for goods in self.history.goods)

    @property
    def unsure(self) -> bool:
        """Whether it depends on seconds which credits went first: then nobody knows what is left."""
        return any(purse.unsure for purse in self.purses.values())

    def new_day(self, day: int) -> None:
        for purse in self.purses.values():
            purse.new_day(day)

    def happen(self, deed: Deed, day: int) -> list[tuple[str, int, str]]:
        sold, given = self.orders[deed.order], self.credits[deed.order]
        heard = sold.happen(deed, day)
        if given.ends == FOR_EVER and sold.paid_day is not None and sold.goods.days is not None:
            given.ends = (sold.paid_day + sold.goods.days, -1 - deed.order)
        purse = self.purses[self.now[deed.order // 2], sold.goods.unit]
        given.become(sold.worth(sold.goods.credits), purse, day)
        return heard

    def spend(self, act: Act, day: int) -> int | None:
        """What can be spent after spending, or `None` when that is more than there is."""
        purse, amount = self.purse(act), spend_of(act)
        if purse.balance(day) < amount:
            return None
        purse.pick(amount, day)
        self.spent[act.unit] += amount
        return purse.balance(day)

    def hold(self, act: Act, name: int, day: int) -> int | None:
        purse, amount = self.purse(act), hold_of(act)
        if purse.balance(day) < amount:
            return None
        picked = purse.pick(amount, day)
        for pot, share in picked:
            pot.held += share
        purse.holds[name] = Kept(amount, day + 1 + act.number % 3, picked)
        return purse.balance(day)

    def end(self, act: Act, name: int, used: int, day: int) -> int:
        purse = self.purse(act)
        purse.end(name, used, day)
        self.spent[act.unit] += used
        return purse.balance(day)

    def give(self, act: Act, name: int, day: int) -> int:
        purse, amount = self.purse(act), gift_of(act)
        days = gift_days(act, lasting=self.lasting)
        given = Credits(f"gift{name:03}", FOR_EVER if days is None else (day + days, name), free=True)
        given.become(amount, purse, day)
        self.given[act.unit] += amount
        return purse.balance(day)

    def purse(self, act: Act) -> Purse:
        return self.purses[self.now[act.person], act.unit]

    def merge(self, stays: int, goes: int, day: int) -> bool:
        """Merge, unless they are one already; say whether that was done."""
        if self.now[stays] == self.now[goes]:
            return False
        for unit in UNITS:
            self.purses[stays, unit].merge(self.purses.pop((goes, unit)), day)
        self.now = [stays, stays]
        return True

    def totals(self, day: int) -> dict[str, dict[str, int]]:
        """What there is by person and unit: what can be spent, is held, is owed."""
        return {
            f"{'ab'[who]} {unit}": {"balance": purse.balance(day), "held": purse.held(), "debt": purse.debt}
            for (who, unit), purse in self.purses.items()
        }

    def arithmetic(self, day: int) -> list[str]:
        """Where nothing ends, all that was given less all that was spent must be there, or is owed."""
        wrong = []
        for unit in UNITS if self.lasting else ():
            mine = [purse for (_, of), purse in self.purses.items() if of == unit]
            worth = sum(c.worth for c, o in zip(self.credits, self.orders, strict=True) if o.goods.unit == unit)
            there = sum(purse.balance(day) + purse.held() - purse.debt for purse in mine)
            if there != worth + self.given[unit] - self.spent[unit]:
                wrong.append(f"the model itself does not add up: {there} {unit}")
            wrong += [f"the model owes and has {unit}" for purse in mine if purse.debt and purse.balance(day)]
        return wrong


def spend_of(act: Act) -> int:
    """How much is spent."""
    return act.number % 30 + 1


def hold_of(act: Act) -> int:
    """How much is held."""
    return act.number % 25 + 1


def gift_of(act: Act) -> int:
    """How much is given for nothing."""
    return act.number % 20 + 1


def gift_days(act: Act, *, lasting: bool) -> int | None:
    """How long a gift lives."""
    return None if lasting or act.number % 2 else 1 + act.number % 4

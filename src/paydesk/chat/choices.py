"""What can be changed of a subscription in the chat, and what each change comes to. Pure.

A button that changes something says what was agreed to: words for the price as it was shown, from when it counts and
instead of what, and the millisecond in which it was asked. So what has changed meanwhile is asked again, an old button does
nothing, and one that is pressed twice is one wish. All of it fits into the 64 bytes that a button may send on every channel.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from paydesk import changes
from paydesk.catalog import Catalog, Price, Product
from paydesk.changes import Plan
from paydesk.showing import Shown
from paydesk.subscribed import products_of
from paydesk.subscriptions import Item, rests

ASKED_S_MAX = 86_400
"""For how long a question can be answered; later it is asked again."""

AHEAD_S_MAX = 60
"""By how much the clocks of two machines may differ."""

COUNT_MAX = 10_000

STEPS = (-1, 1, 2, 5, 10)
"""By how much a quantity can be changed with a button; any other is typed."""


@dataclass(frozen=True, slots=True)
class Can:
    """What can be done about a subscription just now, besides paying what is missing."""

    plans: tuple[Plan, ...] = ()
    count: bool = False
    pause: bool = False
    resume: bool = False
    stay: bool = False
    keep: bool = False
    end_now: bool = False

    @property
    def anything(self) -> bool:
        """Say whether there is anything besides canceling and keeping."""
        return bool(self.plans) or self.count or self.pause or self.resume or self.stay or self.end_now


def possible(
    catalog: Catalog, shown: Shown, others: Collection[Shown] = (), gone: Collection[str] = ()
) -> Can:  # fmt: skip
    """Return what can be done; `others` are the person's further subscriptions, `gone` what nobody can buy just now.

    While a payment is missing, or nothing is collected, no plan is changed: nobody would pay for it.
    """
    own = shown.own
    settled = _is_settled(shown)
    item = own.items[0] if len(own.items) == 1 else None
    return Can(
        plans=_plans(catalog, shown, item, others, gone) if settled and item is not None else (),
        count=settled and item is not None and _price_of(catalog, item) is not None and counts(catalog, item),
        pause=settled and own.status == "active",
        resume=own.cancel_at is None and rests(shown.bill),
        stay=own.cancel_at is None and (shown.pending is not None or own.changes_at is not None),
        keep=own.cancel_at is not None,
        end_now=own.status != "incomplete",
    )


def _is_settled(shown: Shown) -> bool:
    """Say whether it runs as it should: paid, collected, and without an end."""
    own = shown.own
    running = own.status in ("active", "trialing") and own.cancel_at is None and not rests(shown.bill)
    return running and shown.unpaid is None and shown.stands.grace_ends is None


# --- plans and quantities --------------------------------------------------------------------------------------------


def _plans(
    catalog: Catalog, shown: Shown, item: Item, others: Collection[Shown], gone: Collection[str]
) -> tuple[Plan, ...]:
    """Return the other plans it can be changed to, those of its own product first."""
    has = {product for one in others if one.own.id != shown.own.id for product in products_of(one.own.items)}
    here = str(item.terms.get("product", ""))
    found = [
        Plan(price, quantity_for(product, item))
        for product in sorted(catalog.products.values(), key=lambda one: one.key != here)
        for price in product.prices
        if price.interval is not None and price.key != item.key and price.currency == currency_of(shown, item)
        and product.key not in has and not {product.key, price.key} & set(gone)
    ]  # fmt: skip
    return tuple(found)


def currency_of(shown: Shown, item: Item) -> str:
    """Return the currency that a subscription is billed in: it never changes."""
    return shown.newest.currency if shown.newest is not None else item.currency


def quantity_for(product: Product, item: Item) -> int:
    """Return how many of another product somebody wants who has so many of this one."""
    return item.quantity if _counts(product) else 1


def counts(catalog: Catalog, item: Item) -> bool:
    """Say whether somebody may want another number of what they have."""
    product = catalog.products.get(str(item.terms.get("product", "")))
    return item.quantity > 1 or (product is not None and _counts(product))


def _counts(product: Product) -> bool:
    """Say whether more of a product give more: credits for each, or seats that the shop itself counts.

    A role or a feature is there or not, so two of them are no more than one.
    """
    return all(grant.kind == "credits" for grant in product.grants)


def _price_of(catalog: Catalog, item: Item) -> Price | None:
    price = catalog.find_price(item.key or "")
    return price if price is not None and price.interval is not None else None


def of_count(catalog: Catalog, item: Item, count: int) -> Plan | None:
    """Return so many of what somebody has, at today's price; `None` where that cannot be had."""
    price = _price_of(catalog, item)
    return Plan(price, count) if price is not None and 1 <= count <= COUNT_MAX else None


def plan_of(can: Can, word: str) -> Plan | None:
    """Return the plan that a button or somebody's word means: the word of its price, its key, or its product's."""
    named = [one for one in can.plans if word in (word_of(one.price), one.price.key)]
    ours = [one for one in can.plans if one.price.product == word]
    found = named or ours
    return found[0] if len(found) == 1 else None


# --- what it comes to ------------------------------------------------------------------------------------------------


def charged_now(catalog: Catalog, shown: Shown, plan: Plan, now: datetime) -> int | None:
    """Return about how much a change that counts at once costs now, in the smallest unit of its currency.

    `None` where that cannot be told: what is paid differs from the prices, by a discount, a tax or a balance, or the next
    cycle has just begun.
    """
    item, newest = shown.own.items[0], shown.newest
    if shown.own.status == "trialing":
        return 0
    if item.amount is None or newest is None or newest.total != sum(line.amount for line in newest.lines):
        return None
    if not now < item.end:
        return None
    left = min(1.0, (item.end - now) / (item.end - item.start))
    after = plan.price.amount * plan.quantity
    if changes.begins_anew(catalog, item, plan.price):
        return max(0, after - round(item.amount * left))
    return max(0, round((after - item.amount) * left))


def counts_later(catalog: Catalog, shown: Shown, plan: Plan) -> bool:
    """Say whether a change waits for the end of the cycle."""
    return when(catalog, shown, plan) == "period_end"


def when(catalog: Catalog, shown: Shown, plan: Plan) -> str:
    """Return when a change counts: `now`, or at the `period_end`."""
    return changes.usual_time(catalog, shown, plan)


# --- what buttons say ------------------------------------------------------------------------------------------------


def word_of(price: Price) -> str:
    """Return a short word that means a price as it is today: it is another one when anything of the price changes."""
    of = f"{price.key} {price.amount} {price.currency} {price.interval_count} {price.interval}"
    return sha256(of.encode()).hexdigest()[:8]


def word_of_change(catalog: Catalog, shown: Shown, plan: Plan) -> str:
    """Return a short word that means a change as it is asked now: its price, from when it counts, and instead of what."""
    of = f"{word_of(plan.price)} {plan.quantity} {when(catalog, shown, plan)} {changes.asked_from(shown)}"
    return sha256(of.encode()).hexdigest()[:8]


def mark(now: datetime) -> str:
    """Return the mark of what is asked now, to the millisecond: whoever is asked again at once may wish again."""
    return f"{round(now.timestamp() * 1000):x}"


def is_mark(word: str, now: datetime, since: datetime) -> bool:
    """Say whether a word is the mark of something that was asked not long ago, and not before `since`."""
    try:
        asked_ms = int(word, 16)
    except ValueError:
        return False
    first_s, last_s = max(now.timestamp() - ASKED_S_MAX, since.timestamp()), now.timestamp() + AHEAD_S_MAX
    return int(first_s * 1000) <= asked_ms <= last_s * 1000


def answers(word: str, shown: Shown, now: datetime) -> bool:
    """Say whether a word is the mark of what was asked about a subscription not long ago, in the cycle it is in.

    What was asked in the cycle before is asked again: what it costs now, and until when it is kept, is another.
    """
    begun = max(item.start for item in shown.own.items)
    return is_mark(word, now, min(begun, now))

"""What people say about their subscriptions: /billing shows them, /cancel ends them with their period, /keep takes it back.

What else can be changed of one is in `plans`.

Chat never waits for Stripe: a wish goes by the outbox, once however often its button is pressed, and what has become
of it is told when it is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from paydesk import outbox, portal, subscribed, waiting
from paydesk.catalog import Catalog
from paydesk.channels.base import Button
from paydesk.chat import choices
from paydesk.chat.choices import Can
from paydesk.chat.reply import Reply
from paydesk.chat.texts import LABEL_MAX, Words, one_line
from paydesk.errors import NotFound
from paydesk.outbox import Message
from paydesk.privacy import Vault
from paydesk.store import Store
from paydesk.subscribed import Shown
from paydesk.subscriptions import lapse

SHOWN_MAX = 10

OF_ENDS = {
    "cancel_ask": ("cancel_ask_unpaid", "cancel_ask_lapsed", "cancel_ask_grace"),
    "cancel_done": ("cancel_done_unpaid", "cancel_done_lapsed", "cancel_done_grace"),
}
"""What a text is instead where something was never paid, is not kept any more, or is kept only for some days of grace."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the answers need."""

    store: Store
    catalog: Catalog
    vault: Vault
    public_url: str


async def has_any(desk: Desk, customer: str) -> bool:
    """Tell whether somebody has a subscription that lives."""
    return bool(await subscribed.listed(desk.store, customer, status="live", limit=1))


async def live(desk: Desk, customer: str) -> list[Shown]:
    """Return a person's live subscriptions, the newest first, with the changes that will be made, and no others."""
    found = await subscribed.listed(desk.store, customer, status="live", limit=SHOWN_MAX)
    return [waiting.seen(desk.catalog, one) for one in found]


async def billing(desk: Desk, customer: str, words: Words) -> Reply:
    """Tell what somebody is subscribed to and until when, with what they can do about it, and the way to the portal."""
    shown = await live(desk, customer)
    if not shown:
        return nothing(words)
    several, now = len(shown) > 1, desk.store.clock.now()
    buttons: list[Button] = []
    for one in shown:
        can = choices.possible(desk.catalog, one, shown)
        buttons += await pay_buttons(desk, one, words, named=several)
        buttons += _few(one, can, words, now) if several else actions(one, can, words, now=now, alone=True)
    text = "\n".join(line_of(desk.catalog, one, words, now) for one in shown)
    return Reply(text, (*buttons, portal_button(desk, customer, words)))


def nothing(words: Words, *, unknown: bool = False) -> Reply:
    """Say that somebody has no subscription, or none that is the one they named."""
    if unknown:
        return Reply(words.say("unknown_subscription"))
    return Reply(words.say("no_subscription"), (Button(words.button("button_buy"), command="/buy"),))


async def cancel(desk: Desk, customer: str, argument: str, words: Words) -> Reply:
    """Ask whether a subscription shall end with its period; after yes, which bears the mark of that question, let it."""
    wanted, _, mark = argument.partition(" ")
    if not wanted.startswith("sub_"):
        return await _which(desk, customer, words)
    shown = await own(desk, customer, wanted)
    if shown is None:
        return Reply(words.say("unknown_subscription"))
    now = desk.store.clock.now()
    if choices.answers(mark.strip(), shown, now):
        new = await _wish(desk, shown, mark.strip(), cancel_at_period_end=True)
        if new or shown.own.cancel_at is None:
            keeps = () if shown.own.status == "incomplete" else (_keep(shown, words, now),)
            return Reply(_of_end(desk, shown, words, "cancel_done"), keeps)
    return _question(desk, shown, words) if shown.own.cancel_at is None else _already(shown, words, now)


async def keep(desk: Desk, customer: str, argument: str, words: Words) -> Reply:
    """Take back that a subscription ends, at the press of a button that bears a mark; else show that button."""
    wanted, _, mark = argument.partition(" ")
    if not wanted.startswith("sub_"):
        return await _which_ends(desk, customer, words)
    shown = await own(desk, customer, wanted)
    if shown is None:
        return Reply(words.say("unknown_subscription"))
    now = desk.store.clock.now()
    if not choices.answers(mark.strip(), shown, now):
        return Reply(line_of(desk.catalog, shown, words, now), (_keep(shown, words, now),))
    await _wish(desk, shown, mark.strip(), cancel_at_period_end=False)
    return Reply(words.say("keep_done", name=one_line(shown.name), day=words.day(shown.own.period_end)))


async def _which(desk: Desk, customer: str, words: Words) -> Reply:
    """Ask which subscription is meant, where there are several that go on."""
    shown = await live(desk, customer)
    going_on = [one for one in shown if one.own.cancel_at is None]
    if not shown:
        return Reply(words.say("no_subscription"))
    if len(shown) == 1:
        if going_on:
            return _question(desk, shown[0], words)
        return _already(shown[0], words, desk.store.clock.now())
    buttons = (Button(one_line(one.name, LABEL_MAX), command=f"/cancel {one.own.id}") for one in going_on)
    return Reply(words.say("which_subscription"), tuple(buttons))


async def _which_ends(desk: Desk, customer: str, words: Words) -> Reply:
    """Show those of a person's subscriptions that end, each with the button that keeps it."""
    shown = await live(desk, customer)
    ending = [one for one in shown if one.own.cancel_at is not None]
    if not ending:
        return Reply(words.say("nothing_ends"))
    now = desk.store.clock.now()
    buttons = (_keep(one, words, now, named=len(ending) > 1) for one in ending)
    return Reply("\n".join(line_of(desk.catalog, one, words, now) for one in ending), tuple(buttons))


def _question(desk: Desk, shown: Shown, words: Words) -> Reply:
    mark = choices.mark(desk.store.clock.now())
    yes = Button(words.button("button_cancel_yes"), command=f"/cancel {shown.own.id} {mark}")
    no = Button(words.button("button_cancel_no"), command="/billing")
    return Reply(_of_end(desk, shown, words, "cancel_ask"), (yes, no))


def _of_end(desk: Desk, shown: Shown, words: Words, name: str) -> str:
    """Return what a text says of a subscription that is to end with its period, by what is kept until when.

    What was never paid has no period, and what is not paid any more is not kept to the end of the one it is in.
    """
    kept = kept_until(shown, desk.store.clock.now())
    never_paid, lapsed, in_grace = OF_ENDS[name]
    if shown.own.status == "incomplete":
        name = never_paid
    elif kept is None:
        name = lapsed
    elif shown.stands.grace_ends is not None:
        name = in_grace
    return words.say(name, name=one_line(shown.name), day=words.day(kept or shown.own.period_end))


def kept_until(shown: Shown, now: datetime) -> datetime | None:
    """Return until when somebody keeps what they have if nothing more is paid; `None` when they do not have it now."""
    stands = shown.stands
    if stands.since is None or (stands.until is not None and stands.until <= now):
        return None
    return min(stands.until or shown.own.period_end, shown.own.period_end)


def _already(shown: Shown, words: Words, now: datetime) -> Reply:
    ends = shown.own.cancel_at or shown.own.period_end
    text = words.say("cancel_already", name=one_line(shown.name), day=words.day(ends))
    return Reply(text, (_keep(shown, words, now),))


def _keep(shown: Shown, words: Words, now: datetime, *, named: bool = False) -> Button:
    label = words.button("button_keep_name", name=shown.name) if named else words.button("button_keep")
    return Button(label, command=f"/keep {shown.own.id} {choices.mark(now)}")


async def own(desk: Desk, customer: str, id_: str) -> Shown | None:
    """Return a live subscription, if it is this person's."""
    try:
        shown = waiting.seen(desk.catalog, await subscribed.get(desk.store, id_))
    except NotFound:
        return None
    return shown if shown.own.customer == customer and shown.own.live else None


async def _wish(desk: Desk, shown: Shown, mark: str, *, cancel_at_period_end: bool) -> bool:
    """Put a wish into the outbox, once for each button, however often that is pressed; `False` when it was there before."""
    id_ = shown.own.id
    params = {"subscription": id_, "cancel_at_period_end": cancel_at_period_end}
    key = f"wish:{id_}:{'end' if cancel_at_period_end else 'keep'} {mark}"
    async with desk.store.transaction() as tx:
        return bool(await outbox.put(tx, [Message(key, shown.own.customer, "stripe", id_, "wish", params)]))


# --- in words --------------------------------------------------------------------------------------------------------


async def pay_buttons(desk: Desk, shown: Shown, words: Words, *, named: bool) -> list[Button]:
    """Return the button that pays what is missing, if anything is."""
    if shown.unpaid is None:
        return []
    token = await desk.store.fetchval("SELECT link_token FROM orders WHERE id = $1", shown.unpaid.order)
    pay = words.button("button_pay_name", name=shown.name) if named else words.button("button_pay_missing")
    return [Button(pay, url=f"{desk.public_url}/r/{token}")]


def _few(shown: Shown, can: Can, words: Words, now: datetime) -> list[Button]:
    """Return what stands under several subscriptions for each: what leads to the rest, and its end or its keeping."""
    change = Button(words.button("button_change_name", name=shown.name), command=f"/plan {shown.own.id}")
    if can.keep:
        return [change, _keep(shown, words, now, named=True)]
    cancel = Button(words.button("button_cancel_name", name=shown.name), command=f"/cancel {shown.own.id}")
    return [change, cancel] if can.anything else [cancel]


def actions(shown: Shown, can: Can, words: Words, *, now: datetime, alone: bool) -> list[Button]:
    """Return a button for everything that can be done about a subscription, besides paying what is missing.

    Where it is `alone` it is not named: on some channels people type what a button would send.
    """
    begin = "/plan" if alone else f"/plan {shown.own.id}"
    wanted = (
        (bool(can.plans), "button_plan", f"{begin} plans"),
        (can.count, "button_count", f"{begin} count"),
        (can.stay, "button_stay", f"/plan {shown.own.id} stay {choices.mark(now)}"),
        (can.resume, "button_resume", f"{begin} resume"),
        (can.pause, "button_pause", f"{begin} pause"),
    )
    buttons = [Button(words.button(label), command=command) for offered, label, command in wanted if offered]
    buttons.append(_keep(shown, words, now) if can.keep else cancel_button(shown, words))
    return [*buttons, Button(words.button("button_end"), command=f"{begin} now")] if can.end_now else buttons


def cancel_button(shown: Shown, words: Words, label: str = "button_cancel") -> Button:
    """Return the button that asks whether a subscription shall end with its period."""
    return Button(words.button(label), command=f"/cancel {shown.own.id}")


def portal_button(desk: Desk, customer: str, words: Words) -> Button:
    """Return the button that leads to Stripe's portal."""
    return Button(words.button("button_manage"), url=portal.link(desk.vault, desk.public_url, customer))


def line_of(catalog: Catalog, shown: Shown, words: Words, now: datetime) -> str:
    """Return a subscription in a line: what it is, what it costs, and what comes next."""
    name, price, state = one_line(shown.name), price_of(catalog, shown, words), _state(catalog, shown, words, now)
    if not price:
        return words.say("subscription_line", name=name, state=state)
    return words.say("subscription_line_for", name=name, price=price, state=state)


def _state(catalog: Catalog, shown: Shown, words: Words, now: datetime) -> str:
    """Return what comes next of a subscription."""
    own = shown.own
    if own.cancel_at is not None:
        return words.say("state_ends", day=words.day(own.cancel_at))
    if own.status == "incomplete":
        return words.say("state_waits")
    grace_ends = shown.stands.grace_ends
    if grace_ends is not None and now < grace_ends:
        return words.say("state_grace", day=words.day(grace_ends))
    if grace_ends is not None or own.status in ("past_due", "unpaid"):
        return words.say("state_unpaid")
    if own.paused is not None or own.status == "paused":
        return words.say("state_paused")
    if lapse(shown.bill) is not None:
        return words.say("state_lapsed", day=words.day(own.period_end))
    if own.status == "trialing":
        return words.say("state_free", day=words.day(own.trial_end or own.period_end))
    if shown.pending is not None:
        return _changes_to(catalog, shown.pending.price, shown.pending.quantity, words.day(own.period_end), words)
    if own.changes_at is not None:
        only = own.changes_to[0] if len(own.changes_to) == 1 else None
        key, count = ("", 1) if only is None else (only.key or "", only.quantity)
        return _changes_to(catalog, key, count, words.day(own.changes_at), words)
    return words.say("state_renews", day=words.day(own.period_end))


def price_of(catalog: Catalog, shown: Shown, words: Words) -> str:
    """Return what a cycle costs in words, as Stripe has it, else as the catalogue says; nothing where that is not plain."""
    if len(shown.own.items) != 1:
        return ""
    item = shown.own.items[0]
    price = catalog.find_price(item.key or "")
    if item.amount is not None:
        return words.every(words.money(item.amount, item.currency), price)
    if price is None:
        return ""
    return words.every(words.money(price.amount * item.quantity, price.currency), price)


def _changes_to(catalog: Catalog, key: str, count: int, day: str, words: Words) -> str:
    """Return to which plan and quantity a subscription changes, and on which day; "another" where that is not known."""
    price = catalog.find_price(key)
    if price is None:
        return words.say("state_changes", day=day)
    name = one_line(catalog.products[price.product].name)
    named = f"{name} × {words.number(count)}" if count > 1 else name
    cost = words.every(words.money(price.amount * count, price.currency), price)
    return words.say("state_changes_to", name=named, price=cost, day=day)

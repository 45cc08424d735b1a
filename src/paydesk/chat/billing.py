"""What people say about their subscriptions: /billing shows them, /cancel ends them with their period, /keep takes it back.

Chat never waits for Stripe: a wish goes by the outbox, once however often its button is pressed, and what has become
of it is told when it is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from paydesk import money, outbox, portal, subscribed
from paydesk.catalog import Catalog
from paydesk.channels.base import Button
from paydesk.errors import NotFound
from paydesk.outbox import Message
from paydesk.privacy import Vault
from paydesk.store import Store
from paydesk.subscribed import Shown

SHOWN_MAX = 10
NOTHING = "You have no subscription. /buy shows what there is."
UNKNOWN = "You have no such subscription. /billing shows what you have."


@dataclass(frozen=True, slots=True)
class Answer:
    """A text with its buttons."""

    text: str
    buttons: tuple[Button, ...] = ()


@dataclass(frozen=True, slots=True)
class Desk:
    """What the answers need."""

    store: Store
    catalog: Catalog
    vault: Vault
    public_url: str


async def billing(desk: Desk, customer: str) -> Answer:
    """Tell what somebody is subscribed to, until when, and lead them to the portal, or to a payment that is missing."""
    shown = await subscribed.listed(desk.store, customer, status="live", limit=SHOWN_MAX)
    if not shown:
        return Answer(NOTHING, (Button("Buy", command="/buy"),))
    buttons = [button for one in shown for button in await _buttons(desk, one, several=len(shown) > 1)]
    manage = Button("Cards, invoices, plan", url=portal.link(desk.vault, desk.public_url, customer))
    return Answer("\n".join(f"• {line_of(desk.catalog, one)}" for one in shown), (*buttons, manage))


async def cancel(desk: Desk, customer: str, argument: str) -> Answer:
    """Ask whether a subscription shall end with its period; after yes, let it."""
    wanted, _, sure = argument.partition(" ")
    if not wanted:
        return await _which(desk, customer)
    shown = await _own(desk, customer, wanted)
    if shown is None:
        return Answer(UNKNOWN)
    ends = shown.own.cancel_at
    if ends is not None:
        return Answer(f"{shown.name} ends on {day(ends)} already.", (_keep(shown),))
    if sure.strip().lower() != "yes":
        return _question(shown)
    await _wish(desk, shown, cancel_at_period_end=True)
    until = day(shown.own.period_end)
    return Answer(
        f"{shown.name} is being canceled. You keep it until {until}, and nothing is charged again.", (_keep(shown),)
    )


async def keep(desk: Desk, customer: str, argument: str) -> Answer:
    """Take back that a subscription ends."""
    shown = await _own(desk, customer, argument.strip())
    if shown is None:
        return Answer(UNKNOWN)
    await _wish(desk, shown, cancel_at_period_end=False)
    return Answer(f"{shown.name} is being kept: it goes on, and renews on {day(shown.own.period_end)}.")


async def _which(desk: Desk, customer: str) -> Answer:
    """Ask which subscription is meant, where there are several that go on."""
    shown = await subscribed.listed(desk.store, customer, status="live", limit=SHOWN_MAX)
    if not shown:
        return Answer(NOTHING)
    if len(shown) == 1 and shown[0].own.cancel_at is None:
        return _question(shown[0])
    if len(shown) == 1:
        ends = shown[0].own.cancel_at or shown[0].own.period_end
        return Answer(f"{shown[0].name} ends on {day(ends)} already.", (_keep(shown[0]),))
    return Answer(
        "Which one?",
        tuple(Button(one.name, command=f"/cancel {one.own.id}") for one in shown if one.own.cancel_at is None),
    )


def _question(shown: Shown) -> Answer:
    yes = Button("Yes, cancel it", command=f"/cancel {shown.own.id} yes")
    until = day(shown.own.period_end)
    text = f"Cancel {shown.name}? You keep it until {until}, nothing is charged again, and you can take it back until then."
    return Answer(text, (yes, Button("No, keep it", command="/billing")))


def _keep(shown: Shown) -> Button:
    return Button("Keep it", command=f"/keep {shown.own.id}")


async def _own(desk: Desk, customer: str, id_: str) -> Shown | None:
    """Return a live subscription, if it is this person's."""
    try:
        shown = await subscribed.get(desk.store, id_)
    except NotFound:
        return None
    return shown if shown.own.customer == customer and shown.own.live else None


async def _wish(desk: Desk, shown: Shown, *, cancel_at_period_end: bool) -> None:
    """Put a wish into the outbox: once for what is known of the subscription now, however often it is pressed."""
    id_ = shown.own.id
    params = {"subscription": id_, "cancel_at_period_end": cancel_at_period_end}
    async with desk.store.transaction() as tx:
        noted = await tx.fetchval("SELECT asked_at FROM subscription WHERE id = $1", id_)
        key = f"wish:{id_}:{'end' if cancel_at_period_end else 'keep'}:{noted.timestamp()}"
        await outbox.put(tx, [Message(key, shown.own.customer, "stripe", id_, "wish", params)])


# --- in words --------------------------------------------------------------------------------------------------------


async def _buttons(desk: Desk, shown: Shown, *, several: bool) -> list[Button]:
    """Return what can be done about a subscription: pay what is missing, cancel, or keep it."""
    name = f" {shown.name}" if several else ""
    buttons = []
    if shown.unpaid is not None:
        token = await desk.store.fetchval("SELECT link_token FROM orders WHERE id = $1", shown.unpaid.order)
        buttons.append(Button(f"Pay{name}", url=f"{desk.public_url}/r/{token}"))
    if shown.own.cancel_at is not None:
        return [*buttons, Button(f"Keep{name or ' it'}", command=f"/keep {shown.own.id}")]
    return [*buttons, Button(f"Cancel{name}", command=f"/cancel {shown.own.id}")]


def line_of(catalog: Catalog, shown: Shown) -> str:
    """Return a subscription in a line: what it is, what it costs, and what comes next."""
    own, price = shown.own, _price(catalog, shown)
    named = f"{shown.name} – {price}" if price else shown.name
    if own.cancel_at is not None:
        return f"{named}. Ends on {day(own.cancel_at)}."
    if own.status == "incomplete":
        return f"{named}. Waits for its first payment."
    if shown.stands.grace_ends is not None:
        return f"{named}. The last payment did not go through: you keep it until {day(shown.stands.grace_ends)}."
    if own.status in ("past_due", "unpaid"):
        return f"{named}. The last payment did not go through."
    if own.paused is not None or own.status == "paused":
        return f"{named}. Paused."
    if own.status == "trialing":
        return f"{named}. Free until {day(own.trial_end or own.period_end)}."
    if shown.planned is not None:
        return f"{named}. Changes to {_planned(catalog, shown)} on {day(own.period_end)}."
    return f"{named}. Renews on {day(own.period_end)}."


def _price(catalog: Catalog, shown: Shown) -> str:
    """Return what a cycle costs, as Stripe has it, else as the catalogue says."""
    if len(shown.own.items) != 1:
        return ""
    item = shown.own.items[0]
    price = catalog.find_price(item.key or "")
    every = price.every() if price is not None else ""
    if item.amount is not None:
        return money.display(item.amount, item.currency) + every
    return money.display(price.amount * item.quantity, price.currency) + every if price is not None else ""


def _planned(catalog: Catalog, shown: Shown) -> str:
    price = catalog.find_price(shown.planned.price) if shown.planned is not None else None
    return f"{catalog.products[price.product].name}, {price.display()}," if price is not None else "another plan"


def day(moment: datetime) -> str:
    """Return a day as people read it."""
    return f"{moment:%-d %B %Y}"

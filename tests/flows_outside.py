"""The flows whose other end is a platform: Stars on Telegram, a role on Discord, events for a shop's server.

The platform is played in a process of its own (`stage`): it outlives whoever is killed, and is asked at the end what it
was told. A message may be repeated by whoever takes over; what a platform has done is done once.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from faults import Actor, Flow, Step, drain
from flows import CARD, beforehand, hear, hear_and_work, order_in_chat, pay, post, week_passes, work
from flows_money import UNIT, WALLET, once_more, person, spend
from paydesk import arrivals, customers
from paydesk.channels.base import Arrival, Channel, Limits
from stage import DOOR, Stage
from telegram_fixtures import channel_at

PLATFORM = "STAGE_URL"
"""Where a desk's settings keep the address of the platform that is played."""


def stage_of(actor: Actor) -> Stage:
    """Return the way to the platform that is played."""
    return Stage(actor.service.settings.environ[DOOR])


def telegram_at(url: str) -> Channel:
    """Return the channel at a played Telegram, whose chats may be spoken to without a second's pause."""
    channel = channel_at(url)
    channel.limits = Limits(per_s=1000.0)
    return channel


# --- Telegram ------------------------------------------------------------------------------------------------------------


def number_of(actor: Actor) -> int:
    """Return who the actor is on Telegram."""
    return int(actor.name.rpartition("-")[2])


async def ask_for_invoice(actor: Actor) -> None:
    """Somebody starts the bot and asks to pay in Stars."""
    stage_of(actor).ask("comes", number_of(actor))
    stage_of(actor).ask("asks", number_of(actor), "/stars credits-10")


async def fetch_updates(actor: Actor) -> None:
    """The desk fetches what Telegram has for it, until Telegram has been told that nothing is left."""
    channel, stage = actor.service.channels["telegram"], stage_of(actor)

    async def keep(came: Sequence[Arrival]) -> None:
        await arrivals.keep(actor.service.receiver, channel.name, came, livemode=False)
        for one in came:
            actor.acknowledged(one.external_id)

    polling = asyncio.create_task(channel.poll(keep))
    while stage.ask("to_fetch") and not polling.done():
        await asyncio.sleep(0.01)
    polling.cancel()
    (end,) = await asyncio.gather(polling, return_exceptions=True)
    assert isinstance(end, asyncio.CancelledError), f"polling ended: {end!r}"


async def pay_in_stars(actor: Actor) -> None:
    """Somebody confirms to pay the invoice: Telegram asks the desk whether they may."""
    own = "SELECT id FROM orders WHERE channel = 'telegram' AND external_id = $1"
    actor.keep("order", await actor.service.store.fetchval(own, str(number_of(actor))))
    stage_of(actor).ask("pays_invoice", number_of(actor))


async def give_stars_back(actor: Actor) -> None:
    """`POST /v1/refunds`, of an order that was paid in Stars."""
    await post(actor, "/v1/refunds", {"order": actor.memory["order"]}, key="back")


async def telegram_again(actor: Actor) -> None:
    """Telegram tells everything once more, and the refund is asked for once more."""
    stage_of(actor).ask("tells_again", number_of(actor))
    await fetch_updates(actor)
    await give_stars_back(actor)
    await drain(actor.service)
    await fetch_updates(actor)
    await drain(actor.service)


STARS_HERE = """
SELECT o.status,
    (SELECT jsonb_agg(jsonb_build_array(p.id, p.status, p.amount, p.currency)) FROM payment p WHERE p.order_id = o.id),
    (SELECT jsonb_agg(jsonb_build_array(r.status, r.amount)) FROM refund r JOIN payment p ON p.id = r.payment_id
     WHERE p.order_id = o.id)
FROM orders o WHERE o.channel = 'telegram' AND o.external_id = $1
"""

PUT = "SELECT template, state FROM outbox WHERE address = $1"


async def stars_went_back(actor: Actor) -> list[str]:
    """Look whether one charge was made and given back, there and here, and everything was said and done once."""
    store, who = actor.service.store, str(number_of(actor))
    there = stage_of(actor).ask("knows", number_of(actor))
    found = [f"telegram: {one}" for one in there["complaints"]]
    if list(there["charges"].values()) != ["refunded"]:
        found.append(f"telegram: the charges are {there['charges']}")
    rows = [tuple(row) for row in await store.fetch(STARS_HERE, who)]
    paid = [[f"stars_{charge}", "succeeded", 650, "xtr"] for charge in there["charges"]]
    if rows != [("refunded", paid, [["succeeded", 650]])]:
        found.append(f"effect: orders, payments and refunds are {rows}")
    wallet = tuple(await store.fetchrow(WALLET, await store.fetchval(customers.FIND, "telegram", who), UNIT) or ())
    if wallet != (0, 0, 0):
        found.append(f"effect: balance, held and debt are {wallet}")
    put = sorted(tuple(row) for row in await store.fetch(PUT, who))
    if put != [(what, "sent") for what in ("answer_paying", "give_back", "paid", "refunded", "reply")]:
        found.append(f"message: the outbox has {put}")
    return found + _read_there(there["texts"], "Refunded: 650", once=("Paid 650", "Refunded: 650"))


def _read_there(texts: Sequence[str], last: str, *, once: Iterable[str]) -> list[str]:
    """Return what is wrong with what somebody reads: the last word is there, and nothing more than once repeated."""
    plain = [text.replace("\u00a0", " ") for text in texts]
    found = [] if any(last in text for text in plain) else [f"message: nobody was told {last!r}: {plain}"]
    often = {words: sum(words in text for text in plain) for words in once}
    return found + [f"message: {words!r} is read {times} times" for words, times in often.items() if times > 2]


STARS = Flow(
    "a purchase in Stars that goes back",
    (
        beforehand(ask_for_invoice, fetch_updates, work),
        pay_in_stars, fetch_updates, work, fetch_updates, work,
        give_stars_back, work, fetch_updates, work,
    ),
    telegram_again,
    stars_went_back,
)  # fmt: skip


# --- Discord -------------------------------------------------------------------------------------------------------------

ROLE_CATALOG = """
[products.gold]
name = "Gold for a week"
prices = [{{ key = "gold", currency = "usd", amount = "9.00" }}]
grants = [{{ kind = "role", channel = "discord", space = "{guild}", role = "{role}", days = 7 }}]
"""


def role_catalog(folder: Path, stage: Stage) -> Path:
    """Write what is sold on a played Discord."""
    path = folder / "catalog_role.toml"
    path.write_text(ROLE_CATALOG.format(**stage.facts), encoding="utf-8")
    return path


async def order_role(actor: Actor) -> None:
    """Somebody joins the server and orders the role that is sold there."""
    if "member" not in actor.memory:
        actor.keep("member", stage_of(actor).ask("comes"))
    who = {"channel": "discord", "external_id": actor.memory["member"]}
    order = await post(actor, "/v1/checkouts", {"customer": who, "items": [{"price": "gold"}]}, key="gold")
    actor.keep("order gold", order["id"])


def has_role(wanted: bool) -> Step:
    """Look whether the role is worn by now, before anything else happens."""

    async def step(actor: Actor) -> None:
        there = stage_of(actor).ask("knows", actor.memory["member"])
        if there["has"] is not wanted:
            actor.journal.note("violation", actor.name, f"discord: has the role: {there['has']}")

    return step


async def role_was_lent(actor: Actor) -> list[str]:
    """Look whether the role was given, then taken, and never given again; it was paid once and told."""
    there = stage_of(actor).ask("knows", actor.memory["member"])
    found = [f"discord: {one}" for one in there["complaints"]]
    turns = " ".join(there["turns"])
    if there["has"] or not re.fullmatch(r"(given ?)+(taken ?)+", turns):
        found.append(f"discord: the role was {turns}, and is {'there' if there['has'] else 'gone'}")
    order = actor.memory["order gold"]
    status = await actor.service.store.fetchval("SELECT status FROM orders WHERE id = $1", order)
    if status != "fulfilled":
        found.append(f"effect: {order} is {status}")
    put = sorted(tuple(row) for row in await actor.service.store.fetch(PUT, actor.memory["member"]))
    if put != [("grant", "sent"), ("paid", "sent"), ("pass_ended", "sent"), ("revoke", "sent")]:
        found.append(f"message: the outbox has {put}")
    return found + _read_there(there["texts"], "Paid", once=("Paid",))


ROLE = Flow(
    "a role that is bought for a week and ends",
    (
        beforehand(order_role, pay("gold", CARD), hear), work, has_role(wanted=True),
        beforehand(week_passes), work, has_role(wanted=False),
    ),
    hear_and_work,
    role_was_lent,
)  # fmt: skip


# --- events for others -----------------------------------------------------------------------------------------------------


async def register(actor: Actor) -> None:
    """`POST /v1/webhook_endpoints`, once for all who ever come."""
    url = actor.service.settings.environ[PLATFORM]
    if not await actor.service.store.fetchval("SELECT count(*) FROM webhook_endpoint"):
        await post(actor, "/v1/webhook_endpoints", {"url": url, "enabled_events": ["*"]}, key="endpoint")


async def refund_a_part(actor: Actor) -> None:
    """`POST /v1/refunds`, of a third of the order."""
    await post(actor, "/v1/refunds", {"order": actor.memory["order credits-10"], "amount": 333}, key="part")


TOLD_SHOP = Counter(
    ["order.paid", "order.fulfilled", "payment.succeeded", "credits.granted", "credits.spent",
     "order.partially_refunded", "credits.taken_back"]
)  # fmt: skip
"""The facts of a purchase of which some is spent and some goes back: one event each."""


async def shop_heard(actor: Actor) -> list[str]:
    """Look whether the shop was told every fact, each by one event: at least once, and always by the same words."""
    said: dict[str, set[str]] = {}
    for id_, body in stage_of(actor).ask("heard", await person(actor)):
        said.setdefault(id_, set()).add(body)
    events = [json.loads(body) for bodies in said.values() for body in bodies]
    facts = Counter(event["type"] for event in events)
    found = [f"event: {id_} was told in {len(bodies)} ways" for id_, bodies in said.items() if len(bodies) > 1]
    if facts != TOLD_SHOP:
        found.append(f"event: the shop was told {dict(facts)}")
    if {event["id"] for event in events} != set(said):
        found.append("event: one came under another's id")
    return found


EVENTS = Flow(
    "a purchase, some of which is spent and some goes back, of which a shop is told",
    (
        beforehand(register, order_in_chat("credits-10"), pay("credits-10", CARD), hear), work,
        spend(3, "spend"), work, refund_a_part, beforehand(hear), work,
    ),
    once_more(spend(3, "spend"), refund_a_part),
    shop_heard,
)  # fmt: skip

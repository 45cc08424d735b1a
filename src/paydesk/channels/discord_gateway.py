"""Discord's gateway, for a bot that Discord cannot call: the same arrivals, over a connection that we open.

The connection itself (heartbeats, resuming, reconnecting) is hikari's, which is installed with `paydesk[discord]` and
imported here alone, when `DISCORD_MODE=gateway` asks for it. An interaction is stored first and deferred then: what was
deferred is never lost. While the database is away, what is heard waits in memory, in its order and bounded: when there
is no room for more we hang up, and who asks then sees that nobody answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from paydesk.channels import discord_shop
from paydesk.channels.base import Arrival, DeliveryError, Keep
from paydesk.channels.discord_api import Api
from paydesk.channels.discord_failures import Aim
from paydesk.channels.discord_ids import is_id
from paydesk.channels.discord_interactions import AUTOCOMPLETE, BODY_BYTES_MAX, arrival_of, deferral
from paydesk.channels.discord_settings import DiscordSettings
from paydesk.errors import SettingError, StoreUnavailable

if TYPE_CHECKING:
    import hikari

log = logging.getLogger(__name__)

AGAIN_S = 30.0
BATCH_MAX = 100
HEARD_MAX = 5000
"""So many events wait at most until they can be stored: some ten megabytes."""

KEEP_AGAIN_S = 1.0
INTENTS_DISALLOWED = 4014

INTERACTION, JOINED, MESSAGE = "INTERACTION_CREATE", "GUILD_MEMBER_ADD", "MESSAGE_CREATE"
HEEDED = (INTERACTION, JOINED, MESSAGE, *discord_shop.EVENTS)

Heard = tuple[str, dict[str, Any]]
"""An event's name and what it tells."""


def require() -> None:
    """Raise `SettingError` where the library is missing that speaks to the gateway."""
    try:
        import hikari  # noqa: F401
    except ImportError as error:
        raise SettingError('DISCORD_MODE=gateway needs one library more: pip install "paydesk[discord]"') from error


class Full(Exception):
    """So much waits to be stored that nothing more is listened to."""


async def listen(settings: DiscordSettings, api: Api, keep: Keep) -> None:
    """Keep what the gateway tells, for ever; a connection that ends is made anew.

    Who joins a server is told only to bots that are allowed the Server Members Intent: without it, all else still is.
    What was heard outlives its connection: it is stored, however often one ends meanwhile.
    """
    heard: asyncio.Queue[Heard] = asyncio.Queue(HEARD_MAX)
    storing = asyncio.create_task(_store(heard, api, keep), name="store what the gateway tells")
    try:
        await _listen(settings, heard, storing)
    finally:
        storing.cancel()


async def _listen(settings: DiscordSettings, heard: asyncio.Queue[Heard], storing: asyncio.Task[None]) -> None:
    import hikari

    members = True
    while True:
        try:
            await _session(settings, heard, storing, members=members)
        except hikari.GatewayServerClosedConnectionError as error:
            if error.code == INTENTS_DISALLOWED and members:
                members = False
                log.warning(
                    "Discord does not tell us who joins: switch on Server Members Intent (Developer Portal → Bot)"
                )
                continue
            log.warning("Discord's gateway closed the connection: %s %s", error.code, error.reason)
        except Full:
            log.warning("Discord: %d events wait to be stored; we hang up until they are", heard.qsize())
            await _until_stored(heard, storing)
            continue
        except (hikari.HikariError, OSError, RuntimeError) as error:  # RuntimeError: no session is left for today
            log.warning("Discord's gateway: %s: %s", type(error).__name__, error)
        await asyncio.sleep(AGAIN_S)


async def _until_stored(heard: asyncio.Queue[Heard], storing: asyncio.Task[None]) -> None:
    """Wait until all that was heard is stored; raises what ended the storing, if that ends first."""
    joined = asyncio.ensure_future(heard.join())
    try:
        await asyncio.wait((joined, storing), return_when=asyncio.FIRST_COMPLETED)
    finally:
        joined.cancel()
    if storing.done():
        storing.result()


async def _session(
    settings: DiscordSettings, heard: asyncio.Queue[Heard], storing: asyncio.Task[None], *, members: bool
) -> None:
    """Stay connected as long as it lasts, and as there is room for what is heard. Raises `Full` when there is none."""
    import hikari

    bot = _bot(settings, members=members)
    full = asyncio.Event()

    async def hear(event: hikari.ShardPayloadEvent) -> None:
        if event.name not in HEEDED or full.is_set():
            return
        try:
            heard.put_nowait((event.name, dict(event.payload)))
        except asyncio.QueueFull:
            full.set()

    bot.subscribe(hikari.ShardPayloadEvent, hear)
    no_room = asyncio.create_task(full.wait())
    try:
        await bot.start(check_for_updates=False)
        joined = asyncio.ensure_future(bot.join())
        done, _ = await asyncio.wait((joined, storing, no_room), return_when=asyncio.FIRST_COMPLETED)
        for task in done - {no_room}:
            task.result()
    finally:
        no_room.cancel()
        with contextlib.suppress(hikari.ComponentStateConflictError):  # it never began
            await bot.close()
    if full.is_set():
        raise Full


def _bot(settings: DiscordSettings, *, members: bool) -> hikari.GatewayBot:
    """Return a connection that only hands on what it hears: it keeps nothing in memory."""
    import hikari

    intents = hikari.Intents.DM_MESSAGES | (hikari.Intents.GUILD_MEMBERS if members else hikari.Intents.NONE)
    return hikari.GatewayBot(
        settings.token.reveal(), banner=None, logs=None, suppress_optimization_warning=True, auto_chunk_members=False,
        cache_settings=hikari.impl.CacheSettings(components=hikari.api.CacheComponents.NONE),
        intents=intents, rest_url=settings.api_base,
    )  # fmt: skip


async def _store(heard: asyncio.Queue[Heard], api: Api, keep: Keep) -> None:
    """Store what was heard, together what came together, then defer the interactions among it."""
    async with asyncio.TaskGroup() as deferring:
        while True:
            batch = [await heard.get()]
            while not heard.empty() and len(batch) < BATCH_MAX:
                batch.append(heard.get_nowait())
            read = [(name, told, arrival) for name, told in batch if (arrival := arrival_from(name, told))]
            stored = await _keep_patiently(keep, [arrival for _, _, arrival in read])
            for (name, told, _), is_stored in zip(read, stored, strict=True):
                if name == INTERACTION and is_stored:
                    deferring.create_task(_defer(api, told))
            for _ in batch:
                heard.task_done()


async def _keep_patiently(keep: Keep, arrivals: Sequence[Arrival]) -> list[bool]:
    """Store arrivals, however long the database is away: what comes meanwhile waits behind them.

    Returns for each whether it is stored. What cannot be is logged, and the others are stored all the same.
    """
    while True:
        try:
            await keep(arrivals)
        except StoreUnavailable as error:
            log.warning("Discord: %d arrivals wait to be stored: %s", len(arrivals), error)
            await asyncio.sleep(KEEP_AGAIN_S)
        except Exception:  # one bad arrival must not cost the others
            if len(arrivals) > 1:
                return [stored for one in arrivals for stored in await _keep_patiently(keep, [one])]
            log.exception("Discord: arrival %s could not be stored", arrivals[0].external_id)
            return [False]
        else:
            return [True] * len(arrivals)


async def _defer(api: Api, told: Mapping[str, Any]) -> None:
    """Say "thinking…"; who cannot be told so is answered by a direct message."""
    path = f"/interactions/{told['id']}/{told['token']}/callback"
    try:
        await api.ask("POST", path, Aim("answer", repeatable=False), json=deferral(told))
    except DeliveryError as error:
        log.warning("Discord: interaction %s was not deferred: %s", told["id"], error)


def arrival_from(name: str, told: Mapping[str, Any]) -> Arrival | None:
    """Return what is stored of an event of the gateway, `None` where nothing is."""
    if name == INTERACTION:
        body = orjson.dumps(told)
        sound = type(told.get("type")) is int and told["type"] != AUTOCOMPLETE and len(body) <= BODY_BYTES_MAX
        return arrival_of(told, body) if sound else None
    if name == JOINED:
        return _joined(told)
    if name in discord_shop.EVENTS:
        return discord_shop.arrival_of(name, told, datetime.now(UTC))
    return _message(told)


def _joined(told: Mapping[str, Any]) -> Arrival | None:
    """A person joins a server once at a time: that time makes it one of its kind."""
    user, server, at = told.get("user", {}).get("id"), told.get("guild_id"), told.get("joined_at")
    if not is_id(user) or not is_id(server):
        return None
    kept = {"t": JOINED, "d": {"user": {"id": user}, "guild_id": server}}
    return Arrival(f"joined:{server}:{user}:{at}", "joined", user, orjson.dumps(kept))


def _message(told: Mapping[str, Any]) -> Arrival | None:
    """A direct message of a person's: those of servers and of bots are none of our business."""
    author = told.get("author", {})
    if told.get("guild_id") or author.get("bot") or not is_id(author.get("id")) or not is_id(told.get("id")):
        return None
    kept = {"t": MESSAGE, "d": {"author": {"id": author["id"]}, "content": str(told.get("content", ""))}}
    return Arrival(told["id"], "message", author["id"], orjson.dumps(kept))

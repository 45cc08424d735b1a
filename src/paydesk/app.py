"""The only place that builds things: settings in, a running service out.

`open_service` wires the parts for a command or a test; `create_app` makes the ASGI application that `serve` runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from paydesk import (
    account,
    changes,
    doubles,
    drift,
    listening,
    memberships,
    order_facts,
    poll,
    privacy,
    retention,
    telemetry,
    topup,
    watch,
    wishes,
)
from paydesk.arrivals import Reception
from paydesk.channels import plugged
from paydesk.channels.base import Channel, Start
from paydesk.channels.web import WebChannel
from paydesk.channels.webhook import WebhookChannel
from paydesk.chat import texts
from paydesk.chat.commands import Conversation
from paydesk.chat.people import PeopleCommands
from paydesk.chat.thread import Threads
from paydesk.checks import Checks
from paydesk.clock import Clock
from paydesk.config import Settings, load
from paydesk.deliver import Deliverer, TopUp
from paydesk.dialing import allowed_hosts
from paydesk.endpoints import Directory
from paydesk.errors import SettingError, StoreUnavailable
from paydesk.inbox import Receiver
from paydesk.notebook import Notebook
from paydesk.privacy import Vault
from paydesk.senders import Senders
from paydesk.service import Service
from paydesk.shelf import Shelf, note_plans
from paydesk.store import Store, embedded
from paydesk.store.bell import Bell
from paydesk.store.migrate import migrate
from paydesk.stripe.gateway import Gateway
from paydesk.wallet import Wallets
from paydesk.web.front import Front
from paydesk.worker import Worker

log = logging.getLogger("paydesk")

SUPERVISE_S = 1.0


@asynccontextmanager
async def open_store(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Store]:
    """Start or join the database, bring its schema up to date, and yield the store; stop what was started."""
    async with AsyncExitStack() as stack:
        dsn, away, server = await _database(settings, stack)
        await _patiently(lambda: migrate(dsn))
        store = await Store.open(dsn, clock=clock or Clock(), on_away=away.set)
        stack.push_async_callback(store.close)
        if server is not None:
            stack.push_async_callback(_cancelled(asyncio.create_task(_supervise(server, away), name="supervisor")))
        await store.refresh_clock()
        yield store


async def _database(settings: Settings, stack: AsyncExitStack) -> tuple[str, asyncio.Event, embedded.Embedded | None]:
    away = asyncio.Event()
    if settings.database_url is not None:
        return settings.database_url.reveal(), away, None
    try:
        server = await _start_embedded(settings.data)
    except embedded.EmbeddedError as error:
        raise SettingError(f"PAYDESK_DATA: {error}") from error
    stack.push_async_callback(asyncio.to_thread, server.release)
    return server.dsn, away, server


async def _start_embedded(data: Path) -> embedded.Embedded:
    """Start or join the database in a thread; who is cancelled meanwhile has it given up, and waits until it is."""
    leaving = threading.Event()
    start = partial(embedded.start, data, say=log.info, leaving=leaving)
    starting = asyncio.get_running_loop().run_in_executor(None, start)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        leaving.set()
        with contextlib.suppress(embedded.EmbeddedError):
            await asyncio.to_thread((await starting).release)
        raise


async def _patiently(step: Callable[[], Awaitable[object]]) -> None:
    """Run a first step on the database; one line for a person when it does not answer or refuses us."""
    try:
        await step()
    except (StoreUnavailable, OSError, TimeoutError) as error:
        raise SettingError(f"DATABASE_URL: the database does not answer: {error}") from error


async def _supervise(server: embedded.Embedded, away: asyncio.Event) -> None:
    """Start the embedded server again when it has died while we run."""
    while True:
        await away.wait()
        away.clear()
        try:
            if await asyncio.to_thread(server.ensure_running):
                log.warning("the embedded database had died and was started again")
        except embedded.EmbeddedError as error:
            log.error("the embedded database does not start: %s", error)
        await asyncio.sleep(SUPERVISE_S)


def _cancelled(task: asyncio.Task[Any]) -> Callable[[], Awaitable[None]]:
    """Return a callback that ends a task and waits for its end."""

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    return end


@asynccontextmanager
async def open_service(settings: Settings, channels: Sequence[Channel] = ()) -> AsyncIterator[Service]:
    """Build everything, fix account and mode, and yield the service; nothing works in the background but its writers.

    `channels` come besides the web chat and those that installed packages bring.
    """
    async with AsyncExitStack() as stack:
        shelf = Shelf(settings.catalog, os.environ)
        spoken = texts.load(settings.texts, settings.language)
        clock = Clock()
        gateway = Gateway(settings)
        stack.push_async_callback(gateway.close)
        store = await stack.enter_async_context(open_store(settings, clock))
        if not await account.fix(store, gateway, settings):
            again = asyncio.create_task(_fix_later(store, gateway, settings), name="account")
            stack.push_async_callback(_cancelled(again))
        await note_plans(store, shelf.catalog)
        hooks = WebhookChannel(Directory(store, _vault(settings)), allowed_hosts(settings.environ))
        plugged_in = plugged.load(Start(settings.environ, partial(Notebook, store), settings.public_url))
        adapters = [hooks, *channels, *plugged_in]
        for adapter in adapters:
            stack.push_async_callback(adapter.close)
        service = _wire(settings, clock, store, shelf, spoken, gateway, adapters)
        await memberships.wake(store, [one.name for one in adapters if one.admits])
        service.bell.start()
        stack.push_async_callback(service.bell.stop)
        service.receiver.start()
        stack.push_async_callback(service.receiver.stop)
        service.wallets.start()
        stack.push_async_callback(service.wallets.stop)
        service.checks.start()
        stack.push_async_callback(service.checks.stop)
        yield service


def _wire(
    settings: Settings, clock: Clock, store: Store, shelf: Shelf, spoken: texts.Texts, gateway: Gateway,
    adapters: Sequence[Channel],
) -> Service:  # fmt: skip
    bell = Bell(store)
    threads = Threads(store, bell)
    web = WebChannel(threads.append, threads.change)

    async def top_up(key: str, params: dict[str, Any]) -> str:
        return await topup.carry_out(store, gateway, shelf.catalog, key, params)

    def low_mark(unit: str) -> int:
        return shelf.catalog.low_mark(unit)

    async def show(order: str) -> dict[str, Any]:
        return await order_facts.facts_of(store, shelf.catalog, settings.public_url, order)

    vault = _vault(settings)
    channels = plugged.by_name([web, *adapters])
    deliverer = Deliverer(
        store, gateway, channels, fallback=WebChannel(threads.append), top_up=top_up,
        public_url=settings.public_url, vault=vault, others=_instructions(store, gateway, shelf), spoken=spoken,
        show=show,
    )  # fmt: skip
    conversation = Conversation(
        store, shelf, clock, vault, public_url=settings.public_url, livemode=gateway.livemode,
        more=PeopleCommands(store, vault).commands(), spoken=spoken,
    )  # fmt: skip
    return Service(
        settings=settings,
        clock=clock,
        store=store,
        vault=vault,
        shelf=shelf,
        gateway=gateway,
        bell=bell,
        receiver=Receiver(store, bell),
        wallets=Wallets(store, low_mark),
        checks=Checks(store),
        threads=threads,
        conversation=conversation,
        channels=channels,
        worker=Worker(
            store,
            gateway,
            Senders(store, bell, deliverer, channels),
            Reception(store, shelf, channels, conversation),
            bell,
            livemode=gateway.livemode,
            marks=low_mark,
        ),
    )


def _instructions(store: Store, gateway: Gateway, shelf: Shelf) -> dict[str, TopUp]:
    """Return who carries out what the outbox instructs Stripe to do about subscriptions, by template."""

    async def plan_change(_key: str, params: dict[str, Any]) -> str:
        return await changes.carry_out(store, gateway, shelf.catalog, params)

    async def wish(key: str, params: dict[str, Any]) -> str:
        return await wishes.carry_out(store, gateway, shelf.catalog, key, params)

    return {
        "end_double": partial(doubles.end_double, store, gateway),
        "close_order": partial(doubles.close_order, store, gateway),
        "plan_change": plan_change,
        "wish": wish,
    }


def _vault(settings: Settings) -> Vault:
    """Return the vault; the key lies beside an embedded database, and is a setting where several machines share one."""
    if settings.encryption_keys:
        return Vault(settings.encryption_keys)
    if settings.database_url is not None:
        raise SettingError(
            "PAYDESK_ENCRYPTION_KEYS is not set, and DATABASE_URL is: every machine needs the same key; make one with "
            "python -c 'import base64,os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"
        )
    return Vault(privacy.keys_beside(settings.data))


async def _fix_later(store: Store, gateway: Gateway, settings: Settings) -> None:
    """Ask Stripe again until it answers; a key of another account then stops the process."""
    while True:
        await asyncio.sleep(15)
        try:
            if await account.fix(store, gateway, settings):
                return
        except StoreUnavailable:
            continue
        except SettingError as error:
            log.critical("%s", error)
            os.kill(os.getpid(), 15)
            return


@asynccontextmanager
async def background(service: Service, *, work: bool) -> AsyncIterator[None]:
    """Run the worker and the poller (if `work`), follow the catalogue's file and the sandbox's clock, until the end."""
    tasks = [
        asyncio.create_task(_follow_clock(service), name="clock"),
        asyncio.create_task(service.shelf.follow(service.store), name="shelf"),
    ]
    if work:
        tasks.append(asyncio.create_task(service.worker.run(), name="worker"))
        tasks.append(asyncio.create_task(poll.run(service), name="poll"))
        tasks.append(asyncio.create_task(listening.run(service), name="listening"))
        tasks.append(asyncio.create_task(drift.run(service), name="drift"))
        tasks.append(asyncio.create_task(watch.run(service.store), name="watch"))
        tasks.append(asyncio.create_task(retention.run(service), name="retention"))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _follow_clock(service: Service) -> None:
    """Keep desk time with the sandbox's clock; with the real Stripe it is real time, and this only rests."""
    if not service.settings.sandbox:
        return
    async with httpx.AsyncClient(base_url=service.settings.stripe_api_base, timeout=5) as client:
        while True:
            try:
                await follow_clock_once(service, client)
            except Exception:  # it is tried again in a second, whatever it was
                log.debug("the sandbox's clock could not be read")
            await asyncio.sleep(1)


async def follow_clock_once(service: Service, client: httpx.AsyncClient) -> None:
    """Read the sandbox's clock, keep its offset in the database, and take the stored one over."""
    key = service.gateway.key.reveal()
    answer = await client.get("/_sandbox/clock", headers={"Authorization": f"Bearer {key}"})
    offset_s = int(answer.json()["offset_s"])
    if timedelta(seconds=offset_s) != service.clock.offset:
        await service.store.execute("UPDATE desk SET clock_offset_s = $1 WHERE livemode IS NOT TRUE", offset_s)
        await service.store.refresh_clock()


def create_app(settings: Settings | None = None, *, work: bool = True) -> Front:
    """Return the ASGI application: webhooks in front, then the API and the pages. Building starts with its lifespan."""
    chosen = settings or load()

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[Service]:
        async with open_service(chosen) as service, background(service, work=work):
            yield service

    return Front(chosen, lifespan)


def from_environment() -> Front:
    """Return the application with settings from the environment: what `serve --workers` runs in each process."""
    settings = load(folder=Path(os.environ.get("PAYDESK_FOLDER", ".")))
    telemetry.set_up_logging(settings.log, debug_stripe=settings.stripe_debug)
    return create_app(settings, work=os.environ.get("PAYDESK_NO_WORK") != "1")

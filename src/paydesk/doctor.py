"""`paydesk check`: look at everything that can be wrong, and say for each how to mend it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import orjson

from paydesk import account, catalog_file, preflight, pushing, status
from paydesk.app import open_store
from paydesk.channels.base import Finding
from paydesk.clock import wall_s
from paydesk.config import UNUSED, Settings
from paydesk.errors import PaydeskError, SettingError, StripeUnavailable
from paydesk.store import Store
from paydesk.stripe import shapes
from paydesk.stripe.events import TABLE
from paydesk.stripe.gateway import Gateway
from paydesk.web.hooks import STRIPE_PATHS

SKEW_S_MAX = 60
EVENTS_LOOKED_AT = 200
PIN = f"add the endpoint anew in Stripe, with the API version {shapes.NEWEST}"


def line(finding: dict[str, Any]) -> str:
    """Return a finding in one line, with its mend."""
    mend = f"  →  {finding['mend']}" if finding["mend"] else ""
    return f"{'ok ' if finding['ok'] else 'BAD'}  {finding['what']}: {finding['seen']}{mend}"


async def examine(settings: Settings, *, fix: bool = False) -> list[Finding]:
    """Look at settings, catalogue, database, Stripe, the webhook and the channels, as far as each can be reached.

    With `fix`, what a channel can mend by itself (its commands, its labels) is mended.
    """
    findings = [_secrets(settings), _public_url(settings), _catalogue(settings), *_unused(settings)]
    try:
        gateway = Gateway(settings)
    except SettingError as error:
        return [
            *findings,
            Finding(False, "STRIPE_API_KEY", "not usable", error.message),
            *await _database(settings, None, fix=fix),
        ]
    findings.append(await _guarded("Stripe", lambda: _stripe(gateway)))
    findings.append(await _guarded("clock", lambda: _skew(settings)))
    findings.append(await _guarded("webhook endpoint", lambda: _endpoint(settings, gateway)))
    findings.append(await _guarded("API version", lambda: _version(settings, gateway)))
    findings.append(await _guarded("catalogue in Stripe", lambda: _pushed(settings, gateway)))
    findings += await _database(settings, gateway, fix=fix)
    await gateway.close()
    return findings


async def _guarded(what: str, look: Callable[[], Awaitable[Finding]]) -> Finding:
    try:
        return await look()
    except StripeUnavailable as error:
        return Finding(False, what, error.message, "look at the network and STRIPE_API_BASE, then look again")
    except PaydeskError as error:
        return Finding(False, what, error.message, "mend that, then look again")


def _secrets(settings: Settings) -> Finding:
    what = "STRIPE_WEBHOOK_SECRET"
    number = len(settings.stripe_webhook_secrets)
    if number == 0 and settings.stripe_events == "poll":
        return Finding(True, what, "not needed: STRIPE_EVENTS=poll")
    if number == 0:
        return Finding(
            False, what, "not set: there is no webhook route", f"{what}=whsec_… from the endpoint's page in Stripe"
        )
    return Finding(True, what, f"{number} secret{'s' if number != 1 else ''}")


def _public_url(settings: Settings) -> Finding:
    insecure = settings.livemode and not settings.public_url.startswith("https://")
    mend = "PAYDESK_PUBLIC_URL=https://pay.example.com" if insecure else None
    return Finding(not insecure, "PAYDESK_PUBLIC_URL", settings.public_url, mend)


def _unused(settings: Settings) -> list[Finding]:
    """Tell of what is set and read by nothing, so that nobody waits for what it would do."""
    return [Finding(True, name, "set, but not used yet") for name in UNUSED if name in settings.environ]


def _catalogue(settings: Settings) -> Finding:
    try:
        loaded = catalog_file.load(settings.catalog, os.environ)
    except SettingError as error:
        return Finding(False, "catalogue", error.message, "mend that line, or write a fresh one: paydesk init")
    return Finding(True, "catalogue", f"{len(loaded.products)} products, {len(loaded.prices)} prices")


async def _stripe(gateway: Gateway) -> Finding:
    mode = "live" if gateway.livemode else "test"
    return Finding(True, "Stripe", f"account {await gateway.account()}, {mode} mode, at {gateway.base}")


async def _skew(settings: Settings) -> Finding:
    """Compare our clock with the `Date` of Stripe's answer: signatures bear a time and are refused after 300 s."""
    try:
        async with httpx.AsyncClient(timeout=10) as client:
            answer = await client.get(f"{settings.stripe_api_base}/healthcheck")
        skew_s = abs(parsedate_to_datetime(answer.headers["date"]).timestamp() - wall_s())
    except (httpx.HTTPError, KeyError, ValueError) as error:
        return Finding(False, "clock", f"Stripe's time could not be read ({type(error).__name__})", "look again later")
    mend = "set this machine's clock (for example with chrony)" if skew_s > SKEW_S_MAX else None
    return Finding(mend is None, "clock", f"{skew_s:.0f} s away from Stripe's", mend)


async def _endpoint(settings: Settings, gateway: Gateway) -> Finding:
    """Look whether Stripe has an enabled endpoint for us, with every event we handle."""
    what = "webhook endpoint"
    if settings.stripe_events == "poll":
        return Finding(True, what, "not needed: STRIPE_EVENTS=poll")
    endpoint = await _our_endpoint(settings, gateway)
    if endpoint is None:
        wanted = settings.public_url + "/webhooks/stripe"
        return Finding(
            False, what, f"Stripe has none for {wanted}", f"add {wanted} in Stripe, with the events {', '.join(TABLE)}"
        )
    if endpoint["status"] != "enabled":
        return Finding(False, what, f"{endpoint['url']} is {endpoint['status']}", "enable it in Stripe")
    missing = [] if "*" in endpoint["enabled_events"] else sorted(set(TABLE) - set(endpoint["enabled_events"]))
    if missing:
        return Finding(
            False, what, f"{endpoint['url']} does not send {', '.join(missing)}", "add these events in Stripe"
        )
    return Finding(True, what, f"{endpoint['url']} sends all {len(TABLE)} events")


async def _our_endpoint(settings: Settings, gateway: Gateway) -> dict[str, Any] | None:
    """Return the endpoint that sends to us, an enabled one if there are several."""
    ours = [
        endpoint
        for endpoint in await gateway.webhook_endpoints()
        if any(endpoint["url"] == settings.public_url + path for path in STRIPE_PATHS)
    ]
    return min(ours, key=lambda endpoint: endpoint["status"] != "enabled", default=None)


async def _version(settings: Settings, gateway: Gateway) -> Finding:
    """Look in which versions events come: the endpoint's own, and the account's default wherever none is named."""
    what = "API version"
    default = await gateway.default_version()
    endpoint = await _our_endpoint(settings, gateway) if settings.stripe_events != "poll" else None
    pinned = endpoint["api_version"] if endpoint is not None else None
    told = f"account {default or 'unknown'}" + (f", endpoint {pinned or 'as the account'}" if endpoint else "")
    known = f"Paydesk reads {shapes.OLDEST} to {shapes.NEWEST}"
    if endpoint is not None and not shapes.reads(pinned or default):
        return Finding(False, what, f"{told}; {known}", f"{PIN}; then disable the old one")
    if settings.stripe_events != "webhook" and not shapes.reads(default):
        return Finding(False, what, f"{told}; {known}", "upgrade the account in Stripe (Workbench), or use a webhook")
    if pinned is not None and pinned != default:
        return Finding(True, what, f"{told}: they differ, and both are read" if shapes.reads(default) else told,
                       f"the events list comes in the account's: upgrade it to {shapes.NEWEST} when you can")  # fmt: skip
    if endpoint is not None and pinned is None:
        return Finding(True, what, told, f"an upgrade of the account changes what comes: {PIN}")
    return Finding(True, what, told)


async def _pushed(settings: Settings, gateway: Gateway) -> Finding:
    changes = await pushing.plan(gateway, catalog_file.load(settings.catalog, os.environ))
    if changes:
        return Finding(
            False,
            "catalogue in Stripe",
            f"differs: {changes[0].what} …",
            "paydesk catalog plan, then paydesk catalog push",
        )
    return Finding(True, "catalogue in Stripe", "the same")


async def _database(settings: Settings, gateway: Gateway | None, *, fix: bool) -> list[Finding]:
    where = "DATABASE_URL" if settings.database_url is not None else f"embedded, in {settings.data}"
    try:
        async with open_store(settings) as store:
            findings = [await _inside(store, gateway, settings, where), await _came_in(store)]
            return [*findings, *await _channels(settings, store, fix=fix)]
    except PaydeskError as error:
        return [Finding(False, "database", error.message, "mend that, then look again")]


async def _channels(settings: Settings, store: Store, *, fix: bool) -> list[Finding]:
    try:
        catalog = catalog_file.load(settings.catalog, os.environ)
    except SettingError:  # that was told
        return []
    return await preflight.examine(settings, store, catalog, fix=fix)


async def _came_in(store: Store) -> Finding:
    """Look whether the newest events came in a version we read, and each in the shape of the version it tells."""
    what = "events' shape"
    rows = await store.fetch(
        "SELECT external_id, body FROM inbox WHERE source = 'stripe' ORDER BY id DESC LIMIT $1", EVENTS_LOOKED_AT
    )
    versions: set[str] = set()
    for row in rows:
        try:
            event = orjson.loads(row["body"])
        except orjson.JSONDecodeError:  # a body that was erased
            continue
        version = event.get("api_version")
        versions.add(str(version))
        odd = shapes.other_shape(event) if shapes.reads(version) else "which Paydesk does not read"
        if odd is not None:
            return Finding(False, what, f"{row['external_id']} came as {version}: {odd}", PIN)
    return Finding(True, what, ", ".join(sorted(versions)) or "nothing came yet")


async def _inside(store: Store, gateway: Gateway | None, settings: Settings, where: str) -> Finding:
    if gateway is not None:
        await account.fix(store, gateway, settings)
    queues = await status.queues(store)
    trouble = [f"{queues['inbox']['quarantined']} events quarantined"] if queues["inbox"]["quarantined"] else []
    trouble += [f"{queues['outbox']['dead']} deliveries dead"] if queues["outbox"]["dead"] else []
    if trouble:
        return Finding(
            False,
            "database",
            f"{where}: {', '.join(trouble)}",
            "paydesk events list --state quarantined, paydesk deliveries list --state dead",
        )
    version = await store.fetchval("SHOW server_version")
    return Finding(True, "database", f"{where}, PostgreSQL {version}, durable, nothing stuck")

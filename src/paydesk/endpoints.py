"""Where our own events are sent: endpoints that a shop registers, with what each wants to hear and its secret.

A secret is shown once and kept sealed. When it is rotated the old one goes on signing for a day, so that receivers can
change over. An endpoint that has answered nothing but failures for days, or says that it is gone, is disabled.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from paydesk import announcing, audit, deeds, ids
from paydesk.config import Secret
from paydesk.dialing import Target
from paydesk.errors import Conflict, Invalid, NotFound
from paydesk.paging import Cut, Listed, read
from paydesk.privacy import Vault
from paydesk.store import Record, Store, Tx

ENDPOINTS_MAX = 20
DESCRIPTION_MAX = 500
EVERYTHING = "*"
OLD_SECRET_HOURS = 24
FAILING_DAYS_MAX = 5
FAMILIES = sorted({type_.partition(".")[0] + ".*" for type_ in announcing.TYPES})
"""What stands for all types of one kind: `order.*`."""

FIELD = "secret"


@dataclass(frozen=True, slots=True)
class Listener:
    """An endpoint that is enabled, and what it wants to hear."""

    id: str
    events: tuple[str, ...]

    def wants(self, type_: str) -> bool:
        """Say whether it wants to hear of events of a type."""
        return any(one in self.events for one in patterns(type_))


def patterns(type_: str) -> tuple[str, str, str]:
    """Return by what names an endpoint may want a type: its own, its family's, everything.

    >>> patterns("order.paid")
    ('order.paid', 'order.*', '*')
    """
    return type_, type_.partition(".")[0] + ".*", EVERYTHING


async def listening(tx: Tx) -> list[Listener]:
    """Return the endpoints that are enabled."""
    rows = await tx.fetch("SELECT id, events FROM webhook_endpoint WHERE disabled_at IS NULL ORDER BY id")
    return [Listener(row[0], tuple(row[1])) for row in rows]


# --- registering -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as it is now. `failing_since`: since when nothing has been taken, if that is so."""

    id: str
    url: str
    description: str | None
    events: tuple[str, ...]
    failures: int
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_because: str | None
    old_secret_until: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Wish:
    """What an endpoint is to be like; of one that is changed, `None` leaves as it is. An empty description is none."""

    url: str | None = None
    events: tuple[str, ...] | None = None
    description: str | None = None


COLUMNS = (
    "id, url, description, events, failures, failing_since, disabled_at, disabled_because, "
    "CASE WHEN old_secret_until > desk_now() THEN old_secret_until END AS old_secret_until, created_at"
)
LIST = Listed("webhook endpoint", COLUMNS, "webhook_endpoint", ("created_at", "id"), "created_at", "id")


def checked_events(events: list[str]) -> tuple[str, ...]:
    """Return what somebody wants to hear, each once; raises `Invalid` for what there is not."""
    known = {EVERYTHING, *FAMILIES, *announcing.TYPES}
    for one in events:
        if one not in known:
            raise Invalid(
                f"there are no events {one}: there are {', '.join([EVERYTHING, *FAMILIES])} and {', '.join(announcing.TYPES)}",
                param="enabled_events",
            )
    if not events:
        raise Invalid("enabled_events names at least one type of event, or *", param="enabled_events")
    return tuple(dict.fromkeys(events))


async def create(store: Store, vault: Vault, wish: Wish, *, operation: str, actor: str) -> tuple[Endpoint, str]:
    """Register an endpoint, and return it with its secret; the same operation registers one and returns the same.

    Raises `Conflict` when there are too many.
    """
    id_ = ids.derived("we", operation)
    secret = _secret(vault, id_, operation)
    data_key = vault.new_data_key(_owner(id_))
    sealed = vault.seal(data_key, _owner(id_), FIELD, secret)

    async def work(tx: Tx) -> Endpoint:
        known = await _find(tx, id_)
        if known is not None:
            return known
        if await tx.fetchval("SELECT count(*) FROM webhook_endpoint") >= ENDPOINTS_MAX:
            raise Conflict(f"there are {ENDPOINTS_MAX} webhook endpoints already: delete one first")
        made = await tx.execute(
            "INSERT INTO webhook_endpoint (id, url, description, events, data_key, secret_sealed, created_at) "
            "VALUES ($1, $2, $3, $4, $5, $6, desk_now()) ON CONFLICT DO NOTHING",
            id_,
            wish.url,
            wish.description or None,
            list(wish.events or (EVERYTHING,)),
            data_key,
            sealed,
        )
        if made:
            await audit.note(tx, actor, "webhook_endpoint.create", [id_], {"url": wish.url})
        return await _get(tx, id_)

    return await store.run(work), secret


async def get(store: Store, id_: str) -> Endpoint:
    """Return an endpoint; raises `NotFound`."""
    async with store.transaction() as tx:
        return await _get(tx, id_)


async def listed(store: Store, cut: Cut) -> tuple[list[Endpoint], bool]:
    """Return a part of the endpoints, newest first, and whether there is more; raises `Invalid` for a wrong cursor."""
    async with store.transaction() as tx:
        page = await read(tx, LIST, (), cut)
    return [_endpoint(row) for row in page.rows], page.has_more


async def change(store: Store, id_: str, wish: Wish, *, actor: str, operation: str | None = None) -> Endpoint:
    """Change what an endpoint is like, once for each `operation`; raises `NotFound`."""

    async def work(tx: Tx) -> Endpoint:
        if not await deeds.first(tx, operation):
            return await _get(tx, id_)
        await tx.execute(
            "UPDATE webhook_endpoint SET url = coalesce($2, url), events = coalesce($3, events), "
            "description = CASE WHEN $4::text IS NULL THEN description ELSE nullif($4, '') END WHERE id = $1",
            id_,
            wish.url,
            None if wish.events is None else list(wish.events),
            wish.description,
        )
        after = await _get(tx, id_)
        await audit.note(tx, actor, "webhook_endpoint.change", [id_], {"url": after.url, "events": list(after.events)})
        return after

    return await store.run(work)


async def enable(store: Store, id_: str, *, actor: str, operation: str | None = None) -> Endpoint:
    """Let an endpoint be sent events again, and what waits for it, once for each `operation`; raises `NotFound`."""

    async def work(tx: Tx) -> Endpoint:
        if not await deeds.first(tx, operation):
            return await _get(tx, id_)
        changed = await tx.execute(
            "UPDATE webhook_endpoint SET disabled_at = NULL, disabled_because = NULL, failures = 0, failing_since = NULL "
            "WHERE id = $1 AND disabled_at IS NOT NULL",
            id_,
        )
        if changed:
            await _wake(tx, id_)
            await audit.note(tx, actor, "webhook_endpoint.enable", [id_])
        return await _get(tx, id_)

    return await store.run(work)


async def disable(store: Store, id_: str, *, actor: str, operation: str | None = None) -> Endpoint:
    """Send an endpoint nothing any more, until it is enabled, once for each `operation`; raises `NotFound`."""

    async def work(tx: Tx) -> Endpoint:
        if await deeds.first(tx, operation) and await _note_disabled(tx, id_, f"by {actor}"):
            await audit.note(tx, actor, "webhook_endpoint.disable", [id_])
        return await _get(tx, id_)

    return await store.run(work)


async def delete(store: Store, id_: str, *, actor: str) -> None:
    """Forget an endpoint and its secrets; what is still on its way to it is dropped. Raises `NotFound`."""

    async def work(tx: Tx) -> None:
        await _get(tx, id_)
        await tx.execute("DELETE FROM webhook_endpoint WHERE id = $1", id_)
        await _wake(tx, id_)
        await audit.note(tx, actor, "webhook_endpoint.delete", [id_])

    await store.run(work)


async def was_deleted(store: Store, id_: str) -> bool:
    """Say whether there was such an endpoint, and somebody has deleted it."""
    return bool(await store.fetchval(
        "SELECT EXISTS (SELECT FROM audit WHERE action = 'webhook_endpoint.delete' AND subject = $1)", id_
    ))  # fmt: skip


ROTATE = "webhook_endpoint.rotate"


async def rotate(store: Store, vault: Vault, id_: str, *, operation: str, actor: str) -> tuple[Endpoint, str]:
    """Give an endpoint another secret, and return both; for a day events are signed with the old one too.

    The same operation does it once, and returns the same secret. Raises `NotFound`.
    """
    secret = _secret(vault, id_, operation)

    async def work(tx: Tx) -> Endpoint:
        row = await tx.fetchrow("SELECT data_key FROM webhook_endpoint WHERE id = $1 FOR UPDATE", id_)
        if row is None:
            raise _unknown(id_)
        done = "SELECT EXISTS (SELECT FROM audit WHERE action = $1 AND subject = $2 AND detail->>'operation' = $3)"
        if not await tx.fetchval(done, ROTATE, id_, operation):
            await tx.execute(
                "UPDATE webhook_endpoint SET old_secret_sealed = secret_sealed, secret_sealed = $2, "
                f"old_secret_until = desk_now() + interval '{OLD_SECRET_HOURS} hours' WHERE id = $1",
                id_,
                vault.seal(row["data_key"], _owner(id_), FIELD, secret),
            )
            await audit.note(tx, actor, ROTATE, [id_], {"operation": operation})
        return await _get(tx, id_)

    return await store.run(work), secret


def _secret(vault: Vault, id_: str, operation: str) -> str:
    """Return the secret that an operation gives an endpoint, always the same: nobody without our keys can make it."""
    halves = [vault.signatures("endpoint_secret", f"{id_}:{operation}:{half}")[-1] for half in ("left", "right")]
    return "whsec_" + base64.b64encode(bytes.fromhex("".join(halves))).decode()


def _owner(id_: str) -> str:
    return f"endpoint:{id_}"


async def _find(tx: Tx, id_: str) -> Endpoint | None:
    row = await tx.fetchrow(f"SELECT {COLUMNS} FROM webhook_endpoint WHERE id = $1", id_)
    return None if row is None else _endpoint(row)


async def _get(tx: Tx, id_: str) -> Endpoint:
    found = await _find(tx, id_)
    if found is None:
        raise _unknown(id_)
    return found


def _unknown(id_: str) -> NotFound:
    return NotFound(f"no webhook endpoint {id_}", param="webhook_endpoint")


def _endpoint(row: Record) -> Endpoint:
    values: dict[str, Any] = dict(row.items())
    return Endpoint(**{**values, "events": tuple(values["events"])})


async def _wake(tx: Tx, id_: str) -> None:
    """Let what waits for an endpoint be tried again."""
    await tx.execute(
        "UPDATE outbox SET state = 'ready', attempts = 0, next_at = '-infinity', waits_for = NULL "
        "WHERE channel = 'webhook' AND address = $1 AND state = 'waiting'",
        id_,
    )


async def _note_disabled(tx: Tx, id_: str, because: str) -> int:
    return await tx.execute(
        "UPDATE webhook_endpoint SET disabled_at = desk_now(), disabled_because = $2 "
        "WHERE id = $1 AND disabled_at IS NULL",
        id_,
        because,
    )


# --- for whoever sends -----------------------------------------------------------------------------------------------

FAILED = f"""
UPDATE webhook_endpoint SET failures = failures + 1, failing_since = coalesce(failing_since, desk_now()),
    disabled_at = CASE WHEN disabled_at IS NULL AND failing_since <= desk_now() - interval '{FAILING_DAYS_MAX} days'
                       THEN desk_now() ELSE disabled_at END,
    disabled_because = CASE WHEN disabled_at IS NULL AND failing_since <= desk_now() - interval '{FAILING_DAYS_MAX} days'
                            THEN $2 ELSE disabled_because END
WHERE id = $1 RETURNING disabled_at IS NOT NULL
"""


class Directory:
    """Says where an endpoint's events go, and takes note of how that went."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault

    async def look(self, endpoint: str) -> Target | None:
        """Return where to send and what to sign with, `None` for an endpoint that was deleted."""
        row = await self._store.fetchrow(
            "SELECT url, data_key, secret_sealed, disabled_at, failing_since, "
            "CASE WHEN old_secret_until > desk_now() THEN old_secret_sealed END AS old "
            "FROM webhook_endpoint WHERE id = $1",
            endpoint,
        )
        if row is None:
            return None
        sealed = [one for one in (row["secret_sealed"], row["old"]) if one is not None]
        secrets = tuple(Secret(self._vault.open(row["data_key"], _owner(endpoint), FIELD, one)) for one in sealed)
        return Target(row["url"], secrets, row["disabled_at"] is None, row["failing_since"] is not None)

    async def worked(self, endpoint: str) -> None:
        """Note that an endpoint takes events again."""
        await self._store.execute(
            "UPDATE webhook_endpoint SET failures = 0, failing_since = NULL WHERE id = $1", endpoint
        )

    async def failed(self, endpoint: str, reason: str) -> bool:
        """Note that an endpoint did not take an event; after days of nothing else it is disabled: say whether it is."""
        because = f"nothing but failures for {FAILING_DAYS_MAX} days, the last one: {reason}"
        return bool(await self._store.fetchval(FAILED, endpoint, because))

    async def disable(self, endpoint: str, because: str) -> None:
        """Disable an endpoint that wants no more events."""
        await self._store.run(lambda tx: _note_disabled(tx, endpoint, because))

"""The thread: what was said on channels whose messages are kept to be fetched, in order, each once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from paydesk.channels.base import Address
from paydesk.store import Store
from paydesk.store.bell import Bell

PAGE_MAX = 200


COLUMNS = "id, direction, text, buttons, conversation, created_at, version, edited_at"


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a thread. `direction` is `in` (the person) or `out` (us).

    `version` is 0 until it is edited, and grows with each edit in its thread.
    """

    id: int
    direction: str
    text: str
    buttons: list[dict[str, str]]
    conversation: str | None
    created_at: datetime
    version: int
    edited_at: datetime | None


class Threads:
    """Keeps and returns messages, and rings when one is new."""

    def __init__(self, store: Store, bell: Bell) -> None:
        self._store = store
        self._bell = bell

    async def hear(self, who: Address, text: str) -> int:
        """Keep what the person said; return its number."""
        return await self._keep(who, "in", text, [], None)

    async def say(self, who: Address, text: str, buttons: list[dict[str, str]], key: str | None = None) -> int:
        """Keep what we said; under a `key` it is kept once. Return its number."""
        return await self._keep(who, "out", text, buttons, key)

    async def append(self, who: Address, text: str, buttons: list[dict[str, str]], key: str) -> int:
        """Keep a message of the outbox: what the web channel is given to deliver with."""
        return await self.say(who, text, buttons, key)

    async def change(self, who: Address, number: int, text: str, buttons: list[dict[str, str]], version: int) -> bool:
        """Change what a message of ours says, unless newer news has changed it; `False` when it is not there."""
        known = await self._store.fetchval(
            "UPDATE message SET text = CASE WHEN version < $4 THEN $5 ELSE text END, "
            "buttons = CASE WHEN version < $4 THEN $6 ELSE buttons END, "
            "edited_at = CASE WHEN version < $4 THEN now() ELSE edited_at END, version = greatest(version, $4) "
            "WHERE id = $3 AND channel = $1 AND external_id = $2 AND direction = 'out' RETURNING id",
            who.channel,
            who.external_id,
            number,
            version,
            text,
            buttons,
        )
        self._bell.ring(topic(who))
        return known is not None

    async def after(self, who: Address, after: int, *, limit: int = 100) -> list[Said]:
        """Return messages with a number above `after`, oldest first."""
        rows = await self._store.fetch(
            f"SELECT {COLUMNS} FROM message WHERE channel = $1 AND external_id = $2 AND id > $3 ORDER BY id LIMIT $4",
            who.channel,
            who.external_id,
            after,
            min(limit, PAGE_MAX),
        )
        return [Said(*row) for row in rows]

    async def edited(self, who: Address, version: int, *, limit: int = 100) -> list[Said]:
        """Return messages that were edited after `version`, the earliest edit first."""
        rows = await self._store.fetch(
            f"SELECT {COLUMNS} FROM message WHERE channel = $1 AND external_id = $2 AND version > $3 AND version > 0 "
            "ORDER BY version LIMIT $4",
            who.channel,
            who.external_id,
            version,
            min(limit, PAGE_MAX),
        )
        return [Said(*row) for row in rows]

    async def latest(self, who: Address, *, limit: int = 100) -> list[Said]:
        """Return the newest messages, oldest first: what a page shows when it opens."""
        rows = await self._store.fetch(
            f"SELECT * FROM (SELECT {COLUMNS} FROM message "
            "WHERE channel = $1 AND external_id = $2 ORDER BY id DESC LIMIT $3) newest ORDER BY id",
            who.channel,
            who.external_id,
            min(limit, PAGE_MAX),
        )
        return [Said(*row) for row in rows]

    async def _keep(
        self, who: Address, direction: str, text: str, buttons: list[dict[str, str]], key: str | None
    ) -> int:
        number: int | None = await self._store.fetchval(
            "INSERT INTO message (channel, external_id, conversation, direction, text, buttons, dedup_key) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (dedup_key) DO NOTHING RETURNING id",
            who.channel,
            who.external_id,
            who.conversation,
            direction,
            text,
            buttons,
            key,
        )
        if number is None:
            number = await self._store.fetchval("SELECT id FROM message WHERE dedup_key = $1", key)
        self._bell.ring(topic(who))
        return int(number or 0)


def topic(who: Address) -> str:
    """Return the bell's topic for a thread."""
    return f"chat:{who.channel}:{who.external_id}"

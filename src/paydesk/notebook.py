"""What channels want to find again after a restart: small JSON values under keys, for each channel its own."""

from __future__ import annotations

from typing import Any

from paydesk.store import Store


async def now_at(store: Store, channel: str, space: str) -> str:
    """Return the id that a space has now: itself, unless a platform has told another one."""
    return await Notebook(store, channel).get(f"moved:{space}") or space


async def note_move(store: Store, channel: str, old: str, new: str) -> None:
    """Note that a space has another id from now on."""
    await Notebook(store, channel).put(f"moved:{old}", new)


class Notebook:
    """The notes of one channel."""

    def __init__(self, store: Store, channel: str) -> None:
        self._store = store
        self._channel = channel

    async def get(self, key: str) -> Any:
        """Return what was noted under `key`, `None` if nothing was."""
        return await self._store.fetchval(
            "SELECT value FROM channel_note WHERE channel = $1 AND key = $2", self._channel, key
        )

    async def put(self, key: str, value: Any) -> None:
        """Note JSON under `key`, instead of what was there."""
        await self._store.execute(
            "INSERT INTO channel_note (channel, key, value) VALUES ($1, $2, $3) "
            "ON CONFLICT (channel, key) DO UPDATE SET value = excluded.value, noted_at = now()",
            self._channel,
            key,
            value,
        )

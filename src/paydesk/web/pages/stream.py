"""Live messages by server-sent events: what is new or changed in a thread, as it comes, resumed where one left off."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import orjson
from starlette.responses import StreamingResponse

from paydesk import lists
from paydesk.channels.base import Address
from paydesk.chat.thread import Said, topic
from paydesk.clock import iso
from paydesk.errors import Invalid, StoreUnavailable, TooMany
from paydesk.service import Service

LOOK_S = 5.0
OVERLAP = 64
"""Numbers are given before commit: one a little lower than the newest may appear after it."""
PAGE = 100
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}

MOODS = {"✅": "good", "⏳": "waiting"}


@dataclass(slots=True)
class Seen:
    """What a browser has: the newest message's number, the newest edit's version, and the late ones sent already."""

    after: int
    version: int
    sent: set[int] = field(default_factory=set)

    @classmethod
    def read(cls, after: str, version: str) -> Seen:
        """Return what a browser says that it has; raises `Invalid`."""
        return cls(_number(after), _number(version))

    @property
    def newest(self) -> int:
        """The highest number sent."""
        return max(self.after, max(self.sent, default=0))

    @property
    def event_id(self) -> str:
        """The id under which an event tells where to resume: `number-version`."""
        return f"{self.newest}-{self.version}"


def _number(text: str) -> int:
    """Return a number as it was sent; raises `Invalid`."""
    if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > lists.ID_MAX:
        raise Invalid("after must be the number of a message", param="after")
    return int(text)


OF_VISITOR_MAX = 8
OF_ADDRESS_MAX = 100
OPEN_MAX = 2000
FULL_S = 30

_open: dict[asyncio.Event, tuple[str, str]] = {}
"""Every open stream of this process: what wakes it, whose it is, and from which address."""


def end_streams() -> None:
    """End every open stream of this process at once, so that the server can stop. Browsers come back by themselves."""
    ending = list(_open)
    _open.clear()
    for event in ending:
        event.set()


class _Stopping:
    """A signal handler that ends the streams, then does what was done before."""

    def __init__(self, before: Callable[[int, FrameType | None], Any]) -> None:
        self._before = before

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        end_streams()
        self._before(number, frame)


def _heed_signals() -> None:
    """Hear of the stop when the server does: it waits for open answers before it tells the application."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(number)
        if callable(before) and not isinstance(before, _Stopping):
            signal.signal(number, _Stopping(before))


def mood(said: Said) -> str:
    """Return how a message looks: our good news and our news of waiting begin with a sign, all others are plain."""
    return MOODS.get(said.text[:1], "plain") if said.direction == "out" else "plain"


def as_json(said: Said) -> dict[str, object]:
    """Return a message as the chat page gets it."""
    return {
        "id": said.id,
        "direction": said.direction,
        "text": said.text,
        "buttons": said.buttons,
        "mood": mood(said),
        "created_at": iso(said.created_at),
        "version": said.version,
        "edited_at": iso(said.edited_at),
    }


def answer(here: Service, who: Address, seen: Seen, address: str) -> StreamingResponse:
    """Return the stream of a thread's messages and edits after `seen`; it ends only with the browser or the server.

    Raises `TooMany` when this visitor, this address or everybody together has too many open: the page then asks
    from time to time instead.
    """
    visitors = [visitor for visitor, _ in _open.values()]
    addresses = [place for _, place in _open.values()]
    if (
        visitors.count(who.external_id) >= OF_VISITOR_MAX
        or addresses.count(address) >= OF_ADDRESS_MAX
        or len(_open) >= OPEN_MAX
    ):
        raise TooMany("there are too many open connections", retry_after_s=FULL_S)
    return StreamingResponse(_events(here, who, seen, address), media_type="text/event-stream", headers=HEADERS)


async def _events(here: Service, who: Address, seen: Seen, address: str) -> AsyncIterator[bytes]:
    """Yield every message and edit once, and a comment when there was none for a while, which finds dead connections."""
    _heed_signals()
    event = here.bell.subscribe(topic(who))
    _open[event] = who.external_id, address
    try:
        yield b"retry: 1000\n\n"
        while event in _open:
            event.clear()
            news = await _news(here, who, seen)
            for said in news:
                seen.sent.add(said.id)
                seen.version = max(seen.version, said.version)
                yield _frame(said, seen)
            if not news and not await _rang(event):
                yield b": still here\n\n"
    except StoreUnavailable:
        return
    finally:
        _open.pop(event, None)
        here.bell.unsubscribe(topic(who), event)


async def _news(here: Service, who: Address, seen: Seen) -> list[Said]:
    """Return edits and messages not sent yet, and forget numbers that no late message can have."""
    newest = seen.newest
    seen.sent.difference_update([number for number in seen.sent if number < newest - OVERLAP])
    edited = [said for said in await here.threads.edited(who, seen.version, limit=PAGE) if said.id <= newest]
    rows = await here.threads.after(who, max(seen.after, newest - OVERLAP), limit=PAGE)
    return [*edited, *(said for said in rows if said.id not in seen.sent and said not in edited)]


def _frame(said: Said, seen: Seen) -> bytes:
    """Return a message as an event, whose id says where to resume."""
    data = orjson.dumps(as_json(said))
    return b"id: %s\nevent: message\ndata: %s\n\n" % (seen.event_id.encode(), data)


async def _rang(event: asyncio.Event) -> bool:
    """Wait for a ring, but not for ever: a ring may be lost."""
    try:
        async with asyncio.timeout(LOOK_S):
            await event.wait()
    except TimeoutError:
        return False
    return True

"""What tests of the Telegram channel share: the played Telegram with two people and two groups, and a channel at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from fakes.telegram import TOKEN, TelegramFake
from paydesk.channels.base import (
    Address,
    Arrival,
    Button,
    Grant,
    Revoke,
    Send,
    Start,
)
from paydesk.channels.telegram import Telegram, make

ADA, BEN, STRANGER, GROUP, SMALL = 42, 2**40 + 7, 77, -1001234567890, -987654
WHO = Address("telegram", str(ADA))
PUBLIC = "https://desk.example"
SECRET = "a-long-enough_secret_0123456789"


@dataclass
class Pad:
    """What was noted, in memory."""

    noted: dict[str, Any] = field(default_factory=dict)

    async def get(self, key: str) -> Any:
        return self.noted.get(key)

    async def put(self, key: str, value: Any) -> None:
        self.noted[key] = value


def channel_at(url: str, pad: Pad | None = None, **more: str) -> Telegram:
    environ = {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_BASE": url, **more}
    noted = pad or Pad()
    return make(Start(environ, lambda name: noted, PUBLIC))


@pytest.fixture(scope="module")
def running() -> Iterator[TelegramFake]:
    with TelegramFake() as played:
        yield played


@pytest.fixture
def fake(running: TelegramFake) -> Iterator[TelegramFake]:
    """A Telegram with two people and two groups; whatever we asked wrongly fails the test."""
    running.reset()
    running.person(ADA, "Ada", "pl")
    running.person(BEN, "Ben", "nl-BE")
    running.person(STRANGER, standing="stranger")
    running.room(GROUP)
    running.room(SMALL, "group")
    yield running
    assert running.complaints == [], running.complaints  # not rewritten here, so said


@pytest.fixture
def pad() -> Pad:
    return Pad()


@pytest.fixture
async def channel(fake: TelegramFake, pad: Pad) -> AsyncIterator[Telegram]:
    made = channel_at(fake.url, pad, TELEGRAM_ADMIN_CHAT=str(GROUP))
    yield made
    await made.close()


def send(text: str = "hello", *buttons: Button, to: Address = WHO, answers: dict[str, str] | None = None) -> Send:
    return Send("k1", to, text, buttons, answers)


def grant(person: int = ADA, space: int | str = GROUP, role: str = "") -> Grant:
    return Grant("g1", Address("telegram", str(person)), str(space), role, 1)


def revoke(person: int = ADA, space: int | str = GROUP, role: str = "") -> Revoke:
    return Revoke("r1", Address("telegram", str(person)), str(space), role, 2)


def dumped(update: Any) -> bytes:
    """An update as it comes."""
    return orjson.dumps(update)


class Kept:
    """Keeps arrivals; while `gate` is closed nothing is durable."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, arrivals: Sequence[Arrival]) -> None:
        await self.gate.wait()
        self.arrivals += arrivals


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)

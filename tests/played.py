"""A platform that is played as a process: `python played.py telegram` (or `discord`, or `shop`, a server that is sent events).

Its first line tells where its door is, and what the settings of its desk are made of; then it plays until it is killed.
A request to the door, `POST /verb` with a list of arguments, calls a method and is answered with what that returns.
"""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from fakes.discord import DiscordFake
from fakes.receiver import Receiver, receiving
from fakes.telegram import TelegramFake


class Played(Protocol):
    """A platform, open until the end of its `with`; its other methods take and return JSON."""

    @property
    def facts(self) -> dict[str, str]:
        """What the settings of its desk are made of."""

    def __enter__(self) -> Any: ...

    def __exit__(self, *_: object) -> None: ...


class PlayedTelegram(TelegramFake):
    """People are numbers here. Remembers all that it has told the bot, to tell it once more."""

    def __init__(self) -> None:
        super().__init__()
        self.facts = {"url": self.url}
        self._told: list[dict[str, Any]] = []

    def push(self, kind: str, what: dict[str, Any]) -> dict[str, Any]:
        """Let an update arrive, and remember it."""
        self._told.append(super().push(kind, what))
        return self._told[-1]

    def comes(self, person: int) -> None:
        """Somebody starts the bot."""
        self.person(person)

    def asks(self, person: int, text: str) -> None:
        """Somebody types something."""
        self.says(person, text)

    def pays_invoice(self, person: int) -> None:
        """Somebody pays the first invoice in their chat."""
        bills = [number for (chat, number), one in self.messages.items() if chat == person and "invoice" in one]
        self.pays(person, bills[0])

    def to_fetch(self) -> int:
        """How many updates the bot has not fetched, or has not said that it has; those on their way have come by then."""

        async def count() -> int:
            return len(self.waiting)

        return asyncio.run_coroutine_threadsafe(count(), self.loop).result(10)

    def tells_again(self, person: int) -> None:
        """Let everything that was told of somebody arrive once more, under its own numbers."""
        for update in self._told:
            what = update.get("message") or update["pre_checkout_query"]
            if what.get("chat", what["from"])["id"] == person:
                self.loop.call_soon_threadsafe(self._arrive, update)

    def knows(self, person: int) -> dict[str, Any]:
        """What became of somebody's charges, what they read (invoices left out), and of what Telegram complains."""
        charges = {charge: self.charges[charge] for charge, (who, _) in self.receipts.items() if who == person}
        texts = [one["text"] for one in self.said_to(person) if "text" in one]
        return {"charges": charges, "texts": texts, "complaints": self.complaints}


class PlayedDiscord(DiscordFake):
    """One server with one role that is sold. Remembers who was given it and from whom it was taken, in order."""

    def __init__(self) -> None:
        super().__init__()
        self._server = self.guild()
        self._gold = self.role(self._server, "Gold", 3)
        self._turns: list[tuple[str, str]] = []

    @property
    def facts(self) -> dict[str, str]:
        """The settings of its desk, and what is sold."""
        return {**self.environ(), "guild": self._server.id, "role": self._gold}

    def _change_role(self, method: str, guild: Any, user: str, role: str) -> Any:
        self._turns.append((user, "given" if method == "PUT" else "taken"))
        return super()._change_role(method, guild, user, role)

    def comes(self) -> str:
        """Somebody new joins the server; gives their number."""
        id_ = self.user()
        self._server.members[id_] = set()
        return id_

    def knows(self, user: str) -> dict[str, Any]:
        """Whether somebody has the role, how that came, what they read, and of what Discord complains."""
        return {
            "has": self._gold in self._server.members[user],
            "turns": [turn for who, turn in self._turns if who == user],
            "texts": [message["content"] for message in self.told(user)],
            "complaints": self.complaints,
        }


class PlayedShop:
    """A shop's server, which takes every event that it is sent."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._receiver: Receiver = self._open.enter_context(receiving())
        self.facts = {"url": self._receiver.url}

    def __enter__(self) -> PlayedShop:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def heard(self, who: str) -> list[list[str]]:
        """The events that name somebody, each time one came: its id by its header, and its body."""
        came = [(one.headers["webhook-id"], one.body.decode()) for one in list(self._receiver.requests)]
        return [[id_, body] for id_, body in came if who in body]


PLAYED: dict[str, Callable[[], Played]] = {
    "telegram": PlayedTelegram, "discord": PlayedDiscord, "shop": PlayedShop,
}  # fmt: skip


def door_to(played: Played) -> ThreadingHTTPServer:
    """Return a server that calls a method for each request: `POST /verb`, its arguments as a list."""

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            given = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status = 200
            try:
                told = getattr(played, self.path.removeprefix("/"))(*given)
            except Exception:
                status, told = 500, traceback.format_exc(limit=-3)
            body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Door)


def play(name: str) -> None:
    """Play a platform until killed; the first line tells where its door is, and its facts."""
    with PLAYED[name]() as played, door_to(played) as door:
        sys.stdout.write(json.dumps({"door": f"127.0.0.1:{door.server_port}", **played.facts}) + "\n")
        sys.stdout.flush()
        door.serve_forever()


if __name__ == "__main__":
    play(sys.argv[1])

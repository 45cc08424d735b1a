"""Servers and groups that only remember who is in them: a channel like any other, brought by an entry point or given."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paydesk.channels.base import Action, Channel, DeliveryError, Grant, Receipt, Revoke, Start

Inside = set[tuple[str, str, str]]
"""(id on the channel, space, role) of everybody who is in somewhere."""


@dataclass
class Rooms(Channel):
    """A channel that lets people in and out. `refusals` are raised first, one at each action; `pause` holds actions up."""

    name: str = "discord"
    edits: bool = False
    admits: bool = True
    inside: Inside = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    refusals: list[DeliveryError] = field(default_factory=list)
    pause: dict[str, asyncio.Event] = field(default_factory=dict)

    async def deliver(self, action: Action, last: Receipt | None) -> Receipt:
        """Let somebody in or out."""
        if not isinstance(action, Grant | Revoke):
            return Receipt()
        what = type(action).__name__.lower()
        if what in self.pause:
            await self.pause[what].wait()
        if self.refusals:
            raise self.refusals.pop(0)
        person = (action.to.external_id, action.space, action.role)
        if isinstance(action, Grant):
            self.inside.add(person)
        else:
            self.inside.discard(person)
        self.done.append(f"{what} {'/'.join(person)}")
        return Receipt({"version": action.version})


# --- in another process ----------------------------------------------------------------------------------------------

ENTRY_POINTS = "[paydesk.channels]\ndiscord = rooms:discord\ntelegram = rooms:telegram\nunset = rooms:unset\n"


@dataclass
class Written(Channel):
    """A channel that writes what it did into a file, a line for each."""

    name: str
    path: Path
    edits: bool = False
    admits: bool = True

    async def deliver(self, action: Action, last: Receipt | None) -> Receipt:
        """Write it down."""
        line: dict[str, Any] = {"channel": self.name, "do": type(action).__name__.lower(), "to": action.to.external_id}
        if isinstance(action, Grant | Revoke):
            line |= {"space": action.space, "role": action.role, "version": action.version}
        else:
            line["text"] = action.text
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return Receipt()


def discord(start: Start) -> Written:
    """What the entry point of that name makes."""
    return Written("discord", Path(start.environ["ROOMS_FILE"]))


def telegram(start: Start) -> Written:
    """What the entry point of that name makes."""
    return Written("telegram", Path(start.environ["ROOMS_FILE"]))


def unset(_start: Start) -> None:
    """A channel whose own settings are missing."""


def installed(folder: Path, python_path: str) -> dict[str, str]:
    """Install these channels in a folder, as a package does; return what the environment of a service then is."""
    about = folder / "rooms-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: rooms\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    path = [str(folder), str(Path(__file__).parent), *([python_path] if python_path else [])]
    return {"PYTHONPATH": ":".join(path), "ROOMS_FILE": str(folder / "done.jsonl")}


def lines(file: Path) -> list[dict[str, Any]]:
    """What was done, oldest first."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def inside(file: Path) -> set[tuple[str, str, str, str]]:
    """(channel, id there, space, role) of everybody who is in somewhere, by what was done."""
    found: set[tuple[str, str, str, str]] = set()
    for line in lines(file):
        person = (line["channel"], line["to"], line.get("space", ""), line.get("role", ""))
        if line["do"] == "grant":
            found.add(person)
        elif line["do"] == "revoke":
            found.discard(person)
    return found

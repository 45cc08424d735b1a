"""The way to a platform that is played in a process of its own (`played`), for tests that fork processes and kill them.

Whoever forks has no thread then, and whoever is killed leaves the platform as it was. It is asked by plain requests to
its door, each of which calls one method.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

PLAYED = Path(__file__).with_name("played.py")

DOOR = "STAGE_DOOR"
"""Where a desk's settings keep the door, for steps that know only the desk."""


@dataclass(frozen=True)
class Stage:
    """The way to a platform that is played; `facts` are what its desk's settings are made of."""

    door: str
    facts: dict[str, str] = field(default_factory=dict)

    def ask(self, verb: str, *given: Any) -> Any:
        """Return what a method of the played platform returns; raises `AssertionError` when it raises."""
        connection = HTTPConnection(self.door, timeout=20)
        connection.request("POST", f"/{verb}", json.dumps(given))
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
        if answer.status != 200:
            raise AssertionError(f"{verb}: {told}")
        return told


@contextmanager
def running_stage(name: str) -> Iterator[Stage]:
    """Play `telegram`, `discord` or `shop` until the end of the block."""
    command = [sys.executable, str(PLAYED), name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        told = json.loads(process.stdout.readline())
        yield Stage(told.pop("door"), told)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()

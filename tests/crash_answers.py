"""Whoever changes something dies between the effect and the answer: a repeat gives the answer and changes nothing.

What others have changed meanwhile stays; what was not done before the kill is done by the repeat.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import settings_for
from faults import Journal, in_child, unasked
from paydesk import edge
from paydesk.app import open_service
from paydesk.config import Settings, load
from paydesk.web.application import build
from sandbox_fixtures import Sandbox

ENDPOINT = {"url": "https://hooks.example/paydesk", "enabled_events": ["order.paid"]}

MADE_BY = {
    "customer": ("/v1/customers", {"name": "First"}),
    "endpoint": ("/v1/webhook_endpoints", ENDPOINT),
}
CHANGES: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "customer": ("/v1/customers/{}", {"name": "Second"}, {"name": "Third"}, "name"),
    "endpoint": ("/v1/webhook_endpoints/{}", {"description": "Second"}, {"description": "Third"}, "description"),
}


@pytest.fixture
def crash_settings(new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path: Path) -> Settings:
    made = settings_for(new_database(), stripe_sandbox.url, PAYDESK_DATA=str(tmp_path / "data"))
    return load(made, folder=tmp_path)


def die_at_commit(number: int) -> None:
    """Let the process be killed right after its so-many-th commit from now on."""
    left = number

    def at(name: str) -> None:
        nonlocal left
        left -= name == "commit:after"
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    edge.observe(at)


async def called(
    settings: Settings, method: str, path: str, body: Any = None, *, key: str = "look", die: int = 0
) -> Any:
    """One call of the API in this process, with a service of its own."""
    async with open_service(settings) as service:
        first = settings.api_key
        assert first is not None
        transport = httpx.ASGITransport(build(service))
        headers = {"Authorization": f"Bearer {first.reveal()}", "Idempotency-Key": key}
        async with httpx.AsyncClient(transport=transport, base_url="http://desk", headers=headers) as client:
            if die:
                die_at_commit(die)
            answer = await client.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json()


@pytest.mark.parametrize("what", list(CHANGES))
def test_a_change_is_made_once_whenever_its_process_dies(crash_settings: Settings, tmp_path: Path, what: str) -> None:
    journal = Journal(tmp_path / "journal")
    number, killed = 0, -signal.SIGKILL
    while killed == -signal.SIGKILL:
        number += 1
        killed = one_life(crash_settings, journal, what, number)
        assert killed in (-signal.SIGKILL, 0), unasked(journal)
    assert {done for done, *_ in journal.of("seen", "")} == {True, False}, "kills before the effect, and after it"
    for done, before, repeated, now in journal.of("seen", ""):
        if done:  # the change of the others came after it, and stays
            assert (now, repeated in ("Second", "Third")) == ("Third", True)
        else:
            assert (before != "Second", repeated, now) == (True, "Second", "Second")


def one_life(settings: Settings, journal: Journal, what: str, number: int) -> int:
    """Make a thing, die at a commit of its change, let others change it, and repeat; return how the change ended."""
    path, wished, by_others, field = CHANGES[what]

    async def make() -> None:
        made = await called(settings, "POST", *MADE_BY[what], key=f"make-{number}")
        journal.note("made", str(number), path.format(made["id"]))

    async def die() -> None:
        await called(settings, "PATCH", journal.of("made", str(number))[0], wished, key=f"change-{number}", die=number)

    async def go_on() -> None:
        where = journal.of("made", str(number))[0]
        before = (await called(settings, "GET", where))[field]
        await called(settings, "PATCH", where, by_others, key=f"others-{number}")
        async with open_service(settings) as service:
            await service.store.execute("UPDATE idempotency_key SET locked_until = now()")
        repeated = (await called(settings, "PATCH", where, wished, key=f"change-{number}"))[field]
        now = (await called(settings, "GET", where))[field]
        journal.note("seen", "", [before == "Second", before, repeated, now])

    assert in_child(make, journal) == 0, unasked(journal)
    killed = in_child(die, journal)
    assert in_child(go_on, journal) == 0, unasked(journal)
    return killed

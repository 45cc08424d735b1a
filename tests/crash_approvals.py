"""A refund that a program asks for and a person approves goes back once, whoever is killed at whatever moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import settings_for
from faults import CLOSE, Actor, Flow, Journal, Run, killed_at_every_moment
from flows import beforehand, hear, post, work
from flows_money import End, bought, ends, once_more, seen
from paydesk import refund_requests
from paydesk.config import load
from sandbox_fixtures import running_sandbox

MOMENTS = 18


async def ask(actor: Actor) -> None:
    """`POST /v1/refund_requests`, as a program does that acts for the shop."""
    body = {"order": actor.memory["order credits-10"], "reason": "it did not work", "agent": "a program"}
    made = await post(actor, "/v1/refund_requests", body, key="ask")
    seen(actor, "request", made["id"])


async def approve(actor: Actor) -> None:
    """`paydesk approvals approve`, typed again when its end was not seen."""
    service = actor.service
    row = await refund_requests.approve(service.store, service.gateway, actor.memory["request"], by="ann")
    seen(actor, "refund", row["refund_id"])


NOTED = "SELECT action, count(*) FROM audit WHERE subject = $1 GROUP BY action ORDER BY action"
ONCE = [(f"refund_request.{what}", 1) for what in ("approved", "create", "refunded")]


async def decided_once(actor: Actor) -> list[str]:
    """Look whether one refund was made, and each step of the request was noted once."""
    store, request = actor.service.store, actor.memory["request"]
    found = await ends(End({"credits-10": ("refunded", (999,))}, (0, 0, 0), ("paid", "refunded")))(actor)
    state = await store.fetchval("SELECT state FROM refund_request WHERE id = $1", request)
    noted = [tuple(row) for row in await store.fetch(NOTED, request)]
    if state != "refunded" or noted != ONCE:
        found.append(f"effect: {request} is {state}, noted as {noted}")
    return found


APPROVAL = Flow(
    "a refund that a program asks for and a person approves",
    (beforehand(*bought("credits-10")), ask, approve, beforehand(hear), work),
    once_more(ask, approve),
    decided_once,
)


def test_every_moment_of_a_refund_that_is_approved(
    new_database: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_sandbox() as sandbox:
        settings = settings_for(
            new_database(), sandbox.url, PAYDESK_DATA=str(tmp_path / "data"),
            PAYDESK_MCP_REFUND_MAX="9.99 usd", PAYDESK_MCP_REFUND_DAY_MAX="99999.00 usd",
        )  # fmt: skip
        run = Run(APPROVAL, load(settings, folder=tmp_path), Journal(tmp_path / "journal"))
        _, kinds = killed_at_every_moment(run, capsys, most=MOMENTS)
    assert kinds.total() >= MOMENTS - CLOSE
    assert {"stripe:before", "stripe:after"} <= set(kinds)

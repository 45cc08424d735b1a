"""A refund that a program asks for and a person approves goes back once, whoever is killed at whatever moment."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from conftest import settings_for
from crash_planted import planted, refund_under_a_new_key
from faults import CLOSE, Actor, Flow, Journal, Plant, Run, first_found, killed_at_every_moment, report
from flows import beforehand, hear, post, work
from flows_money import End, bought, ends, once_more, seen
from paydesk import asking, refund_requests, refunds
from paydesk.config import load
from paydesk.store import Record, Store
from paydesk.stripe.gateway import Gateway
from sandbox_fixtures import Sandbox, running_sandbox

MOMENTS = 18


async def ask(actor: Actor) -> None:
    """`POST /v1/refund_requests`, as a program does that acts for the shop."""
    body = {"order": actor.memory["order credits-10"], "reason": "it did not work", "agent": "a program"}
    made = await post(actor, "/v1/refund_requests", body, key="ask")
    seen(actor, "request", made["id"])


async def approve(actor: Actor) -> None:
    """`paydesk approvals approve`, typed again when its end was not seen."""
    service = actor.service
    await nothing_went_back_undecided(actor)
    row = await refund_requests.approve(service.store, service.gateway, actor.memory["request"], by="ann")
    seen(actor, "refund", row["refund_id"])


async def nothing_went_back_undecided(actor: Actor) -> None:
    """Note it when money went back of a request that still waits for a person, who might refuse it or let it expire."""
    row = await refund_requests.get(actor.service.store, actor.memory["request"])
    made = (await actor.at_stripe("GET", "/v1/refunds", payment_intent=row["payment_id"]))["data"]
    if row["state"] == "waiting" and made:
        finding = "approval: money went back before the approval was written down"
        actor.journal.note("violation", actor.name.rpartition("-")[2], finding)


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


def run_of(sandbox: Sandbox, dsn: str, folder: Path, plant: Plant = nullcontext) -> Run:
    """The flow on a database of its own, where so much may be asked for as it asks for."""
    settings = settings_for(
        dsn, sandbox.url, PAYDESK_DATA=str(folder / "data"),
        PAYDESK_MCP_REFUND_MAX="9.99 usd", PAYDESK_MCP_REFUND_DAY_MAX="99999.00 usd",
    )  # fmt: skip
    return Run(APPROVAL, load(settings, folder=folder), Journal(folder / "journal"), plant)


def test_every_moment_of_a_refund_that_is_approved(
    new_database: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_sandbox() as sandbox:
        run = run_of(sandbox, new_database(), tmp_path)
        _, kinds = killed_at_every_moment(run, capsys, most=MOMENTS)
    assert kinds.total() >= MOMENTS - CLOSE
    assert {"stripe:before", "stripe:after"} <= set(kinds)


# --- does it bite? ---------------------------------------------------------------------------------------------------

right_approve = refund_requests.approve


async def refund_before_the_decision(store: Store, gateway: Gateway, id_: str, *, by: str) -> Record:
    """Give the money back first, and write down afterwards that somebody has decided so."""
    row = await refund_requests.get(store, id_)
    what = refunds.Ask(payment=row["payment_id"], amount=row["amount"], reason="requested_by_customer")
    await refunds.make(store, gateway, what, operation=id_, actor=by)
    return await right_approve(store, gateway, id_, by=by)


BUGS: dict[str, tuple[Plant, str]] = {
    "refund before the decision": (
        lambda: planted(refund_requests, "approve", refund_before_the_decision), "approval: ",
    ),
    "refund without its key": (lambda: planted(asking, "answer", refund_under_a_new_key), "call: "),
}  # fmt: skip
"""The bug, and how what is found begins: the second refund is refused by Stripe, so its call stays open for ever."""


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_planted_in_an_approval_is_reported(
    bug: str, new_database: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant, kind = BUGS[bug]
    with running_sandbox() as sandbox:
        run = run_of(sandbox, new_database(), tmp_path, plant)
        names = run.points()
        found = first_found(run, [number for number, name in enumerate(names, 1) if name == "stripe:after"], kind)
    report(capsys, f"{bug}: {found}")
    assert [one for one in found if one.startswith(kind)], found

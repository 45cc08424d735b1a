"""Events of subscriptions in every order, number and API version end in the same state, whenever they are heard."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from conftest import settings_for
from histories import SHAPES, UNFINISHED, Account, Hearing, ends_of, live_through, permuted, shuffled
from paydesk.app import open_service
from paydesk.config import load
from sandbox_fixtures import Receiver, running_sandbox

SHUFFLES = int(os.environ.get("PAYDESK_SHUFFLES", "200"))
"""`make soak` tells ten times as many shuffles, and ten times as many permutations."""

PEOPLE = 200
"""So many live at once; more shuffles are told to others after them, shuffled otherwise."""

PERMUTATIONS = int(os.environ.get("PAYDESK_PERMUTATIONS", "72"))

KINDS = {
    "first payment": ("customer.subscription.created", "charge.succeeded", "invoice.paid", "invoice.payment_succeeded",
                      "invoice_payment.paid", "checkout.session.completed"),
    "renewal": ("customer.subscription.updated", "invoice.updated", "charge.succeeded", "invoice.paid",
                "invoice.payment_succeeded", "invoice_payment.paid"),
    "failure": ("customer.subscription.updated", "invoice.updated", "charge.failed", "payment_intent.payment_failed",
                "invoice.payment_failed"),
    "recovery": ("customer.subscription.updated", "charge.succeeded", "invoice.paid", "invoice.payment_succeeded",
                 "invoice_payment.paid", "charge.updated"),
    "cancellation": ("customer.subscription.deleted",),
}  # fmt: skip


@pytest.fixture
def databases(new_database: Callable[[], str]) -> list[str]:
    """A database for each shape."""
    return [new_database() for _ in SHAPES]


@asynccontextmanager
async def living(databases: list[str], folder: Path, people: int) -> AsyncIterator[list[Account]]:
    """An account of each shape, with so many people in all, on a sandbox whose clock nobody else moves."""
    async with AsyncExitStack() as stack:
        sandbox = stack.enter_context(running_sandbox("--gap-factor", "0.1"))
        accounts = []
        for shape, database in zip(SHAPES, databases, strict=True):
            receiver = Receiver(much=True)
            stack.callback(receiver.close)
            settings = load(settings_for(database, sandbox.url, PAYDESK_DATA=str(folder / shape)), folder=folder)
            service = await stack.enter_async_context(open_service(settings))
            accounts.append(Account(shape, sandbox, receiver, service))
            stack.callback(accounts[-1].http.close)
            await accounts[-1].begin(people // len(SHAPES), "plus")
        yield accounts


async def one_end(accounts: list[Account], hear: Hearing) -> str:
    """Let everybody live through it; the only way in which it ended."""
    await live_through(accounts, hear)
    ends: dict[str, list[str]] = {}
    for account in accounts:
        for end, whom in (await ends_of(account)).items():
            ends.setdefault(end, []).extend(f"{account.shape} {one}" for one in whom)
        assert await account.service.store.fetch(UNFINISHED) == []
    assert len(ends) == 1, "\n".join(f"{len(whom)}: {end}\n  {whom[:8]}" for end, whom in ends.items())
    return next(iter(ends))


END = "canceled"


async def test_t13_every_order_of_the_events_of_each_phase_ends_the_same(databases: list[str], tmp_path: Path) -> None:
    """Takes a minute: each of the people is told of some fifty events, and each event is a look at Stripe."""
    async with living(databases, tmp_path, PERMUTATIONS) as accounts:
        end = await one_end(accounts, permuted(KINDS))
    assert END in end


@pytest.mark.parametrize("seed", range(7, 7 + -(-SHUFFLES // PEOPLE)))
async def test_t13_t14_whatever_is_heard_late_twice_or_in_another_shape_ends_the_same(
    databases: list[str], tmp_path: Path, seed: int
) -> None:
    """Takes a minute: as above, and what is heard apart is looked at apart."""
    async with living(databases, tmp_path, min(SHUFFLES, PEOPLE)) as accounts:
        end = await one_end(accounts, shuffled(seed))
    assert END in end

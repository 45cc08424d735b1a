"""Money that goes back and forth survives a kill at every point, and every answer to a commit that is lost, once each."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from conftest import settings_for
from faults import Journal, Run, report
from flows_money import MONEY_FLOWS
from paydesk.config import load
from sandbox_fixtures import running_sandbox

MOMENTS_MIN = {"refunds": 60, "debt": 60, "dispute": 60, "holds": 30, "merge": 20, "top-up": 50}
INSIDE = ("begin", "statement")
ONE_OF = 8
"""So many moments between two statements of one transaction are worth one: a kill there undoes all of it. 1 for all."""


def moments(names: Sequence[str], seed: str) -> list[int]:
    """Return which points are cut: all around a commit, a call to Stripe and a send, and a few of those in between.

    Right after one thing and right before the next are one moment for the world.
    """
    chance = random.Random(seed)
    chosen, last = [], ""
    for number, name in enumerate(names, 1):
        if name.startswith(INSIDE):
            if name == "statement:after" and chance.randrange(ONE_OF) == 0:
                chosen.append(number)
            continue
        if not (name.endswith(":before") and last.endswith(":after")) or name == "commit:before":
            chosen.append(number)
        last = name
    return chosen


@pytest.mark.parametrize("name", MONEY_FLOWS)
def test_every_moment_of_a_flow(
    name: str, new_database: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_sandbox() as sandbox:
        data = str(tmp_path / "data")
        settings = load(settings_for(new_database(), sandbox.url, PAYDESK_DATA=data), folder=tmp_path)
        run = Run(MONEY_FLOWS[name], settings, Journal(tmp_path / "journal"))
        names = run.points()
        chosen = moments(names, run.seed)
        for number in chosen:
            run.at(number)
        run.end()
    kinds = Counter(name for _, name in run.journal.lines("killed"))
    report(capsys, f"{len(chosen)} moments ({len(names)} points) of {run.flow.name} killed (seed {run.seed}): "
                   f"{dict(sorted(kinds.items()))}")  # fmt: skip
    assert run.found() == []
    assert kinds.total() >= max(MOMENTS_MIN[name], len(chosen) - 5)

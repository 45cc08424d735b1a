"""Money that goes back and forth survives a kill at every point, and every answer to a commit that is lost, once each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from conftest import settings_for
from faults import Journal, Run, report
from flows_money import MONEY_FLOWS
from paydesk.config import load
from sandbox_fixtures import running_sandbox

POINTS_MIN = {"refunds": 100, "debt": 60, "dispute": 60, "holds": 30, "merge": 20, "top-up": 80}


def moments(names: Sequence[str]) -> list[int]:
    """Return the points that differ for the world: right after one thing and right before the next is one moment."""
    return [
        number
        for number, name in enumerate(names, 1)
        if name.endswith(":after") or number == 1 or not names[number - 2].endswith(":after")
    ]


@pytest.mark.parametrize("name", MONEY_FLOWS)
def test_every_moment_of_a_flow(
    name: str, new_database: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_sandbox() as sandbox:
        data = str(tmp_path / "data")
        settings = load(settings_for(new_database(), sandbox.url, PAYDESK_DATA=data), folder=tmp_path)
        run = Run(MONEY_FLOWS[name], settings, Journal(tmp_path / "journal"))
        names = run.points()
        chosen = moments(names)
        for number in chosen:
            run.at(number)
        run.end()
    kinds = Counter(name for _, name in run.journal.lines("killed"))
    report(capsys, f"{len(chosen)} moments ({len(names)} points) of {run.flow.name} killed (seed {run.seed}): "
                   f"{dict(sorted(kinds.items()))}")  # fmt: skip
    assert run.found() == []
    assert kinds.total() >= max(POINTS_MIN[name], len(chosen) - 5)

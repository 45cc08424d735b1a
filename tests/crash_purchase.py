"""A purchase survives a kill at every moment at which it touches the world."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import settings_for
from faults import ONE_OF, Flow, Journal, Run, killed_at_every_moment
from flows import BY_API, IN_CHAT
from paydesk.config import load
from sandbox_fixtures import running_sandbox

POINTS_MIN = 400
MOMENTS_MIN = 150


@pytest.mark.parametrize("flow", [IN_CHAT, BY_API], ids=["in the chat", "by the API"])
def test_every_moment_of_a_purchase(
    flow: Flow, new_database: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some hundred processes, each of which lives a whole purchase and mends another: in the chat one for every point."""
    one_of = 1 if flow is IN_CHAT else min(ONE_OF, 4)
    with running_sandbox() as sandbox:  # its own: the flow moves the clock
        data = str(tmp_path / "data")
        settings = load(settings_for(new_database(), sandbox.url, PAYDESK_DATA=data), folder=tmp_path)
        run = Run(flow, settings, Journal(tmp_path / "journal"))
        names, kinds = killed_at_every_moment(run, capsys, one_of=one_of)
    assert len(names) >= POINTS_MIN
    assert kinds.total() >= MOMENTS_MIN
    assert {name.partition(":")[0] for name in kinds} == {name.partition(":")[0] for name in names}

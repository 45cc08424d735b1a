"""A signal at any moment of a first start ends it in order: a line, nothing running, and the next start begins well."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import CATALOG, settings_for
from desk import clean_environ
from paydesk.store import embedded, postmaster
from sandbox_fixtures import free_port, until

PATIENCE_S = 60


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Path]:
    """A folder with a catalogue and nothing else; Stripe does not answer."""
    shutil.copy(CATALOG, tmp_path / "catalog.toml")
    yield tmp_path
    with contextlib.suppress(OSError):
        embedded.remove(tmp_path / ".paydesk")


def begun(shop: Path, *command: str) -> subprocess.Popen[str]:
    own = {"STRIPE_API_KEY": "sk_test_0123456789", "STRIPE_API_BASE": f"http://127.0.0.1:{free_port()}"}
    return subprocess.Popen(
        [sys.executable, "-m", "paydesk", *command],
        cwd=shop, env={**clean_environ(), **own}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def clusters(shop: Path) -> list[Path]:
    """Every cluster of the folder, half-made ones too."""
    return [path.resolve() for path in (shop / ".paydesk").glob("pg*") if path.name.startswith("pg")]


def runs(shop: Path) -> bool:
    return any(postmaster.members(cluster) for cluster in clusters(shop) if cluster.exists())


def has(pattern: str) -> Callable[[Path], bool]:
    return lambda shop: any((shop / ".paydesk").glob(pattern))


def at_once(_shop: Path) -> bool:
    time.sleep(0.6)
    return True


MOMENTS = {
    "at work while it imports": (("work",), at_once, signal.SIGTERM),
    "at serve before the database is made": (("serve",), has("start.lock"), signal.SIGINT),
    "at serve while the database is made": (("serve",), has("pg.*.new/base"), signal.SIGTERM),
    "at work while the database is made": (("work",), has("pg.*.new/global"), signal.SIGINT),
    "at serve while the database starts": (("serve",), has("postgres.log"), signal.SIGINT),
    "at work when the database answers": (("work",), has("pg/postmaster.pid"), signal.SIGTERM),
    "at serve while the schema is made": (("serve",), has("pg/base/16*/PG_VERSION"), signal.SIGTERM),
    "at serve with two processes": (("serve", "--workers", "2"), has("pg.*.new"), signal.SIGTERM),
    "at keys create": (("keys", "create", "bot", "--scope", "read"), has("pg.*.new"), signal.SIGTERM),
}


@pytest.mark.parametrize(("command", "moment", "how"), MOMENTS.values(), ids=MOMENTS)
def test_a_signal_ends_a_first_start_and_leaves_nothing_running(
    shop: Path, command: tuple[str, ...], moment: Callable[[Path], bool], how: signal.Signals
) -> None:
    port = ["--port", str(free_port())] if command[0] == "serve" else []
    process = begun(shop, *command, *port)
    try:
        until(lambda: moment(shop), patience_s=PATIENCE_S, what="the moment")
        process.send_signal(how)
        said, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode in (0, 130), said
    assert "stopped" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert "Aborted" not in said
    assert "listens" not in said
    assert not runs(shop)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_running_service_in_order_too(
    new_database: Callable[[], str], tmp_path: Path, how: signal.Signals
) -> None:
    settings = settings_for(new_database(), f"http://127.0.0.1:{free_port()}")
    command = [sys.executable, "-m", "paydesk", "serve", "--port", str(free_port())]
    told = tmp_path / "told"
    with told.open("w") as output:
        process = subprocess.Popen(command, env={**clean_environ(), **settings}, stderr=output)
    try:
        until(lambda: "listens" in told.read_text(), patience_s=PATIENCE_S, what="the service")
        process.send_signal(how)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
    assert told.read_text().splitlines()[-1].endswith("paydesk: stopped")
    assert "Traceback" not in told.read_text()


def started_by(parent: int, program: str) -> list[int]:
    """The children of a process that run a program."""
    listing = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(parent)], capture_output=True, text=True)
    return [int(line.split()[0]) for line in listing.stdout.splitlines() if line.split()[1] == program]


def test_a_database_whose_making_somebody_else_has_ended_did_not_fail_by_itself(shop: Path) -> None:
    process = begun(shop, "work")
    try:
        until(lambda: has("pg.*.new/base")(shop), patience_s=PATIENCE_S, what="the making")
        makers = started_by(process.pid, "initdb")
        for number in makers:
            os.kill(number, signal.SIGTERM)
        said, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    assert makers
    assert (process.returncode, "start again" in said) == (2, True), said
    assert "removing" not in said
    assert not clusters(shop)

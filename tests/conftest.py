"""What every test may ask for: a database, a desk (service and sandbox as real processes), a browser."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import hypothesis  # noqa: F401 - its plugin must be whole before Playwright's loop runs
import pytest

import outside
from desk import Desk, running_desk
from paydesk.app import open_service
from paydesk.config import Settings, load
from paydesk.service import Service
from paydesk.store import embedded
from paydesk.store.migrate import migrate
from sandbox_fixtures import Sandbox, new_key, running_sandbox

CATALOG = Path(__file__).parent / "catalog.toml"

LONGEST = ("crash_money", "crash_purchase", "crash_channels", "crash_subscriptions", "test_subscription_orders", "race_spend",
           "race_refunds", "race_workers", "story_two_years", "test_sandbox_time", "test_recount", "test_permutations",
           "crash_spend", "crash_planted", "crash_random", "crash_webhooks", "crash_approvals", "test_commands",
           "story_reception", "story_topup", "story_grace", "story_plans", "test_seal")  # fmt: skip
"""Files that take long, the longest first: begun early, none of them is what everybody waits for at the end."""


def pytest_configure(config: pytest.Config) -> None:
    """Whoever runs tests needs no certificates; a controller that lets others run them leaves them their environment."""
    if config.getoption("numprocesses", None) is None:
        empty = tempfile.TemporaryDirectory(prefix="paydesk-no-certificates-")
        config.add_cleanup(empty.cleanup)
        outside.trust_nobody(Path(empty.name))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; all others stay in their order."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what tests have to tell besides that they passed: `record_property("told", …)`."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    for report in reports:
        for name, value in report.user_properties:
            if name == "told":
                terminalreporter.write_line(f"{report.nodeid}: {value}")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Embedded]:
    """One PostgreSQL for the whole run."""
    data = tmp_path_factory.mktemp("postgres")
    running = embedded.start(data)
    yield running
    os.kill(running.pid, signal.SIGQUIT)  # all that tests wrote is thrown away: nobody waits until it is on the disk
    running.release()
    _remove_later(data)


def _remove_later(data: Path) -> None:
    """Delete a cluster without waiting for it: these are a hundred thousand files. As root they lie outside the folder."""
    code = (
        "import sys; from pathlib import Path; from paydesk.store import embedded; embedded.remove(Path(sys.argv[1]))"
    )
    silent = [(os.POSIX_SPAWN_OPEN, output, os.devnull, os.O_WRONLY, 0) for output in (1, 2)]
    os.posix_spawn(
        sys.executable, [sys.executable, "-c", code, str(data)], os.environ, file_actions=silent, setsid=True
    )


@pytest.fixture(scope="session")
def new_database(server: embedded.Embedded) -> Callable[[], str]:
    """A function that makes an empty database with our schema, quickly, and returns its address."""
    template = _create(server, None)
    asyncio.run(migrate(template))
    return lambda: _create(server, template)


def _create(server: embedded.Embedded, template: str | None) -> str:
    name = f"t_{secrets.token_hex(6)}"
    origin = "" if template is None else f' TEMPLATE "{template.split("/paydesk@/")[-1].split("@/")[-1].split("?")[0]}"'

    async def create() -> None:
        connection = await asyncpg.connect(server.admin_dsn)
        try:
            await connection.execute(f'CREATE DATABASE "{name}" OWNER paydesk{origin}')
        finally:
            await connection.close()

    asyncio.run(create())
    return server.dsn.replace("@/paydesk?", f"@/{name}?")


@pytest.fixture
def database(new_database: Callable[[], str]) -> str:
    """The address of a database that nobody else uses."""
    return new_database()


@pytest.fixture(scope="session")
def stripe_sandbox() -> Iterator[Sandbox]:
    """One Stripe sandbox for the whole run; each key has its own data."""
    with running_sandbox() as sandbox:
        yield sandbox


def settings_for(database: str, sandbox_url: str, **more: str) -> dict[str, str]:
    """Settings of a service on that database and sandbox, with secrets of its own."""
    return {
        "DATABASE_URL": database,
        "PAYDESK_CATALOG": str(CATALOG),
        "PAYDESK_API_KEY": f"pdk_{secrets.token_hex(16)}",
        "PAYDESK_ENCRYPTION_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "STRIPE_API_KEY": new_key(),
        "STRIPE_API_BASE": sandbox_url,
        "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets.token_hex(12)}",
        **more,
    }


@pytest.fixture(scope="session")
def desk(new_database: Callable[[], str], stripe_sandbox: Sandbox) -> Iterator[Desk]:
    """A running desk: `paydesk serve` and the sandbox, real processes on a real database. Each test brings new people."""
    with running_desk(settings_for(new_database(), stripe_sandbox.url), stripe_sandbox) as running:
        yield running


@pytest.fixture
def own_desk(new_database: Callable[[], str], stripe_sandbox: Sandbox) -> Iterator[Desk]:
    """A desk for one test alone."""
    with running_desk(settings_for(new_database(), stripe_sandbox.url), stripe_sandbox) as running:
        yield running


@pytest.fixture(scope="module")
def timed(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Desk]:
    """A desk with a sandbox of its own, whose clock the tests of a module move. It sells what their `CATALOG` says."""
    catalog = getattr(request.module, "CATALOG", CATALOG)
    with running_sandbox() as sandbox:
        settings = settings_for(new_database(), sandbox.url, PAYDESK_CATALOG=str(catalog))
        with running_desk(settings, sandbox) as running:
            yield running


@pytest.fixture
def settings(database: str, stripe_sandbox: Sandbox, tmp_path: Path) -> Settings:
    """Settings of a service in this process, on a database of its own."""
    return load(settings_for(database, stripe_sandbox.url, PAYDESK_DATA=str(tmp_path / "data")), folder=tmp_path)


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    """A service in this process; its worker moves only when told: `await service.worker.drain()`."""
    async with open_service(settings) as opened:
        yield opened


@pytest.fixture
def anyone() -> Any:
    """A function that returns a person nobody has met."""
    return lambda: {"channel": "web", "external_id": secrets.token_hex(8)}

"""The servers that are measured, and the whole environment that each of them gets."""

import os
import sys
from pathlib import Path

from bench import stripe_events
from bench.rounds import Variant

ROOT = Path(__file__).resolve().parent.parent
DEAD_END = "http://127.0.0.1:9"  # nothing may ask Stripe while it is measured


def uvicorn(app: str) -> tuple[str, ...]:
    """Return the command that serves `app` with the fastest parts uvicorn has, one process, no access log."""
    parts = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
    return (sys.executable, "-m", "uvicorn", app, "--port", "{port}", *parts)


def paydesk(*options: str) -> tuple[str, ...]:
    """Return the command of the service itself."""
    return (sys.executable, "-m", "paydesk", "serve", "--port", "{port}", *options)


CEILING = Variant("ceiling", uvicorn("bench.ceiling:app"))
USUAL = Variant("usual", uvicorn("bench.usual:app"))
SERVICE = Variant("paydesk+work", paydesk(), alone=True)

# What `ingest` measures, in this order in every round. The first is the reference; `usual` is the other one.
INGEST_VARIANTS = [CEILING, USUAL, Variant("paydesk", paydesk("--no-work")), SERVICE]
# What `load` measures: the load generator itself.
LOAD_VARIANTS = [Variant("bare", (sys.executable, "-m", "bench.bare", "{port}"))]

REFERENCES = (CEILING.name, USUAL.name)


def server_env(dsn: str | None, folder: Path) -> dict[str, str]:
    """Return the whole environment of every server: nothing of the caller's own settings may reach it.

    Without a `dsn` the service starts its own embedded database in `folder`.
    """
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONPATH": f"{ROOT}/src:{ROOT}",  # what is measured is what lies here, whatever is installed
        **({"DATABASE_URL": dsn} if dsn is not None else {}),
        "PAYDESK_DATA": str(folder / "paydesk"),
        "PAYDESK_CATALOG": str(ROOT / "bench" / "catalog.toml"),
        "STRIPE_API_KEY": "sk_test_benchmark",
        "STRIPE_WEBHOOK_SECRET": stripe_events.WEBHOOK_SECRET,
        "STRIPE_API_BASE": DEAD_END,
        "PAYDESK_ENCRYPTION_KEYS": "A" * 43,
    }

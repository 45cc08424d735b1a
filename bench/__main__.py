"""`python -m bench`: measure webhook ingestion beside the ceiling and the usual way, in interleaved rounds."""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import database, report, stripe_events
from bench.processes import PROC
from bench.rounds import Plan, Sample, Variant, run

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
DEAD_END = "http://127.0.0.1:9"  # nothing may ask Stripe while it is measured


def uvicorn(app: str) -> tuple[str, ...]:
    """Return the command that serves `app` with the fastest parts uvicorn has, one process, no access log."""
    parts = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
    return (sys.executable, "-m", "uvicorn", app, "--port", "{port}", *parts)


def paydesk(*options: str) -> tuple[str, ...]:
    """Return the command of the service itself."""
    return (sys.executable, "-m", "paydesk", "serve", "--port", "{port}", *options)


# What `ingest` measures, in this order in every round. The first is the reference; `usual` is the other one.
INGEST_VARIANTS = [
    Variant("ceiling", uvicorn("bench.ceiling:app")),
    Variant("usual", uvicorn("bench.usual:app")),
    Variant("paydesk", paydesk("--no-work")),
    Variant("paydesk+work", paydesk(), alone=True),
]
# What `load` measures: the load generator itself.
LOAD_VARIANTS = [Variant("bare", (sys.executable, "-m", "bench.bare", "{port}"))]

REFERENCES = ("ceiling", "usual")


def server_env(dsn: str, folder: Path) -> dict[str, str]:
    """Return the whole environment of every server: nothing of the caller's own settings may reach it."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": dsn,
        "PAYDESK_DATA": str(folder / "paydesk"),
        "PAYDESK_CATALOG": str(ROOT / "bench" / "catalog.toml"),
        "STRIPE_API_KEY": "sk_test_benchmark",
        "STRIPE_WEBHOOK_SECRET": stripe_events.WEBHOOK_SECRET,
        "STRIPE_API_BASE": DEAD_END,
    }


def ingest(arguments: argparse.Namespace, plan: Plan, folder: Path) -> int:
    """Measure the variants asked for on one PostgreSQL; return 1 if any request was not answered with 200."""
    variants = chosen(INGEST_VARIANTS, arguments.only)
    with database.opened(folder / "database", arguments.database_url) as postgres:
        about = machine(folder) | {"postgresql": postgres.settings, "plan": vars(plan)}
        env = server_env(postgres.dsn, folder)
        samples = run(variants, plan, stripe_events.requests, env, folder, postgres.postmasters)
    return show("ingest", samples, about)


def load(_: argparse.Namespace, plan: Plan, folder: Path) -> int:
    """Measure the load generator against a server that does nothing."""
    samples = run(LOAD_VARIANTS, plan, stripe_events.requests, server_env("", folder), folder)
    return show("load", samples, machine(folder) | {"plan": vars(plan)})


def chosen(variants: Sequence[Variant], names: Sequence[str]) -> list[Variant]:
    """Return the variants with these names, in their own order; all of them when none is named."""
    known = [variant.name for variant in variants]
    if unknown := set(names) - set(known):
        raise SystemExit(f"no such variant: {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    return [variant for variant in variants if not names or variant.name in names]


def machine(folder: Path) -> dict[str, Any]:
    """Return what a reader must know about where this ran."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "fdatasync_ms": round(database.fdatasync_ms(folder), 3),
    }


def show(name: str, samples: Sequence[Sample], about: dict[str, Any]) -> int:
    """Print the tables, write the JSON file; return 1 if any request was not answered with 200."""
    measured = {sample.variant for sample in samples}
    compared = report.ratios(samples, [reference for reference in REFERENCES if reference in measured])
    print("\n" + "  ".join(f"{key}: {value}" for key, value in about.items() if key not in ("plan", "postgresql")))
    print("\nMedians over the rounds; CPU in µs per answer\n" + report.table(samples))
    if compared:
        print("\nRatios within each round: median (lowest–highest)\n" + report.ratio_table(compared))
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    file.write_text(json.dumps(report.as_json(samples, compared, about), indent=2) + "\n")
    print(f"\nEverything is in {file.relative_to(ROOT)}")
    unclean = sorted({sample.variant for sample in samples if not sample.clean})
    if unclean:
        print(f"NOT COMPARABLE: {', '.join(unclean)} did not answer every request with 200; see the column answers")
    return 1 if unclean else 0


def numbers(text: str) -> tuple[int, ...]:
    """Read "64,256"."""
    return tuple(int(part) for part in text.split(","))


def names(text: str) -> list[str]:
    """Read "ceiling,usual"."""
    return [part.strip() for part in text.split(",") if part.strip()]


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["ingest", "load"], default="ingest")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=numbers, default=(64, 256), help="one or more, comma-separated")
    parser.add_argument("--events", type=int, default=20_000, help="requests per measurement, at most")
    parser.add_argument("--seconds", type=float, default=5.0, help="time per measurement, at most")
    parser.add_argument("--only", type=names, default=[], help="variants by name, comma-separated")
    parser.add_argument("--database-url", help="an empty PostgreSQL database instead of the embedded server")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run one benchmark; return the exit status."""
    if not (PROC / "self" / "stat").exists():
        raise SystemExit("the benchmarks read processor times from /proc, so they need Linux")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leaves every `with`, so that no server stays behind
    arguments = parsed(argv)
    plan = Plan(arguments.rounds, arguments.connections, arguments.events, arguments.seconds)
    # /var/tmp and not /tmp, which is often kept in memory: there, durable writes would cost nothing.
    with tempfile.TemporaryDirectory(prefix="paydesk-bench-", dir="/var/tmp") as folder:
        return {"ingest": ingest, "load": load}[arguments.what](arguments, plan, Path(folder))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)

"""`python -m bench`: measure Paydesk beside a ceiling and beside the usual way; without an argument, everything."""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import database, ingest
from bench.database import Database
from bench.outcome import Goal, Outcome, goal_table, goals_as_json
from bench.processes import PROC
from bench.rounds import Plan
from bench.variants import ROOT

RESULTS = ROOT / "bench" / "results"


@dataclass
class Place:
    """Where a run happens: its folder and, once somebody asks for it, its PostgreSQL."""

    folder: Path
    url: str | None
    stack: ExitStack
    about: dict[str, Any] = field(default_factory=dict)
    _database: Database | None = None

    @property
    def database(self) -> Database:
        """The one that all servers of the run share."""
        if self._database is None:
            self._database = self.stack.enter_context(database.opened(self.folder / "database", self.url))
            self.about["postgresql"] = self._database.settings
        return self._database


def measure_ingest(given: argparse.Namespace, place: Place) -> Outcome:
    """Measure webhook ingestion."""
    plan = Plan(given.rounds or 5, given.connections, given.events, given.seconds)
    return ingest.measure(place.database, place.folder, plan, given.only)


def measure_load(given: argparse.Namespace, place: Place) -> Outcome:
    """Measure the load generator itself."""
    return ingest.measure_load(place.folder, Plan(given.rounds or 5, given.connections, given.events, given.seconds))


def measure_settle(given: argparse.Namespace, place: Place) -> Outcome:
    """Measure settling and delivering."""
    from bench import settle

    return settle.measure(place.database, place.folder, rounds=given.rounds or 3, count=given.purchases)


def measure_message(given: argparse.Namespace, place: Place) -> Outcome:
    """Measure how soon the buyer hears."""
    from bench import message

    return message.measure(place.database, place.folder, count=message.COUNT)


def measure_start(given: argparse.Namespace, place: Place) -> Outcome:
    """Measure how soon the service is ready."""
    from bench import start

    return start.measure(place.folder / "start", runs=given.rounds or 5)


def measure_claims(given: argparse.Namespace, place: Place) -> Outcome:
    """Measure the inbox's claims."""
    from bench import claims

    return claims.measure(place.folder / "claims", rounds=given.rounds or 5)


def measure_spend(given: argparse.Namespace, place: Place) -> Outcome:
    """Measure spending."""
    from bench import spend

    return spend.measure(place.folder / "spend", rounds=given.rounds or 3, seconds=min(given.seconds, 3.0))


def measure_access(given: argparse.Namespace, place: Place) -> Outcome:
    """Measure access checks."""
    from bench import access

    return access.measure(place.database, place.folder, rounds=given.rounds or 3, seconds=min(given.seconds, 3.0))


def measure_outbox(given: argparse.Namespace, place: Place) -> Outcome:
    """Measure how messages leave."""
    from bench import outbox

    return outbox.measure(place.database, place.folder, given.rounds or 5)


def measure_timers(_given: argparse.Namespace, place: Place) -> Outcome:
    """Measure a sweep of timers."""
    from bench import timers

    return timers.measure(place.database, place.folder)


def measure_check(given: argparse.Namespace, place: Place) -> Outcome:
    """Measure proving the ledger."""
    from bench import check

    return check.measure(place.database, rounds=given.rounds or 5, entries=given.entries)


def measure_stats(given: argparse.Namespace, place: Place) -> Outcome:
    """Measure statistics."""
    from bench import stats

    return stats.measure(place.database, rounds=given.rounds or 5, orders=given.orders)


# In the order of `python -m bench`: what needs a quiet disk first.
EVERYTHING: dict[str, Callable[[argparse.Namespace, Place], Outcome]] = {
    "ingest": measure_ingest,
    "settle": measure_settle,
    "message": measure_message,
    "start": measure_start,
    "claims": measure_claims,
    "check": measure_check,
    "spend": measure_spend,
    "access": measure_access,
    "timers": measure_timers,
    "outbox": measure_outbox,
    "stats": measure_stats,
}
ALL = {**EVERYTHING, "load": measure_load}


def machine(folder: Path) -> dict[str, Any]:
    """Return what a reader must know about where this ran."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "fdatasync_ms": round(database.fdatasync_ms(folder), 3),
    }


def show(outcome: Outcome, about: dict[str, Any]) -> None:
    """Print an outcome and write its JSON file."""
    print("\n" + "  ".join(f"{key}: {value}" for key, value in about.items() if key != "postgresql"))
    print("\n" + outcome.text)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{outcome.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    content = {"about": about, "goals": goals_as_json(outcome.goals), **outcome.data}
    file.write_text(json.dumps(content, indent=2) + "\n")
    print(f"\nEverything is in {file.relative_to(ROOT)}\n")


def run(given: argparse.Namespace, place: Place) -> int:
    """Run one benchmark or everything; return 1 when figures cannot be compared, whatever they are."""
    goals: list[Goal] = []
    troubles: list[str] = []
    for name in [given.what] if given.what else list(EVERYTHING):
        about = machine(place.folder)
        outcome = ALL[name](given, place)
        show(outcome, about | {"load_average_after": round(os.getloadavg()[0], 2)} | place.about)
        goals += outcome.goals
        troubles += [outcome.trouble] if outcome.trouble else []
    if goals:
        print(goal_table(goals))
    for trouble in troubles:
        print(f"NOT COMPARABLE: {trouble}")
    return 1 if troubles else 0


def numbers(text: str) -> tuple[int, ...]:
    """Read "64,256"."""
    return tuple(int(part) for part in text.split(","))


def names(text: str) -> list[str]:
    """Read "ceiling,usual"."""
    return [part.strip() for part in text.split(",") if part.strip()]


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="?", choices=list(ALL), help="one of them; otherwise all but load")
    parser.add_argument("--rounds", type=int, help="how often everything gets its turn (default 5; settle: 3)")
    parser.add_argument("--connections", type=numbers, default=(64, 256), help="ingest: one or more, comma-separated")
    parser.add_argument("--events", type=int, default=20_000, help="ingest: requests per measurement, at most")
    parser.add_argument("--seconds", type=float, default=5.0, help="ingest: time per measurement, at most")
    parser.add_argument("--only", type=names, default=[], help="ingest: variants by name, comma-separated")
    parser.add_argument("--purchases", type=int, default=4_000, help="settle: per variant and round")
    parser.add_argument("--entries", type=int, default=1_000_000, help="check: how long the ledger is")
    parser.add_argument("--orders", type=int, default=1_000_000, help="stats: how many there are")
    parser.add_argument("--database-url", help="an empty PostgreSQL database instead of the embedded server")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run what was asked for; return the exit status."""
    if not (PROC / "self" / "stat").exists():
        raise SystemExit("the benchmarks read processor times from /proc, so they need Linux")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leaves every `with`, so that no server stays behind
    given = parsed(argv)
    # /var/tmp and not /tmp, which is often kept in memory: there, durable writes would cost nothing.
    with tempfile.TemporaryDirectory(prefix="paydesk-bench-", dir="/var/tmp") as folder, ExitStack() as stack:
        return run(given, Place(Path(folder), given.database_url, stack))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)

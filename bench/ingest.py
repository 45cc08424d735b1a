"""Ingestion: signed events in, durable before the 200, beside the ceiling and the usual way, in interleaved rounds."""

from collections.abc import Sequence
from pathlib import Path

from bench import report, stripe_events
from bench.database import Database
from bench.outcome import Goal, Outcome, at_least, at_most
from bench.report import Ratio
from bench.rounds import Plan, Sample, Variant, run
from bench.variants import INGEST_VARIANTS, LOAD_VARIANTS, REFERENCES, server_env


def measure(postgres: Database, folder: Path, plan: Plan, only: Sequence[str]) -> Outcome:
    """Measure the variants asked for, all of them when none is named, on one PostgreSQL."""
    env = server_env(postgres.dsn, folder)
    samples = run(chosen(INGEST_VARIANTS, only), plan, stripe_events.requests, env, folder, postgres.postmasters)
    return _outcome("ingest", samples, plan)


def measure_load(folder: Path, plan: Plan) -> Outcome:
    """Measure the load generator against a server that does nothing."""
    return _outcome("load", run(LOAD_VARIANTS, plan, stripe_events.requests, server_env("", folder), folder), plan)


def chosen(variants: Sequence[Variant], names: Sequence[str]) -> list[Variant]:
    """Return the variants with these names, in their own order; all of them when none is named."""
    known = [variant.name for variant in variants]
    if unknown := set(names) - set(known):
        raise SystemExit(f"no such variant: {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    return [variant for variant in variants if not names or variant.name in names]


def _outcome(name: str, samples: Sequence[Sample], plan: Plan) -> Outcome:
    measured = {sample.variant for sample in samples}
    compared = report.ratios(samples, [reference for reference in REFERENCES if reference in measured])
    text = "Medians over the rounds; CPU in µs per answer\n" + report.table(samples)
    if compared:
        text += "\n\nRatios within each round: median (lowest–highest)\n" + report.ratio_table(compared)
    unclean = sorted({sample.variant for sample in samples if not sample.clean})
    trouble = f"{', '.join(unclean)} did not answer every request with 200; see the column answers" if unclean else ""
    data = {"plan": vars(plan), **report.as_json(samples, compared)}
    return Outcome(name, text, data, [goal for ratio in compared for goal in _goals(ratio)], trouble)


def _goals(ratio: Ratio) -> list[Goal]:
    """Return the goals that a ratio is about."""
    where = f"{ratio.connections} connections"
    match ratio.variant, ratio.reference, ratio.figure:
        case "paydesk", "ceiling", "rate_per_s":
            name = f"durable ingestion ÷ ceiling, {where}"
            return [at_least(name, ratio.median, 0.5), at_least(name, ratio.median, 0.65, later=True)]
        case "paydesk+work", "ceiling", "rate_per_s":
            return [at_least(f"… with background work on, {where}", ratio.median, 0.5, later=True)]
        case "paydesk", "usual", "rate_per_s":
            return [at_least(f"durable ingestion ÷ usual, {where}", ratio.median, 20)]
        case "paydesk", "ceiling", "p99_ms":
            return [at_most(f"p99 durable ÷ p99 ceiling, {where}", ratio.median, 2, "×", later=True)]
        case _:
            return []

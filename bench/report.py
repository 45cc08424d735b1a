"""What the samples say: medians, and ratios pair by pair within each round.

On shared machines absolute rates move by up to two times between runs. So each round pairs every variant with the
reference measured moments before or after it, and what counts is the median of those ratios.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from bench.rounds import Sample

T = TypeVar("T")


@dataclass(frozen=True)
class Ratio:
    """One variant beside a reference: the median over the rounds of (its figure ÷ the reference's in that round)."""

    variant: str
    reference: str
    connections: int
    figure: str
    median: float
    lowest: float
    highest: float


def ratios(samples: Sequence[Sample], references: Sequence[str]) -> list[Ratio]:
    """Compare every variant with each reference, pair by pair within each round; a reference only with earlier ones."""
    compared = []
    for connections in _distinct(sample.connections for sample in samples):
        at = [sample for sample in samples if sample.connections == connections]
        names = _distinct(sample.variant for sample in at)
        for index, reference in enumerate(references):
            for name in (name for name in names if name not in references[: index + 1]):
                compared += [_ratio(at, name, reference, figure) for figure in ("rate_per_s", "p50_ms", "p99_ms")]
    return compared


def _ratio(samples: Sequence[Sample], name: str, reference: str, figure: str) -> Ratio:
    own = {sample.round: getattr(sample, figure) for sample in samples if sample.variant == name}
    base = {sample.round: getattr(sample, figure) for sample in samples if sample.variant == reference}
    pairs = [own[number] / base[number] for number in own]
    connections = samples[0].connections
    return Ratio(name, reference, connections, figure, statistics.median(pairs), min(pairs), max(pairs))


def table(samples: Sequence[Sample]) -> str:
    """Return the medians of every variant as aligned text."""
    rows: list[tuple[str, ...]] = [
        ("connections", "variant", "req/s", "p50 ms", "p99 ms", "CPU µs server", "database", "load", "answers")
    ]
    for connections in _distinct(sample.connections for sample in samples):
        for name in _distinct(sample.variant for sample in samples):
            chosen = [sample for sample in samples if (sample.variant, sample.connections) == (name, connections)]
            rows.append((str(connections), name, *_medians(chosen), _answers(chosen)))
    return aligned(rows)


def _medians(samples: Sequence[Sample]) -> list[str]:
    forms = {
        "rate_per_s": ",.0f",
        "p50_ms": ".2f",
        "p99_ms": ".2f",
        "server_cpu_us": ",.0f",
        "database_cpu_us": ",.0f",
        "load_cpu_us": ",.0f",
    }
    return [
        format(statistics.median(getattr(sample, figure) for sample in samples), form) for figure, form in forms.items()
    ]


def _answers(samples: Sequence[Sample]) -> str:
    counts: dict[int, int] = {}
    for sample in samples:
        for status, count in sample.statuses.items():
            counts[status] = counts.get(status, 0) + count
    return ", ".join(f"{count:,} × {status or 'none'}" for status, count in sorted(counts.items()))


def ratio_table(compared: Sequence[Ratio]) -> str:
    """Return the ratios as aligned text: median, then lowest–highest."""
    rows: list[tuple[str, ...]] = [("connections", "variant", "beside", "rate", "p50", "p99")]
    for connections, name, reference in _distinct((one.connections, one.variant, one.reference) for one in compared):
        cells = [
            f"{one.median:.3g} ({one.lowest:.3g}–{one.highest:.3g})"
            for one in compared
            if (one.connections, one.variant, one.reference) == (connections, name, reference)
        ]
        rows.append((str(connections), name, reference, *cells))
    return aligned(rows)


def as_json(samples: Sequence[Sample], compared: Sequence[Ratio]) -> dict[str, Any]:
    """Return everything a later reader needs, as plain JSON values."""
    return {
        "ratios": [asdict(ratio) for ratio in compared],
        "samples": [asdict(sample) for sample in samples],
    }


def _distinct(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as text, every column as wide as its widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)

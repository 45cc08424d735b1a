"""What a benchmark hands back: a table to read, everything it saw, and its goals with what was reached."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.report import aligned


@dataclass(frozen=True)
class Goal:
    """A figure, and what it should be. A goal that is `later` is measured already, and not yet expected."""

    name: str
    wanted: str
    figure: str
    reached: bool
    later: bool = False

    @property
    def verdict(self) -> str:
        """Say it in a word."""
        if self.reached:
            return "reached"
        return "later" if self.later else "NOT REACHED"


@dataclass(frozen=True)
class Outcome:
    """The result of one benchmark. `text` is its table; `data` goes into its JSON file; `clean` when all went well."""

    name: str
    text: str
    data: dict[str, Any]
    goals: list[Goal] = field(default_factory=list)
    trouble: str = ""


def at_least(name: str, figure: float, wanted: float, *, later: bool = False) -> Goal:
    """Return the goal that a ratio is at least so much."""
    return Goal(name, f"≥ {wanted:g}", f"{figure:.3g}", figure >= wanted, later)


def at_most(name: str, figure: float, wanted: float, unit: str, *, later: bool = False) -> Goal:
    """Return the goal that a time is at most so much, both in `unit`."""
    return Goal(name, f"≤ {wanted:g} {unit}", f"{figure:.3g} {unit}", figure <= wanted, later)


def goal_table(goals: Sequence[Goal]) -> str:
    """Return goals as aligned text."""
    rows = [("goal", "wanted", "figure", "")]
    rows += [(goal.name, goal.wanted, goal.figure, goal.verdict) for goal in goals]
    return aligned(rows)


def goals_as_json(goals: Sequence[Goal]) -> list[dict[str, Any]]:
    """Return goals as plain JSON values."""
    return [asdict(goal) for goal in goals]

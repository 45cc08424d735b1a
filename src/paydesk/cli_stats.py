"""`paydesk stats`: the statistics as a table, or as JSON; and the proof that what is kept of them is exact."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from paydesk.arguments import Text
from paydesk.console import json_option, with_store

if TYPE_CHECKING:  # a command is shown quickly, so what it works with is imported only when it runs
    from paydesk import stats_days
    from paydesk.stats import Money, Report
    from paydesk.store import Store

HEADINGS = ("", "gross", "refunded", "disputed", "fees", "net", "paid", "failed", "success", "refunds")


@click.command("stats", epilog="Example: paydesk stats --from 2026-01-01 --by product")
@click.option(
    "--from", "begins", type=Text(), default=None, help="A date or an ISO time  [default: 30 days before --to]"
)
@click.option("--to", "ends", type=Text(), default=None, help="Up to before when  [default: now]")
@click.option("--by", type=Text(), default=None, help="day, currency, product or channel.")
@click.option("--currency", type=Text(), default=None, help="Only this currency, such as usd.")
@click.option("--product", type=Text(), default=None, help="Only this product.")
@click.option("--channel", type=Text(), default=None, help="Only what was sold there, such as telegram.")
@click.option("--timezone", type=Text(), default=None, help="Whose days: such as Europe/Warsaw  [default: UTC]")
@click.option(
    "--check", is_flag=True, help="Prove what is kept: count every day anew; exit 1 and the first difference."
)
@json_option
def stats(check: bool, as_json: bool, begins: str | None, ends: str | None, **wanted: str | None) -> None:
    """Show what was earned, given back and kept; subscriptions and credits."""
    from paydesk import catalog_file, config, stats_days
    from paydesk import stats as statistics

    if check:
        _show_proof(with_store(stats_days.check), as_json)
        return

    async def run(store: Store) -> Report:
        sold = catalog_file.load(config.load().catalog, os.environ)
        return await statistics.report(store, sold, statistics.checked(store.clock.now(), begins, ends, **wanted))

    report = with_store(run)
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else table(report))


def _show_proof(checked: stats_days.Checked, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"ok": checked.finding is None, "days": checked.days, "finding": checked.finding}))
    else:
        click.echo(
            f"{checked.days:,} days are kept as they are counted." if checked.finding is None else checked.finding
        )
    sys.exit(0 if checked.finding is None else 1)


def table(report: Report) -> str:
    """Return a report for a person to read."""
    lines = [f"From {report.ask.begins:%Y-%m-%d %H:%M} to {report.ask.ends:%Y-%m-%d %H:%M} UTC", ""]
    rows = [_row(row.label or "none", row.money) for row in report.data] if report.ask.by != "currency" else []
    rows += [_row("all" if rows else "", one) for one in report.totals]
    lines += _aligned([HEADINGS, *rows]) if rows else ["No money moved."]
    return "\n".join([*lines, *_beside(report)])


def _beside(report: Report) -> list[str]:
    """Return what is told of subscriptions and credits, a line each."""
    from paydesk import money

    lines = []
    if report.subscriptions is not None:
        own = report.subscriptions
        monthly = " and ".join(money.display(amount, currency) for currency, amount in own.mrr.items()) or "nothing"
        moves = f"{own.active:,} active, {own.new:,} new, {own.churned:,} ended (churn {own.churn_rate or 'of none'})"
        lines += ["", f"Subscriptions: {moves}; {monthly} a month"]
    for unit in report.credits or ():
        moves = f"{unit.granted:,} granted, {unit.spent:,} spent, {unit.expired:,} expired, {unit.clawed_back:,} clawed back"
        lines.append(f"{unit.unit.capitalize()}: {moves}; {unit.outstanding:,} outstanding now")
    return lines


def _row(label: str, one: Money) -> tuple[str, ...]:
    from paydesk import money

    amounts = (one.gross, one.refunded, one.disputes.amount_lost, one.fees, one.net)
    shown = one.as_json()
    return (
        label, *(money.display(amount, one.currency) for amount in amounts), f"{one.successful:,}", f"{one.failed:,}",
        shown["success_rate"] or "-", shown["refund_rate"] or "-",
    )  # fmt: skip


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines: the first column begins together, the others end together."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]

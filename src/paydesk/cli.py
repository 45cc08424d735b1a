"""Every command, no logic: parse, call, print.

Exit status: 0 success, 1 a finding or failure, 2 wrong use. A mistake of the user's gives one line, never a traceback.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import click

from paydesk import cli_agents, cli_keys, cli_stats, signals
from paydesk.arguments import Address, Place, SigningSecret, Text
from paydesk.console import Lines, json_option, progress, settings_here, show, with_service, with_store
from paydesk.errors import PaydeskError, SettingError

PORT = click.IntRange(1, 65535)


@click.group(cls=Lines, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="paydesk", prog_name="paydesk")
def main() -> None:
    """Paydesk, the pay desk for chat products. Try: paydesk demo"""


# --- running ---------------------------------------------------------------------------------------------------------


@main.command(epilog="Example: paydesk demo --exit")
@click.option("--port", default=8000, show_default=True, type=PORT, help="Port of the service.")
@click.option("--sandbox-port", default=12111, show_default=True, type=PORT, help="Port of the Stripe sandbox.")
@click.option("--data", type=Place(file_okay=False), default=None, help="Data folder  [default: .paydesk/demo]")
@click.option("--exit", "leave", is_flag=True, help="Leave after the tour; 0 only if every step was seen to happen.")
def demo(port: int, sandbox_port: int, data: Path | None, leave: bool) -> None:
    """Run the whole job, offline: database, Stripe sandbox, service, web chat, and a tour."""
    from paydesk import demo as demonstration

    with signals.in_order():
        sys.exit(demonstration.run(port, sandbox_port, data or Path(".paydesk/demo"), leave=leave))


@main.command(epilog="Example: paydesk init shop && cd shop")
@click.argument("folder", type=Place(file_okay=False), default=".")
def init(folder: Path) -> None:
    """Write a commented catalog.toml and .env.example; what is there already stays."""
    from paydesk import start

    for line in start.write_files(folder):
        click.echo(line)


@main.command(epilog="Example: paydesk serve --port 8000")
@click.option("--host", type=Text(), default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=PORT, help="Port to listen on.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that serve HTTP.")
@click.option("--no-work", is_flag=True, help="Serve only; background work is done by `paydesk work`.")
def serve(host: str, port: int, workers: int, no_work: bool) -> None:
    """Run the API, webhooks, pages and background work."""
    from paydesk import serving

    settings = settings_here(port)
    with signals.in_order():
        serving.serve(settings, host=host, port=port, workers=workers, work=not no_work)


@main.command(epilog="Example: DATABASE_URL=postgresql://… paydesk work")
def work() -> None:
    """Do background work only: any number of these, on any number of machines."""
    from paydesk import serving

    settings = settings_here()
    with signals.in_order():
        serving.work(settings)


@main.command(
    epilog="Example: paydesk sandbox --port 12111 --webhook http://127.0.0.1:8000/webhooks/stripe --webhook-secret whsec_…"
)
@click.option("--host", type=Text(), default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=12111, show_default=True, type=PORT, help="Port to listen on.")
@click.option("--webhook", type=Address(), default=None, help="Send every event here.")
@click.option("--webhook-secret", type=SigningSecret(), default=None, help="Sign events with this secret (whsec_…).")
@click.option("--data", type=Place(dir_okay=False), default=None, help="Keep state in this file.")
def sandbox(host: str, port: int, webhook: str | None, webhook_secret: str | None, data: Path | None) -> None:
    """Run the Stripe sandbox alone."""
    from paydesk.sandbox import CannotStart
    from paydesk.sandbox import serve as serve_sandbox

    if (webhook is None) != (webhook_secret is None):
        raise click.UsageError("--webhook and --webhook-secret go together")
    hook = (webhook, webhook_secret) if webhook is not None and webhook_secret is not None else None
    try:
        serve_sandbox(host, port, data, hook, lambda: click.echo(f"The Stripe sandbox is ready: http://{host}:{port}"))
    except CannotStart as error:
        raise SettingError(str(error)) from error


@main.command(epilog="Example: paydesk check --fix")
@click.option("--fix", is_flag=True, help="Mend what can be mended by itself: a bot's commands, labels, its webhook.")
@json_option
def check(fix: bool, as_json: bool) -> None:
    """The doctor: look at keys, webhook, database, catalogue and the channels' rights; exit 1 if something is wrong."""
    from paydesk import doctor

    settings = settings_here()
    with signals.in_order():
        findings = asyncio.run(doctor.examine(settings, fix=fix))
    show([finding.as_json() for finding in findings], as_json, doctor.line, "nothing to check")
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


# --- the catalogue ---------------------------------------------------------------------------------------------------


@main.group()
def catalog() -> None:
    """Compare the catalogue with Stripe, and send it there."""


@catalog.command("plan", epilog="Example: paydesk catalog plan")
@json_option
def catalog_plan(as_json: bool) -> None:
    """Show what `push` would change in Stripe."""
    _catalog(push=False, as_json=as_json)


@catalog.command("push", epilog="Example: paydesk catalog push")
@json_option
def catalog_push(as_json: bool) -> None:
    """Make Stripe's products and prices those of the catalogue; repeating it changes nothing."""
    _catalog(push=True, as_json=as_json)


def _catalog(*, push: bool, as_json: bool) -> None:
    from paydesk import pushing

    async def run(service: Any) -> list[dict[str, Any]]:
        steps = await pushing.plan(service.gateway, service.catalog)
        if push:
            steps = await pushing.push(service.store, service.gateway, service.catalog)
        return [step.as_json() for step in steps]

    steps = with_service(run)
    show(steps, as_json, lambda step: f"{step['action']:<8} {step['what']}", "Stripe has exactly this catalogue.")
    if any(step["action"] == "problem" for step in steps):
        sys.exit(1)


# --- operation -------------------------------------------------------------------------------------------------------


@main.group()
def events() -> None:
    """The inbox: what came in and what became of it."""


@events.command("list", epilog="Example: paydesk events list --state quarantined")
@click.option("--state", type=Text(), default=None, help="ready, parked, done, ignored or quarantined.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@json_option
def events_list(state: str | None, limit: int, as_json: bool) -> None:
    """List events, newest first."""
    from paydesk import lists
    from paydesk.web import shapes

    async def run(store: Any) -> list[dict[str, Any]]:
        return [shapes.event(row) for row in (await lists.events(store, lists.Cut(limit), state=state)).rows]

    show(
        with_store(run), as_json,
        lambda e: f"{e['received_at']}  {e['state']:<11} {e['type']:<36} {e['id']}  {e['detail'] or ''}", "No events.",
    )  # fmt: skip


@events.command("show", epilog="Example: paydesk events show evt_…")
@click.argument("event_id", type=Text())
def events_show(event_id: str) -> None:
    """Print an event as it came."""
    from paydesk import lists

    async def run(store: Any) -> Any:
        return await lists.event(store, event_id)

    row = with_store(run)
    if row is None:
        raise PaydeskError(f"no event {event_id}")
    if row["body_hash"] is not None:
        raise PaydeskError(
            f"{event_id} is older than PAYDESK_KEEP_DAYS: its body is gone, sha256 {row['body_hash'].hex()}"
        )
    click.echo(row["body"].decode("utf-8", "replace"))


@events.command("replay", epilog="Example: paydesk events replay evt_1 evt_2")
@click.argument("event_ids", type=Text(), nargs=-1, required=True)
def events_replay(event_ids: tuple[str, ...]) -> None:
    """Send events through the money path again; effects stay exactly once."""
    from paydesk import lists

    number = with_store(lambda store: lists.replay(store, list(event_ids), actor="cli"))
    click.echo(f"{number} of {len(event_ids)} events are ready again")
    sys.exit(0 if number == len(event_ids) else 1)


@main.group()
def deliveries() -> None:
    """The outbox: what was to be said or done outside."""


@deliveries.command("list", epilog="Example: paydesk deliveries list --state dead")
@click.option("--state", type=Text(), default=None, help="waiting, sent or dead.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@json_option
def deliveries_list(state: str | None, limit: int, as_json: bool) -> None:
    """List deliveries, newest first."""
    from paydesk import lists
    from paydesk.web import shapes

    async def run(store: Any) -> list[dict[str, Any]]:
        return [shapes.delivery(row) for row in (await lists.deliveries(store, lists.Cut(limit), state=state)).rows]

    show(
        with_store(run), as_json,
        lambda d: f"{d['created_at']}  {d['state']:<8} {d['id']:<8} {d['channel']:<9} {d['template']}  {d['detail'] or ''}",
        "No deliveries.",
    )  # fmt: skip


@deliveries.command("retry", epilog="Example: paydesk deliveries retry 17 18")
@click.argument("delivery_ids", type=Text(), nargs=-1, required=True)
def deliveries_retry(delivery_ids: tuple[str, ...]) -> None:
    """Try dead or waiting deliveries again now."""
    from paydesk import lists

    numbers = [lists.delivery_id(text, "ID") for text in delivery_ids]

    async def run(store: Any) -> None:
        for number in numbers:
            row = await lists.retry(store, number, actor="cli")
            click.echo(f"{number} is {row['state']}")

    with_store(run)


@main.command(epilog="Example: paydesk why cst_… premium")
@click.argument("customer", type=Text())
@click.argument("feature", type=Text(), required=False)
@json_option
def why(customer: str, feature: str | None, as_json: bool) -> None:
    """Tell why somebody has what they have: order, event, entry, grant, delivery."""
    from paydesk import customers
    from paydesk import why as tracing

    async def run(store: Any) -> list[dict[str, Any]]:
        channel, _, external_id = customer.partition(":")
        who = customers.identity(channel, external_id) if external_id else customer
        return await tracing.trace(store, await customers.resolve(store, who), feature)

    show(with_store(run), as_json, tracing.line, "Nothing has happened to this person.")


@main.group()
def ledger() -> None:
    """The ledger."""


@ledger.command("check", epilog="Example: paydesk ledger check")
@json_option
def ledger_check(as_json: bool) -> None:
    """Prove the ledger: chain, sums, balances, lots, worth by what was paid; exit 1 and the first bad row otherwise."""
    from paydesk import proof

    with progress("entries") as shown:
        result = with_store(lambda store: proof.check(store, shown))
    if as_json:
        click.echo(json.dumps(result.as_json(), indent=2))
    else:
        click.echo(result.text())
    sys.exit(0 if result.ok else 1)


# --- commands in modules of their own --------------------------------------------------------------------------------

for _command in (cli_keys.keys, cli_stats.stats, *cli_agents.COMMANDS):
    main.add_command(_command)

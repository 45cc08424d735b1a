"""The commands about programs that act for people: the tools that they are given, and what people decide for them."""

from __future__ import annotations

import getpass
import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from paydesk.arguments import Place, Text
from paydesk.console import json_option, show, with_service, with_store


@click.command(epilog="Example: paydesk mcp --read-only")
@click.option("--read-only", is_flag=True, help="Offer only the tools that change nothing.")
@click.option("--customer", type=Text(200), default=None, help="Serve this one alone: cst_… or channel:id.")
@click.option("--folder", type=Place(file_okay=False), default=None, help="Where the desk's .env is  [default: here]")
@click.option(
    "--agent", type=Text(100), default=None, help="What people are told who asks  [default: the client's name]"
)
def mcp(read_only: bool, customer: str | None, folder: Path | None, agent: str | None) -> None:
    """Give AI agents the desk as tools (Model Context Protocol), on standard input and output."""
    from paydesk import config, mcp_desk, telemetry

    if folder is not None:
        _go_to(folder)
    telemetry.set_up_logging(config.log_style())
    if customer is not None:
        mcp_desk.named(customer)
    desk = mcp_desk.find()
    if sys.stdin.isatty():
        click.echo("A client starts this and speaks to it: see docs/agents.md. Ctrl-C ends it.", err=True)
    from paydesk.mcp_server import serve  # only here: the protocol takes a second to load

    serve(desk, mcp_desk.Options(read_only, customer, agent))


def _go_to(folder: Path) -> None:
    """Work in the folder of the desk: clients start this anywhere."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise click.BadParameter(f"{folder}: {error.strerror}", param_hint="--folder") from None


@click.group()
def approvals() -> None:
    """Refunds that agents ask for: nothing goes back before a person has approved it here."""


@approvals.command("list", epilog="Example: paydesk approvals list --state waiting")
@click.option("--state", type=Text(), default=None, help="waiting, expired, refused, approved, refunded or failed.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@json_option
def approvals_list(state: str | None, limit: int, as_json: bool) -> None:
    """List what was asked for, newest first."""
    from paydesk import refund_requests
    from paydesk.paging import Cut

    async def run(store: Any) -> list[dict[str, Any]]:
        page = await refund_requests.listed(store, Cut(limit), state=state)
        return [refund_requests.for_person(row) for row in page.rows]

    show(with_store(run), as_json, refund_requests.line, "Nobody has asked for a refund.")


@approvals.command("approve", epilog="Example: paydesk approvals approve rrq_…")
@click.argument("request_id", type=Text())
@click.option("--by", type=Text(100), default=None, help="Who approves  [default: your name on this machine]")
@json_option
def approvals_approve(request_id: str, by: str | None, as_json: bool) -> None:
    """Give the money back, once; approved again, it goes on where it was interrupted or changes nothing."""
    from paydesk import refund_requests

    async def run(service: Any) -> dict[str, Any]:
        row = await refund_requests.approve(service.store, service.gateway, request_id, by=by or _me())
        service.bell.ring("inbox")
        return refund_requests.for_person(row)

    _say(with_service(run), as_json)


@approvals.command("refuse", epilog="Example: paydesk approvals refuse rrq_… --because 'used up already'")
@click.argument("request_id", type=Text())
@click.option("--by", type=Text(100), default=None, help="Who refuses  [default: your name on this machine]")
@click.option("--because", type=Text(300), default=None, help="What the agent is told.")
@json_option
def approvals_refuse(request_id: str, by: str | None, because: str | None, as_json: bool) -> None:
    """Refuse a request: nothing goes back."""
    from paydesk import refund_requests

    async def run(store: Any) -> dict[str, Any]:
        return refund_requests.for_person(
            await refund_requests.refuse(store, request_id, by=by or _me(), because=because)
        )

    _say(with_store(run), as_json)


def _say(one: dict[str, Any], as_json: bool) -> None:
    from paydesk import refund_requests

    click.echo(json.dumps(one, indent=2) if as_json else refund_requests.line(one))


def _me() -> str:
    """Return who types, as far as the machine knows."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody at the command line"


COMMANDS = (mcp, approvals)

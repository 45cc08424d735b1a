"""What every command shares: its errors, its settings, the service or the store it runs with, and how it prints."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from paydesk import signals
from paydesk.errors import Invalid, PaydeskError, SettingError

T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print data as JSON.")


class Lines(click.Group):
    """A group whose errors are single lines with the right exit status, and whose commands a signal ends in order."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command that SIGTERM ends as Ctrl-C does: what it has started is stopped, and a line says so."""
        with signals.at_once():
            try:
                return super().invoke(ctx)
            except KeyboardInterrupt:
                click.echo(signals.STOPPED, err=True)
                ctx.exit(signals.INTERRUPTED)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command; whatever goes wrong ends the process with a line and a status."""
        try:
            return super().main(*args, **kwargs)
        except (SettingError, Invalid) as error:
            click.echo(f"paydesk: {error.message}", err=True)
            sys.exit(2)
        except PaydeskError as error:
            click.echo(f"paydesk: {error.message}", err=True)
            sys.exit(1)
        except OSError as error:  # a full disk, a file that is gone: the machine's trouble, not a mistake in the code
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"paydesk: {where}{error.strerror or error}", err=True)
            sys.exit(1)


def settings_here(port: int = 8000) -> Any:
    """Return the settings of this folder, and log as they say."""
    from paydesk import config, telemetry

    settings = config.load(port=port)
    telemetry.set_up_logging(settings.log, debug_stripe=settings.stripe_debug)
    return settings


def with_service(work: Callable[[Any], Awaitable[T]]) -> T:
    """Run `work` with a service that is open for as long as it takes."""
    from paydesk.app import open_service

    settings = settings_here()

    async def run() -> T:
        async with open_service(settings) as service:
            return await work(service)

    with signals.in_order():
        return asyncio.run(run())


def with_store(work: Callable[[Any], Awaitable[T]]) -> T:
    """Run `work` with the store alone: for commands that need neither Stripe nor a catalogue."""
    from paydesk.app import open_store

    settings = settings_here()

    async def run() -> T:
        async with open_store(settings) as store:
            return await work(store)

    with signals.in_order():
        return asyncio.run(run())


def show(rows: list[dict[str, Any]], as_json: bool, line: Callable[[dict[str, Any]], str], nothing: str) -> None:
    """Print rows as JSON or a line each."""
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(line(row))
    if not rows:
        click.echo(nothing)


@contextmanager
def progress(label: str) -> Iterator[Callable[[float], None]]:
    """Give a function to call with how much is done, from 0 to 1; it is shown where standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    with click.progressbar(length=1000, label=label, file=sys.stderr) as bar:
        yield lambda done: bar.update(int(done * 1000) - bar.pos)

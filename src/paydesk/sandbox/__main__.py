"""`python -m paydesk.sandbox`: the sandbox alone."""

from __future__ import annotations

from pathlib import Path

import click

from .serving import CannotStart, serve


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=12111, show_default=True, help="Port to listen on.")
@click.option(
    "--data", type=click.Path(path_type=Path, dir_okay=False), help="File that keeps everything across restarts."
)
@click.option("--webhook", metavar="URL", help="Send the events of every account to this address.")
@click.option("--webhook-secret", metavar="whsec_…", help="Secret that signs them.")
@click.option("--public-url", metavar="URL", help="Address under which browsers reach the sandbox.")
@click.option("--gap-factor", default=1.0, show_default=True, help="Multiplies the pauses between webhook attempts.")
def main(
    host: str, port: int, data: Path | None, webhook: str | None, webhook_secret: str | None, public_url: str | None,
    gap_factor: float,
) -> None:  # fmt: skip
    """Run the Stripe sandbox.

    Example: python -m paydesk.sandbox --port 12111 --webhook http://127.0.0.1:8000/webhooks/stripe
    --webhook-secret whsec_demo
    """
    if (webhook is None) != (webhook_secret is None):
        raise click.UsageError("--webhook and --webhook-secret belong together.")
    pair = (webhook, webhook_secret) if webhook and webhook_secret else None

    def ready() -> None:
        click.echo(f"Stripe sandbox ready at {public_url or f'http://{host}:{port}'}")

    try:
        serve(host, port, data, pair, ready, public_url=public_url, gap_factor=gap_factor)
    except CannotStart as problem:
        click.echo(str(problem), err=True)
        raise SystemExit(problem.exit_status) from problem


if __name__ == "__main__":
    main()

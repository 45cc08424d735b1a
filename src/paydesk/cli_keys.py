"""The commands about API keys: each key is shown once, when it is made."""

from __future__ import annotations

import json
from typing import Any

import click

from paydesk.arguments import Span, Text
from paydesk.console import json_option, show, with_store
from paydesk.errors import PaydeskError


@click.group()
def keys() -> None:
    """API keys."""


@keys.command("create", epilog="Example: paydesk keys create my-bot --scope read --scope sell")
@click.argument("name", type=Text(100))
@click.option("--scope", "scopes", multiple=True, help="read, sell, spend, refund or admin; repeat it.")
@click.option("--publishable", is_flag=True, help="A key for web pages: it has no scope, and may do what a buyer may.")
@click.option("--origin", "origins", multiple=True, metavar="URL",
              help="A publishable key works in pages of https://shop.example alone; repeat it for others.")  # fmt: skip
@click.option("--expires", "expires_in_s", type=Span(), help="When it ends, such as 90d; never without.")
@click.option("--rate", "rate_per_s", type=click.IntRange(1), help="Requests a second, instead of the usual.")
@json_option
def keys_create(
    name: str,
    scopes: tuple[str, ...],
    publishable: bool,
    origins: tuple[str, ...],
    expires_in_s: int | None,
    rate_per_s: int | None,
    as_json: bool,
) -> None:
    """Make a key and show it, this once."""
    from paydesk import keys as kept

    if not scopes and not publishable:
        raise click.UsageError("give at least one --scope, or --publishable for a key that stands in web pages")
    kind = kept.PUBLISHABLE if publishable else kept.SECRET
    wish = kept.checked(kept.Wish(name, scopes, kind, expires_in_s, rate_per_s, origins))
    key = kept.fresh(kind)
    made = with_store(lambda store: kept.create(store, wish, key, actor="cli"))
    _show_new_key(kept.shown(made), key, as_json)


@keys.command("list", epilog="Example: paydesk keys list")
@json_option
def keys_list(as_json: bool) -> None:
    """List keys, newest first, without what they are."""
    from paydesk import keys as kept

    async def run(store: Any) -> list[dict[str, Any]]:
        return [kept.shown(one) for one in await kept.every(store)]

    show(
        with_store(run), as_json,
        lambda k: f"{k['id']}  {k['prefix'] or '':<16} {k['name']:<20} {','.join(k['scopes'] or k['origins']) or k['kind']:<24} "
        f"{k['status']:<8} {'used ' + k['last_used_at'] if k['last_used_at'] else 'never used'}"
        f"{', until ' + k['expires_at'] if k['expires_at'] and k['status'] == 'valid' else ''}",
        "No keys. Make one: paydesk keys create my-bot --scope read --scope sell",
    )  # fmt: skip


@keys.command("rotate", epilog="Example: paydesk keys rotate key_… --overlap 24h")
@click.argument("key_id", type=Text())
@click.option("--overlap", "overlap_s", type=Span(), default="24h", show_default=True,
              help="For how long the old key goes on working: 0s, 90m, 24h, 7d.")  # fmt: skip
@json_option
def keys_rotate(key_id: str, overlap_s: int, as_json: bool) -> None:
    """Make a key's successor, with its name, scopes, origins and limit, and let the old one end."""
    from paydesk import keys as kept

    async def run(store: Any) -> tuple[kept.Key, str]:
        key = kept.fresh((await kept.get(store, key_id)).kind)
        return await kept.rotate(store, key_id, key, overlap_s=overlap_s, actor="cli"), key

    made, key = with_store(run)
    _show_new_key(kept.shown(made), key, as_json)


@keys.command("revoke", epilog="Example: paydesk keys revoke key_…")
@click.argument("key_id", type=Text())
@json_option
def keys_revoke(key_id: str, as_json: bool) -> None:
    """Revoke a key; it stops working within five seconds."""
    from paydesk import keys as kept

    async def run(store: Any) -> kept.Key:
        if not any(one.id == key_id and one.status != "revoked" for one in await kept.every(store)):
            raise PaydeskError(f"no valid key {key_id}; paydesk keys list shows them")
        return await kept.revoke(store, key_id, actor="cli")

    gone = with_store(run)
    click.echo(json.dumps(kept.shown(gone), indent=2) if as_json else f"{key_id} is revoked")


def _show_new_key(shown: dict[str, Any], key: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**shown, "key": key}))
    else:
        click.echo(f"{shown['id']}  {key}\nKeep it now: it is not shown again.")

"""Whether the channels are set up for what is sold: rights of each bot in each space, and what each platform asks of sales."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial

from paydesk import premium
from paydesk.catalog import Catalog
from paydesk.channels import plugged
from paydesk.channels.base import Channel, DeliveryError, Finding, Start
from paydesk.config import Settings
from paydesk.errors import SettingError
from paydesk.notebook import Notebook
from paydesk.store import Store

SETTING_OF = {module: setting for setting, module in plugged.OURS.items()}

RULES = {
    "telegram": "Telegram asks that digital goods sold inside it are paid in Stars; a price has no `stars`: {names}",
    "discord": "Discord asks apps that sell digital goods to offer them through its Premium Apps too; a price has no "
    "`discord_sku`: {names}",
}
"""What platforms ask of those who sell digital goods there; see docs/telegram.md and docs/discord.md."""


def spaces_of(catalog: Catalog) -> dict[str, dict[str, set[str]]]:
    """Return what is sold where: for each channel the roles in each space, an empty one for being in there."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for product in catalog.products.values():
        for grant in product.grants:
            if grant.kind in ("role", "member"):
                found[grant.channel][grant.space].add(grant.role if grant.kind == "role" else "")
    return found


async def examine(settings: Settings, store: Store, catalog: Catalog, *, fix: bool) -> list[Finding]:
    """Look at every channel that is set up or sold for; with `fix`, mend what a channel can mend by itself."""
    try:
        channels = plugged.load(Start(settings.environ, partial(Notebook, store), settings.public_url))
    except SettingError as error:
        return [Finding(False, "channels", "one does not start", error.message)]
    spaces = spaces_of(catalog)
    findings = [_nobody(name) for name in sorted(set(spaces) - {channel.name for channel in channels})]
    for channel in channels:
        findings += await _one(channel, catalog, dict(spaces[channel.name]), fix=fix)
        findings += _rules(channel, catalog)
    return findings


async def _one(channel: Channel, catalog: Catalog, spaces: dict[str, set[str]], *, fix: bool) -> Sequence[Finding]:
    try:
        findings = await channel.preflight(spaces, fix=fix)
        if channel.shop and any(price.discord_sku for price in catalog.prices.values()):
            findings += premium.findings(catalog, await channel.articles())
    except DeliveryError as error:
        mend = getattr(error, "mend", "look at its settings and the network, then look again")
        findings = [Finding(False, channel.name, str(error), mend)]
    finally:
        await channel.close()
    return findings or [Finding(True, channel.name, "set up")]


def _nobody(name: str) -> Finding:
    setting = SETTING_OF.get(name)
    mend = f"set {setting}" if setting is not None else "install the package that brings this channel"
    return Finding(False, name, "roles or places are sold there, and it is not set up", mend)


def _rules(channel: Channel, catalog: Catalog) -> Iterable[Finding]:
    """Return what the platform asks of sales of digital goods: it is said, and blocks nothing."""
    rule = RULES.get(channel.name)
    digital = [product for product in catalog.products.values() if product.goods == "digital"]
    if channel.charges:
        digital = [product for product in digital if not all(price.stars for price in product.prices)]
    if channel.shop:
        digital = [product for product in digital if not all(price.discord_sku for price in product.prices)]
    names = sorted(product.key for product in digital)
    if rule is None or not names:
        return
    shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    yield Finding(True, f"{channel.name}: its rules", rule.format(names=shown))

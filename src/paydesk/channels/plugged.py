"""Which channels there are: ours, where their settings are there, and those that other packages bring.

An entry point of the group `paydesk.channels` names a maker of one:

    [project.entry-points."paydesk.channels"]
    matrix = "my_package:make"

`make(start)` is called once, at the start, and returns a `Channel`, or `None` where its own settings are missing: then
there is no such channel. Nothing of a channel is imported before the setting is there that turns it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.metadata import entry_points

from paydesk.channels.base import Channel, Start
from paydesk.errors import SettingError

GROUP = "paydesk.channels"

TAKEN = ("stripe", "stripe_call", "stars", "premium", "timer", "question", "admin")
"""Names by which the desk's own rows enter and leave."""

Make = Callable[[Start], Channel | None]

OURS = {
    "TELEGRAM_BOT_TOKEN": "telegram",
    "DISCORD_BOT_TOKEN": "discord",
    "CHATWOOT_URL": "chatwoot",
    "TWILIO_ACCOUNT_SID": "sms",
    "SMTP_URL": "mail",
}
"""The setting that turns a channel of ours on, and its module here, whose `make` builds it."""


def load(start: Start) -> list[Channel]:
    """Return the channels that are set up; raises `SettingError` that names the one that does not start."""
    ours = [_ours(module, start) for setting, module in OURS.items() if start.environ.get(setting)]
    return [*ours, *_brought(start)]


def _ours(module: str, start: Start) -> Channel:
    channel: Channel = import_module(f"paydesk.channels.{module}").make(start)
    return channel


def _brought(start: Start) -> list[Channel]:
    found = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            make: Make = point.load()
            channel = make(start)
        except Exception as error:  # whatever a stranger's code raises, the one line names it
            raise SettingError(f"the channel {point.name} ({point.value}) does not start: {error}") from error
        if channel is not None:
            found.append(channel)
    return found


def by_name(channels: Iterable[Channel]) -> dict[str, Channel]:
    """Return channels by their names; raises `SettingError` where two have the same one, or one that is taken."""
    named: dict[str, Channel] = {}
    for channel in channels:
        if channel.name in TAKEN:
            raise SettingError(f"no channel can be called {channel.name}: that name is ours")
        if channel.name in named:
            raise SettingError(f"two channels are called {channel.name}: remove one of the packages that bring them")
        named[channel.name] = channel
    return named

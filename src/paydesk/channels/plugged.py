"""Channels that other packages bring: an entry point of the group `paydesk.channels` names a maker of one.

    [project.entry-points."paydesk.channels"]
    discord = "my_package:make"

`make(environ)` is called once, at the start, with the environment, and returns a `Channel`, or `None` where its own
settings are missing: then there is no such channel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points

from paydesk.channels.base import Channel
from paydesk.errors import SettingError

GROUP = "paydesk.channels"

Make = Callable[[Mapping[str, str]], Channel | None]


def load(environ: Mapping[str, str]) -> list[Channel]:
    """Return the channels that installed packages bring; raises `SettingError` that names the one that does not work."""
    found = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            make: Make = point.load()
            channel = make(environ)
        except Exception as error:  # whatever a stranger's code raises, the one line names it
            raise SettingError(f"the channel {point.name} ({point.value}) does not start: {error}") from error
        if channel is not None:
            found.append(channel)
    return found


def by_name(channels: Iterable[Channel]) -> dict[str, Channel]:
    """Return channels by their names; raises `SettingError` where two have the same one."""
    named: dict[str, Channel] = {}
    for channel in channels:
        if channel.name in named:
            raise SettingError(f"two channels are called {channel.name}: remove one of the packages that bring them")
        named[channel.name] = channel
    return named

"""Limits for what strangers may do: so many at once and so many a second, for each visitor and each address.

Counted in this process, in memory of a fixed size. Behind a proxy of ours (one that reaches us from a loopback or
private address) the address is the one that the proxy has written down last; nobody else's word is taken.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from paydesk.errors import TooMany

KEYS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` at once, then `per_s` a second."""

    burst: int
    per_s: float


class Buckets:
    """A token bucket for each key; when there are too many keys, those unused for longest are forgotten."""

    def __init__(self, rate: Rate, keys_max: int = KEYS_MAX, now_s: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._keys_max = keys_max
        self._now_s = now_s
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return len(self._left)

    def wait_s(self, key: str) -> float:
        """Return how long `key` has to wait for its next one; 0 when it may have it now."""
        return max(0.0, (1 - self._tokens(key)) / self._rate.per_s)

    def take(self, key: str) -> None:
        """Count one for `key`."""
        self._left[key] = (self._tokens(key) - 1, self._now_s())
        self._left.move_to_end(key)
        if len(self._left) > self._keys_max:
            self._left.popitem(last=False)

    def _tokens(self, key: str) -> float:
        tokens, at_s = self._left.get(key, (float(self._rate.burst), 0.0))
        return min(float(self._rate.burst), tokens + (self._now_s() - at_s) * self._rate.per_s)


class Gate:
    """Lets a request pass when neither who sends it nor the address it comes from had too many."""

    def __init__(self, who: Rate, address: Rate) -> None:
        self._who = Buckets(who)
        self._address = Buckets(address)

    def admit(self, request: Request, who: str) -> None:
        """Count a request of `who`; raises `TooMany` that says how long to wait."""
        address = address_of(request)
        wait_s = max(self._who.wait_s(who), self._address.wait_s(address))
        if wait_s > 0:
            raise TooMany("that was a lot at once", retry_after_s=math.ceil(wait_s))
        self._who.take(who)
        self._address.take(address)


def address_of(request: Request) -> str:
    """Return the network address that a request comes from; of IPv6 the part that one customer of a provider has."""
    peer = _address(request.client.host if request.client is not None else "")
    if peer is None or peer.is_private:  # loopback is private too: a proxy of ours, or somebody at this machine
        told = request.headers.getlist("x-forwarded-for")
        peer = (_address(told[-1].rpartition(",")[2].strip()) if told else None) or peer
    if isinstance(peer, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((peer, 64), strict=False))
    return str(peer)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address

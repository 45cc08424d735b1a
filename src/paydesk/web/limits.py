"""Limits: so many at once and so many a second, for each API key, each visitor and each address.

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
from paydesk.web.asgi import Headers, Scope

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


class Meter:
    """The bucket of one API key. Counting costs about a microsecond: it is done for every call."""

    __slots__ = ("_at_s", "_headers", "_now_s", "_tokens", "_told", "rate")

    def __init__(self, rate: Rate, now_s: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._now_s = now_s
        self._tokens = float(rate.burst)
        self._at_s = now_s()
        self._told = (-1, -1)
        self._headers: Headers = ()

    def take(self) -> Allowance:
        """Count one, if there is one left; return what is left, and how long to wait when there was none."""
        now_s = self._now_s()
        rate = self.rate
        tokens = self._tokens + (now_s - self._at_s) * rate.per_s
        if tokens > rate.burst:
            tokens = rate.burst
        wait_s = 0.0
        if tokens >= 1:
            tokens -= 1
        else:
            wait_s = (1 - tokens) / rate.per_s
        self._tokens = tokens
        self._at_s = now_s
        told = (int(tokens), math.ceil((rate.burst - tokens) / rate.per_s))
        if told != self._told:
            self._told = told
            self._headers = (
                (b"ratelimit-limit", b"%d" % rate.burst),
                (b"ratelimit-remaining", b"%d" % told[0]),
                (b"ratelimit-reset", b"%d" % told[1]),
            )
        return self._headers, wait_s


class Meters:
    """A meter for each key; when there are too many keys, those unused for longest are forgotten."""

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._of: OrderedDict[str, Meter] = OrderedDict()

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return len(self._of)

    def of(self, key: str, rate: Rate) -> Meter:
        """Return the meter of a key, a fresh one when its rate is another than it was."""
        meter = self._of.get(key)
        if meter is None or meter.rate != rate:
            meter = self._of[key] = Meter(rate)
        self._of.move_to_end(key)
        if len(self._of) > self._keys_max:
            self._of.popitem(last=False)
        return meter


Allowance = tuple[Headers, float]
"""What is told of a limit, and how many seconds there are to wait: 0 when there was one left."""


def tell(scope: Scope, allowance: Allowance) -> None:
    """Note on a request what its answer tells of its limit; raises `TooMany` when there was none left.

    Of several limits the first is told, or the one that was reached.
    """
    headers, wait_s = allowance
    state = scope.setdefault("state", {})
    if wait_s > 0:
        state["limit"] = headers
        raise TooMany("that was a lot at once", retry_after_s=math.ceil(wait_s))
    state.setdefault("limit", headers)


def told(scope: Scope) -> Headers:
    """Return the headers that tell of a request's limit: none for one that nobody counted."""
    headers: Headers = scope.get("state", {}).get("limit", ())
    return headers


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

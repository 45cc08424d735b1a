"""Connections to strangers' servers: the name is resolved once, each address is checked, and the checked one is dialled.

A name that is checked and then resolved again may lead somewhere else the second time (DNS rebinding); here nothing is
resolved again. TLS still asks for a certificate of the name.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any

import httpcore

from paydesk.dialing import is_public

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Returns the IP addresses of a host; raises `OSError` when it has none."""

CONNECT_S_MAX = 5.0
ADDRESSES_MAX = 4
CONNECTIONS_MAX = 64
KEPT_MAX = 16
KEPT_S_MAX = 30.0


class NotPublic(httpcore.ConnectError):
    """The name leads only to addresses that we do not dial."""


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host as the system tells them, in its order."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def pool(
    allowed: Collection[str], resolver: Resolve, trust: ssl.SSLContext | None = None
) -> httpcore.AsyncConnectionPool:
    """Return connections that lead outside only, or to the hosts that are `allowed`. No proxy, no redirect, no HTTP/2."""
    return httpcore.AsyncConnectionPool(
        ssl_context=trust, network_backend=_Guarded(allowed, resolver), max_connections=CONNECTIONS_MAX,
        max_keepalive_connections=KEPT_MAX, keepalive_expiry=KEPT_S_MAX,
    )  # fmt: skip


class _Guarded(httpcore.AsyncNetworkBackend):
    def __init__(self, allowed: Collection[str], resolver: Resolve) -> None:
        self._allowed = frozenset(allowed)
        self._resolve = resolver
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's own interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers, of those that may be dialled."""
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in await self._addresses(host, port):
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or NotPublic("its name leads to no public address")

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("its name has no address") from error
        if host.lower() not in self._allowed:
            found = [address for address in found if is_public(address)]
        return found[:ADDRESSES_MAX]

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """Refuse: no endpoint is a file."""
        raise NotPublic("a socket of this machine is not dialled")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._inner.sleep(seconds)

"""Which addresses may be dialled when an event is sent to a stranger's server: public ones, and those set to be allowed.

Whoever may register an endpoint must not make us knock at doors inside: at our own machine, its network, or the
services that clouds put beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from paydesk.config import Secret
from paydesk.errors import Invalid, SettingError

ALLOW = "PAYDESK_WEBHOOK_ALLOW"
URL_MAX = 2000

NAT64 = IPv6Network("64:ff9b::/96")
NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*", re.ASCII)
_URL = re.compile(r"[\x21-\x7e]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Target:
    """Where an endpoint's events go: `secrets` are all that sign now, `failing` while nothing has been taken lately."""

    url: str
    secrets: tuple[Secret, ...]
    enabled: bool = True
    failing: bool = False


def allowed_hosts(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the hosts that may be dialled wherever they are, over plain HTTP too; raises `SettingError`."""
    hosts = [part.strip().lower() for part in environ.get(ALLOW, "").split(",") if part.strip()]
    if any(not _HOST.fullmatch(host) for host in hosts):
        raise SettingError(f"{ALLOW} is malformed: {ALLOW}=127.0.0.1,hooks.internal (hosts alone, comma-separated)")
    return frozenset(hosts)


def checked_url(url: str, allowed: frozenset[str]) -> str:
    """Return the address of an endpoint; raises `Invalid` for one that will never be dialled."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # a bracket too few, a port out of range
        host, port = "", None
    if len(url) > URL_MAX or not _URL.fullmatch(url) or not _HOST.fullmatch(host) or port == 0:
        raise Invalid("url must be an address such as https://example.com/paydesk", param="url")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise Invalid(
            "url has neither a user nor a password nor a fragment: the signature says who we are", param="url"
        )
    if host in allowed and parts.scheme in ("http", "https"):
        return url
    if parts.scheme != "https":
        raise Invalid(f"url must begin with https:// (or {ALLOW} lists its host)", param="url")
    if _is_literal(host) and not is_public(host):
        raise Invalid(f"{host} is not a public address (or {ALLOW} lists it)", param="url")
    return url


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_public(address: str) -> bool:
    """Say whether an IP address is one of the public network; an IPv4 address inside an IPv6 one counts as what it is.

    >>> is_public("93.184.215.14"), is_public("::ffff:127.0.0.1"), is_public("169.254.169.254")
    (True, False, False)
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return all(_is_global(one) for one in (parsed, *_inside(parsed)))


def _is_global(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and (address.ipv4_mapped is not None or address in NAT64):
        return True  # what is inside decides
    odd = address.is_multicast or address.is_reserved or getattr(address, "is_site_local", False)
    return address.is_global and not odd


def _inside(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """Return the IPv4 addresses that an IPv6 address leads to: mapped, tunnelled or translated."""
    if isinstance(address, IPv4Address):
        return []
    found: list[IPv4Address | IPv6Address] = []
    if address.ipv4_mapped is not None:
        found.append(address.ipv4_mapped)
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found += list(address.teredo)
    if address in NAT64 or address in NAT64_LOCAL:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return found

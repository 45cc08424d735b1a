"""Where a buyer may be sent back to after paying: what a caller with a key says, if it is a plain web address.

An address that means one thing to us and another to a browser is a gift to whoever phishes with it.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from paydesk.config import Settings
from paydesk.errors import Invalid

_PLAIN = re.compile(r"https?://[A-Za-z0-9.\-:\[\]]+([/?#][A-Za-z0-9\-._~!$&'()*+,;=:@%/?{}#]*)?", re.ASCII)


def checked_return(url: str | None, param: str, settings: Settings) -> str | None:
    """Return `url` if a buyer may be sent there; raises `Invalid` that names the parameter.

    Taken are http(s) addresses without a user part, backslashes, control characters or white space.
    """
    if url is None:
        return None
    if not _is_plain(url):
        raise Invalid(f"{param} must be a plain http or https address", param=param)
    if settings.livemode and not url.startswith("https://"):
        raise Invalid(f"{param} must be https in live mode", param=param)
    return url


def _is_plain(url: str) -> bool:
    if not _PLAIN.fullmatch(url):
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket too few, a port out of range
        return False

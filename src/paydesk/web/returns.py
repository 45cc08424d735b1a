"""Where a buyer may be sent back to: our own pages, or the origins that the shop owner lists. Nothing else.

An open redirect on a payment link is a gift to whoever phishes with it.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from paydesk.config import Settings
from paydesk.errors import Invalid

_PLAIN = re.compile(r"https?://[A-Za-z0-9.\-:\[\]]+(/[A-Za-z0-9\-._~!$&'()*+,;=:@%/?{}#]*)?", re.ASCII)


def checked_return(url: str | None, param: str, settings: Settings) -> str | None:
    """Return `url` if a buyer may be sent there; raises `Invalid` that names the parameter.

    Taken are http(s) addresses without a user part, backslashes, control characters or white space.
    """
    if url is None:
        return None
    parts = urlsplit(url) if _PLAIN.fullmatch(url) and "\\" not in url else None
    if parts is None or not parts.hostname or parts.username is not None or parts.password is not None:
        raise Invalid(f"{param} must be a plain http or https address", param=param)
    if parts.scheme == "http" and settings.livemode:
        raise Invalid(f"{param} must be https in live mode", param=param)
    return url

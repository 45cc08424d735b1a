"""Pages for people: the web chat, the payable link, the API reference, the landing page, and what they are made of.

Everything is rendered on the server under a strict content policy: no inline script or style, nothing from elsewhere.
"""

from __future__ import annotations

from starlette.routing import BaseRoute

from paydesk.web.pages import assets, billing, chat, docs, home, link, pay, shop
from paydesk.web.pages.home import failed, not_found
from paydesk.web.pages.render import ServiceOf
from paydesk.web.pages.stream import end_streams

__all__ = ["end_streams", "failed", "not_found", "routes"]


def routes(service_of: ServiceOf) -> list[BaseRoute]:
    """Return every page's routes. `service_of` gives the running service of a request."""
    return [
        *home.routes(service_of),
        *chat.routes(service_of),
        *link.routes(service_of),
        *pay.routes(service_of),
        *billing.routes(service_of),
        *docs.routes(service_of),
        *shop.routes(service_of),
        *assets.routes(),
    ]

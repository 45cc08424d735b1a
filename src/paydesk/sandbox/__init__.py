"""A Stripe that runs on a laptop: API, hosted pages, webhooks and a clock, with state. Knows nothing of Paydesk."""

from .app import create_app
from .serving import CannotStart, serve

__all__ = ["CannotStart", "create_app", "serve"]

"""Everything a running Paydesk is made of, as one value that handlers and commands are given. Built by `app`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from paydesk.catalog import Catalog
from paydesk.channels.base import Channel
from paydesk.chat.commands import Conversation
from paydesk.chat.thread import Threads
from paydesk.checks import Checks
from paydesk.clock import Clock
from paydesk.config import Settings
from paydesk.inbox import Receiver
from paydesk.privacy import Vault
from paydesk.shelf import Shelf
from paydesk.store import Store
from paydesk.store.bell import Bell
from paydesk.stripe.gateway import Gateway
from paydesk.wallet import Wallets
from paydesk.worker import Worker


@dataclass(frozen=True, slots=True)
class Service:
    """The parts, wired together."""

    settings: Settings
    clock: Clock
    store: Store
    vault: Vault
    shelf: Shelf
    gateway: Gateway
    bell: Bell
    receiver: Receiver
    wallets: Wallets
    checks: Checks
    threads: Threads
    conversation: Conversation
    channels: Mapping[str, Channel]
    worker: Worker

    @property
    def catalog(self) -> Catalog:
        """Return what is sold now."""
        return self.shelf.catalog

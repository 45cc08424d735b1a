"""Who is to be let in where: a role in a server, a place in a group; it follows what people have access to."""

from __future__ import annotations

from paydesk.desk import Desk
from paydesk.store import Tx


async def follow(tx: Tx, desk: Desk) -> None:
    """Note whose roles and places have begun or ended, and tell the channels to make it so."""

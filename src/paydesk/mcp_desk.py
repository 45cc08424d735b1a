"""Which desk `paydesk mcp` speaks to, and for whom: found out before anything of the protocol is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from paydesk import config
from paydesk.config import Secret
from paydesk.errors import Invalid
from paydesk.library_asking import AsyncLine

TIMEOUT_S = 30.0
CUSTOMER = 'an id (cst_…), or channel:id where the person is met, such as "telegram:42"'


@dataclass(frozen=True, slots=True)
class Options:
    """How the tools are bounded besides by the key: looking only, one person only; and what the agent calls itself."""

    read_only: bool = False
    customer: str | None = None
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """The way to a desk, and the key under which everything is asked there; the line's own without one."""

    line: AsyncLine
    key: Secret | None


def find() -> Desk:
    """Return the desk that the settings name: a far one by `PAYDESK_URL`, else one in this process, on their database.

    Raises `SettingError`; nothing is opened yet.
    """
    key = config.mcp_key()
    remote = config.remote(api_key=None if key is None else key.reveal())
    if remote is not None:
        from paydesk.library_remote import AsyncRemoteLine

        return Desk(AsyncRemoteLine(remote, TIMEOUT_S), key)
    settings = config.load()
    config.require_stripe(settings)
    from paydesk.library_local import AsyncLocalLine

    return Desk(AsyncLocalLine(settings, work=False), key)


def named(customer: str) -> str | dict[str, str]:
    """Return a person as the API takes them: an id, or where they are met; raises `Invalid` for what names nobody."""
    if customer.startswith("cst_"):
        return customer
    channel, colon, external_id = customer.partition(":")
    if not (colon and channel and external_id):
        raise Invalid(f"{customer!r} names nobody: give {CUSTOMER}", param="customer")
    return {"channel": channel, "external_id": external_id}

"""Discord's own shop (Premium Apps): what people have bought there, told by events, interactions and a list.

A purchase is an entitlement, and it alone counts, whatever a subscription's status says: it gives from `starts_at` until
`ends_at`, which Discord sets when it has ended; a refund deletes it. A consumable can be bought again once it is consumed.
(Discord's documentation, Entitlements; Implementing App Subscriptions, One-Time Purchases.)
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from paydesk.channels.base import Address, Arrival, Article, BoughtThere, DeliveryError, Keep, Receipt, Refused, UseUp
from paydesk.channels.discord_api import Api
from paydesk.channels.discord_failures import Aim
from paydesk.channels.discord_ids import NAME, is_id, made_at_s
from paydesk.errors import PaydeskError

log = logging.getLogger(__name__)

CREATED, UPDATED, DELETED = "ENTITLEMENT_CREATE", "ENTITLEMENT_UPDATE", "ENTITLEMENT_DELETE"
EVENTS = (CREATED, UPDATED, DELETED)
LISTED = "ENTITLEMENT_LISTED"
"""How we call what a list tells: Discord has no event for it."""

KINDS: Mapping[int, Literal["durable", "consumable", "subscription"]] = {
    2: "durable",
    3: "consumable",
    5: "subscription",
}
"""How a SKU is sold, by its type; Discord makes a group of type 6 beside each subscription, which nobody can buy."""

AVAILABLE = 1 << 2

PAGE = 100
LOOK_S = 3600.0


# --- what it means: pure ---------------------------------------------------------------------------------------------


def bought(name: Any, told: Mapping[str, Any], at: datetime | None = None) -> Iterator[BoughtThere]:
    """Yield what an entitlement tells, by the name of its event; one of nobody, or malformed, tells nothing.

    What was bought for a whole server is its buyer's. `at` is when Discord said so, where that is known.
    """
    user, sku, id_ = told.get("user_id"), told.get("sku_id"), told.get("id")
    if name not in (*EVENTS, LISTED) or not is_id(user) or not is_id(sku) or not is_id(id_):
        return
    made_at = datetime.fromtimestamp(made_at_s(id_), UTC)
    yield BoughtThere(
        Address(NAME, user), sku, id_, moment(told.get("starts_at")) or made_at, moment(told.get("ends_at")),
        deleted=name == DELETED or told.get("deleted") is True, used_up=told.get("consumed") is True, told_at=at,
    )  # fmt: skip


def seen_by_the_way(told: Mapping[str, Any]) -> Iterator[BoughtThere]:
    """Yield what an interaction, which has an id, says that its person has bought."""
    found, at = told.get("entitlements"), datetime.fromtimestamp(made_at_s(told["id"]), UTC)
    for one in found if isinstance(found, list) else ():
        if isinstance(one, dict):
            yield from bought(LISTED, one, at)


def moment(text: Any) -> datetime | None:
    """Return a time in UTC, `None` for none or one that there is not."""
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
        if at is None:
            return None
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def arrival_of(name: str, told: Mapping[str, Any], at: datetime) -> Arrival | None:
    """Return what is stored of an entitlement, told `at`: each state of it once, by whichever way it is told.

    What has no end is stored anew every week of ours: it may have ended in between, and begun again.
    """
    one = next(bought(name, told), None)
    if one is None:
        return None
    kept = {key: told.get(key) for key in ("id", "sku_id", "user_id", "starts_at", "ends_at", "deleted", "consumed")}
    lasting = one.ends_at is None and not one.deleted and not one.used_up
    state = orjson.dumps([name, kept, at.strftime("%G-%V") if lasting else None])
    body = orjson.dumps({"t": name, "d": kept, "at": at.isoformat()})
    return Arrival(
        f"entitlement:{one.bought}:{hashlib.sha256(state).hexdigest()[:32]}", "bought", one.who.external_id, body
    )


# --- looking, and using up -------------------------------------------------------------------------------------------


class Shop:
    """What was bought of one application."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def follow(self, keep: Keep, application: Callable[[], Awaitable[str]]) -> None:
        """Keep what the list tells at the start and every hour, for ever: an event may have been missed."""
        while True:
            try:
                await self.look(keep, await application())
            except (DeliveryError, PaydeskError) as error:
                log.warning("Discord: what was bought there could not be listed: %s", error)
            await asyncio.sleep(LOOK_S)

    async def look(self, keep: Keep, application: str) -> None:
        """Keep what the list tells, ended and deleted purchases among it, page after page."""
        after = "0"
        while True:
            query = {"limit": str(PAGE), "after": after, "exclude_ended": "false", "exclude_deleted": "false"}
            path = f"/applications/{application}/entitlements"
            asked_at = datetime.now(UTC)
            page: list[dict[str, Any]] = await self._api.ask("GET", path, Aim("list"), query=query)
            await keep([one for told in page if (one := arrival_of(LISTED, told, asked_at)) is not None])
            newest = max((int(told["id"]) for told in page), default=0)
            if len(page) < PAGE or newest <= int(after):
                return
            after = str(newest)

    async def articles(self, application: str) -> dict[str, Article]:
        """Return the application's SKUs by their ids."""
        told: list[dict[str, Any]] = await self._api.ask("GET", f"/applications/{application}/skus", Aim("list"))
        return {
            str(one["id"]): Article(
                str(one["name"]), KINDS.get(one["type"], "other"), on_sale=bool(int(one["flags"]) & AVAILABLE)
            )
            for one in told
        }

    async def use_up(self, action: UseUp, application: str) -> Receipt:
        """Consume a purchase, unless it is consumed already or went back."""
        if not is_id(action.bought):
            raise Refused("this is no id of Discord's", rule="dc-bad-id")
        path = f"/applications/{application}/entitlements/{action.bought}"
        told = await self._api.ask("GET", path, Aim("look"))
        if told.get("consumed") is not True and told.get("deleted") is not True:
            await self._api.ask("POST", f"{path}/consume", Aim("consume"))
        return Receipt({"bought": action.bought})

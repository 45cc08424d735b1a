"""Carrying out what the outbox holds: a message through its channel, or an instruction to Stripe.

Turns every way in which an attempt can end into one `Result`. Nothing here opens a transaction of the money path.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import orjson

from paydesk import customers, edge, memberships, outbox, refunds
from paydesk.channels.base import (
    Address,
    Channel,
    Edit,
    Gone,
    Grant,
    NeedsUser,
    Receipt,
    Refused,
    RetryLater,
    Revoke,
    Send,
    Unknown,
)
from paydesk.chat import texts
from paydesk.errors import Conflict, NotFound, StoreUnavailable, StripeRefused, StripeUnavailable
from paydesk.outbox import Delivery, Result
from paydesk.store import Store
from paydesk.stripe.gateway import Gateway

log = logging.getLogger("paydesk.deliver")


EVENT = "event"
NEWS_S = 2.0
"""How long we wait for news of a refund that somebody else has made."""

TopUp = Callable[[str, dict[str, Any]], Awaitable[str]]
"""Carries out an instruction under a key, once however often it is called, and says in words what became of it."""

ACTIONS: dict[str, type[Grant] | type[Revoke]] = {memberships.GRANT: Grant, memberships.REVOKE: Revoke}


class Deliverer:
    """Knows the channels. A channel without an adapter is served by `fallback`: its messages are kept to be fetched.

    `top_up` carries out an automatic top-up under a key and returns what became of it; `others` do so with further
    instructions to Stripe, by template. `public_url` begins pay links.
    """

    def __init__(
        self,
        store: Store,
        gateway: Gateway,
        channels: Mapping[str, Channel],
        fallback: Channel,
        top_up: TopUp,
        public_url: str,
        others: Mapping[str, TopUp] | None = None,
    ) -> None:
        self._others = others or {}
        self._top_up_by = top_up
        self._public_url = public_url
        self._store = store
        self._gateway = gateway
        self._channels = channels
        self._fallback = fallback

    async def attempt(self, delivery: Delivery) -> Result:
        """Try once; never raises but for a lost database or a shutdown."""
        edge.outside_transaction(f"a delivery to {delivery.channel}")
        try:
            if delivery.channel == "stripe":
                return await self._instruct_stripe(delivery)
            if delivery.template in ACTIONS:
                return await self._let_in_or_out(delivery)
            return await self._send(delivery)
        except StoreUnavailable as error:
            return Result("later", str(error), wait_s=1)
        except Exception as error:
            log.exception("delivery %s failed", delivery.id)
            return Result("later", f"{type(error).__name__}: {error}"[:400])

    async def _send(self, delivery: Delivery) -> Result:
        told = await outbox.told_before(self._store, delivery)
        if told is not None and told.newer:
            return Result("sent", "newer news of the same was told before it", receipt=told.receipt)
        locale = None
        if delivery.customer is not None:
            locale = await customers.locale_of(self._store, delivery.customer)
        link = await self._pay_link(delivery.params.get("pays"))
        text, buttons = (
            texts.render(delivery.template, delivery.params, locale, link)
            if delivery.template != EVENT
            else (orjson.dumps(delivery.params).decode(), ())
        )
        to = Address(delivery.channel, delivery.address, delivery.conversation)
        channel = self._channels.get(delivery.channel, self._fallback)
        send = Send(delivery.key, to, text, buttons, kind=delivery.template, attempt=delivery.attempts)
        if told is not None and told.fresh and channel.edits:
            edit = Edit(delivery.key, to, text, buttons, delivery.id)
            return await _ended(partial(_edit_or_send, channel, edit, Receipt(told.receipt), send))
        return await _ended(partial(channel.deliver, send, None))

    async def _let_in_or_out(self, delivery: Delivery) -> Result:
        """Give or take a role or a place, if that is still wanted; what was decided meanwhile is put right afterwards."""
        channel = self._channels.get(delivery.channel)
        if channel is None or not channel.admits:
            return Result("dead", f"{memberships.NOBODY} for {delivery.channel}: it is done once one is plugged in")
        if not await memberships.stands(self._store, delivery):
            return Result("sent", "dropped: something else was decided meanwhile")
        params = delivery.params
        act = ACTIONS[delivery.template]
        to = Address(delivery.channel, delivery.address)
        action = act(delivery.key, to, params["space"], params["role"], params["version"])
        result = await _ended(partial(channel.deliver, action, None))
        if result.outcome == "sent":
            await memberships.check(self._store, delivery)
        return result

    async def _pay_link(self, order: str | None) -> str | None:
        """Return the link that pays an order."""
        if order is None:
            return None
        token = await self._store.fetchval("SELECT link_token FROM orders WHERE id = $1", order)
        return None if token is None else f"{self._public_url}/r/{token}"

    async def _instruct_stripe(self, delivery: Delivery) -> Result:
        if delivery.template == "topup":
            return await self._top_up(delivery)
        if delivery.template in self._others:
            return await self._other(delivery)
        return await self._give_back(delivery)

    async def _give_back(self, delivery: Delivery) -> Result:
        """Give a second payment back like every refund: written down first, looked for when in doubt, told to the inbox."""
        ask = refunds.Ask(payment=delivery.params["payment_intent"], reason=delivery.params["reason"])
        operation = delivery.key.removeprefix("refund:")
        try:
            made, _ = await refunds.make(
                self._store, self._gateway, ask, operation=operation, actor="paydesk", insist=True
            )
        except StripeUnavailable as error:
            return Result("later", error.message)
        except Conflict as conflict:
            return Result("sent" if conflict.code == "already_refunded" else "dead", conflict.message)
        except (StripeRefused, NotFound) as error:
            if isinstance(error, StripeRefused) and error.about == "amount":  # somebody gave a part back meanwhile
                return Result("later", error.message, wait_s=NEWS_S)
            return Result("dead", error.message)
        return Result("sent", receipt={"refund": made.id})

    async def _top_up(self, delivery: Delivery) -> Result:
        try:
            said = await self._top_up_by(delivery.key, delivery.params)
        except StripeUnavailable as error:
            return Result("later", error.message)
        return Result("sent", said)

    async def _other(self, delivery: Delivery) -> Result:
        try:
            said = await self._others[delivery.template](delivery.key, delivery.params)
        except StripeUnavailable as error:
            return Result("later", error.message)
        except (StripeRefused, NotFound, Conflict) as error:
            return Result("dead", error.message)
        return Result("sent", said)


async def _ended(attempt: Callable[[], Awaitable[Receipt]]) -> Result:
    """Let a channel act, and return how it ended."""
    edge.point("send:before")
    try:
        receipt = await attempt()
    except RetryLater as later:
        return Result("later", str(later), wait_s=later.after_s)
    except Unknown as unknown:
        return Result("later", f"unknown: {unknown}", wait_s=60)
    except (NeedsUser, Refused) as refused:
        return Result("dead", f"{type(refused).__name__}: {refused}")
    edge.point("send:after")
    return Result("sent", receipt=receipt.data)


async def _edit_or_send(channel: Channel, edit: Edit, last: Receipt, send: Send) -> Receipt:
    """Let the last message say the news; where it is gone, say it anew."""
    try:
        return await channel.deliver(edit, last)
    except Gone as gone:
        log.info("%s: %s", edit.key, gone)
        return await channel.deliver(send, None)

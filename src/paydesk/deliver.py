"""Carrying out what the outbox holds: a message through its channel, or an instruction to Stripe.

Turns every way in which an attempt can end into one `Result`. Nothing here opens a transaction of the money path.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson

from paydesk import (
    alerts,
    customers,
    digest,
    edge,
    manners,
    memberships,
    outbox,
    outcomes,
    portal,
    reaching,
    refunds,
    saying,
    stars,
)
from paydesk.channels.base import (
    Address,
    AnswerPaying,
    Button,
    Channel,
    DeliveryError,
    Edit,
    GiveBack,
    Gone,
    Grant,
    Invoice,
    Moved,
    NeedsUser,
    Receipt,
    Revoke,
    Send,
    Unknown,
    UseUp,
)
from paydesk.chat import texts
from paydesk.chat.texts import Texts
from paydesk.errors import Conflict, NotFound, StoreUnavailable, StripeRefused, StripeUnavailable
from paydesk.notebook import note_move, now_at
from paydesk.outbox import Delivery, Result
from paydesk.privacy import Vault
from paydesk.store import Store
from paydesk.stripe.gateway import Gateway

log = logging.getLogger("paydesk.deliver")


DELIVER_S_MAX = 20.0
"""A channel that has not come back by then is treated as one that did not answer."""

NEWS_S = 2.0
"""How long we wait for news of a refund that somebody else has made."""

TopUp = Callable[[str, dict[str, Any]], Awaitable[str]]
"""Carries out an instruction under a key, once however often it is called, and says in words what became of it."""

Show = Callable[[str], Awaitable[Mapping[str, Any]]]
"""Returns what is shown of an order beside a conversation: see `order_facts`."""


async def nothing_shown(_order: str) -> Mapping[str, Any]:
    """Return that nothing is known of an order."""
    return {}


ACTIONS: dict[str, type[Grant] | type[Revoke]] = {memberships.GRANT: Grant, memberships.REVOKE: Revoke}


class Deliverer:
    """Knows the channels. A channel without an adapter is served by `fallback`: its messages are kept to be fetched.

    `top_up` carries out an automatic top-up under a key and returns what became of it; `others` do so with further
    instructions to Stripe, by template. `public_url` begins pay links, `spoken` are the texts of every language, `show`
    tells more of an order where a channel wants it.
    """

    def __init__(
        self,
        store: Store,
        gateway: Gateway,
        channels: Mapping[str, Channel],
        fallback: Channel,
        top_up: TopUp,
        public_url: str,
        vault: Vault,
        others: Mapping[str, TopUp] | None = None,
        spoken: Texts = texts.BUILT_IN,
        show: Show = nothing_shown,
    ) -> None:
        self._show = show
        self._vault = vault
        self._spoken = spoken
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
            if delivery.template == saying.USE_UP:
                return await self._use_up(delivery)
            if delivery.template == manners.NOTICES:
                return await self._tell_desk(delivery)
            if delivery.template in stars.TEMPLATES:
                return await self._in_their_money(delivery)
            if delivery.channel == customers.ADMIN:
                return replace(await self._send(delivery), messages=digest.fan_out(delivery, self._channels))
            return await self._send(delivery)
        except StoreUnavailable as error:
            return Result("later", str(error), wait_s=1)
        except Exception as error:
            log.exception("delivery %s failed", delivery.id)
            return Result("later", f"{type(error).__name__}: {error}"[:400])

    async def note_away(self, channel: str, detail: str | None) -> None:
        """Tell the people of the desk that a platform does not answer."""
        async with self._store.transaction() as tx:
            await outbox.put(tx, [alerts.of_channel("channel_away", channel, because=detail or "")])

    async def _send(self, delivery: Delivery) -> Result:
        if _is_stale(delivery):
            return Result("sent", "dropped: it is too late for that", asked=False)
        told = await outbox.told_before(self._store, delivery)
        if told is not None and told.newer:
            return Result("sent", "newer news of the same was told before it", receipt=told.receipt, asked=False)
        to = await self._whom(delivery)
        if await reaching.is_somebody_elses(self._store, delivery.customer, to):
            return Result("sent", "dropped: somebody else has this address now", asked=False)
        lost = None
        if delivery.template != manners.ASIDE:  # that is told because they are out of reach
            lost = await reaching.unreachable(self._store, to, for_ever=delivery.template == manners.REPLY)
        if lost is not None:
            result = await outcomes.still_lost(lost, delivery, to, self._elsewhere(delivery))
            return await self._with_alarms(result, delivery) if lost.deleted else result
        text, buttons = await self._words(delivery)
        channel = self._channels.get(delivery.channel, self._fallback)
        kind, facts = await self._about(delivery, channel)
        answers = delivery.params.get("answers")
        if kind == stars.INVOICE and channel.charges:
            invoice = Invoice(delivery.key, to, facts["title"], text, facts["order"], facts["stars"])
            return await self._ended(delivery, to, partial(channel.deliver, invoice, None))
        send = Send(delivery.key, to, text, buttons, answers, kind, facts, delivery.attempt)
        if told is not None and told.fresh and channel.edits:
            edit = Edit(delivery.key, to, text, buttons, delivery.id, kind, facts)
            return await self._ended(delivery, to, partial(_edit_or_send, channel, edit, Receipt(told.receipt), send))
        return await self._ended(delivery, to, partial(channel.deliver, send, None))

    async def _in_their_money(self, delivery: Delivery) -> Result:
        """Let a payment in a platform's own money happen, or give one back; what became of that is told to the inbox."""
        delivery = replace(delivery, channel=stars.channel_of(delivery.channel))
        channel = self._channels.get(delivery.channel)
        if channel is None or not channel.charges:
            return Result("dead", f"{memberships.NOBODY} for {delivery.channel} that has money of its own")
        to, params = Address(delivery.channel, delivery.address), delivery.params
        if delivery.template == stars.ANSWER:
            answer = AnswerPaying(delivery.key, to, params["answers"], params["error"])
            return await self._ended(delivery, to, partial(channel.deliver, answer, None))
        if await stars.has_failed(self._store, params["refund"]):
            return Result("dead", "this refund has failed, and is told so: ask for a new one")
        back = GiveBack(delivery.key, to, params["charge"])
        result = await self._ended(delivery, to, partial(channel.deliver, back, None))
        status = {"sent": "succeeded", "dead": "failed"}.get(result.outcome)
        if outbox.exhausted(delivery, result):
            status = "failed"
        if status is None:
            return result
        reason = None if status == "succeeded" else result.detail
        return replace(result, tells=(stars.gave_back(params, status, reason, self._store.clock.now()),))

    async def _use_up(self, delivery: Delivery) -> Result:
        """Let what was bought in a platform's own shop be used up there: what it gives was given with this instruction."""
        channel = self._channels.get(delivery.channel)
        if channel is None or not channel.shop:
            return Result("dead", f"{memberships.NOBODY} for {delivery.channel} that has a shop of its own")
        to = Address(delivery.channel, delivery.address)
        action = UseUp(delivery.key, to, delivery.params["bought"])
        return await self._ended(delivery, to, partial(channel.deliver, action, None))

    async def _tell_desk(self, delivery: Delivery) -> Result:
        """Tell the people of the desk an alert, together with those that come within some seconds."""
        rest_s = digest.rest_of_burst_s(delivery)
        if rest_s > 0 and delivery.attempts == 1:
            return Result("later", "others may come", wait_s=rest_s, counted=False, asked=False)
        text, also = await digest.together(self._store, self._spoken, delivery)
        to = await self._whom(delivery)
        channel = self._channels.get(delivery.channel, self._fallback)
        send = Send(delivery.key, to, text, kind=delivery.template, attempt=delivery.attempt)
        result = await self._ended(delivery, to, partial(channel.deliver, send, None))
        return replace(result, also=also) if result.outcome == "sent" else result

    async def _whom(self, delivery: Delivery) -> Address:
        """Return whom a message is for: the chat of the people of the desk may have moved."""
        address = delivery.address
        if delivery.template == manners.NOTICES:
            address = await now_at(self._store, delivery.channel, address)
        return Address(delivery.channel, address, delivery.conversation)

    async def _words(self, delivery: Delivery) -> tuple[str, tuple[Button, ...]]:
        """Return what a message says, and its buttons."""
        params: Mapping[str, Any] = delivery.params
        if delivery.template == outbox.EVENT:
            return orjson.dumps(params).decode(), ()
        if delivery.template == manners.REPLY:
            return params["text"], tuple(Button(**button) for button in params.get("buttons", ()))
        locale = None
        if delivery.customer is not None:
            locale = await customers.locale_of(self._store, delivery.customer)
        link = await self._link(params)
        params = await alerts.counted(self._store, delivery.template, params)
        return self._spoken.render(delivery.template, params, locale, link)

    async def _about(self, delivery: Delivery, channel: Channel) -> tuple[str, Mapping[str, Any]]:
        """Return what kind of message it is, and what is known of what it tells."""
        kind, facts = _told_with(delivery)
        if channel.wants_facts and facts.get("order") is not None:
            facts = {**facts, **await self._show(facts["order"])}
        return kind, facts

    async def _let_in_or_out(self, delivery: Delivery) -> Result:
        """Give or take a role or a place, if that is still wanted; what was decided meanwhile is put right afterwards."""
        channel = self._channels.get(delivery.channel)
        if channel is None or not channel.admits:
            return Result("dead", f"{memberships.NOBODY} for {delivery.channel}: it is done once one is plugged in")
        if not await memberships.stands(self._store, delivery):
            return Result("sent", "dropped: something else was decided meanwhile", asked=False)
        params = delivery.params
        space = await now_at(self._store, delivery.channel, params["space"])
        to = Address(delivery.channel, delivery.address)
        action = ACTIONS[delivery.template](delivery.key, to, space, params["role"], params["version"])
        result = await self._ended(delivery, to, partial(channel.deliver, action, None))
        if result.outcome == "sent":
            await memberships.check(self._store, delivery)
        return result

    async def _ended(self, delivery: Delivery, to: Address, attempt: Callable[[], Awaitable[Receipt]]) -> Result:
        """Let a channel act, and return what follows from how that ended."""
        edge.point("send:before")
        try:
            async with asyncio.timeout(DELIVER_S_MAX):
                receipt = await attempt()
        except Moved as moved:
            await note_move(self._store, delivery.channel, moved.old, moved.new)
            return Result("later", str(moved), wait_s=0, counted=False)
        except DeliveryError as error:
            result = await outcomes.of(error, delivery, to, self._elsewhere(delivery))
            deleted = isinstance(error, NeedsUser) and error.deleted
            return await self._with_alarms(result, delivery) if deleted else result
        except TimeoutError:
            late = Unknown(f"no answer within {DELIVER_S_MAX:g} seconds")
            return await outcomes.of(late, delivery, to, self._elsewhere(delivery))
        edge.point("send:after")
        return outcomes.sent(delivery, dict(receipt.data), to)

    async def _with_alarms(self, result: Result, delivery: Delivery) -> Result:
        """Tell the people of the desk, too, of what bills somebody whose account was deleted."""
        billed = await reaching.billed_for(self._store, delivery.customer)
        alarms = tuple(alerts.of_deleted(delivery, *one) for one in billed)
        return replace(result, messages=result.messages + alarms)

    def _elsewhere(self, delivery: Delivery) -> outcomes.Elsewhere:
        """Return a function that finds where else the person of a message can be told it."""
        able = [name for name in self._channels if name != self._fallback.name]

        async def find(tried: list[list[str]]) -> Address | None:
            if delivery.customer is None:
                return None
            return await reaching.next_address(self._store, self._vault, delivery.customer, tried, able)

        return find

    async def _link(self, params: Mapping[str, Any]) -> str | None:
        """Return the link that pays the order a message names, or that leads whom it `manages` to the portal."""
        if params.get("manages") is not None:
            return portal.link(self._vault, self._public_url, params["manages"])
        order = params.get("pays")
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


def _told_with(delivery: Delivery) -> tuple[str, Mapping[str, Any]]:
    """Return the kind and the facts that a message was put with; those of an answer are in its parameters."""
    if delivery.template != manners.REPLY:
        return delivery.template, delivery.params
    return delivery.params.get("kind", manners.REPLY), delivery.params.get("facts", {})


def _is_stale(delivery: Delivery) -> bool:
    """Say whether a reminder comes too late to be one."""
    life_s = manners.LIFE_S.get(delivery.template)
    return life_s is not None and (datetime.now(UTC) - delivery.created_at).total_seconds() > life_s


async def _edit_or_send(channel: Channel, edit: Edit, last: Receipt, send: Send) -> Receipt:
    """Let the last message say the news; where it is gone, say it anew."""
    try:
        return await channel.deliver(edit, last)
    except Gone as gone:
        log.info("%s: %s", edit.key, gone)
        return await channel.deliver(send, None)

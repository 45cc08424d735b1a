"""What people say to change a subscription: /plan leads to another plan or quantity, a pause, and an end at once.

Chat never waits for Stripe: whatever is tapped here goes by the outbox as a wish, once however often its button is
pressed, and what has become of it is told in the same thread (`wishes`). Whatever costs something, or ends something, is
asked before.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from paydesk import changes, outbox
from paydesk.changes import Plan
from paydesk.channels.base import Button
from paydesk.chat import billing, choices
from paydesk.chat.choices import Can
from paydesk.chat.reply import Reply, Said, page, within
from paydesk.chat.shop import PAGE, Gone
from paydesk.chat.texts import LABEL_MAX, Words, one_line
from paydesk.outbox import Message
from paydesk.showing import Shown

_PAGE = re.compile(r"#(\d{1,4})", re.ASCII)
_COUNT = re.compile(r"x?(\d{1,6})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks about one of their subscriptions: the words after it, and what can be done.

    `alone`: it is the only one they have, so that it need not be named.
    """

    desk: billing.Desk
    said: Said
    shown: Shown
    can: Can
    rest: tuple[str, ...]
    now: datetime
    alone: bool

    @property
    def words(self) -> Words:
        """Return the language they read."""
        return self.said.words

    @property
    def id(self) -> str:
        """Return the id of the subscription."""
        return self.shown.own.id

    @property
    def name(self) -> str:
        """Return what it is called, on one line."""
        return one_line(self.shown.name)

    def sure(self, *words: str) -> bool:
        """Say whether it is the answer to a question that was asked not long ago: these words, and its mark."""
        return self.rest[:-1] == words and choices.answers(self.rest[-1], self.shown, self.now)

    def command(self, *rest: str, marked: bool = False) -> str:
        """Return what a button says about this subscription; a marked one changes something."""
        if marked:
            return " ".join(("/plan", self.id, *rest, choices.mark(self.now)))
        return " ".join(("/plan", *([] if self.alone else [self.id]), *rest))


class Plans:
    """Answers these commands. Made once; holds nothing about anybody."""

    def __init__(self, desk: Callable[[], billing.Desk], gone: Gone) -> None:
        self._desk = desk
        self._gone = gone

    def commands(self) -> dict[str, Callable[[Said], Awaitable[list[Reply]]]]:
        """Return what answers which word."""
        return {"plan": self._plan, "pause": self._pause, "resume": self._resume}

    async def _plan(self, said: Said) -> list[Reply]:
        return [await self._answer(said, said.argument.split())]

    async def _pause(self, said: Said) -> list[Reply]:
        return [await self._answer(said, ["pause"])]

    async def _resume(self, said: Said) -> list[Reply]:
        return [await self._answer(said, ["resume"])]

    async def _answer(self, said: Said, given: list[str]) -> Reply:
        """Answer about the subscription that is named, else about the one there is; ask where there are several."""
        desk = self._desk()
        live = await billing.live(desk, said.customer)
        meant, rest = live, given
        if given and given[0].startswith("sub_"):
            named = await billing.own(desk, said.customer, given[0])
            meant, rest = [named] if named is not None else [], given[1:]
        if len(meant) != 1:
            return _which(meant, rest, said.words) if meant else billing.nothing(said.words, unknown=bool(live))
        can = choices.possible(desk.catalog, meant[0], live, await self._gone())
        alone = [one.own.id for one in live] == [meant[0].own.id]
        return await _about(Asked(desk, said, meant[0], can, tuple(rest), desk.store.clock.now(), alone))


def _which(several: list[Shown], rest: list[str], words: Words) -> Reply:
    buttons = (
        Button(one_line(one.name, LABEL_MAX), command=" ".join(("/plan", one.own.id, *rest[:1]))) for one in several
    )
    return Reply(words.say("which_subscription"), tuple(buttons))


async def _about(asked: Asked) -> Reply:
    """Answer what somebody says about one of their subscriptions; what is not understood shows what can be done."""
    word, *more = asked.rest or ("",)
    match word:
        case "plans":
            return await _plans(asked, more)
        case "count":
            return await _counts(asked)
        case "pause":
            return await _pause(asked)
        case "resume":
            return await _resume(asked)
        case "stay":
            return await _stay(asked)
        case "now":
            return await _end(asked)
    plan = choices.plan_of(asked.can, word)
    if plan is not None:
        return await _change(asked, plan, choices.word_of(plan.price))
    count = _COUNT.fullmatch(word)
    return await _count(asked, int(count[1])) if count is not None else await _overview(asked)


async def _overview(asked: Asked) -> Reply:
    """Show a subscription and what can be done about it."""
    desk, words = asked.desk, asked.words
    pay = await billing.pay_buttons(desk, asked.shown, words, named=False)
    buttons = billing.actions(asked.shown, asked.can, words, now=asked.now, alone=asked.alone)
    line = billing.line_of(desk.catalog, asked.shown, words, asked.now)
    return Reply(line, (*pay, *buttons, billing.portal_button(desk, asked.said.customer, words)))


async def _cannot(asked: Asked) -> Reply:
    """Say that this cannot be done just now, with what can."""
    answer = await _overview(asked)
    return Reply(f"{asked.words.say('change_cannot', name=asked.name)}\n{answer.text}", answer.buttons)


# --- another plan, another quantity ----------------------------------------------------------------------------------


async def _plans(asked: Asked, more: list[str]) -> Reply:
    """Show the other plans, each with its price and when it would count."""
    if not asked.can.plans:
        return await _cannot(asked)
    words, plans = asked.words, asked.can.plans
    wanted = _PAGE.fullmatch(more[0]) if more else None
    number = within(int(wanted[1]) if wanted is not None else 1, len(plans), PAGE)
    each = len(plans) if len(plans) <= PAGE else PAGE - 2
    lines = [words.say("plan_which", name=asked.name)]
    for plan in plans[(number - 1) * each : number * each]:
        later = choices.counts_later(asked.desk.catalog, asked.shown, plan)
        line = "plan_line_later" if later else "plan_line_now"
        lines.append(words.say(line, name=_name(asked, plan), price=_price(plan, words), day=_ends(asked)))
    buttons = [
        Button(one_line(f"{_name(asked, plan)} – {_price(plan, words)}", LABEL_MAX),
               command=asked.command(choices.word_of(plan.price)))
        for plan in plans
    ]  # fmt: skip
    return Reply("\n".join(lines), page(buttons, number, PAGE, asked.command("plans"), words))


async def _change(asked: Asked, plan: Plan, word: str) -> Reply:
    """Ask whether the plan shall be changed, with what that costs and when it counts; after yes, wish for it."""
    agreed = choices.word_of_change(asked.desk.catalog, asked.shown, plan)
    if asked.sure(word, agreed):
        return await _wish_plan(asked, plan)
    return _ask_plan(asked, plan, word, agreed)


async def _wish_plan(asked: Asked, plan: Plan) -> Reply:
    """Wish for a plan as it was asked: at that price, from that moment, instead of what there is now."""
    when, was = choices.when(asked.desk.catalog, asked.shown, plan), changes.asked_from(asked.shown)
    return await _wish(
        asked, price=plan.price.key, quantity=plan.quantity, agreed=plan.price.amount, when=when, was=was
    )


async def _counts(asked: Asked) -> Reply:
    """Ask how many it shall be."""
    if not asked.can.count:
        return await _cannot(asked)
    has = asked.shown.own.items[0].quantity
    wanted = [has + step for step in choices.STEPS if 1 <= has + step <= choices.COUNT_MAX]
    buttons = (Button(asked.words.number(one), command=asked.command(f"x{one}")) for one in wanted)
    return Reply(asked.words.say("count_which", name=asked.name, number=asked.words.number(has)), tuple(buttons))


async def _count(asked: Asked, count: int) -> Reply:
    """Ask whether it shall be so many, at today's price; after yes to that price, wish for it."""
    item = asked.shown.own.items[0]
    plan = choices.of_count(asked.desk.catalog, item, count) if asked.can.count else None
    if plan is None or count == item.quantity:
        return await _counts(asked)
    agreed = choices.word_of_change(asked.desk.catalog, asked.shown, plan)
    if asked.sure(f"x{count}", agreed):
        return await _wish_plan(asked, plan)
    return _ask_plan(asked, plan, f"x{count}", agreed)


def _ask_plan(asked: Asked, plan: Plan, *rest: str) -> Reply:
    """Return the question: what it will be, for how much, from when, and about how much is charged now."""
    words, shown = asked.words, asked.shown
    text = _question(asked, plan)
    cost = choices.charged_now(asked.desk.catalog, shown, plan, asked.now)
    amount = words.money(cost or 0, plan.price.currency)
    said = words.say(text, name=asked.name, plan=_name(asked, plan), price=_price(plan, words), amount=amount,
                     day=_ends(asked))  # fmt: skip
    yes = Button(words.button("button_change_yes"), command=asked.command(*rest, marked=True))
    return Reply(said, (yes, _back(asked)))


def _question(asked: Asked, plan: Plan) -> str:
    """Return which text asks for a change of plan."""
    catalog, shown = asked.desk.catalog, asked.shown
    if shown.own.status == "trialing":
        return "plan_ask_trial"
    if choices.counts_later(catalog, shown, plan):
        return "plan_ask_later"
    cost = choices.charged_now(catalog, shown, plan, asked.now)
    if cost is None:
        return "plan_ask_unsure"
    if cost == 0:
        return "plan_ask_free"
    return "plan_ask_anew" if changes.begins_anew(catalog, shown.own.items[0], plan.price) else "plan_ask_now"


def _name(asked: Asked, plan: Plan) -> str:
    """Return what a plan is called, with how many of it."""
    name = one_line(asked.desk.catalog.products[plan.price.product].name)
    return f"{name} × {asked.words.number(plan.quantity)}" if plan.quantity > 1 else name


def _price(plan: Plan, words: Words) -> str:
    return words.every(words.money(plan.price.amount * plan.quantity, plan.price.currency), plan.price)


def _ends(asked: Asked) -> str:
    return asked.words.day(asked.shown.own.period_end)


async def _stay(asked: Asked) -> Reply:
    """Take back a change that waits for the end of the cycle."""
    if not asked.can.stay or not asked.sure("stay"):
        return await _overview(asked)
    item = asked.shown.own.items[0]
    was = changes.asked_from(asked.shown)
    return await _wish(asked, price=item.key, quantity=item.quantity, when="period_end", was=was)


# --- a pause, an end -------------------------------------------------------------------------------------------------


async def _pause(asked: Asked) -> Reply:
    """Ask whether nothing shall be charged for a while; after yes, wish for it."""
    if not asked.can.pause:
        return await (_overview(asked) if asked.can.resume else _cannot(asked))
    if asked.sure("pause"):
        return await _wish(asked, pause=True)
    yes = Button(asked.words.button("button_pause_yes"), command=asked.command("pause", marked=True))
    if changes.is_unpaid(asked.shown, asked.now):
        return Reply(asked.words.say("pause_ask_unpaid", name=asked.name), (yes, _back(asked)))
    kept = billing.kept_until(asked.shown, asked.now) or asked.shown.own.period_end
    return Reply(asked.words.say("pause_ask", name=asked.name, day=asked.words.day(kept)), (yes, _back(asked)))


async def _resume(asked: Asked) -> Reply:
    """End a pause; where that begins a cycle, which is paid at once, ask before."""
    if not asked.can.resume:
        return await (_overview(asked) if asked.can.pause else _cannot(asked))
    words, shown = asked.words, asked.shown
    anew = shown.own.status == "paused" or changes.has_run_out(shown, asked.now)
    given = ("resume", "paid") if anew else ("resume",)
    if asked.sure(*given):
        return await _wish(asked, pause=False, paid=anew)
    price = billing.price_of(asked.desk.catalog, shown, words)
    if anew and price:
        text = words.say("resume_ask_paid", name=asked.name, price=price)
    else:
        text = words.say("resume_ask_anew" if anew else "resume_ask", name=asked.name, day=_ends(asked))
    yes = Button(words.button("button_resume_yes"), command=asked.command(*given, marked=True))
    return Reply(text, (yes, _back(asked)))


async def _end(asked: Asked) -> Reply:
    """Ask whether it shall end this moment, with what is lost; after yes, wish for it."""
    words, shown = asked.words, asked.shown
    if not asked.can.end_now:
        return await _cannot(asked)
    if asked.sure("now"):
        return await _wish(asked, end=True)
    given = [grant for item in shown.own.items for grant in item.terms.get("grants", ()) if grant["kind"] != "credits"]
    things = words.join(dict.fromkeys(words.feature(grant["feature"]) for grant in given)) or asked.name
    kept = billing.kept_until(shown, asked.now)
    if kept is None:
        text = words.say("end_ask_lapsed", name=asked.name)
    else:
        text = words.say("end_ask", name=asked.name, things=things, day=words.day(kept))
    yes = Button(words.button("button_end_yes"), command=asked.command("now", marked=True))
    later = () if asked.can.keep or kept is None else (billing.cancel_button(shown, words, "button_end_later"),)
    return Reply(text, (yes, *later, _back(asked)))


def _back(asked: Asked) -> Button:
    return Button(asked.words.button("button_change_no"), command="/billing")


# --- the wish --------------------------------------------------------------------------------------------------------


async def _wish(asked: Asked, **wish: Any) -> Reply:
    """Put a wish into the outbox, once for the button that was pressed, and say that it is under way."""
    said, rest = asked.said, " ".join(asked.rest)
    thread = [said.where.channel, said.where.external_id, said.where.conversation]
    again = asked.command(*asked.rest[:1])
    params = {"subscription": asked.id, **wish, "thread": thread, "again": again}
    message = Message(f"wish:{asked.id}:{rest}", asked.shown.own.customer, "stripe", asked.id, "wish", params)
    async with asked.desk.store.transaction() as tx:
        new = await outbox.put(tx, [message])
    return Reply(asked.words.say("wish_asked" if new else "wish_known", name=asked.name))

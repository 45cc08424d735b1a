"""What people can say about themselves: /link two chats to one person, /claim what is to start when they say so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from paydesk import claims, linking
from paydesk.channels.base import Button
from paydesk.chat.reply import Reply, Said
from paydesk.chat.texts import Words
from paydesk.errors import Conflict, Invalid, NotFound
from paydesk.privacy import Vault
from paydesk.store import Store

SURE = "yes"
REFUSALS = {linking.NOT_OURS: "link_not_ours", linking.ENDED: "link_ended", linking.USED: "link_used"}


class PeopleCommands:
    """Answers these commands."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault

    def commands(self) -> dict[str, Callable[[Said], Awaitable[list[Reply]]]]:
        """Return what answers which word."""
        return {"link": self._link, "claim": self._claim}

    async def _link(self, said: Said) -> list[Reply]:
        """Make a link, or open one: whoever has bought something before is asked first."""
        given = said.argument.split()
        if not given:
            made = linking.make(self._vault, said.customer)
            time = said.words.count(linking.LIFE_S // 60, "minutes")
            return [Reply(said.words.say("link_how", time=time)), Reply(f"/start {made}")]
        try:
            link = linking.read(self._vault, given[-1])
            person = await linking.accept(
                self._store, self._vault, link, said.customer, sure=given[0] == SURE, actor=f"chat:{said.where.channel}"
            )
        except (Invalid, Conflict, NotFound) as refused:
            return [Reply(said.words.say(REFUSALS.get(refused.message, "link_failed")))]
        return [Reply(said.words.say("link_done")) if person is not None else _ask(said.words, given[-1])]

    async def _claim(self, said: Said) -> list[Reply]:
        words = said.words
        started = await claims.claim(
            self._store, said.customer, said.argument or None, actor=f"chat:{said.where.channel}"
        )
        if not started:
            return [Reply(words.say("claim_nothing"))]
        lines = []
        for one in {one.feature: one for one in started}.values():
            feature = words.feature(one.feature)
            if one.until is None:
                lines.append(words.say("claim_started", feature=feature))
            else:
                lines.append(words.say("claim_started_until", feature=feature, until=words.moment(one.until)))
        return [Reply("\n".join(lines))]


def _ask(words: Words, link: str) -> Reply:
    yes = Button(words.button("button_that_is_me"), command=f"/link {SURE} {link}")
    return Reply(words.say("link_ask"), (yes,))

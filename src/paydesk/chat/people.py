"""What people can say about themselves: /link two chats to one person, /claim what is to start when they say so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from paydesk import claims, linking, memberships
from paydesk.channels.base import Button
from paydesk.chat.commands import Reply, Said
from paydesk.errors import Conflict, Invalid, NotFound
from paydesk.privacy import Vault
from paydesk.store import Store

SURE = "yes"


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
        words = said.argument.split()
        if not words:
            made = linking.make(self._vault, said.customer)
            minutes = linking.LIFE_S // 60
            return [
                Reply(f"To be the same person in another chat, say this there within {minutes} minutes:"),
                Reply(f"/start {made}"),
            ]
        try:
            link = linking.read(self._vault, words[-1])
            person = await linking.accept(
                self._store, self._vault, link, said.customer, sure=words[0] == SURE, actor=f"chat:{said.where.channel}"
            )
        except (Invalid, Conflict, NotFound) as refused:
            return [Reply(_sentence(refused.message))]
        if person is None:
            return [_ask(words[-1])]
        return [Reply("Done: you are one person in both chats now, with everything that you have in either.")]

    async def _claim(self, said: Said) -> list[Reply]:
        started = await claims.claim(
            self._store, said.customer, said.argument or None, actor=f"chat:{said.where.channel}"
        )
        if not started:
            return [Reply("Nothing waits to be started. /balance shows what you have.")]
        lines = []
        for one in {one.feature: one for one in started}.values():
            until = f" It lasts until {one.until:%-d %B %Y, %H:%M} UTC." if one.until is not None else ""
            lines.append(f"Started: {memberships.in_words(one.feature)}.{until}")
        return [Reply("\n".join(lines))]


def _ask(link: str) -> Reply:
    text = (
        "This makes you one person with whoever made the link: what either of you has is shared, and it cannot be undone. "
        "Is the other one you?"
    )
    return Reply(text, (Button("Yes, that is me", command=f"/link {SURE} {link}"),))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."

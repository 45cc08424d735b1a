"""What every channel has to do, as tests to inherit: for whoever writes one.

    from paydesk.channels.conformance import ChannelContract

    class TestMyChannel(ChannelContract):
        def make(self): return my_channel(...)          # talks to a server of yours, started for the test
        def genuine(self): return [Raw(...)]            # requests that your platform would send
        def forged(self): return [Raw(...)]             # the same with a wrong signature, too old, malformed
        def seen(self): return ["…"]                    # the texts that people on the platform see, oldest first
        def cut_off(self): ...                          # from now on the platform does not answer

Run by any test runner that collects classes called `Test…`; needs nothing but the standard library.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from paydesk.channels.base import Address, Button, Channel, Edit, Gone, Grant, Raw, RetryLater, Revoke, Send, Unknown

BODY_BYTES_MAX = 64 * 1024
NASTY = "<b>@everyone</b> *{name}* [x](y) & `code`"
"""Mark-up, a mention, a placeholder: people read it as it stands, and it does nothing."""


class ChannelContract:
    """Inherit, and say how your channel is made and what its platform sends and shows."""

    person = Address("", "42")
    space = "1"
    role = "2"

    def make(self) -> Channel:
        """Return a fresh channel that talks to a server of the test."""
        raise NotImplementedError

    def genuine(self) -> Sequence[Raw]:
        """Return requests that the platform would send; none for a channel that is only told things."""
        return ()

    def forged(self) -> Sequence[Raw]:
        """Return requests that must be refused."""
        return ()

    def seen(self) -> list[str]:
        """Return the texts that people see on the platform, oldest first."""
        raise NotImplementedError

    def cut_off(self) -> None:
        """Let the platform not answer from now on."""
        raise NotImplementedError

    # --- what is tested ----------------------------------------------------------------------------------------------

    def test_it_has_a_name(self) -> None:
        """Short and lower case: it stands in addresses and in the catalogue."""
        name = self.make().name
        assert name == name.lower()
        assert 0 < len(name) <= 32

    def test_what_is_genuine_is_taken_in_under_an_id_that_stays(self) -> None:
        """The same request twice is the same arrival: nothing is answered twice."""
        channel = self.make()
        for request in self.genuine():
            first, second = channel.read(request), channel.read(request)
            assert first is not None
            assert first == second
            assert first.status < 400
            for arrival in first.arrivals:
                assert arrival.external_id
                assert arrival.whose
                assert len(arrival.body) <= BODY_BYTES_MAX
                assert channel.understand(arrival.body) == channel.understand(arrival.body)

    def test_what_is_forged_is_refused_and_nothing_of_it_is_kept(self) -> None:
        """401, 403, 400: whatever it is, nothing arrives."""
        channel = self.make()
        for request in self.forged():
            inbound = channel.read(request)
            assert inbound is None or (400 <= inbound.status < 500 and not inbound.arrivals)

    def test_what_nobody_knows_means_nothing(self) -> None:
        """A platform adds kinds of updates; an old channel lets them pass."""
        assert list(self.make().understand(b'{"a_kind_that_does_not_exist": {"id": 1}}')) == []

    def test_what_is_sent_is_seen_as_it_stands(self) -> None:
        """No mark-up, no mention, no placeholder does anything."""
        self._run(lambda channel: channel.deliver(Send("k1", self._whom(channel), NASTY), None))
        (text,) = self.seen()
        assert "@everyone" in text.replace("\u200b", "")
        assert "{name}" in text

    def test_a_text_of_any_length_is_sent(self) -> None:
        """Cut where the platform wants it shorter, never refused."""
        buttons = [Button("B" * 200, url="https://example.com/r/" + "x" * 40), Button("Help", command="/help")]
        long = "a text that does not end " * 400
        self._run(lambda channel: channel.deliver(Send("k2", self._whom(channel), long, buttons), None))
        assert len(self.seen()) >= 1

    def test_a_message_can_be_edited_as_often_as_one_likes(self) -> None:
        """An edit repeated is an edit; what cannot be edited any more says so in a type."""

        async def edit(channel: Channel) -> None:
            if not channel.edits:
                return
            whom = self._whom(channel)
            receipt = await channel.deliver(Send("k3", whom, "before"), None)
            for _ in range(2):
                try:
                    await channel.deliver(Edit("k4", whom, "after", (), 7), receipt)
                except Gone:
                    return

        self._run(edit)

    def test_letting_in_and_out_twice_is_once(self) -> None:
        """And what a person really has can be asked for."""

        async def both(channel: Channel) -> None:
            if not channel.admits:
                return
            whom = self._whom(channel)
            for _ in range(2):
                await channel.deliver(Grant("k5", whom, self.space, self.role, 1), None)
            assert isinstance(await channel.actual(whom, self.space), set)
            for _ in range(2):
                await channel.deliver(Revoke("k6", whom, self.space, self.role, 2), None)
            assert self.role == "" or self.role not in await channel.actual(whom, self.space)

        self._run(both)

    def test_a_platform_that_does_not_answer_is_told_in_a_type(self) -> None:
        """Not sent is tried again, not known is judged by the desk: the two are kept apart."""
        self.cut_off()

        async def send(channel: Channel) -> None:
            try:
                await channel.deliver(Send("k7", self._whom(channel), "hello"), None)
            except (RetryLater, Unknown):
                return
            raise AssertionError("it did not say that it could not")

        self._run(send)

    # --- for the tests above -----------------------------------------------------------------------------------------

    def _whom(self, channel: Channel) -> Address:
        return Address(channel.name, self.person.external_id, self.person.conversation)

    def _run(self, step: Callable[[Channel], Awaitable[object]]) -> None:
        """Do something with a fresh channel in a loop of its own, and close it."""

        async def work() -> None:
            channel = self.make()
            try:
                await step(channel)
            finally:
                await channel.close()

        asyncio.run(work())

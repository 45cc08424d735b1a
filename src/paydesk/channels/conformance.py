"""What every channel has to do, as tests to inherit: for whoever writes one.

    from paydesk.channels.conformance import ChannelContract

    class TestMyChannel(ChannelContract):
        def make(self): return my_channel(...)          # talks to a server of yours, started for the test
        def genuine(self): return [Raw(...)]            # requests that your platform would send
        def forged(self): return [Raw(...)]             # the same with a wrong signature, too old, malformed
        def seen(self): return ["…"]                    # the texts that people on the platform read, oldest first
        def cut_off(self): ...                          # from now on the platform does not answer

and where they apply: `links` where addresses are not read but pressed, `shut_out` where there is a token, `secrets`.
Run by any test runner that collects classes called `Test…`; needs nothing but the standard library.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from paydesk.channels.base import (
    Address,
    Button,
    Channel,
    Command,
    DeliveryError,
    Edit,
    Finding,
    Gone,
    Grant,
    Misconfigured,
    Raw,
    RetryLater,
    Revoke,
    Said,
    Send,
    Unknown,
)
from paydesk.channels.plugged import TAKEN

BODY_BYTES_MAX = 64 * 1024
NASTY = "<b>@everyone</b> *{name}* [x](y) & `code`"
"""Mark-up, a mention, a placeholder: people read it as it stands, and it does nothing."""

LINK = "https://example.com/r/" + "x" * 40
NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)


class ChannelContract:
    """Inherit, and say how your channel is made and what its platform sends and shows."""

    person = Address("", "42")
    space = "1"
    role = "2"

    def make(self) -> Channel:
        """Return a fresh channel that talks to a server of the test."""
        raise NotImplementedError

    def genuine(self) -> Sequence[Raw]:
        """Return requests that the platform would send, none for a channel that is only told things.

        In one of them at least somebody says something.
        """
        return ()

    def forged(self) -> Sequence[Raw]:
        """Return requests that must be refused."""
        return ()

    def seen(self) -> list[str]:
        """Return the texts that people read on the platform now, oldest first: its own mark-up has been applied."""
        raise NotImplementedError

    def links(self) -> list[str]:
        """Return the addresses that people can open there; those that they read, unless you know of others."""
        return re.findall(r"https?://\S+", "\n".join(self.seen()))

    def cut_off(self) -> None:
        """Let the platform not answer from now on."""
        raise NotImplementedError

    def shut_out(self) -> bool:
        """Let the platform refuse our token from now on; return `False` where there is none."""
        return False

    def secrets(self) -> Sequence[str]:
        """Return what must never be read in an error, such as the token."""
        return ()

    # --- what is tested ----------------------------------------------------------------------------------------------

    def test_it_has_a_name(self) -> None:
        """Short and lower case: it stands in addresses and in the catalogue."""
        name = self.make().name
        assert NAME.fullmatch(name), f"{name!r} must be a short lower-case name"
        assert name not in TAKEN, f"{name!r} is a name of the desk's own"

    def test_what_is_genuine_is_taken_in_under_an_id_that_stays(self) -> None:
        """The same request twice is the same arrival, also for another process: nothing is answered twice."""
        channel, other = self.make(), self.make()
        ids = []
        for request in self.genuine():
            first, second = channel.read(request), other.read(request)
            assert first is not None
            assert first == second
            assert first.status < 400
            for arrival in first.arrivals:
                assert arrival.external_id
                assert arrival.whose
                assert len(arrival.body) <= BODY_BYTES_MAX
                assert channel.understand(arrival.body) == other.understand(arrival.body)
            ids += [arrival.external_id for arrival in first.arrivals]
        assert len(ids) == len(set(ids)), "two requests have the same id: the second would never be answered"

    def test_what_somebody_says_is_understood(self) -> None:
        """Who says it is met under this channel's name, and their words are there."""
        said = [command for command in self._understood() if isinstance(command, Said)]
        assert said or not self.genuine(), "in one of the genuine requests somebody has to say something"
        for one in said:
            assert one.text.strip()
            assert one.who.channel == self.make().name
            assert 0 < len(one.who.external_id) <= 200
            assert one.who.external_id.isprintable()

    def test_what_is_forged_is_refused_and_nothing_of_it_is_kept(self) -> None:
        """401, 403, 400: whatever it is, nothing arrives."""
        channel = self.make()
        for request in self.forged():
            inbound = channel.read(request)
            assert inbound is None or (400 <= inbound.status < 500 and not inbound.arrivals)

    def test_what_is_malformed_brings_nothing_in_and_breaks_nothing(self) -> None:
        """No exception, whatever is sent to us: what raises is answered 503, and a platform sends it again and again."""
        channel = self.make()
        for request in self.genuine():
            for body in (b"", b"{", b"[]", b"7", b"\xff\xfe\x00", b"[" * 100_000, b"a=%ff&b=\xe9&token=\xc3\xa9"):
                for headers in ({}, request.headers, dict.fromkeys(request.headers, "\xe9")):
                    inbound = channel.read(replace(request, body=body, headers=headers))
                    assert inbound is None or not inbound.arrivals
            bare = channel.read(replace(request, method="GET", body=b"", headers={}, query=""))
            assert bare is None or not bare.arrivals

    def test_what_nobody_knows_means_nothing(self) -> None:
        """A platform adds kinds of updates; an old channel lets them pass."""
        assert list(self.make().understand(b'{"a_kind_that_does_not_exist": {"id": 1}}')) == []

    def test_what_is_sent_is_seen_as_it_stands(self) -> None:
        """No mark-up, no mention, no placeholder does anything; a space of no width may keep a mention from being one."""
        self._run(lambda channel: channel.deliver(Send("k1", self._whom(channel), NASTY), None))
        (text,) = self.seen()
        assert text.replace("\u200b", "").strip() == NASTY

    def test_a_text_of_any_length_is_sent(self) -> None:
        """Cut where the platform wants it shorter, never refused; and the link to pay is whole."""
        buttons = [Button("B" * 200, url=LINK), Button("Help", command="/help")]
        texts = [word * 2000 for word in ("a text that does not end ", "*_[{<&\\`", "🎾")]

        async def send(channel: Channel) -> None:
            for number, text in enumerate(texts):
                await channel.deliver(Send(f"k2:{number}", self._whom(channel), text, buttons), None)

        self._run(send)
        assert len(self.seen()) >= len(texts)
        assert self.links().count(LINK) == len(texts)

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
            assert self.seen()[-1] == "after"
            assert "before" not in self.seen()

        self._run(edit)

    def test_letting_in_and_out_twice_is_once(self) -> None:
        """And what a person really has can be asked for."""

        async def both(channel: Channel) -> None:
            if not channel.admits:
                return
            whom = self._whom(channel)
            for _ in range(2):
                await channel.deliver(Grant("k5", whom, self.space, self.role, 1), None)
            assert not self.role or self.role in await channel.actual(whom, self.space)
            for _ in range(2):
                await channel.deliver(Revoke("k6", whom, self.space, self.role, 2), None)
            assert not self.role or self.role not in await channel.actual(whom, self.space)

        self._run(both)

    def test_a_platform_that_does_not_answer_is_told_in_a_type(self) -> None:
        """Not sent is tried again, not known is judged by the desk: the two are kept apart."""
        self.cut_off()

        async def send(channel: Channel) -> None:
            assert isinstance(await self._failure(channel), RetryLater | Unknown)

        self._run(send)

    def test_a_token_that_is_refused_is_a_matter_for_whoever_runs_the_desk(self) -> None:
        """The whole channel waits, and they are told what mends it."""
        if not self.shut_out():
            return

        async def send(channel: Channel) -> None:
            error = await self._failure(channel)
            assert isinstance(error, Misconfigured)
            assert error.resource == "*"
            assert error.mend

        self._run(send)

    def test_the_doctor_is_answered_also_when_the_platform_is_not_there(self) -> None:
        """With findings, or with an error of the contract."""
        self.cut_off()

        async def look(channel: Channel) -> None:
            try:
                findings = await channel.preflight({}, fix=False)
            except DeliveryError as error:
                self._keeps_secrets(channel, error)
                return
            for finding in findings:
                assert isinstance(finding, Finding)
                assert finding.ok or finding.mend, "what is wrong has to be told with what mends it"
                assert not any(secret in str(finding) for secret in self.secrets())

        self._run(look)

    # --- for the tests above -----------------------------------------------------------------------------------------

    def _understood(self) -> list[Command]:
        channel = self.make()
        inbounds = [channel.read(request) for request in self.genuine()]
        arrivals = [arrival for inbound in inbounds if inbound is not None for arrival in inbound.arrivals]
        return [command for arrival in arrivals for command in channel.understand(arrival.body)]

    async def _failure(self, channel: Channel) -> DeliveryError:
        """Return the error of a message that cannot be sent."""
        try:
            await channel.deliver(Send("k7", self._whom(channel), "hello"), None)
        except DeliveryError as error:
            self._keeps_secrets(channel, error)
            return error
        raise AssertionError("it did not say that it could not")

    def _keeps_secrets(self, channel: Channel, error: Exception) -> None:
        shown = f"{error} {error!r} {channel!r} {vars(error)}"
        assert not any(secret in shown for secret in self.secrets())

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

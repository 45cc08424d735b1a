"""Why a channel could not carry out an action: the errors of its contract, each of which says what is to be done next.

They are part of `channels.base`, and imported from there.
"""

from __future__ import annotations


class DeliveryError(Exception):
    """Why an action was not carried out; the message is for the log, never with a token in it.

    `rule` names the row of the failure table (tests and metrics use it).
    """

    def __init__(self, reason: str, *, rule: str = "") -> None:
        super().__init__(reason)
        self.rule = rule


class RetryLater(DeliveryError):
    """Not now: try again after `after_s` seconds (or when the queue thinks best). Nothing was sent.

    `counted=False`: the platform asked for it (a rate limit), so it is no failed attempt. `everyone=True`: the whole
    channel rests until then, not only this person's messages.
    """

    def __init__(
        self, reason: str, after_s: float | None = None, *, counted: bool = True, everyone: bool = False, rule: str = ""
    ) -> None:
        super().__init__(reason, rule=rule)
        self.after_s = after_s
        self.counted = counted
        self.everyone = everyone


class NeedsUser(DeliveryError):
    """The person must act first (press Start, open their messages, join): kept until they are `Here` again.

    Meanwhile another address of theirs is told. `for_ever`: this address is dead (a wrong number) or wants nothing any
    more (STOP). `deleted`: and its account is not there any more. `way_in_url` is where they come into the space they are
    not in, if known. `aside` is a conversation where they can be called to look, in front of others, and told nothing else.
    """

    def __init__(
        self, reason: str, *, for_ever: bool = False, deleted: bool = False,
        way_in_url: str | None = None, aside: str | None = None, rule: str = "",
    ) -> None:  # fmt: skip
        super().__init__(reason, rule=rule)
        self.for_ever, self.deleted = for_ever or deleted, deleted
        self.way_in_url = way_in_url
        self.aside = aside


class Moved(DeliveryError):
    """A space or chat has another id now: it is noted, and the action repeated at once with the new one."""

    def __init__(self, reason: str, old: str, new: str, *, rule: str = "") -> None:
        super().__init__(reason, rule=rule)
        self.old = old
        self.new = new


class Misconfigured(DeliveryError):
    """Whoever runs the desk must act: everything for `resource` waits, and they are told once what mends it.

    `resource` is `*` for the whole channel (a revoked token), else what is broken there: a space, `space|role`.
    """

    def __init__(self, reason: str, *, resource: str, mend: str, rule: str = "") -> None:
        super().__init__(reason, rule=rule)
        self.resource = resource
        self.mend = mend


class Refused(DeliveryError):
    """Will never work as it is; repeating is useless. `tell` is said to the people of the desk, `None`: nothing is.

    `done` says that what was wanted needs nothing more all the same (an owner cannot be put out).
    """

    def __init__(self, reason: str, *, tell: str | None = None, done: bool = False, rule: str = "") -> None:
        super().__init__(reason, rule=rule)
        self.tell = tell
        self.done = done


class Gone(DeliveryError):
    """What was to be edited or answered is not there any more: it is then said anew."""


class Unknown(DeliveryError):
    """Sent, but no answer: it may have arrived. `repeatable`: doing it twice is doing it once, so it is repeated.

    Otherwise a receipt or warning is repeated once, a minute later, and everything else never.
    """

    def __init__(self, reason: str, *, repeatable: bool = False, rule: str = "") -> None:
        super().__init__(reason, rule=rule)
        self.repeatable = repeatable

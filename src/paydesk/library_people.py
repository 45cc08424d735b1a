"""The library's calls about people: who they are, their credits, what they may, and what is said to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from paydesk.clock import iso
from paydesk.errors import Invalid
from paydesk.library_asking import Answer, Request, id_of, named, new_key, post, quoted, texts
from paydesk.library_shapes import (
    Access,
    CreditOperation,
    Credits,
    Customer,
    Hold,
    Identity,
    Message,
    Reply,
    Who,
)

CREDITS = "credits"


class People:
    """People and what they have. A person is an id (`cst_…`), a `Customer`, or a pair such as `("telegram", 42)`.

    Calls raise `NotFound` for somebody nobody knows. Credits move durably before a call returns, and once for each
    `idempotency_key` and person, for ever; without a key a call gets one of its own.
    """

    # --- who -----------------------------------------------------------------------------------------------------------

    def create_customer(
        self, email: str | None = None, name: str | None = None, *,
        identities: Sequence[Identity | tuple[str, str | int]] = (), locale: str | None = None,
        metadata: Mapping[str, object] | None = None, idempotency_key: str | None = None,
    ) -> Answer[Customer]:  # fmt: skip
        """Make a person, met at `identities`. E-mail and name are stored sealed.

        Raises `Conflict` when one of the identities is somebody else's already. Nobody is found by e-mail: anybody can
        type an address.
        """
        met = [named(one) for one in identities]
        body = {"email": email, "name": name, "identities": met, "locale": locale, "metadata": texts(metadata)}
        made = yield post("/v1/customers", body, idempotency_key)
        return Customer.of(made)

    def retrieve_customer(self, customer: Who) -> Answer[Customer]:
        """Return a person; whoever was merged into another is the other by now."""
        person = yield from id_of(customer)
        found = yield Request("GET", f"/v1/customers/{person}")
        return Customer.of(found)

    def find_customer(self, channel: str, external_id: str | int) -> Answer[Customer | None]:
        """Return the person met there, or `None`."""
        found = yield Request("GET", "/v1/customers", params={"channel": channel, "external_id": str(external_id)})
        return Customer.of(found["data"][0]) if found["data"] else None

    # --- what they have --------------------------------------------------------------------------------------------------

    def credits(self, customer: Who, unit: str = CREDITS) -> Answer[Credits]:
        """Return what a person has of a unit of the catalogue, as whole numbers, with the lots it is in."""
        person = yield from id_of(customer)
        found = yield Request("GET", f"/v1/customers/{person}/credits", params={"unit": unit})
        return Credits.of(found)

    def spend(
        self, customer: Who, amount: int, *, unit: str = CREDITS, reason: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[CreditOperation]:  # fmt: skip
        """Take a whole number of credits, those that end soonest first.

        Raises `InsufficientCredits` when there are fewer: then nothing was taken. `reason` is kept in the ledger.
        """
        done = yield from _move(customer, "spend", amount, unit, reason, idempotency_key)
        return CreditOperation.of(done)

    def grant(
        self, customer: Who, amount: int, *, unit: str = CREDITS, reason: str | None = None,
        expires_days: int | None = None, expires_at: datetime | None = None, idempotency_key: str | None = None,
    ) -> Answer[CreditOperation]:  # fmt: skip
        """Give a whole number of credits for nothing, for ever or until an end; what the person owes is paid first.

        `expires_at` knows its time zone. Needs a key with the scope `admin`.
        """
        if expires_at is not None and expires_at.tzinfo is None:
            raise Invalid("expires_at must know its time zone", param="expires_at")
        ends = {"expires_days": expires_days, "expires_at": iso(expires_at)}
        done = yield from _move(customer, "grant", amount, unit, reason, idempotency_key, **ends)
        return CreditOperation.of(done)

    def hold(
        self, customer: Who, amount: int, *, unit: str = CREDITS, reason: str | None = None, lasts_s: int | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[Hold]:  # fmt: skip
        """Set a whole number of credits aside for something whose price is known only afterwards.

        `settle` it with what was used, or `release` it; untouched, it goes back after `lasts_s` seconds (an hour unless
        you say otherwise). Raises `InsufficientCredits` when there are fewer.
        """
        done = yield from _move(customer, "hold", amount, unit, reason, idempotency_key, lasts_s=lasts_s)
        return Hold.of(done)

    def settle(self, hold: str | Hold, amount: int, *, idempotency_key: str | None = None) -> Answer[Hold]:
        """Take `amount` of a hold (0 releases it); the rest goes back. Again, it is the same answer.

        Raises `Invalid` for more than was held, and `Conflict` for a hold that has ended otherwise.
        """
        done = yield post(f"/v1/holds/{_hold(hold)}/settle", {"amount": amount}, idempotency_key)
        return Hold.of(done)

    def release(self, hold: str | Hold, *, idempotency_key: str | None = None) -> Answer[Hold]:
        """Give a hold back whole. Again, it is the same answer. Raises `Conflict` for one that was settled."""
        done = yield post(f"/v1/holds/{_hold(hold)}/release", {}, idempotency_key)
        return Hold.of(done)

    def retrieve_hold(self, hold: str | Hold) -> Answer[Hold]:
        """Return how a hold (`hld_…`) stands now."""
        found = yield Request("GET", f"/v1/holds/{_hold(hold)}")
        return Hold.of(found)

    def access(self, customer: Who, feature: str) -> Answer[Access]:
        """Return whether a person may use a feature of the catalogue now, until when, and why; true when they may.

        The answer is never older than the question: a pass that has ended a second ago is over, and what was bought or
        taken back a moment ago counts. Somebody nobody knows may nothing, if they were named by where they are met.
        """
        known = named(customer)
        if not isinstance(known, str):
            found = yield Request("GET", "/v1/customers", params=known)
            if not found["data"]:
                return Access(allowed=False, until=None, because=())
            known = str(found["data"][0]["id"])
        answer = yield Request("GET", f"/v1/customers/{quoted(known)}/access", params={"feature": feature})
        return Access.of(answer)

    # --- the conversation ----------------------------------------------------------------------------------------------

    def say(
        self, channel: str, external_id: str | int, text: str, locale: str | None = None, *,
        conversation: str | None = None, idempotency_key: str | None = None,
    ) -> Answer[list[Reply]]:  # fmt: skip
        """Pass on what somebody said or pressed (`/buy`, `/balance`, a button's `command`) and return the answers.

        `channel` is your platform's name, `external_id` the person's id there; somebody new is made. `locale` is the
        language that the platform tells of them. Texts are plain words: escape them for your platform.
        """
        body = {"channel": channel, "external_id": str(external_id), "text": text, "locale": locale,
                "conversation": conversation}  # fmt: skip
        found = yield post("/v1/chat", body, idempotency_key)
        return [Reply.of(one) for one in found["replies"]]

    def messages(
        self, channel: str, external_id: str | int, *, after: int = 0, limit: int = 20
    ) -> Answer[list[Message]]:
        """Return what came by itself since the message numbered `after` (a payment arrived, a pass ends), oldest first.

        At most `limit` (1 to 100). Keep the last `id` and ask for those after it: then each is fetched once.
        """
        params = {"channel": channel, "external_id": str(external_id), "after": after, "limit": limit}
        found = yield Request("GET", "/v1/chat/messages", params=params)
        return [Message.of(one) for one in found["data"]]

    # --- everything else -------------------------------------------------------------------------------------------------

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *,
        params: Mapping[str, Any] | None = None, idempotency_key: str | None = None,
    ) -> Answer[dict[str, Any]]:  # fmt: skip
        """Make any other call of the native API, such as `call("GET", "/v1/stats")`, and return its JSON as it is."""
        if not path.startswith("/v1/"):
            raise Invalid("a path begins with /v1/", param="path")
        key = idempotency_key if method == "GET" or idempotency_key else new_key()
        found = yield Request(method, path, body, params, key)
        return dict(found)


def _move(
    customer: Who, what: str, amount: int, unit: str, reason: str | None, key: str | None, **more: object
) -> Answer[dict[str, Any]]:
    person = yield from id_of(customer)
    body = {"amount": amount, "unit": unit, "reason": reason, **more}
    done = yield post(f"/v1/customers/{person}/credits/{what}", body, key)
    return dict(done)


def _hold(hold: str | Hold) -> str:
    return quoted(hold.id if isinstance(hold, Hold) else hold)

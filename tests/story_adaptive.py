"""A buyer who is shown another currency, heard in every version of Stripe's API, in two at once, and across an upgrade.

Before 2025-03-31 events tell what the buyer was shown, since then what was asked for: whichever is heard, a payment is
kept in its order's currency, what goes back takes its share to the cent, and the books have what Stripe has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from conftest import settings_for
from desk import Buyer, Desk, running_desk
from money_back import CATALOG, books_hold, calm, changes_nothing, dispute, has, intent_of, refund, status_of, wallet
from sandbox_fixtures import Receiver, running_sandbox, until

ACACIA, ENDIVE = "2024-09-30.acacia", "2026-10-28.endive"
SHOWN = {"PL": (3946, "pln"), "HU": (361_638, "huf"), "JP": (1548, "jpy"), "KW": (3070, "kwd")}
"""What buyers from there are shown for $9.99."""


def choose(sandbox_url: str, version: str) -> None:
    """Let the sandbox show buyers elsewhere their own currency, pay us in euros, and tell events in a version."""
    chosen = {"settlement_currency": "eur", "adaptive_pricing": True, "api_version": version}
    httpx.post(f"{sandbox_url}/_sandbox/settings", json=chosen).raise_for_status()


def pay_from(buyer: Buyer, country: str, card: str = "pm_card_visa") -> dict[str, Any]:
    """Order ten credits for $9.99 and pay them there."""
    order = buyer.checkout("credits-10")
    form = {"payment_method": card, "customer_email": f"jo+location_{country}@example.com"}
    paid = buyer.desk.at_stripe("POST", f"/v1/payment_pages/{order['session']}/confirm", form)
    assert paid.status_code == 200, paid.text
    return order


def bought_from(desk: Desk, country: str, card: str = "pm_card_visa") -> tuple[Buyer, dict[str, Any]]:
    """Somebody there has bought ten credits: what is known of it is the same whichever version has told it."""
    buyer = desk.buyer()
    order = pay_from(buyer, country, card)
    desk.settled(order["id"])
    calm(desk)
    is_kept(desk, order, country)
    return buyer, order


def is_kept(desk: Desk, order: dict[str, Any], country: str) -> None:
    """Its payment is kept in dollars, with what the buyer was shown beside it."""
    (row,) = desk.sql(
        "SELECT p.amount, p.currency, o.presented_amount, o.presented_currency FROM payment p JOIN orders o "
        "ON o.id = p.order_id WHERE o.id = $1",
        order["id"],
    )
    assert tuple(row.values()) == (999, "usd", *SHOWN.get(country, (None, None)))


def waits_or_is_set_aside(desk: Desk) -> list[tuple[Any, ...]]:
    """What Stripe told that has had no effect."""
    rows = desk.sql("SELECT kind, state, detail FROM inbox WHERE state NOT IN ('done', 'ignored')")
    return [tuple(row.values()) for row in rows]


def at_stripe(desk: Desk) -> dict[str, int]:
    """What Stripe says that it has of ours, by currency."""
    said, found = desk.at_stripe("GET", "/v1/balance").json(), dict[str, int]()
    for part in [*said["available"], *said["pending"]]:
        found[part["currency"]] = found.get(part["currency"], 0) + part["amount"]
    return {currency: amount for currency, amount in found.items() if amount}


def in_the_books(desk: Desk) -> dict[str, int]:
    """What the ledger says that Stripe has of ours, by currency."""
    rows = desk.sql(
        "SELECT a.unit, sum(CASE WHEN e.to_account = a.id THEN e.amount ELSE -e.amount END)::bigint AS there "
        "FROM account a JOIN entry e ON a.id IN (e.from_account, e.to_account) WHERE a.kind = 'stripe' GROUP BY 1"
    )
    return {row["unit"].removeprefix("money:"): row["there"] for row in rows if row["there"]}


def all_is_true(desk: Desk) -> None:
    """Nothing waits, nothing was set aside, the ledger proves itself, and has what Stripe has in every currency."""
    calm(desk)
    assert waits_or_is_set_aside(desk) == []
    until(lambda: in_the_books(desk) == at_stripe(desk), what=f"{at_stripe(desk)} in the books: {in_the_books(desk)}")
    books_hold(desk)


# --- one version -----------------------------------------------------------------------------------------------------


HEARD = [("2023-10-16", "poll"), (ACACIA, "webhook"), ("2025-03-31.basil", "both"), (ENDIVE, "webhook")]


@pytest.fixture(scope="module", params=HEARD, ids=" by ".join)
def abroad(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> Iterator[Desk]:
    """A desk that hears a version's events, and sells to buyers who are shown their own currency."""
    version, how = request.param
    with running_sandbox() as sandbox:
        choose(sandbox.url, version)
        settings = settings_for(new_database(), sandbox.url, PAYDESK_CATALOG=str(CATALOG), STRIPE_EVENTS=how)
        with running_desk(settings, sandbox, webhooks=how != "poll") as desk:
            yield desk


def test_t23_t37_a_dispute_takes_all_or_nothing(abroad: Desk) -> None:
    buyer, order = bought_from(abroad, "HU")
    dispute(abroad, order, "needs_response")
    assert (wallet(buyer), status_of(abroad, order)) == (has(0), "disputed")
    assert "3,616.38" in buyer.told()[0], "the amount that was charged"
    dispute(abroad, order, "won")
    assert (wallet(buyer), status_of(abroad, order)) == (has(10), "fulfilled")
    changes_nothing(abroad, order)
    buyer, order = bought_from(abroad, "JP")
    dispute(abroad, order, "needs_response")
    dispute(abroad, order, "lost")
    assert (wallet(buyer), status_of(abroad, order)) == (has(0), "disputed")
    changes_nothing(abroad, order)
    all_is_true(abroad)


def test_t23_t35_refunds_in_parts_and_of_all_that_is_left_take_their_share_to_the_cent(abroad: Desk) -> None:
    buyer, order = bought_from(abroad, "KW")
    for amount in (1, 2, 333):  # a cent is 3.07 fils, and the smallest coin is 10
        refund(abroad, order, amount)
    assert (wallet(buyer), status_of(abroad, order)) == (has(7), "partially_refunded")
    again = abroad.post("/v1/refunds", {"payment": intent_of(abroad, order), "amount": 163})
    calm(abroad)
    assert (again["amount"], again["currency"], wallet(buyer)) == (163, "usd", has(6))
    refund(abroad, order)
    assert (wallet(buyer), status_of(abroad, order)) == (has(0), "refunded")
    assert abroad.get(f"/v1/payments/{intent_of(abroad, order)}")["amount_refunded"] == 999
    changes_nothing(abroad, order)
    buyer, order = bought_from(abroad, "PL")
    refund(abroad, order)
    assert (wallet(buyer), status_of(abroad, order)) == (has(0), "refunded")
    assert "39.46" in buyer.told()[0], "the amount that was charged"
    all_is_true(abroad)


def test_t23_t37_what_was_refunded_in_part_and_then_disputed_is_gone_once(abroad: Desk) -> None:
    buyer, order = bought_from(abroad, "PL")
    refund(abroad, order, 500)
    assert wallet(buyer) == has(5)
    dispute(abroad, order, "needs_response")
    assert wallet(buyer) == has(0)
    dispute(abroad, order, "won")
    assert (wallet(buyer), status_of(abroad, order)) == (has(5), "partially_refunded")
    changes_nothing(abroad, order)
    assert waits_or_is_set_aside(abroad) == []
    books_hold(abroad)


def test_t23_t36_a_refund_that_fails_gives_everything_back(abroad: Desk) -> None:
    buyer, order = bought_from(abroad, "PL", "pm_card_refundFail")
    refund(abroad, order)
    abroad.sandbox.advance("2h")
    until(lambda: wallet(buyer) == has(10), what="the credits")
    calm(abroad)
    assert status_of(abroad, order) == "fulfilled"
    assert waits_or_is_set_aside(abroad) == []
    books_hold(abroad)


# --- two versions, and an upgrade ------------------------------------------------------------------------------------


@dataclass
class Listening:
    """A desk whose events are caught on the way, in two versions, and handed over as a test wants it."""

    desk: Desk
    receiver: Receiver
    taken: int = 0
    told: set[str] = field(default_factory=set)

    def news(self) -> list[dict[str, Any]]:
        """What both endpoints were told since the last time, once all of it has come."""
        until(lambda: self.desk.sandbox.state()["deliveries"]["waiting"] == 0, what="every event")
        hooks = self.receiver.hooks[self.taken :]
        self.taken += len(hooks)
        return [json.loads(hook.body) for hook in hooks]

    def hand_over(self, events: list[dict[str, Any]], version: str, *kinds: str) -> None:
        """Tell those of a version (and kind). Both versions' bear one id: what is told again bears another."""
        for event in events:
            if event["api_version"] == version and (not kinds or event["type"] in kinds):
                again = "_again" if event["id"] in self.told else ""
                self.told.add(event["id"])
                assert self.desk.deliver({**event, "id": event["id"] + again}).status_code == 200
        self.desk.quiet()


@pytest.fixture(scope="module")
def listening(new_database: Callable[[], str]) -> Iterator[Listening]:
    """A desk between two versions."""
    receiver = Receiver()
    with running_sandbox() as sandbox:
        choose(sandbox.url, ACACIA)
        settings = settings_for(new_database(), sandbox.url, PAYDESK_CATALOG=str(CATALOG))
        with running_desk(settings, sandbox, webhooks=False) as desk:
            for version in (ACACIA, ENDIVE):
                listen = {"url": receiver.url, "enabled_events[]": "*", "api_version": version}
                assert desk.at_stripe("POST", "/v1/webhook_endpoints", listen).status_code == 200
            yield Listening(desk, receiver)
    receiver.close()


@pytest.mark.parametrize("versions", [(ACACIA, ENDIVE), (ENDIVE, ACACIA)], ids=["older first", "newer first"])
def test_t10_t11_a_purchase_and_its_refunds_heard_in_two_versions_are_one(
    listening: Listening, versions: tuple[str, str]
) -> None:
    desk, buyer = listening.desk, listening.desk.buyer()
    order = pay_from(buyer, "PL")
    heard = listening.news()
    for version in versions:
        listening.hand_over(heard, version)
        is_kept(desk, order, "PL")
        assert (wallet(buyer), status_of(desk, order)) == (has(10), "fulfilled")
    for amount, left in ((500, 5), (None, 0)):
        body = {"payment_intent": intent_of(desk, order), **({} if amount is None else {"amount": str(amount)})}
        assert desk.at_stripe("POST", "/v1/refunds", body).status_code == 200
        heard = listening.news()
        for version in versions:
            listening.hand_over(heard, version)
            assert wallet(buyer) == has(left)
    assert status_of(desk, order) == "refunded"
    all_is_true(desk)


@pytest.mark.parametrize("bought_in", [ACACIA, ENDIVE], ids=["upgraded", "downgraded"])
def test_t11_an_endpoint_changes_its_version_between_a_purchase_and_its_refund(
    listening: Listening, bought_in: str
) -> None:
    desk, buyer = listening.desk, listening.desk.buyer()
    order = pay_from(buyer, "HU")
    then = ENDIVE if bought_in == ACACIA else ACACIA
    listening.hand_over(heard := listening.news(), bought_in)
    assert wallet(buyer) == has(10)
    assert desk.at_stripe("POST", "/v1/refunds", {"payment_intent": intent_of(desk, order)}).status_code == 200
    listening.hand_over(listening.news(), then)
    assert (wallet(buyer), status_of(desk, order)) == (has(0), "refunded")
    listening.hand_over(heard, then)
    is_kept(desk, order, "HU")
    all_is_true(desk)


def test_t11_an_older_endpoint_that_hears_only_of_the_charge(listening: Listening) -> None:
    desk, buyer = listening.desk, listening.desk.buyer()
    order = pay_from(buyer, "PL")
    heard = listening.news()
    listening.hand_over(heard, ACACIA, "checkout.session.completed", "payment_intent.succeeded")
    assert wallet(buyer) == has(10)
    assert desk.at_stripe("POST", "/v1/refunds", {"payment_intent": intent_of(desk, order)}).status_code == 200
    heard += listening.news()
    listening.hand_over(heard, ACACIA, "charge.refunded")
    assert (wallet(buyer), status_of(desk, order)) == (has(0), "refunded")
    listening.hand_over(heard, ACACIA)
    is_kept(desk, order, "PL")
    all_is_true(desk)

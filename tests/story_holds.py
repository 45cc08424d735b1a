"""Holds: what an answer may cost at most is reserved, what it cost is settled, the rest goes back, by itself if need be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from desk import Buyer, Desk
from sandbox_fixtures import until
from story_time import advance
from story_wallet import ann, ask, done, ledger, near, refund_at_stripe
from test_api import error_of

__all__ = ["ann"]


def wallet_of(buyer: Buyer) -> tuple[int, int, int]:
    """What can be spent, what is held, what is owed."""
    wallet = buyer.desk.get(f"/v1/customers/{buyer.id}/credits")
    return wallet["balance"], wallet["held"], wallet["debt"]


def end(desk: Desk, hold: dict[str, Any], how: str, amount: int | None = None) -> httpx.Response:
    """Settle a hold with an amount, or release it."""
    body = {} if amount is None else {"json": {"amount": amount}}
    return desk.call("POST", f"/v1/holds/{hold['id']}/{how}", **body)


@pytest.fixture
def held(ann: Buyer) -> dict[str, Any]:
    """Four of Ann's ten credits."""
    done(ask(ann, "grant", {"amount": 10}))
    return done(ask(ann, "hold", {"amount": 4, "reason": "an answer"}))


def test_what_is_held_cannot_be_spent_and_what_was_used_is_settled(
    desk: Desk, ann: Buyer, held: dict[str, Any]
) -> None:
    assert held["id"].startswith("hld_")
    assert near(held["created_at"], datetime.now(UTC))
    assert near(held["expires_at"], datetime.now(UTC) + timedelta(seconds=900))
    stays = {
        "id": held["id"], "object": "hold", "customer": ann.id, "unit": "credits", "amount": 4, "reason": "an answer",
        "expires_at": held["expires_at"], "created_at": held["created_at"],
    }  # fmt: skip
    assert held == {**stays, "status": "held", "used": None, "balance": 6}
    assert wallet_of(ann) == (6, 4, 0)
    error_of(ask(ann, "spend", {"amount": 7}), 402, "insufficient_credits")
    assert desk.get(f"/v1/holds/{held['id']}") == held
    assert done(end(desk, held, "settle", 3)) == {**stays, "status": "settled", "used": 3, "balance": 7}
    assert wallet_of(ann) == (7, 0, 0)
    assert desk.get(f"/v1/holds/{held['id']}") == {**stays, "status": "settled", "used": 3, "balance": 7}
    moves = [(entry["type"], entry["amount"], entry["from"], entry["to"]) for entry in ledger(ann)[:3]]
    assert sorted(moves) == [
        ("hold", 4, "wallet", "held"), ("release", 1, "held", "wallet"), ("settle", 3, "held", "spent"),
    ]  # fmt: skip


def test_a_hold_can_be_settled_with_all_of_it(desk: Desk, ann: Buyer, held: dict[str, Any]) -> None:
    assert done(end(desk, held, "settle", 4))["balance"] == 6
    assert wallet_of(ann) == (6, 0, 0)


def test_a_released_hold_gives_everything_back(desk: Desk, ann: Buyer, held: dict[str, Any]) -> None:
    answer = done(end(desk, held, "release"))
    assert (answer["status"], answer["used"], answer["balance"]) == ("released", 0, 10)
    assert wallet_of(ann) == (10, 0, 0)


@pytest.mark.parametrize(("how", "amount"), [("settle", 3), ("settle", 4), ("release", None)])
def test_ending_a_hold_again_the_same_way_changes_nothing(
    desk: Desk, ann: Buyer, held: dict[str, Any], how: str, amount: int | None
) -> None:
    first = end(desk, held, how, amount)
    done(ask(ann, "spend", {"amount": 1}))
    again = end(desk, held, how, amount)
    assert done(again) == done(first)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert wallet_of(ann) == (9 - (amount or 0), 0, 0)


@pytest.mark.parametrize(
    ("first", "then"),
    [(("settle", 3), ("settle", 2)), (("settle", 3), ("release", None)), (("release", None), ("settle", 1))],
)
def test_a_hold_ends_once(desk: Desk, ann: Buyer, held: dict[str, Any], first: Any, then: Any) -> None:
    done(end(desk, held, *first))
    before = wallet_of(ann)
    error_of(end(desk, held, *then), 409, "conflict")
    assert wallet_of(ann) == before


def test_more_than_is_held_cannot_be_settled(desk: Desk, ann: Buyer, held: dict[str, Any]) -> None:
    error = error_of(end(desk, held, "settle", 5), 400, "invalid_request")
    assert error["param"] == "amount"
    assert wallet_of(ann) == (6, 4, 0)
    assert desk.get(f"/v1/holds/{held['id']}")["status"] == "held"
    done(end(desk, held, "settle", 4))


def test_a_release_takes_no_words(desk: Desk, ann: Buyer, held: dict[str, Any]) -> None:
    answer = desk.call("POST", f"/v1/holds/{held['id']}/release", json={"amount": 4})
    assert error_of(answer, 422, "invalid_request")["param"] == "amount"
    assert wallet_of(ann) == (6, 4, 0)
    assert desk.call("POST", f"/v1/holds/{held['id']}/release", json={}).status_code == 200


def test_several_holds_stand_beside_each_other(desk: Desk, ann: Buyer, held: dict[str, Any]) -> None:
    second = done(ask(ann, "hold", {"amount": 6}))
    assert wallet_of(ann) == (0, 10, 0)
    error_of(ask(ann, "hold", {"amount": 1}), 402, "insufficient_credits")
    done(end(desk, held, "settle", 1))
    assert wallet_of(ann) == (3, 6, 0)
    done(end(desk, second, "settle", 6))
    assert wallet_of(ann) == (3, 0, 0)


# --- time ------------------------------------------------------------------------------------------------------------


def somebody(desk: Desk, *gifts: dict[str, Any]) -> Buyer:
    """Somebody with gifts."""
    buyer = desk.buyer()
    buyer.say("/start")
    for gift in gifts:
        done(ask(buyer, "grant", gift))
    return buyer


def test_a_hold_that_nobody_ends_lapses_by_the_clock(timed: Desk) -> None:
    buyer = somebody(timed, {"amount": 10})
    held = done(ask(buyer, "hold", {"amount": 4, "lasts_s": 3600}))
    advance(timed, "59m")
    assert wallet_of(buyer) == (6, 4, 0)
    advance(timed, "2m")
    until(lambda: wallet_of(buyer) == (10, 0, 0), what="the lapse")
    assert timed.get(f"/v1/holds/{held['id']}")["status"] == "lapsed"
    error_of(end(timed, held, "settle", 1), 409, "conflict")
    assert done(end(timed, held, "release"))["status"] == "lapsed"
    assert wallet_of(buyer) == (10, 0, 0)


def test_a_hold_that_was_settled_does_not_lapse(timed: Desk) -> None:
    buyer = somebody(timed, {"amount": 10})
    held = done(ask(buyer, "hold", {"amount": 4, "lasts_s": 60}))
    done(end(timed, held, "settle", 1))
    other = done(ask(buyer, "hold", {"amount": 1, "lasts_s": 60}))
    advance(timed, "2m")
    until(lambda: timed.get(f"/v1/holds/{other['id']}")["status"] == "lapsed", what="the lapse of the other")
    timed.quiet()
    assert timed.get(f"/v1/holds/{held['id']}")["status"] == "settled"
    assert wallet_of(buyer) == (9, 0, 0)


def test_a_hold_keeps_what_ends_meanwhile_and_what_it_did_not_need_has_ended(timed: Desk) -> None:
    buyer = somebody(timed, {"amount": 5, "expires_days": 1}, {"amount": 5})
    held = done(ask(buyer, "hold", {"amount": 7, "lasts_s": 2 * 86_400}))
    assert wallet_of(buyer) == (3, 7, 0)
    advance(timed, "25h")
    answer = done(end(timed, held, "settle", 3))
    assert answer["balance"] == 5, "two of the five that ended were held in vain; the other lot's are back"
    assert wallet_of(buyer) == (5, 0, 0)
    assert [lot["remaining"] for lot in timed.get(f"/v1/customers/{buyer.id}/credits")["lots"]] == [5]


# --- money taken back ------------------------------------------------------------------------------------------------


def test_a_claw_back_never_takes_what_is_held_and_the_release_pays_the_debt(desk: Desk, ann: Buyer) -> None:
    order = ann.buy("credits-10")
    held = done(ask(ann, "hold", {"amount": 6}))
    refund_at_stripe(desk, order)
    until(lambda: wallet_of(ann) == (0, 6, 6), what="the claw-back")
    answer = done(end(desk, held, "settle", 2))
    assert answer["balance"] == 0
    assert wallet_of(ann) == (0, 0, 2)
    done(ask(ann, "grant", {"amount": 5}))
    assert wallet_of(ann) == (3, 0, 0)

"""Two people turn out to be one: nothing of either is lost, nothing counts twice, whatever happens at the same moment."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import httpx
import pytest

import load
from conftest import settings_for
from desk import Buyer, Desk, running_desk
from faults import drain
from paydesk import calls, checkout, customers, merging, payers
from paydesk.customers import Identity, Thread
from paydesk.errors import Conflict, InsufficientCredits, PaydeskError
from paydesk.service import Service
from paydesk.stripe.envelope import envelope
from paydesk.wallet import Done, EndHold, Give, Reserve, Spend
from sandbox_fixtures import running_sandbox, until
from truths import untrue

# --- through the API -------------------------------------------------------------------------------------------------


def merge(desk: Desk, into: str, other: Any, **headers: str) -> dict[str, Any]:
    """Merge `other` into `into`."""
    return desk.post(f"/v1/customers/{into}/merge", {"customer": other}, **headers)


def refused(desk: Desk, into: str, other: Any) -> int:
    """The status with which a merge is refused."""
    return desk.call("POST", f"/v1/customers/{into}/merge", json={"customer": other}).status_code


def payment_of(desk: Desk, order: dict[str, Any]) -> str:
    """The intent that paid an order."""
    return str(desk.sql("SELECT paid_by FROM orders WHERE id = $1", order["id"])[0]["paid_by"])


def two_buyers(desk: Desk) -> tuple[Buyer, Buyer, dict[str, Any], dict[str, Any]]:
    """Somebody with ten credits and a pass, and somebody with fifty and a pass; and the orders of the second."""
    ann, bob = desk.buyer(), desk.buyer()
    ann.buy("credits-10")
    ann.buy("access-30d")
    return ann, bob, bob.buy("credits-50"), bob.buy("access-30d")


def test_what_two_had_is_one_persons_and_either_name_leads_there(desk: Desk) -> None:
    ann, bob, _, _ = two_buyers(desk)
    first, second = ann.id, bob.id
    made = merge(desk, first, second)
    assert made["id"] == first
    assert made["identities"] == [ann.who, bob.who]
    assert desk.get(f"/v1/customers/{second}") == desk.get(f"/v1/customers/{first}") == made
    assert desk.get(f"/v1/customers/{second}/credits") == desk.get(f"/v1/customers/{first}/credits")
    assert (ann.balance(), bob.balance()) == (60, 60)
    days = desk.sql(
        "SELECT sum(seconds) / 86400 AS days, min(since) AS since FROM grant_ WHERE customer_id = $1", first
    )
    assert days[0]["days"] == 60
    assert len(ann.access("premium")["because"]) == 1
    end = desk.sql("SELECT max(due) AS due FROM timer WHERE kind = 'pass_end' AND subject = $1", f"{first}|premium")
    assert end[0]["due"] == datetime.fromisoformat(ann.access("premium")["until"])
    assert "60 credits" in bob.say("/balance")[0]["text"]
    assert "10 credits" in bob.say("/history")[0]["text"]
    assert desk.sql("SELECT actor, subject FROM audit WHERE action = 'customer.merge' AND subject = $1", second)


def test_a_merge_asked_again_changes_nothing_and_cannot_be_turned_round(desk: Desk) -> None:
    ann, bob, _, _ = two_buyers(desk)
    first, second = ann.id, bob.id
    made = merge(desk, first, bob.who, Idempotency_Key=f"key-{first}")
    assert merge(desk, first, bob.who, Idempotency_Key=f"key-{first}") == made
    assert merge(desk, first, second) == merge(desk, first, bob.who) == made
    assert desk.sql("SELECT merges FROM customer WHERE id = $1", first) == [{"merges": 1}]
    assert refused(desk, second, first) == 409, "backwards"
    assert refused(desk, second, second) == 409, "somebody who is somebody else by now"
    assert refused(desk, first, first) == 400
    assert refused(desk, desk_stranger(desk).id, "cst_" + "0" * 26) == 404
    assert refused(desk, first, {"channel": "web", "external_id": "nobody-" + first}) == 404
    assert ann.balance() == 60


def desk_stranger(desk: Desk) -> Buyer:
    """Somebody who has only said hello."""
    somebody = desk.buyer()
    somebody.say("/start")
    return somebody


def test_a_chain_of_merges_leads_straight_to_its_end(desk: Desk) -> None:
    people = [desk.buyer() for _ in range(4)]
    for one in people:
        one.buy("credits-10")
    a, b, c, d = (one.id for one in people)
    merge(desk, b, a)
    merge(desk, c, b)
    assert refused(desk, a, c) == 409, "a circle"
    assert merge(desk, d, a)["id"] == d, "whoever the first is by now"
    assert {
        row["merged_into"] for row in desk.sql("SELECT merged_into FROM customer WHERE id = ANY($1)", [a, b, c])
    } == {d}
    assert [one.balance() for one in people] == [40, 40, 40, 40]


def test_only_an_admins_key_merges(desk: Desk) -> None:
    ann, bob = desk_stranger(desk), desk_stranger(desk)
    key = desk.command("keys", "create", "seller", "--scope", "sell").stdout.split()[1]
    answer = desk.call("POST", f"/v1/customers/{ann.id}/merge", json={"customer": bob.id}, key=key)
    assert answer.status_code == 403
    for body in ({}, {"customer": 5}, {"customer": bob.id, "into": ann.id}):
        assert desk.call("POST", f"/v1/customers/{ann.id}/merge", json=body).status_code == 422, body


def test_refunds_disputes_and_links_of_either_go_on_afterwards(desk: Desk) -> None:
    ann, bob, fifty, passes = two_buyers(desk)
    of_ann = ann.checkout("credits-10")
    of_bob = bob.checkout("credits-10")
    first, second = ann.id, bob.id
    merge(desk, first, second)
    assert ann.pay(of_ann).status_code == bob.pay(of_bob).status_code == 200
    desk.settled(of_ann["id"])
    desk.settled(of_bob["id"])
    assert ann.balance() == 80
    assert desk.at_stripe("POST", "/v1/refunds", {"payment_intent": payment_of(desk, fifty)}).status_code == 200
    desk.settled(fifty["id"], "refunded")
    assert ann.balance() == 30
    charge = desk.sql("SELECT charge FROM payment WHERE id = $1", payment_of(desk, passes))[0]["charge"]
    before = ann.access("premium")["until"]
    dispute(desk, charge)
    desk.settled(passes["id"], "disputed")
    assert ann.access("premium")["until"] < before
    told = desk.sql("SELECT address, customer_id FROM outbox WHERE template = 'disputed' AND about = $1", passes["id"])
    assert told == [{"address": bob.external_id, "customer_id": first}], "in the thread where it was bought"
    order = bob.buy("credits-10")
    assert order["customer"] == first
    assert ann.balance() == 40


def test_a_name_that_the_survivor_lacks_is_taken_over_sealed_anew(desk: Desk) -> None:
    def person(**known: str) -> str:
        return str(desk.post("/v1/customers", {"identities": [desk.buyer().who], **known})["id"])

    one = person(name="Ann")
    made = merge(desk, one, person(name="Anna", email="ann@example.com", locale="pl"))
    assert (made["name"], made["email"], made["locale"]) == ("Ann", "ann@example.com", "pl")
    empty = person()
    assert merge(desk, empty, one)["email"] == "ann@example.com"
    assert desk.get(f"/v1/customers/{one}")["name"] == "Ann"


def test_a_pass_of_two_that_were_merged_ends_once_and_late(new_database: Callable[[], str]) -> None:
    with running_sandbox() as sandbox, running_desk(settings_for(new_database(), sandbox.url), sandbox) as desk:
        ann, bob, _, _ = two_buyers(desk)
        merge(desk, ann.id, bob.id)
        for days, access in ((31, True), (30, False)):
            desk.sandbox.advance(f"{days}d")
            until(lambda access=access: ann.access("premium")["allowed"] is access, what="the pass")
            desk.quiet()
        until(lambda: ended(ann) + ended(bob) == 1, what="one message")


def ended(buyer: Buyer) -> int:
    """How often they were told that their pass has ended."""
    return len([text for text in buyer.told() if "ended" in text])


def dispute(desk: Desk, charge: str) -> None:
    """The bank of a charge's buyer takes the money back for now."""
    path, key = f"{desk.sandbox.url}/_sandbox/disputes", desk.settings["STRIPE_API_KEY"]
    body = {"charge": charge, "status": "needs_response"}
    answer = httpx.post(path, json=body, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.text


# --- at the same moment ----------------------------------------------------------------------------------------------


async def person(service: Service) -> str:
    """Somebody new."""
    return await customers.find_or_make(service.store, Identity("web", secrets.token_hex(8)))


async def give(service: Service, who: str, amount: int, **more: Any) -> Done:
    return await service.wallets.run(Give(who, "credits", amount, secrets.token_hex(8), **more))


async def have(service: Service, *people: str) -> int:
    """What people have in wallets and holds, less what they owe."""
    return int(
        await service.store.fetchval(
            "SELECT coalesce(sum(balance), 0) FROM account WHERE owner = ANY($1::text[])", list(people)
        )
    )


async def test_a_key_that_both_have_used_stays_each_ones_own(service: Service) -> None:
    ann, bob = await person(service), await person(service)
    for who in (ann, bob):
        await give(service, who, 10)
    first = await service.wallets.run(Reserve(ann, "credits", 4, "same"))
    second = await service.wallets.run(Reserve(bob, "credits", 4, "same"))
    await merging.merge(service.store, service.vault, bob, ann, actor="test")
    for who, made in ((ann, first), (bob, second)):
        again = await service.wallets.run(Reserve(who, "credits", 4, "same"))
        assert again.replayed
        assert again.hold is not None
        assert made.hold is not None
        assert again.hold.id == made.hold.id
    spent = await service.wallets.run(Spend(bob, "credits", 1, "only bob's"))
    other = await service.wallets.run(Spend(ann, "credits", 1, "only bob's"))
    assert (spent.balance, other.balance, other.replayed) == (11, 10, False)
    assert (await service.wallets.run(Spend(ann, "credits", 1, "only bob's"))).replayed


async def at_once(*work: Awaitable[Any]) -> list[Any]:
    """Await everything together; refusals are results, anything else is an error."""
    results = await asyncio.gather(*work, return_exceptions=True)
    strange = [
        result for result in results if isinstance(result, BaseException) and not isinstance(result, PaydeskError)
    ]
    assert not strange, strange
    return results


async def test_two_merges_that_cross_make_one_person_of_two(service: Service) -> None:
    for _ in range(30):
        a, b = await person(service), await person(service)
        await give(service, a, 3)
        await give(service, b, 4)
        results = await at_once(
            merging.merge(service.store, service.vault, a, b, actor="test"),
            merging.merge(service.store, service.vault, b, a, actor="test"),
        )
        won = [result for result in results if isinstance(result, str)]
        assert len(won) == 1, results
        assert [type(result) for result in results if not isinstance(result, str)] == [Conflict]
        assert await have(service, a, b) == await have(service, won[0]) == 7
    assert await untrue(service.store) == []


async def test_three_who_are_merged_all_ways_at_once_end_as_one_or_are_refused(service: Service) -> None:
    for _ in range(10):
        people = [await person(service) for _ in range(3)]
        for who in people:
            await give(service, who, 5)
        await at_once(
            *(merging.merge(service.store, service.vault, one, other, actor="test")
              for one in people for other in people if one != other)
        )  # fmt: skip
        now = {await customers.resolve(service.store, who) for who in people}
        assert len(now) == 1
        assert await have(service, *now) == await have(service, *people) == 15
    assert await untrue(service.store) == []


async def test_spending_while_being_merged_takes_each_credit_once(service: Service) -> None:
    for _ in range(15):
        a, b = await person(service), await person(service)
        await give(service, a, 5)
        await give(service, b, 5)
        spends = [Spend(who, "credits", 1, f"{who}-{n}") for n in range(6) for who in (a, b)]
        results = await at_once(
            *(service.wallets.run(spend) for spend in spends),
            merging.merge(service.store, service.vault, a, b, actor="test"),
        )
        spent = [result for result in results if isinstance(result, Done)]
        refusals = [result for result in results if isinstance(result, PaydeskError)]
        assert all(isinstance(refusal, InsufficientCredits) for refusal in refusals)
        assert await have(service, a, b) == await have(service, a) == 10 - len(spent)
        assert len(spent) + len(refusals) == 12
        for spend, result in zip(spends, results[:-1], strict=True):
            if isinstance(result, Done):
                again = await service.wallets.run(spend)
                assert again.replayed, "a key stays used, also by the other name"
        assert await have(service, a) == 10 - len(spent)
    assert await untrue(service.store) == []


async def test_payments_of_people_who_are_merged_while_they_are_settled_arrive_once(service: Service) -> None:
    bought = await load.buy(service, 90, 30)
    rows = await service.store.fetch("SELECT DISTINCT customer_id AS id FROM orders ORDER BY 1")
    people = [row["id"] for row in rows]
    for _, body in load.events_of(bought).items():
        await service.receiver.receive(envelope(body))
    pairs = list(zip(people[::2], people[1::2], strict=True))
    settling = asyncio.create_task(service.worker.drain())
    for start in range(0, len(pairs), 3):
        await at_once(
            *(
                merging.merge(service.store, service.vault, one, other, actor="test")
                for one, other in pairs[start : start + 3]
            )
        )
    await settling
    await drain(service)
    assert await have(service, *(one for one, _ in pairs)) == await have(service, *people) == 900
    unfinished = await service.store.fetch(
        "SELECT id FROM orders WHERE status <> 'fulfilled' UNION ALL SELECT detail FROM inbox WHERE state = 'quarantined'"
    )
    assert unfinished == []
    assert await untrue(service.store) == []


async def test_an_order_made_while_its_buyer_is_merged_is_the_survivors(service: Service) -> None:
    for _ in range(20):
        a, b = await person(service), await person(service)
        new = checkout.NewOrder(b, (checkout.line_of(service.catalog, "credits-10", 1),), Thread("web", b, None))
        results = await at_once(
            checkout.create_order(service.store, new, livemode=False),
            merging.merge(service.store, service.vault, a, b, actor="test"),
            checkout.create_order(service.store, new, livemode=False, reuse=True),
        )
        assert not [result for result in results if isinstance(result, PaydeskError)]
    assert await untrue(service.store) == []


async def test_a_hold_that_is_open_while_its_person_is_merged_ends_once(service: Service) -> None:
    for number in range(20):
        a, b = await person(service), await person(service)
        await give(service, b, 10)
        held = (await service.wallets.run(Reserve(b, "credits", 8, "answer"))).hold
        assert held is not None
        ends = [EndHold(held.id, 3), EndHold(held.id, 3)] if number % 2 else [EndHold(held.id, None)] * 2
        results = await at_once(
            service.wallets.run(ends[0]),
            merging.merge(service.store, service.vault, a, b, actor="test"),
            service.wallets.run(ends[1]),
        )
        assert not [result for result in results if isinstance(result, PaydeskError)]
        assert await have(service, a) == await have(service, a, b) == (7 if number % 2 else 10)
    assert await untrue(service.store) == []


async def test_a_hold_kept_through_a_merge_lapses_by_the_timer_that_was_set_before(service: Service) -> None:
    a, b = await person(service), await person(service)
    await give(service, a, 1)
    await give(service, b, 10)
    await service.wallets.run(Reserve(b, "credits", 8, "answer"))
    await merging.merge(service.store, service.vault, a, b, actor="test")
    wallet = {row["kind"]: row["balance"] for row in await accounts(service, a)}
    assert wallet == {"wallet": 3, "held": 8, "debt": 0}
    await service.store.execute("UPDATE desk SET clock_offset_s = 3600")
    await service.worker.drain()
    assert {row["kind"]: row["balance"] for row in await accounts(service, a)} == {"wallet": 11, "held": 0, "debt": 0}
    assert await untrue(service.store) == []


async def accounts(service: Service, who: str) -> list[Any]:
    return await service.store.fetch("SELECT kind, balance FROM account WHERE owner = $1 AND unit = 'credits'", who)


async def test_every_unit_of_either_moves_and_credits_end_when_they_would_have(service: Service) -> None:
    a, b = await person(service), await person(service)
    for who, unit, amount, days in (
        (a, "credits", 1, None),
        (b, "credits", 2, 3),
        (b, "tokens", 7, None),
        (b, "stars", 4, 1),
    ):
        gift = Give(who, unit, amount, f"gift-{unit}", expires_days=days)
        await service.wallets.run(gift)
    await merging.merge(service.store, service.vault, a, b, actor="test")
    assert await balances(service, a) == {"credits": 3, "stars": 4, "tokens": 7}
    await service.store.execute("UPDATE desk SET clock_offset_s = 4 * 86400")
    await service.worker.drain()
    assert await balances(service, a) == {"credits": 1, "stars": 0, "tokens": 7}
    assert await untrue(service.store) == []


async def balances(service: Service, who: str) -> dict[str, int]:
    rows = await service.store.fetch("SELECT unit, balance FROM account WHERE owner = $1 AND kind = 'wallet'", who)
    return {row["unit"]: row["balance"] for row in rows}


TOP_UP = """
WITH card AS (
    INSERT INTO topup (customer_id, unit, price_key, below, month_limit, payment_method, enabled)
    VALUES ($1, 'credits', 'credits-10', 5, 5000, 'pm_1', true)
), payer AS (INSERT INTO stripe_customer (id, customer_id) VALUES ('cus_' || $1, $1) RETURNING id)
UPDATE customer SET stripe_customer = (SELECT id FROM payer) WHERE id = $1
"""


@pytest.mark.parametrize("pays_already", [False, True])
async def test_a_top_up_goes_along_unless_its_card_is_with_another_stripe_customer(
    service: Service, pays_already: bool
) -> None:
    a, b = await person(service), await person(service)
    for who in (b, a) if pays_already else (b,):
        await service.store.execute(TOP_UP, who)
    await service.store.execute("DELETE FROM topup WHERE customer_id = $1", a)
    await give(service, b, 10)
    await service.store.execute("UPDATE account SET low_mark = 5 WHERE owner = $1 AND kind = 'wallet'", b)
    await merging.merge(service.store, service.vault, a, b, actor="test")
    (topup,) = await service.store.fetch("SELECT customer_id, enabled, stopped_because FROM topup")
    assert (topup["customer_id"], topup["enabled"]) == (a, not pays_already)
    assert bool(topup["stopped_because"]) is pays_already
    marks = await service.store.fetch("SELECT owner, low_mark FROM account WHERE low_mark IS NOT NULL")
    assert [tuple(mark) for mark in marks] == ([] if pays_already else [(a, 5)])
    assert await service.store.fetchval("SELECT stripe_customer FROM customer WHERE id = $1", a) == (
        f"cus_{a}" if pays_already else f"cus_{b}"
    )


async def test_a_stripe_customer_that_was_being_made_for_who_is_somebody_else_now_is_waited_for_no_more(
    service: Service,
) -> None:
    a, b = await person(service), await person(service)
    await service.store.execute("INSERT INTO stripe_customer (id, customer_id) VALUES ('cus_a', $1)", a)
    await service.store.execute("UPDATE customer SET stripe_customer = 'cus_a' WHERE id = $1", a)
    params = {"metadata": {"paydesk_customer": b}}
    await calls.write(service.store, f"customer:{b}", "customer", b, params)  # and it died before Stripe had answered
    await merging.merge(service.store, service.vault, a, b, actor="test")
    state = "SELECT state FROM stripe_call WHERE key = $1"
    assert await service.store.fetchval(state, f"customer:{b}") == "refused"
    assert await payers.stripe_customer(service.store, service.gateway, a) == "cus_a"
    made = await payers.stripe_customer(service.store, service.gateway, b)  # who was at it all the while ends it
    assert (made, await service.store.fetchval(state, f"customer:{b}")) == ("cus_a", "done")

"""The flows of money that goes back and forth: refunds, debts, disputes, holds, people who are merged, top-ups.

Each begins with what other flows have shown (a purchase), which is not cut again. What somebody asks of us bears a
key, is asked again when its answer was not seen, and is asked once more at the end: then the first answer comes again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from faults import Actor, Flow, Step
from flows import CARD, beforehand, hear, hear_and_work, order_by_api, order_in_chat, pay, post, who, work
from paydesk import customers
from paydesk.customers import Identity
from paydesk.wallet import EndHold, Give, Operation, Reserve, Spend

UNIT = "credits"
WEEK_S = 7 * 86_400
SECOND = "-second"
"""What the name of an actor's second self ends with, before they are merged."""


# --- what people ask of us --------------------------------------------------------------------------------------------


async def person(actor: Actor, suffix: str = "") -> str:
    """Return the id of the actor, or of the actor's second self."""
    what = f"person{suffix}"
    if what not in actor.memory:
        actor.keep(what, await customers.find_or_make(actor.service.store, Identity("web", actor.name + suffix)))
    return str(actor.memory[what])


def seen(actor: Actor, what: str, answer: Any) -> None:
    """Remember an answer; one that was given before must be the same now."""
    before = actor.memory.get(what, answer)
    if before != answer:
        actor.journal.note("violation", actor.name, f"answer: {what} was {before}, then {answer}")
    actor.keep(what, answer)


async def run(actor: Actor, operation: Operation, key: str) -> None:
    """Run an operation on the wallet, and remember what was answered."""
    done = await actor.service.wallets.run(operation)
    if done.hold is not None:
        actor.keep(f"hold {key}", done.hold.id)
    seen(actor, f"answer {key}", [done.id, done.kind, done.amount, done.balance])


def give(amount: int, key: str, suffix: str = "") -> Step:
    async def step(actor: Actor) -> None:
        await run(actor, Give(await person(actor, suffix), UNIT, amount, key), key)

    return step


def spend(amount: int, key: str) -> Step:
    async def step(actor: Actor) -> None:
        await run(actor, Spend(await person(actor), UNIT, amount, key), key)

    return step


def hold(amount: int, key: str, suffix: str = "", lasts_s: int = WEEK_S) -> Step:
    async def step(actor: Actor) -> None:
        await run(actor, Reserve(await person(actor, suffix), UNIT, amount, key, lasts_s=lasts_s), key)

    return step


def end_hold(key: str, used: int | None) -> Step:
    """Settle the hold of a key, or release it."""

    async def step(actor: Actor) -> None:
        await run(actor, EndHold(actor.memory[f"hold {key}"], used), f"end of {key}")

    return step


async def seconds_pass(actor: Actor) -> None:
    """Our clock goes on by two seconds."""
    await actor.service.store.execute("UPDATE desk SET clock_offset_s = clock_offset_s + 2")
    await actor.service.store.refresh_clock()


async def reserve_payment(actor: Actor) -> None:
    """`POST /v1/payments` that only reserves the money."""
    body = {"customer": who(actor), "items": [{"price": "credits-10"}], "capture_method": "manual",
            "payment_method": CARD, "confirm": True}  # fmt: skip
    payment = await post(actor, "/v1/payments", body, key="payment")
    seen(actor, "payment", payment["id"])
    seen(actor, "order credits-10", payment["order"])


async def capture_payment(actor: Actor) -> None:
    """`POST /v1/payments/{id}/capture`."""
    path = f"/v1/payments/{actor.memory['payment']}/capture"
    captured = await post(actor, path, {}, key="capture")
    seen(actor, "captured", captured["amount_received"])


def refund(key: str, amount: int | None = None) -> Step:
    """`POST /v1/refunds`, of all that is left without an amount."""

    async def step(actor: Actor) -> None:
        body = {"payment": actor.memory["payment"], **({} if amount is None else {"amount": amount})}
        made = await post(actor, "/v1/refunds", body, key=key)
        seen(actor, f"refund {key}", [made["id"], made["amount"]])

    return step


async def merge_second(actor: Actor) -> None:
    """`POST /v1/customers/{id}/merge`: the second self turns out to be the actor."""
    second = await person(actor, SECOND)
    merged = await post(actor, f"/v1/customers/{await person(actor)}/merge", {"customer": second}, key="merge")
    seen(actor, "merged", merged["id"])


async def set_up_topup(actor: Actor) -> None:
    """`POST /v1/customers/{id}/topup`: ten credits more whenever less than three are left."""
    asked = {"price": "credits-10", "below": 3, "month_limit": 2500}
    made = await post(actor, f"/v1/customers/{await person(actor)}/topup", asked, key="topup")
    seen(actor, "topup", made["enabled"])


async def look_for_topup(actor: Actor) -> None:
    """The orders that were made by themselves are the actor's as well."""
    sql = "SELECT id FROM orders WHERE customer_id = $1 AND metadata ? 'paydesk_topup' ORDER BY id"
    for number, row in enumerate(await actor.service.store.fetch(sql, await person(actor)), 1):
        seen(actor, f"order topup {number}", row["id"])


# --- what happens at Stripe ---------------------------------------------------------------------------------------------


async def intent_of(actor: Actor, product: str) -> str:
    """Return the payment of an order that was paid on Stripe's page."""
    order = actor.memory[f"order {product}"]
    sessions = (await actor.at_stripe("GET", "/v1/checkout/sessions", limit="100"))["data"]
    return str(next(one["payment_intent"] for one in sessions if one["client_reference_id"] == order))


async def refund_in_dashboard(actor: Actor) -> None:
    """Somebody gives the money of the first purchase back, in Stripe's dashboard."""
    intent = await intent_of(actor, "credits-10")
    if not (await actor.at_stripe("GET", "/v1/refunds", payment_intent=intent))["data"]:
        await actor.at_stripe("POST", "/v1/refunds", payment_intent=intent)


def dispute(status: str) -> Step:
    """The buyer's bank opens a dispute about the first purchase, or ends it."""

    async def step(actor: Actor) -> None:
        charge = (await actor.at_stripe("GET", f"/v1/payment_intents/{await intent_of(actor, 'credits-10')}"))[
            "latest_charge"
        ]
        known = (await actor.at_stripe("GET", "/v1/disputes", charge=charge))["data"]
        if not known or known[0]["status"] not in (status, "won"):
            answer = await actor.stripe.post("/_sandbox/disputes", json={"charge": charge, "status": status})
            if answer.status_code != 200:
                raise AssertionError(answer.text)

    return step


# --- what must be true at the end -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class End:
    """Of each order its status and what was given back of it, in parts; balance, held and debt; what the person heard."""

    orders: Mapping[str, tuple[str, tuple[int, ...]]]
    wallet: tuple[int, int, int]
    told: tuple[str, ...] = ()
    entries: Mapping[str, int] = field(default_factory=dict)
    """How often the wallet was moved for these reasons."""


WALLET = """
SELECT coalesce(sum(balance) FILTER (WHERE kind = 'wallet'), 0)::bigint,
       coalesce(sum(balance) FILTER (WHERE kind = 'held'), 0)::bigint,
       coalesce(-sum(balance) FILTER (WHERE kind = 'debt'), 0)::bigint
FROM account WHERE owner = $1 AND unit = $2
"""

ENTRIES = "SELECT reason, count(*) FROM entry WHERE customer_id = ANY($1::text[]) AND unit = $2 GROUP BY 1"

TOLD = """
SELECT x.template FROM outbox x JOIN message m ON m.id = (x.receipt->>'message')::bigint
WHERE m.external_id = $1 AND x.state = 'sent' ORDER BY x.id
"""


def ends(end: End) -> Callable[[Actor], Awaitable[list[str]]]:
    """Return what looks whether it ended so, here and at Stripe."""

    async def check(actor: Actor) -> list[str]:
        store, found = actor.service.store, list[str]()
        here = await store.fetchval(customers.FIND, "web", actor.name)
        orders = {what.removeprefix("order "): id_ for what, id_ in actor.memory.items() if what.startswith("order ")}
        if set(orders) != set(end.orders):
            found.append(f"effect: there are orders of {sorted(orders)}")
        for product, (status, back) in end.orders.items():
            found += await _order_ended(actor, orders.get(product, ""), status, back)
        wallet = tuple(await store.fetchrow(WALLET, here, UNIT) or ())
        if wallet != end.wallet:
            found.append(f"effect: balance, held and debt are {wallet}, not {end.wallet}")
        selves = [one for what, one in actor.memory.items() if what.startswith("person")]
        moved = {row[0]: row[1] for row in await store.fetch(ENTRIES, selves, UNIT)}
        wrong = {reason: moved.get(reason, 0) for reason, times in end.entries.items() if moved.get(reason, 0) != times}
        found += [f"effect: {times} times {reason}, not {end.entries[reason]}" for reason, times in wrong.items()]
        told = tuple(row["template"] for row in await store.fetch(TOLD, actor.name))
        return found + ([f"message: the person was told {told}"] if told != end.told else [])

    return check


async def _order_ended(actor: Actor, order: str, status: str, back: tuple[int, ...]) -> list[str]:
    """Return what is not true of an order: it is paid once at Stripe, and what went back there went back here."""
    row = await actor.service.store.fetchrow("SELECT status, paid_by, stripe_customer FROM orders WHERE id = $1", order)
    if row is None or row["status"] != status:
        return [f"effect: {order} is {row['status'] if row else 'not there'}, not {status}"]
    listed = await actor.at_stripe("GET", "/v1/payment_intents", customer=row["stripe_customer"], limit="100")
    payments = [one for one in listed["data"] if one["metadata"].get("paydesk_order") == order]
    paid = [one["id"] for one in payments if one["status"] == "succeeded"]
    if paid != [row["paid_by"]] or len(payments) != 1:
        return [f"stripe: {order} has {len(payments)} payments there, {len(paid)} paid"]
    return await _refunds_ended(actor, paid[0], back)


async def _refunds_ended(actor: Actor, intent: str, back: tuple[int, ...]) -> list[str]:
    store = actor.service.store
    there = (await actor.at_stripe("GET", "/v1/refunds", payment_intent=intent))["data"]
    here = await store.fetch("SELECT id, amount, status FROM refund WHERE payment_id = $1", intent)
    asked = await store.fetch("SELECT object_id FROM stripe_call WHERE subject = $1 AND kind = 'refund'", intent)
    found = []
    if sorted(one["amount"] for one in there) != sorted(back):
        found.append(f"stripe: of {intent} {[one['amount'] for one in there]} went back, not {list(back)}")
    if {(one["id"], one["amount"], one["status"]) for one in there} != {tuple(row) for row in here}:
        found.append(f"effect: the refunds of {intent} are {len(here)} here and {len(there)} there")
    if {one["id"] for one in there if "paydesk_refund" in one["metadata"]} != {row["object_id"] for row in asked}:
        found.append(f"call: refunds of {intent} were asked for and not written down")
    return found


# --- the flows ------------------------------------------------------------------------------------------------------------


def once_more(*asked: Step) -> Step:
    """Everything is asked once more, and Stripe sends everything once more."""

    async def step(actor: Actor) -> None:
        for one in asked:
            await one(actor)
        await hear_and_work(actor)

    return step


def bought(product: str) -> tuple[Step, ...]:
    """Something is bought in the chat."""
    return (order_in_chat(product), pay(product, CARD), hear, work)


REFUNDS = Flow(
    "a payment by the API that is captured, refunded in part, and then the rest",
    (
        reserve_payment, capture_payment, beforehand(hear, work),
        refund("part", 333), beforehand(work), refund("rest"), beforehand(hear), work,
    ),
    once_more(reserve_payment, capture_payment, refund("part", 333), refund("rest")),
    ends(End({"credits-10": ("refunded", (333, 666))}, (0, 0, 0), ("paid", "refunded", "refunded"))),
)  # fmt: skip

REFUND_IN_PART = Flow(
    "a payment by the API that is refunded in part",
    (beforehand(reserve_payment, capture_payment, hear, work), refund("part", 333), hear, work),
    once_more(refund("part", 333)),
    ends(End({"credits-10": ("partially_refunded", (333,))}, (7, 0, 0), ("paid", "refunded"))),
)
"""For trying a planted bug quickly."""

DEBT = Flow(
    "credits that were spent and held when they are refunded in the dashboard, and a debt that is paid",
    (
        beforehand(*bought("credits-10"), spend(3, "spend"), hold(4, "hold"), refund_in_dashboard, hear), work,
        end_hold("hold", None), beforehand(order_in_chat("credits-50"), pay("credits-50", CARD), hear), work,
    ),
    once_more(spend(3, "spend"), hold(4, "hold"), end_hold("hold", None)),
    ends(End({"credits-10": ("refunded", (999,)), "credits-50": ("fulfilled", ())}, (47, 0, 0),
             ("paid", "refunded", "paid"), {"spend": 1, "hold": 1})),
)  # fmt: skip

DISPUTE = Flow(
    "credits that are disputed, and given back when the dispute is won",
    (beforehand(*bought("credits-10"), dispute("needs_response"), hear), work, beforehand(dispute("won"), hear), work),
    hear_and_work,
    ends(End({"credits-10": ("fulfilled", ())}, (10, 0, 0), ("paid", "disputed", "dispute_won"))),
)

HOLDS = Flow(
    "one hold that is settled, and one that lapses",
    (
        beforehand(give(10, "gift")), spend(1, "spend"), hold(5, "settled"), end_hold("settled", 2),
        hold(4, "lapses", lasts_s=1), beforehand(seconds_pass), work, spend(2, "spend after"),
    ),
    once_more(give(10, "gift"), spend(1, "spend"), hold(5, "settled"), end_hold("settled", 2),
              hold(4, "lapses", lasts_s=1), spend(2, "spend after")),
    ends(End({}, (5, 0, 0), (), {"grant": 1, "spend": 2, "hold": 2, "settle": 1})),
)  # fmt: skip

MERGE = Flow(
    "two people are merged: one has paid, the other has a hold",
    (
        beforehand(*bought("credits-10"), give(10, "gift", SECOND), hold(4, "hold", SECOND)),
        merge_second, spend(2, "spend"), end_hold("hold", 3),
    ),
    once_more(give(10, "gift", SECOND), hold(4, "hold", SECOND), merge_second, spend(2, "spend"), end_hold("hold", 3)),
    ends(End({"credits-10": ("fulfilled", ())}, (15, 0, 0), ("paid",), {"spend": 1, "hold": 1, "settle": 1})),
)  # fmt: skip

TOPUP = Flow(
    "credits that are bought again by themselves, with a saved card",
    (
        beforehand(order_by_api("credits-10", save_card=True), pay("credits-10", CARD), hear, work),
        set_up_topup, spend(8, "spend"), work, beforehand(look_for_topup, hear, work),
    ),
    once_more(spend(8, "spend"), look_for_topup),
    ends(End({"credits-10": ("fulfilled", ()), "topup 1": ("fulfilled", ())}, (12, 0, 0), ("paid", "paid"), {"spend": 1})),
)  # fmt: skip


async def pay_again(actor: Actor) -> None:
    """The order is paid once more, past its session."""
    first = await actor.at_stripe("GET", f"/v1/payment_intents/{await intent_of(actor, 'credits-10')}")
    listed = await actor.at_stripe("GET", "/v1/payment_intents", customer=first["customer"], limit="100")
    if len(listed["data"]) == 1:
        made = await actor.at_stripe(
            "POST", "/v1/payment_intents", amount=str(first["amount"]), currency="usd", customer=first["customer"],
            confirm="true", payment_method=CARD, **{"metadata[paydesk_order]": actor.memory["order credits-10"]},
        )  # fmt: skip
        seen(actor, "second payment", made["id"])


async def second_went_back(actor: Actor) -> list[str]:
    """Look whether the order stands, and its second payment went back once, by a call that was written down."""
    store, order = actor.service.store, actor.memory["order credits-10"]
    row = await store.fetchrow("SELECT status, paid_by, stripe_customer FROM orders WHERE id = $1", order)
    assert row is not None
    listed = await actor.at_stripe("GET", "/v1/payment_intents", customer=row["stripe_customer"], limit="100")
    (second,) = [one["id"] for one in listed["data"] if one["id"] != row["paid_by"]]
    there = (await actor.at_stripe("GET", "/v1/refunds", payment_intent=second))["data"]
    found = await _refunds_ended(actor, second, (999,))
    found += [f"call: {one['id']} was not written down" for one in there if "paydesk_refund" not in one["metadata"]]
    return found + ([] if row["status"] == "fulfilled" else [f"effect: {order} is {row['status']}"])


PAID_TWICE = Flow(
    "an order that is paid twice, whose second payment goes back",
    (beforehand(*bought("credits-10"), pay_again, hear), work, beforehand(hear), work),
    hear_and_work,
    second_went_back,
)

MONEY_FLOWS = {
    "refunds": REFUNDS, "paid twice": PAID_TWICE, "debt": DEBT, "dispute": DISPUTE, "holds": HOLDS, "merge": MERGE,
    "top-up": TOPUP,
}  # fmt: skip
"""Cut at every point, each, after its beginning."""

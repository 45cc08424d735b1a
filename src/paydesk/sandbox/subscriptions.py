"""The life of subscriptions: start, renewals, trials, and what follows from their invoices. The API is beside this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .accounts import Account
from .anchors import shown_config
from .billing_parts import invoice_payment_settings, invoice_tax
from .catalog import PRICE_FOLLOWERS
from .coupons import coupon_of, end_discount, redeem
from .customer_discounts import discounts_of_customer
from .customers import CONSEQUENCES
from .errors import Json
from .events import emit, emit_update
from .ids import new_id
from .invoice_lines import after_percentages, item_line, prorated
from .invoices import (
    add_invoice,
    attempt,
    claim_items,
    collect,
    finalize,
    invoice_values,
    method_for,
    stop_advancing,
    take_pending,
    void,
)
from .later import DEEDS
from .params import merged_metadata
from .plan_shape import plan_of
from .present import public
from .subscription_credits import debited
from .subscription_lines import extra_line, period_line
from .subscription_rows import (
    ENDED,
    FIRST_PAYMENT_S,
    TRIAL_REMINDER_S,
    Period,
    current_period,
    customer_currency,
    due_items,
    item_list,
    items_of,
    know_items,
    mixes,
    new_item,
    next_due,
    period_at,
    period_from,
    period_of,
    placed,
    placed_from,
    plan,
    subscription_values,
    without_own,
)

# Asked before what is due for a subscription happens, and told when one has ended; filled by the module of schedules.
BEFORE_DUE: list[Callable[[Account, Json], None]] = []
END_FOLLOWERS: list[Callable[[Account, Json], None]] = []


@dataclass
class Order:
    """What a new subscription shall be. `prices` are `(price, given)` with quantity and metadata in `given`.

    A `bare` one has no discount of its customer's. `since` is when the order was reckoned, if not now. What waits to be
    invoiced is billed with it only if it `takes_pending`."""

    customer: Json
    prices: list[tuple[Json, Json]]
    given: Json = field(default_factory=dict)
    trial_end: int | None = None
    anchor: int | None = None
    extras: list[tuple[Json, int]] = field(default_factory=list)
    discounts: list[Json] = field(default_factory=list)
    item_discounts: list[list[Json]] = field(default_factory=list)
    bare: bool = False
    since: int | None = None
    takes_pending: bool = True


def start(account: Account, order: Order, *, collects: bool, adopt: Json | None = None, method: Json | None = None,
          drafts: bool = False) -> Json:  # fmt: skip
    """Make a subscription with its first invoice; pays it unless told not to (`collects`).

    `adopt` is the intent with which Checkout pays (it calls `finish_start` then), `method` the one to pay with. With
    `drafts` the invoice is left a draft for its hour, as a renewal's, and the subscription runs already.
    """
    now = account.clock.now_s()
    subscription = _added(account, order)
    created = emit(account, "customer.subscription.created", subscription)
    account.change(subscription, _starting=created["id"])
    lines = first_lines(account, subscription, order)
    if order.takes_pending:
        lines += take_pending(account, order.customer, subscription["currency"], subscription["id"])
    if drafts or not lines:
        account.change(subscription, status="trialing" if order.trial_end else "active")
    if not lines:
        finish_start(account, subscription)
        return subscription
    given = {"_drafted": True} if drafts else {"automatically_finalizes_at": None}
    invoice = add_subscription_invoice(account, subscription, "subscription_create", lines, period=(now, now),
                                       given=given)  # fmt: skip
    account.change(subscription, latest_invoice=invoice["id"])
    if drafts:
        finish_start(account, subscription)
        return subscription
    finalize(account, invoice, adopt=adopt)
    if invoice["collection_method"] == "send_invoice":
        collect(account, invoice)
    elif invoice["status"] == "open" and collects:
        attempt(account, invoice, method or method_for(account, subscription, order.customer))
    if invoice["collection_method"] == "send_invoice" and subscription["status"] == "incomplete":
        account.change(subscription, status="active")
    if adopt is None or invoice["status"] != "open":
        finish_start(account, subscription)
    return subscription


def finish_start(account: Account, subscription: Json) -> None:
    """The first payment was tried: the event of the creation shows what came of it, and what is due is planned."""
    created = account.find("event", subscription.get("_starting") or "")
    if created is not None:
        account.change(subscription, _starting=None)
        account.change(created, data={"object": public(subscription)})
        plan(account, subscription)


def _added(account: Account, order: Order) -> Json:
    """The subscription with items, period and discounts, not paid yet."""
    now, given, subscription_id_ = account.clock.now_s(), order.given, new_id("subscription")
    behavior = ((given.get("trial_settings") or {}).get("end_behavior") or {}).get("billing_cycle_anchor")
    anchor = order.anchor or (order.trial_end if behavior != "unchanged" else None) or now
    trial = (now, order.trial_end) if order.trial_end else None
    until = given.get("cancel_at") if isinstance(given.get("cancel_at"), int) else None
    items = [new_item(account, subscription_id_, price, one, trial or period_from(anchor, price, now, until))
             for price, one in order.prices]  # fmt: skip
    holder = {"id": subscription_id_, "customer": order.customer["id"]}
    for item, found in zip(items, order.item_discounts, strict=False):
        item["discounts"] = redeem_for_item(account, holder, item["id"], found)
    subscription = account.add("subscription", {
        **subscription_values(given),
        "billing_cycle_anchor": anchor,
        "billing_cycle_anchor_config": shown_config(given),
        "currency": order.prices[0][0]["currency"],
        "customer": order.customer["id"],
        "items": item_list(subscription_id_, items),
        "metadata": merged_metadata({}, given.get("metadata")),
        "start_date": now,
        "status": "trialing" if order.trial_end else "incomplete",
        "test_clock": order.customer["test_clock"],
        "trial_end": order.trial_end,
        "trial_start": now if order.trial_end else None,
        "_bare": order.bare,
        "_first_payment_until": now + FIRST_PAYMENT_S,
    }, object_id=subscription_id_)  # fmt: skip
    made = [redeem(account, one, customer=order.customer["id"], subscription=subscription_id_)
            for one in order.discounts]  # fmt: skip
    customer = order.customer
    account.change(customer, _subscriptions=[*customer.get("_subscriptions", []), subscription_id_],
                   currency=customer_currency(customer, subscription))  # fmt: skip
    account.change(subscription, discounts=[discount["id"] for discount in made])
    know_items(account, subscription)
    return subscription


def first_lines(account: Account, subscription: Json, order: Order) -> list[Json]:
    """The lines of the first invoice: each item for its period (a part of one up to a set anchor), and the extras."""
    now = account.clock.now_s()
    lines = []
    for item in items_of(subscription):
        if order.trial_end:
            lines.append(item_line(account, subscription, item, period_of(item), trial=True))
        elif not starts_free(order, item["price"], now):
            lines.append(period_line(account, subscription, item, subscription["billing_cycle_anchor"], order.since))
    return lines + [extra_line(account, subscription, price, quantity, now) for price, quantity in order.extras]


def starts_free(order: Order, price: Json, now: int) -> bool:
    """Whether the time up to the anchor costs nothing and has no line: it is not a whole period, and not prorated."""
    if order.anchor is None or order.given.get("proration_behavior") != "none":
        return False
    return period_at(order.anchor, price, now)[0] != now


def active_discounts(account: Account, subscription: Json) -> list[Json]:
    """The discounts that the next invoice of a subscription has: its own, or else those of the customer."""
    now = account.clock.now_s()
    found = [account.get("discount", one, "discount") for one in subscription["discounts"]]
    own = [discount for discount in found if discount["end"] is None or discount["end"] > now]
    return own or ([] if subscription.get("_bare") else discounts_of_customer(account, subscription["customer"]))


def invoice_fields(subscription: Json, period: Period, now: int) -> Json:
    """What an invoice takes over from its subscription."""
    sends, days = subscription["collection_method"] == "send_invoice", subscription["days_until_due"]
    printed = subscription["invoice_settings"]
    return {
        "automatic_tax": invoice_tax(subscription["automatic_tax"]),
        "collection_method": subscription["collection_method"],
        "custom_fields": printed["custom_fields"],
        "default_payment_method": None,
        "description": printed["description"],
        "due_date": now + (30 if days is None else days) * 86400 if sends else None,
        "footer": printed["footer"],
        "issuer": printed["issuer"],
        "parent": {
            "quote_details": None,
            "subscription_details": {"metadata": dict(subscription["metadata"]), "subscription": subscription["id"]},
            "type": "subscription_details",
        },
        "payment_settings": invoice_payment_settings(subscription["payment_settings"]),
        "period_end": period[1],
        "period_start": period[0],
    }


def add_subscription_invoice(account: Account, subscription: Json, reason: str, lines: list[Json], *,
                             period: Period, given: Json | None = None) -> Json:  # fmt: skip
    """A draft for a subscription with its discounts; discounts that count once are used up by it."""
    customer = account.get("customer", subscription["customer"], "customer")
    fields = {**invoice_fields(subscription, period, account.clock.now_s()), **(given or {})}
    discounts = active_discounts(account, subscription)
    values = invoice_values(account, customer, subscription["currency"], reason, lines, discounts, fields)
    invoice = add_invoice(account, values)
    know_invoice(account, subscription, invoice)
    claim_items(account, invoice)
    _use_up(account, subscription, discounts, invoice)
    return invoice


def know_invoice(account: Account, subscription: Json, invoice: Json) -> None:
    """Note an invoice on its subscription: credits are worth what was billed."""
    account.change(subscription, _invoices=[*subscription.get("_invoices", []), invoice["id"]])


def _use_up(account: Account, subscription: Json, discounts: list[Json], invoice: Json) -> None:
    """Take from a subscription the discounts that are over after this invoice."""
    now, kept = account.clock.now_s(), []
    for discount_id in subscription["discounts"]:
        discount = account.get("discount", discount_id, "discount")
        once = coupon_of(account, discount)["duration"] == "once" and discount in discounts and invoice["subtotal"] > 0
        if once or (discount["end"] is not None and discount["end"] <= now):
            end_discount(account, discount)
        else:
            kept.append(discount_id)
    account.change(subscription, discounts=kept)
    used = {one for line in invoice["lines"]["data"] for one in line["discounts"]}
    if any(used & set(item["discounts"]) for item in items_of(subscription)):
        left = [{**item, "discounts": [one for one in item["discounts"] if one not in used or not _once(account, one)]}
                for item in items_of(subscription)]  # fmt: skip
        account.change(subscription, items=item_list(subscription["id"], left))


def _once(account: Account, discount_id: str) -> bool:
    """Whether a discount counts for one invoice only."""
    return bool(coupon_of(account, account.get("discount", discount_id, "discount"))["duration"] == "once")


def redeem_for_item(account: Account, subscription: Json, item_id: str, found: list[Json]) -> list[str]:
    """Make the discounts of one item of a subscription; gives their ids."""
    return [redeem(account, one, customer=subscription["customer"], subscription_item=item_id)["id"] for one in found]


def _happen(account: Account, subscription_id_: str) -> None:
    """What is due for a subscription now, one thing after the other."""
    subscription = account.find("subscription", subscription_id_)
    if subscription is None:
        return
    now = account.clock.now_s()
    for asked in BEFORE_DUE:
        asked(account, subscription)
    for _ in range(100):  # each step moves the next one on; the bound only keeps a mistake from standing still
        moment = next_due(subscription)
        if moment is None or moment > now:
            break
        _step(account, subscription, now)
    plan(account, subscription)


def _step(account: Account, subscription: Json, now: int) -> None:
    status, pause, pending = (subscription[name] for name in ("status", "pause_collection", "pending_update"))
    if pending and pending["expires_at"] <= now:
        expire_pending(account, subscription)
    elif status == "incomplete":
        _expire(account, subscription, now)
    elif status == "paused":
        _give_up_resuming(account, subscription)
    elif subscription["cancel_at"] is not None and subscription["cancel_at"] <= now:
        end_on_time(account, subscription)
    elif pause and pause["resumes_at"] is not None and pause["resumes_at"] <= now:
        change(account, subscription, pause_collection=None)
    elif status == "trialing" and now < subscription["trial_end"]:
        remind(account, subscription)
    elif status == "trialing" and subscription["trial_end"] <= now:
        end_trial(account, subscription)
    else:
        renew(account, subscription)


def change(account: Account, subscription: Json, **values: object) -> None:
    """Change a subscription and tell it."""
    emit_update(account, "customer.subscription.updated", subscription, account.change(subscription, **values))


def _expire(account: Account, subscription: Json, now: int) -> None:
    """The first invoice was not paid in 23 hours."""
    invoice = account.get("invoice", subscription["latest_invoice"], "invoice")
    if invoice["status"] == "open":
        void(account, invoice, tell=False)
    change(account, subscription, status="incomplete_expired", ended_at=now)


def remind(account: Account, subscription: Json) -> None:
    """Tell that a trial is about to end; once for each end."""
    account.change(subscription, _reminded=True)
    emit(account, "customer.subscription.trial_will_end", subscription)


def remind_if_near(account: Account, subscription: Json) -> None:
    """A trial made or cut to less than three days is told at once."""
    left = (subscription["trial_end"] or 0) - account.clock.now_s()
    if subscription["status"] == "trialing" and left <= TRIAL_REMINDER_S:
        remind(account, subscription)


def end_trial(account: Account, subscription: Json) -> None:
    """A trial is over: the first paid period begins, or what was chosen for the case without a payment method."""
    customer = account.get("customer", subscription["customer"], "customer")
    missing = method_for(account, subscription, customer) is None
    behavior = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    charges = subscription["collection_method"] == "charge_automatically"
    if missing and charges and behavior == "cancel":
        end(account, subscription)
    elif missing and charges and behavior == "pause":
        set_paused(account, subscription, "trial_end_without_payment_method")
    else:
        renew(account, subscription, status="active")


def set_paused(account: Account, subscription: Json, reason: str) -> None:
    """No period begins and no invoice is made until it is resumed; tells it."""
    details = {"paused": {"subscription": {"type": reason}, "transitioned_at": account.clock.now_s(),
                          "type": "subscription"}}  # fmt: skip
    previous = account.change(subscription, status="paused", status_details=details, _resume_until=None)
    emit(account, "customer.subscription.paused", subscription, None)
    emit_update(account, "customer.subscription.updated", subscription, previous)


def renew(account: Account, subscription: Json, status: str | None = None) -> None:
    """The next period begins: its draft invoice, then the subscription's update."""
    old = current_period(subscription)
    anchor = subscription["billing_cycle_anchor"]
    renewed = placed_from(anchor, due_items(subscription), old[1], subscription["cancel_at"])
    lines = [period_line(account, subscription, item, anchor) for item in renewed]
    customer = account.get("customer", subscription["customer"], "customer")
    lines += take_pending(account, customer, subscription["currency"], subscription["id"])
    before = list(subscription["discounts"])
    unpaid = subscription["status"] == "unpaid"
    given = {"auto_advance": False, "automatically_finalizes_at": None} if unpaid else {}
    invoice = add_subscription_invoice(account, subscription, "subscription_cycle", lines, period=old, given=given)
    values = {"items": with_periods(subscription, renewed), "latest_invoice": invoice["id"]}
    previous = account.change(subscription, **values, **({"status": status} if status else {}))
    if before != subscription["discounts"]:
        previous["discounts"] = before
    emit(account, "customer.subscription.updated", subscription, previous)


def with_periods(subscription: Json, renewed: list[Json]) -> Json:
    """The field `items`, with some of the items in their new periods."""
    periods = {item["id"]: period_of(item) for item in renewed}
    return item_list(subscription["id"], [placed(item, periods.get(item["id"], period_of(item)))
                                          for item in items_of(subscription)])  # fmt: skip


def end_on_time(account: Account, subscription: Json) -> None:
    """The end that was chosen beforehand has come: what still waits to be invoiced is invoiced for the last time."""
    period = current_period(subscription)
    end(account, subscription)
    customer = account.get("customer", subscription["customer"], "customer")
    lines = take_pending(account, customer, subscription["currency"], subscription["id"])
    if lines:
        invoice = add_subscription_invoice(account, subscription, "subscription_cycle", lines, period=period)
        account.change(subscription, latest_invoice=invoice["id"])


def drop_pending(account: Account, subscription: Json) -> Json:
    """Give up an update that waits for its payment; its invoice is void. Gives what showed of it."""
    invoice = account.find("invoice", subscription.get("_update_invoice") or "")
    if subscription.get("_update") is None:
        return {}
    previous = account.change(subscription, pending_update=None, _update=None, _update_invoice=None)
    if invoice is not None and invoice["status"] == "open":
        void(account, invoice, tell=False)
    return without_own(previous)


def expire_pending(account: Account, subscription: Json) -> None:
    """An update was not paid in time."""
    previous = drop_pending(account, subscription)
    emit(account, "customer.subscription.pending_update_expired", subscription)
    emit_update(account, "customer.subscription.updated", subscription, previous)


def end(account: Account, subscription: Json, *, reason: str | None = None, details: Json | None = None) -> None:
    """End a subscription for good; its open invoices are not collected any more. Tells it."""
    drop_pending(account, subscription)
    now = account.clock.now_s()
    known = {**subscription["cancellation_details"], **(details or {})}
    if reason or known["reason"] is None:
        known["reason"] = reason or ("payment_failed" if subscription["status"] == "past_due" else None)
    account.change(subscription, status="canceled", ended_at=now, cancellation_details=known, pause_collection=None,
                   canceled_at=subscription["canceled_at"] or now, status_details=None)  # fmt: skip
    emit(account, "customer.subscription.deleted", subscription)
    invoice = account.find("invoice", subscription["latest_invoice"] or "")
    if invoice is not None and invoice["status"] in ("draft", "open") and invoice["auto_advance"]:
        stop_advancing(account, invoice)
    for told in END_FOLLOWERS:
        told(account, subscription)


def credit_lines(account: Account, subscription: Json, since: int, amounts: list[tuple[Json, int, str]]) -> list[Json]:
    """Values of prorations: `(item, whole amount, description)` for the time from `since` to the period's end.

    With flexible billing a credit (a negative amount) is worth what was billed for that time, whatever is given."""
    discounts = active_discounts(account, subscription)
    found = []
    for item, whole, description in amounts:
        until, value, credited = item["current_period_end"], after_percentages(account, whole, discounts), None
        regular = period_at(subscription["billing_cycle_anchor"], item["price"], until - 1)
        amount = prorated(value, regular, since) - prorated(value, regular, until)
        if whole < 0 and mixes(subscription) and "_invoices" in subscription:
            worth, credited = debited(account, subscription, item["id"], since, until)
            amount = -max(0, worth)
        found.append({"item": item, "amount": amount, "description": description, "period": (since, until),
                      "credited_items": credited})  # fmt: skip
    return found


def _give_up_resuming(account: Account, subscription: Json) -> None:
    """The invoice of a resumption was not paid in 23 hours: it stays paused."""
    invoice = account.find("invoice", subscription["latest_invoice"] or "")
    account.change(subscription, _resume_until=None)
    if invoice is not None and invoice["status"] == "open":
        void(account, invoice, tell=False)


def set_resumed(account: Account, subscription: Json) -> None:
    """A paused subscription is active again; tells it."""
    previous = account.change(subscription, status="active", status_details=None, _resume_until=None)
    emit(account, "customer.subscription.resumed", subscription)
    emit(account, "customer.subscription.updated", subscription,
         {name: value for name, value in previous.items() if name[0] != "_"})  # fmt: skip
    plan(account, subscription)


def invoice_now(account: Account, subscription: Json, reason: str, lines: list[Json], *, collects: bool = True,
                given: Json | None = None) -> Json:  # fmt: skip
    """An invoice that is finalised (and collected) without the draft's hour."""
    now = account.clock.now_s()
    invoice = add_subscription_invoice(account, subscription, reason, lines, period=(now, now),
                                       given={"automatically_finalizes_at": None, **(given or {})})  # fmt: skip
    account.change(subscription, latest_invoice=invoice["id"])
    finalize(account, invoice)
    if collects:
        collect(account, invoice)
    return invoice


def end_all(account: Account, customer: Json, _: int) -> None:
    """A deleted customer has no subscriptions any more."""
    for one in customer.get("_subscriptions", []):
        subscription = account.get("subscription", one, "subscription")
        if subscription["status"] not in ENDED:
            end(account, subscription)


def _follow_price(account: Account, price: Json) -> None:
    """Subscription items show their price as it is now."""
    for subscription in account.all("subscription"):
        items = items_of(subscription)
        if any(item["price"]["id"] == price["id"] for item in items):
            now = {"price": without_own(price), "plan": plan_of(price)}
            shown = [{**item, **now} if item["price"]["id"] == price["id"] else item for item in items]
            account.change(subscription, items=item_list(subscription["id"], shown))


DEEDS["subscription.due"] = _happen
CONSEQUENCES["deleted"] = end_all
PRICE_FOLLOWERS.append(_follow_price)

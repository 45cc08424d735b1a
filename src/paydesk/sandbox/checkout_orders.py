"""What a Checkout session sells beyond plain payments: discounts, and subscriptions made when it is paid."""

from __future__ import annotations

from .accounts import Account
from .anchors import ANCHOR_CONFIG, anchor_of
from .billing_parts import INVOICE_SETTINGS
from .checkout_shipping import shipping_minor
from .coupons import check_usable, chosen, close_used_up, coupon_of, left_after, redeemable
from .customer_discounts import discounts_of_customer
from .errors import Json, invalid, missing_parameter, unreadable
from .events import emit_update
from .invoices import amount_due
from .invoices import settle as settle_invoice
from .methods import behaviour
from .money import minimum_minor, written
from .params import Shape, choice, fields, integer, merged_metadata, metadata, text, whole
from .saving import keep_method
from .subscription_calls import refuse_second_currency, trial_end
from .subscription_lines import part_amount
from .subscription_params import BILLING_MODE
from .subscription_rows import check_items, period_at
from .subscriptions import Order, finish_start, remind_if_near, start

_MOST_OF_A_KIND = 20
_SHORTEST_TRIAL_S = 48 * 3600 - 5  # a request takes a moment

SUBSCRIPTION_DATA: Shape = {
    "billing_cycle_anchor": integer,
    "billing_cycle_anchor_config": ANCHOR_CONFIG,
    "billing_mode": BILLING_MODE,
    "description": text(500),
    "invoice_settings": fields(INVOICE_SETTINGS),
    "metadata": metadata,
    "proration_behavior": choice("create_prorations", "none"),
    "trial_end": integer,
    "trial_period_days": whole(1, 730),
    "trial_settings": fields({
        "end_behavior": fields(
            {"missing_payment_method": choice("cancel", "create_invoice", "pause")}, ("missing_payment_method",)
        ),
    }, ("end_behavior",)),
}  # fmt: skip


def refuse_wrong_subscription(params: Json) -> None:
    """What a session in subscription mode may not have, and others may not have of it."""
    subscribes = params["mode"] == "subscription"
    for name in ("payment_intent_data", "submit_type", "customer_creation") if subscribes else ("subscription_data",):
        if params.get(name):
            raise unreadable(f"You can not pass `{name}` in `{params['mode']}` mode.", name)
    if params.get("discounts") and params.get("allow_promotion_codes"):
        raise unreadable("You may only specify one of these parameters: allow_promotion_codes, discounts.",
                         "discounts")  # fmt: skip
    if subscribes and not params.get("line_items"):
        raise missing_parameter("line_items")


def refuse_without_recurring(account: Account, lines: list[Json]) -> None:
    """A session in subscription mode needs recurring prices that can be on one subscription."""
    prices = [account.get("price", line["price"], "line_items") for line in lines]
    recurring = [price for price in prices if price["recurring"]]
    if not recurring:
        raise invalid(
            "You must provide at least one recurring price in `subscription` mode when using prices.", "line_items"
        )
    for kind, count in (("recurring", len(recurring)), ("one-time", len(prices) - len(recurring))):
        if count > _MOST_OF_A_KIND:
            raise invalid(f"A Checkout Session in `subscription` mode takes up to {_MOST_OF_A_KIND} line items with "
                          f"{kind} prices.", "line_items")  # fmt: skip
    check_items(recurring)


def anchor_fields(account: Account, params: Json, lines: list[Json]) -> Json:
    """The anchor of a new session's subscription; refuses one that cannot be, or that stands beside a trial."""
    data = params.get("subscription_data") or {}
    names = [name for name in ("billing_cycle_anchor", "billing_cycle_anchor_config") if data.get(name) is not None]
    if not names:
        return {"_anchor": None}
    prices = [account.get("price", line["price"], "line_items") for line in lines]
    if data.get("trial_end") or data.get("trial_period_days"):
        raise invalid("A trial cannot be combined with a billing cycle anchor.", f"subscription_data[{names[0]}]")
    if data.get("proration_behavior") == "none" and any(not price["recurring"] for price in prices):
        raise invalid("You cannot use one-time prices when `proration_behavior` is `none`.",
                      "subscription_data[proration_behavior]")  # fmt: skip
    recurring = [price for price in prices if price["recurring"]]
    return {"_anchor": anchor_of(account, data, None, recurring, "subscription_data[billing_cycle_anchor{}]")}


def session_discounts(account: Account, params: Json, order: tuple[int, str]) -> list[Json]:
    """The field `discounts` of a session from its parameters; refuses those that its order may not have."""
    picked = chosen(account, params.get("discounts"), params.get("customer"))
    check_usable(account, picked, params.get("customer"), order)
    return [{"coupon": one["coupon"]["id"],
             "promotion_code": one["promotion_code"]["id"] if one["promotion_code"] else None}
            for one in picked]  # fmt: skip


def order_amount(lines: list[Json]) -> int:
    """What the lines of a session come to before discounts, with those that a trial puts off."""
    return sum(line["amount_subtotal"] for line in lines)


def reckoned(account: Account, session: Json) -> Json:
    """The sums of a session, as fields: what is due now, less its discounts. A trial leaves only one-time lines."""
    data = session.get("_subscription_data") or {}
    trial = session["mode"] == "subscription" and bool(data.get("trial_end") or data.get("trial_period_days"))
    lines = [dict(line) for line in session["_lines"]]
    due = [line for line in lines if not (trial and _recurring(account, line))]
    for line in due:
        line["amount_subtotal"] = _part(account, session, line)
    left = left_after(
        coupons_of(account, session), [(product_of(account, line), line["amount_subtotal"]) for line in due]
    )
    for line, amount in zip(due, left, strict=True):
        line |= {"amount_discount": line["amount_subtotal"] - amount, "amount_total": amount}
    sending = shipping_minor(session)
    total = sum(left) + sending
    return {
        "_lines": lines, "amount_subtotal": order_amount(due), "amount_total": total,
        "payment_status": "unpaid" if total else "no_payment_required",
        "total_details": {"amount_discount": order_amount(due) - sum(left), "amount_shipping": sending, "amount_tax": 0},
    }  # fmt: skip


def coupons_of(account: Account, session: Json) -> list[Json]:
    """The coupons that count for a session: its own, or else, for a subscription, that of its customer."""
    own = [account.get("coupon", one["coupon"], "coupon") for one in session["discounts"]]
    if own or session["mode"] != "subscription":
        return own
    theirs = [coupon_of(account, one) for one in discounts_of_customer(account, session["customer"] or "")]
    return [coupon for coupon in theirs if coupon["currency"] in (None, session["currency"])]


def refresh(account: Account, session: Json) -> None:
    """Reckon an open session again whose customer may have another discount by now."""
    if session["status"] == "open" and session["mode"] == "subscription" and session["customer"]:
        account.change(session, **reckoned(account, session))


def due_minor(account: Account, session: Json) -> int | None:
    """What the buyer pays now; None in setup mode. For a subscription it is what its first invoice will ask for: the
    total with the customer's balance, and nothing when that is too little to charge."""
    if session["mode"] != "subscription":
        due: int | None = session["amount_total"]
        return due
    customer = account.find("customer", session["customer"] or "") or {"balance": 0, "currency": None}
    balance = customer["balance"] if customer["currency"] in (None, session["currency"]) else 0
    return amount_due({"total": session["amount_total"], "starting_balance": balance, "currency": session["currency"]})


def refuse_too_small(session: Json, total: int, param: str = "line_items") -> None:
    """Refuse a total that is not free and cannot be charged; a part up to a set anchor waits in the balance instead."""
    least = minimum_minor(session["currency"])
    if 0 < total < least and session.get("_anchor") is None:
        raise invalid("The Checkout Session's total amount due must add up to at least "
                      f"{written(least, session['currency'])} {session['currency']}.", param, "amount_too_small")  # fmt: skip


def refuse_overtaken(account: Account, session: Json, amount_minor: int | None) -> None:
    """Refuse to take an amount for a session that asks for another one by now, or whose coupon others have used up."""
    if session["mode"] == "subscription":
        owner = account.find("customer", session["customer"] or "")
        refuse_second_currency(account, owner, session["currency"], "line_items")
    for one in session["discounts"]:
        for row in (account.find("coupon", one["coupon"]), account.find("promotion_code", one["promotion_code"] or "")):
            if row is not None and not redeemable(account, row):
                raise invalid("This discount is used up or has expired.", "discounts", "coupon_expired")
    if amount_minor != due_minor(account, session):
        raise invalid("The amount of this Checkout Session has changed. Please reload the page and try again.",
                      "expected_amount", "checkout_amount_mismatch")  # fmt: skip


def _part(account: Account, session: Json, line: Json) -> int:
    """What is due of a line now: of a recurring one up to a set anchor only its part, or nothing without prorations."""
    price, anchor = account.get("price", line["price"], "price"), session.get("_anchor")
    if anchor is None or not price["recurring"]:
        return int(line["amount_subtotal"])
    since = session["created"]
    regular = period_at(anchor, price, since)
    free = (session["_subscription_data"] or {}).get("proration_behavior") == "none" and regular[0] != since
    return 0 if free else part_amount(price, line["quantity"], regular, since, regular[1])


def _recurring(account: Account, line: Json) -> bool:
    return bool(account.get("price", line["price"], "price")["recurring"])


def product_of(account: Account, line: Json) -> str:
    """The product that a line sells, by its id."""
    return str(account.get("price", line["price"], "price")["product"])


def refuse_short_trial(account: Account, session: Json) -> None:
    """Refuse a trial of a new session that cannot be, or that ends in less than two days."""
    trial_end_of(account, session)
    moment = (session["_subscription_data"] or {}).get("trial_end")
    if session["mode"] == "subscription" and moment and moment < account.clock.now_s() + _SHORTEST_TRIAL_S:
        raise invalid("The `trial_end` date has to be at least 2 days in the future.", "subscription_data[trial_end]")


def trial_end_of(account: Account, session: Json) -> int | None:
    """When the trial of a session's subscription ends if it began now; None without a trial."""
    if session["mode"] != "subscription":
        return None
    return trial_end(account, session.get("_subscription_data") or {}, {})


def intent_id(session: Json) -> str:
    """The id of the intent with which a session is paid; in subscription mode the session does not show it."""
    return str(session["payment_intent"] or session.get("_hidden_intent") or "")


def setup_id(session: Json) -> str:
    """The id of the intent with which a session saves a method; only shown in setup mode."""
    return str(session["setup_intent"] or session.get("_hidden_setup") or "")


def will_decline(method: Json) -> bool:
    """Whether charging this method fails: then no subscription is made."""
    card = behaviour(method) if method["type"] == "card" else None
    return card is not None and (card.charge or card.attach) is not None


def subscribe(account: Account, session: Json, customer: Json, method: Json | None, intent: Json | None) -> None:
    """Make the subscription of a session that is being paid; its first invoice takes the session's intent."""
    if session["subscription"]:
        return
    if method is not None:
        method = keep_method(account, method, customer, "off_session")
    emit_update(account, "customer.updated", customer,
                account.change(customer, currency=customer["currency"] or session["currency"]))  # fmt: skip
    subscription = start(account, _order(account, session, customer, method), collects=False, adopt=intent)
    remind_if_near(account, subscription)
    account.change(session, subscription=subscription["id"], invoice=subscription["latest_invoice"])


def _order(account: Account, session: Json, customer: Json, method: Json | None) -> Order:
    data = session.get("_subscription_data") or {}
    given = {**data, "default_payment_method": method["id"] if method else None,
             "automatic_tax": session["automatic_tax"], "metadata": merged_metadata({}, data.get("metadata"))}  # fmt: skip
    prices, extras = [], []
    for line in session["_lines"]:
        price = account.get("price", line["price"], "price")
        if price["recurring"]:
            prices.append((price, {"quantity": line["quantity"], "metadata": line["metadata"]}))
        else:
            extras.append((price, line["quantity"]))
    discounts = [{"coupon": account.get("coupon", one["coupon"], "coupon"),
                  "promotion_code": account.find("promotion_code", one["promotion_code"] or "")}
                 for one in session["discounts"]]  # fmt: skip
    return Order(customer, prices, given, trial_end=trial_end_of(account, session),
                 anchor=session.get("_anchor"), extras=extras, discounts=discounts, since=session["created"],
                 takes_pending=False)  # fmt: skip


def settle(account: Account, session: Json, intent: Json) -> None:
    """Bring the first invoice to what became of the session's intent."""
    if session["mode"] == "subscription" and intent.get("_invoice"):
        settle_invoice(account, intent)
        finish_start(account, account.get("subscription", session["subscription"], "subscription"))


def count_redemptions(account: Account, session: Json) -> None:
    """A completed payment uses up its coupons once; a subscription's discounts are counted when they are made."""
    for one in session["discounts"] if session["mode"] == "payment" else []:
        for kind in ("coupon", "promotion_code"):
            row = account.find(kind, one[kind] or "")
            if row is not None:
                account.change(row, times_redeemed=row["times_redeemed"] + 1)
                close_used_up(account, row)


DISCOUNT_FIELDS = fields({"coupon": text(clearable=False), "promotion_code": text(clearable=False)})

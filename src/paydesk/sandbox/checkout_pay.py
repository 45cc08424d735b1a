"""Paying a Checkout session: the hosted page's own calls, and the steps after 3-D Secure."""

from __future__ import annotations

from .accounts import Account
from .calls import Call, Operation, get, post
from .checkout import customer_details, session_with, shown_line
from .checkout_orders import (
    count_redemptions,
    due_minor,
    intent_id,
    refresh,
    refuse_overtaken,
    settle,
    setup_id,
    subscribe,
    will_decline,
)
from .checkout_shipping import SHIPPED_TO, collected, shipped_to
from .checkout_tax import check_buyer, keep_details
from .confirming import How, start_payment
from .customers import add_customer
from .embedded_pages import is_embedded, page_address
from .errors import Json, StripeError, invalid
from .events import emit
from .exchange import presentment
from .intents import add_intent
from .method_rules import not_allowed
from .methods import METHOD_DATA, add_method, refuse_spent, usable_method
from .params import Shape, email, fields, flag, integer, text
from .payments import OWNERS, Owner, fail_intent
from .present import public
from .setup_intents import add_setup_intent, confirm_setup

_CONFIRM: Shape = {
    "client_secret": text(),
    "expected_amount": integer,
    "expected_payment_method_type": text(),
    "key": text(),
    "payment_method": text(clearable=False),
    "payment_method_options": fields({"blik": fields({"code": text(20)})}),
    "payment_method_data": fields({**METHOD_DATA, "save": flag}, ("type",)),
    "customer_email": email,
    "shipping": SHIPPED_TO,
}


_BY_PAGE: Json = {"customer_acceptance": {"type": "online", "online": {}}}


def _retrieve(call: Call) -> Json:
    return payment_page(call.account, call.world.session_of_page(call.account, call.id))


def payment_page(account: Account, session: Json) -> Json:
    """What the hosted page needs to know of its session; holds no secret."""
    refresh(account, session)
    intent = account.find("payment_intent", intent_id(session))
    setup = account.find("setup_intent", setup_id(session))
    return {
        "id": session["_page"],
        "object": "payment_page",
        "amount_total": session["amount_total"],
        "cancel_url": session["cancel_url"],
        "currency": session["currency"],
        "customer_email": (session["customer_details"] or {}).get("email"),
        "expires_at": session["expires_at"],
        "line_items": [public(shown_line(account, line)) for line in session["_lines"]],
        "livemode": False,
        "mode": session["mode"],
        "payment_intent": None if intent is None else public(intent),
        "payment_method_types": session["payment_method_types"],
        "payment_status": session["payment_status"],
        "presentment_details": presentment(session, (session["customer_details"] or {}).get("email")),
        "session_id": session["id"],
        "setup_intent": None if setup is None else public(setup),
        "status": session["status"],
        "success_url": success_address(session),
        "total_summary": {"due": due_minor(account, session), "subtotal": session["amount_subtotal"],
                          "total": session["amount_total"]},
    }  # fmt: skip


def success_address(session: Json) -> str | None:
    """Where the buyer goes after paying; None when the page stays, which an embedded one may."""
    address = session["success_url"]
    if is_embedded(session):
        address = None if session["redirect_on_completion"] != "always" else session["return_url"]
    return address and str(address).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _confirm(call: Call) -> Json:
    session = call.world.session_of_page(call.account, call.id)
    _refuse_closed(session)
    refresh(call.account, session)
    due = due_minor(call.account, session)
    refuse_overtaken(call.account, session, call.params.get("expected_amount", due))
    call.account.change(session, **collected(session, call.params.get("shipping")))
    if session["mode"] == "setup":
        _save_method(call, session)
    elif due == 0 and session["mode"] == "subscription":
        _subscribe_free(call, session)
    elif due == 0:
        _buy_free(call.account, session, call.params.get("customer_email"))
    else:
        _pay(call, session)
    return payment_page(call.account, session)


def _refuse_closed(session: Json) -> None:
    """A session is paid once, and not after its end."""
    if session["status"] == "complete":
        raise StripeError(
            "This Checkout Session has already been completed.", code="checkout_session_already_completed"
        )
    if session["status"] == "expired":
        raise StripeError("This Checkout Session has expired.", code="checkout_session_expired")


def _pay(call: Call, session: Json) -> None:
    """One try to pay: paid, waiting for 3-D Secure, or refused with 402."""
    account = call.account
    method = _method(call)
    details = _buyer(session, method, call.params.get("customer_email"))
    _refuse_type(session, method)
    check_buyer(account, session, details)
    intent = _intent(account, session, details["email"])
    shown = presentment(session, details["email"])
    account.change(session, _buyer=details, **({"presentment_details": shown} if shown else {}))
    account.change(intent, payment_method=method["id"], **({"presentment_details": shown} if shown else {}))
    if shipped_to(session):
        account.change(intent, shipping=shipped_to(session))
    options = call.params.get("payment_method_options") or {}
    start_payment(
        account, intent, method, How(return_url=page_address(session), options=options, mandate_data=_BY_PAGE)
    )


def _buy_free(account: Account, session: Json, email_address: str | None) -> None:
    """A full discount leaves nothing to pay: only a customer is made, where one was asked for."""
    buyer = session["customer_details"] or customer_details(email_address=email_address)
    account.change(session, _buyer=buyer)
    _complete(account, session, _created_customer(account, session), None)


def _subscribe_free(call: Call, session: Json) -> None:
    """Nothing is due now (a trial, a full discount): save the method for later, or none where none is required."""
    account = call.account
    given = call.params.get("payment_method") or call.params.get("payment_method_data")
    if session["payment_method_collection"] == "if_required" and not given:
        account.change(session, _buyer=customer_details(email_address=call.params.get("customer_email")))
        subscribe(account, session, _customer(account, session), None, None)
        _complete(account, session, None, None)
        return
    method = _method(call)
    _refuse_type(session, method)
    details = _buyer(session, method, call.params.get("customer_email"))
    check_buyer(account, session, details)
    account.change(session, _buyer=details)
    intent = account.find("setup_intent", setup_id(session))
    if intent is None:
        values = {"payment_method_types": session["payment_method_types"], "_session": session["id"]}
        intent = add_setup_intent(account, {**values, "customer": session["customer"]})
        account.change(session, _hidden_setup=intent["id"])
    confirm_setup(account, intent, method, {"return_url": page_address(session), "mandate_data": _BY_PAGE})


def _customer(account: Account, session: Json) -> Json:
    """The customer of a session in subscription mode, made now where there is none."""
    customer_id = session["customer"] or _created_customer(account, session)
    keep_details(account, session)
    return account.get("customer", str(customer_id), "customer")


def _save_method(call: Call, session: Json) -> None:
    """One try to save a method: saved, waiting for 3-D Secure, or refused with 402."""
    account = call.account
    method = _method(call)
    _refuse_type(session, method)
    account.change(session, _buyer=_buyer(session, method, call.params.get("customer_email")))
    intent = account.get("setup_intent", session["setup_intent"], "setup_intent")
    if session["customer"] is None and session["customer_creation"] == "always":
        account.change(intent, customer=_created_customer(account, session))
    confirm_setup(account, intent, method, {"return_url": page_address(session), "mandate_data": _BY_PAGE})


def _refuse_type(session: Json, method: Json) -> None:
    """A session takes only the methods it shows."""
    allowed = session["payment_method_types"]
    if method["type"] not in allowed and not (method["type"] == "card" and "link" in allowed):
        raise not_allowed(method["type"], allowed)


def _method(call: Call) -> Json:
    if "payment_method" in call.params:
        method = usable_method(call.account, call.params["payment_method"])
        refuse_spent(method)
        return method
    given = call.params.get("payment_method_data")
    if not given:
        raise invalid("You must provide a payment method to pay with.", "payment_method", "parameter_missing")
    return add_method(call.account, given, "payment_method_data")


def _buyer(session: Json, method: Json, email_address: str | None) -> Json:
    """`customer_details` as the page collected them."""
    known = session["customer_details"] or {}
    billing = method["billing_details"]
    address = {**billing["address"], "country": billing["address"]["country"] or _country(method)}
    return customer_details(
        email_address=known.get("email") or email_address or billing["email"], name=billing["name"], address=address
    ) | {"tax_ids": []}


def _country(method: Json) -> str | None:
    """The country that the method itself tells."""
    known = {"blik": "PL", "p24": "PL", "ideal": "NL"}.get(method["type"])
    return known or method[method["type"]].get("country")


def _intent(account: Account, session: Json, receipt_email: str | None) -> Json:
    """The session's payment intent: made at the first try, used again for the next ones."""
    due = due_minor(account, session)
    intent = account.find("payment_intent", intent_id(session))
    if intent is None:
        given = {**session["_intent_data"], "customer": session["customer"], "_session": session["id"],
                 "payment_method_types": session["payment_method_types"]}  # fmt: skip
        intent = add_intent(account, due or 0, session["currency"], given)
        shown = "_hidden_intent" if session["mode"] == "subscription" else "payment_intent"
        account.change(session, **{shown: intent["id"]})
    if intent["amount"] != due:
        account.change(intent, amount=due)
    if intent["receipt_email"] is None and session["_intent_data"].get("receipt_email"):
        account.change(intent, receipt_email=receipt_email)
    return intent


def _before(account: Account, intent: Json) -> None:
    """The customer of a session must be there before its money is taken, and the amount still be the right one."""
    session = session_with(account, intent["_session"])
    try:
        refuse_overtaken(account, session, intent["amount"])
    except StripeError as refusal:  # while the buyer was at the bank
        fail_intent(account, intent, StripeError(str(refusal), code="payment_intent_payment_attempt_failed"))
        raise
    if session["mode"] == "subscription":
        method = account.get("payment_method", intent["payment_method"], "payment_method")
        if not will_decline(method):
            subscribe(account, session, _customer(account, session), method, intent)
    elif intent["object"] == "payment_intent":
        account.change(intent, customer=session["customer"] or _created_customer(account, session))


def _after(account: Account, intent: Json) -> None:
    """What a result of its intent means for a session: complete, complete but unpaid, paid later, or failed later."""
    session = session_with(account, intent["_session"])
    settled, held = intent["status"] == "succeeded", intent.get("capture_method") == "manual"
    if session["status"] == "open" and (settled or intent["status"] in ("processing", "requires_capture")):
        if session["mode"] == "subscription" and intent["object"] == "setup_intent":
            method = account.get("payment_method", intent["payment_method"], "payment_method")
            subscribe(account, session, _customer(account, session), method, None)
        settle(account, session, intent)
        _complete(account, session, intent["customer"], None, paid=settled)
    elif session["status"] == "complete" and session["payment_status"] == "unpaid":
        if settled:
            account.change(session, payment_status="paid")
        if held:
            return  # money that was held is taken or given back without further news of the session
        emit(account, f"checkout.session.async_payment_{'succeeded' if settled else 'failed'}", session)


def _created_customer(account: Account, session: Json) -> str | None:
    """The new customer of a session that always makes one, and has none yet."""
    reused = session["mode"] == "subscription" or session["_intent_data"].get("setup_future_usage")
    wanted = session["customer_creation"] == "always" or reused
    if not wanted or session["customer"]:
        return None
    buyer = session["_buyer"]
    sent = shipped_to(session)
    shipping = {"address": sent["address"], "name": sent["name"], "phone": None} if sent else None
    customer = add_customer(
        account, {**{name: buyer[name] for name in ("email", "name", "address")}, "shipping": shipping}
    )
    account.change(session, customer=customer["id"])
    return str(customer["id"])


def _complete(
    account: Account, session: Json, customer: str | None, email_address: str | None, *, paid: bool = True
) -> None:
    details = session.get("_buyer") or session["customer_details"] or customer_details(email_address=email_address)
    keep_details(account, session)
    status = "no_payment_required" if not session["amount_total"] else "paid" if paid else "unpaid"
    account.change(
        session,
        status="complete",
        payment_status=status,
        url=None,
        customer=customer or session["customer"],
        customer_details=details,
    )
    count_redemptions(account, session)
    emit(account, "checkout.session.completed", session)


OWNERS["_session"] = Owner(_before, _after)
OPERATIONS: list[Operation] = [
    get("/v1/payment_pages/{id}", _retrieve, {"key": text()}, open_to_page=True),
    post("/v1/payment_pages/{id}/confirm", _confirm, _CONFIRM, open_to_page=True),
]

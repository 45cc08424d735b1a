"""Paying a Checkout session: the hosted page's own calls, and the steps after 3-D Secure."""

from __future__ import annotations

from .accounts import Account
from .calls import Call, Operation, get, post
from .charges import settle_charge
from .checkout import customer_details, session_with, shown_line
from .customers import add_customer
from .errors import Json, StripeError, invalid
from .events import emit
from .intents import add_intent
from .methods import METHOD_DATA, add_method, attach, usable_method
from .params import Shape, email, fields, flag, integer, text
from .payments import ask_to_authenticate, must_authenticate, take_payment
from .present import public

_CONFIRM: Shape = {
    "client_secret": text(),
    "expected_amount": integer,
    "expected_payment_method_type": text(),
    "key": text(),
    "payment_method": text(clearable=False),
    "payment_method_data": fields({**METHOD_DATA, "save": flag}, ("type",)),
    "customer_email": email,
}


def _retrieve(call: Call) -> Json:
    return payment_page(call.account, call.world.session_of_page(call.account, call.id))


def payment_page(account: Account, session: Json) -> Json:
    """What the hosted page needs to know of its session; holds no secret."""
    intent = account.find("payment_intent", session["payment_intent"] or "")
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
        "payment_status": session["payment_status"],
        "session_id": session["id"],
        "status": session["status"],
        "success_url": success_address(session),
        "total_summary": {"due": session["amount_total"], "subtotal": session["amount_subtotal"],
                          "total": session["amount_total"]},
    }  # fmt: skip


def success_address(session: Json) -> str:
    """Where the buyer goes after paying."""
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _confirm(call: Call) -> Json:
    session = call.world.session_of_page(call.account, call.id)
    _refuse_closed(session)
    expected = call.params.get("expected_amount")
    if expected is not None and expected != session["amount_total"]:
        raise invalid(
            "The amount of this Checkout Session has changed. Please reload the page and try again.",
            "expected_amount",
            "checkout_amount_mismatch",
        )
    if session["amount_total"] == 0:
        _complete(call.account, session, None, call.params.get("customer_email"))
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
    intent = _intent(account, session, details["email"])
    account.change(session, _buyer=details)
    if must_authenticate(method, off_session=False):
        ask_to_authenticate(account, intent, method, session["url"])
    else:
        _take(account, session, intent, method, authenticated=False)


def _method(call: Call) -> Json:
    if "payment_method" in call.params:
        return usable_method(call.account, call.params["payment_method"])
    given = call.params.get("payment_method_data")
    if not given:
        raise invalid("You must provide a payment method to pay with.", "payment_method", "parameter_missing")
    return add_method(call.account, given, "payment_method_data")


def _buyer(session: Json, method: Json, email_address: str | None) -> Json:
    """`customer_details` as the page collected them."""
    known = session["customer_details"] or {}
    billing = method["billing_details"]
    address = {**billing["address"], "country": billing["address"]["country"] or method["card"]["country"]}
    return customer_details(
        email_address=known.get("email") or email_address or billing["email"], name=billing["name"], address=address
    ) | {"tax_ids": []}


def _intent(account: Account, session: Json, receipt_email: str | None) -> Json:
    """The session's payment intent: made at the first try, used again for the next ones."""
    intent = account.find("payment_intent", session["payment_intent"] or "")
    if intent is None:
        given = {**session["_intent_data"], "customer": session["customer"], "_session": session["id"]}
        intent = add_intent(account, session["amount_total"], session["currency"], given)
        account.change(session, payment_intent=intent["id"])
    if intent["receipt_email"] is None and session["_intent_data"].get("receipt_email"):
        account.change(intent, receipt_email=receipt_email)
    return intent


def _take(account: Account, session: Json, intent: Json, method: Json, *, authenticated: bool) -> None:
    """Charge, complete the session, book the charge: the events come in Stripe's usual order."""
    customer = session["customer"] or _created_customer(account, session)
    account.change(intent, customer=customer)
    charge = take_payment(account, intent, method, authenticated=authenticated)
    if customer and intent["setup_future_usage"] and method["customer"] is None:
        account.change(method, _set_up=True)
        attach(account, method, account.get("customer", customer, "customer"))
    _complete(account, session, customer, None)
    settle_charge(account, charge)


def _created_customer(account: Account, session: Json) -> str | None:
    """The new customer of a session that always makes one."""
    wanted = session["customer_creation"] == "always" or session["_intent_data"].get("setup_future_usage")
    if not wanted:
        return None
    buyer = session["_buyer"]
    customer = add_customer(account, {name: buyer[name] for name in ("email", "name", "address")})
    account.change(session, customer=customer["id"])
    return str(customer["id"])


def _complete(account: Account, session: Json, customer: str | None, email_address: str | None) -> None:
    details = session.get("_buyer") or session["customer_details"] or customer_details(email_address=email_address)
    status = "paid" if session["amount_total"] else "no_payment_required"
    account.change(
        session,
        status="complete",
        payment_status=status,
        url=None,
        customer=customer or session["customer"],
        customer_details=details,
    )
    emit(account, "checkout.session.completed", session)


def authenticated(account: Account, session_id: str, intent: Json) -> None:
    """The buyer passed 3-D Secure: take the payment; a decline leaves the session open with its error noted."""
    session = session_with(account, session_id)
    method = account.get("payment_method", intent["payment_method"], "payment_method")
    try:
        _refuse_closed(session)
        _take(account, session, intent, method, authenticated=True)
    except StripeError:
        return  # the page shows the intent's last error, or that the session has ended


OPERATIONS: list[Operation] = [
    get("/v1/payment_pages/{id}", _retrieve, {"key": text()}, open_to_page=True),
    post("/v1/payment_pages/{id}/confirm", _confirm, _CONFIRM, open_to_page=True),
]

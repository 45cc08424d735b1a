"""Run by an older official SDK in an environment of its own: what bots, agents and platforms wrote by hand for Stripe.

`python documented_programs.py SANDBOX KEY WEBHOOK_SECRET` runs each program's own functions, with the calls and the
keywords that they always had, and prints as JSON what came of them. `event.json` beside it is an event of the desk's
own order, as an agent's webhook gets it.
"""

import hashlib
import hmac
import json
import sys
import time
from datetime import UTC, datetime

import stripe

BASE, KEY, STRIPE_WEBHOOK_SECRET = sys.argv[1:4]
stripe.api_base, stripe.api_key, stripe.max_network_retries = BASE, KEY, 0
seen = {}
HERE = {"success_url": "https://shop.example/yes", "cancel_url": "https://shop.example/no"}


def price_of(name, currency, amount, **more):
    product = stripe.Product.create(name=name)
    return stripe.Price.create(product=product.id, currency=currency, unit_amount=amount, **more).id


def signed(body, secret=STRIPE_WEBHOOK_SECRET):
    stamp = int(time.time())
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"


def refusal(call):
    try:
        call()
    except stripe.error.CardError as e:
        return "card", e.code
    except stripe.error.InvalidRequestError as e:
        return "invalid", e.param
    except stripe.error.AuthenticationError:
        return "authentication", None
    except stripe.error.APIConnectionError:
        return "connection", None
    return "none", None


# --- a Telegram bot that sells credits -------------------------------------------------------------------------------


def verify_stripe_signature(payload, sig_header, webhook_secret):
    try:
        return stripe.Webhook.construct_event(payload, sig_header, webhook_secret)
    except ValueError:
        raise ValueError("Invalid payload") from None
    except stripe.error.SignatureVerificationError:
        raise ValueError("Invalid signature") from None


def create_checkout_session(user_id, price_id):
    session = stripe.checkout.Session.create(
        payment_method_types=["card"],
        line_items=[{"price": price_id, "quantity": 1}],
        mode="payment",
        metadata={"user_id": str(user_id), "product_type": "credits"},
        customer_email=None,
        **HERE,
    )
    return session.url


def create_billing_portal_session(customer_id):
    return stripe.billing_portal.Session.create(customer=customer_id, return_url="https://bot.example/account").url


def get_or_create_stripe_customer(user):
    if user["stripe_customer_id"]:
        return user["stripe_customer_id"]
    customer = stripe.Customer.create(metadata={"telegram_user_id": user["telegram_id"]}, name=user["first_name"])
    user["stripe_customer_id"] = customer.id
    return customer.id


def telegram_bot():
    user = {"telegram_id": 42, "first_name": "Ann", "stripe_customer_id": None}
    customer = get_or_create_stripe_customer(user)
    assert get_or_create_stripe_customer(user) == customer
    url = create_checkout_session(42, price_of("10 credits", "usd", 999))
    payload = json.dumps({"id": "evt_1", "object": "event", "type": "payment_intent.payment_failed"}).encode()
    event = verify_stripe_signature(payload, signed(payload), STRIPE_WEBHOOK_SECRET)
    wrong = []
    for body, header in ((payload, signed(payload, "whsec_other")), (b"{", signed(b"{"))):
        try:
            verify_stripe_signature(body, header, STRIPE_WEBHOOK_SECRET)
        except ValueError as e:
            wrong.append(str(e))
    declined = {"amount": 999, "currency": "usd", "payment_method": "pm_card_chargeDeclined", "confirm": True}
    never = {"automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}}
    seen["telegram"] = {
        "pages": [url.startswith(BASE), create_billing_portal_session(customer).startswith(BASE)],
        "event": event["type"],
        "wrong": wrong,
        "card": refusal(lambda: stripe.PaymentIntent.create(**declined, **never)),
        "invalid": refusal(lambda: stripe.PaymentIntent.create(amount=-1, currency="usd")),
        "authentication": refusal(lambda: stripe.Balance.retrieve(api_key="nothing")),
        "connection": refusal(unreachable),
    }


def unreachable():
    stripe.api_base = "http://127.0.0.1:9"
    try:
        stripe.Balance.retrieve()
    finally:
        stripe.api_base = BASE


# --- a messaging agent -----------------------------------------------------------------------------------------------


def agent(event, sent, reserved):
    if event["type"] == "checkout.session.completed":
        session = event["data"]["object"]
        order_id = session["metadata"]["order_id"]
        sent.append(f"Order {order_id} confirmed!")
        reserved.append(order_id)


def messaging_agent():
    with open("event.json", "rb") as file:
        payload = file.read()
    sent, reserved = [], []
    agent(stripe.Webhook.construct_event(payload, signed(payload), STRIPE_WEBHOOK_SECRET), sent, reserved)
    once = {"amount": 10000, "currency": "usd", "idempotency_key": f"agent-{time.time_ns()}"}
    twice = [stripe.PaymentIntent.create(**once).id for _ in range(2)]
    customer = stripe.Customer.create(
        payment_method="pm_card_visa", invoice_settings={"default_payment_method": "pm_card_visa"}
    )
    season = price_of("Season tickets", "usd", 5000, recurring={"interval": "month"})
    subscription = stripe.Subscription.create(customer=customer.id, items=[{"price": season}])
    seen["agent"] = {"sent": sent, "reserved": reserved, "once": len(set(twice)), "subscription": subscription.status}
    return customer


# --- a Discord bot ---------------------------------------------------------------------------------------------------


def handle_gdpr_request(customer):
    invoices = stripe.Invoice.list(customer=customer.id)
    subscriptions = stripe.Subscription.list(customer=customer.id)
    return {"customer_data": customer, "invoices": invoices.data, "subscriptions": subscriptions.data}


def handle_deletion_request(customer):
    for sub in stripe.Subscription.list(customer=customer.id):
        stripe.Subscription.delete(sub.id)


def discord_bot(subscriber):
    metadata = {"discord_id": "80351110224678912", "premium_tier": "gold", "guild_id": "1001"}
    customer = stripe.Customer.create(email="ann@example.com", metadata=metadata)
    tier = price_of("Gold", "pln", 1999, recurring={"interval": "month"})

    def page(methods, mode, price):
        return stripe.checkout.Session.create(
            customer=customer.id, payment_method_types=methods, line_items=[{"price": price, "quantity": 1}],
            mode=mode, metadata=metadata, **HERE,
        )  # fmt: skip

    session = page(["card"], "subscription", tier)
    once = page(["card", "blik", "p24"], "payment", price_of("A month", "pln", 1999))
    exported = handle_gdpr_request(subscriber)
    handle_deletion_request(subscriber)
    seen["discord"] = {
        "page": session.url.startswith(BASE),
        "metadata": session.metadata.get("discord_id"),
        "methods": once.payment_method_types,
        "blik_for_a_subscription": refusal(lambda: page(["card", "blik", "p24"], "subscription", tier))[0],
        "exported": [len(exported["invoices"]), [one.status for one in exported["subscriptions"]]],
        "left": len(stripe.Subscription.list(customer=subscriber.id).data),
    }


# --- a tutoring bot --------------------------------------------------------------------------------------------------


def create_payment_link(segment, minutes, order_id, conversation_id, student_name, service, audience, program):
    try:
        if segment == "urgent":
            price_id = PRICES["WEEKEND_PRICE_ID_60"] if minutes == 60 else PRICES["WEEKEND_PRICE_ID_90"]
        else:
            price_id = PRICES["STANDARD_PRICE_ID_60"] if minutes == 60 else PRICES["STANDARD_PRICE_ID_90"]
        session = stripe.checkout.Session.create(
            payment_method_types=["card", "ideal"],
            line_items=[{"price": price_id, "quantity": 1}],
            mode="payment",
            success_url=f"https://crm.example/conversations/{conversation_id}",
            cancel_url=f"https://crm.example/conversations/{conversation_id}",
            metadata={
                "order_id": order_id, "conversation_id": conversation_id, "student_name": student_name,
                "service": service, "audience": audience, "program": program, "minutes": minutes,
            },
        )  # fmt: skip
        return session.url
    except Exception as e:
        sys.stderr.write(f"{e}\n")
        return None


def handle_payment_success(event, attributes, labels):
    metadata = event["data"]["object"]["metadata"]
    conversation_id = int(metadata.get("conversation_id"))
    attributes[conversation_id] = {"payment_status": "paid", "payment_date": datetime.now(UTC).isoformat()}
    labels[conversation_id] = ["payment:paid", "status:booked"]
    return metadata.get("order_id"), metadata.get("student_name", "Student")


PRICES = {}


def tutoring_bot():
    for name, amount in (("STANDARD", 6000), ("WEEKEND", 7500)):
        PRICES[f"{name}_PRICE_ID_60"] = price_of(f"{name} 60", "eur", amount)
        PRICES[f"{name}_PRICE_ID_90"] = price_of(f"{name} 90", "eur", amount * 3 // 2)
    given = {"order_id": "order_7", "conversation_id": 12, "student_name": "Ann", "service": "tutoring",
             "audience": "student", "program": "general"}  # fmt: skip
    links = [create_payment_link(segment, minutes, **given) for segment, minutes in (("standard", 60), ("urgent", 90))]
    sessions = stripe.checkout.Session.list(limit=2).data
    paid = {"type": "checkout.session.completed", "data": {"object": sessions[0].to_dict()}}
    attributes, labels = {}, {}
    order = handle_payment_success(paid, attributes, labels)
    seen["tutoring"] = {
        "links": [link.startswith(BASE) for link in links],
        "amounts": [one.amount_total for one in sessions],
        "order": order,
        "status": attributes[12]["payment_status"],
        "labels": labels[12],
    }


telegram_bot()
discord_bot(messaging_agent())
tutoring_bot()
sys.stdout.write(json.dumps(seen))

"""What five other systems wrote by hand runs as they wrote it, and their own sales do not disturb a desk beside them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from desk import Desk
from paydesk import PaymentItem, PaymentManager
from sandbox_fixtures import until
from tools import python_with

PROGRAMS = Path(__file__).with_name("documented_programs.py")


def test_programs_of_their_own_run_on_beside_the_desk(desk: Desk, tmp_path: Path) -> None:
    before = desk.sql("SELECT coalesce(max(id), 0) AS id FROM inbox")[0]["id"]  # others use this desk too
    buyer = desk.buyer("app")
    with PaymentManager(url=desk.url, api_key=desk.key) as payments:
        session = payments.create_checkout_session(
            items=[PaymentItem(name="A game", amount=200.00, quantity=2)],
            customer=("app", buyer.external_id),
            metadata={"order_id": "ORD7"},
            success_url="https://shop.example/yes",
        )
    buyer.pay({"session": session.id, "amount": session.amount_minor})
    desk.settled(session.order, "paid")
    event = desk.event_of(
        "checkout.session.completed", desk.at_stripe("GET", f"/v1/checkout/sessions/{session.id}").json()
    )
    (tmp_path / "event.json").write_text(json.dumps(event))

    command = [
        str(python_with("stripe", "8.11.0")),
        str(PROGRAMS),
        desk.sandbox.url,
        desk.settings["STRIPE_API_KEY"],
        desk.secret,
    ]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "telegram": {
            "pages": [True, True],
            "event": "payment_intent.payment_failed",
            "wrong": ["Invalid signature", "Invalid payload"],
            "card": ["card", "card_declined"],
            "invalid": ["invalid", "amount"],
            "authentication": ["authentication", None],
            "connection": ["connection", None],
        },
        "agent": {"sent": ["Order ORD7 confirmed!"], "reserved": ["ORD7"], "once": 1, "subscription": "active"},
        "discord": {
            "page": True,
            "metadata": "80351110224678912",
            "methods": ["card", "blik", "p24"],
            "blik_for_a_subscription": "invalid",
            "exported": [1, ["active"]],
            "left": 0,
        },
        "tutoring": {
            "links": [True, True],
            "amounts": [11250, 6000],
            "order": ["order_7", "Ann"],
            "status": "paid",
            "labels": ["payment:paid", "status:booked"],
        },
    }
    # Sales that are not the desk's own are seen and left alone.
    until(lambda: desk.get("/v1/events", type="customer.subscription.deleted")["data"], what="their events")
    desk.quiet()
    trouble = "SELECT kind, detail FROM inbox WHERE state IN ('quarantined', 'parked') AND id > $1"
    assert desk.sql(trouble, before) == []

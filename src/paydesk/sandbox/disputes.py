"""Disputes: a buyer's bank takes money back. They come from test cards, or are made with `POST /_sandbox/disputes`."""

from __future__ import annotations

from . import lists
from .accounts import Account
from .balance import book_dispute
from .calls import Call, Operation, get, listing, post
from .errors import Json, StripeError, invalid
from .events import emit
from .later import DEEDS, later
from .params import Kind, Shape, email, fields, flag, merged_metadata, metadata, text
from .refunds import REFUND_FOLLOWERS

_ANSWER_WITHIN_S = 9 * 24 * 3600
_WORDS = (
    "access_activity_log", "billing_address", "cancellation_policy_disclosure", "cancellation_rebuttal",
    "customer_name", "customer_purchase_ip", "duplicate_charge_explanation", "duplicate_charge_id",
    "product_description", "refund_policy_disclosure", "refund_refusal_explanation", "service_date",
    "shipping_address", "shipping_carrier", "shipping_date", "shipping_tracking_number", "uncategorized_text",
)  # fmt: skip
_FILES = (
    "cancellation_policy", "customer_communication", "customer_signature", "duplicate_charge_documentation", "receipt",
    "refund_policy", "service_documentation", "shipping_documentation", "uncategorized_file",
)  # fmt: skip
_LONGEST = 20_000
_OPEN = ("needs_response", "warning_needs_response")
_INQUIRIES = ("warning_needs_response", "warning_under_review")
_UNDER_REVIEW = {"needs_response": "under_review", "warning_needs_response": "warning_under_review"}
FINAL = ("won", "lost", "warning_closed")
STATUSES = ("needs_response", "warning_needs_response", *FINAL)
# Words in `uncategorized_text` that decide the case, as in Stripe's test mode.
_DECIDING = {"winning_evidence": "won", "losing_evidence": "lost", "escalate_inquiry_evidence": "needs_response"}

_EVIDENCE: dict[str, Kind] = {name: text(_LONGEST) for name in (*_WORDS, *_FILES)} | {"customer_email_address": email}
_UPDATE: Shape = {"evidence": fields(_EVIDENCE), "metadata": metadata, "submit": flag}


def add_dispute(account: Account, charge: Json, *, inquiry: bool = False, reason: str = "fraudulent") -> Json:
    """The bank disputes a charge, or only inquires; told, with the money withdrawn unless it is an inquiry."""
    if charge["disputed"] and not inquiry:
        raise invalid(f"Charge {charge['id']} has been disputed already.", "charge", "charge_disputed")
    card = charge["payment_method_details"].get("card")
    dispute = account.add("dispute", {
        "amount": charge["amount_captured"],
        "balance_transactions": [],
        "charge": charge["id"],
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": _evidence(charge),
        "evidence_details": {
            "due_by": account.clock.now_s() + _ANSWER_WITHIN_S, "enhanced_eligibility": {}, "has_evidence": False,
            "past_due": False, "submission_count": 0, "submission_method": "not_submitted",
        },
        "intended_submission_method": None,
        "is_charge_refundable": inquiry,
        "metadata": {},
        "network_reason_code": "10.4" if card else None,
        "payment_intent": charge["payment_intent"],
        "payment_method_details": _details(card, inquiry=inquiry),
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    })  # fmt: skip
    account.change(charge, disputed=True)
    later(account, dispute["evidence_details"]["due_by"], "dispute_overdue", dispute["id"])
    emit(account, "charge.dispute.created", dispute)
    if not inquiry:
        _withdraw(account, dispute)
    return dispute


def _details(card: Json | None, *, inquiry: bool) -> Json | None:
    if card is None:
        return None
    kind = "inquiry" if inquiry else "chargeback"
    return {"card": {"brand": card["brand"], "case_type": kind, "network": card["network"],
                     "network_reason_code": "10.4"}, "type": "card"}  # fmt: skip


def _evidence(charge: Json) -> Json:
    billing = charge["billing_details"]
    return dict.fromkeys((*_WORDS, *_FILES)) | {
        "appeal": None,
        "customer_email_address": billing["email"] or charge["receipt_email"],
        "customer_name": billing["name"],
        "enhanced_evidence": {},
    }


def _withdraw(account: Account, dispute: Json) -> None:
    booked = book_dispute(account, dispute, withdrawn=True)
    account.change(dispute, balance_transactions=[*dispute["balance_transactions"], booked])
    emit(account, "charge.dispute.funds_withdrawn", dispute)


def close_dispute(account: Account, dispute: Json, status: str) -> None:
    """The end of a dispute: `won`, `lost` or `warning_closed`; when won the money comes back."""
    account.change(dispute, status=status, is_charge_refundable=status != "lost")
    charge = account.get("charge", dispute["charge"], "charge")
    if status == "won":
        booked = book_dispute(account, dispute, withdrawn=False)
        account.change(dispute, balance_transactions=[*dispute["balance_transactions"], booked])
        emit(account, "charge.dispute.funds_reinstated", dispute)
    if status != "lost":
        account.change(charge, disputed=status == "won")
    emit(account, "charge.dispute.closed", dispute)


def put_dispute(account: Account, charge_id: str, status: str) -> Json:
    """Bring a charge's dispute to a status, with the events of the way there; makes the dispute when there is none."""
    charge = account.get("charge", charge_id, "charge")
    if not (charge["paid"] and charge["captured"]):
        raise invalid(f"Charge {charge_id} has not been paid; only paid charges can be disputed.", "charge")
    if status not in STATUSES:
        raise invalid(f"Invalid status: must be one of {', '.join(STATUSES)}", "status")
    inquiry = status.startswith("warning")
    dispute = next((row for row in account.all("dispute") if row["charge"] == charge_id and not _is_final(row)), None)
    if dispute is not None and inquiry != dispute["status"].startswith("warning"):
        if inquiry:
            raise invalid("A dispute cannot become an inquiry.", "status")
        _escalate(account, dispute)
    if dispute is None:
        dispute = add_dispute(account, charge, inquiry=inquiry)
    if status in FINAL:
        close_dispute(account, dispute, status)
    return dispute


def _is_final(dispute: Json) -> bool:
    return dispute["status"] in FINAL


def _escalate(account: Account, dispute: Json) -> None:
    """An inquiry becomes a dispute: the money is withdrawn."""
    details: Json | None = dispute["payment_method_details"]
    if details:
        details["card"]["case_type"] = "chargeback"
    previous = account.change(dispute, status="needs_response", is_charge_refundable=False)
    emit(account, "charge.dispute.updated", dispute, previous)
    _withdraw(account, dispute)


def _existing(call: Call) -> Json:
    return call.account.get("dispute", call.id, "dispute", status=404)


def _update(call: Call) -> Json:
    """Evidence is kept; it goes to the bank unless `submit` is false, and is sent only once."""
    dispute, account = _existing(call), call.account
    given = call.params.get("evidence")
    if given and dispute["status"] not in _OPEN:
        raise StripeError(f"This dispute is already {dispute['status']}; its evidence can no longer be changed.",
                          code="dispute_evidence_submitted")  # fmt: skip
    values: Json = {}
    if "metadata" in call.params:
        values["metadata"] = merged_metadata(dispute["metadata"], call.params["metadata"])
    if given:
        values["evidence"] = {**dispute["evidence"], **given}
        values["evidence_details"] = {**dispute["evidence_details"], "has_evidence": True}
    submitted = call.params.get("submit", bool(given)) and dispute["status"] in _OPEN
    if submitted:
        details: Json = values.get("evidence_details") or dispute["evidence_details"]
        values["evidence_details"] = {**details, "submission_count": details["submission_count"] + 1,
                                      "submission_method": "manual"}  # fmt: skip
        values["status"] = _UNDER_REVIEW[dispute["status"]]
    previous = account.change(dispute, **values)
    if previous:
        emit(account, "charge.dispute.updated", dispute, previous)
    if submitted:
        _judge(account, dispute)
    return dispute


def _judge(account: Account, dispute: Json) -> None:
    """Some words of evidence decide the case at once."""
    verdict = _DECIDING.get((dispute["evidence"]["uncategorized_text"] or "").strip())
    inquiry = dispute["status"].startswith("warning")
    if verdict == "needs_response" and inquiry:
        _escalate(account, dispute)
    elif verdict in ("won", "lost"):
        close_dispute(account, dispute, "warning_closed" if inquiry else verdict)


def _close(call: Call) -> Json:
    dispute = _existing(call)
    if _is_final(dispute):
        raise invalid(f"This dispute is already closed: {dispute['status']}.", None, "dispute_already_closed")
    close_dispute(call.account, dispute, "warning_closed" if dispute["status"].startswith("warning") else "lost")
    return dispute


def _retrieve(call: Call) -> Json:
    return _existing(call)


def _list(call: Call) -> Json:
    keep = lists.same(call.params, "charge", "payment_intent")
    return lists.page(call.account, "dispute", call.params, "/v1/disputes", keep)


def _close_inquiries(account: Account, charge: Json) -> None:
    """An inquiry about a charge that was given back in full has nothing left to ask for."""
    for dispute in list(account.all("dispute")):
        if dispute["charge"] == charge["id"] and dispute["status"] in _INQUIRIES:
            close_dispute(account, dispute, "warning_closed")


def _dispute_by_itself(account: Account, charge_id: str) -> None:
    add_dispute(account, account.get("charge", charge_id, "charge"))


def _dispute_as_not_received(account: Account, charge_id: str) -> None:
    add_dispute(account, account.get("charge", charge_id, "charge"), reason="product_not_received")


def _inquire_by_itself(account: Account, charge_id: str) -> None:
    add_dispute(account, account.get("charge", charge_id, "charge"), inquiry=True)


def _overdue(account: Account, dispute_id: str) -> None:
    """Nobody answered in time: the bank decides for its customer, or lets an inquiry rest."""
    dispute = account.find("dispute", dispute_id)
    if dispute is not None and dispute["status"] in _OPEN:
        account.change(dispute, evidence_details={**dispute["evidence_details"], "past_due": True})
        close_dispute(account, dispute, "warning_closed" if dispute["status"].startswith("warning") else "lost")


REFUND_FOLLOWERS.append(_close_inquiries)
DEEDS |= {
    "dispute_overdue": _overdue, "dispute": _dispute_by_itself, "dispute_not_received": _dispute_as_not_received,
    "inquiry": _inquire_by_itself,
}  # fmt: skip
OPERATIONS: list[Operation] = [
    listing("/v1/disputes", _list, {"charge": text(), "payment_intent": text()}),
    get("/v1/disputes/{id}", _retrieve),
    post("/v1/disputes/{id}", _update, _UPDATE),
    post("/v1/disputes/{id}/close", _close),
]

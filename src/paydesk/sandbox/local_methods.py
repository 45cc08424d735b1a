"""What BLIK, P24, iDEAL and SEPA debit carry: their fields, their test codes and test accounts.

BLIK takes any six digits. Stripe publishes no codes for tests, so the ones that end differently are the sandbox's own:
111111 the bank declines, 222222 the code has expired, 333333 the account has no funds, 444444 the buyer rejects the
payment in the banking app, 555555 is over the buyer's limit, 666666 is not a code of the bank, 999999 the buyer does
not answer within a minute.
SEPA debit takes any IBAN whose check digits are right; Stripe's test accounts are in `sepa_accounts`.
"""

from __future__ import annotations

import re

from .accounts import Account
from .cards import Decline
from .errors import Json, StripeError, invalid, missing_parameter
from .ids import derived_text
from .params import Shape, choice, fields, text
from .sepa_accounts import outcome_of_account, refusal_of_account

DAY_S = 24 * 3600
# The account behind every iDEAL payment here.
IDEAL_IBAN = "NL39RABO0300065264"
BLIK_ANSWERS_AFTER_S = 2
BLIK_PATIENCE_S = 60
DEBIT_TAKES_S = 5 * DAY_S

_P24_BANKS = """
    alior_bank bank_millennium bank_nowy_bfg_sa bank_pekao_sa banki_spbdzielcze blik bnp_paribas boz citi_handlowy
    credit_agricole envelobank etransfer_pocztowy24 getin_bank ideabank ing inteligo mbank_mtransfer nest_przelew
    noble_pay pbac_z_ipko plus_bank santander_przelew24 tmobile_usbugi_bankowe toyota_bank velobank volkswagen_bank
""".split()  # noqa: SIM905

_IDEAL_BICS = {
    "abn_amro": "ABNANL2A", "adyen": "ADYBNL2A", "asn_bank": "ASNBNL21", "bunq": "BUNQNL2A", "buut": "BUUTNL2A",
    "finom": "FNOMNL22", "handelsbanken": "HANDNL2A", "ing": "INGBNL2A", "knab": "KNABNL2H", "mollie": "MLLENL2A",
    "moneyou": "MOYONL21",
    "n26": "NTSBDEB1", "nn": "NNBANL2G", "rabobank": "RABONL2U", "regiobank": "RBRBNL21", "revolut": "REVOLT21",
    "sns_bank": "SNSBNL2A", "triodos_bank": "TRIONL2U", "van_lanschot": "FVLBNL22",
    "yoursafe": "BITSNL2A",
}  # fmt: skip
SHAPES: dict[str, Shape] = {
    "blik": {},
    "customer_balance": {},
    "ideal": {"bank": choice(*_IDEAL_BICS)},
    "p24": {"bank": choice(*_P24_BANKS)},
    "sepa_debit": {"iban": text(40, clearable=False)},
}
LOCAL_DATA: Shape = {name: fields(shape, ("iban",) if name == "sepa_debit" else ()) for name, shape in SHAPES.items()}

_REFUSED = "The customer's bank declined the payment."
BLIK_CODES = {
    "111111": Decline("card_declined", _REFUSED, "partner_generic_decline"),
    "222222": Decline("card_declined", "The BLIK code has expired. Ask for a new one.", "code_expired"),
    "333333": Decline("card_declined", "The customer's account has insufficient funds.", "insufficient_funds"),
    "444444": Decline("card_declined", "The customer declined the payment in the banking app.", "customer_declined"),
    "555555": Decline("card_declined", "The payment is over the customer's limit.", "payment_limit_exceeded"),
    "666666": Decline("card_declined", "The BLIK code is not valid. Check it and try again.", "code_invalid"),
}
BLIK_UNANSWERED = "999999"

_IBAN = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")


def local_fields(kind: str, given: Json) -> tuple[Json, Json]:
    """The public fields of a method of this kind, and the sandbox's own ones."""
    if kind == "sepa_debit":
        return _debit_fields(given)
    if kind == "ideal":
        bank = given.get("bank")
        return {"bank": bank, "bic": _IDEAL_BICS[bank] if bank else None}, {}
    if kind == "p24":
        return {"bank": given.get("bank")}, {}
    return {"buyer_id": None} if kind == "blik" else {}, {}


def _debit_fields(given: Json) -> tuple[Json, Json]:
    if "iban" not in given:
        raise missing_parameter("sepa_debit[iban]")
    iban = given["iban"].replace(" ", "").upper()
    if not _IBAN.fullmatch(iban) or not _check_digits_hold(iban):
        raise invalid("The IBAN you entered is invalid.", "sepa_debit[iban]", "invalid_bank_account_iban")
    refusal = refusal_of_account(iban)
    if refusal is not None:
        raise refusal
    shown = {
        "bank_code": iban[4:12],
        "branch_code": "",
        "country": iban[:2],
        "fingerprint": derived_text(iban, 16),
        "generated_from": {"charge": None, "setup_attempt": None},
        "last4": iban[-4:],
    }
    return shown, {"_iban": iban}


def _check_digits_hold(iban: str) -> bool:
    """Whether the two digits after the country are the right ones (ISO 7064)."""
    turned = iban[4:] + iban[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def debit_outcome(method: Json) -> tuple[Decline | None, bool]:
    """What becomes of a debit from this account: why it fails, and whether it is disputed afterwards."""
    return outcome_of_account(method.get("_iban", ""))


def checked_code(options: Json) -> str:
    """The six digits of a BLIK code; anything else is refused."""
    code = (options.get("blik") or {}).get("code")
    if not code:
        raise StripeError("You must provide a BLIK code.", code="parameter_missing",
                          param="payment_method_options[blik][code]")  # fmt: skip
    if not re.fullmatch(r"\d{6}", code):
        raise invalid("The BLIK code must have six digits.", "payment_method_options[blik][code]",
                      "parameter_invalid_string")  # fmt: skip
    return str(code)


def charge_details(account: Account, method: Json) -> Json:
    """A charge's `payment_method_details` for a method that is no card."""
    kind = method["type"]
    if kind == "sepa_debit":
        shown = {name: value for name, value in method[kind].items() if name != "generated_from"}
        details = {**shown, "expected_debit_date": None, "mandate": method.get("_mandate")}
    elif kind == "ideal":
        blank = dict.fromkeys(("generated_sepa_debit", "generated_sepa_debit_mandate", "transaction_id"))
        details = {**blank, **method[kind], "iban_last4": IDEAL_IBAN[-4:], "verified_name": "Jenny Rosen",
                   **method.get("_generated", {})}  # fmt: skip
    elif kind == "p24":
        details = {**method[kind], "reference": "P24-" + derived_text(method["id"], 10), "verified_name": "Jenny Rosen"}
    else:
        details = dict(method[kind])
    return {kind: details, "type": kind}

"""The test cards: what each number does, the tokens that stand for them, and the texts of their refusals."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import Json, StripeError


@dataclass(frozen=True)
class Decline:
    """Why a bank says no, and how Stripe words it."""

    code: str
    message: str
    decline_code: str | None = None
    advice_code: str = "try_again_later"
    network_decline_code: str | None = "01"
    blocked: bool = False  # by Stripe, before the bank was asked
    failure_code: str | None = None  # of the charge, where it is not `code`
    param: str | None = None  # the field of the card that is wrong

    def fields(self) -> Json:
        """The fields that an error and `last_payment_error` have beside code and message."""
        return {
            "advice_code": self.advice_code,
            "decline_code": self.decline_code or self.code,
            "network_decline_code": self.network_decline_code,
        }


_SAID_NO = "Your card was declined."
GENERIC = Decline("card_declined", _SAID_NO, "generic_decline")
INSUFFICIENT = Decline(
    "card_declined", "Your card has insufficient funds.", "insufficient_funds", network_decline_code="51"
)
LOST = Decline("card_declined", _SAID_NO, "lost_card", "do_not_try_again", "41")
STOLEN = Decline("card_declined", _SAID_NO, "stolen_card", "do_not_try_again", "43")
EXPIRED = Decline("expired_card", "Your card has expired.", None, "do_not_try_again", "54", param="exp_month")
WRONG_CVC = Decline(
    "incorrect_cvc", "Your card's security code is incorrect.", None, "confirm_card_data", "82", param="cvc"
)
TOO_OFTEN = Decline("card_declined", _SAID_NO, "card_velocity_exceeded", "do_not_try_again", "65")
BLOCKED = Decline("card_declined", _SAID_NO, "fraudulent", "do_not_try_again", None, blocked=True)
PROCESSING = Decline(
    "processing_error", "An error occurred while processing your card. Try again in a little bit.", None
)
NOT_A_TEST_CARD = Decline(
    "card_declined",
    "Your card was declined. Your request was in test mode, but used a non test (live) card. For a list of valid test "
    "cards, visit: https://stripe.com/docs/testing.",
    "test_mode_live_card",
)
NEEDS_AUTHENTICATION = Decline(
    "authentication_required", "Your card was declined. This transaction requires authentication.",
    "authentication_required", "confirm_card_data", "65",
)  # fmt: skip


@dataclass(frozen=True)
class Card:
    """How a test card behaves.

    `attach` and `charge` say what is refused. `authentication` is `never`, `always`, `unless_set_up` (asked for on
    the first payment, not off-session once set up) or `on_session` (set up already). `aftermath` names what follows a
    paid charge by itself, `fails` the checks of CVC and address that fail, `at_once` whether the money is available
    without waiting, `second_network` the other network of a card that has two.
    """

    number: str
    brand: str = "visa"
    country: str = "US"
    funding: str = "credit"
    attach: Decline | None = None
    charge: Decline | None = None
    authentication: str = "never"
    hint: str = ""
    aftermath: str = ""
    fails: tuple[str, ...] = ()
    risk: str = "normal"
    at_once: bool = False
    second_network: str = ""

    @property
    def last4(self) -> str:
        """The last four digits."""
        return self.number[-4:]


def _declined(number: str, decline: Decline, hint: str) -> Card:
    return Card(number, attach=decline, charge=decline, hint=hint)


_OF_COUNTRIES = {
    "AT": "4000000400000008", "AU": "4000000360000006", "BE": "4000000560000004", "BG": "4000001000000000",
    "BR": "4000000760000002", "CA": "4000001240000000", "CH": "4000007560000009", "CZ": "4000002030000002",
    "DE": "4000002760000016", "DK": "4000002080000001", "EE": "4000002330000009", "ES": "4000007240000007",
    "FI": "4000002460000001", "FR": "4000002500000003", "GB": "4000008260000000", "GR": "4000003000000030",
    "HK": "4000003440000004", "HU": "4000003480000005", "IE": "4000003720000005", "IN": "4000003560000008",
    "IT": "4000003800000008", "JP": "4000003920000003", "LT": "4000004400000000", "LU": "4000004420000006",
    "LV": "4000004280000005", "MX": "4000004840008001", "NL": "4000005280000002", "NO": "4000005780000007",
    "NZ": "4000005540000008", "PL": "4000006160000005", "PT": "4000006200000007", "RO": "4000006420000001",
    "SE": "4000007520000008", "SG": "4000007020000003", "SI": "4000007050000006", "SK": "4000007030000001",
}  # fmt: skip
_CARDS = [
    Card("4242424242424242", hint="Works"),
    _declined("4000000000000002", GENERIC, "Declined"),
    _declined("4000000000009995", INSUFFICIENT, "Insufficient funds"),
    Card("4000002500003155", authentication="unless_set_up", hint="3-D Secure"),
    Card("4000002760003184", authentication="always", hint="3-D Secure, always"),
    Card("4000000000003220", authentication="always", hint="3-D Secure 2"),
    Card("4000008260003178", authentication="always", charge=INSUFFICIENT, hint="3-D Secure, no funds"),
    Card("4000008400001629", authentication="always", charge=GENERIC, hint="3-D Secure, then declined"),
    Card("4000003800000446", authentication="on_session", hint="3-D Secure, already set up for off-session use"),
    _declined("4000000000009987", LOST, "Lost card"),
    _declined("4000000000009979", STOLEN, "Stolen card"),
    _declined("4000000000000069", EXPIRED, "Expired card"),
    _declined("4000000000000127", WRONG_CVC, "Incorrect CVC"),
    _declined("4000000000000119", PROCESSING, "Processing error"),
    Card("4000000000000341", charge=GENERIC, hint="Attaches to a customer, then every charge fails"),
    Card("4000000000000259", hint="Works, disputed later", aftermath="dispute"),
    Card("4000000404000038", hint="Works, disputed later", aftermath="dispute"),
    Card("4000000000002685", hint="Works, disputed as not received", aftermath="dispute_not_received"),
    Card("4000000000001976", hint="Works, an inquiry later", aftermath="inquiry"),
    Card("4000000000005126", hint="Works, a refund fails later"),
    Card("4000000000007726", hint="Works, a refund is pending at first"),
    Card("4000000000005423", hint="Works, an early fraud warning later", aftermath="fraud_warning"),
    Card("4000000000000077", hint="Works, funds available at once", at_once=True),
    Card("4000003720000278", country="IE", hint="Works, funds available at once", at_once=True),
    _declined("4000000000006975", TOO_OFTEN, "Velocity limit"),
    Card("4100000000000019", charge=BLOCKED, risk="highest", hint="Blocked as fraud"),
    Card("4000000000004954", charge=BLOCKED, risk="highest", hint="Highest risk, blocked"),
    Card("4000000000009235", risk="elevated", hint="Works, elevated risk"),
    Card("4000000000000101", fails=("cvc_check",), hint="Works, the CVC check fails"),
    Card("4000000000000036", fails=("address_postal_code_check",), hint="Works, the postal code check fails"),
    Card("4000000000000028", fails=("address_line1_check",), hint="Works, the address check fails"),
    Card(
        "4000000000000010", fails=("address_line1_check", "address_postal_code_check"), hint="Works, both checks fail"
    ),
    Card("4000008400001280", authentication="always", charge=GENERIC, hint="3-D Secure cannot be asked"),
    Card("4000000000003055", hint="Works, 3-D Secure optional"),
    Card("4000056655665556", funding="debit", hint="Works, debit"),
    Card("5555555555554444", "mastercard", hint="Works"),
    Card("2223003122003222", "mastercard", hint="Works"),
    Card("5200828282828210", "mastercard", funding="debit", hint="Works, debit"),
    Card("5105105105105100", "mastercard", funding="prepaid", hint="Works, prepaid"),
    Card("378282246310005", "amex", hint="Works"),
    Card("6011111111111117", "discover", hint="Works"),
    Card("3056930009020004", "diners", hint="Works"),
    Card("3566002020360505", "jcb", hint="Works"),
    Card("6200000000000005", "unionpay", hint="Works"),
    Card("371449635398431", "amex", hint="Works"),
    Card("6011000990139424", "discover", hint="Works"),
    Card("6011981111111113", "discover", funding="debit", hint="Works, debit"),
    Card("36227206271667", "diners", hint="Works"),
    Card("4000002500001001", country="FR", hint="Works, Cartes Bancaires", second_network="cartes_bancaires"),
    Card("5555552500001001", "mastercard", "FR", hint="Works, Cartes Bancaires", second_network="cartes_bancaires"),
    Card("6205500000000000004", "unionpay", hint="Works"),
    *(Card(number, country=country, hint=f"Works, card of {country}") for country, number in _OF_COUNTRIES.items()),
]
CARDS = {card.number: card for card in _CARDS}

_TOKENS = {
    "visa": "4242424242424242",
    "visa_debit": "4000056655665556",
    "mastercard": "5555555555554444",
    "mastercard_debit": "5200828282828210",
    "mastercard_prepaid": "5105105105105100",
    "amex": "378282246310005",
    "discover": "6011111111111117",
    "diners": "3056930009020004",
    "jcb": "3566002020360505",
    "unionpay": "6200000000000005",
    "us": "4242424242424242",
    **{country.lower(): number for country, number in _OF_COUNTRIES.items()},
    "cartesBancaires": "4000002500001001",
    "visa_cartesBancaires": "4000002500001001",
    "mastercard_cartesBancaires": "5555552500001001",
    "amex_threeDSecureNotSupported": "378282246310005",
    "chargeDeclined": "4000000000000002",
    "visa_chargeDeclined": "4000000000000002",
    "chargeDeclinedInsufficientFunds": "4000000000009995",
    "visa_chargeDeclinedInsufficientFunds": "4000000000009995",
    "chargeDeclinedLostCard": "4000000000009987",
    "visa_chargeDeclinedLostCard": "4000000000009987",
    "chargeDeclinedStolenCard": "4000000000009979",
    "visa_chargeDeclinedStolenCard": "4000000000009979",
    "chargeDeclinedExpiredCard": "4000000000000069",
    "visa_chargeDeclinedExpiredCard": "4000000000000069",
    "chargeDeclinedIncorrectCvc": "4000000000000127",
    "chargeDeclinedProcessingError": "4000000000000119",
    "visa_chargeDeclinedVelocityLimitExceeded": "4000000000006975",
    "chargeDeclinedFraudulent": "4100000000000019",
    "radarBlock": "4100000000000019",
    "riskLevelHighest": "4000000000004954",
    "riskLevelElevated": "4000000000009235",
    "cvcCheckFail": "4000000000000101",
    "avsZipFail": "4000000000000036",
    "avsLine1Fail": "4000000000000028",
    "avsFail": "4000000000000010",
    "chargeCustomerFail": "4000000000000341",
    "authenticationRequiredOnSetup": "4000002500003155",
    "authenticationRequired": "4000002760003184",
    "authenticationRequiredSetupForOffSession": "4000003800000446",
    "authenticationRequiredChargeDeclinedInsufficientFunds": "4000008260003178",
    "threeDSecureRequiredChargeDeclined": "4000008400001629",
    "threeDSecureRequiredProcessingError": "4000008400001280",
    "threeDSecureRequired": "4000000000003220",
    "threeDSecureOptional": "4000000000003055",
    "threeDSecure2Required": "4000000000003220",
    "createDispute": "4000000000000259",
    "createCe3EligibleDispute": "4000000404000038",
    "createDisputeProductNotReceived": "4000000000002685",
    "createDisputeInquiry": "4000000000001976",
    "refundFail": "4000000000005126",
    "pendingRefund": "4000000000007726",
    "createIssuerFraudRecord": "4000000000005423",
    "bypassPendingInternational": "4000003720000278",
    "bypassPending": "4000000000000077",
}


def card_of_token(token: str) -> Card | None:
    """The card that `pm_card_…` or `tok_…` stands for, or None."""
    for prefix in ("pm_card_", "tok_"):
        if token.startswith(prefix):
            number = _TOKENS.get(token.removeprefix(prefix))
            return CARDS[number] if number else None
    return None


def card_of_number(number: str) -> Card:
    """The test card with this number; a number with a typing error, or of a real card, is refused."""
    digits = number.replace(" ", "").replace("-", "")
    if not digits.isdecimal() or not 12 <= len(digits) <= 19 or not _checksum_holds(digits):
        raise card_error("incorrect_number", "Your card number is incorrect.", "number")
    card = CARDS.get(digits)
    if card is None:
        raise refused(NOT_A_TEST_CARD, param="")
    return card


def _checksum_holds(digits: str) -> bool:
    """Whether the last digit is the right one (Luhn)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def card_error(code: str, message: str, param: str | None = None) -> StripeError:
    """A card that cannot be right: 402 with the field named."""
    return StripeError(message, status=402, kind="card_error", code=code, param=param)


def refused(decline: Decline, *, param: str | None = None, extra: Json | None = None) -> StripeError:
    """The answer 402 for a decline; `param` is what is named where the decline itself names no field."""
    return StripeError(
        decline.message,
        status=402,
        kind="card_error",
        code=decline.code,
        param=decline.param or param,
        extra={**decline.fields(), **(extra or {})},
    )

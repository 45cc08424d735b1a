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
    network_decline_code: str = "01"

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
EXPIRED = Decline("expired_card", "Your card has expired.", None, "do_not_try_again", "54")
WRONG_CVC = Decline("incorrect_cvc", "Your card's security code is incorrect.", None, "confirm_card_data", "82")
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
    the first payment, not off-session once set up) or `on_session` (set up already).
    """

    number: str
    brand: str = "visa"
    country: str = "US"
    funding: str = "credit"
    attach: Decline | None = None
    charge: Decline | None = None
    authentication: str = "never"
    hint: str = ""

    @property
    def last4(self) -> str:
        """The last four digits."""
        return self.number[-4:]


def _declined(number: str, decline: Decline, hint: str) -> Card:
    return Card(number, attach=decline, charge=decline, hint=hint)


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
    Card("4000000000000259", hint="Works, disputed later"),
    Card("4000000000001976", hint="Works, an inquiry later"),
    Card("4000000000005126", hint="Works, a refund fails later"),
    Card("4000000000007726", hint="Works, a refund is pending at first"),
    Card("4000000000005423", hint="Works, an early fraud warning later"),
    Card("4000000000000077", hint="Works, funds available at once"),
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
    Card("4000006160000005", country="PL", hint="Works, Polish card"),
    Card("4000005280000002", country="NL", hint="Works, Dutch card"),
    Card("4000002760000016", country="DE", hint="Works, German card"),
    Card("4000008260000000", country="GB", hint="Works, British card"),
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
    "pl": "4000006160000005",
    "nl": "4000005280000002",
    "de": "4000002760000016",
    "gb": "4000008260000000",
    "chargeDeclined": "4000000000000002",
    "visa_chargeDeclined": "4000000000000002",
    "chargeDeclinedInsufficientFunds": "4000000000009995",
    "visa_chargeDeclinedInsufficientFunds": "4000000000009995",
    "chargeDeclinedLostCard": "4000000000009987",
    "visa_chargeDeclinedLostCard": "4000000000009987",
    "chargeDeclinedStolenCard": "4000000000009979",
    "visa_chargeDeclinedStolenCard": "4000000000009979",
    "chargeDeclinedExpiredCard": "4000000000000069",
    "chargeDeclinedIncorrectCvc": "4000000000000127",
    "chargeDeclinedProcessingError": "4000000000000119",
    "chargeCustomerFail": "4000000000000341",
    "authenticationRequiredOnSetup": "4000002500003155",
    "authenticationRequired": "4000002760003184",
    "authenticationRequiredSetupForOffSession": "4000003800000446",
    "authenticationRequiredChargeDeclinedInsufficientFunds": "4000008260003178",
    "threeDSecureRequiredChargeDeclined": "4000008400001629",
    "threeDSecure2Required": "4000000000003220",
    "createDispute": "4000000000000259",
    "createDisputeInquiry": "4000000000001976",
    "refundFail": "4000000000005126",
    "pendingRefund": "4000000000007726",
    "createIssuerFraudRecord": "4000000000005423",
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
    """The answer 402 for a decline."""
    return StripeError(
        decline.message,
        status=402,
        kind="card_error",
        code=decline.code,
        param=param,
        extra={**decline.fields(), **(extra or {})},
    )

"""Stripe's test bank accounts for SEPA debit: what becomes of a debit from each, and the tokens that stand for them.

An account that is not listed pays. The amounts limits and the missing funds are told by the account's last digits, the
other failures account by account. A debit takes its days in any case: the clock decides, not the account.
"""

from __future__ import annotations

from .cards import Decline
from .errors import StripeError, invalid

_FAILED = Decline("payment_intent_payment_attempt_failed", "The payment failed.", "generic_decline")
_NO_FUNDS = Decline("insufficient_funds", "The account has insufficient funds.", "insufficient_funds")
_WEEKLY = Decline(
    "charge_exceeds_transaction_limit", "The amount is over the limit of one week.",
    failure_code="charge_exceeds_weekly_limit",
)  # fmt: skip
_SOURCE = Decline("charge_exceeds_source_limit", "The amount is over the limit of this account.", None)

_BY_LAST_DIGITS = {"343434": _SOURCE, "121212": _WEEKLY, "2222227": _NO_FUNDS}
# Country: (pays, pays late, fails, fails late, pays and is disputed).
_ACCOUNTS = {
    "AT": ("AT611904300234573201", "AT321904300235473204", "AT861904300235473202", "AT051904300235473205",
           "AT591904300235473203"),
    "BE": ("BE62510007547061", "BE78510007547064", "BE68539007547034", "BE51510007547065", "BE08510007547063"),
    "DE": ("DE89370400440532013000", "DE08370400440532013003", "DE62370400440532013001", "DE78370400440532013004",
           "DE35370400440532013002"),
    "EE": ("EE382200221020145685", "EE222200221020145682", "EE762200221020145680", "EE922200221020145683",
           "EE492200221020145681"),
    "ES": ("ES0700120345030000067890", "ES2300120345030000067893", "ES9121000418450200051332",
           "ES9300120345030000067894", "ES5000120345030000067892"),
    "FI": ("FI2112345600000785", "FI3712345600000788", "FI9112345600000786", "FI1012345600000789",
           "FI6412345600000787"),
    "FR": ("FR1420041010050500013M02606", "FR3020041010050500013M02609", "FR8420041010050500013M02607",
           "FR7920041010050500013M02600", "FR5720041010050500013M02608"),
    "HR": ("HR7624020064583467589", "HR6323600002337876649", "HR2725000096983499248", "HR6723600004878117427",
           "HR8724840081455523553"),
    "IE": ("IE29AIBK93115212345678", "IE24AIBK93115212345671", "IE02AIBK93115212345679", "IE94AIBK93115212345672",
           "IE51AIBK93115212345670"),
    "LT": ("LT121000011101001000", "LT281000011101001003", "LT821000011101001001", "LT981000011101001004",
           "LT551000011101001002"),
    "LU": ("LU280019400644750000", "LU440019400644750003", "LU980019400644750001", "LU170019400644750004",
           "LU710019400644750002"),
    "NL": ("NL39RABO0300065264", "NL55RABO0300065267", "NL91ABNA0417164300", "NL28RABO0300065268",
           "NL82RABO0300065266"),
    "PT": ("PT50000201231234567890154", "PT66000201231234567890157", "PT23000201231234567890155",
           "PT39000201231234567890158", "PT93000201231234567890156"),
}  # fmt: skip
_SCENARIOS = ("success", "successDelayed", "failed", "failedDelayed", "disputed")
# The one that the official CLI lets fail.
_OF_THE_CLI = "IT60X0542811101000000123456"

_FAILING = {account for accounts in _ACCOUNTS.values() for account in accounts[2:4]} | {_OF_THE_CLI}
_DISPUTED = {accounts[4] for accounts in _ACCOUNTS.values()}


def iban_of_token(token: str) -> str | None:
    """The account that `pm_sepaDebit_success_de` (or `pm_success_de`) stands for, or None."""
    scenario, _, country = token.removeprefix("pm_").removeprefix("sepaDebit_").rpartition("_")
    accounts = _ACCOUNTS.get(country.upper())
    if not token.startswith("pm_") or accounts is None or scenario not in _SCENARIOS:
        return None
    return accounts[_SCENARIOS.index(scenario)]


def outcome_of_account(iban: str) -> tuple[Decline | None, bool]:
    """What becomes of a debit from this account: why it fails, and whether it is disputed afterwards."""
    if iban in _FAILING:
        return _FAILED, False
    for digits, decline in _BY_LAST_DIGITS.items():
        if iban.endswith(digits):
            return decline, False
    return None, iban in _DISPUTED


def refusal_of_account(iban: str) -> StripeError | None:
    """Why an account cannot be a payment method at all; None for most."""
    if iban.endswith("00055555"):
        return invalid(
            "This bank does not take part in SEPA debit.", "sepa_debit[iban]", "sepa_debit_bank_not_supported"
        )
    if iban.endswith("00066666"):
        return invalid("This account cannot be debited.", "sepa_debit[iban]", "sepa_debit_debits_not_supported")
    return None

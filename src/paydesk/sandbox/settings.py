"""What can be set while the sandbox runs, for all of its accounts: `/_sandbox/settings`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from .errors import Json
from .exchange import KNOWN
from .versions import LATEST, is_version


@dataclass
class Settings:
    """`api_version` is the accounts' default, for requests and webhooks that name none; an
    account may be older than the oldest version known here: its events bear its version and come in the oldest shapes
    known, and requests that name none are refused. `rate_limit_per_s` refuses
    more requests than that in a second of an account with 429; 0 refuses none, Stripe's test mode has 25.
    `search_delay_s` hides an object from searches for so long after its last change. `settlement_currency` is the one
    in which the seller is paid, so that payments in others are exchanged; empty pays each in its own. `adaptive_pricing`
    shows a session's buyer their own currency where the session does not say whether to."""

    api_version: str = LATEST
    rate_limit_per_s: int = 0
    search_delay_s: float = 0.0
    settlement_currency: str = ""
    adaptive_pricing: bool = False

    def take(self, given: Json) -> None:
        """Set what is given, all or nothing; ValueError says what is wrong."""
        checked = {name: _checked(name, value) for name, value in given.items()}
        for name, value in checked.items():
            setattr(self, name, value)

    def shown(self) -> Json:
        """The settings as JSON."""
        return asdict(self)


_NAMES = [field.name for field in fields(Settings)]


def _checked(name: str, value: object) -> str | int | float:
    """A value that its setting may have."""
    if name == "api_version" and isinstance(value, str) and is_version(value):
        return value
    if name == "settlement_currency" and (value == "" or value in KNOWN):
        return str(value)
    if name == "adaptive_pricing" and isinstance(value, bool):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name == "rate_limit_per_s" and number and isinstance(value, int) and 0 <= value <= 100_000:
        return value
    if name == "search_delay_s" and number and isinstance(value, int | float) and 0 <= value <= 86400:
        return float(value)
    if name not in _NAMES:
        raise ValueError(f"There is no setting {name!r}; there are {', '.join(_NAMES)}.")
    raise ValueError(f"{value!r} cannot be {name}.")

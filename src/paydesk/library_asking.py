"""How the library asks: requests and answers as values, whoever carries them; amounts made exact; errors made ours.

Each call of the library is written once, as a generator that yields requests and returns what it makes of the answers.
`run` and `run_async` carry it out over a line, which is either the service in this process or one far away.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import orjson

from paydesk import errors, money
from paydesk.errors import Invalid, NotFound, PaydeskError
from paydesk.library_shapes import Amount, Customer, Identity, Who

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the native API. `key` is its idempotency key, the same whenever it is repeated."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    params: Mapping[str, Any] | None = None
    key: str | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers that the request itself brings."""
        kind = {"Content-Type": "application/json"} if self.body is not None else {}
        return kind if self.key is None else {**kind, "Idempotency-Key": self.key}

    def content(self) -> bytes | None:
        """Return the body as it is sent."""
        return None if self.body is None else orjson.dumps(self.body)

    def query(self) -> dict[str, Any]:
        """Return the parameters that were given a value."""
        return {name: value for name, value in (self.params or {}).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Told:
    """What was answered."""

    status: int
    body: bytes
    retry_after: str | None = None


Answer = Generator[Request, Any, T]
"""A call under way: it yields requests, is sent the JSON of their answers, and returns what the call returns."""


class Line(Protocol):
    """Carries requests, one at a time or from many threads at once. Raises `Unreachable` when nobody answers."""

    def ask(self, request: Request) -> Told:
        """Carry one request and return its answer, whatever its status."""
        ...

    def close(self) -> None:
        """Let go of everything; nothing can be asked any more."""
        ...


class AsyncLine(Protocol):
    """Carries requests on one event loop, many at once. Raises `Unreachable` when nobody answers."""

    async def ask(self, request: Request) -> Told:
        """Carry one request and return its answer, whatever its status."""
        ...

    async def close(self) -> None:
        """Let go of everything; nothing can be asked any more."""
        ...


def run(line: Line, call: Answer[T]) -> T:
    """Carry a call out, request by request, and return what it returns."""
    request = next(call)
    while True:
        try:
            request = call.send(read(line.ask(request)))
        except StopIteration as end:
            result: T = end.value
            return result


async def run_async(line: AsyncLine, call: Answer[T]) -> T:
    """Carry a call out, request by request, and return what it returns."""
    request = next(call)
    while True:
        try:
            request = call.send(read(await line.ask(request)))
        except StopIteration as end:
            result: T = end.value
            return result


def post(path: str, body: Mapping[str, Any], key: str | None) -> Request:
    """Return a POST of what has a value, under the caller's key or one of its own."""
    given = {name: value for name, value in body.items() if value is not None}
    return Request("POST", path, given, key=key or new_key())


def new_key() -> str:
    """Return an idempotency key that nobody has."""
    return f"lib_{secrets.token_hex(16)}"


# --- errors ----------------------------------------------------------------------------------------------------------

_BY_STATUS: dict[int, type[PaydeskError]] = {
    400: Invalid, 401: errors.Unauthorized, 402: errors.StripeRefused, 403: errors.Forbidden, 404: NotFound,
    405: Invalid, 409: errors.Conflict, 413: errors.TooLarge, 422: Invalid, 429: errors.TooMany,
    502: errors.Unreachable, 503: errors.Unreachable, 504: errors.Unreachable,
}  # fmt: skip
_BY_CODE: dict[str, type[PaydeskError]] = {
    one.code: one for one in (errors.InsufficientCredits, errors.StoreUnavailable, errors.StripeUnavailable)
}


def read(told: Told) -> Any:
    """Return the JSON of an answer; raises the error of `paydesk.errors` that it tells of."""
    try:
        content = orjson.loads(told.body)
    except orjson.JSONDecodeError:
        content = None
    if 200 <= told.status < 300 and content is not None:
        return content
    raise _error(told, content)


def _error(told: Told, content: Any) -> PaydeskError:
    found = content.get("error") if isinstance(content, dict) else None
    if not isinstance(found, dict):  # something between us and Paydesk has answered
        found = {"message": f"what answered is no Paydesk: status {told.status}; check the address"}
        kind = errors.Unreachable if told.status < 400 else _BY_STATUS.get(told.status, errors.Unreachable)
    elif "payment" in found:
        kind = errors.PaymentRefused
    else:
        kind = _BY_CODE.get(found.get("code", ""), _BY_STATUS.get(told.status, PaydeskError))
    error = kind.__new__(kind)  # the message is whole already: what a class adds to it stands in it
    PaydeskError.__init__(error, found["message"], param=found.get("param"), code=found.get("code"))
    error.status = told.status
    error.request_id = found.get("request_id")
    if told.retry_after is not None and told.retry_after.isdigit():
        error.retry_after_s = int(told.retry_after)
    if isinstance(error, errors.StripeRefused):
        error.about = error.reason = None
    if isinstance(error, errors.PaymentRefused):
        error.payment = found["payment"]
    return error


# --- what is given ---------------------------------------------------------------------------------------------------


def currency_of(text: str) -> str:
    """Return a currency in lower case; raises `Invalid` for one that Stripe does not charge in."""
    code = text.lower() if isinstance(text, str) else ""
    if not money.is_currency(code):
        raise Invalid(f"{text!r} is not a currency that Stripe charges in, such as usd or eur", param="currency")
    return code


def minor_of(amount: Amount, currency: str, param: str = "amount") -> int:
    """Return an amount of the main unit in the smallest one, exactly.

    A float counts as it is printed, its shortest decimal form, so `19.99` is 1999 cents. Raises `Invalid` for more
    decimals than the currency has (round first), for zero, signs, NaN, and what is no amount.
    """
    text = _written(amount, param)
    decimals = len(text.rstrip("0").partition(".")[2]) if "." in text else 0
    if text.replace(".", "", 1).isdigit() and decimals > money.exponent(currency):
        raise Invalid(
            f"{currency} has {money.exponent(currency)} decimals, {text} has more: round it first", param=param
        )
    try:
        minor = money.to_minor(text, currency)
    except ValueError as error:
        raise Invalid(str(error), param=param) from None
    if minor == 0:
        raise Invalid("an amount must be more than 0", param=param)
    return minor


def _written(amount: Amount, param: str) -> str:
    """Return an amount as decimal digits, without the zeros that a number brings behind its point."""
    if isinstance(amount, str):
        return amount
    if isinstance(amount, float):
        amount = Decimal(float.__repr__(amount))
    elif isinstance(amount, int) and not isinstance(amount, bool):
        amount = Decimal(amount)
    if not isinstance(amount, Decimal) or not amount.is_finite():
        raise Invalid(f'an amount is a number or a decimal string such as "9.99", not {amount!r}', param=param)
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


MARK = "paydesk_"
"""How the keys begin that we put into metadata ourselves: they say which discount an order has, and which order it is."""


def mark_in(metadata: Iterable[object]) -> str | None:
    """Return what is wrong when a caller's metadata has a key of ours, else `None`: no caller may set our marks."""
    ours = sorted(name for name in metadata if isinstance(name, str) and name.startswith(MARK))
    return f"{ours[0]} cannot be set: keys that begin with {MARK} are ours" if ours else None


def texts(metadata: Mapping[str, object] | None) -> dict[str, str] | None:
    """Return metadata with every value as text, as Stripe keeps it. Raises `Invalid` for a key of ours."""
    wrong = mark_in(metadata or ())
    if wrong is not None:
        raise Invalid(wrong, param="metadata")
    return None if metadata is None else {name: str(value) for name, value in metadata.items()}


def quoted(id_: str) -> str:
    """Return an id as a part of a path; raises `Invalid` for what is no id."""
    if not isinstance(id_, str) or not id_ or id_ in (".", ".."):
        raise Invalid(f"an id is a text, not {id_!r}", param="id")
    return quote(id_, safe="")


# --- who -------------------------------------------------------------------------------------------------------------


def named(who: Who) -> str | dict[str, str]:
    """Return a person as the API takes them where they may be new: an id, or where they are met."""
    if isinstance(who, str):
        return who
    if isinstance(who, Customer):
        return who.id
    channel, external_id = (who.channel, who.external_id) if isinstance(who, Identity) else _pair(who)
    return {"channel": channel, "external_id": str(external_id)}


def _pair(who: Any) -> tuple[str, str | int]:
    if (
        not isinstance(who, tuple | list)
        or len(who) != 2
        or isinstance(who[1], bool)
        or not isinstance(who[1], str | int)
    ):
        raise Invalid(f'a customer is an id, or a pair such as ("telegram", 42), not {who!r}', param="customer")
    return who[0], who[1]


def id_of(who: Who) -> Answer[str]:
    """Return a person's id, quoted for a path; of a pair it is looked up. Raises `NotFound`."""
    known = named(who)
    if isinstance(known, str):
        return quoted(known)
    found = yield Request("GET", "/v1/customers", params=known)
    if not found["data"]:
        raise NotFound(f"nobody is known as {known['channel']} {known['external_id']}", param="customer")
    return str(found["data"][0]["id"])


def guest(key: str) -> dict[str, str]:
    """Return somebody who is nobody yet: whoever pays what was asked for under this key."""
    return {"channel": "guest", "external_id": hashlib.sha256(key.encode()).hexdigest()[:32]}

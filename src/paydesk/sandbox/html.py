"""How a page of the sandbox is made: its template, its headers, and what templates may call."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, Response

from .method_rules import RULES
from .money import written

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' https: http: data:; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def day(moment_s: int) -> str:
    """A time in seconds as `21 November 2026`."""
    moment = datetime.fromtimestamp(moment_s, UTC)
    return f"{moment.day} {moment:%B %Y}"


def paid_with(method: dict[str, Any]) -> str:
    """`Visa ···· 4242`, `iDEAL`, `SEPA Direct Debit ···· 3000`: a payment method, or a charge's details of one."""
    kind = method["type"]
    known = method[kind]
    name = str(known["brand"]).capitalize() if kind == "card" else RULES[kind].name
    return f"{name} ···· {known['last4']}" if known.get("last4") else name


def spaced(digits: str) -> str:
    """Digits in groups of four."""
    return " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))


def typed_card(form: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a payment method, from the card fields that somebody has filled in."""
    month, _, year = (_number(part) for part in str(form.get("expiry", "")).partition("/"))
    card = {
        "number": str(form.get("number", "")),
        "exp_month": month,
        "exp_year": year,
        "cvc": str(form.get("cvc", "")),
    }
    return {"type": "card", "card": card, "billing_details": {"name": str(form.get("name", "")) or None}}


def _number(written_text: str) -> int:
    return int(written_text) if written_text.strip().isdecimal() else 0


@cache
def _templates() -> Environment:
    """All templates; loaded with the first page, since a start need not wait for them."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(HERE / "templates")
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {"money": written, "paid_with": paid_with, "day": day, "spaced": spaced}
    return templates


def page(name: str, status: int = 200, **values: Any) -> Response:
    """A page from its template."""
    return HTMLResponse(_templates().get_template(name).render(values), status, _HEADERS)


def notice(title: str, text: str, *, status: int = 200, link: str | None = None, link_text: str = "") -> Response:
    """A plain page with a message and at most one way on."""
    return page("notice.html", status, title=title, text=text, link=link, link_text=link_text)


def framed(answer: Response) -> Response:
    """Let other sites show this page in a frame, as Stripe.js does with 3-D Secure."""
    policy = answer.headers["Content-Security-Policy"]
    answer.headers["Content-Security-Policy"] = policy.replace("frame-ancestors 'none'", "frame-ancestors *")
    return answer

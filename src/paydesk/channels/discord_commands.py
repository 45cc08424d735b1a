"""The slash commands, as Discord wants them registered, in English, Polish and Dutch.

Registering replaces all commands of the application at once, and Discord allows 200 new ones a day: so it is done only
when something differs, and commands of somebody else's (the bot's own) are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

STRING = 3
CHAT_INPUT = 1
IN_SERVERS, IN_DIRECT_MESSAGES = 0, 1
WORD_MAX = 100

Texts = tuple[str, str, str]
"""One text in English, Polish and Dutch."""


@dataclass(frozen=True, slots=True)
class Option:
    """What can be typed after a command."""

    names: Texts
    tells: Texts


@dataclass(frozen=True, slots=True)
class Slash:
    """A slash command: what it is called, and what it says of itself."""

    names: Texts
    tells: Texts
    option: Option | None = None


PRODUCT = Option(
    ("product", "produkt", "product"),
    (
        "What you want; leave it out to see everything",
        "Co chcesz kupić; puste pokaże wszystko",
        "Wat je wilt; laat leeg om alles te zien",
    ),
)
CODE = Option(
    ("code", "kod", "code"),
    ("The code that you were given", "Kod, który otrzymałeś", "De code die je hebt gekregen"),
)
LANGUAGE = Option(
    ("language", "język", "taal"),
    ("en, pl or nl", "en, pl lub nl", "en, pl of nl"),
)

COMMANDS = (
    Slash(
        ("start", "start", "start"),
        ("Say hello, or link your account", "Powitanie lub połączenie konta", "Begroeting, of je account koppelen"),
        CODE,
    ),
    Slash(("buy", "kup", "koop"), ("Buy something", "Kup coś", "Iets kopen"), PRODUCT),
    Slash(("plans", "oferta", "aanbod"), ("See what there is", "Zobacz, co jest w ofercie", "Bekijk wat er is")),
    Slash(("balance", "saldo", "saldo"), ("What you have left", "Ile Ci zostało", "Wat je nog hebt")),
    Slash(
        ("status", "status", "status"),
        ("What is active, and until when", "Co jest aktywne i do kiedy", "Wat actief is, en tot wanneer"),
    ),
    Slash(
        ("history", "historia", "geschiedenis"),
        ("Your last payments", "Twoje ostatnie płatności", "Je laatste betalingen"),
    ),
    Slash(
        ("billing", "rozliczenia", "betaling"),
        ("Your subscriptions and how you pay", "Twoje subskrypcje i płatności", "Je abonnementen en betaalwijze"),
    ),
    Slash(
        ("plan", "plan", "plan"),
        (
            "Change or pause a subscription",
            "Zmień lub wstrzymaj subskrypcję",
            "Een abonnement wijzigen of pauzeren",
        ),
    ),
    Slash(
        ("cancel", "anuluj", "opzeggen"),
        (
            "End a subscription with its period",
            "Zakończ subskrypcję z końcem okresu",
            "Een abonnement beëindigen na de periode",
        ),
    ),
    Slash(
        ("support", "wsparcie", "contact"),
        ("How to reach a person", "Jak skontaktować się z człowiekiem", "Hoe je iemand bereikt"),
    ),
    Slash(("terms", "regulamin", "voorwaarden"), ("The terms", "Regulamin", "De voorwaarden")),
    Slash(("lang", "jezyk", "taal"), ("Choose your language", "Wybierz język", "Kies je taal"), LANGUAGE),
    Slash(("help", "pomoc", "help"), ("What you can say", "Co możesz powiedzieć", "Wat je kunt zeggen")),
)


def registered(commands: Iterable[Slash] = COMMANDS) -> list[dict[str, Any]]:
    """Return the commands as Discord's API takes them."""
    return [_command(slash) for slash in commands]


def _command(slash: Slash) -> dict[str, Any]:
    options = {"options": [{"type": STRING, **_words(slash.option), "required": False}]} if slash.option else {}
    contexts = [IN_SERVERS, IN_DIRECT_MESSAGES]
    return {"type": CHAT_INPUT, **_words(slash), "contexts": contexts, "integration_types": [0], **options}


def _words(said: Slash | Option) -> dict[str, Any]:
    name, tells = said.names, said.tells
    return {
        "name": name[0],
        "name_localizations": {"pl": name[1], "nl": name[2]},
        "description": tells[0],
        "description_localizations": {"pl": tells[1], "nl": tells[2]},
    }


SENT = (
    "id", "type", "name", "name_localizations", "description", "description_localizations", "options",
    "default_member_permissions", "contexts", "integration_types", "nsfw", "handler",
)  # fmt: skip
"""The fields of a command that may be sent back; Discord tells more of it."""


def wanted(there: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """Return all commands to register when those that are `there` differ from ours; `None`: nothing is to be done."""
    ours = {(one["type"], one["name"]): one for one in registered()}
    found = {(one.get("type", CHAT_INPUT), str(one.get("name"))): one for one in there}
    if all(name in found and same(one, found[name]) for name, one in ours.items()):
        return None
    others = [
        {field: one[field] for field in SENT if _said(one, field)} for name, one in found.items() if name not in ours
    ]
    return [*(_number(one) for one in others), *ours.values()]


def _said(command: Mapping[str, Any], field: str) -> bool:
    return command.get(field) is not None


def _number(command: dict[str, Any]) -> dict[str, Any]:
    """Return a command with its permissions as a number: Discord tells them as text, and wants a number back."""
    rights = command.get("default_member_permissions")
    return {**command, "default_member_permissions": int(rights)} if isinstance(rights, str) else command


def same(ours: Any, theirs: Any) -> bool:
    """Tell whether what we say stands there; what Discord adds (an id, an empty list, a default) does not count."""
    if isinstance(ours, dict):
        return isinstance(theirs, Mapping) and all(same(value, theirs.get(key)) for key, value in ours.items())
    if isinstance(ours, list):
        theirs = theirs or []
        return len(ours) == len(theirs) and all(same(a, b) for a, b in zip(ours, theirs, strict=True))
    return bool(ours) == bool(theirs) if ours is False else ours == theirs

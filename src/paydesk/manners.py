"""How messages are treated that differ from the rest: answers, reminders, and what is not worth saying late."""

from __future__ import annotations

REPLY = "reply"
"""The template of answers in a conversation: their words are in their parameters."""

NOTICES = "notices"
"""The template of what the people of the desk are told, in lines."""

REMINDERS = frozenset(("renewal_soon", "trial_ends_soon", "card_ends", "low_balance"))
"""What is not said elsewhere, and not kept, when somebody cannot be told it where they talk with us."""

ASIDE = "look_aside"
"""The template of what calls somebody to look, in front of others, who can be told nothing where they are alone."""

REPEATABLE = frozenset(("grant", "revoke", "give_back", "answer_paying"))
"""Instructions that are done once however often they are carried out: an unknown end is simply tried again."""

_HOUR_S = 3600.0

LIFE_S = {
    REPLY: 24 * _HOUR_S,
    "grace_72": 24 * _HOUR_S,
    "grace_24": 20 * _HOUR_S,
    "renewal_soon": 24 * _HOUR_S,
    "trial_ends_soon": 20 * _HOUR_S,
    "card_ends": 72 * _HOUR_S,
    "low_balance": 24 * _HOUR_S,
    "turned_away": _HOUR_S,
    ASIDE: _HOUR_S,
}
"""For how long a message is worth saying; later it is dropped, not sent late. Everything else always is."""

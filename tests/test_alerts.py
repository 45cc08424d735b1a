"""What the people of the desk are told: each trouble once, and no alert begets alerts without end."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from paydesk import alerts, manners
from paydesk.outbox import Delivery


def dead(number: int, template: str) -> Delivery:
    """A message to the same channel that could not be delivered."""
    now = datetime.now(UTC)
    return Delivery(number, uuid4(), 1, f"k{number}", None, "discord", "5", None, template, {}, now)


def test_dead_messages_are_told_once_an_hour_for_each_kind_and_alerts_never() -> None:
    (one,), (two,) = (alerts.of_dead(dead(number, "paid"), "refused") for number in (1, 2))
    assert one.key == two.key
    assert one.key.rpartition(":")[0] == "alert:undelivered:discord:paid"
    assert alerts.of_dead(dead(3, manners.NOTICES), "refused") == ()
    assert alerts.of_dead(dead(4, manners.REPLY), "refused") == ()

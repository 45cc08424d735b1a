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


def test_each_dead_message_is_told_and_dead_alerts_only_once_an_hour() -> None:
    one, two = (alerts.of_delivery(dead(number, "paid"), "refused") for number in (1, 2))
    assert one.key != two.key
    first, second = (alerts.of_delivery(dead(number, manners.NOTICES), "refused") for number in (3, 4))
    assert first.key.rpartition(":")[0] == second.key.rpartition(":")[0] == "alert:undelivered:notices:discord"

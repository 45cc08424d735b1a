"""Subscriptions: what they give, cycle after cycle, until their last day."""

from __future__ import annotations

from desk import Desk


def test_a_subscription_gives_its_credits_and_its_feature_and_again_each_month(desk: Desk) -> None:
    buyer = desk.buyer()
    order = buyer.buy("plus")
    assert order["status"] == "fulfilled"
    assert buyer.balance() == 100
    assert buyer.access("plus")["allowed"]
    assert not buyer.access("pro")["allowed"]

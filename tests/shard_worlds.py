"""Worlds for tests of scale: customers on their own, customers who tell each other, customers who share a desk."""

from small_worlds import full_world, rich_world, small_world

from journeysim.spec import Channel, Desk, World

PHONE = Channel(
    name="phone",
    contacts_per_day={"home": 0.3},
    pull=0.2,
    desk=Desk(staff=1, service_minutes=20, patience_minutes=30, hurts_per_hour=0.1),
)
WORLDS = {
    "alone": (rich_world(), 2_500),
    "word of mouth": (World.model_validate(full_world().model_dump(warnings=False)), 2_700),  # in markets of 500
    "desk": (small_world({"home": {"buy": 0.05, "lost": 0.05}, "buy": {}}, channels=[PHONE], market_size=60), 310),
}
"""By name: a world, and a number of customers that is no multiple of its markets."""

HOW = {"horizon_days": 60.0, "seed": 5}

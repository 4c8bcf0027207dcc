"""Worlds in which customers act on each other: by talking, and by queueing for the same staff."""

from small_worlds import INSTANT, rich_world, small_world

from journeysim.spec import Channel, Desk, WordOfMouth


def talkative_world(market_size=60):
    """Those who bought tell many others, and being told is how most buy."""
    return small_world(
        {"unaware": {"buy": 0.002}, "buy": {"fan": 5.0}, "fan": {}},
        stages={"fan": {"advocates": True}},
        channels=[
            Channel(name="friends", kind="earned", pull=0.5, half_life_days=1),
            Channel(name="ad", contacts_per_day={"unaware": 0.02}, pull=0.1, half_life_days=INSTANT),
        ],
        word_of_mouth=WordOfMouth(channel="friends", referrals_per_day=0.15),
        market_size=market_size,
    )


def desk_world():
    rich = rich_world()
    line = Channel(
        name="line",
        contacts_per_day={"interest": 0.2, "decision": 0.4},
        pull=0.3,
        cost_per_contact=3,
        desk=Desk(staff=1, service_minutes=200, patience_minutes=400, loses=0.2),
    )
    return rich.model_copy(update={"channels": (*rich.channels, line), "market_size": 50})

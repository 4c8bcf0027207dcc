"""The worlds made to fool attribution: how each is disarmed, and what else shows that its trap is what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
from trap_measures import Measured, buyers

from journeysim import worlds
from journeysim.attribution import attribute
from journeysim.journeys import to_journeys
from journeysim.scores import share_error
from journeysim.simulation import simulate

if TYPE_CHECKING:
    from collections.abc import Callable

    from journeysim.spec import World

SATURATED = "push_messages"
TOGETHER = ("roof_calculator", "advisor_visit")
FREQUENCIES = (0.0, 0.125, 0.25, 0.5, 1.0)
REFERRALS = (0.0, 0.1, 0.25)


def _with_channels(world: World, **changes: dict[str, Any]) -> World:
    changed = (channel.model_copy(update=changes.get(channel.name, {})) for channel in world.channels)
    return world.model_copy(update={"channels": tuple(changed)})


def _each_works_alone(world: World) -> World:
    return _with_channels(world, roof_calculator={"pull": 0.2}, advisor_visit={"pull": 0.2, "synergy": {}})


def _alike(world: World) -> World:
    alike = tuple(persona.model_copy(update={"pace": 1.0, "patience": 1.0}) for persona in world.personas)
    return world.model_copy(update={"personas": alike})


def _never_too_much(world: World) -> World:
    return _with_channels(world, push_messages={"fatigue": 1.0, "irritation": None})


def less_often(world: World, times: float) -> World:
    """The world in which messages are sent `times` as often."""
    rates = next(channel for channel in world.channels if channel.name == SATURATED).contacts_per_day
    return _with_channels(
        world, push_messages={"contacts_per_day": {stage: times * rate for stage, rate in rates.items()}}
    )


# The channel that the trap is about, and what takes the trap away and leaves the rest as it is.
DISARMED: dict[str, tuple[str, str, Callable[[World], World]]] = {
    "trap-retargeting": ("retargeting", "retargeting off", lambda world: world.without("retargeting")),
    "trap-companion": ("brand_search", "brand_search off", lambda world: world.without("brand_search")),
    "trap-synergy": ("roof_calculator", "each works alone, pull 0.2", _each_works_alone),
    "trap-word-of-mouth": ("market_stand", "neighbours off", lambda world: world.without("neighbours")),
    "trap-hidden-persona": ("podcasts", "pace and patience 1 for all", _alike),
    "trap-saturation": (SATURATED, "no fatigue, no irritation", _never_too_much),
}
NAMES = ("plain-channels", *DISARMED)


def disarmed(name: str) -> World:
    return DISARMED[name][2](worlds.load(name))


def talking(world: World, referrals_per_day: float) -> World:
    """The world with another amount of talk."""
    assert world.word_of_mouth is not None
    talk = world.word_of_mouth.model_copy(update={"referrals_per_day": referrals_per_day})
    return world.model_copy(update={"word_of_mouth": talk})


def cost_of_a_buyer(measured: Measured, channel: str) -> tuple[float, float]:
    """What the contacts of a channel cost per buyer it is credited with by last touch, and per buyer it won."""
    touches = measured.log.to_polars().filter(pl.col("channel").cast(pl.String) == channel)
    cost = float(touches["cost"].sum())
    n_buyers = measured.conversion * measured.n_customers
    credited = measured.share("last_touch", channel).value * measured.journeys.n_conversions
    return cost / credited, cost / (measured.effect(channel).value * n_buyers)


def conversion_by_contact(measured: Measured, channel: str) -> pl.DataFrame:
    """Conversion of customers who met a channel and of those who did not, by persona and of all: what a comparison of
    the two groups finds.
    """
    frame = pl.DataFrame(
        {
            "persona": pl.Series(measured.log.customers["persona"].to_pylist()),
            "met": measured.customers_met(channel),
            "bought": buyers(measured.log),
        }
    )
    return (
        pl.concat([frame.with_columns(persona=pl.lit("all, as the log shows it")), frame])
        .group_by("persona", maintain_order=True)
        .agg(
            pl.len().alias("customers"),
            pl.col("bought").filter(pl.col("met")).mean().alias("with"),
            pl.col("bought").filter(~pl.col("met")).mean().alias("without"),
        )
    )


def misplaced_within(measured: Measured, method: str) -> dict[str, float]:
    """Credit at the wrong channel when each persona is attributed by itself and held against its own true shares."""
    personas = np.array(measured.log.customers["persona"].to_pylist())
    full = buyers(measured.log)
    lost = np.array([full.astype(float) - buyers(measured.twin(channel)) for channel in measured.channels])
    found = {}
    for persona in dict.fromkeys(p.name for p in measured.world.personas):
        own = np.flatnonzero(personas == persona)
        effects = np.maximum(lost[:, own].sum(axis=1), 0.0)
        credit = attribute(to_journeys(measured.log.only(pa.array(own))), method)
        assert credit.channels == measured.channels
        found[persona] = share_error(credit.share, effects / effects.sum())
    return found


def conversion_by_frequency(n_customers: int) -> list[tuple[float, float]]:
    """Conversion of the saturated world by how often messages are sent, as multiples of now."""
    world = worlds.load("trap-saturation")
    logs = [
        simulate(less_often(world, times), n_customers=n_customers, horizon_days=world.horizon_days, seed=1)
        for times in FREQUENCIES
    ]
    return [(times, float(buyers(log).mean())) for times, log in zip(FREQUENCIES, logs, strict=True)]

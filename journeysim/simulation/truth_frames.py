"""Estimates as rows: question, channel, stage, persona, measure, unit, value, standard error."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from journeysim.moves import BASE
from journeysim.simulation import estimates as e

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from journeysim.simulation.estimates import TruthPlan, TwinSums
    from journeysim.simulation.moments import Moments
    from journeysim.simulation.twin_runs import Switch
    from journeysim.spec import World

    FloatArray = NDArray[np.float64]

ALL_CHANNELS: Final = "all channels"

MEASURES: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "world": {
        "conversion_rate": ("share", "customers who purchased / customers"),
        "revenue_per_customer": ("money", "value of all purchases / customers"),
        "cost_per_customer": ("money", "cost of all contacts / customers"),
    },
    "incremental": {
        "conversions": ("share", "of the converting customers: how many fewer convert without the channel"),
        "revenue": ("share", "of the revenue: how much less there is without the channel"),
        "revenue_per_customer": ("money", "the same revenue, per customer of the population"),
        "cost_per_customer": ("money", "cost of all contacts, of any channel, that are not made without the channel"),
        "own_cost_per_customer": ("money", "cost of the channel's own contacts in the world as it is"),
        "cost_per_conversion": ("money", "incremental cost / incremental conversions"),
        "return_on_spend": ("ratio", "incremental revenue / incremental cost"),
    },
    "causal": {
        "purchases_last_move": ("share", "of purchases: the move into the purchase was caused by the channel"),
        "purchases_path": ("share", "of purchases: part of the forward moves since the last purchase it caused"),
        "revenue_last_move": ("share", "of revenue: as purchases_last_move"),
        "revenue_path": ("share", "of revenue: as purchases_path"),
    },
    "shapley": {
        "conversions": ("share", "of the converting customers: the Shapley value of the true game"),
        "revenue": ("share", "of the revenue: the Shapley value of the true game"),
    },
}
"""Every question and measure: unit and definition. Money is in the currency of the world."""


class Row(NamedTuple):
    """One number."""

    question: str
    channel: str | None
    stage: str | None
    persona: str | None
    measure: str
    unit: str
    value: float | None
    standard_error: float | None


def to_rows(world: World, plan: TruthPlan, total: TwinSums) -> tuple[Row, ...]:
    """All that was estimated. A persona or a stage is None where the number is of all of them."""
    personas: list[str | None] = [None]
    if plan.by_persona:
        personas += [persona.name for persona in world.personas]
    rows: list[Row] = []
    for persona, effects, causes in zip(personas, total.effects, total.causes, strict=True):
        rows += _rows("world", [(None, None)], persona, _world(effects))
        rows += _rows("incremental", [_labels(world, switch) for switch in plan.switches], persona, _effects(effects))
        names = [BASE, *world.channel_names]
        rows += _rows("causal", [(name, None) for name in names], persona, _causes(causes))
    if total.shapley is not None:
        values = (
            total.shapley.ratio(e.VALUE_CONVERSIONS, e.ALL_CONVERSIONS),
            total.shapley.ratio(e.VALUE_REVENUE, e.ALL_REVENUE),
        )
        rows += _rows("shapley", [(name, None) for name in world.channel_names], None, values)
    return tuple(rows)


def _labels(world: World, switch: Switch) -> tuple[str, str | None]:
    everything = len(world.channels) > 1 and switch.channels == world.channel_names
    return ALL_CHANNELS if everything else " + ".join(switch.channels), switch.stage


Columns = tuple[tuple["FloatArray", "FloatArray"], ...]


def _world(m: Moments) -> Columns:
    return tuple(
        (value[:1], error[:1]) for value, error in (m.ratio(what, e.N) for what in (e.CONVERSIONS, e.REVENUE, e.COST))
    )


def _effects(m: Moments) -> Columns:
    return (
        m.ratio(e.LOST_CONVERSIONS, e.CONVERSIONS),
        m.ratio(e.LOST_REVENUE, e.REVENUE),
        m.ratio(e.LOST_REVENUE, e.N),
        m.ratio(e.LOST_COST, e.N),
        m.ratio(e.OWN_COST, e.N),
        _where_positive(m, e.LOST_COST, e.LOST_CONVERSIONS),
        _where_positive(m, e.LOST_REVENUE, e.LOST_COST),
    )


def _causes(m: Moments) -> Columns:
    return (
        m.ratio(0, e.PURCHASES),
        m.ratio(2, e.PURCHASES),
        m.ratio(1, e.PURCHASE_VALUE),
        m.ratio(3, e.PURCHASE_VALUE),
    )


def _where_positive(m: Moments, part: int, whole: int) -> tuple[FloatArray, FloatArray]:
    """A ratio, known only where what it is divided by is three standard errors above 0 (Fieller's trouble)."""
    (value, error), (size, its_error) = m.ratio(part, whole), m.ratio(whole, e.N)
    with np.errstate(invalid="ignore"):
        known = size > 3 * its_error
    return np.where(known, value, np.nan), np.where(known, error, np.nan)


def _rows(
    question: str, labels: Iterable[tuple[str | None, str | None]], persona: str | None, columns: Columns
) -> Iterator[Row]:
    for i, (channel, stage) in enumerate(labels):
        for (measure, (unit, _)), (values, errors) in zip(MEASURES[question].items(), columns, strict=True):
            value, error = (None if math.isnan(x[i]) else float(x[i]) for x in (values, errors))
            yield Row(question, channel, stage, persona, measure, unit, value, error)

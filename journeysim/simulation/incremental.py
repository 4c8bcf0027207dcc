"""The true incremental effect of each channel: the same world simulated with and without it, on the same draws."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from journeysim.errors import InputError
from journeysim.simulation.estimates import (
    CONVERSIONS,
    LOST_CONVERSIONS,
    MIN_UNITS,
    TruthPlan,
    TwinSums,
    customers_at_once,
    estimate,
)
from journeysim.simulation.recipe import Recipe
from journeysim.simulation.twin_runs import Population, Switch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from journeysim.spec import World

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class IncrementalEffects:
    """What is lost when a channel is switched off, with its Monte Carlo error.

    Attributes
    ----------
    channels : the C channel names
    effect : (C,) share of all converting customers that would not have converted without the channel
    standard_error : (C,) of `effect`, from the paired differences of customers; where word travels or desks are shared,
        of markets, and then NaN (unknown) if there are fewer than 20
    conversions : (C,) converting customers lost without the channel
    n_customers : size of the simulated population
    n_conversions : converting customers in the full world
    """

    channels: tuple[str, ...]
    effect: FloatArray
    standard_error: FloatArray
    conversions: FloatArray
    n_customers: int
    n_conversions: int

    @property
    def share(self) -> FloatArray:
        """(C,) effects scaled to sum to 1, to set beside the shares of an attribution; harmful channels count as 0."""
        positive = np.maximum(self.effect, 0.0)
        total = positive.sum()
        return positive / total if total > 0 else positive

    def to_frame(self) -> pl.DataFrame:
        """One row per channel: `channel, conversions, share, effect, standard_error`."""
        return pl.DataFrame(
            {
                "channel": self.channels,
                "conversions": self.conversions,
                "share": self.share,
                "effect": self.effect,
                "standard_error": self.standard_error,
            }
        )


def incremental_effects(
    world: World,
    *,
    n_customers: int,
    horizon_days: float,
    seed: int,
    on_progress: Callable[[int], None] | None = None,
) -> IncrementalEffects:
    """Twin runs: simulate the world, then again with each channel switched off, on common random numbers.

    With y a customer's conversion (0 or 1) and d its paired difference between the two worlds, the effect is
    r = Σd / Σy, and its variance that of the sum of d - r y, over (Σy)² (delta method for a ratio). `truth` says more,
    and chooses the number of customers for a precision.

    Parameters
    ----------
    on_progress : called with 1, 2, ... up to one more than there are channels, as the work goes on

    Raises
    ------
    InputError : there are fewer than two customers, or as `simulate`
    """
    if n_customers < 2:
        raise InputError(f"n_customers is {n_customers}; a standard error needs two at least.")
    population = Population(Recipe(world, n_customers, horizon_days, seed))
    n_channels = len(world.channels)
    plan = TruthPlan(tuple(Switch((name,)) for name in world.channel_names) or (Switch(()),), causes=False)
    step = customers_at_once(population, plan)
    parts = range(0, n_customers, step)
    total: TwinSums | None = None
    told = 0
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        each = pool.map(lambda first: estimate(population, plan, first, min(first + step, n_customers)), parts)
        for done, part in enumerate(each, start=1):
            total = part if total is None else total + part
            while on_progress and told + 1 <= done * (n_channels + 1) / len(parts):
                told += 1
                on_progress(told)
    assert total is not None  # noqa: S101  # there is at least one part
    moments = total.effects[0]
    effect, error = (column[:n_channels] for column in moments.ratio(LOST_CONVERSIONS, CONVERSIONS))
    return IncrementalEffects(
        channels=world.channel_names,
        effect=effect,
        standard_error=np.full_like(error, np.nan) if population.coupled and moments.n_units < MIN_UNITS else error,
        conversions=moments.totals[:n_channels, LOST_CONVERSIONS],
        n_customers=n_customers,
        n_conversions=int(moments.totals[0, CONVERSIONS]),
    )

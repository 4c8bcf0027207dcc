"""The true incremental effect of each channel: the same world simulated with and without it, on the same draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from journeysim.errors import InputError
from journeysim.events import KINDS
from journeysim.simulation.engine import simulate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from journeysim.events import EventLog
    from journeysim.spec import World

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class IncrementalEffects:
    """What is lost when a channel is switched off, with its Monte Carlo error.

    Attributes
    ----------
    channels : the C channel names
    effect : (C,) share of all converting customers that would not have converted without the channel
    standard_error : (C,) of `effect`, from the paired differences of customers
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
    r = mean(d) / mean(y), and its variance is that of d - r y over n mean(y)^2 (delta method for a ratio).

    Parameters
    ----------
    on_progress : called with the number of finished simulations, of one more than there are channels

    Raises
    ------
    InputError : there are fewer than two customers, or as `simulate`
    """
    if n_customers < 2:
        raise InputError(f"n_customers is {n_customers}; a standard error needs two at least.")

    def converted(version: World) -> NDArray[np.bool_]:
        return _converted(simulate(version, n_customers=n_customers, horizon_days=horizon_days, seed=seed))

    full = converted(world)
    if on_progress:
        on_progress(1)
    base = full.mean()
    effects, errors, lost = [], [], []
    for i, channel in enumerate(world.channel_names):
        difference = full.astype(np.float64) - converted(world.without(channel))
        ratio = difference.mean() / base if base > 0 else np.nan
        effects.append(ratio)
        errors.append((difference - ratio * full).std(ddof=1) / np.sqrt(n_customers) / base if base > 0 else np.nan)
        lost.append(difference.sum())
        if on_progress:
            on_progress(i + 2)
    return IncrementalEffects(
        channels=world.channel_names,
        effect=np.array(effects),
        standard_error=np.array(errors),
        conversions=np.array(lost),
        n_customers=n_customers,
        n_conversions=int(full.sum()),
    )


def _converted(log: EventLog) -> NDArray[np.bool_]:
    """(n_customers,) whether a customer purchased."""
    buyers = np.zeros(log.n_customers, dtype=bool)
    buyers[log.customer_codes()[log.codes("kind", KINDS) == KINDS.index("purchase")]] = True
    return buyers

"""Attribution by twin: in every world of the posterior each channel is switched off, on common random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from journeysim.bayes.intervals import shortest_from_zero
from journeysim.errors import InputError
from journeysim.events import EventLog
from journeysim.simulation.estimates import CONVERSIONS, LOST_CONVERSIONS, TruthPlan, customers_at_once, estimate
from journeysim.simulation.recipe import Recipe, whole_number
from journeysim.simulation.twin_runs import Population, Switch
from journeysim.twin.fit import Twin, fit_world

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from journeysim.spec import World

    FloatArray = NDArray[np.float64]

LEVEL = 0.9
LEAST_CUSTOMERS = 20  # of a segment: below, its Monte Carlo error is not known


@dataclass(frozen=True, slots=True, eq=False)
class TwinEffects:
    """What is lost when a channel is switched off: N draws of the posterior.

    Attributes
    ----------
    channels : the C channel names
    effect : (N, C) share of the converting customers who would not have converted without the channel; the spread that
        simulating few customers per world added is taken out (see `twin_attribution`)
    standard_error : (N, C) Monte Carlo error of each world's simulated effect
    n_converted : converting customers of the log
    notes : what a reader should know
    """

    channels: tuple[str, ...]
    effect: FloatArray
    standard_error: FloatArray
    n_converted: int
    notes: tuple[str, ...]

    @property
    def share(self) -> FloatArray:
        """(C,) mean effects scaled to sum to 1, to set beside the shares of an attribution; those below 0 count as 0.

        Effects need not add up: two channels that could each have done it alone are both not missed.
        """
        positive: FloatArray = np.maximum(self.effect.mean(axis=0), 0.0)
        return positive / max(float(positive.sum()), np.finfo(float).tiny)

    def interval(self, level: float = LEVEL) -> FloatArray:
        """(2, C) shortest interval of each effect; it begins at 0 where the channel may as well do nothing."""
        return np.array(shortest_from_zero(np.maximum(self.effect, 0.0), level))

    def to_frame(self, level: float = LEVEL) -> pl.DataFrame:
        """One row per channel, the largest effect first.

        Columns: channel; effect, its mean, with effect_low, effect_high and holds_none, whether the interval begins at
        0; conversions, converting customers lost without it, with _low and _high; share, see `share`.
        """
        low, high = self.interval(level)
        mean = self.effect.mean(axis=0)
        return pl.DataFrame(
            {
                "channel": pl.Series(self.channels, dtype=pl.String),
                "effect": mean,
                "effect_low": low,
                "effect_high": high,
                "holds_none": low == 0,
                "conversions": mean * self.n_converted,
                "conversions_low": low * self.n_converted,
                "conversions_high": high * self.n_converted,
                "share": self.share,
            }
        ).sort("effect", "channel", descending=[True, False])


def twin_attribution(
    source: Twin | EventLog,
    *,
    seed: int,
    n_worlds: int = 100,
    n_customers: int = 20_000,
    by: str | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> TwinEffects:
    """Incremental effects of all channels, with their uncertainty, from a twin, or from a log whose twin is fitted.

    Each world simulates customers of its own, so that Monte Carlo errors are independent: they do not move the mean of
    the draws, but widen their spread, by a variance that is known from the paired differences of customers. It is taken
    out: deviations from the mean are scaled by sqrt(1 - mean(se²) / V), V the variance of the draws. Where it is more
    than half of V it is left in, since what remained would be a guess: the interval is too wide, and a note says so.

    Parameters
    ----------
    n_worlds : draws of the posterior
    n_customers : simulated per world, over all segments by their shares
    by : of a log, as `fit_world`; for a twin, leave it out
    on_progress : called with the worlds done

    Raises
    ------
    InputError : numbers out of their range, `by` for a twin, nobody converts in a world; or as `fit_world`
    """
    whole_number("n_worlds", n_worlds, 2, 1_000_000)
    whole_number("n_customers", n_customers, 100, 10**9)
    if isinstance(source, EventLog):
        source = fit_world(source, seed=seed, by=by)
    elif by is not None:
        raise InputError(f"by is {by!r}, but the twin was fitted already; give `by` to fit_world.")
    worlds, shares = source.worlds(n_worlds, seed=seed)
    seeds = np.random.SeedSequence(seed).generate_state(n_worlds, np.uint64)
    effects, errors = np.empty((2, n_worlds, len(source.posterior.channels)))
    for i, (world, share) in enumerate(zip(worlds, shares, strict=True)):
        effects[i], errors[i] = _effects(world, share, n_customers, source.ingredients.days, int(seeds[i]))
        if on_progress:
            on_progress(i + 1)
    spread, noise = effects.var(axis=0, ddof=1), (errors**2).mean(axis=0)
    drawn = without_noise(effects, errors)
    noisy = [name for name, bad in zip(source.posterior.channels, noise > spread / 2, strict=True) if bad]
    notes = [
        "Effects are of switching off one channel at a time; they need not add up to 1, nor to the sum of a group's."
    ]
    if noisy:
        notes.append(
            f"Of {', '.join(noisy)} more than half of the spread is Monte Carlo error, so it was left in: their "
            "intervals are too wide. A larger n_customers makes them sharper."
        )
    return TwinEffects(source.posterior.channels, drawn, errors, source.ingredients.n_converted, tuple(notes))


def without_noise(effects: FloatArray, errors: FloatArray) -> FloatArray:
    """(N, C) draws without the spread that their Monte Carlo errors add; as they are where that is more than half."""
    spread, noise, mean = effects.var(axis=0, ddof=1), (errors**2).mean(axis=0), effects.mean(axis=0)
    known = (noise <= spread / 2) & (spread > 0)
    scale = np.where(known, np.sqrt(np.maximum(1.0 - noise / np.where(known, spread, 1.0), 0.0)), 1.0)
    drawn: FloatArray = mean + scale * (effects - mean)
    return drawn


def _effects(
    worlds: dict[str, World], share: FloatArray, n_customers: int, days: float, seed: int
) -> tuple[FloatArray, FloatArray]:
    """(C,) effects in one draw, and (C,) their errors: a ratio of totals over strata, the segments.

    With weights w_g and means of lost and converting customers per segment, R = sum w lost / sum w converting; its
    variance is sum w² var(lost - R converting) / n_g, over (sum w converting)² (Cochran 1977, section 6.10).
    """
    lost, converting, moments = 0.0, 0.0, []
    for g, (world, w) in enumerate(zip(worlds.values(), share, strict=True)):
        n = max(round(n_customers * float(w)), LEAST_CUSTOMERS)
        population = Population(Recipe(world, n, days, (seed + g) % 2**64))
        plan = TruthPlan(tuple(Switch((name,)) for name in world.channel_names), causes=False)
        step = customers_at_once(population, plan)
        total = None
        for first in range(0, n, step):
            part = estimate(population, plan, first, min(first + step, n)).effects[0]
            total = part if total is None else total + part
        assert total is not None  # noqa: S101  # n is positive
        moments.append((w, n, total))
        lost = lost + w / n * total.totals[:, LOST_CONVERSIONS]
        converting = converting + w / n * total.totals[:, CONVERSIONS]
    if not np.all(converting):
        raise InputError(f"Nobody converts among {n_customers:,} customers of a drawn world; raise n_customers.")
    ratio = np.asarray(lost / converting)
    variance = np.zeros_like(ratio)
    for w, n, total in moments:
        p = total.products
        squares = p[:, LOST_CONVERSIONS, LOST_CONVERSIONS] - 2 * ratio * p[:, LOST_CONVERSIONS, CONVERSIONS]
        squares = squares + ratio**2 * p[:, CONVERSIONS, CONVERSIONS]
        mean = (total.totals[:, LOST_CONVERSIONS] - ratio * total.totals[:, CONVERSIONS]) / n
        variance += w**2 * (squares / n - mean**2) / (n - 1)
    return ratio, np.sqrt(np.maximum(variance, 0.0)) / np.asarray(converting)

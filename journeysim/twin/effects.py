"""Attribution by twin: in every world of the posterior each channel is switched off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from journeysim.bayes.intervals import noise_rules, shortest_from_zero, without_noise
from journeysim.errors import InputError
from journeysim.events import EventLog
from journeysim.simulation.recipe import whole_number
from journeysim.twin.fit import LONGEST_HALF_LIFE, Twin, fit_world
from journeysim.twin.switching import effects_of_draws, has_fatigue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from journeysim.spec import World

    FloatArray = NDArray[np.float64]
    Drawn = tuple[list[dict[str, World]], FloatArray]

LEVEL = 0.9
MANY_WORLDS = 1_000  # unless told otherwise
RARE = 0.01  # share of draws below which a limit of worlds is not worth one


@dataclass(frozen=True, slots=True, eq=False)
class TwinEffects:
    """What is lost when a channel is switched off: N draws of the posterior.

    Attributes
    ----------
    channels : the C channel names
    effect : (N, C) share of the converting customers who would not have converted without the channel; the spread that
        simulating few customers per world added is taken out (see `twin_attribution`)
    standard_error : (N, C) Monte Carlo error of each world's effect; zeros where nothing was simulated
    n_converted : converting customers of the log
    source : "closed form", or "closed form and simulation" with fatigue
    notes : what a reader should know
    """

    channels: tuple[str, ...]
    effect: FloatArray
    standard_error: FloatArray
    n_converted: int
    source: Literal["closed form", "closed form and simulation"]
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
    n_worlds: int | None = None,
    n_customers: int | None = None,
    by: str | None = None,
    drawn: Drawn | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> TwinEffects:
    """Incremental effects of all channels, with their uncertainty, from a twin, or from a log whose twin is fitted.

    Effects are those among customers who are seen for as long as the log's were: those who came late had less time.
    Where no channel has fatigue, they are exact (`closed_form_effects`) and nothing is simulated. With fatigue, the
    difference that it makes is simulated (`journeysim.twin.switching`), with other customers in every world, so that
    Monte Carlo errors are independent: they widen the spread of the draws, by a variance that is known from the paired
    differences of customers. It is taken out by `journeysim.bayes.intervals.without_noise`; where it is more than half
    of the spread it is left in: the interval is too wide, and a note says so.

    Parameters
    ----------
    n_worlds : draws of the posterior; by default 1,000, or all if there are fewer. Shortest intervals of few draws are
        too short: of 100, that at 90% holds 87%
    n_customers : simulated per world where there is fatigue, over all segments by their shares; by default a fifth of
        those of the log, from 1,000 to 20,000
    by : of a log, as `fit_world`; for a twin, leave it out
    drawn : what `twin.worlds` gave, to use these worlds instead of drawing `n_worlds`
    on_progress : called with the worlds done

    Raises
    ------
    InputError : numbers out of their range, `by` for a twin, nobody converts in a world; or as `fit_world`
    """
    if n_worlds is not None:
        whole_number("n_worlds", n_worlds, 2, 1_000_000)
    if n_customers is not None:
        whole_number("n_customers", n_customers, 100, 10**9)
    if isinstance(source, EventLog):
        source = fit_world(source, seed=seed, by=by)
    elif by is not None:
        raise InputError(f"by is {by!r}, but the twin was fitted already; give `by` to fit_world.")
    if drawn is None:
        drawn = source.worlds(n_worlds or min(MANY_WORLDS, len(source.posterior.half_life)), seed=seed)
    worlds, shares = drawn
    n_of_log = int(source.posterior.history.stages.starts.sum())
    simulated = any(has_fatigue(world) for by_segment in worlds for world in by_segment.values())
    effects, errors = effects_of_draws(
        worlds,
        shares,
        source.posterior.history,
        source.ingredients.watched_days,
        n_customers=n_customers or min(max(n_of_log // 5, 1_000), 20_000),
        seed=seed,
        on_progress=on_progress,
    )
    if np.isnan(effects).any():
        raise InputError("Nobody converts in a drawn world, so that no share of its customers can be lost.")
    noise = (errors**2).mean(axis=0)
    noisy = [name for name, bad in zip(source.posterior.channels, noise_rules(effects, noise), strict=True) if bad]
    notes = [
        "Effects are of switching off one channel at a time; they need not add up to 1, nor to the sum of a group's.",
        *_limits(source),
    ]
    if noisy:
        notes.append(
            f"Of {', '.join(noisy)} more than half of the spread is Monte Carlo error, so it was left in: their "
            "intervals are too wide. A larger n_customers makes them sharper."
        )
    return TwinEffects(
        source.posterior.channels,
        without_noise(effects, noise),
        errors,
        source.ingredients.n_converted,
        "closed form and simulation" if simulated else "closed form",
        tuple(notes),
    )


def _limits(twin: Twin) -> Iterator[str]:
    """Notes on what the worlds cannot hold of the posterior, where it matters."""
    from journeysim.bayes.influence_kernels import BENDS_AT  # compiled

    posterior = twin.posterior
    appealing = posterior.pull[:, None] * posterior.appeal[..., None]  # (N, G, C, P)
    bent = (appealing > BENDS_AT).any(axis=(1, 3)).mean(axis=0) * (posterior.fatigue_by_chain is not None)
    forever = (posterior.half_life > LONGEST_HALF_LIFE).mean(axis=0)
    if names := [name for name, share in zip(posterior.channels, bent, strict=True) if share > RARE]:
        yield (
            f"In up to {bent.max():.0%} of the draws pull times appeal is above {BENDS_AT} in some stage, of "
            f"{', '.join(names)}: first contacts act as in the influence model, repeats a little less often."
        )
    for name, share in zip(posterior.channels, forever, strict=True):
        if share > RARE:
            yield (
                f"In {share:.0%} of the draws the half-life of {name} is above {LONGEST_HALF_LIFE:,.0f} days, the "
                "longest that a world takes, and is cut to it: the log does not tell how long its contacts act."
            )

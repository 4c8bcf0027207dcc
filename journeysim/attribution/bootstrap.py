"""Journey bootstrap: any method, run again on journeys drawn anew from those that were seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from scipy.sparse import csr_array, vstack

from journeysim.attribution.chain_draws import ChainDraws, DrawnEffects, blocks
from journeysim.attribution.registry import attribute
from journeysim.attribution.removal import RemovalEffect
from journeysim.attribution.uncertainty import (
    UncertainAttribution,
    check_draws,
    hidden_spread,
    in_proportion,
    refuse_stray_value,
    silent,
)
from journeysim.errors import InputError
from journeysim.journeys import Journeys
from journeysim.markov.counting import contains
from journeysim.markov.solving import DENSE_STATES
from journeysim.markov.step_states import walks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from journeysim.attribution.base import Attribution, Attributor

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]

Resampling = Literal["poisson", "multinomial"]
BATCH_STATES: Final = 60
"""Up to so many states a batch of chains of a higher order is solved faster than one after the other is swept."""
MAX_TRIES: Final = 1_000
"""Resamples without a conversion are drawn again: 37% of them where there is one in all."""


def bootstrap_attribution(
    journeys: Journeys,
    method: str | Attributor = "markov",
    *,
    seed: int,
    resampling: Resampling = "poisson",
    n_draws: int = 1_000,
    on_progress: Callable[[int], None] | None = None,
) -> UncertainAttribution:
    """Attribution by any method, with what it gives on journeys drawn anew from those seen.

    A row of weight w is w journeys: its conversions and its nulls are drawn separately, and its value follows its
    conversions. Markov to null of order 1, or of up to 60 states, counts the moves of all resamples in one sparse
    product and solves their chains in one batch; other methods run once per draw on the same paths with new weights.
    The paths are never built again.

    Parameters
    ----------
    method : a registered name, or a method with settings
    seed : of the draws; draw d depends on the seed and d alone
    resampling : `poisson` draws how often each journey occurs from a Poisson distribution, independently: the number of
        journeys varies as it would in another period. A fractional weight w is drawn with mean and variance w.
        `multinomial` draws as many journeys as were seen, with replacement, and needs whole weights
    n_draws : number of draws, at least 2; a method that is run again takes its own time for each
    on_progress : called with the number of draws done

    Raises
    ------
    InputError : a setting makes no sense, weights are fractional where they must be whole, or what the method refuses

    Source: Efron 1979, Annals of Statistics 7(1); Poisson weights, Hanley & MacGibbon 2006, Computer Methods and
    Programs in Biomedicine 83(1).
    """
    if not isinstance(journeys, Journeys):
        raise InputError(
            f"bootstrap_attribution draws journeys anew and got {type(journeys).__name__}: give to_journeys(log). A "
            "method that needs a log, such as the digital twin, has draws of its own: DigitalTwin().attribute_log(log)."
        )
    check_draws(n_draws, seed)
    report = on_progress or silent
    point = attribute(journeys, method)
    again = Resampler.of(journeys, resampling, seed)
    notes = hidden_spread(journeys)
    settings = {"seed": seed, "resampling": resampling}
    n_seen = _conversions_by_channel(journeys)
    paths = _small_chain(journeys, method)
    if paths is not None:
        effects = _of_chains(paths, journeys, again, n_draws, report)
        return UncertainAttribution.from_effects(
            point, effects, source="bootstrap", settings=settings, notes=notes, n_seen=n_seen
        )
    results = []
    for draw in range(n_draws):
        conversions, nulls, value = again.draw(draw)
        results.append(attribute(replace(journeys, conversions=conversions, nulls=nulls, value=value), method))
        report(draw + 1)
    return UncertainAttribution(
        point=point,
        source="bootstrap",
        share=np.array([result.share for result in results]),
        value=in_proportion(np.array([result.value for result in results]), point.total_value),
        removal_effects=_stack(results, "removal_effects"),
        removal_effects_value=_stack(results, "removal_effects_value"),
        settings=settings,
        notes=notes,
        n_seen=n_seen,
    )


def _conversions_by_channel(journeys: Journeys) -> FloatArray:
    """(C,) conversions of the journeys that met each channel."""
    n_channels = len(journeys.channels)
    met = np.unique(journeys.owner.astype(np.int64) * n_channels + journeys.codes)
    n_seen = np.bincount(met % n_channels, journeys.conversions[met // n_channels], n_channels)
    return np.asarray(n_seen, dtype=np.float64)


def _stack(results: list[Attribution], name: str) -> FloatArray | None:
    columns = [getattr(result, name) for result in results]
    return None if any(column is None for column in columns) else np.array(columns)


@dataclass(frozen=True, slots=True)
class Resampler:
    """Draws how often each journey occurs: (J,) conversions, nulls and value.

    Attributes
    ----------
    seen : (2, J) conversions and nulls
    value : (J,)
    """

    seen: FloatArray
    value: FloatArray
    resampling: Resampling
    seed: int

    @classmethod
    def of(cls, journeys: Journeys, resampling: Resampling, seed: int) -> Resampler:
        """Check that these journeys can be drawn.

        Raises
        ------
        InputError : for an unknown resampling, fractional weights of a multinomial, or a value without a conversion
        """
        if resampling not in ("poisson", "multinomial"):
            raise InputError(f"resampling must be 'poisson' or 'multinomial', got {resampling!r}.")
        seen = np.stack([journeys.conversions, journeys.nulls])
        fraction = np.flatnonzero((seen != np.round(seen)).any(axis=0))
        if resampling == "multinomial" and len(fraction):
            j = int(fraction[0])
            raise InputError(
                f"Bootstrap: journey {j} has {seen[0, j]:g} conversions and {seen[1, j]:g} nulls; a multinomial draws "
                "whole journeys. Use resampling='poisson'."
            )
        refuse_stray_value(journeys)
        return cls(seen, journeys.value, resampling, seed)

    def draw(self, draw: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Conversions, nulls and value of resample `draw`.

        One without any conversion, or without any value where there is some, has nothing to split: it is drawn again.

        Raises
        ------
        InputError : if 1,000 tries in a row have no conversion
        """
        rng = np.random.default_rng([self.seed, draw])
        some = self.seen > 0  # most journeys of a log either convert or do not: half of the draws are saved
        weights = self.seen[some]
        n_conversions = int(some[0].sum())
        needed = some[0] if not self.value.any() else self.value != 0  # one of these must be drawn
        needed = needed[some[0]]
        for _ in range(MAX_TRIES):
            if self.resampling == "poisson":
                drawn = rng.poisson(weights)
            else:
                drawn = rng.multinomial(round(weights.sum()), weights / weights.sum())
            if drawn[:n_conversions][needed].any():
                break
        else:
            raise InputError(
                f"Bootstrap: {MAX_TRIES:,} resamples in a row had no conversion (or no value), for the journeys have "
                f"{self.seen[0].sum():g} in all. That is too few for a bootstrap; use posterior_attribution."
            )
        counts = np.zeros_like(self.seen)
        counts[some] = drawn
        each = self.value / np.where(some[0], self.seen[0], 1.0)
        return counts[0], counts[1], counts[0] * each


def _small_chain(journeys: Journeys, method: str | Attributor) -> Steps | None:
    """The steps of a chain whose removal effects can be found for all resamples at once, if the method is one."""
    if method == "markov":
        method = RemovalEffect()
    # Equal to a fresh one of its order: whatever else it can be set to, this is plain removal to null.
    if not isinstance(method, RemovalEffect) or method.order == "auto" or method != RemovalEffect(method.order):
        return None
    if len(journeys.channels) > DENSE_STATES:
        return None
    paths = Steps.of(journeys, method.order)
    return paths if method.order == 1 or len(paths.contains) <= BATCH_STATES else None


def _of_chains(
    paths: Steps, journeys: Journeys, again: Resampler, n_draws: int, report: Callable[[int], None]
) -> DrawnEffects:
    """Removal effects of the chain of every resample."""
    done, parts = 0, []
    for size in blocks(n_draws, max(4 * journeys.n_journeys, len(paths.contains) ** 2)):
        # (J, size): how often each journey occurs in each resample; sparse products add row to row
        conversions, nulls, value = (
            np.ascontiguousarray(np.transpose(column))
            for column in zip(*(again.draw(draw) for draw in range(done, done + size)), strict=True)
        )
        parts.append(paths.chains(conversions, nulls, value).removal_effects())
        done += size
        report(done)
    return DrawnEffects.join(parts)


@dataclass(frozen=True, slots=True)
class Steps:
    """What each of J journeys adds to the counts of a chain, so that any weights are counted in one product.

    Attributes
    ----------
    origins, targets : (M,) the moves that occur
    counted : sparse (S + M + S, J), how often journey j begins in each state, makes each move, ends in each state
    ends : sparse (S, J), the last rows of these
    contains : (S, C) whether a state contains a channel
    """

    origins: NDArray[np.int64]
    targets: NDArray[np.int64]
    counted: Any
    ends: Any
    contains: BoolArray

    @classmethod
    def of(cls, journeys: Journeys, order: int = 1) -> Steps:
        """Look through all paths once."""
        n_journeys, lengths = journeys.n_journeys, np.diff(journeys.offsets)
        state, n_steps, states = walks(journeys.codes.astype(np.int64), lengths, order, len(journeys.channels))
        n_states, rows, end = len(states), np.arange(n_journeys), np.cumsum(n_steps)
        owner = np.repeat(rows, n_steps)
        moving = (owner[1:] == owner[:-1]) & (state[1:] != state[:-1])  # a repeat is no move
        origin, target = state[:-1][moving], state[1:][moving]
        pairs, move = np.unique(origin * n_states + target, return_inverse=True)

        def counts(which: NDArray[np.int64], who: NDArray[np.int64], n: int) -> Any:
            return csr_array((np.ones(len(which)), (which, who)), shape=(n, n_journeys))

        starts = counts(state[end - n_steps], rows, n_states)
        ends = counts(state[end - 1], rows, n_states)
        counted = vstack([starts, counts(move, owner[1:][moving], len(pairs)), ends], format="csr")
        return cls(pairs // n_states, pairs % n_states, counted, ends, contains(states, len(journeys.channels)))

    def chains(self, conversions: FloatArray, nulls: FloatArray, value: FloatArray) -> ChainDraws:
        """Maximum-likelihood chains of D resamples, from their (J, D) weights."""
        n, n_draws = len(self.contains), conversions.shape[1]
        counted = (self.counted @ (conversions + nulls)).T
        starts, moved, ended = counted[:, :n], counted[:, n:-n], counted[:, -n:]
        moves = np.zeros((n_draws, n, n))
        moves[:, self.origins, self.targets] = moved
        visits = moves.sum(axis=2) + ended
        visits = np.where(visits > 0, visits, 1.0)  # a state that nobody of the resample met leads nowhere
        moves /= visits[:, :, None]
        rewards = np.stack([(self.ends @ conversions).T, (self.ends @ value).T], axis=2) / visits[:, :, None]
        return ChainDraws(
            contains=self.contains,
            start=starts / starts.sum(axis=1, keepdims=True),
            moves=moves,
            rewards=rewards,
        )

"""Bayesian Markov attribution: a Dirichlet posterior on each row of the chain, exact removal effects per draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from journeysim.attribution.chain_draws import ChainDraws, DrawnEffects, blocks
from journeysim.attribution.removal import RemovalEffect
from journeysim.attribution.uncertainty import (
    UncertainAttribution,
    check_draws,
    hidden_spread,
    refuse_stray_value,
    silent,
)
from journeysim.errors import InputError
from journeysim.markov import count_transitions
from journeysim.markov.solving import by_sweeps

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from journeysim.journeys import Journeys
    from journeysim.markov import TransitionCounts

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

Support = Literal["observed", "all"]
BATCH_STATES: Final = 50
"""Up to so many states chains are inverted in blocks; of more, few moves are possible, and each is swept on its own."""


def posterior_attribution(
    journeys: Journeys,
    *,
    seed: int,
    order: int = 1,
    prior: float = 0.5,
    support: Support = "observed",
    n_draws: int = 1_000,
    on_progress: Callable[[int], None] | None = None,
) -> UncertainAttribution:
    """Markov attribution with its posterior: what the counts leave open about the chain, and so about the credit.

    Where journeys begin, and what follows a visit to each state, are categorical with a Dirichlet prior; the posterior
    of each row is Dirichlet(counts + prior), rows independent given the counts. Every draw is a chain, and its removal
    effects are exact. A weight counts as so many journeys, whole or not.

    Parameters
    ----------
    seed : of the draws
    order : touches that a state remembers; a draw of thousands of states takes some hundredths of a second
    prior : pseudo-observations of each possible outcome of a row, >= 0; .5 is Jeffreys', 0 adds nothing. At higher
        orders a row gets 2 x prior in all, shared out as the outcomes after its last channel are
    support : the outcomes that are possible. `observed`: the starts and moves that were seen, and from every state both
        ends (conversion and null, if seen anywhere). `all`: from any channel to any other, order 1 only; the prior then
        adds C + 1 outcomes to each row, which pulls channels with few visits towards each other
    n_draws : number of draws, at least 2
    on_progress : called with the number of draws done

    Raises
    ------
    InputError : nothing converts, a setting makes no sense, or a value without a conversion

    Source: Dirichlet posterior of a Markov chain, Strelioff, Crutchfield & Hubler 2007, Physical Review E 76:011106.
    """
    check_draws(n_draws, seed)
    report = on_progress or silent
    if not 0 <= prior < np.inf:
        raise InputError(f"posterior_attribution: prior must be a number >= 0, got {prior!r}.")
    if support not in ("observed", "all"):
        raise InputError(f"posterior_attribution: support must be 'observed' or 'all', got {support!r}.")
    if support == "all" and order != 1:
        raise InputError(
            f"posterior_attribution: support='all' is for order 1, got order {order}: most states of a higher order "
            "cannot follow each other. Use support='observed'."
        )
    point = RemovalEffect(order).attribute(journeys)
    counts = count_transitions(journeys, order)
    n_states = len(counts.states)
    rows = _Rows.of(counts, prior, every_move=support == "all")
    worth = _Worth.of(journeys, counts)
    rng = np.random.default_rng(seed)
    done, parts = 0, []
    dense = n_states <= BATCH_STATES
    for size in blocks(n_draws, n_states * n_states) if dense else [1] * n_draws:
        drawn = rows.draw(rng, size, worth).removal_effects() if dense else rows.swept(rng, worth)
        parts.append(drawn)
        done += size
        report(done)
    effects = DrawnEffects.join(parts)
    return UncertainAttribution.from_effects(
        point,
        effects,
        source="posterior",
        settings={"seed": seed, "prior": prior, "support": support},
        notes=hidden_spread(journeys),
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """Parameters of the Dirichlet posteriors: starts (S,), moves as origin, target, alpha (M,), ends (S,) each."""

    contains: NDArray[np.bool_]
    starts: FloatArray
    origins: IntArray
    targets: IntArray
    moves: FloatArray
    conversions: FloatArray
    nulls: FloatArray

    @classmethod
    def of(cls, counts: TransitionCounts, prior: float, *, every_move: bool) -> _Rows:
        if every_move:
            weight = counts.moves.toarray()
            origins, targets = np.nonzero(~np.eye(len(weight), dtype=bool))  # repeats are no moves
            moves, seen = weight[origins, targets], np.ones(len(weight), dtype=bool)
        else:
            seen = counts.starts > 0
            sparse = counts.moves.tocoo()
            origins, targets = (np.asarray(axis, dtype=np.int64) for axis in sparse.coords)
            moves = sparse.data
        if counts.order > 1:
            return cls._backing_off(counts, prior, origins, targets, moves)
        return cls(
            contains=counts.contains,
            starts=np.where(seen, counts.starts + prior, 0.0),
            origins=origins,
            targets=targets,
            moves=moves + prior,
            conversions=counts.conversions + prior,
            nulls=counts.nulls + (prior if counts.nulls.any() else 0.0),
        )

    @classmethod
    def _backing_off(
        cls, counts: TransitionCounts, prior: float, origins: IntArray, targets: IntArray, moves: FloatArray
    ) -> _Rows:
        """Rows of higher orders: 2 x prior pseudo-observations in all, shared out as what follows the last channel is.

        Most states of a high order are rare. As many pseudo-observations for each outcome as at order 1 would make
        what follows them nearly uniform, and move the posterior away from what was seen.

        Source: MacKay & Peto 1995, Natural Language Engineering 1(3) (a Dirichlet prior around the lower order).
        """
        last, n_channels = counts.states[:, -1], len(counts.channels)
        conversions, nulls = (np.bincount(last, ends, n_channels)[last] for ends in (counts.conversions, counts.nulls))
        pairs = last[origins] * n_channels + last[targets]
        onward = np.bincount(pairs, moves, n_channels**2)[pairs]
        total = conversions + nulls + np.bincount(origins, onward, len(last))
        mass = 2 * prior / total  # every state was visited, and its last channel then went on somewhere
        return cls(
            contains=counts.contains,
            starts=counts.starts * (1 + 2 * prior / counts.starts.sum()),
            origins=origins,
            targets=targets,
            moves=moves + mass[origins] * onward,
            conversions=counts.conversions + mass * conversions,
            nulls=counts.nulls + mass * nulls,
        )

    def draw(self, rng: np.random.Generator, n_draws: int, worth: _Worth) -> ChainDraws:
        """A Dirichlet draw is a draw of gammas, divided by their sum."""
        n_states = len(self.starts)
        starts = rng.standard_gamma(self.starts, (n_draws, n_states))
        moves = np.zeros((n_draws, n_states, n_states))
        moves[:, self.origins, self.targets] = rng.standard_gamma(self.moves, (n_draws, len(self.moves)))
        conversions = rng.standard_gamma(self.conversions, (n_draws, n_states))
        nulls = rng.standard_gamma(self.nulls, (n_draws, n_states))
        total = moves.sum(axis=2) + conversions + nulls
        if not total.all():
            raise InputError(
                "posterior_attribution: some state has a weight so small that its row cannot be drawn. Give a larger "
                "prior, or scale the weights to whole journeys."
            )
        moves /= total[:, :, None]
        p_conversion = conversions / total
        value = p_conversion * worth.draw(rng, n_draws)
        return ChainDraws(
            contains=self.contains,
            start=starts / starts.sum(axis=1, keepdims=True),
            moves=moves,
            rewards=np.stack([p_conversion, value], axis=2),
        )

    def swept(self, rng: np.random.Generator, worth: _Worth) -> DrawnEffects:
        """Removal effects of one draw, by sweeps of its sparse chain."""
        starts, moves = rng.standard_gamma(self.starts), rng.standard_gamma(self.moves)
        conversions, nulls = rng.standard_gamma(self.conversions), rng.standard_gamma(self.nulls)
        n_states = len(starts)
        ends = conversions + nulls
        total = np.bincount(self.origins, moves, n_states) + ends
        some = np.where(ends > 0, ends, 1.0)
        end_conversion = conversions / some
        chain = _SparseDraw(
            start=starts / starts.sum(),
            moves=csr_array((moves / total[self.origins], (self.origins, self.targets)), shape=(n_states, n_states)),
            p_end=ends / total,
            end_conversion=end_conversion,
            end_value=end_conversion * worth.draw(rng, 1)[0],
        )
        # one more column, of which nothing is removed, tells what the whole chain earns
        removed = np.column_stack([np.zeros(n_states, dtype=np.bool_), self.contains])
        earned = by_sweeps(chain, removed, np.array([chain.end_conversion.mean(), 1.0, abs(chain.end_value).mean()]))
        return DrawnEffects.from_losses(earned[:1], (earned[:1] - earned[1:])[None])


class _SparseDraw(NamedTuple):
    """One drawn chain as the solvers see it."""

    start: FloatArray
    moves: Any
    p_end: FloatArray
    end_conversion: FloatArray
    end_value: FloatArray


@dataclass(frozen=True, slots=True)
class _Worth:
    """Mean value of a conversion from each state (S,), and the standard error of that mean (S,)."""

    mean: FloatArray
    error: FloatArray

    @classmethod
    def of(cls, journeys: Journeys, counts: TransitionCounts) -> _Worth:
        """Means by state; the variance of single values by the last channel, which all states that end in it share.

        Every conversion of a row counts with the mean value of its row. A channel's variance takes in one
        pseudo-observation of the variance within all channels, since some close two or three journeys only.
        """
        refuse_stray_value(journeys)
        n_channels = len(counts.channels)
        paid = journeys.conversions > 0
        last = journeys.codes[journeys.offsets[1:] - 1][paid]
        weight, each = journeys.conversions[paid], journeys.value[paid] / journeys.conversions[paid]
        closed = np.bincount(last, weight, n_channels)
        n_rows = np.bincount(last, minlength=n_channels)
        mean = np.bincount(last, weight * each, n_channels) / np.where(n_rows > 0, closed, 1.0)
        spread = np.bincount(last, weight * (each - mean[last]) ** 2, n_channels)
        squares = n_rows * spread / np.where(n_rows > 0, closed, 1.0)  # rows of one conversion: the sum of squares
        pooled = squares.sum() / max(np.maximum(n_rows - 1, 0).sum(), 1)
        variance = ((squares + pooled) / np.maximum(n_rows, 1))[counts.states[:, -1]]
        seen = counts.conversions > 0
        some = np.where(seen, counts.conversions, 1.0)
        return cls(
            mean=np.where(seen, counts.value / some, journeys.total_value / journeys.n_conversions),
            error=np.sqrt(variance / some),
        )

    def draw(self, rng: np.random.Generator, n_draws: int) -> FloatArray:
        """(n_draws, S) normal draws of the means: the central limit, not a model of single values."""
        return self.mean + self.error * rng.standard_normal((n_draws, len(self.mean)))

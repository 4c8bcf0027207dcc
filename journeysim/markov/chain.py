"""The absorbing chain of journeys, and what it loses without each channel; arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from journeysim.errors import InputError
from journeysim.markov import solving

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.markov.counting import TransitionCounts

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class RemovalEffects:
    """What an absorbing chain loses without each of K things: by default, without each channel.

    Attributes
    ----------
    p_conversion : probability that a journey of the full chain converts
    value_per_journey : expected value of a journey of the full chain
    by_conversions : (K,) share of p_conversion lost, up to rounding in [0, 1] when removal leads to null
    by_value : (K,) share of value_per_journey lost, or None where that is zero; outside [0, 1] only with refunds
    """

    p_conversion: float
    value_per_journey: float
    by_conversions: FloatArray
    by_value: FloatArray | None

    @classmethod
    def from_rest(cls, expected: FloatArray, rest: FloatArray) -> RemovalEffects:
        """Effects from what is expected of a journey (conversions, value, absolute value) and what is left (K, 2)."""
        p_conversion, value, absolute_value = (float(x) for x in expected)
        has_value = abs(value) > 1e-12 * absolute_value  # below that, refunds cancel and rounding is all there is
        return cls(
            p_conversion=p_conversion,
            value_per_journey=value,
            by_conversions=1 - rest[:, 0] / p_conversion,
            by_value=1 - rest[:, 1] / value if has_value else None,
        )


@dataclass(frozen=True, slots=True, eq=False)
class AbsorbingChain:
    """A Markov chain of journeys that ends in a conversion or in nothing.

    Attributes
    ----------
    contains : (S, C) whether a state contains a channel
    start : (S,) probability that a journey begins in each state, sums to 1
    visits : (S,) expected visits to each state per journey: start @ N, with N = inv(I - Q) the fundamental matrix
    moves : (S, S) sparse Q, probability to go on from row to column
    p_end : (S,) probability that a journey ends in the state it is in; rows of Q plus this sum to 1
    end_conversion : (S,) share of the ends in a state that are conversions
    end_value : (S,) mean value of an end in a state
    """

    contains: BoolArray
    start: FloatArray
    visits: FloatArray
    moves: Any
    p_end: FloatArray
    end_conversion: FloatArray
    end_value: FloatArray

    @classmethod
    def from_counts(cls, counts: TransitionCounts) -> AbsorbingChain:
        """Maximum-likelihood chain: every probability is a share of the counts.

        Expected visits need no solving: what enters a state leaves it, so the observed visits solve v = start + Q'v.

        Raises
        ------
        InputError : if there is no journey with a weight
        """
        n_journeys = counts.starts.sum()
        if n_journeys == 0:
            raise InputError("No journey has conversions or nulls: there is nothing to fit a Markov chain to.")
        ends = counts.conversions + counts.nulls
        visits = np.asarray(counts.moves.sum(axis=1)) + ends
        moves = counts.moves.copy()
        moves.data = moves.data / np.repeat(visits, np.diff(moves.indptr))
        some = np.where(ends > 0, ends, 1.0)
        return cls(
            contains=counts.contains,
            start=counts.starts / n_journeys,
            visits=visits / n_journeys,
            moves=moves,
            p_end=ends / visits,
            end_conversion=counts.conversions / some,
            end_value=counts.value / some,
        )

    @property
    def p_conversion(self) -> float:
        """Probability that a journey ends in a conversion; for a chain from counts, the observed conversion rate."""
        return float(self.visits @ self.rewards[:, 0])

    @property
    def rewards(self) -> FloatArray:
        """(S, 3) expected conversions, value and absolute value earned by a visit's end."""
        return solving.rewards(self)

    def removal_effects(self, removed: BoolArray | None = None) -> RemovalEffects:
        """Share of conversions, and of value, lost when every entry into a removed state leads to null.

        Exact: one dense factorization for small chains, otherwise sweeps with a proven error of at most 1e-12 (by
        value, 1e-12 x mean absolute value / mean value, the same thing where no value is negative). A conversion from
        state s earns the mean value of the conversions seen from s.

        Parameters
        ----------
        removed : (S, K) for each of K removals the states that lead to null; by default, for each channel those that
            contain it

        Raises
        ------
        InputError : if the chain never converts, or if sweeping does not reach that error (extremely long journeys)

        Source: Anderl, Becker, von Wangenheim & Schumann 2016, IJRM 33(3); formulas in docs/attribution.md.
        """
        expected = self._expected()
        rest = solving.without(self, self.contains if removed is None else removed, expected)
        return RemovalEffects.from_rest(expected, rest)

    def detour_effects(self, removed: BoolArray | None = None) -> RemovalEffects:
        """Share of conversions, and of value, lost when the removed states are skipped and journeys go on after them.

        The states outside A see the censored chain: Q' = Q_KK + Q_KA inv(I - Q_AA) Q_AK. What would have ended inside
        A ends in the last state before, and converts as often as journeys do that end there; where none was seen to
        end, as often as all journeys together. What began in A and ended there has no state left: it does not convert.
        Censoring leaves the visits to all other states as they were, so only e = inv(I - Q_AA) p_end[A] is solved for.
        Effects may be negative: skipping a state loses nothing where the one before converts better.

        Parameters and errors as `removal_effects`.

        Source: Kemeny & Snell, Finite Markov Chains, ch. 6 (the process observed outside a set; stochastic complement).
        """
        expected = self._expected()
        masks = self.contains if removed is None else removed
        seen = (self.p_end > 0)[:, None]
        earns = np.where(seen, np.column_stack([self.end_conversion, self.end_value]), expected[:2])
        rest = solving.skipping(self, masks, earns, expected)
        return RemovalEffects.from_rest(expected, rest)

    def _expected(self) -> FloatArray:
        if not ((self.p_end > 0) & (self.end_conversion > 0)).any():
            raise InputError("No journey converts: removal effects are shares of conversions and need at least one.")
        return np.asarray(self.visits @ self.rewards)

"""Chains: the customers of a posterior as Markov chains, one per draw and segment, and where a scenario leads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from journeysim.errors import InputError
from journeysim.forecasts.asked import require_stages
from journeysim.moves import LAPSED, LOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from journeysim.bayes.posterior import Posterior
    from journeysim.scenario import Scenario

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]


MOST_JUMPS: Final = 5_000.0
"""Expected jumps of a chain beyond which squaring whole matrices is faster than following one vector."""


class Spent(NamedTuple):
    """What customers do in each of T steps of time; an amount after u days discounted by exp(-discount u)."""

    purchases: FloatArray  # (N, G, T)
    purchases_discounted: FloatArray  # (N, G, T)
    days: FloatArray  # (N, G, T, S) in each stage
    days_discounted: FloatArray  # (N, G, T, S)


class Chains:
    """The chains of a posterior: Markov where hazards are constant, semi-Markov where they depend on time in stage.

    N draws, G segments, S stages; state S is lost. Answers from the starts of the log are kept: scenarios that change
    no move on the way to what is asked share one.

    Raises
    ------
    InputError : this is no posterior of stages, no stage is a purchase, or hazards depend on covariates
    """

    def __init__(self, posterior: Posterior) -> None:
        require_stages(posterior)
        if posterior.covariates:
            raise InputError(
                "Forecast: the hazards of this posterior depend on what customers meet, which a forecast from stages "
                "does not follow. Hold the classes fixed with `posterior.holding(NAME='class')`, or fit a history "
                "without covariates, whose hazards are averages over what customers met."
            )
        if not posterior.purchase_stages:
            raise InputError("No stage of this history is a purchase, so there is no conversion to forecast.")
        self.stages, self.moves = tuple(posterior.stages), posterior.moves
        self.purchase_stages = tuple(posterior.purchase_stages)
        names = (*self.stages, LOST)
        self.origins = np.array([names.index(origin) for origin, _ in self.moves], dtype=np.int64)
        self.targets = np.array([names.index(target) for _, target in self.moves], dtype=np.int64)
        self.purchases = [names.index(name) for name in self.purchase_stages]
        lapsed = [names.index(LAPSED)] if LAPSED in self.stages else []
        self.gone = [*lapsed, len(self.stages)]  # lapsing ends retention like losing
        self.edges_days = np.array(posterior.edges_days, dtype=np.float64)
        in_bins = posterior.hazards_in_bins  # (N, G, B, M)
        self.hazards = in_bins if len(self.edges_days) > 1 else None
        self.by_segment = np.ascontiguousarray(np.moveaxis(in_bins[:, :, 0], 0, -1))  # (G, M, N)
        self._fastest = self.by_segment.max(axis=(0, 2), initial=0.0)
        weights = np.asarray(posterior.starts, dtype=np.float64)
        self.starts = np.concatenate([weights, np.zeros((len(weights), 1))], axis=1)[..., None] / weights.sum()
        self._known: dict[tuple[object, ...], FloatArray] = {}

    @property
    def n_draws(self) -> int:
        """N."""
        return int(self.by_segment.shape[2])

    def factors(self, scenario: Scenario | None) -> FloatArray:
        """(M,) what a scenario multiplies the hazards by."""
        if scenario is None:
            return np.ones(len(self.moves))
        return scenario.hazard_factors(self.moves, stages=self.stages, purchase_stages=self.purchase_stages)

    def reached(
        self, factors: FloatArray, ends: Sequence[int], days: FloatArray, starts: FloatArray | None = None
    ) -> FloatArray:
        """(N, G, T, E) share of customers who have entered each of the states `ends` by each of `days`.

        Parameters
        ----------
        days : (T,) evenly spaced from 0, or one time
        starts : (G, S + 1, N) weights at the beginning, each having just entered; by default those of the log
        """
        weights = self.starts if starts is None else starts
        kept = self._on_the_way(weights, ends)
        key = (*factors[kept], *ends, *days)
        if starts is None and key in self._known:
            return self._known[key]
        if self.hazards is None:
            found = self._states(factors, kept, weights, days)[:, :, ends].transpose(3, 0, 1, 2)
            if len(days) > 1:
                first = np.broadcast_to(weights[:, ends], (*weights[:, ends].shape[:2], self.n_draws))
                found = np.concatenate([first.transpose(2, 0, 1)[:, :, None], found], axis=2)
        else:
            made = self._move_counts(factors, kept, weights, days)
            first = np.broadcast_to(weights, (*weights.shape[:2], self.n_draws)).transpose(2, 0, 1)
            found = np.stack(
                [first[:, :, [end]] + made[..., self.targets[kept] == end].sum(axis=-1) for end in ends], axis=-1
            )
        if starts is None:
            self._known[key] = found
        return found

    def spent(self, factors: FloatArray, days: FloatArray, discount_per_day: float) -> Spent:
        """Purchases, and days in each stage, in each step between `days` (T + 1,), evenly spaced from 0.

        A journey that begins in a purchase stage begins with a purchase. Where hazards depend on time in stage,
        integrals over a step are by the trapezoidal rule, and discounting is that of its middle.
        """
        every = np.ones(len(self.moves), dtype=np.bool_)
        buys = np.isin(self.targets, self.purchases)
        at_once = self.starts[:, self.purchases].sum(axis=(1, 2))  # (G,)
        if self.hazards is None:
            _, stays, later = self._propagate(factors, every, self.starts, days, discount=discount_per_day)
            hazards = (self.by_segment * factors[:, None])[:, None, buys]  # (G, 1, M, N)
            counts = [
                (spent[:, :, self.origins[buys]] * hazards).sum(axis=2).transpose(2, 0, 1) for spent in (stays, later)
            ]
            stays, later = (spent[:, :, :-1].transpose(3, 0, 1, 2) for spent in (stays, later))
        else:
            made = self._move_counts(factors, every, self.starts, days)  # (N, G, T + 1, M)
            n_stages = len(self.stages)
            inside = np.stack(
                [
                    made[..., self.targets == s].sum(axis=-1) - made[..., self.origins == s].sum(axis=-1)
                    for s in range(n_stages)
                ],
                axis=-1,
            )
            inside += self.starts[None, :, None, :-1, 0]
            step = np.diff(days)[:, None]
            stays = (inside[:, :, 1:] + inside[:, :, :-1]) / 2 * step
            discount = np.exp(-discount_per_day * (days[1:] + days[:-1]) / 2)
            later = stays * discount[:, None]
            bought = np.diff(made[..., buys].sum(axis=-1), axis=-1)
            counts = [bought, bought * discount]
        for count in counts:
            count[:, :, 0] += at_once
        return Spent(counts[0], counts[1], stays, later)

    def _on_the_way(self, weights: FloatArray, ends: Sequence[int]) -> NDArray[np.bool_]:
        """(M,) moves that a customer may make before any of `ends`; all others change nothing."""
        there: NDArray[np.bool_] = np.asarray(weights.any(axis=(0, 2)))
        before = ~np.isin(self.origins, list(ends))
        for _ in self.stages:
            there[self.targets[before & there[self.origins]]] = True
        return np.asarray(before & there[self.origins])

    def _states(
        self, factors: FloatArray, kept: NDArray[np.bool_], weights: FloatArray, days: FloatArray
    ) -> FloatArray:
        """(G, T, S + 1, N) states of Markov chains; by squaring matrices where vectors would take too many jumps."""
        n_states = weights.shape[1]
        fastest = np.bincount(self.origins[kept], (self._fastest * factors)[kept], n_states).max(initial=0.0)
        if fastest * days[-1] <= MOST_JUMPS:
            return self._propagate(factors, kept, weights, days, with_days=False)[0]
        from journeysim.ctmc import transition_probabilities

        hazards = self.by_segment[:, kept] * factors[kept, None]
        Q = np.zeros((len(hazards), self.n_draws, n_states, n_states))
        Q[:, :, self.origins[kept], self.targets[kept]] = hazards.transpose(0, 2, 1)
        Q[..., range(n_states), range(n_states)] = -Q.sum(axis=-1)
        P = transition_probabilities(Q, float(days[0] if len(days) == 1 else days[1]))
        state = np.broadcast_to(weights, (*weights.shape[:2], self.n_draws)).transpose(0, 2, 1)
        states = []
        for _ in range(max(1, len(days) - 1)):
            state = np.einsum("gns,gnsk->gnk", state, P)
            states.append(state.transpose(0, 2, 1))
        return np.stack(states, axis=1)

    def _propagate(
        self,
        factors: FloatArray,
        kept: NDArray[np.bool_],
        weights: FloatArray,
        days: FloatArray,
        *,
        discount: float = 0.0,
        with_days: bool = True,
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        from journeysim.uniformization import propagate  # importing numba takes time

        return propagate(
            self.by_segment[:, kept] * factors[kept, None],
            self.origins[kept],
            self.targets[kept],
            weights,
            step_days=float(days[-1] - days[0]) / (len(days) - 1) if len(days) > 1 else float(days[0]),
            n_steps=max(1, len(days) - 1),
            discount_per_day=discount,
            with_days=with_days,
        )

    def _move_counts(
        self, factors: FloatArray, kept: NDArray[np.bool_], weights: FloatArray, days: FloatArray
    ) -> FloatArray:
        """(N, G, T, M) expected moves by each of `days`, of semi-Markov chains."""
        from journeysim.semi_markov import move_counts

        assert self.hazards is not None  # noqa: S101
        hazards = (self.hazards * factors)[..., kept]
        shape = hazards.shape[:2]
        starts = np.broadcast_to(weights, (*weights.shape[:2], self.n_draws)).transpose(2, 0, 1)[..., :-1]
        found = move_counts(
            hazards.reshape(shape[0] * shape[1], *hazards.shape[2:]),
            self.edges_days,
            self.origins[kept],
            self.targets[kept],
            starts.reshape(-1, starts.shape[-1]),
            days,
        )
        return found.reshape(*shape, *found.shape[1:])

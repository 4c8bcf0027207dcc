"""The log-density of the stage model for stages seen at visits: transition probabilities by matrix exponentials.

The likelihood of a pair of visits is an entry of exp(Q t) (Kalbfleisch & Lawless 1985, JASA 80); where the target is
entered at the time of the second visit, the sum over stages of being there just before, times the hazard into the
target. Derivatives are Frechet derivatives of the exponential, by scaling and squaring of both together (Al-Mohy &
Higham 2009, SIAM J. Matrix Anal. Appl. 30), in the direction of the adjoint: one per interval and segment, whatever the
number of moves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from scipy.optimize import minimize

from journeysim.bayes.impossible import or_impossible
from journeysim.bayes.pooled_effects import Coordinates
from journeysim.bayes.stage_density import pooled_effects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.bayes.stage_effects import StageEffects
    from journeysim.panel_history import PanelHistory

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PanelLikelihood:
    """Log-likelihood of pairs of visits and its gradient, by log hazards.

    Attributes
    ----------
    first : (intervals + 1,) where the pairs of each distinct segment and interval begin
    """

    panel: PanelHistory
    order: IntArray
    first: IntArray
    origins: IntArray
    targets: IntArray

    @classmethod
    def of(cls, panel: PanelHistory) -> PanelLikelihood:
        """The likelihood, with pairs of one segment and interval together: they share a matrix exponential."""
        order = np.lexsort((panel.interval_days, panel.segment))
        segment, days = panel.segment[order], panel.interval_days[order]
        new = np.append(True, (segment[1:] != segment[:-1]) | (days[1:] != days[:-1]))
        history = panel.as_if_seen()
        return cls(panel, order, np.append(np.flatnonzero(new), len(order)), history.origins, history.targets)

    def __call__(self, log_hazards: FloatArray) -> tuple[float, FloatArray]:
        """Log-likelihood at log hazards (G, M), and its gradient by them."""
        panel, order = self.panel, self.order
        value: tuple[float, FloatArray] = _pairs_of_visits(
            log_hazards,
            self.first,
            panel.segment[order],
            panel.origin[order],
            panel.target[order],
            panel.interval_days[order],
            panel.weight[order],
            panel.exact[order],
            self.origins,
            self.targets,
            len(panel.stages) + 1,
        )
        return value


@dataclass(frozen=True, slots=True, eq=False)
class PanelDensity:
    """Log posterior density of the stage model given pairs of visits; `coordinates` lead to its parameters."""

    coordinates: Coordinates
    likelihood: PanelLikelihood

    @classmethod
    def of(cls, panel: PanelHistory, effects: StageEffects) -> PanelDensity:
        """The density given pairs of visits; coordinates are those of a normal approximation at the mode."""
        pooled, likelihood = pooled_effects(effects), PanelLikelihood.of(panel)
        X, precision = pooled.design(), pooled.typical_sd() ** -2
        shape = precision.shape

        def loss(flat: FloatArray) -> tuple[float, FloatArray]:
            beta = flat.reshape(shape)
            value, by_eta = likelihood(np.ascontiguousarray(X @ beta.T))
            deviation = beta - pooled.mean
            gradient = by_eta.T @ X - precision * deviation
            return -value + 0.5 * float((precision * deviation**2).sum()), -gradient.ravel()

        mode = minimize(loss, np.tile(pooled.mean, (shape[0], 1)).ravel(), jac=True, method="L-BFGS-B")
        eta = np.ascontiguousarray(X @ mode.x.reshape(shape).T)
        _, slope = likelihood(eta)
        weight = np.zeros_like(eta)
        for at in np.ndindex(*eta.shape):
            up, down = eta.copy(), eta.copy()
            up[at] += 1e-3
            down[at] -= 1e-3
            weight[at] = max(0.0, (likelihood(down)[1][at] - likelihood(up)[1][at]) / 2e-3)
        return cls(Coordinates.of(pooled, weight, weight * eta + slope), likelihood)

    @property
    def n_dim(self) -> int:
        """Length of x."""
        return self.coordinates.effects.n_dim

    def __call__(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Log density at x (n_dim,), up to a constant, and its gradient (n_dim,); -inf where it is no number."""
        point = self.coordinates.at(x)
        log_likelihood, by_eta = self.likelihood(point.eta)
        gradient = self.coordinates.gradient(x, point, by_eta)
        return or_impossible(point.log_prior + log_likelihood, gradient)


@njit(cache=True, error_model="numpy", nogil=True)
def _exponential(Q: FloatArray, direction: FloatArray, days: float) -> tuple[FloatArray, FloatArray]:
    """exp(Q t), and its derivative in a direction (of Q)."""
    n = Q.shape[0]
    fastest = 1e-300
    for i in range(n):
        fastest = max(fastest, -Q[i, i])
    if not math.isfinite(fastest * days):
        return Q * math.nan, Q * math.nan
    n_squarings = max(0, math.ceil(math.log2(max(fastest * days / 0.5, 1e-300))))
    short = days / 2.0**n_squarings
    jump = (Q / fastest + np.eye(n)) * (fastest * short)
    change = direction * short
    term, slope = np.eye(n), np.zeros((n, n))
    P, D = term.copy(), slope.copy()
    for k in range(1, 15):  # at most half a jump in a short time: cut below 1e-16
        slope = (jump @ slope + change @ term) / k
        term = jump @ term / k
        P += term
        D += slope
    scale = math.exp(-fastest * short)
    P *= scale
    D *= scale
    for _ in range(n_squarings):
        D = P @ D + D @ P
        P = P @ P
    return P, D


@njit(cache=True, error_model="numpy", nogil=True)
def _pairs_of_visits(
    log_hazards: FloatArray,
    first: IntArray,
    segment: IntArray,
    origin: IntArray,
    target: IntArray,
    interval_days: FloatArray,
    weight: FloatArray,
    exact: FloatArray,
    origins: IntArray,
    targets: IntArray,
    n_states: int,
) -> tuple[float, FloatArray]:
    n_moves = len(origins)
    by_log_hazard = np.zeros_like(log_hazards)
    total = 0.0
    nothing = np.zeros((n_states, n_states))
    for group in range(len(first) - 1):
        k = first[group]
        g, days = segment[k], interval_days[k]
        Q = np.zeros((n_states, n_states))
        for m in range(n_moves):
            hazard = math.exp(log_hazards[g, m])
            Q[origins[m], targets[m]] += hazard
            Q[origins[m], origins[m]] -= hazard
        P, _ = _exponential(Q, nothing, days)
        by_P = np.zeros((n_states, n_states))
        for k in range(first[group], first[group + 1]):
            i, j = origin[k], target[k]
            if not exact[k]:
                total += weight[k] * math.log(P[i, j])
                by_P[i, j] += weight[k] / P[i, j]
                continue
            density = 0.0
            for m in range(n_moves):
                if targets[m] == j:
                    density += P[i, origins[m]] * math.exp(log_hazards[g, m])
            total += weight[k] * math.log(density)
            for m in range(n_moves):
                if targets[m] == j:
                    hazard = math.exp(log_hazards[g, m])
                    by_P[i, origins[m]] += weight[k] * hazard / density
                    by_log_hazard[g, m] += weight[k] * P[i, origins[m]] * hazard / density
        _, by_Q = _exponential(np.ascontiguousarray(Q.T), by_P, days)
        for m in range(n_moves):
            change = by_Q[origins[m], targets[m]] - by_Q[origins[m], origins[m]]
            by_log_hazard[g, m] += math.exp(log_hazards[g, m]) * change
    return total, by_log_hazard

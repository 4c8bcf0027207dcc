"""The log-density of the stage model with its gradient, compiled: Poisson counts in cells with pooled effects."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from journeysim.bayes.impossible import or_impossible
from journeysim.bayes.pooled_effects import Coordinates, PooledEffects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.bayes.stage_effects import StageEffects

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class StageDensity:
    """Log posterior density of the stage model at a point x of the sampler; `coordinates` lead to its parameters.

    Attributes
    ----------
    counts, exposure_days : (C, M) moves made in each cell, and customer-days at risk of them
    """

    coordinates: Coordinates
    counts: FloatArray
    exposure_days: FloatArray

    @classmethod
    def of(cls, effects: StageEffects) -> StageDensity:
        """The density given the counts of a history."""
        pooled, counts, days = pooled_effects(effects), effects.counts, effects.exposure_days
        eta, expected = fitted(pooled, counts, days)
        # what a normal approximation at the mode says of each cell: precision `expected` about the working response
        return cls(Coordinates.of(pooled, expected, expected * eta + counts - expected), counts, days)

    @property
    def n_dim(self) -> int:
        """Length of x."""
        return self.coordinates.effects.n_dim

    def __call__(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Log density at x (n_dim,), up to a constant, and its gradient (n_dim,); -inf where it is no number."""
        point = self.coordinates.at(x)
        log_likelihood, by_eta = _poisson(point.eta, self.counts, self.exposure_days)
        gradient = self.coordinates.gradient(x, point, by_eta)
        return or_impossible(point.log_prior + log_likelihood, gradient)


def pooled_effects(effects: StageEffects) -> PooledEffects:
    """What the compiled coordinates need to know of the effects of a stage history."""
    return PooledEffects(
        terms=effects.terms,
        n_alone=effects.segments.stop,
        mean=effects.mean,
        sd=effects.sd,
        scale_of=effects.scale_of,
        shared_of=effects.shared_of,
        scale_prior=effects.scale_prior,
        shared_sd=effects.shared_sd,
    )


def fitted(effects: PooledEffects, counts: FloatArray, exposure_days: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(C, M) log hazards and expected moves at the mode, with every scale at its prior median: Newton's method."""
    X = effects.design()
    precision = effects.typical_sd() ** -2  # (M, d)
    n, days = counts.sum(axis=0), exposure_days.sum(axis=0)
    beta = np.tile(effects.mean, (counts.shape[1], 1))
    beta[:, -1] = np.log(n + 0.5) - np.log(days + 0.5 * math.exp(-effects.mean[-1]))
    for _ in range(100):
        eta = X @ beta.T
        expected = exposure_days * np.exp(eta)
        slope = (counts - expected).T @ X - precision * (beta - effects.mean)
        curvature = np.einsum("ck,cm,cl->mkl", X, expected, X)
        curvature[:, range(beta.shape[1]), range(beta.shape[1])] += precision
        step = np.linalg.solve(curvature, slope[..., None])[..., 0]
        # a step of a log hazard by more than 1 would leave the range in which the curvature holds
        step /= np.maximum(1.0, np.abs(X @ step.T).max(axis=0))[:, None]
        beta += step
        if np.abs(step).max() < 1e-6:  # coordinates, not results: any point near the mode will do
            break
    eta = X @ beta.T
    return eta, exposure_days * np.exp(eta)


@njit(cache=True, error_model="numpy", nogil=True)
def _poisson(eta: FloatArray, counts: FloatArray, exposure_days: FloatArray) -> tuple[float, FloatArray]:
    """Log-likelihood of counts in cells, and its gradient by eta."""
    by_eta = np.zeros_like(eta)
    total = 0.0
    for c in range(eta.shape[0]):
        for m in range(eta.shape[1]):
            if counts[c, m] > 0.0 or exposure_days[c, m] > 0.0:
                expected = exposure_days[c, m] * math.exp(eta[c, m])
                total += counts[c, m] * eta[c, m] - expected
                by_eta[c, m] = counts[c, m] - expected
    return total, by_eta

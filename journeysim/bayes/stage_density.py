"""The stage model's log-density with its gradient, compiled, in coordinates that the counts choose.

NUTS is fast where the posterior is round and of unit size. Log hazards are well determined where a move was often seen
and follow their prior where it was not; a coordinate system fixed in advance (centred or non-centred) suits only one of
these. If each log hazard were observed with a normal error, a move's posterior would be normal at every tau, and an
affine map would make independent unit normals of it. The point x of the sampler is the image of the parameters under
that map:

    mu = A(tau) + x_0 / sqrt(P(tau))                    P = 1/sd^2 + sum_g p_g,  A = (mean/sd^2 + sum_g p_g c_g) / P
    log h_g = B_g mu + (1 - B_g) c_g + tau sqrt(B_g) x_g          B_g = 1 / (1 + w_g tau^2),  p_g = w_g B_g

with c_g the observed log rate and w_g its precision. With many moves B -> 0 (centred and standardised), with none B = 1
(non-centred), and in between there is no threshold. It is exact whatever c and w are: they choose coordinates, and the
Jacobian takes them out of the posterior.

Source: partial non-centring, Papaspiliopoulos, Roberts & Skold (2007), A general framework for the parametrization of
hierarchical models, Statistical Science 22; the weights are those of the normal hierarchical model, Gelman et al.,
Bayesian Data Analysis, 3rd ed., sec. 5.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.stage_history import StageHistory

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A log-normal prior by the mean and standard deviation of its logarithm."""

    mean: float
    sd: float


@dataclass(frozen=True, slots=True, eq=False)
class StageDensity:
    """Log posterior density of the stage model at a point x of the sampler, and the way back to its parameters.

    Per move m, x holds coordinates of mu, of log tau and of the G log hazards: (M, G + 2) flattened. With one segment
    there is no tau, mu is the log hazard, and x is (M,).

    Attributes
    ----------
    counts, exposure_days : (G, M) moves made, and customer-days at risk of them
    centre, weight : (G, M) observed log rate per day, and its precision
    rate, spread : priors of a move's typical rate exp(mu) per day, and of tau
    """

    counts: FloatArray
    exposure_days: FloatArray
    centre: FloatArray
    weight: FloatArray
    rate: LogNormal
    spread: LogNormal

    @classmethod
    def of(cls, history: StageHistory, *, rate: LogNormal, spread: LogNormal) -> StageDensity:
        """The density given the counts of a history."""
        # One layout and one type, so that the density is compiled once.
        counts = np.array(history.counts, dtype=np.float64, order="C")
        exposure = np.array(history.exposure_days[:, history.origins], dtype=np.float64, order="C")
        # Half a move at the prior's rate keeps the logarithm finite where no move was made.
        centre = np.log(counts + 0.5) - np.log(exposure + 0.5 * math.exp(-rate.mean))
        return cls(counts, exposure, centre, np.where(exposure > 0, counts + 0.5, 0.0), rate, spread)

    @property
    def n_dim(self) -> int:
        """Length of x."""
        n_segments, n_moves = self.counts.shape
        return int(n_moves * (n_segments + 2 if n_segments > 1 else 1))

    def __call__(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Log density at x (n_dim,), up to a constant, and its gradient (n_dim,)."""
        evaluate = _hierarchical if self.counts.shape[0] > 1 else _one_segment
        value: tuple[float, FloatArray] = evaluate(
            x,
            self.counts,
            self.exposure_days,
            self.centre,
            self.weight,
            self.rate.mean,
            self.rate.sd,
            self.spread.mean,
            self.spread.sd,
        )
        return value

    def parameters(self, x: FloatArray) -> tuple[FloatArray, FloatArray | None, FloatArray]:
        """The model's parameters at points x (..., n_dim): mu (..., M), tau (..., M) and log hazards (..., G, M).

        tau is None with one segment.
        """
        n_segments, n_moves = self.counts.shape
        point = x.reshape(*x.shape[:-1], n_moves, -1)
        pooled = n_segments > 1
        tau = np.exp(self.spread.mean + self.spread.sd * point[..., 1]) if pooled else np.zeros(point.shape[:-1])
        share = 1.0 / (1.0 + self.weight * tau[..., None, :] ** 2)
        about_mu = self.weight * share
        precision = self.rate.sd**-2 + about_mu.sum(axis=-2)
        mu = (self.rate.mean * self.rate.sd**-2 + (about_mu * self.centre).sum(axis=-2)) / precision
        mu = mu + point[..., 0] / np.sqrt(precision)
        if not pooled:
            return mu, None, mu[..., None, :]
        deviations = np.moveaxis(point[..., 2:], -1, -2)
        given_data = share * mu[..., None, :] + (1.0 - share) * self.centre
        return mu, tau, given_data + tau[..., None, :] * np.sqrt(share) * deviations


@njit(cache=True, error_model="numpy")
def _hierarchical(
    x: FloatArray,
    counts: FloatArray,
    exposure_days: FloatArray,
    centre: FloatArray,
    weight: FloatArray,
    rate_mean: float,
    rate_sd: float,
    spread_mean: float,
    spread_sd: float,
) -> tuple[float, FloatArray]:
    n_segments, n_moves = counts.shape
    prior_precision = rate_sd**-2
    gradient = np.empty_like(x)
    total = 0.0
    for m in range(n_moves):
        first = m * (n_segments + 2)
        x_tau = x[first + 1]
        tau = math.exp(spread_mean + spread_sd * x_tau)
        variance = tau * tau

        # mu, and how it moves with t = log tau; primes are derivatives by t, and B' = -2 B (1 - B)
        precision = prior_precision
        weighted = prior_precision * rate_mean
        d_precision = 0.0
        d_weighted = 0.0
        for g in range(n_segments):
            share = 1.0 / (1.0 + weight[g, m] * variance)
            p = weight[g, m] * share
            dp = -2.0 * p * (1.0 - share)
            precision += p
            weighted += p * centre[g, m]
            d_precision += dp
            d_weighted += dp * centre[g, m]
        mean = weighted / precision
        scale = precision**-0.5
        mu = mean + scale * x[first]
        d_log_scale = -0.5 * d_precision / precision
        mu_by_t = (d_weighted - mean * d_precision) / precision + x[first] * scale * d_log_scale

        z = (mu - rate_mean) / rate_sd
        total += math.log(scale) - 0.5 * (z * z + x_tau * x_tau)
        by_mu = -z / rate_sd
        by_t = d_log_scale
        for g in range(n_segments):
            i = first + 2 + g
            share = 1.0 / (1.0 + weight[g, m] * variance)
            sd = tau * math.sqrt(share)
            log_hazard = share * mu + (1.0 - share) * centre[g, m] + sd * x[i]
            deviation = (log_hazard - mu) / tau
            expected = exposure_days[g, m] * math.exp(log_hazard)
            # log sd - log tau = log(share) / 2: the Jacobian and the normaliser of the deviation's prior
            total += counts[g, m] * log_hazard - expected - 0.5 * deviation * deviation + 0.5 * math.log(share)
            by_cell = counts[g, m] - expected - deviation / tau
            gradient[i] = sd * by_cell
            by_mu += share * by_cell + deviation / tau
            cell_by_t = -2.0 * share * (1.0 - share) * (mu - centre[g, m]) + sd * share * x[i]
            by_t += by_cell * cell_by_t + deviation * deviation - 1.0 + share
        gradient[first] = scale * by_mu
        gradient[first + 1] = spread_sd * (by_t + by_mu * mu_by_t) - x_tau
    return total, gradient


@njit(cache=True, error_model="numpy")
def _one_segment(
    x: FloatArray,
    counts: FloatArray,
    exposure_days: FloatArray,
    centre: FloatArray,
    weight: FloatArray,
    rate_mean: float,
    rate_sd: float,
    spread_mean: float,  # noqa: ARG001 - one signature for both densities
    spread_sd: float,  # noqa: ARG001
) -> tuple[float, FloatArray]:
    gradient = np.empty_like(x)
    total = 0.0
    for m in range(counts.shape[1]):
        precision = rate_sd**-2 + weight[0, m]
        scale = precision**-0.5
        mu = (rate_sd**-2 * rate_mean + weight[0, m] * centre[0, m]) / precision + scale * x[m]
        expected = exposure_days[0, m] * math.exp(mu)
        z = (mu - rate_mean) / rate_sd
        total += counts[0, m] * mu - expected - 0.5 * z * z
        gradient[m] = scale * (counts[0, m] - expected - z / rate_sd)
    return total, gradient

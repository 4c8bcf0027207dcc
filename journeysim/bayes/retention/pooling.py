"""A log-density with parameters per segment, pooled over segments, in coordinates that the data choose.

Every parameter k lives on the whole line (the logarithm of a rate, the log odds of a probability):

    theta[g, k] ~ Normal(mu[k], tau[k]),   mu[k] ~ Normal(mean[k], sd[k]),   log tau[k] ~ Normal(spread)

With one segment there is no tau and theta = mu. The point x of the sampler is standard normal if the likelihood is a
normal one; see `journeysim.bayes.stage_density` for the map and its sources. Its centre c and precision w are here the
maximum of the posterior and the curvature of the likelihood there. They choose coordinates, and the Jacobian takes them
out of the posterior.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numba import njit
from scipy.optimize import minimize

from journeysim.bayes.impossible import or_impossible

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]


class Likelihood(Protocol):
    """Log likelihood of G segments with K parameters each, and P coefficients that all share."""

    @property
    def size(self) -> float:
        """Roughly how many observations there are."""
        ...

    def __call__(self, theta: FloatArray, beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Value at theta (G, K) and beta (P,), and its gradients by both; segment g depends on theta[g] alone."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PooledPriors:
    """Normal priors on the line: (K,) of mu, (2,) mean and sd of log tau, (P,) sds of coefficients (mean 0)."""

    mean: FloatArray
    sd: FloatArray
    spread: tuple[float, float]
    beta_sd: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class PooledDensity:
    """Log posterior density at a point x of the sampler, and the way back to the parameters.

    With several segments x holds (K, G + 2) coordinates of mu, log tau and theta, flattened, then P of beta; with one,
    x is (K + P,) and the map is linear, by the Cholesky factor of the covariance at the mode.
    """

    likelihood: Likelihood
    priors: PooledPriors
    centre: FloatArray
    weight: FloatArray
    beta_centre: FloatArray
    beta_scale: FloatArray
    factor: FloatArray

    @classmethod
    def of(cls, likelihood: Likelihood, priors: PooledPriors, *, n_segments: int) -> PooledDensity:
        """The density of a likelihood: looks for its mode and the curvature there."""
        n_parameters, n_beta = len(priors.mean), len(priors.beta_sd)
        # how far a segment may be from the prior's median: the typical segment, and segments around it
        wide = np.concatenate([np.tile(np.hypot(priors.sd, 1.0), n_segments), priors.beta_sd])
        middle = np.concatenate([np.tile(priors.mean, n_segments), np.zeros(n_beta)])

        def split(z: FloatArray) -> tuple[FloatArray, FloatArray]:
            return z[: n_segments * n_parameters].reshape(n_segments, n_parameters), z[n_segments * n_parameters :]

        def downhill(z: FloatArray) -> tuple[float, FloatArray]:
            point = middle + wide * z
            value, by_theta, by_beta = likelihood(*split(point))
            gradient = wide * np.concatenate([by_theta.ravel(), by_beta]) - z
            return -(value - 0.5 * float(z @ z)) / scale, -gradient / scale

        scale = max(likelihood.size, 1.0)
        found = minimize(
            downhill, np.zeros_like(middle), jac=True, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 1e-15}
        )
        theta, beta = split(middle + wide * found.x)
        theta, beta = np.ascontiguousarray(theta), np.ascontiguousarray(beta)
        curvature = _curvature(likelihood, theta, beta)
        own = curvature[:, :n_parameters, :n_parameters]
        covariance = np.linalg.inv(own + np.diag(priors.sd**-2))
        weight = np.maximum(1 / np.einsum("gkk->gk", covariance) - priors.sd**-2, 0.0)
        of_beta = np.einsum("gpp->p", curvature[:, n_parameters:, n_parameters:])
        prior = np.concatenate([priors.sd, priors.beta_sd]) ** -2.0
        factor = np.linalg.cholesky(np.linalg.inv(curvature.sum(axis=0) + np.diag(prior)))
        return cls(likelihood, priors, theta, weight, beta, (of_beta + priors.beta_sd**-2.0) ** -0.5, factor)

    @property
    def n_dim(self) -> int:
        """Length of x."""
        n_segments, n_parameters = self.centre.shape
        return int(n_parameters * (n_segments + 2 if n_segments > 1 else 1) + len(self.beta_centre))

    def __call__(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Log density at x (n_dim,), up to a constant, and its gradient (n_dim,); -inf where it is no number."""
        with np.errstate(all="ignore"):
            return or_impossible(*self._value(x))

    def _value(self, x: FloatArray) -> tuple[float, FloatArray]:
        priors = self.priors
        if len(self.centre) == 1:
            shift = self.factor @ x
            theta, beta = self.centre + shift[: len(priors.mean)], self.beta_centre + shift[len(priors.mean) :]
            value, by_theta, by_beta = self.likelihood(theta, beta)
            z = np.concatenate([(theta[0] - priors.mean) / priors.sd, beta / priors.beta_sd])
            by_point = np.concatenate([by_theta[0], by_beta]) - z / np.concatenate([priors.sd, priors.beta_sd])
            return value - 0.5 * float(z @ z), self.factor.T @ by_point
        pooled = self.centre.size + 2 * len(priors.mean)
        beta = self.beta_centre + self.beta_scale * x[pooled:]
        theta = np.empty_like(self.centre)
        shape = (self.centre, self.weight, priors.mean, priors.sd, *priors.spread)
        gradient = np.empty_like(x)
        _to_theta(x, *shape, theta)
        value, by_theta, by_beta = self.likelihood(theta, beta)
        value += _back_to_x(x, *shape, theta, by_theta, gradient)
        gradient[pooled:] = self.beta_scale * (by_beta - beta / priors.beta_sd**2)
        return value - 0.5 * float(((beta / priors.beta_sd) ** 2).sum()), gradient

    def parameters(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """At points x (..., n_dim): mu (..., K), tau (..., K; empty with one segment), theta (..., G, K), beta."""
        priors = self.priors
        n_segments, n_parameters = self.centre.shape
        if n_segments == 1:
            point = x @ self.factor.T
            mu = self.centre[0] + point[..., :n_parameters]
            return mu, mu[..., :0], mu[..., None, :], self.beta_centre + point[..., n_parameters:]
        pooled = n_parameters * (n_segments + 2)
        point = x[..., :pooled].reshape(*x.shape[:-1], n_parameters, n_segments + 2)
        tau = np.exp(priors.spread[0] + priors.spread[1] * point[..., 1])
        share = 1.0 / (1.0 + self.weight * tau[..., None, :] ** 2)
        about_mu = self.weight * share
        precision = priors.sd**-2 + about_mu.sum(axis=-2)
        mu = (priors.mean * priors.sd**-2 + (about_mu * self.centre).sum(axis=-2)) / precision
        mu = mu + point[..., 0] / np.sqrt(precision)
        given_data = share * mu[..., None, :] + (1.0 - share) * self.centre
        theta = given_data + tau[..., None, :] * np.sqrt(share) * np.moveaxis(point[..., 2:], -1, -2)
        return mu, tau, theta, self.beta_centre + self.beta_scale * x[..., pooled:]


def _curvature(likelihood: Likelihood, theta: FloatArray, beta: FloatArray, step: float = 1e-4) -> FloatArray:
    """(G, K + P, K + P) minus the Hessian of each segment, no eigenvalue below 0.

    By central differences of the gradient: segments are independent, so one step in parameter k serves all of them.
    The curvature by coefficients is spread evenly over the segments.
    """
    n_segments, n_parameters = theta.shape
    n = n_parameters + len(beta)
    result = np.zeros((n_segments, n, n))
    for j in range(n):
        sides = []
        for sign in (1, -1):
            moved_theta, moved_beta = theta.copy(), beta.copy()
            if j < n_parameters:
                moved_theta[:, j] += sign * step
            else:
                moved_beta[j - n_parameters] += sign * step
            _, by_theta, by_beta = likelihood(moved_theta, moved_beta)
            sides.append((by_theta.copy(), by_beta.copy()))
        result[:, j, :n_parameters] = (sides[1][0] - sides[0][0]) / (2 * step)
        if j >= n_parameters:
            result[:, j, n_parameters:] = (sides[1][1] - sides[0][1]) / (2 * step * n_segments)
    upper = result[:, n_parameters:, :n_parameters]
    result[:, :n_parameters, n_parameters:] = np.swapaxes(upper, 1, 2)
    values, vectors = np.linalg.eigh((result + np.swapaxes(result, 1, 2)) / 2)
    clipped: FloatArray = np.einsum("gij,gj,gkj->gik", vectors, np.maximum(values, 0.0), vectors)
    return clipped


@njit(cache=True, error_model="numpy")
def _to_theta(
    x: FloatArray,
    centre: FloatArray,
    weight: FloatArray,
    mean: FloatArray,
    sd: FloatArray,
    spread_mean: float,
    spread_sd: float,
    theta: FloatArray,
) -> None:
    n_segments, n_parameters = centre.shape
    for k in range(n_parameters):
        first = k * (n_segments + 2)
        tau = np.exp(spread_mean + spread_sd * x[first + 1])
        precision = 1.0 / (sd[k] * sd[k])
        weighted = precision * mean[k]
        for g in range(n_segments):
            p = weight[g, k] / (1.0 + weight[g, k] * tau * tau)
            precision += p
            weighted += p * centre[g, k]
        mu = weighted / precision + x[first] / np.sqrt(precision)
        for g in range(n_segments):
            share = 1.0 / (1.0 + weight[g, k] * tau * tau)
            theta[g, k] = share * mu + (1.0 - share) * centre[g, k] + tau * np.sqrt(share) * x[first + 2 + g]


@njit(cache=True, error_model="numpy")
def _back_to_x(
    x: FloatArray,
    centre: FloatArray,
    weight: FloatArray,
    mean: FloatArray,
    sd: FloatArray,
    spread_mean: float,
    spread_sd: float,
    theta: FloatArray,
    by_theta: FloatArray,
    gradient: FloatArray,
) -> float:
    """Log of prior and Jacobian, and the gradient of the whole by x; primes are derivatives by t = log tau."""
    n_segments, n_parameters = centre.shape
    total = 0.0
    for k in range(n_parameters):
        first = k * (n_segments + 2)
        x_tau = x[first + 1]
        tau = np.exp(spread_mean + spread_sd * x_tau)
        precision = 1.0 / (sd[k] * sd[k])
        weighted = precision * mean[k]
        d_precision = 0.0
        d_weighted = 0.0
        for g in range(n_segments):
            share = 1.0 / (1.0 + weight[g, k] * tau * tau)
            p = weight[g, k] * share
            dp = -2.0 * p * (1.0 - share)
            precision += p
            weighted += p * centre[g, k]
            d_precision += dp
            d_weighted += dp * centre[g, k]
        middle = weighted / precision
        scale = precision**-0.5
        mu = middle + scale * x[first]
        d_log_scale = -0.5 * d_precision / precision
        mu_by_t = (d_weighted - middle * d_precision) / precision + x[first] * scale * d_log_scale

        z = (mu - mean[k]) / sd[k]
        total += np.log(scale) - 0.5 * (z * z + x_tau * x_tau)
        by_mu = -z / sd[k]
        by_t = d_log_scale
        for g in range(n_segments):
            i = first + 2 + g
            share = 1.0 / (1.0 + weight[g, k] * tau * tau)
            own_sd = tau * np.sqrt(share)
            deviation = (theta[g, k] - mu) / tau
            # log own_sd - log tau = log(share) / 2: the Jacobian and the normaliser of the deviation's prior
            total += 0.5 * np.log(share) - 0.5 * deviation * deviation
            by_cell = by_theta[g, k] - deviation / tau
            gradient[i] = own_sd * by_cell
            by_mu += share * by_cell + deviation / tau
            cell_by_t = -2.0 * share * (1.0 - share) * (mu - centre[g, k]) + own_sd * share * x[i]
            by_t += by_cell * cell_by_t + deviation * deviation - 1.0 + share
        gradient[first] = scale * by_mu
        gradient[first + 1] = spread_sd * (by_t + by_mu * mu_by_t) - x_tau
    return total

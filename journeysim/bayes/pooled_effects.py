"""A log-linear model whose effects are pooled, compiled, in coordinates that the data choose.

    eta[c, m] = sum of the effects of move m that cell c adds up
    effect k of move m ~ Normal(mean, sd),  mean: a constant, or shared between moves;  sd: a constant, or learned

Segments, crossed attributes, bins of time in stage and covariates are all of this form, so one density serves them.

NUTS is fast where the posterior is round and of unit size. Effects are well determined where moves were often seen and
follow their prior where they were not; a coordinate system fixed in advance (centred or non-centred) suits only one of
these. If the cells of a move were observed with normal errors, with precisions W about c, its effects would be normal
given the scales and shared means, with precision P = X'WX + 1/sd^2, and

    effects = mean + L^-T x        L L' = P,  P mean = X'Wc + prior mean / sd^2

would make independent unit normals of them, whatever the scales are. The sampler's point is this x. Where data are many
that is centred and standardised, where there are none it is non-centred, and in between there is no threshold. It is
exact whatever c and W are: they choose coordinates, and the Jacobian takes them out of the posterior.

Source: partial non-centring, Papaspiliopoulos, Roberts & Skold (2007), A general framework for the parametrization of
hierarchical models, Statistical Science 22; the derivative of a Cholesky factor, Murray (2016), arXiv:1602.07527.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PooledEffects:
    """The prior of M moves' effects, d each, and which of them each of C cells adds up.

    Attributes
    ----------
    terms : (C, w) the effects that a cell adds up; d stands for nothing
    n_alone : how many of the first effects never meet each other in a cell (segments): their block of P is diagonal
    mean, sd : (d,) of each effect's prior, where it is a constant
    scale_of : (M, d) which scale an effect has, -1 for `sd`
    shared_of : (M, d) which shared mean an effect has, -1 for `mean`
    scale_prior : (Q, 2) mean and standard deviation of the logarithm of each scale
    shared_sd : (K,) standard deviation of each shared mean, about 0
    """

    terms: IntArray
    n_alone: int
    mean: FloatArray
    sd: FloatArray
    scale_of: IntArray
    shared_of: IntArray
    scale_prior: FloatArray
    shared_sd: FloatArray

    @property
    def n_dim(self) -> int:
        """Length of a point of the sampler."""
        return len(self.scale_prior) + len(self.shared_sd) + self.scale_of.size

    def design(self) -> FloatArray:
        """(C, d) matrix X of zeros and ones."""
        X = np.zeros((len(self.terms), len(self.mean) + 1))
        X[np.arange(len(self.terms))[:, None], self.terms] = 1.0
        return X[:, :-1]

    def typical_sd(self) -> FloatArray:
        """(M, d) standard deviation of each effect if every scale is at its median, shared means integrated out."""
        scales = np.append(np.exp(self.scale_prior[:, 0]), 0.0)[self.scale_of]
        shared = np.append(self.shared_sd, 0.0)[self.shared_of]
        return np.asarray(np.hypot(np.where(self.scale_of < 0, self.sd, scales), shared))


@dataclass(frozen=True, slots=True, eq=False)
class Coordinates:
    """The map from points of the sampler to effects, given what normal errors would say of them.

    Attributes
    ----------
    information : (M, d, d) X'WX
    pull : (M, d) X'Wc
    """

    effects: PooledEffects
    information: FloatArray
    pull: FloatArray

    @classmethod
    def of(cls, effects: PooledEffects, weight: FloatArray, weighted: FloatArray) -> Coordinates:
        """Coordinates for cells with precisions `weight` (C, M) about c, given `weighted` (C, M) = weight times c."""
        X = effects.design()
        return cls(
            effects,
            np.ascontiguousarray(np.einsum("ck,cm,cl->mkl", X, weight, X)),
            np.ascontiguousarray(np.einsum("ck,cm->mk", X, weighted)),
        )

    def at(self, x: FloatArray) -> Point:
        """Scales, shared means, effects and eta at x (n_dim,), and what the gradient needs."""
        e = self.effects
        return Point(
            *_forward(
                x,
                self.information,
                self.pull,
                e.terms,
                e.n_alone,
                e.mean,
                e.sd,
                e.scale_of,
                e.shared_of,
                e.scale_prior,
                e.shared_sd,
            )
        )

    def gradient(self, x: FloatArray, point: Point, by_eta: FloatArray) -> FloatArray:
        """(n_dim,) gradient of prior, Jacobian and a likelihood whose gradient by eta (C, M) is given."""
        e = self.effects
        gradient: FloatArray = _backward(
            x,
            by_eta,
            point.effects,
            point.means,
            point.inverses,
            point.prior_means,
            point.prior_precisions,
            e.terms,
            e.scale_of,
            e.shared_of,
            e.scale_prior,
            e.shared_sd,
        )
        return gradient

    def parameters(self, points: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Scales (..., Q), shared means (..., K) and effects (..., M, d) at points (..., n_dim)."""
        e = self.effects
        flat = points.reshape(-1, points.shape[-1])
        found = _all_parameters(
            flat,
            self.information,
            self.pull,
            e.n_alone,
            e.mean,
            e.sd,
            e.scale_of,
            e.shared_of,
            e.scale_prior,
            e.shared_sd,
        )
        scales, shared, effects = (part.reshape(*points.shape[:-1], *part.shape[1:]) for part in found)
        return scales, shared, effects


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """One point of the sampler as parameters: the log prior with the Jacobian, eta (C, M), effects (M, d), ..."""

    log_prior: float
    eta: FloatArray
    effects: FloatArray
    means: FloatArray
    inverses: FloatArray
    prior_means: FloatArray
    prior_precisions: FloatArray


@njit(cache=True, error_model="numpy", nogil=True)
def _inverse_factor(P: FloatArray, n_alone: int, W: FloatArray) -> float:
    """Write the inverse of P's Cholesky factor to W, destroy P, and return log det of the factor."""
    d = P.shape[0]
    log_det = 0.0
    for j in range(d):
        # between effects that stand alone there is nothing to eliminate
        square = P[j, j]
        if j >= n_alone:
            for k in range(j):
                square -= P[j, k] * P[j, k]
        P[j, j] = np.sqrt(square)
        log_det += np.log(P[j, j])
        for i in range(max(j + 1, n_alone), d):
            value = P[i, j]
            if j >= n_alone:
                for k in range(j):
                    value -= P[i, k] * P[j, k]
            P[i, j] = value / P[j, j]
    for i in range(d):
        W[i, i] = 1.0 / P[i, i]
        if i < n_alone:
            W[i, :i] = 0.0
        else:
            for j in range(i):
                value = P[i, j] * W[j, j]
                for k in range(max(j + 1, n_alone), i):
                    value += P[i, k] * W[k, j]
                W[i, j] = -value * W[i, i]
        W[i, i + 1 :] = 0.0
    return log_det


@njit(cache=True, error_model="numpy", nogil=True)
def _effects_of_move(
    m: int,
    x: FloatArray,
    scales: FloatArray,
    shared: FloatArray,
    information: FloatArray,
    pull: FloatArray,
    n_alone: int,
    prior_mean: FloatArray,
    prior_sd: FloatArray,
    scale_of: IntArray,
    shared_of: IntArray,
    P: FloatArray,
    effects: FloatArray,
    means: FloatArray,
    W: FloatArray,
    prior_means: FloatArray,
    prior_precisions: FloatArray,
) -> float:
    """Write one move's effects and what belongs to them, and return its log prior with the log Jacobian."""
    d = effects.shape[0]
    first = len(scales) + len(shared) + m * d
    log_sd = 0.0
    for k in range(d):
        q, s = scale_of[m, k], shared_of[m, k]
        sd = scales[q] if q >= 0 else prior_sd[k]
        log_sd += np.log(sd)
        prior_means[k] = shared[s] if s >= 0 else prior_mean[k]
        prior_precisions[k] = 1.0 / (sd * sd)  # sd**-2 raises at 0 in compiled code
        for j in range(k + 1):
            P[k, j] = information[m, k, j]
        P[k, k] += prior_precisions[k]
    log_det = _inverse_factor(P, n_alone, W)
    for k in range(d):
        effects[k] = 0.0
        means[k] = 0.0
    for i in range(d):
        mean = 0.0
        for k in range(i + 1):
            mean += W[i, k] * (pull[m, k] + prior_precisions[k] * prior_means[k])
        for k in range(i + 1):
            means[k] += W[i, k] * mean
            effects[k] += W[i, k] * (mean + x[first + i])
    log_prior = -log_sd - log_det
    for k in range(d):
        log_prior -= 0.5 * (effects[k] - prior_means[k]) ** 2 * prior_precisions[k]
    return float(log_prior)


@njit(cache=True, error_model="numpy", nogil=True)
def _forward(
    x: FloatArray,
    information: FloatArray,
    pull: FloatArray,
    terms: IntArray,
    n_alone: int,
    prior_mean: FloatArray,
    prior_sd: FloatArray,
    scale_of: IntArray,
    shared_of: IntArray,
    scale_prior: FloatArray,
    shared_sd: FloatArray,
) -> tuple[float, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    n_moves, d = scale_of.shape
    n_scales, n_shared = len(scale_prior), len(shared_sd)
    scales = np.exp(scale_prior[:, 0] + scale_prior[:, 1] * x[:n_scales])
    shared = shared_sd * x[n_scales : n_scales + n_shared]
    total = 0.0
    for i in range(n_scales + n_shared):
        total -= 0.5 * x[i] * x[i]
    effects = np.empty((n_moves, d))
    means = np.empty((n_moves, d))
    prior_means = np.empty((n_moves, d))
    prior_precisions = np.empty((n_moves, d))
    inverses = np.empty((n_moves, d, d))
    P = np.empty((d, d))
    eta = np.empty((len(terms), n_moves))
    for m in range(n_moves):
        total += _effects_of_move(
            m,
            x,
            scales,
            shared,
            information,
            pull,
            n_alone,
            prior_mean,
            prior_sd,
            scale_of,
            shared_of,
            P,
            effects[m],
            means[m],
            inverses[m],
            prior_means[m],
            prior_precisions[m],
        )
        for c in range(len(terms)):
            value = 0.0
            for k in terms[c]:
                if k < d:
                    value += effects[m, k]
            eta[c, m] = value
    return total, eta, effects, means, inverses, prior_means, prior_precisions


@njit(cache=True, error_model="numpy", nogil=True)
def _backward(
    x: FloatArray,
    by_eta: FloatArray,
    effects: FloatArray,
    means: FloatArray,
    inverses: FloatArray,
    prior_means: FloatArray,
    prior_precisions: FloatArray,
    terms: IntArray,
    scale_of: IntArray,
    shared_of: IntArray,
    scale_prior: FloatArray,
    shared_sd: FloatArray,
) -> FloatArray:
    n_moves, d = effects.shape
    n_scales, n_shared = len(scale_prior), len(shared_sd)
    gradient = np.zeros_like(x)
    by_effect = np.empty(d)
    by_mean = np.empty(d)
    for m in range(n_moves):
        W = inverses[m]
        first = n_scales + n_shared + m * d
        for k in range(d):
            by_effect[k] = -(effects[m, k] - prior_means[m, k]) * prior_precisions[m, k]
            by_mean[k] = 0.0
        for c in range(len(terms)):
            for k in terms[c]:
                if k < d:
                    by_effect[k] += by_eta[c, m]
        for i in range(d):
            u = 0.0
            for k in range(i + 1):
                u += W[i, k] * by_effect[k]
            gradient[first + i] = u
            for k in range(i + 1):
                by_mean[k] += W[i, k] * u
        for k in range(d):
            precision = prior_precisions[m, k]
            deviation = effects[m, k] - prior_means[m, k]
            if shared_of[m, k] >= 0:
                gradient[n_scales + shared_of[m, k]] += (by_mean[k] + deviation) * precision
            if scale_of[m, k] >= 0:
                # with t = log scale: d precision = -2 precision dt moves the mean, the factor L, and its determinant
                through_factor = 0.0
                trace = 0.0
                before = 0.0
                for i in range(k, d):
                    u = gradient[first + i]
                    through_factor += x[first + i] * W[i, k] * (before + 0.5 * W[i, k] * u)
                    before += W[i, k] * u
                    trace += W[i, k] * W[i, k]
                by_precision = by_mean[k] * (prior_means[m, k] - means[m, k]) - through_factor - 0.5 * trace
                gradient[scale_of[m, k]] += -2.0 * precision * by_precision + deviation * deviation * precision - 1.0
    for q in range(n_scales):
        gradient[q] = scale_prior[q, 1] * gradient[q] - x[q]
    for s in range(n_shared):
        gradient[n_scales + s] = shared_sd[s] * gradient[n_scales + s] - x[n_scales + s]
    return gradient


@njit(cache=True, error_model="numpy", nogil=True)
def _all_parameters(
    points: FloatArray,
    information: FloatArray,
    pull: FloatArray,
    n_alone: int,
    prior_mean: FloatArray,
    prior_sd: FloatArray,
    scale_of: IntArray,
    shared_of: IntArray,
    scale_prior: FloatArray,
    shared_sd: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    n_moves, d = scale_of.shape
    n_scales, n_shared = len(scale_prior), len(shared_sd)
    scales = np.empty((len(points), n_scales))
    shared = np.empty((len(points), n_shared))
    effects = np.empty((len(points), n_moves, d))
    P, W = np.empty((d, d)), np.empty((d, d))
    means, prior_means, prior_precisions = np.empty(d), np.empty(d), np.empty(d)
    for n in range(len(points)):
        scales[n] = np.exp(scale_prior[:, 0] + scale_prior[:, 1] * points[n, :n_scales])
        shared[n] = shared_sd * points[n, n_scales : n_scales + n_shared]
        for m in range(n_moves):
            _effects_of_move(
                m,
                points[n],
                scales[n],
                shared[n],
                information,
                pull,
                n_alone,
                prior_mean,
                prior_sd,
                scale_of,
                shared_of,
                P,
                effects[n, m],
                means,
                W,
                prior_means,
                prior_precisions,
            )
    return scales, shared, effects

"""Log likelihoods of the retention models with their gradients, compiled, on cells of equal customers.

Parameters are on the whole line, one row theta[g] per segment. Sums of 1 / (a + i) and of log(a + i) stand where papers
have digamma and log-gamma functions: frequencies are whole numbers, so that these are exact, and a table of them serves
all cells.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]


@njit(cache=True, error_model="numpy")
def _rising(start: float, n: int, logs: FloatArray, inverses: FloatArray) -> None:
    """logs[x] = log(start (start + 1) ... (start + x - 1)) for x <= n, and inverses, its derivative."""
    logs[0] = 0.0
    inverses[0] = 0.0
    for i in range(n):
        logs[i + 1] = logs[i] + math.log(start + i)
        inverses[i + 1] = inverses[i] + 1.0 / (start + i)


@njit(cache=True, error_model="numpy")
def beta_geo_nbd(
    theta: FloatArray, first: IntArray, x: IntArray, t_x: FloatArray, T: FloatArray, n: FloatArray, by_cell: FloatArray
) -> tuple[float, FloatArray]:
    """BG/NBD of cells (x, t_x, T) with n customers each; theta[g] = log r/alpha, log r, logit a/(a+b), log(a+b).

    Cells of segment g are first[g] to first[g + 1]. `by_cell` receives each cell's log likelihood of one customer.

    Source: Fader, Hardie & Lee (2005), "Counting your customers" the easy way, Marketing Science 24:2, eq. 6, with the
    factorial of x and the like left out, as there.
    """
    gradient = np.zeros_like(theta)
    total = 0.0
    most = 0
    for i in range(x.size):
        most = max(most, x[i])
    tables = np.empty((6, most + 1))
    for g in range(theta.shape[0]):
        r = math.exp(theta[g, 1])
        alpha = r * math.exp(-theta[g, 0])
        dropout = 1.0 / (1.0 + math.exp(-theta[g, 2]))
        stay = 1.0 / (1.0 + math.exp(theta[g, 2]))
        both = math.exp(theta[g, 3])
        a, b = dropout * both, stay * both
        _rising(r, most, tables[0], tables[1])
        _rising(b, most, tables[2], tables[3])
        _rising(both, most, tables[4], tables[5])
        log_alpha = math.log(alpha)
        by_r = by_alpha = by_a = by_b = 0.0
        for i in range(first[g], first[g + 1]):
            k = x[i]
            shape = r + k
            log_end = math.log(alpha + T[i])
            value = tables[0, k] + tables[2, k] - tables[4, k] + r * log_alpha - shape * log_end
            r_slope = tables[1, k] + log_alpha - log_end
            alpha_slope = r / alpha - shape / (alpha + T[i])
            a_slope = -tables[5, k]
            b_slope = tables[3, k] - tables[5, k]
            if k > 0:
                log_last = math.log(alpha + t_x[i])
                u = math.log(a / (b + k - 1.0)) + shape * (log_end - log_last)
                gone = 1.0 / (1.0 + math.exp(-u))
                value += math.log1p(math.exp(-abs(u))) + max(u, 0.0)
                r_slope += gone * (log_end - log_last)
                alpha_slope += gone * shape * (1.0 / (alpha + T[i]) - 1.0 / (alpha + t_x[i]))
                a_slope += gone / a
                b_slope -= gone / (b + k - 1.0)
            by_cell[i] = value
            total += n[i] * value
            by_r += n[i] * r_slope
            by_alpha += n[i] * alpha_slope
            by_a += n[i] * a_slope
            by_b += n[i] * b_slope
        gradient[g, 0] = -alpha * by_alpha
        gradient[g, 1] = r * by_r + alpha * by_alpha
        gradient[g, 2] = dropout * stay * both * (by_a - by_b)
        gradient[g, 3] = a * by_a + b * by_b
    return total, gradient


@njit(cache=True, error_model="numpy")
def digamma(x: float) -> float:
    """Derivative of the log-gamma function, x > 0; Abramowitz & Stegun 6.3.5 and 6.3.18, error below 1e-13."""
    result = 0.0
    while x < 10.0:
        result -= 1.0 / x
        x += 1.0
    y = 1.0 / (x * x)
    series = y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y * (1 / 132 - y * 691 / 32760)))))
    return result + math.log(x) - 0.5 / x - series


@njit(cache=True, error_model="numpy")
def gamma_gamma(
    theta: FloatArray, first: IntArray, x: FloatArray, mean: FloatArray, n: FloatArray, by_cell: FloatArray
) -> tuple[float, FloatArray]:
    """Gamma-Gamma spend of cells (x purchases of mean value `mean`), in order of x within a segment.

    theta[g] = log of the mean spend p v / (q - 1), log p, log(q - 1).

    Source: Fader & Hardie (2013), The Gamma-Gamma model of monetary value, eq. 1a.
    """
    gradient = np.zeros_like(theta)
    total = 0.0
    for g in range(theta.shape[0]):
        p = math.exp(theta[g, 1])
        above = math.exp(theta[g, 2])
        q = 1.0 + above
        v = math.exp(theta[g, 0]) * above / p
        log_v, of_q, d_q = math.log(v), math.lgamma(q), digamma(q)
        gammas = d_both = d_px = 0.0
        last = -1.0
        by_p = by_q = by_v = 0.0
        for i in range(first[g], first[g + 1]):
            px = p * x[i]
            if x[i] != last:  # special functions once per number of purchases
                last = x[i]
                gammas = math.lgamma(px + q) - math.lgamma(px) - of_q + px * math.log(x[i])
                d_both, d_px = digamma(px + q), digamma(px)
            spent = v + x[i] * mean[i]
            log_spent, log_mean = math.log(spent), math.log(mean[i])
            value = gammas + q * log_v + (px - 1.0) * log_mean - (px + q) * log_spent
            by_cell[i] = value
            total += n[i] * value
            by_p += n[i] * x[i] * (d_both - d_px + math.log(x[i]) + log_mean - log_spent)
            by_q += n[i] * (d_both - d_q + log_v - log_spent)
            by_v += n[i] * (q / v - (px + q) / spent)
        gradient[g, 0] = v * by_v
        gradient[g, 1] = p * by_p - v * by_v
        gradient[g, 2] = above * by_q + v * by_v
    return total, gradient


@njit(cache=True, error_model="numpy")
def shifted_beta_geometric(
    theta: FloatArray, beta: FloatArray, group: IntArray, covariates: FloatArray, stayed: FloatArray, left: FloatArray
) -> tuple[float, FloatArray, FloatArray]:
    """Shifted beta-geometric of rows of cohorts: customers who stayed and who left at each renewal (R, N).

    theta[g] = log odds of the mean churn a / (a + b), log(a + b); a row's log odds are moved by covariates @ beta.

    Source: Fader & Hardie (2007), How to project customer retention, J. of Interactive Marketing 21:1, eq. 7:
    who has stayed t times leaves at the next renewal with probability a / (a + b + t).
    """
    gradient = np.zeros_like(theta)
    by_beta = np.zeros_like(beta)
    total = 0.0
    for row in range(group.size):
        g = group[row]
        odds = theta[g, 0]
        for j in range(beta.size):
            odds += covariates[row, j] * beta[j]
        churn = 1.0 / (1.0 + math.exp(-odds))
        stay = 1.0 / (1.0 + math.exp(odds))
        both = math.exp(theta[g, 1])
        a, b = churn * both, stay * both
        by_a = by_b = 0.0
        for t in range(stayed.shape[1]):
            kept, gone = stayed[row, t], left[row, t]
            if kept + gone == 0.0:
                continue
            total += gone * math.log(a) + kept * math.log(b + t) - (kept + gone) * math.log(both + t)
            shared = (kept + gone) / (both + t)
            by_a += gone / a - shared
            by_b += kept / (b + t) - shared
        by_odds = churn * stay * both * (by_a - by_b)
        gradient[g, 0] += by_odds
        gradient[g, 1] += a * by_a + b * by_b
        for j in range(beta.size):
            by_beta[j] += covariates[row, j] * by_odds
    return total, gradient, by_beta

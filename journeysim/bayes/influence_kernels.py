"""The compiled arithmetic of the influence model: from a point to hazards and influences, and from gradients back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.bayes.influence_density import Observed, Priors

    FloatArray = NDArray[np.float64]

BENDS_AT: Final = 0.9
"""Pull * appeal * fatigue^n is the probability to act up to here. Beyond, the influence -ln(1 - probability) goes on as
the straight line with the same slope, so that it is defined, and smooth, for products of 1 and more."""


@njit(cache=True, error_model="numpy", nogil=True)
def natural(
    x: FloatArray,
    d: Observed,
    priors: Priors,
    n_channels: int,
    n_places: int,
    fatigue: bool,
    appeal: bool,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """What the likelihood is made of, at a point.

    Returns
    -------
    log base hazards (G, M); decay per day (C,); influence of the contacts of each cell (K,), and its derivative by the
    logarithm of pull * appeal * fatigue^n (K,)
    """
    n_segments, n_moves = d.plain.shape
    n_cells = len(d.contacts)
    at_typical = n_moves * (n_segments + 2) if n_segments > 1 else n_moves
    at_pull = at_typical + n_channels
    at_half_life = at_pull + n_channels * n_places
    at_loss = at_half_life + n_channels
    at_appeal = at_loss + (n_channels if fatigue else 0)
    rate_mean, rate_sd = priors.rate
    spread_mean, spread_sd = priors.spread
    life_mean, life_sd = priors.half_life
    mean_loss, appeal_sd = priors.repeat_loss, priors.appeal_spread

    log_hazard = np.empty((n_segments, n_moves))
    for m in range(n_moves):
        first = m * (n_segments + 2) if n_segments > 1 else m
        variance = math.exp(2.0 * (spread_mean + spread_sd * x[first + 1])) if n_segments > 1 else 0.0
        precision = 1.0 / (rate_sd * rate_sd)
        weighted = precision * rate_mean
        for g in range(n_segments):
            p = d.weight[g, m] / (1.0 + d.weight[g, m] * variance)
            precision += p
            weighted += p * d.centre[g, m]
        mu = weighted / precision + x[first] * precision**-0.5
        for g in range(n_segments):
            if n_segments > 1:
                share = 1.0 / (1.0 + d.weight[g, m] * variance)
                deviation = math.sqrt(variance * share) * x[first + 2 + g]
                log_hazard[g, m] = share * mu + (1.0 - share) * d.centre[g, m] + deviation
            else:
                log_hazard[g, m] = mu

    decay = np.empty(n_channels)
    for c in range(n_channels):
        decay[c] = math.log(2.0) * math.exp(-life_mean - life_sd * x[at_half_life + c])
    strength = np.empty(n_cells)
    slope = np.empty(n_cells)
    for k in range(n_cells):
        c = d.channel[k]
        log_product = x[at_pull + c * n_places + d.place[k]]
        if fatigue:
            log_product -= d.repeat[k] * mean_loss * math.exp(x[at_loss + c])
        if appeal:
            log_product += appeal_sd * x[at_appeal + d.segment[k] * n_channels + c]
        product = math.exp(log_product)
        if product < BENDS_AT:
            strength[k] = -math.log1p(-product)
            slope[k] = product / (1.0 - product)
        else:
            strength[k] = -math.log(1.0 - BENDS_AT) + (product - BENDS_AT) / (1.0 - BENDS_AT)
            slope[k] = product / (1.0 - BENDS_AT)

    return log_hazard, decay, strength, slope


@njit(cache=True, error_model="numpy", nogil=True)
def unspent(total: float, d: Observed, decay: FloatArray, strength: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Add the log-likelihood of what contacts did not do: all the hazard they opened and that moved nobody.

    Returns
    -------
    the total, and its derivatives by influence (K,) and by log decay (C,)
    """
    n_channels = len(decay)
    n_cells, n_ages = d.age_weights.shape
    by_strength = np.empty(n_cells)
    by_decay = np.zeros(n_channels)
    left = np.empty((n_channels, n_ages))  # exp(-decay * age)
    by_age = np.empty((n_channels, n_ages))
    for c in range(n_channels):
        for q in range(n_ages):
            left[c, q] = math.exp(-decay[c] * d.ages[q])
            by_age[c, q] = decay[c] * d.ages[q] * left[c, q]
    for k in range(n_cells):
        c = d.channel[k]
        to_come = 0.0
        moved = 0.0
        for q in range(n_ages):
            to_come += d.age_weights[k, q] * left[c, q]
            moved += d.age_weights[k, q] * by_age[c, q]
        total -= strength[k] * (d.contacts[k] - to_come)
        by_strength[k] = to_come - d.contacts[k]
        by_decay[c] -= strength[k] * moved
    return total, by_strength, by_decay


@njit(cache=True, error_model="numpy", nogil=True)
def log_density(
    x: FloatArray,
    d: Observed,
    priors: Priors,
    n_channels: int,
    n_places: int,
    fatigue: bool,
    appeal: bool,
) -> tuple[float, FloatArray]:
    """Of the model without hidden personas: the log posterior density, up to a constant, and its gradient."""
    n_segments, n_moves = d.plain.shape
    log_hazard, decay, strength, slope = natural(x, d, priors, n_channels, n_places, fatigue, appeal)
    by_hazard = np.empty((n_segments, n_moves))
    total = 0.0
    for g in range(n_segments):
        for m in range(n_moves):
            expected = d.exposure[g, m] * math.exp(log_hazard[g, m])
            total += d.plain[g, m] * log_hazard[g, m] - expected
            by_hazard[g, m] = d.plain[g, m] - expected
    total, by_strength, by_decay = unspent(total, d, decay, strength)
    part = np.empty(len(d.age))  # hazard that a contact opens, per unit of its influence
    for i in range(len(d.move)):
        g, m = d.move[i] // n_moves, d.move[i] % n_moves
        base = math.exp(log_hazard[g, m])
        hazard = base
        for j in range(d.first[i], d.first[i + 1]):
            delta = decay[d.channel[d.cell[j]]]
            part[j] = delta * math.exp(-delta * d.age[j])
            hazard += strength[d.cell[j]] * part[j]
        total += math.log(hazard)
        by_hazard[g, m] += base / hazard
        for j in range(d.first[i], d.first[i + 1]):
            k = d.cell[j]
            c = d.channel[k]
            by_strength[k] += part[j] / hazard
            by_decay[c] += strength[k] * part[j] / hazard * (1.0 - decay[c] * d.age[j])
    value: tuple[float, FloatArray] = with_priors(
        total, x, d, priors, n_places, fatigue, appeal, log_hazard, slope, by_hazard, by_strength, by_decay
    )
    return value


@njit(cache=True, error_model="numpy", nogil=True)
def with_priors(
    total: float,
    x: FloatArray,
    d: Observed,
    priors: Priors,
    n_places: int,
    fatigue: bool,
    appeal: bool,
    log_hazard: FloatArray,
    slope: FloatArray,
    by_hazard: FloatArray,
    by_strength: FloatArray,
    by_decay: FloatArray,
) -> tuple[float, FloatArray]:
    """Add priors and Jacobians to a log-likelihood, and take its gradient back to the coordinates of x."""
    n_segments, n_moves = d.plain.shape
    n_channels = len(by_decay)
    n_cells = len(by_strength)
    at_typical = n_moves * (n_segments + 2) if n_segments > 1 else n_moves
    at_pull = at_typical + n_channels
    at_half_life = at_pull + n_channels * n_places
    at_loss = at_half_life + n_channels
    at_appeal = at_loss + (n_channels if fatigue else 0)
    rate_mean, rate_sd = priors.rate
    spread_mean, spread_sd = priors.spread
    pull_mean, pull_sd = priors.pull
    life_sd = priors.half_life.sd
    mean_loss, appeal_sd = priors.repeat_loss, priors.appeal_spread
    gradient = np.zeros_like(x)
    for k in range(n_cells):
        c = d.channel[k]
        by_product = by_strength[k] * slope[k]
        gradient[at_pull + c * n_places + d.place[k]] += by_product
        if fatigue:
            gradient[at_loss + c] -= by_product * d.repeat[k] * mean_loss * math.exp(x[at_loss + c])
        if appeal:
            gradient[at_appeal + d.segment[k] * n_channels + c] += by_product * appeal_sd
    for c in range(n_channels):
        i = at_typical + c
        total -= 0.5 * x[i] * x[i]
        gradient[i] -= x[i]
        for j in range(at_pull + c * n_places, at_pull + (c + 1) * n_places):
            # pull ~ Exponential(mean exp(log typical)), on the log scale
            log_ratio = x[j] - pull_mean - pull_sd * x[i]
            ratio = math.exp(log_ratio)
            total += log_ratio - ratio
            gradient[j] += 1.0 - ratio
            gradient[i] -= pull_sd * (1.0 - ratio)
        i = at_half_life + c
        total -= 0.5 * x[i] * x[i]
        gradient[i] -= x[i] + life_sd * by_decay[c]
        if fatigue:
            ratio = math.exp(x[at_loss + c])
            total += x[at_loss + c] - ratio
            gradient[at_loss + c] += 1.0 - ratio
    if appeal:
        for i in range(at_appeal, len(x)):
            total -= 0.5 * x[i] * x[i]
            gradient[i] -= x[i]

    # --- base hazards, their priors and Jacobian: see stage_density ---
    for m in range(n_moves):
        first = m * (n_segments + 2) if n_segments > 1 else m
        x_tau = x[first + 1] if n_segments > 1 else 0.0
        tau = math.exp(spread_mean + spread_sd * x_tau) if n_segments > 1 else 0.0
        precision = 1.0 / (rate_sd * rate_sd)
        weighted = precision * rate_mean
        d_precision = 0.0
        d_weighted = 0.0
        for g in range(n_segments):
            share = 1.0 / (1.0 + d.weight[g, m] * tau * tau)
            p = d.weight[g, m] * share
            dp = -2.0 * p * (1.0 - share)
            precision += p
            weighted += p * d.centre[g, m]
            d_precision += dp
            d_weighted += dp * d.centre[g, m]
        mean = weighted / precision
        scale = precision**-0.5
        mu = mean + scale * x[first]
        z = (mu - rate_mean) / rate_sd
        total -= 0.5 * z * z
        by_mu = -z / rate_sd
        if n_segments == 1:
            gradient[first] = scale * (by_mu + by_hazard[0, m])
            continue
        d_log_scale = -0.5 * d_precision / precision
        mu_by_t = (d_weighted - mean * d_precision) / precision + x[first] * scale * d_log_scale
        total += math.log(scale) - 0.5 * x_tau * x_tau
        by_t = d_log_scale
        for g in range(n_segments):
            share = 1.0 / (1.0 + d.weight[g, m] * tau * tau)
            sd = tau * math.sqrt(share)
            x_g = x[first + 2 + g]
            deviation = (log_hazard[g, m] - mu) / tau
            total += 0.5 * math.log(share) - 0.5 * deviation * deviation
            by_cell = by_hazard[g, m] - deviation / tau
            gradient[first + 2 + g] = sd * by_cell
            by_mu += share * by_cell + deviation / tau
            by_t += by_cell * (-2.0 * share * (1.0 - share) * (mu - d.centre[g, m]) + sd * share * x_g)
            by_t += deviation * deviation - 1.0 + share
        gradient[first] = scale * by_mu
        gradient[first + 1] = spread_sd * (by_t + by_mu * mu_by_t) - x_tau
    return total, gradient

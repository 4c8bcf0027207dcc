"""The influence model's log-density with its gradient, compiled.

Base hazards have the coordinates of `stage_density` (a map that the counts choose), around the moves that EM gives to
the base. Everything else stands on the log scale; `whitening` then makes a round posterior of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.bayes.influence_em import Start
    from journeysim.bayes.priors import LogNormal
    from journeysim.influence_history import InfluenceHistory

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

BENDS_AT: Final = 0.9
"""Pull * appeal * fatigue^n is the probability to act up to here. Beyond, the influence -ln(1 - probability) goes on as
the straight line with the same slope, so that it is defined, and smooth, for products of 1 and more."""


class Priors(NamedTuple):
    """Of the parameters: means and standard deviations of logarithms, and means of exponentials."""

    rate: LogNormal
    spread: LogNormal
    pull: LogNormal
    half_life: LogNormal
    repeat_loss: float
    appeal_spread: float


class Observed(NamedTuple):
    """The history as arrays, as `InfluenceHistory`; P stages with a pushed move."""

    plain: FloatArray  # (G, M) moves that no contact may have caused
    exposure: FloatArray  # (G, M) days at risk of each move
    centre: FloatArray  # (G, M) log rate per day around which the coordinates are laid
    weight: FloatArray  # (G, M) its precision
    segment: IntArray  # (K,) of each cell
    channel: IntArray  # (K,)
    place: IntArray  # (K,) which of the P stages; 0 for all with one pull per channel
    repeat: FloatArray  # (K,) earlier contacts
    contacts: FloatArray  # (K,)
    ages: FloatArray  # (Q,)
    age_weights: FloatArray  # (K, Q)
    move: IntArray  # (E,) segment * M + move
    first: IntArray  # (E + 1,)
    cell: IntArray  # (T,)
    age: FloatArray  # (T,)


class Parameters(NamedTuple):
    """At points of any shape (...)."""

    log_typical: FloatArray  # (..., M) of the hazard in a typical segment
    spread: FloatArray | None  # (..., M); None with one segment
    log_hazard: FloatArray  # (..., G, M)
    log_typical_pull: FloatArray  # (..., C)
    log_pull: FloatArray  # (..., C, P) before it bends; P is 1 with one pull per channel
    log_half_life: FloatArray  # (..., C)
    repeat_loss: FloatArray  # (..., C) -ln(fatigue); zeros if off
    log_appeal: FloatArray  # (..., G, C); zeros if off


@dataclass(frozen=True, slots=True, eq=False)
class InfluenceDensity:
    """Log posterior density of the influence model at a point x, and the way back to its parameters.

    x holds, per move, the coordinates of `StageDensity`; then per channel that of its typical pull, of its log pull in
    each of P places, of its half-life; where they are on, of its fatigue, and per segment and channel of its appeal.
    """

    observed: Observed
    priors: Priors
    n_channels: int
    n_places: int
    fatigue: bool
    appeal: bool

    @classmethod
    def of(
        cls,
        history: InfluenceHistory,
        priors: Priors,
        start: Start,
        *,
        pull_by_stage: bool,
        fatigue: bool,
        appeal: bool,
    ) -> InfluenceDensity:
        """The density given a history, in coordinates around the moves that `start` leaves to the base."""
        exposure = np.array(history.stages.exposure_days[:, history.stages.origins], dtype=np.float64, order="C")
        base = np.array(start.base_moves, dtype=np.float64, order="C")
        centre = np.log(base + 0.5) - np.log(exposure + 0.5 * math.exp(-priors.rate.mean))
        segment, channel, stage, repeat = history.cells.T
        place = np.cumsum(history.pushed >= 0)[stage] - 1 if pull_by_stage else np.zeros_like(stage)
        # Contacts whose influence is one parameter are one cell.
        kinds = np.column_stack([segment, channel, place, repeat * fatigue])
        kinds, cell = np.unique(kinds, axis=0, return_inverse=True)
        cell = cell.ravel()
        weights = np.zeros((len(kinds), len(history.ages)))
        np.add.at(weights, cell, history.age_weights)
        observed = Observed(
            plain=np.array(history.plain_moves, order="C"),
            exposure=exposure,
            centre=centre,
            weight=np.where(exposure > 0, base + 0.5, 0.0),
            segment=kinds[:, 0].copy(),
            channel=kinds[:, 1].copy(),
            place=kinds[:, 2].copy(),
            repeat=kinds[:, 3].astype(np.float64),
            contacts=np.bincount(cell, weights=history.cell_contacts, minlength=len(kinds)).astype(np.float64),
            ages=np.array(history.ages),
            age_weights=weights,
            move=np.array(history.moves_after_contact),
            first=np.array(history.first_contact),
            cell=cell[history.contact_cell],
            age=np.array(history.contact_age),
        )
        n_places = len(history.pushed_stages) if pull_by_stage else 1
        n_channels = len(history.channels)
        return cls(observed, priors, n_channels, n_places, fatigue, appeal and len(history.stages.segments) > 1)

    @property
    def n_dim(self) -> int:
        """Length of x."""
        return int(self._places()[-1].stop)

    def __call__(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Log density at x (n_dim,), up to a constant, and its gradient (n_dim,)."""
        value: tuple[float, FloatArray] = _log_density(
            x, self.observed, self.priors, self.n_channels, self.n_places, self.fatigue, self.appeal
        )
        return value

    def start(self, start: Start) -> FloatArray:
        """(n_dim,) the point at what EM found, with fatigue and appeal at their medians and hazards at the centre."""
        x = np.zeros(self.n_dim)
        _, _, pull, half_life, *_ = self._places()
        log_pull = np.log(np.maximum(start.pull, 1e-4))
        x[pull] = (log_pull if self.n_places > 1 else log_pull[:, :1]).ravel()
        x[half_life] = (np.log(start.half_life_days) - self.priors.half_life.mean) / self.priors.half_life.sd
        return x

    def parameters(self, x: FloatArray) -> Parameters:
        """The model's parameters at points x (..., n_dim)."""
        d, lead = self.observed, x.shape[:-1]
        n_segments, n_moves = d.plain.shape
        base, typical, pull, half_life, loss, appeal = (x[..., where] for where in self._places())
        point = base.reshape(*lead, n_moves, -1)
        pooled = n_segments > 1
        tau = np.exp(self.priors.spread.mean + self.priors.spread.sd * point[..., 1]) if pooled else None
        share = 1.0 / (1.0 + d.weight * (0.0 if tau is None else tau[..., None, :] ** 2))
        about_mu = d.weight * share
        precision = self.priors.rate.sd**-2 + about_mu.sum(axis=-2)
        mu = (self.priors.rate.mean * self.priors.rate.sd**-2 + (about_mu * d.centre).sum(axis=-2)) / precision
        mu = mu + point[..., 0] / np.sqrt(precision)
        log_hazard = np.broadcast_to(mu[..., None, :], (*lead, n_segments, n_moves))
        if tau is not None:
            deviations = np.moveaxis(point[..., 2:], -1, -2) * tau[..., None, :] * np.sqrt(share)
            log_hazard = share * log_hazard + (1.0 - share) * d.centre + deviations
        n_channels = self.n_channels
        return Parameters(
            log_typical=mu,
            spread=tau,
            log_hazard=log_hazard,
            log_typical_pull=self.priors.pull.mean + self.priors.pull.sd * typical,
            log_pull=pull.reshape(*lead, n_channels, self.n_places),
            log_half_life=self.priors.half_life.mean + self.priors.half_life.sd * half_life,
            repeat_loss=self.priors.repeat_loss * np.exp(loss) if self.fatigue else np.zeros((*lead, n_channels)),
            log_appeal=self.priors.appeal_spread * appeal.reshape(*lead, n_segments, n_channels)
            if self.appeal
            else np.zeros((*lead, n_segments, n_channels)),
        )

    def _places(self) -> tuple[slice, slice, slice, slice, slice, slice]:
        n_segments, n_moves = self.observed.plain.shape
        c = self.n_channels
        sizes = [
            n_moves * (n_segments + 2 if n_segments > 1 else 1),
            c,
            c * self.n_places,
            c,
            c * self.fatigue,
            n_segments * c * self.appeal,
        ]
        ends = np.cumsum(sizes).tolist()
        a, b, e, f, g, h = (slice(end - size, end) for end, size in zip(ends, sizes, strict=True))
        return a, b, e, f, g, h


def product_of(pull: FloatArray) -> FloatArray:
    """The product whose probability to act is `pull`: itself, up to where it bends."""
    below_one = np.minimum(pull, np.nextafter(1.0, 0.0))  # of a stage that tells nothing, a draw may round to 1
    beyond = BENDS_AT + (1.0 - BENDS_AT) * (math.log(1.0 - BENDS_AT) - np.log1p(-below_one))
    product: FloatArray = np.where(pull < BENDS_AT, pull, beyond)
    return product


def influence(product: FloatArray) -> FloatArray:
    """A of a contact whose pull * appeal * fatigue^n is `product`; 1 - exp(-A) is its probability to act."""
    value: FloatArray = np.where(
        product < BENDS_AT,
        -np.log1p(-np.minimum(product, BENDS_AT)),
        -math.log(1.0 - BENDS_AT) + (product - BENDS_AT) / (1.0 - BENDS_AT),
    )
    return value


@njit(cache=True, error_model="numpy", nogil=True)
def _log_density(
    x: FloatArray,
    d: Observed,
    priors: Priors,
    n_channels: int,
    n_places: int,
    fatigue: bool,
    appeal: bool,
) -> tuple[float, FloatArray]:
    n_segments, n_moves = d.plain.shape
    n_cells, n_ages = d.age_weights.shape
    at_typical = n_moves * (n_segments + 2) if n_segments > 1 else n_moves
    at_pull = at_typical + n_channels
    at_half_life = at_pull + n_channels * n_places
    at_loss = at_half_life + n_channels
    at_appeal = at_loss + (n_channels if fatigue else 0)
    rate_mean, rate_sd = priors.rate
    spread_mean, spread_sd = priors.spread
    pull_mean, pull_sd = priors.pull
    life_mean, life_sd = priors.half_life
    mean_loss, appeal_sd = priors.repeat_loss, priors.appeal_spread
    gradient = np.zeros_like(x)
    total = 0.0

    # --- base hazards at x ---
    log_hazard = np.empty((n_segments, n_moves))
    for m in range(n_moves):
        first = m * (n_segments + 2) if n_segments > 1 else m
        variance = math.exp(2.0 * (spread_mean + spread_sd * x[first + 1])) if n_segments > 1 else 0.0
        precision = rate_sd**-2
        weighted = rate_sd**-2 * rate_mean
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

    # --- influences, and how they move with the log of pull * appeal * fatigue^n ---
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

    # --- likelihood ---
    by_hazard = np.empty((n_segments, n_moves))  # derivatives by log hazard, influence, log decay
    by_strength = np.empty(n_cells)
    by_decay = np.zeros(n_channels)
    for g in range(n_segments):
        for m in range(n_moves):
            expected = d.exposure[g, m] * math.exp(log_hazard[g, m])
            total += d.plain[g, m] * log_hazard[g, m] - expected
            by_hazard[g, m] = d.plain[g, m] - expected
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

    # --- back to the coordinates of influences, and their priors ---
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

    # --- back to the coordinates of base hazards, their priors and Jacobian: see stage_density ---
    for m in range(n_moves):
        first = m * (n_segments + 2) if n_segments > 1 else m
        x_tau = x[first + 1] if n_segments > 1 else 0.0
        tau = math.exp(spread_mean + spread_sd * x_tau) if n_segments > 1 else 0.0
        precision = rate_sd**-2
        weighted = rate_sd**-2 * rate_mean
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

"""The influence model's log-density with its gradient, compiled.

Base hazards have the coordinates of `stage_density` (a map that the counts choose), around the moves that EM gives to
the base. Everything else stands on the log scale; `whitening` then makes a round posterior of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from journeysim.bayes.impossible import or_impossible
from journeysim.bayes.influence_kernels import BENDS_AT, log_density

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.bayes.influence_em import Start
    from journeysim.bayes.priors import LogNormal
    from journeysim.influence_history import InfluenceHistory

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]


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
        exposure: FloatArray | None = None,
    ) -> InfluenceDensity:
        """The density given a history, in coordinates around the moves that `start` leaves to the base.

        `exposure` (G, M) are days at risk, by default those of the history.
        """
        exposure = history.stages.exposure_days[:, history.stages.origins] if exposure is None else exposure
        exposure = np.array(exposure, dtype=np.float64, order="C")
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
        """Log density at x (n_dim,), up to a constant, and its gradient (n_dim,); -inf where it is no number."""
        value, gradient = log_density(
            x, self.observed, self.priors, self.n_channels, self.n_places, self.fatigue, self.appeal
        )
        return or_impossible(value, gradient)

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

"""The log-density of the influence model with hidden personas: a mixture over classes of customers, with its gradient.

Base hazards and influences have the coordinates of `influence_density`, with the hazards those of the slowest class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from journeysim.bayes.hidden_classes import EXIT, FORWARD, Classes, Customers, expected, leaving
from journeysim.bayes.impossible import or_impossible
from journeysim.bayes.influence_kernels import natural, unspent, with_priors
from journeysim.bayes.priors import HALF_A_CONTACT, contacts_prior

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.bayes.hidden_em import HiddenStart
    from journeysim.bayes.influence_density import InfluenceDensity, Parameters
    from journeysim.influence_history import InfluenceHistory

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]

SHARE_PRIOR: Final = 2.0
"""Dirichlet: as if two customers of each class had been seen."""


class HiddenPriors(NamedTuple):
    """Standard deviations of the logarithms of ratios of classes."""

    pace: float
    patience: float
    reach: float


@dataclass(frozen=True, slots=True, eq=False)
class HiddenDensity:
    """Log posterior density at a point x, and the way back to the parameters.

    x begins with the point of `influence`. Then, for each class but the first: by segment, log share over that of the
    first class; log of the step of log pace from the class before; patience; by channel, reach; all three in units of
    their priors. At last, the log rate of contacts of the first class, by segment, stage and channel that met there.
    """

    influence: InfluenceDensity
    customers: Customers
    n_classes: int
    priors: HiddenPriors
    met: BoolArray  # (G, S, C) of which rates of contacts are parameters
    prior_days: FloatArray  # (G, S, C) of the rates' gamma priors

    @classmethod
    def of(
        cls, influence: InfluenceDensity, history: InfluenceHistory, n_classes: int, priors: HiddenPriors
    ) -> HiddenDensity:
        """The density given a history that keeps its customers."""
        customers = Customers.of(history)
        met, prior_days = contacts_prior(history.contacts, history.stages.exposure_days)
        return cls(influence, customers, n_classes, priors, met, prior_days)

    @property
    def n_dim(self) -> int:
        """Length of x."""
        return int(self._places()[-1].stop)

    def __call__(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Log density at x (n_dim,), up to a constant, and its gradient (n_dim,); -inf where it is no number."""
        with np.errstate(all="ignore"):
            return or_impossible(*self._value(x))

    def _value(self, x: FloatArray) -> tuple[float, FloatArray]:
        known, share, step, patience, reach, rate = self._places()
        inner, c = self.influence, self.classes(x)
        d = inner.observed
        switches = inner.n_places, inner.fatigue, inner.appeal
        log_hazard, decay, strength, slope = natural(x[known], d, inner.priors, inner.n_channels, *switches)
        total, by_strength, by_decay = unspent(0.0, d, decay, strength)

        of = d.cell
        at = decay[d.channel][of]
        opened = strength[of] * at * np.exp(-at * d.age)
        found = expected(self.customers, log_hazard, opened, c, leaving(log_hazard, c, self.customers))
        total += found.log_likelihood + (d.plain * log_hazard).sum()
        caused = np.bincount(of, found.caused, len(strength))
        # an influence that underflows to 0 causes nothing
        by_strength += np.divide(caused, strength, out=np.zeros(len(strength)), where=strength > 0)
        aged = np.bincount(of, found.caused * d.age, len(strength))
        by_decay += np.bincount(d.channel, caused - decay[d.channel] * aged, len(decay))

        way = self.customers.way
        times = np.exp(np.array([c.pace, np.zeros_like(c.pace), -c.patience])[way].T)  # (K, M)
        base = np.moveaxis(found.base, 0, 1)  # (G, K, M)
        risk = found.days[:, :, self.customers.origin] * np.exp(log_hazard)[:, None, :] * times
        by_hazard = d.plain + (base - risk).sum(axis=1)
        total, inner_gradient = with_priors(
            total, x[known], d, inner.priors, *switches, log_hazard, slope, by_hazard, by_strength, by_decay
        )
        gradient = np.empty_like(x)
        gradient[known] = inner_gradient

        shares = np.exp(c.share)
        total += SHARE_PRIOR * c.share.sum()
        members = found.members + SHARE_PRIOR
        gradient[share] = (members - members.sum(axis=1, keepdims=True) * shares)[:, 1:].ravel()

        # step of log pace ~ half-normal, on its log scale; a step moves the paces of all later classes
        steps = np.exp(x[step])
        total += (x[step] - 0.5 * steps**2).sum()
        by_pace = found.forward + (base - risk)[..., way == FORWARD].sum(axis=(0, 2))
        later = np.cumsum(by_pace[:0:-1])[::-1]
        gradient[step] = later * self.priors.pace * steps + 1.0 - steps**2

        total -= 0.5 * (x[patience] ** 2).sum() + 0.5 * (x[reach] ** 2).sum()
        by_patience = risk[..., way == EXIT].sum(axis=(0, 2)) - found.exits
        gradient[patience] = self.priors.patience * by_patience[1:] - x[patience]
        rates = np.exp(c.rate)
        reached = np.exp(c.reach)
        by_reach = found.contacts - np.einsum("gks,gsc->kc", found.days, rates) * reached
        gradient[reach] = self.priors.reach * by_reach[1:].ravel() - x[reach]

        contacts = (self.customers.met + HALF_A_CONTACT)[self.met]
        total += (contacts * x[rate]).sum() - (self.prior_days * rates)[self.met].sum()
        at_risk = np.einsum("gks,kc->gsc", found.days, reached) + self.prior_days
        gradient[rate] = contacts - (at_risk * rates)[self.met]
        return float(total), gradient

    def start(self, start: HiddenStart) -> FloatArray:
        """(n_dim,) the point at what EM found."""
        x = np.empty(self.n_dim)
        known, share, step, patience, reach, rate = self._places()
        c = start.classes
        x[known] = self.influence.start(start.start)
        x[share] = (c.share[:, 1:] - c.share[:, :1]).ravel()
        x[step] = np.log(np.maximum(np.diff(c.pace) / self.priors.pace, 1e-2))
        x[patience] = c.patience[1:] / self.priors.patience
        x[reach] = (c.reach[1:] / self.priors.reach).ravel()
        x[rate] = np.where(np.isfinite(c.rate), c.rate, -np.log(2 * self.prior_days))[self.met]
        return x

    def parameters(self, x: FloatArray) -> Parameters:
        """Hazards, pulls and half-lives at points x (..., n_dim)."""
        return self.influence.parameters(x[..., self._places()[0]])

    def classes(self, x: FloatArray) -> Classes:
        """The classes at points x (..., n_dim)."""
        _, share, step, patience, reach, rate = (x[..., place] for place in self._places())
        lead, k = x.shape[:-1], self.n_classes - 1
        n_segments, n_stages, n_channels = self.met.shape

        def after_first(values: FloatArray, axis: int) -> FloatArray:
            """The same with a class 1, at 0, before all others."""
            return np.insert(values, 0, 0.0, axis=axis)

        ratio = after_first(share.reshape(*lead, n_segments, k), -1)
        most = ratio.max(axis=-1, keepdims=True)
        log_rate = np.full((*lead, n_segments, n_stages, n_channels), -math.inf)
        log_rate[..., self.met] = rate
        return Classes(
            share=ratio - most - np.log(np.exp(ratio - most).sum(axis=-1, keepdims=True)),
            pace=after_first(np.cumsum(self.priors.pace * np.exp(step), axis=-1), -1),
            patience=after_first(self.priors.patience * patience, -1),
            reach=after_first(self.priors.reach * reach.reshape(*lead, k, n_channels), -2),
            rate=log_rate,
        )

    def _places(self) -> tuple[slice, slice, slice, slice, slice, slice]:
        k, (n_segments, _, n_channels) = self.n_classes - 1, self.met.shape
        sizes = [self.influence.n_dim, n_segments * k, k, k, k * n_channels, int(self.met.sum())]
        ends = np.cumsum(sizes).tolist()
        a, b, c, d, e, f = (slice(end - size, end) for end, size in zip(ends, sizes, strict=True))
        return a, b, c, d, e, f

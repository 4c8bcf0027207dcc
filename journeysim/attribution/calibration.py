"""Attribution calibrated with lift tests: credit is a hint at what a channel causes, and a test measures it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import special, stats

from journeysim.attribution.calibrated import CalibratedAttribution
from journeysim.attribution.evidence import FLOOR, Evidence, agreement_of, value_per_conversion, warnings_of
from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from numpy.typing import NDArray

    from journeysim.attribution.lift_tests import LiftTest
    from journeysim.attribution.uncertainty import UncertainAttribution

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

GRID: Final = 100
"""Values of the spread, equally probable beforehand."""
FEWEST_DRAWS: Final = 100
"""Effective draws below which quantiles are noise, and nothing is answered."""


@dataclass(frozen=True, slots=True)
class IncrementalPrior:
    """What is believed of the effect behind a unit of credit before any test.

    The defaults: half of the credit is incremental, give or take 0.4, and channels differ from each other by about as
    much. In eight packaged worlds the effect was 0.3 to 1.4 of the Markov credit on average over channels, with a
    standard deviation between channels of 0.1 to 0.8. In 663 experiments, observational estimates missed the lift by a
    median of 62 to 115 points where it was 6 to 28% (Gordon, Moakler & Zettelmeyer 2022, arXiv 2201.07055).

    Attributes
    ----------
    mean, sd : of the effect per unit of credit, on average over channels; normal
    spread : scale of the half-normal prior of how much single channels differ from that average
    drift : how much the effect of a channel differs between two periods without a common day, relative to its credit
    """

    mean: float = 0.5
    sd: float = 0.4
    spread: float = 0.5
    drift: float = 0.25

    def __post_init__(self) -> None:
        if not np.isfinite(self.mean):
            raise InputError(f"IncrementalPrior: mean is {self.mean!r}; it must be a finite number.")
        for name, least in (("sd", "0"), ("spread", "above 0"), ("drift", "0")):
            number = getattr(self, name)
            if not 0 <= number < np.inf or (name == "spread" and number == 0):
                raise InputError(
                    f"IncrementalPrior: {name} is {number!r}; it must be a finite number, {least} or more."
                )


def calibrate(
    attribution: UncertainAttribution,
    tests: Sequence[LiftTest],
    *,
    seed: int,
    window: tuple[date, date] | None = None,
    prior: IncrementalPrior | None = None,
) -> CalibratedAttribution:
    """What each channel causes, from its credit and from lift tests of some channels.

    With a the share of the conversions that a draw of the attribution credits to channel c, the effect is
    theta_c = a_c m + d_c, where m is common to all channels and d_c ~ Normal(0, s^2 (a_c^2 + floor^2)) is what credit
    gets wrong about this one. A test is y ~ Normal(theta_c, standard_error^2). So a million journeys do not outweigh
    one experiment: they make a_c certain, not d_c. Given a draw of a and s everything is normal, and conditioning
    exact; s is summed over a grid, and draws of a are weighted by how probable they make the tests.

    Before and after are made of the same random numbers: without tests they are the same.

    Parameters
    ----------
    tests : of any channels, several of one too; their errors are independent
    seed : of the draws
    window : first and last day of the journeys of the attribution, with which the periods of tests are compared
    prior : what is believed before the tests

    Raises
    ------
    InputError : an unknown channel, a test that cannot be set beside the attribution, or tests that too few draws of
        the attribution are compatible with

    Source: conditioning by kriging of residuals (Matheron's rule), Journel & Huijbregts 1978, Mining Geostatistics.
    """
    if seed < 0:
        raise InputError(f"seed must be an integer >= 0, got {seed!r}.")
    prior = prior or IncrementalPrior()
    evidence = Evidence.of(attribution, tuple(tests), window, prior.drift)
    model = _Model(attribution.share, prior, evidence)
    rng = np.random.default_rng(seed)
    n_draws, n_channels = attribution.share.shape
    chance = _Chance(
        level=rng.permutation((np.arange(n_draws) + 0.5) / n_draws),  # of the spread: every part of it in turn
        common=rng.standard_normal((n_draws,)),
        own=rng.standard_normal((n_draws, n_channels)),
        noise=rng.standard_normal((n_draws, len(tests))),
    )
    log_likelihood = model.log_likelihood()
    before, factor_before = model.drawn(chance, *_choose(np.zeros_like(log_likelihood), chance.level, model.spreads()))
    rows, spreads = _choose(log_likelihood, chance.level, model.spreads())
    after, factor_after = model.conditioned(chance, rows, spreads)
    weight = special.softmax(special.logsumexp(log_likelihood, axis=1))
    effective = float(1 / (weight**2).sum())
    if effective < min(FEWEST_DRAWS, n_draws / 2):
        raise InputError(
            f"calibrate: only {effective:,.0f} of {n_draws:,} draws of the attribution are compatible with the tests. "
            "Make more draws, or check the effects and standard errors."
        )
    few = (
        f"The tests leave {effective:,.0f} of {n_draws:,} draws of the attribution; make more draws, or intervals are "
        "rough.",
    )
    total = attribution.point.total_conversions
    agreement = agreement_of(evidence, attribution.share, before, total)
    return CalibratedAttribution(
        attribution=attribution,
        tests=agreement,
        before=total * before,
        after=total * after,
        value_each=value_per_conversion(attribution),
        rows=rows,
        factor_before=factor_before,
        factor_after=factor_after,
        effective_draws=effective,
        settings={"seed": seed, "mean": prior.mean, "sd": prior.sd, "spread": prior.spread, "drift": prior.drift},
        notes=(*evidence.notes, *warnings_of(agreement), *(few if effective < n_draws / 4 else ())),
    )


@dataclass(frozen=True, slots=True)
class _Chance:
    """Standard random numbers, the same before and after: (D,), (D,), (D, C), (D, J)."""

    level: FloatArray
    common: FloatArray
    own: FloatArray
    noise: FloatArray


@dataclass(frozen=True, slots=True)
class _Model:
    """The effects theta (D, C) given draws of credit (D, C): normal around a common part of it."""

    credit: FloatArray
    prior: IncrementalPrior
    evidence: Evidence

    @property
    def size(self) -> FloatArray:
        """(D, C) what the spread is relative to."""
        return np.asarray(np.hypot(self.credit, FLOOR / self.credit.shape[1]))

    def drawn(self, chance: _Chance, rows: IntArray, spreads: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Effects (D, C) and common factor (D,) of the attribution's draws `rows`, as believed before the tests."""
        factor = self.prior.mean + self.prior.sd * chance.common
        effects = self.credit[rows] * factor[:, None] + spreads[:, None] * self.size[rows] * chance.own
        return effects, factor

    def conditioned(self, chance: _Chance, rows: IntArray, spreads: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The same, moved by how far the tests are from what they would have found."""
        effects, factor = self.drawn(chance, rows, spreads)
        found = self.evidence
        if not found.tests:
            return effects, factor
        at, scale = found.channel, found.scale[rows]
        miss = found.y - scale * effects[:, at] - found.error * chance.noise
        pull = np.linalg.solve(self._covariance(rows, spreads), miss[:, :, None])[:, :, 0] * scale
        variance = (spreads[:, None] * self.size[rows]) ** 2
        own = np.zeros_like(effects)
        for j, c in enumerate(at):  # two tests of a channel both pull it
            own[:, c] += pull[:, j]
        common = self.prior.sd**2 * (self.credit[rows][:, at] * pull).sum(axis=1)
        return effects + variance * own + self.credit[rows] * common[:, None], factor + common

    def _covariance(self, rows: IntArray, spreads: FloatArray) -> FloatArray:
        """(D, J, J) of what the tests find, before they are made."""
        found = self.evidence
        at, scale = found.channel, found.scale[rows]
        common = self.prior.sd * scale * self.credit[rows][:, at]
        own = spreads[:, None] * scale * self.size[rows][:, at]
        alike = at[:, None] == at[None, :]
        together = common[:, :, None] * common[:, None, :] + alike * own[:, :, None] * own[:, None, :]
        return np.asarray(together + np.diag(found.error**2))

    def log_likelihood(self) -> FloatArray:
        """(D, GRID) log density of the tests for each draw of the attribution and value of the spread."""
        n_draws = len(self.credit)
        found, everyone = self.evidence, np.arange(n_draws)
        if not found.tests:
            return np.zeros((n_draws, GRID))
        miss = found.y - self.prior.mean * found.scale * self.credit[:, found.channel]
        columns = []
        for spread in self.spreads():
            L = np.linalg.cholesky(self._covariance(everyone, np.full(n_draws, spread)))
            z = np.linalg.solve(L, miss[:, :, None])[:, :, 0]
            columns.append(-0.5 * (z**2).sum(axis=1) - np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1))
        return np.column_stack(columns)

    def spreads(self) -> FloatArray:
        """(GRID,) quantiles of the half-normal prior, each in the middle of as much of it."""
        return np.asarray(self.prior.spread * stats.halfnorm.ppf((np.arange(GRID) + 0.5) / GRID))


def _choose(log_likelihood: FloatArray, level: FloatArray, spreads: FloatArray) -> tuple[IntArray, FloatArray]:
    """Draws of the attribution (D,), as often as the tests make them probable, and a spread for each (D,).

    Systematic resampling, and for the spread the quantile `level` of its distribution given the draw: where nothing
    was measured every draw stands once, with the spread that it has beforehand.
    """
    n_draws = len(level)
    weight = special.softmax(special.logsumexp(log_likelihood, axis=1))
    rows = np.minimum(np.searchsorted(np.cumsum(weight), (np.arange(n_draws) + 0.5) / n_draws), n_draws - 1)
    reached = np.cumsum(special.softmax(log_likelihood[rows], axis=1), axis=1)
    at = np.minimum((reached < level[:, None]).sum(axis=1), len(spreads) - 1)
    return rows, spreads[at]

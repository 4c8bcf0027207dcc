"""The additive hazard model: every touch opens a hazard to convert that fades with its channel's half-life."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from journeysim.attribution.ages import required_ages_days
from journeysim.attribution.base import Attribution, require_conversions
from journeysim.attribution.sharing import listed, result
from journeysim.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]
    BoolArray = NDArray[np.bool_]

HALF_LIFE_BOUNDS_DAYS: Final = (0.05, 365.0)
"""Where estimated half-lives stay: an hour to a year."""
RATE_BOUNDS: Final = tuple(np.log(2) / life for life in reversed(HALF_LIFE_BOUNDS_DAYS))
TOLERANCE: Final = 1e-7
"""EM stops when no channel's credit moves by more than this share of the conversions in a sweep."""
RATE_TOLERANCE: Final = 1e-5
"""... and no half-life by more than this share."""
FLAT: Final = 1e-8
"""It stops, too, when the log-likelihood per conversion rose by no more than this in PATIENCE sweeps."""
PATIENCE: Final = 100
NO_STRENGTH: Final = 1e-300
"""Stands for a strength of zero, which has no logarithm."""


@dataclass(frozen=True, slots=True, eq=False)
class HazardFit:
    """What EM found.

    Attributes
    ----------
    strength : (C,) beta, expected conversions that a touch brings in the long run
    half_life_days : (C,) ln 2 / omega; NaN for a channel that no conversion met
    responsibility : (T,) probability that a touch caused the conversion, if its journey converts; sums to 1 in each
    log_likelihood : of each sweep, never falling
    at_bound : (C,) whether the likelihood rises up to a bound of the half-life: the data leave it open
    flat : whether EM stopped for the likelihood no longer rose, while credit still moved
    """

    strength: FloatArray
    half_life_days: FloatArray
    responsibility: FloatArray
    log_likelihood: tuple[float, ...]
    at_bound: BoolArray
    flat: bool


@dataclass(frozen=True, slots=True)
class AdditiveHazard:
    """Credit by the probability that a touch caused the conversion, in a model of fading hazards.

    Conversion at time T has the hazard sum over touches l before T of beta(c) omega(c) exp(-omega(c) (T - t(l))), with
    c the channel of touch l. EM finds beta and omega: a touch is responsible for a conversion in proportion to its
    term; beta = sum of responsibilities / sum over all touches of (1 - exp(-omega x age)). Journeys that do not convert
    count until their end. There is no other cause than touches: the model credits every conversion.

    Two sweeps of EM say where a third should look; where that lowers the likelihood, EM goes on by itself. Few
    different paths may leave half-lives open: the likelihood then rises up to a bound, or is flat. EM stops there, and
    a note says so.

    Attributes
    ----------
    half_life_days : one for all channels, one by name, or None to estimate them between an hour and a year
    max_sweeps : of EM; not settled by then is an error

    Source: Zhang, Wei & Ren 2014, ICDM, "Multi-touch attribution in online advertising with survival theory";
    acceleration of EM: Varadhan & Roland 2008, Scandinavian Journal of Statistics 35(2), scheme S3.
    """

    half_life_days: float | Mapping[str, float] | None = None
    max_sweeps: int = 10_000

    def __post_init__(self) -> None:
        given = self.half_life_days
        lives = [] if given is None else [*given.values()] if isinstance(given, Mapping) else [given]
        if not all(0 < life < np.inf for life in lives):
            raise InputError(f"AdditiveHazard: half_life_days must be positive numbers, got {given!r}.")
        if self.max_sweeps < 1:
            raise InputError(f"AdditiveHazard: max_sweeps must be 1 or more, got {self.max_sweeps!r}.")

    def fit(self, journeys: Journeys) -> HazardFit:
        """Fit the model by EM.

        Raises
        ------
        InputError : if nothing converts, if there are no times, if a channel is met at the instant of conversion only,
            if a half-life is missing, or if EM does not settle
        """
        require_conversions(journeys)
        ages = required_ages_days(journeys, "AdditiveHazard", "position_based or markov")
        data = _Touches.of(journeys, ages)
        at = np.log([self._first_strength(journeys, data), self._start(journeys)])
        likelihood, longest = list[float](), 1.0
        for _ in range(0, self.max_sweeps, 3):  # each time round takes three sweeps
            here = self._sweep(journeys, data, at)
            next_one = self._sweep(journeys, data, here.onward)
            likelihood += [here.log_likelihood, next_one.log_likelihood]
            moved = float(abs(next_one.caused - here.caused).max()) / journeys.n_conversions
            rise = likelihood[-1] - likelihood[-1 - PATIENCE] if len(likelihood) > PATIENCE else np.inf
            step = here.onward - at
            turned = abs(step[1][next_one.credited]).max(initial=0.0)
            settled = moved <= TOLERANCE and turned <= RATE_TOLERANCE
            if settled or rise <= FLAT * journeys.n_conversions:
                return self._found(here.onward, next_one, likelihood, flat=moved > TOLERANCE)
            bend = next_one.onward - here.onward - step
            length = min(max(1.0, float(np.linalg.norm(step)) / max(float(np.linalg.norm(bend)), 1e-300)), longest)
            far = self._sweep(journeys, data, self._within_bounds(at + 2 * length * step + length**2 * bend))
            slack = 1e-13 * abs(next_one.log_likelihood)
            if far.log_likelihood >= next_one.log_likelihood - slack:
                at, longest = far.onward, max(longest, 4 * length)
            else:
                at, longest = next_one.onward, max(length / 4, 1.0)
        raise InputError(
            f"AdditiveHazard: EM has not settled after {self.max_sweeps} sweeps. Raise max_sweeps, or give "
            "half_life_days, which settles sooner."
        )

    def _sweep(self, journeys: Journeys, data: _Touches, at: FloatArray) -> _Sweep:
        """One sweep of EM from (2, C) logs of strength and omega."""
        strength, omega = np.exp(at)
        responsibility, log_hazard = data.responsibilities(strength, omega)
        exposure = data.exposure(omega)
        log_likelihood = float(data.converts @ log_hazard - strength @ exposure)
        caused = data.per_channel(data.caused * responsibility)
        self._refuse_instants(journeys, caused, exposure)
        if self.half_life_days is None:
            omega = data.better_rates(omega, caused, responsibility, exposure)
            exposure = data.exposure(omega)
        strength = np.divide(caused, exposure, out=np.zeros_like(caused), where=exposure > 0)
        onward = np.log([np.maximum(strength, NO_STRENGTH), omega])
        return _Sweep(log_likelihood, responsibility, caused, onward)

    def _within_bounds(self, at: FloatArray) -> FloatArray:
        strength, omega = at
        if self.half_life_days is None:
            omega = np.clip(omega, *np.log(RATE_BOUNDS))
        return np.array([np.clip(strength, np.log(NO_STRENGTH), -np.log(NO_STRENGTH)), omega])

    def _found(self, at: FloatArray, last: _Sweep, likelihood: list[float], *, flat: bool) -> HazardFit:
        strength, omega = np.exp(at)
        half_life = np.where(last.caused > 0, np.log(2) / omega, np.nan)
        at_bound = np.isclose(half_life[:, None], HALF_LIFE_BOUNDS_DAYS, rtol=1e-9, atol=0).any(axis=1)
        at_bound &= last.credited & (self.half_life_days is None)
        return HazardFit(strength, half_life, last.responsibility, tuple(likelihood), np.asarray(at_bound), flat)

    @staticmethod
    def _first_strength(journeys: Journeys, data: _Touches) -> FloatArray:
        return np.full(len(journeys.channels), journeys.n_conversions / max(data.at_risk.sum(), 1e-300))

    def _start(self, journeys: Journeys) -> FloatArray:
        """(C,) omega to begin with, and to stay with where half-lives are given."""
        given = 7.0 if self.half_life_days is None else self.half_life_days
        if isinstance(given, Mapping):
            missing = [name for name in journeys.channels if name not in given]
            if missing:
                raise InputError(f"AdditiveHazard: half_life_days has none for channel {missing[0]!r}.")
            return np.asarray(np.log(2) / np.array([given[name] for name in journeys.channels], dtype=np.float64))
        return np.full(len(journeys.channels), np.log(2) / given)

    @staticmethod
    def _refuse_instants(journeys: Journeys, caused: FloatArray, exposure: FloatArray) -> None:
        instant = np.flatnonzero((caused > 0) & (exposure <= 0))
        if len(instant):
            raise InputError(
                f"AdditiveHazard: every touch on {journeys.channels[instant[0]]!r} has age 0, at the very instant of "
                "the end of its journey, so no hazard can be estimated. Leave that channel out, or record touches "
                "before the conversion they lead to."
            )

    def attribute(self, journeys: Journeys) -> Attribution:
        """Fit the model and credit each conversion by responsibilities.

        Raises
        ------
        InputError : as `fit`
        """
        found = self.fit(journeys)

        def total(of_journey: FloatArray) -> FloatArray:
            of_touch = np.repeat(of_journey, np.diff(journeys.offsets))
            return np.bincount(journeys.codes, found.responsibility * of_touch, len(journeys.channels)).astype(
                np.float64
            )

        notes = []
        if self.half_life_days is None:
            lives = sorted(zip(journeys.channels, found.half_life_days.tolist(), strict=True))
            said = ", ".join(f"{name} {life:.3g}" for name, life in lives if np.isfinite(life))
            notes.append(f"Estimated half-lives, in days: {said}.")
        if found.at_bound.any():
            names = listed(sorted(np.array(journeys.channels, dtype=object)[found.at_bound]))
            low, high = HALF_LIFE_BOUNDS_DAYS
            notes.append(
                f"The data leave the half-lives of {names} open: the likelihood rises up to their bounds ({low:g} to "
                f"{high:g} days). Give half_life_days, or more journeys."
            )
        if found.flat:
            notes.append(
                "The likelihood hardly depends on the split: other credit would explain these journeys as well."
            )
        return result("additive_hazard", self, journeys, total(journeys.conversions), total(journeys.value), notes)


@dataclass(frozen=True, slots=True, eq=False)
class _Sweep:
    """What a sweep of EM found where it stood, and (2, C) logs of strength and omega where to go on."""

    log_likelihood: float
    responsibility: FloatArray
    caused: FloatArray
    onward: FloatArray

    @property
    def credited(self) -> BoolArray:
        """(C,) who has credit that a half-life can be told from."""
        return np.asarray(self.caused > TOLERANCE * self.caused.sum())


@dataclass(frozen=True, slots=True, eq=False)
class _Touches:
    """Touches with what EM needs of them.

    Attributes
    ----------
    codes, ages, starts, owner : channel, age in days, first touch of each journey, journey of each touch
    converts : (J,) conversions of each journey
    caused, at_risk : (T,) conversions, and conversions + nulls, of a touch's journey
    """

    n_channels: int
    codes: NDArray[np.int32]
    ages: FloatArray
    starts: IntArray
    owner: IntArray
    converts: FloatArray
    caused: FloatArray
    at_risk: FloatArray

    @classmethod
    def of(cls, journeys: Journeys, ages: FloatArray) -> _Touches:
        owner = journeys.owner
        return cls(
            n_channels=len(journeys.channels),
            codes=journeys.codes,
            ages=ages,
            starts=journeys.offsets[:-1],
            owner=owner,
            converts=journeys.conversions,
            caused=journeys.conversions[owner],
            at_risk=(journeys.conversions + journeys.nulls)[owner],
        )

    def per_channel(self, of_touch: FloatArray) -> FloatArray:
        return np.bincount(self.codes, of_touch, minlength=self.n_channels).astype(np.float64)

    def exposure(self, omega: FloatArray) -> FloatArray:
        """(C,) sum over touches of 1 - exp(-omega age)."""
        return self.per_channel(self.at_risk * -np.expm1(-omega[self.codes] * self.ages))

    def responsibilities(self, strength: FloatArray, omega: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(T,) responsibilities and (J,) log hazards at the ends of journeys; by logs, so that nothing underflows."""
        level = np.log(np.maximum(strength * omega, 1e-300))
        terms = level[self.codes] - omega[self.codes] * self.ages
        largest = np.maximum.reduceat(terms, self.starts)
        scaled = np.exp(terms - largest[self.owner])
        total = np.add.reduceat(scaled, self.starts)
        return scaled / total[self.owner], largest + np.log(total)

    def better_rates(
        self, omega: FloatArray, caused: FloatArray, responsibility: FloatArray, exposure: FloatArray
    ) -> FloatArray:
        """(C,) omega with a likelihood that is no lower, beta following; a step of the paper's fixed point, halved
        for the channels where it would overshoot.
        """
        waited = self.per_channel(self.caused * responsibility * self.ages)
        slope = self.per_channel(self.at_risk * self.ages * np.exp(-omega[self.codes] * self.ages))
        some = (caused > 0) & (exposure > 0)
        per_exposure = np.divide(caused * slope, exposure, out=np.zeros_like(caused), where=some)
        candidate = np.divide(caused, waited + per_exposure, out=omega.copy(), where=some & (waited + per_exposure > 0))
        step = np.log(np.clip(candidate, *RATE_BOUNDS) / omega)

        def profile(omega: FloatArray, exposure: FloatArray) -> FloatArray:
            logs = np.log(np.divide(omega, exposure, out=np.ones_like(omega), where=exposure > 0))
            return np.asarray(caused * logs - omega * waited)

        before = profile(omega, exposure)
        for _ in range(30):
            moved = omega * np.exp(step)
            worse = profile(moved, self.exposure(moved)) < before - 1e-12 * abs(before)
            if not worse.any():
                return np.asarray(moved)
            step = np.where(worse, step / 2, step)
        return np.asarray(omega * np.exp(np.where(worse, 0.0, step)))

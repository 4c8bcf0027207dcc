"""The digital twin for touches alone: hidden stages and kinds of customers, then each channel switched off."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from journeysim.attribution.ages import required_ages_days
from journeysim.attribution.base import Attribution, require_conversions
from journeysim.attribution.hidden_funnel import (
    Gaps,
    HiddenFunnel,
    expectation,
    first_guess,
    lost_without,
    maximisation,
)
from journeysim.attribution.sharing import in_proportion, result
from journeysim.attribution.uncertainty import UncertainAttribution, check_draws
from journeysim.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]

AT_REST: Final = 0.01
"""A note says so if more than this share of the credit still moved in the last tenth of the sweeps."""
WELL_TOLD: Final = 200
"""Conversions below which a note warns: stages and kinds are hidden, and take many journeys to be told apart."""


@dataclass(frozen=True, slots=True)
class HiddenMarkov:
    """Credit in proportion to the conversions lost, in a fitted model, when a channel's contacts do nothing.

    The model (`hidden_funnel`) has stages and kinds of customers that the log does not show. They explain why a channel
    meets people who buy anyway: its contacts come often in a late stage, and move nobody on. A channel that works
    is known by what follows its contacts: other touches, and conversions, come faster than before.

    The value of conversions is shared out in the same proportion; which channel wins the dear ones is not looked at.

    Attributes
    ----------
    stages : hidden ones before the purchase
    kinds : of customers, who differ in pace and in how often each channel meets them; 1: all are alike
    sweeps : of expectation maximisation

    Sources: as `hidden_funnel`.
    """

    stages: int = 4
    kinds: int = 2
    sweeps: int = 80

    def __post_init__(self) -> None:
        for name, low, high in (("stages", 1, 12), ("kinds", 1, 6), ("sweeps", 10, 100_000)):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"HiddenMarkov: {name} must be from {low} to {high:,}, got {getattr(self, name)!r}.")

    def fit(self, journeys: Journeys) -> HiddenFunnel:
        """The fitted model, of the channels that some journey met.

        Raises
        ------
        InputError : as `attribute`
        """
        return self._fitted(journeys).funnel

    def attribute(self, journeys: Journeys) -> Attribution:
        """Fit the model and credit all conversions in proportion to what each channel's absence loses.

        Raises
        ------
        InputError : if nothing converts or everything does, or if there are no times
        """
        return self._credit(journeys, self._fitted(journeys))

    def posterior(self, journeys: Journeys, *, seed: int, n_draws: int = 200) -> UncertainAttribution:
        """The same with draws, from the normal approximation of the posterior at its mode.

        They hold what the number of journeys leaves open *if the model is right*. What it cannot represent they do not
        hold.

        Parameters
        ----------
        seed : of the draws
        n_draws : 2 or more

        Raises
        ------
        InputError : as `attribute`
        """
        from journeysim.attribution.hidden_draws import funnel_draws

        check_draws(n_draws, seed)
        fit = self._fitted(journeys)
        point = self._credit(journeys, fit)
        share = np.zeros((n_draws, len(journeys.channels)))
        for i, funnel in enumerate(funnel_draws(fit.funnel, fit.gaps, n=n_draws, seed=seed)):
            share[i, fit.met] = fit.share(funnel)
        return UncertainAttribution(
            point=point,
            source="posterior",
            share=share,
            value=share * journeys.total_value,
            settings={"seed": seed, "n_draws": n_draws},
        )

    def _fitted(self, journeys: Journeys) -> _Fit:
        require_conversions(journeys)
        required_ages_days(journeys, "HiddenMarkov", "markov")
        if not journeys.nulls.any():
            raise InputError(
                "HiddenMarkov compares journeys that convert with those that do not, and all of these convert. Include "
                "the journeys without a conversion."
            )
        met, used = _used(journeys)
        ages = required_ages_days(used, "HiddenMarkov", "markov")
        gaps = Gaps.of(used, ages)
        funnel = earlier = first_guess(used, ages, n_stages=self.stages, n_kinds=self.kinds)
        for sweep in range(self.sweeps):
            if sweep == self.sweeps - self.sweeps // 10:
                earlier = funnel
            funnel = maximisation(funnel, expectation(funnel, gaps), gaps.n)
        return _Fit(funnel, earlier, gaps, met)

    def _credit(self, journeys: Journeys, fit: _Fit) -> Attribution:
        share = np.zeros(len(journeys.channels))
        share[fit.met] = fit.share(fit.funnel)
        moved = float(abs(share[fit.met] - fit.share(fit.earlier)).sum() / 2)
        notes = []
        if moved > AT_REST:
            notes.append(
                f"{moved:.1%} of the credit still moved in the last tenth of the sweeps: the log hardly tells the "
                "hidden stages apart. Raise sweeps, or take fewer stages or kinds."
            )
        if journeys.n_conversions < WELL_TOLD:
            notes.append(
                f"{journeys.n_conversions:,.6g} conversions are few to tell {self.stages} hidden stages and "
                f"{self.kinds} kinds of customers apart."
            )
        return result(
            "hidden_markov",
            self,
            journeys,
            in_proportion(journeys.n_conversions, share, "HiddenMarkov: effects"),
            in_proportion(journeys.total_value, share, "HiddenMarkov: effects"),
            notes,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """A fitted funnel, as it was some sweeps before, its data, and which channels were met."""

    funnel: HiddenFunnel
    earlier: HiddenFunnel
    gaps: Gaps
    met: NDArray[np.bool_]

    def share(self, funnel: HiddenFunnel) -> FloatArray:
        """(met channels,) what is lost without each, scaled to sum to 1; nothing where no conversion had met it."""
        journeys = self.gaps.journeys
        assert journeys.ages_days is not None  # noqa: S101  # asked before
        days = journeys.ages_days[journeys.offsets[:-1]]
        null = journeys.nulls > 0
        effect, _ = lost_without(funnel, days[null], journeys.nulls[null])
        won = np.bincount(journeys.codes, journeys.conversions[journeys.owner], len(effect)) > 0
        effect = np.where(won, np.maximum(effect, 0.0), 0.0)
        return np.asarray(effect / effect.sum())


def _used(journeys: Journeys) -> tuple[NDArray[np.bool_], Journeys]:
    """Which channels were met, and the journeys that have a weight, with these channels only."""
    counts = journeys.conversions + journeys.nulls > 0
    of_touch = counts[journeys.owner]
    codes = journeys.codes[of_touch]
    met = np.bincount(codes, minlength=len(journeys.channels)) > 0
    lengths = np.diff(journeys.offsets)[counts]
    ages = journeys.ages_days
    return met, replace(
        journeys,
        channels=tuple(name for name, is_met in zip(journeys.channels, met, strict=True) if is_met),
        codes=(np.cumsum(met) - 1)[codes].astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        ages_days=None if ages is None else ages[of_touch],
        **{name: getattr(journeys, name)[counts] for name in ("conversions", "nulls", "value")},
    )

"""A method of attribution together with a randomised holdout: credit is a hint, and the experiment measures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from journeysim.attribution import HiddenMarkov, LiftTest, calibrate, posterior_attribution
from journeysim.benchmark.contestants import Answer, Sample
from journeysim.benchmark.controls import Holdout
from journeysim.errors import InputError

if TYPE_CHECKING:
    from journeysim.attribution import UncertainAttribution
    from journeysim.journeys import Journeys

METHODS = ("markov", "hidden_markov")


@dataclass(frozen=True, slots=True)
class HiddenMarkovPosterior:
    """The hidden Markov method with draws of its posterior.

    Attributes
    ----------
    n_draws : of the posterior
    """

    n_draws: int = 500

    def answer(self, sample: Sample) -> Answer:
        """As `HiddenMarkov.posterior`, with draws from the seed of the sample."""
        found = _posterior("hidden_markov", sample.journeys, sample.seed, self.n_draws)
        return Answer(found.channels, found.point.conversions, found.conversions)


@dataclass(frozen=True, slots=True)
class WithHoldout:
    """A method whose credit is calibrated with a holdout of every channel, as `calibrate` does it.

    The experiment is that of `Holdout`: other customers than the log's, as many in all. Of each channel it gives a lift
    test; that all of them share one control is left out. A channel that the log does not have is known by the
    experiment alone.

    Attributes
    ----------
    method : `markov` or `hidden_markov`, with its posterior
    share : of the customers of the experiment who live without some channel, all channels together
    n_draws : of the posterior
    """

    method: Literal["markov", "hidden_markov"] = "hidden_markov"
    share: float = 0.1
    n_draws: int = 500

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"WithHoldout: method is {self.method!r}; it must be one of {', '.join(METHODS)}.")

    def answer(self, sample: Sample) -> Answer:
        """Effects after the tests, as shares of all conversions.

        Raises
        ------
        SkipError, InputError : as `Holdout`, the method and `calibrate`
        """
        experiment = Holdout(self.share, self.n_draws).answer(sample)
        assert experiment.draws is not None  # noqa: S101  # a holdout always has them
        credit = _posterior(self.method, sample.journeys, sample.seed, self.n_draws)
        error = experiment.draws.std(axis=0, ddof=1)
        tests = [
            LiftTest(name, float(effect), float(spread), unit="share")
            for name, effect, spread in zip(experiment.channels, experiment.credit, error, strict=True)
            if name in credit.channels
        ]
        found = calibrate(credit, tests, seed=sample.seed).draws(of="share")
        draws = experiment.draws.copy()
        draws[:, [experiment.channels.index(name) for name in credit.channels]] = found
        effect = np.where(np.isin(experiment.channels, credit.channels), draws.mean(axis=0), experiment.credit)
        return Answer(experiment.channels, effect, draws, measured=experiment.measured)


@lru_cache(maxsize=2)  # several contestants in turn ask for that of one sample
def _posterior(method: str, journeys: Journeys, seed: int, n_draws: int) -> UncertainAttribution:
    if method == "markov":
        return posterior_attribution(journeys, seed=seed, n_draws=n_draws)
    return HiddenMarkov().posterior(journeys, seed=seed, n_draws=n_draws)

"""What methods are measured by: a guess, the truth itself, an experiment; and attribution with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from journeysim.attribution import bootstrap_attribution, posterior_attribution
from journeysim.benchmark.budget import buyers
from journeysim.benchmark.contestants import Answer, Sample, SkipError
from journeysim.errors import InputError
from journeysim.simulation import simulate
from journeysim.simulation.engines import couples_customers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.attribution import UncertainAttribution
    from journeysim.spec import World

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RandomShares:
    """Negative control: shares drawn uniformly among all that sum to 1 (Dirichlet with all parameters 1)."""

    def answer(self, sample: Sample) -> Answer:
        """A guess that depends on the seed only; its draws are guesses, too."""
        rng = np.random.default_rng([sample.seed, 0])
        draws = rng.dirichlet(np.ones(len(sample.truth.channels)), size=201)
        return Answer(sample.truth.channels, draws[0], draws[1:])


@dataclass(frozen=True, slots=True)
class EqualShares:
    """Control that looks at nothing: every channel that was met gets the same."""

    def answer(self, sample: Sample) -> Answer:
        """1 for each channel in the log."""
        return Answer(sample.journeys.channels, np.ones(len(sample.journeys.channels)))


@dataclass(frozen=True, slots=True)
class Oracle:
    """Negative control of the scores: it is handed the truth, and must score perfectly.

    Attributes
    ----------
    effects_only : it does not know what comes of moves of money, and has to move it as its credit says. What it then
        loses is the fault of the rule: returns do not stay as they are
    """

    effects_only: bool = False

    def answer(self, sample: Sample) -> Answer:
        """The true incremental effects, certain of themselves."""
        effect, moves = sample.truth.effect, sample.truth.moves
        move = None
        if moves is not None and not self.effects_only:
            i, j = np.unravel_index(np.argmax(moves.outcome), moves.outcome.shape)
            move = moves.channels[i], moves.channels[j]
        return Answer(sample.truth.channels, effect, np.repeat(effect[None], 2, axis=0), move)


@dataclass(frozen=True, slots=True)
class Holdout:
    """The yardstick that money can buy: a randomised experiment on as many customers as the methods see.

    A share of the customers is divided equally among the channels, and each part lives without its channel; the others
    are the control. The effect of a channel is 1 - rate without it / rate of the control. Draws come from the Jeffreys
    posteriors of these rates, Beta(k + 1/2, n - k + 1/2), one for all channels' common control. Where word travels
    parts are whole markets, and draws take the rates of markets anew (bootstrap).

    Attributes
    ----------
    share : of the customers who live without some channel, all channels together
    n_draws : of the effects
    """

    share: float = 0.5
    n_draws: int = 500

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise InputError(f"Holdout: share is {self.share}; it must be above 0 and below 1.")

    def answer(self, sample: Sample) -> Answer:
        """Effects by experiment, with what it cost: conversions lost per 1,000 customers of the experiment."""
        names = sample.world.channel_names
        group = sample.world.market_size if couples_customers(sample.world) else 1
        each = int(sample.n_customers * self.share / len(names)) // group * group
        control = (sample.n_customers - each * len(names)) // group * group
        if min(each, control) < 2 * group or not each:
            raise SkipError(
                f"{sample.n_customers:,} customers are too few for a holdout of {self.share:.0%} in {len(names)} parts"
                + (f" of two markets of {group:,} customers" if group > 1 else "")
            )
        rng = np.random.default_rng([sample.seed, 1])
        parts = [sample.world.without(name) for name in names]
        seeds = rng.integers(1 << 31, size=len(parts) + 1)
        base = _rates(sample.world, control, int(seeds[0]), group)
        without = [_rates(world, each, int(seed), group) for world, seed in zip(parts, seeds[1:], strict=True)]
        if not base.any():
            raise SkipError(f"none of the {control:,} customers of the control converts")
        effect = np.array([1 - rates.mean() / base.mean() for rates in without])
        base_draws = _draws(base, group, self.n_draws, rng)
        draws = np.array([1 - _draws(rates, group, self.n_draws, rng) / base_draws for rates in without]).T
        lost = each * sample.truth.conversion_rate * sample.truth.effect.sum()
        used = control + each * len(names)
        return Answer(names, effect, draws, measured={"experiment_lost_per_1000": 1_000 * lost / used})


def _rates(world: World, n_customers: int, seed: int, group: int) -> FloatArray:
    """Conversion of each customer, or of each market."""
    log = simulate(world, n_customers=n_customers, horizon_days=world.horizon_days, seed=seed, threads=1)
    return np.asarray(buyers(log).reshape(-1, group).mean(axis=1))


def _draws(rates: FloatArray, group: int, n_draws: int, rng: np.random.Generator) -> FloatArray:
    """(n_draws,) of the mean rate."""
    if group == 1:
        return np.asarray(rng.beta(rates.sum() + 0.5, len(rates) - rates.sum() + 0.5, size=n_draws))
    weights = rng.dirichlet(np.ones(len(rates)), size=n_draws)  # the Bayesian bootstrap of markets
    return np.asarray(np.maximum(weights @ rates, 1e-12))


@dataclass(frozen=True, slots=True)
class MarkovPosterior:
    """Removal effects with the posterior of their chain."""

    order: int = 1
    n_draws: int = 400

    def answer(self, sample: Sample) -> Answer:
        """As `posterior_attribution`, with draws from the seed of the sample."""
        return _with_draws(
            posterior_attribution(sample.journeys, seed=sample.seed, order=self.order, n_draws=self.n_draws)
        )


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """A registered method, with intervals from journeys drawn anew."""

    method: str = "last_touch"
    n_draws: int = 100

    def answer(self, sample: Sample) -> Answer:
        """As `bootstrap_attribution`, with draws from the seed of the sample."""
        return _with_draws(bootstrap_attribution(sample.journeys, self.method, seed=sample.seed, n_draws=self.n_draws))


def _with_draws(found: UncertainAttribution) -> Answer:
    return Answer(found.channels, found.point.conversions, found.conversions)

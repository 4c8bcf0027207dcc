"""StageModel: how fast customers of each segment make each move, learned from counts and days at risk."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from journeysim.bayes.arviz_versions import import_arviz
from journeysim.bayes.posterior import Posterior
from journeysim.bayes.sampling import sample, versions
from journeysim.errors import InputError

if TYPE_CHECKING:
    from journeysim.bayes.stage_density import StageDensity
    from journeysim.stage_history import StageHistory

SDS_OF_90_PERCENT: Final = 1.6448536269514722
"""A normal variable is within so many standard deviations of its mean with probability 0.9."""


@dataclass(frozen=True, slots=True)
class StageModel:
    """Competing hazards of the moves of each segment, log-normally pooled over segments.

        counts[g, m] ~ Poisson(h[g, m] * days of segment g in the origin of m)
        log h[g, m]  ~ Normal(mu[m], tau[m])
        exp(mu[m])   ~ LogNormal(median 1 / typical_days)
        tau[m]       ~ LogNormal(median segment_spread)

    With one segment there is no tau and log h = mu. The prior of tau has no mass at zero, so that the posterior has no
    funnel there (Chung et al. 2013). Each prior is given by its median and by the factor within which, up or down, it
    puts 90% of its mass. `docs/stage-model.md` says what the model cannot represent.

    Attributes
    ----------
    typical_days : days until a typical move, were it the only one; > 0
    typical_days_within : 90% of moves take between typical_days / this and typical_days * this; > 1
    segment_spread : standard deviation of log hazards between segments: 0.3 means that segments differ by some 30%; > 0
    segment_spread_within : as typical_days_within, for segment_spread; > 1
    """

    typical_days: float = 30.0
    typical_days_within: float = 100.0
    segment_spread: float = 0.3
    segment_spread_within: float = 3.2

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 1 if name.endswith("within") else 0
            if not (math.isfinite(value) and value > least):
                raise InputError(f"StageModel: {name} must be a number above {least}, got {value!r}.")

    def fit(
        self,
        history: StageHistory,
        *,
        seed: int,
        draws: int = 1000,
        warmup: int = 500,
        chains: int = 4,
        progress: bool = False,
    ) -> Posterior:
        """Sample the hazards given a history, by NUTS; the cost does not depend on the number of customers.

        Parameters
        ----------
        history : counts of moves and days at risk; a segment that never was in a stage gets the prior there
        seed : same seed, same versions, same draws, on any number of cores; 0 <= seed < 2**64
        draws, warmup : per chain; at least 4 draws, which R-hat needs
        chains : at least 2, for only several can disagree
        progress : show the sampler's progress if standard error is a terminal

        Raises
        ------
        InputError : if a setting is out of its range, or the history has no move
        """
        _check_moves(history)
        density = self._density(history)
        drawn = sample(
            density, where="StageModel.fit", seed=seed, draws=draws, warmup=warmup, chains=chains, progress=progress
        )
        mu, tau, log_hazard = density.parameters(drawn.points)
        return Posterior(
            history=history,
            hazards_by_chain=np.exp(log_hazard),
            typical_by_chain=np.exp(mu),
            spread_by_chain=tau,
            diverging=drawn.diverging,
            priors=asdict(self),
            seed=seed,
            warmup=warmup,
            versions=versions(),
        )

    def pymc_model(self, history: StageHistory) -> Any:
        """The same model as a `pymc.Model`, to read, to vary and to check the compiled density against.

        Raises
        ------
        InputError : if the history has no move
        """
        _check_moves(history)
        import_arviz()
        import pymc as pm

        rate, spread = self._log_normal_priors()
        counts, days = history.counts, history.exposure_days[:, history.origins]
        coords = {"segment": history.segments, "move": [f"{origin} -> {target}" for origin, target in history.moves]}
        with pm.Model(coords=coords) as model:
            mu = pm.Normal("mu", *rate, dims="move")
            if len(history.segments) > 1:
                tau = pm.LogNormal("tau", *spread, dims="move")
                log_hazard = pm.Normal("log_hazard", mu, tau, dims=("segment", "move"))
            else:
                log_hazard = pm.Deterministic("log_hazard", mu[None, :], dims=("segment", "move"))
            # Poisson, written out: it takes weighted counts, and cells without exposure, where nothing is learned.
            pm.Potential("moves", (counts * log_hazard - days * pm.math.exp(log_hazard)).sum())
        return model

    def _density(self, history: StageHistory) -> StageDensity:
        from journeysim.bayes.stage_density import LogNormal, StageDensity

        rate, spread = self._log_normal_priors()
        return StageDensity.of(history, rate=LogNormal(*rate), spread=LogNormal(*spread))

    def _log_normal_priors(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """(mean, sd) of the logarithm of a typical rate, and of tau."""
        return (
            (-math.log(self.typical_days), math.log(self.typical_days_within) / SDS_OF_90_PERCENT),
            (math.log(self.segment_spread), math.log(self.segment_spread_within) / SDS_OF_90_PERCENT),
        )


def _check_moves(history: StageHistory) -> None:
    if not history.moves:
        raise InputError("StageModel: the history has no moves, so there is nothing to learn; check the log's stages.")

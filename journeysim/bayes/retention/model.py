"""RetentionModel: who stays, who buys again and what they are worth, learned from renewals or from purchases."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from journeysim.bayes.priors import sd_within
from journeysim.bayes.retention.churn_posterior import ChurnPosterior
from journeysim.bayes.retention.cohorts import CohortHistory
from journeysim.bayes.retention.draws import ParameterDraws
from journeysim.bayes.retention.families import BetaGeoNBD, GammaGamma, ShiftedBetaGeometric
from journeysim.bayes.retention.priors import Parameter, from_line
from journeysim.bayes.retention.purchase_posterior import PurchasePosterior
from journeysim.bayes.retention.purchases import PurchaseHistory
from journeysim.bayes.sampling import sample, versions
from journeysim.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.bayes.retention.pooling import Likelihood, PooledDensity, PooledPriors
    from journeysim.bayes.retention.priors import Range

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part:
    """One likelihood with its parameters and priors: churn, purchases or spend."""

    name: str
    parameters: tuple[Parameter, ...]
    spread: Range
    odds_ratio: float
    n_segments: int
    n_covariates: int

    def priors(self) -> PooledPriors:
        """Normal priors on the line."""
        from journeysim.bayes.retention.pooling import PooledPriors

        mean, sd = np.array([parameter.normal() for parameter in self.parameters]).T
        beta_sd = np.full(self.n_covariates, sd_within(self.odds_ratio))
        return PooledPriors(mean.copy(), sd.copy(), Parameter("spread", "log", self.spread).normal(), beta_sd)

    def density(self, likelihood: Likelihood) -> PooledDensity:
        """Log posterior density given a likelihood."""
        from journeysim.bayes.retention.pooling import PooledDensity

        return PooledDensity.of(likelihood, self.priors(), n_segments=self.n_segments)

    def draws(
        self,
        mu: FloatArray,
        tau: FloatArray,
        theta: FloatArray,
        beta: FloatArray,
        *,
        diverging: NDArray[np.bool_],
        energy: FloatArray | None = None,
    ) -> ParameterDraws:
        """Draws on the line as parameters in their units."""

        def natural(line: FloatArray) -> FloatArray:
            return np.stack([from_line(line[..., k], p.link) for k, p in enumerate(self.parameters)], axis=-1)

        return ParameterDraws(self.parameters, natural(theta), natural(mu), tau, beta, diverging, energy)

    def from_prior(self, n: int, rng: np.random.Generator) -> ParameterDraws:
        """One chain of n draws from the prior."""
        priors = self.priors()
        k = len(self.parameters)
        mu = rng.normal(priors.mean, priors.sd, (1, n, k))
        tau = np.exp(rng.normal(*priors.spread, (1, n, k))) if self.n_segments > 1 else np.empty((1, n, 0))
        theta = mu[..., None, :]
        if self.n_segments > 1:
            theta = theta + tau[..., None, :] * rng.normal(size=(1, n, self.n_segments, k))
        beta = rng.normal(0, priors.beta_sd, (1, n, self.n_covariates))
        return self.draws(mu, tau, theta, beta, diverging=np.zeros((1, n), bool))


@dataclass(frozen=True, slots=True)
class RetentionModel:
    """The one model of retention; the history says which kind it is.

    A `CohortHistory` (contracts: who leaves says so) is fitted by the shifted beta-geometric model, a
    `PurchaseHistory` (no contract: who leaves falls silent) by BG/NBD, and its values, if it has any, by Gamma-Gamma.
    Segments are partially pooled: each parameter is normal between segments on its log or log-odds scale, with a
    spread whose prior has no mass at zero. `docs/retention-model.md` says what the models cannot represent.

    Attributes
    ----------
    churn, purchases, spend : the parts with their priors
    """

    churn: ShiftedBetaGeometric = field(default_factory=ShiftedBetaGeometric)
    purchases: BetaGeoNBD = field(default_factory=BetaGeoNBD)
    spend: GammaGamma = field(default_factory=GammaGamma)

    @overload
    def fit(
        self, history: CohortHistory, *, seed: int, draws: int = ..., warmup: int = ..., chains: int = ...,
        progress: bool = ...,
    ) -> ChurnPosterior: ...  # fmt: skip
    @overload
    def fit(
        self, history: PurchaseHistory, *, seed: int, draws: int = ..., warmup: int = ..., chains: int = ...,
        progress: bool = ...,
    ) -> PurchasePosterior: ...  # fmt: skip
    def fit(
        self,
        history: CohortHistory | PurchaseHistory,
        *,
        seed: int,
        draws: int = 1000,
        warmup: int = 500,
        chains: int = 4,
        progress: bool = False,
    ) -> ChurnPosterior | PurchasePosterior:
        """Sample the parameters given a history, by NUTS.

        The cost grows with the number of *cells* (distinct renewals, or distinct x, t_x and T), not of customers.

        Parameters
        ----------
        seed : same seed, same versions, same draws, on any number of cores; 0 <= seed < 2**64
        draws, warmup : per chain; at least 4 draws, which R-hat needs
        chains : at least 2, for only several can disagree
        progress : show the sampler's progress if standard error is a terminal

        Raises
        ------
        InputError : a setting is out of range, or values of purchases are not above 0
        """
        drawn = []
        for i, (part, likelihood) in enumerate(self.parts(history)):
            density = part.density(likelihood)
            # the parts are independent, and so must be their random numbers
            by_nuts = sample(
                density, where="RetentionModel.fit", seed=seed if i == 0 else seed ^ 2**63, draws=draws, warmup=warmup,
                chains=chains, progress=progress,
            )  # fmt: skip
            found = density.parameters(by_nuts.points)
            drawn.append(part.draws(*found, diverging=by_nuts.diverging, energy=by_nuts.energy))
        return self._posterior(history, drawn, seed=seed, warmup=warmup)

    @overload
    def prior_predictive(self, history: CohortHistory, *, seed: int, draws: int = ...) -> ChurnPosterior: ...
    @overload
    def prior_predictive(self, history: PurchaseHistory, *, seed: int, draws: int = ...) -> PurchasePosterior: ...
    def prior_predictive(
        self, history: CohortHistory | PurchaseHistory, *, seed: int, draws: int = 1000
    ) -> ChurnPosterior | PurchasePosterior:
        """What the priors say before any customer is seen, with every answer about new customers that a posterior has.

        Of the history only the segments, units and covariates are used.
        """
        rng = np.random.default_rng(seed)
        drawn = [part.from_prior(draws, rng) for part, _ in self.parts(history)]
        return self._posterior(history, drawn, seed=seed, warmup=0)

    def pymc_model(self, history: CohortHistory | PurchaseHistory) -> Any:
        """The same model as a `pymc.Model`, to read, to vary and to check the compiled density against."""
        from journeysim.bayes.retention.reference import pymc_model

        return pymc_model(self, history)

    def parts(self, history: CohortHistory | PurchaseHistory) -> list[tuple[Part, Likelihood]]:
        """The independent likelihoods of a history, with their parameters and priors.

        Raises
        ------
        InputError : this is no history, or values of purchases are not above 0
        """
        n = len(history.segments) if isinstance(history, CohortHistory | PurchaseHistory) else 0
        if isinstance(history, CohortHistory):
            churn = self.churn
            n_covariates = len(history.covariate_names)
            part = Part("churn", churn.parameters(), churn.segment_spread, churn.odds_ratio, n, n_covariates)
            return [(part, churn.likelihood(history))]
        if not isinstance(history, PurchaseHistory):
            raise InputError(
                f"RetentionModel: a history is made by to_cohorts or to_purchase_history, got {type(history).__name__}."
            )
        bought, spend = self.purchases, self.spend
        part = Part("purchases", bought.parameters(history), bought.segment_spread, 1.0, n, 0)
        parts: list[tuple[Part, Likelihood]] = [(part, bought.likelihood(history))]
        if history.mean_value is not None:
            part = Part("spend", spend.parameters(), spend.segment_spread, 1.0, n, 0)
            parts.append((part, spend.likelihood(history)))
        return parts

    def _posterior(
        self, history: CohortHistory | PurchaseHistory, drawn: list[ParameterDraws], *, seed: int, warmup: int
    ) -> ChurnPosterior | PurchasePosterior:
        provenance: dict[str, Any] = {"priors": asdict(self), "seed": seed, "warmup": warmup, "versions": versions()}
        if isinstance(history, CohortHistory):
            return ChurnPosterior(parameters=drawn[0], history=history, **provenance)
        both = drawn[0].and_of(drawn[1]) if len(drawn) > 1 else drawn[0]
        return PurchasePosterior(parameters=both, history=history, **provenance)

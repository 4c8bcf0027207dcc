"""InfluenceModel: what each contact adds to the hazard of moving on, learned from touches and moves."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from journeysim.bayes.arviz_versions import import_arviz
from journeysim.bayes.influence_posterior import InfluencePosterior
from journeysim.bayes.priors import check_settings, log_normal
from journeysim.bayes.sampling import sample, versions
from journeysim.errors import InputError
from journeysim.influence_history import InfluenceHistory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.bayes.hidden_density import HiddenDensity, HiddenPriors
    from journeysim.bayes.influence_density import InfluenceDensity, Priors
    from journeysim.bayes.influence_em import Start

    FloatArray = NDArray[np.float64]

MOST_PERSONAS: Final = 5
TARGET_ACCEPT: Final = 0.95
"""The pull of a channel that does nothing has a long tail towards 0, in which longer steps diverge now and then."""


@dataclass(frozen=True, slots=True)
class InfluenceModel:
    """Additive hazards: moves happen by themselves, and each contact opens one more hazard, which fades.

    A contact on channel c, made at time u in stage s by a customer of segment g who had n contacts on c before, adds to
    the hazard of the pushed move, for as long as the customer stays in s,

        A d exp(-d (t - u)),   d = ln 2 / half_life[c],   A = -ln(1 - pull[c, s] appeal[g, c] fatigue[c]^n)

    so `pull` is the probability that the contact, left alone, moves a customer of a typical segment on. All other moves
    have plain hazards, pooled over segments as in `StageModel`. Priors, in units a person can judge:

        pull[c, s]     ~ Exponential(mean m[c]): 0 is as likely as any small pull, so that a channel may do nothing
        m[c]           ~ LogNormal(median typical_pull)
        half_life[c]   ~ LogNormal(median typical_half_life_days)
        -ln fatigue[c] ~ Exponential(mean repeat_loss)
        appeal[g, c]   ~ LogNormal(median 1, sd of the log appeal_spread)

    "..._within" is the factor within which, up or down, a prior puts 90% of its mass. With hidden personas, every
    customer belongs to one of K classes that no column of the log names, slowest first; share[g] ~ Dirichlet(2, ...),

        log pace[k] / pace[k - 1] ~ HalfNormal(pace_spread)   on base hazards of forward moves
        log patience[k]           ~ Normal(0, patience_spread) divides hazards of exits
        log reach[k, c]           ~ Normal(0, reach_spread)    on rates of contacts

    as ratios to the first class. `docs/influence-model.md` says what the model cannot represent.

    Attributes
    ----------
    pull_by_stage : one pull per channel and stage, or one per channel
    fatigue : whether repeats may lose pull; if not, fatigue is 1
    appeal : whether segments may answer differently to a channel; if not, or with one segment, appeal is 1
    typical_pull : probability that a typical contact moves a customer on; in (0, 1)
    typical_half_life_days : days after which half of the influence of a contact is gone; > 0
    repeat_loss : share of its pull that a channel loses, on average, by one more contact; > 0
    appeal_spread : 0.3 means that segments differ by some 30% in how they answer to a channel; > 0
    typical_days, segment_spread : as in `StageModel`
    hidden_personas : K, how many classes of customers differ in pace, patience and reach; 1 for none, at most 5.
        `choose_hidden_personas` tells how many a log asks for. The fit's cost then grows with the customers
    pace_spread, patience_spread, reach_spread : 1 means that personas differ by some factor of e; > 0
    """

    pull_by_stage: bool = True
    fatigue: bool = True
    appeal: bool = True
    typical_pull: float = 0.03
    typical_pull_within: float = 10.0
    typical_half_life_days: float = 3.0
    typical_half_life_within: float = 10.0
    repeat_loss: float = 0.1
    appeal_spread: float = 0.3
    typical_days: float = 30.0
    typical_days_within: float = 100.0
    segment_spread: float = 0.3
    segment_spread_within: float = 3.2
    hidden_personas: int = 1
    pace_spread: float = 1.0
    patience_spread: float = 0.5
    reach_spread: float = 1.0

    def __post_init__(self) -> None:
        switches = ("pull_by_stage", "fatigue", "appeal", "hidden_personas")
        check_settings("InfluenceModel", {name: value for name, value in asdict(self).items() if name not in switches})
        if self.typical_pull >= 1:
            raise InputError(f"InfluenceModel: typical_pull must be a probability below 1, got {self.typical_pull!r}.")
        if not (isinstance(self.hidden_personas, int) and 1 <= self.hidden_personas <= MOST_PERSONAS):
            raise InputError(
                f"InfluenceModel: hidden_personas must be an integer from 1 to {MOST_PERSONAS}, "
                f"got {self.hidden_personas!r}."
            )

    def fit(
        self,
        history: InfluenceHistory,
        *,
        seed: int,
        draws: int = 1000,
        warmup: int = 500,
        chains: int = 4,
        progress: bool = False,
    ) -> InfluencePosterior:
        """Sample all parameters given a history, by NUTS from where EM ends.

        The cost grows with the moves that happened after contacts, and with nothing else of the log; with hidden
        personas, with all customers but those who never left the stage they began in.

        Parameters
        ----------
        history : what was not met gets its prior: see `InfluencePosterior.unmet`
        seed : same seed, same versions, same draws, on any number of cores; 0 <= seed < 2**64
        draws, warmup : per chain; at least 4 draws, which R-hat needs
        chains : at least 2, for only several can disagree
        progress : show the sampler's progress if standard error is a terminal

        Raises
        ------
        InputError : if a setting is out of its range, the history has no pushed move, or it does not keep its
            customers, whom hidden personas need
        """
        from journeysim.bayes.hidden_density import HiddenDensity
        from journeysim.bayes.hidden_draws import HiddenDraws
        from journeysim.bayes.influence_density import influence
        from journeysim.bayes.whitening import whitened

        density: InfluenceDensity | HiddenDensity
        if self.hidden_personas > 1:
            density, at = self._hidden_density(history)
        else:
            density, start = self._density(history)
            at = density.start(start)
        round_density = whitened(density, at)
        drawn = sample(
            round_density,
            where="InfluenceModel.fit",
            seed=seed,
            draws=draws,
            warmup=warmup,
            chains=chains,
            progress=progress,
            target_accept=TARGET_ACCEPT,
        )
        points = round_density.points(drawn.points)
        p = density.parameters(points)
        n_places = len(history.pushed_stages)
        return InfluencePosterior(
            history=history,
            hazards_by_chain=np.exp(p.log_hazard),
            typical_by_chain=np.exp(p.log_typical),
            spread_by_chain=p.spread,
            pull_by_chain=np.repeat(
                -np.expm1(-influence(np.exp(p.log_pull))), n_places // p.log_pull.shape[-1], axis=-1
            ),
            typical_pull_by_chain=np.exp(p.log_typical_pull),
            half_life_by_chain=np.exp(p.log_half_life),
            fatigue_by_chain=np.exp(-p.repeat_loss) if self.fatigue else None,
            appeal_by_chain=np.exp(p.log_appeal) if self.appeal and len(history.stages.segments) > 1 else None,
            hidden=HiddenDraws.of(density.classes(points)) if isinstance(density, HiddenDensity) else None,
            diverging=drawn.diverging,
            energy=drawn.energy,
            priors=asdict(self),
            seed=seed,
            warmup=warmup,
            versions=versions(),
        )

    def pymc_model(self, history: InfluenceHistory) -> Any:
        """The same model as a `pymc.Model`, to read, to vary and to check the compiled density against.

        Raises
        ------
        InputError : as `fit`
        """
        hidden = self._hidden_density(history)[0] if self.hidden_personas > 1 else None
        density = self._density(history)[0] if hidden is None else hidden.influence
        import_arviz()
        import pymc as pm
        import pytensor.tensor as pt

        from journeysim.bayes.hidden_reference import mixture
        from journeysim.bayes.influence_kernels import BENDS_AT

        d, priors = density.observed, density.priors
        segments, moves = history.stages.segments, history.stages.moves
        coords = {
            "segment": segments,
            "move": [f"{origin} -> {target}" for origin, target in moves],
            "channel": history.channels,
            "place": history.pushed_stages if self.pull_by_stage else ("all stages",),
        }
        with pm.Model(coords=coords) as model:
            mu = pm.Normal("mu", *priors.rate, dims="move")
            if len(segments) > 1:
                tau = pm.LogNormal("tau", *priors.spread, dims="move")
                log_hazard = pm.Normal("log_hazard", mu, tau, dims=("segment", "move"))
            else:
                log_hazard = pm.Deterministic("log_hazard", mu[None, :], dims=("segment", "move"))
            typical_pull = pm.LogNormal("typical_pull", *priors.pull, dims="channel")
            pull = pm.Exponential("pull", scale=typical_pull[:, None], dims=("channel", "place"))
            half_life = pm.LogNormal("half_life", *priors.half_life, dims="channel")
            product = pull[d.channel, d.place]
            if density.fatigue:
                loss = pm.Exponential("repeat_loss", scale=priors.repeat_loss, dims="channel")
                product *= pm.math.exp(-d.repeat * loss[d.channel])
            if density.appeal:
                log_appeal = pm.Normal("log_appeal", 0.0, priors.appeal_spread, dims=("segment", "channel"))
                product *= pm.math.exp(log_appeal[d.segment, d.channel])
            influence = pt.switch(
                product < BENDS_AT,
                -pt.log1p(-pt.minimum(product, BENDS_AT)),
                -math.log(1 - BENDS_AT) + (product - BENDS_AT) / (1 - BENDS_AT),
            )
            decay = math.log(2) / half_life
            to_come = (d.age_weights * pm.math.exp(-decay[d.channel][:, None] * d.ages)).sum(axis=1)
            delta = decay[d.channel][d.cell]
            opened = influence[d.cell] * delta * pm.math.exp(-delta * d.age)
            pm.Potential("contacts", -(influence * (d.contacts - to_come)).sum())  # what led to nothing
            if hidden is not None:
                pm.Potential("plain", (d.plain * log_hazard).sum())
                pm.Potential("customers", mixture(hidden, log_hazard, opened))
                return model
            of_move = np.repeat(np.arange(len(d.move)), np.diff(d.first))
            by_move = pt.exp(log_hazard.flatten()[d.move])
            by_move = by_move[of_move].inc(opened)
            # Poisson, written out, as in StageModel; then moves after contacts
            pm.Potential("plain", (d.plain * log_hazard - d.exposure * pm.math.exp(log_hazard)).sum())
            pm.Potential("moves", pm.math.log(by_move).sum())
        return model

    def describe_priors(self) -> str:
        """The priors in words, in probabilities, days and factors."""
        from journeysim.bayes.influence_prior import in_words

        return in_words(self)

    def prior(self, history: InfluenceHistory, *, seed: int, draws: int = 1000) -> InfluencePosterior:
        """Draws of all parameters before any data, for the names of a history, as one chain.

        `journeysim.bayes.influence_prior.influence_prior_table` puts what they say of the contacts of a log in shares.

        Raises
        ------
        InputError : this is no history, or it has no pushed move
        """
        from journeysim.bayes.influence_prior import prior_draws

        _require_moves(history)
        return prior_draws(self, history, seed=seed, draws=draws)

    def priors(self) -> Priors:
        """The priors as means and standard deviations of logarithms, as the density takes them."""
        from journeysim.bayes.influence_density import Priors

        return Priors(
            rate=log_normal(1 / self.typical_days, self.typical_days_within),
            spread=log_normal(self.segment_spread, self.segment_spread_within),
            pull=log_normal(self.typical_pull, self.typical_pull_within),
            half_life=log_normal(self.typical_half_life_days, self.typical_half_life_within),
            repeat_loss=self.repeat_loss,
            appeal_spread=self.appeal_spread,
        )

    def hidden_priors(self) -> HiddenPriors:
        """The priors of hidden personas, as the density takes them."""
        from journeysim.bayes.hidden_density import HiddenPriors

        return HiddenPriors(self.pace_spread, self.patience_spread, self.reach_spread)

    def _hidden_density(self, history: InfluenceHistory) -> tuple[HiddenDensity, FloatArray]:
        """The density with hidden personas, and where EM ended."""
        from journeysim.bayes.hidden_density import HiddenDensity
        from journeysim.bayes.hidden_em import hidden_em
        from journeysim.bayes.influence_density import InfluenceDensity

        _require_moves(history)
        require_customers(history)
        start = hidden_em(
            history,
            self.hidden_personas,
            half_life_days=self.typical_half_life_days,
            pull_by_stage=self.pull_by_stage,
        )
        inner = InfluenceDensity.of(
            history,
            self.priors(),
            start.start,
            pull_by_stage=self.pull_by_stage,
            fatigue=self.fatigue,
            appeal=self.appeal,
            exposure=start.exposure,
        )
        density = HiddenDensity.of(inner, history, self.hidden_personas, self.hidden_priors())
        return density, density.start(start)

    def _density(self, history: InfluenceHistory) -> tuple[InfluenceDensity, Start]:
        from journeysim.bayes.influence_density import InfluenceDensity
        from journeysim.bayes.influence_em import expectation_maximisation

        _require_moves(history)
        start = expectation_maximisation(
            history, half_life_days=self.typical_half_life_days, pull_by_stage=self.pull_by_stage
        )
        density = InfluenceDensity.of(
            history, self.priors(), start, pull_by_stage=self.pull_by_stage, fatigue=self.fatigue, appeal=self.appeal
        )
        return density, start


def require_customers(history: InfluenceHistory) -> None:
    """Raise InputError unless this is a history, which keeps its customers."""
    _require_history(history)
    if history.customers is None:
        raise InputError(
            "Hidden personas are told by what each customer did, which this history does not keep; "
            "make it with to_influence_history(log, customers=True)."
        )


def _require_history(history: InfluenceHistory) -> None:
    if not isinstance(history, InfluenceHistory):
        raise InputError(
            f"InfluenceModel: a history is made by to_influence_history(log), got {type(history).__name__}."
        )


def _require_moves(history: InfluenceHistory) -> None:
    from journeysim.bayes.stages import check_moves

    _require_history(history)
    check_moves(history.stages, "InfluenceModel")
    bought = {target for _, target in history.stages.moves} & set(history.stages.purchase_stages)
    if not bought:
        raise InputError(
            "InfluenceModel: nobody bought, so nothing tells how contacts lead to a purchase; check that the log has "
            "purchases, or observe its customers longer."
        )
    if not (history.pushed >= 0).any():
        raise InputError("InfluenceModel: the history has no move that contacts could have caused.")

"""StageModel: how fast customers of each segment make each move, learned from counts and days at risk."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from journeysim.bayes.arviz_versions import import_arviz
from journeysim.bayes.posterior import Posterior
from journeysim.bayes.priors import LogNormal, check_settings, hazards_in_words, log_normal, sd_within
from journeysim.bayes.sampling import sample, versions
from journeysim.bayes.stage_effects import DIRECTIONS, StageEffects, StagePriors
from journeysim.errors import InputError
from journeysim.stage_history import StageHistory

if TYPE_CHECKING:
    from journeysim.bayes.panel_density import PanelDensity
    from journeysim.bayes.stage_density import StageDensity
    from journeysim.panel_history import PanelHistory


@dataclass(frozen=True, slots=True)
class StageModel:
    """Competing hazards of the moves of each segment, log-normally pooled over segments.

        counts[cell, m] ~ Poisson(h[cell, m] * days of the cell in the origin of m)
        log h[cell, m]  = mu[m] + deviation of the segment + steps up to the bin + factors of the covariate classes
        exp(mu[m])      ~ LogNormal(median 1 / typical_days)
        deviation[g, m] ~ Normal(0, tau[m]),  tau[m] ~ LogNormal(median segment_spread)

    Crossed attributes add an effect of each level to the deviation of the combination, each with its own tau. Steps and
    factors are there where the history has bins and covariates. With one segment there is no deviation. The prior of
    tau has no mass at zero, so that the posterior has no funnel there (Chung et al. 2013). Each prior is given by its
    median and by the factor within which, up or down, it puts 90% of its mass. `docs/stage-model.md` has every formula
    and says what the model cannot represent.

    Attributes
    ----------
    typical_days : days until a typical move, were it the only one; > 0
    typical_days_within : 90% of moves take between typical_days / this and typical_days * this; > 1
    segment_spread : standard deviation of log hazards between segments: 0.3 means that segments differ by some 30%; > 0
    segment_spread_within : as typical_days_within, for segment_spread; > 1
    bin_factor_within : 90% of hazards change by less than this factor from one bin of time in stage to the next; > 1
    covariate_factor_within : 90% of classes multiply the hazards of a direction by less than this factor; > 1
    covariate_spread : standard deviation of a class's log factor between moves of one direction; > 0
    covariate_spread_within : as typical_days_within, for covariate_spread; > 1
    """

    typical_days: float = 30.0
    typical_days_within: float = 100.0
    segment_spread: float = 0.3
    segment_spread_within: float = 3.2
    bin_factor_within: float = 3.0
    covariate_factor_within: float = 4.0
    covariate_spread: float = 0.3
    covariate_spread_within: float = 3.2

    def __post_init__(self) -> None:
        check_settings("StageModel", asdict(self))

    def fit(
        self,
        history: StageHistory | PanelHistory,
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
        history : counts of moves and days at risk; a segment that never was in a stage gets the prior there. Or pairs
            of visits, whose cost grows with the number of distinct intervals between them
        seed : same seed, same versions, same draws, on any number of cores; 0 <= seed < 2**64
        draws, warmup : per chain; at least 4 draws, which R-hat needs
        chains : at least 2, for only several can disagree
        progress : show the sampler's progress if standard error is a terminal

        Raises
        ------
        InputError : if a setting is out of its range, the history has no move, or nobody ever left a stage before the
            first purchase (later ones may be for good; `Posterior.notes` names them)
        """
        density: StageDensity | PanelDensity
        history, panel = _counts_and_panel(history)
        effects = StageEffects.of(history, self.log_priors())
        if panel is None:
            density = self._density(effects)
        else:
            from journeysim.bayes.panel_density import PanelDensity

            density = PanelDensity.of(panel, effects)
        drawn = sample(
            density, where="StageModel.fit", seed=seed, draws=draws, warmup=warmup, chains=chains, progress=progress
        )
        scales, shared, values = density.coordinates.parameters(drawn.points)
        return Posterior(
            history=history,
            hazards_by_chain=np.exp(effects.log_hazards(values)),
            typical_by_chain=np.exp(values[..., -1]),
            spread_by_chain=scales[..., : len(history.moves)] if effects.segments.stop else None,
            more=effects.named(scales, shared, values),
            diverging=drawn.diverging,
            energy=drawn.energy,
            priors=asdict(self),
            seed=seed,
            warmup=warmup,
            versions=versions(),
            seen_at_visits=panel is not None,
        )

    def pymc_model(self, history: StageHistory | PanelHistory) -> Any:
        """The same model as a `pymc.Model`, to read, to vary and to check the compiled density against.

        Raises
        ------
        InputError : as `fit`
        """
        history, panel = _counts_and_panel(history)
        import_arviz()
        import pymc as pm

        priors, effects = self.log_priors(), StageEffects.of(history, self.log_priors())
        cells = history.cells
        coords: dict[str, Any] = {
            "segment": history.segments,
            "move": [f"{origin} -> {target}" for origin, target in history.moves],
            "later_bin": cells.bins[1:],
            "direction": DIRECTIONS,
        }
        direction = [DIRECTIONS.index(name) for name in history.directions]
        with pm.Model(coords=coords) as model:
            mu = pm.Normal("mu", priors.rate.mean, priors.rate.sd, dims="move")
            mean = mu[None, :]
            for a, attribute in enumerate(history.attributes):
                model.add_coord(attribute, list(dict.fromkeys(levels[a] for levels in history.levels)))
                spread = pm.LogNormal(f"tau_{attribute}", priors.spread.mean, priors.spread.sd, dims="move")
                effect = pm.Normal(f"effect_{attribute}", 0, spread, dims=(attribute, "move"))
                mean = mean + effect[effects.attribute_levels[:, a]]
            if len(history.segments) > 1:
                tau = pm.LogNormal("tau", priors.spread.mean, priors.spread.sd, dims="move")
                log_hazard = pm.Normal("log_hazard", mean, tau, dims=("segment", "move"))
            else:
                log_hazard = pm.Deterministic("log_hazard", mean, dims=("segment", "move"))
            eta = log_hazard[:, None, None, :]
            if len(cells.edges_days) > 1:
                step = pm.Normal("bin_step", 0, priors.bin_sd, dims=("later_bin", "move"))
                since_entry = pm.math.concatenate([np.zeros((1, len(history.moves))), pm.math.cumsum(step, axis=0)])
                eta = eta + since_entry[None, :, None, :]
            sizes = [len(classes) for _, classes in cells.covariates]
            of_combination = np.unravel_index(np.arange(int(np.prod(sizes, dtype=int))), sizes) if sizes else ()
            for (name, classes), chosen in zip(cells.covariates, of_combination, strict=True):
                model.add_coord(f"class {name}", classes[1:])
                typical = pm.Normal(f"typical {name}", 0, priors.covariate_sd, dims=("direction", f"class {name}"))
                between = pm.LogNormal(f"tau {name}", priors.covariate_spread.mean, priors.covariate_spread.sd)
                factor = pm.Normal(f"factor {name}", typical[direction].T, between, dims=(f"class {name}", "move"))
                with_reference = pm.math.concatenate([np.zeros((1, len(history.moves))), factor])
                eta = eta + with_reference[chosen][None, None, :, :]
            if panel is not None:
                pm.Potential("visits", _log_likelihood_of_visits(panel, history, pm.math.exp(log_hazard)))
                return model
            # Poisson, written out: it takes weighted counts, and cells without exposure, where nothing is learned.
            days = cells.exposure_days[..., history.origins]
            pm.Potential("moves", (cells.counts * eta - days * pm.math.exp(eta)).sum())
        return model

    def describe_priors(self) -> str:
        """The priors in words, in days and factors."""
        return "\n".join(
            (
                *hazards_in_words(
                    self.typical_days, self.typical_days_within, self.segment_spread, self.segment_spread_within
                ),
                f"From one bin of time in stage to the next, 90% of hazards change by less than a factor of "
                f"{self.bin_factor_within:g}.",
                f"A class of a covariate multiplies the hazards of a direction of moves by less than "
                f"{self.covariate_factor_within:g}, or divides them, with 90% probability; single moves differ from "
                f"that by a factor of {math.exp(self.covariate_spread):.2f}.",
            )
        )

    def prior(self, history: StageHistory | PanelHistory, *, seed: int, draws: int = 1000) -> Posterior:
        """Draws of the hazards before any data, for the segments, stages and moves of a history, as one chain.

        What `forecast(..., require_converged=False)` makes of them is what the priors say of conversion.
        """
        history, panel = _counts_and_panel(history)
        effects = StageEffects.of(history, self.log_priors())
        rng = np.random.default_rng(seed)
        normal = rng.normal(size=(1, draws, len(effects.scale_prior)))
        scales = np.exp(effects.scale_prior[:, 0] + effects.scale_prior[:, 1] * normal)
        shared = effects.shared_sd * rng.normal(size=(1, draws, len(effects.shared_sd)))
        nothing = np.zeros((1, draws, 1))
        sd = np.where(effects.scale_of < 0, effects.sd, np.append(scales, nothing, -1)[..., effects.scale_of])
        mean = np.where(effects.shared_of < 0, effects.mean, np.append(shared, nothing, -1)[..., effects.shared_of])
        values = mean + sd * rng.normal(size=sd.shape)
        return Posterior(
            history=history,
            hazards_by_chain=np.exp(effects.log_hazards(values)),
            typical_by_chain=np.exp(values[..., -1]),
            spread_by_chain=scales[..., : len(history.moves)] if effects.segments.stop else None,
            more=effects.named(scales, shared, values),
            diverging=np.zeros((1, draws), dtype=np.bool_),
            priors=asdict(self),
            seed=seed,
            warmup=0,
            versions=versions(),
            seen_at_visits=panel is not None,
        )

    def log_priors(self) -> StagePriors:
        """The priors on the log scale, on which the model is normal."""
        return StagePriors(
            rate=LogNormal(-math.log(self.typical_days), sd_within(self.typical_days_within)),
            spread=log_normal(self.segment_spread, self.segment_spread_within),
            bin_sd=sd_within(self.bin_factor_within),
            covariate_sd=sd_within(self.covariate_factor_within),
            covariate_spread=log_normal(self.covariate_spread, self.covariate_spread_within),
        )

    def _density(self, effects: StageEffects) -> StageDensity:
        from journeysim.bayes.stage_density import StageDensity

        return StageDensity.of(effects)


def _counts_and_panel(history: StageHistory | PanelHistory) -> tuple[StageHistory, PanelHistory | None]:
    """The counts of a history that can be fitted, and the pairs of visits if that is what it is."""
    from journeysim.panel_history import PanelHistory

    panel = history if isinstance(history, PanelHistory) else None
    counts = history if panel is None else panel.as_if_seen()
    if not isinstance(counts, StageHistory):
        raise InputError(
            "StageModel: a history is made by to_stage_history(log), or by to_panel_history for visits, got "
            f"{type(history).__name__}."
        )
    check_moves(counts)
    return counts, panel


def _log_likelihood_of_visits(panel: PanelHistory, history: StageHistory, hazards: Any) -> Any:
    """Log-likelihood of pairs of visits as a PyTensor expression of hazards (G, M)."""
    import pytensor.tensor as pytensor_tensor

    pt: Any = pytensor_tensor

    n = len(history.stages) + 1
    move = np.arange(len(history.moves))
    into, out = np.zeros((2, len(move), n, n))
    into[move, history.origins, history.targets] = 1.0
    out[move, history.origins, history.origins] = 1.0
    parts = []
    for g, days in sorted({(int(g), float(t)) for g, t in zip(panel.segment, panel.interval_days, strict=True)}):
        entering = pt.tensordot(hazards[g], into, axes=1)
        P = pt.linalg.expm((entering - pt.tensordot(hazards[g], out, axes=1)) * days)
        for at_once, p in ((False, P), (True, pt.dot(P, entering))):
            k = np.flatnonzero((panel.segment == g) & (panel.interval_days == days) & (panel.exact == at_once))
            if len(k):
                parts.append((panel.weight[k] * pt.log(p[panel.origin[k], panel.target[k]])).sum())
    return pt.stack(parts).sum()


def check_moves(history: StageHistory, model: str = "StageModel") -> None:
    """Raise InputError if nobody moves, or nobody was seen to leave a stage before the first purchase."""
    if not history.moves:
        raise InputError(f"{model}: the history has no moves, so there is nothing to learn; check the log's stages.")
    left = {origin for origin, _ in history.moves}
    first = min(map(history.stages.index, history.purchase_stages), default=0)
    for name, days in zip(history.stages[:first], history.exposure_days.sum(axis=0), strict=False):
        if name not in left and days > 0:
            raise InputError(
                f"{model}: nobody was seen to leave stage {name!r} in {days:,.4g} customer-days, so nothing tells "
                "how its customers go on to a purchase; observe them longer, or merge the stage with the one before."
            )

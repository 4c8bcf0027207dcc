"""fit_world: a log in, a posterior of worlds out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from journeysim.bayes.hidden_choice import choose_hidden_personas
from journeysim.bayes.influence import InfluenceModel
from journeysim.bayes.influence_causes import chosen_draws
from journeysim.bayes.priors import HALF_A_CONTACT, contacts_prior
from journeysim.errors import InputError
from journeysim.events import EventLog
from journeysim.influence_history import influence_history
from journeysim.moves import LOST
from journeysim.parts import Basket, Channel, Persona, Stage
from journeysim.spec import World
from journeysim.stays import to_stays
from journeysim.twin.ingredients import Ingredients, to_ingredients

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from journeysim.bayes.influence_posterior import InfluencePosterior

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

LARGEST_PULL = 1 - 1e-9
LONGEST_HALF_LIFE = 3650.0  # the longest that a World takes; within any window it is forever
STARTS_PER_DAY = 1e4  # leaving the added first stage takes nine seconds


@dataclass(frozen=True, slots=True, eq=False)
class Twin:
    """A posterior of worlds: draws of all that a log leaves open, each of them a world for every segment.

    Attributes
    ----------
    posterior : base hazards, pulls, half-lives, fatigue and appeal
    ingredients : what else a world needs
    """

    posterior: InfluencePosterior
    ingredients: Ingredients

    @property
    def segments(self) -> tuple[str, ...]:
        """The G segment names."""
        return self.posterior.segments

    @property
    def hidden_personas(self) -> int:
        """How many personas each of its worlds has; 1: customers of a segment are alike."""
        return 1 if self.posterior.hidden is None else self.posterior.hidden.n_personas

    def worlds(self, n: int, *, seed: int) -> tuple[list[dict[str, World]], FloatArray]:
        """As `worlds_from`."""
        return worlds_from(self.posterior, self.ingredients, n, seed=seed)


def fit_world(
    log: EventLog,
    *,
    seed: int,
    by: str | None = None,
    pushes_to: Mapping[str, str] | None = None,
    model: InfluenceModel | None = None,
    hidden_personas: int | Literal["auto"] | None = None,
    draws: int = 1000,
    warmup: int = 500,
    **sampler: Any,
) -> Twin:
    """Fit the twin of a log.

    Small logs leave much open, and chains are slow where they do: a fit that has not converged is made once more with
    four times the draws and twice the warm-up.

    Parameters
    ----------
    by : column of `log.customers` to split by; None for one segment, `all`
    pushes_to : as in `to_influence_history`
    model : priors and switches of the influence model
    hidden_personas : classes of customers that no column names, see `InfluenceModel`; "auto" for 1 or 2, whichever
        `choose_hidden_personas` finds; by default what `model` says, or "auto" without a model
    draws, warmup, sampler : as in `InfluenceModel.fit`, with chains and progress

    Raises
    ------
    InputError : the log has no stages, touches or purchases, or the second fit did not converge either
    """
    if not isinstance(log, EventLog):
        raise InputError(f"fit_world takes an EventLog (read_log, read_events, simulate), got {type(log).__name__}.")
    stays = to_stays(log, by=by)
    ingredients = to_ingredients(log, stays, by=by)
    if hidden_personas is None:
        hidden_personas = "auto" if model is None else model.hidden_personas
    history = influence_history(stays, pushes_to=pushes_to, customers=hidden_personas != 1)
    model = model or InfluenceModel()
    if hidden_personas == "auto":
        hidden_personas = choose_hidden_personas(history, model=model).best
    if hidden_personas == 1:
        history = replace(history, customers=None)
    model = replace(model, hidden_personas=hidden_personas)
    posterior = model.fit(history, seed=seed, draws=draws, warmup=warmup, **sampler)
    if not posterior.diagnostics.ok:
        posterior = model.fit(history, seed=seed, draws=4 * draws, warmup=2 * warmup, **sampler)
    posterior.require_converged()
    return Twin(posterior, ingredients)


def worlds_from(
    posterior: InfluencePosterior, ingredients: Ingredients, n: int, *, seed: int
) -> tuple[list[dict[str, World]], FloatArray]:
    """N worlds per segment, and (N, G) shares of the segments, drawn from the posterior.

    Draws of the influence model are taken evenly from all chains. Given the log, all else is independent of them and
    has a posterior in closed form:

        contacts per day   gamma, prior worth half a contact at the rate of all segments; 0 where nobody had a contact
        basket             log-normal, its logarithm with Jeffreys' prior, one standard deviation for all segments
        shares, starts     Dirichlet with half a customer as prior

    A world holds one persona, the segment, or its hidden personas, whose rates of contacts are drawn with the influence
    model. Where journeys start in other stages than the first, a stage `start` is put before all others, and left
    within seconds. Stages that nobody ever reached are left out.

    Raises
    ------
    InputError : n is below 1 or above the number of draws
    """
    total = len(posterior.half_life)
    if not (isinstance(n, int | np.integer) and 1 <= n <= total):
        raise InputError(f"n is {n!r}; it must be from 1 to {total:,}, the draws of the posterior.")
    rng = np.random.default_rng(seed)
    history = posterior.history
    shares = rng.dirichlet(history.stages.starts.sum(axis=1) + 0.5, size=n)
    chosen = chosen_draws(posterior, n)
    if (hidden := posterior.hidden) is None:
        rates = _rates(history.contacts, history.stages.exposure_days, n, rng)
    else:
        # reach is 1 for the persona that meets a channel most: see `_Builder.personas`
        rates = hidden.rate[chosen] * hidden.reach[chosen].max(axis=1)[:, None, None, :]
    medians, log_sd = _baskets(ingredients, n, rng)
    builder = _Builder(posterior, ingredients)
    worlds = []
    for i, draw in enumerate(chosen):
        starts = [rng.dirichlet(builder.starts[g] + 0.5) for g in range(len(posterior.segments))]
        worlds.append(
            {
                name: builder.world(int(draw), g, rates[i, g], starts[g], float(medians[i, g]), float(log_sd[i]))
                for g, name in enumerate(posterior.segments)
            }
        )
    return worlds, shares


def _rates(contacts: FloatArray, days: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
    """(n, G, S, C) contacts per day."""
    met, prior_days = contacts_prior(contacts, days)
    drawn = rng.gamma(contacts + HALF_A_CONTACT, 1 / (days[..., None] + prior_days), size=(n, *contacts.shape))
    return np.where(met, drawn, 0.0)


def _baskets(x: Ingredients, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """(n, G) medians and (n,) standard deviations of the logarithm; 1 and 0 where no purchase has a value."""
    freedom = x.n_values.sum() - (x.n_values > 0).sum()
    if freedom < 1:
        known = np.where(x.n_values > 0, x.log_mean, x.log_mean.max() if x.n_values.any() else 0.0)
        return np.tile(np.exp(known), (n, 1)), np.zeros(n)
    sd = np.sqrt(x.log_squares / rng.chisquare(freedom, size=n))
    overall = (x.n_values * x.log_mean).sum() / x.n_values.sum()
    mean = np.where(x.n_values > 0, x.log_mean, overall)
    error = sd[:, None] / np.sqrt(np.maximum(x.n_values, 1.0))
    return np.exp(mean + error * rng.standard_normal((n, len(mean)))), np.minimum(sd, 3.0)


class _Builder:
    """What all worlds of a posterior share."""

    def __init__(self, posterior: InfluencePosterior, ingredients: Ingredients) -> None:
        self.posterior, self.ingredients = posterior, ingredients
        counts = posterior.history.stages
        begun = {counts.stages[s] for s in np.flatnonzero(counts.starts.sum(axis=0))}
        reached = set(begun)
        while more := {to for origin, to in counts.moves if origin in reached and to not in reached and to != LOST}:
            reached |= more
        self.stages = tuple(name for name in counts.stages if name in reached)
        self.begin = tuple(name for name in self.stages if name in begun)
        self.starts = counts.starts[:, [counts.stages.index(name) for name in self.begin]]
        self.first = None
        if self.begin != self.stages[:1]:
            self.first = next(name for name in ("start", *(f"start {i}" for i in range(200))) if name not in reached)

    def world(self, draw: int, g: int, rates: FloatArray, starts: FloatArray, median: float, log_sd: float) -> World:
        from journeysim.bayes.influence_density import influence, product_of

        posterior, x = self.posterior, self.ingredients
        history = posterior.history
        counts = history.stages
        appealing = product_of(posterior.pull[draw]) * posterior.appeal[draw][g][:, None]
        pull = np.minimum(-np.expm1(-influence(appealing)), LARGEST_PULL)  # (C, P)
        at = {name: counts.stages.index(name) for name in self.stages}
        personas, pace, patience = self.personas(draw, g)
        times = {"forward": pace, "back": 1.0, "exit": 1 / patience}
        hazards = posterior.hazards[draw, g] * [times[way] for way in counts.directions]
        stages = []
        if self.first is not None:
            there = {name: STARTS_PER_DAY * float(p) for name, p in zip(self.begin, starts, strict=True)}
            stages.append(Stage(name=self.first, moves_per_day=there))
        for name, s in at.items():
            ways = {to: float(hazards[m]) for m, (o, to) in enumerate(counts.moves) if o == name}
            pushed = counts.moves[history.pushed[s]][1] if history.pushed[s] >= 0 else None
            purchase = name in counts.purchase_stages
            stages.append(Stage(name=name, moves_per_day=ways, pushes_to=pushed, purchase=purchase))
        channels = [
            Channel(
                name=name,
                contacts_per_day={stage: float(rates[s, c]) for stage, s in at.items() if rates[s, c] > 0},
                pull={stage: float(pull[c, p]) for p, stage in enumerate(history.pushed_stages) if stage in at},
                half_life_days=min(float(posterior.half_life[draw, c]), LONGEST_HALF_LIFE),
                fatigue=float(posterior.fatigue[draw, c]),
                cost_per_contact=float(x.cost_per_contact[c]),
            )
            for c, name in enumerate(posterior.channels)
        ]
        return World(
            name=f"twin of {posterior.segments[g]}"[:80],
            currency=x.currency,
            stages=tuple(stages),
            channels=tuple(channels),
            personas=personas,
            basket=Basket(median=median, log_sd=log_sd),
            horizon_days=x.days,
        )

    def personas(self, draw: int, g: int) -> tuple[tuple[Persona, ...], float, float]:
        """Of a segment; and pace and patience that its base hazards must have.

        Multipliers of a world end at 100 and those of the model nowhere, so here they are ratios to the largest.
        """
        name, hidden = self.posterior.segments[g], self.posterior.hidden
        if hidden is None:
            return (Persona(name=name, share=1.0),), 1.0, 1.0
        share, reach = hidden.share[draw, g], hidden.reach[draw]
        pace, patience = hidden.pace[draw], hidden.patience[draw]
        personas = tuple(
            Persona(
                name=f"{name[:70]} {k + 1}",
                share=float(share[k] / share.sum()),
                pace=float(pace[k] / pace.max()),
                patience=float(patience[k] / patience.max()),
                reach=dict(zip(self.posterior.channels, (reach[k] / reach.max(axis=0)).tolist(), strict=True)),
            )
            for k in range(hidden.n_personas)
        )
        return personas, float(pace.max()), float(patience.max())

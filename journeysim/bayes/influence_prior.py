"""What the priors of an influence model say before any data: in words, as draws, and of the contacts of a log."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from journeysim.bayes.hidden_classes import Classes
from journeysim.bayes.hidden_density import SHARE_PRIOR
from journeysim.bayes.hidden_draws import HiddenDraws
from journeysim.bayes.influence_causes import contact_influence
from journeysim.bayes.influence_density import influence
from journeysim.bayes.influence_posterior import InfluencePosterior
from journeysim.bayes.priors import HALF_A_CONTACT, SDS_OF_90_PERCENT, contacts_prior, hazards_in_words
from journeysim.bayes.sampling import versions

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from journeysim.bayes.influence import InfluenceModel
    from journeysim.influence_history import InfluenceHistory

    FloatArray = NDArray[np.float64]


def in_words(model: InfluenceModel) -> str:
    """The priors in probabilities, days and factors."""
    m = model

    def of_100(factor: float) -> str:
        return f"{100 * _probability(np.array(m.typical_pull * factor)):.3g}"

    def within(spread: float) -> str:
        return f"a factor of {math.exp(SDS_OF_90_PERCENT * spread):.2f} with 90% probability"

    lines = [
        f"A contact on a typical channel, left alone, moves {of_100(1)} of 100 customers on; 90% of channels move "
        f"between {of_100(1 / m.typical_pull_within)} and {of_100(m.typical_pull_within)}. That a channel does nothing"
        f"{' in a stage' if m.pull_by_stage else ''} is as likely as any small effect.",
        f"Half of what a contact does is done after {m.typical_half_life_days:g} days, for 90% of channels after "
        f"between {m.typical_half_life_days / m.typical_half_life_within:.3g} and "
        f"{m.typical_half_life_days * m.typical_half_life_within:,.4g}.",
    ]
    if m.fatigue:
        most = -math.expm1(-m.repeat_loss * math.log(10))
        lines.append(
            f"One contact more on a channel costs it about {m.repeat_loss:.0%} of its pull, and less than {most:.0%} "
            "with 90% probability."
        )
    if m.appeal:
        lines.append(f"Segments answer to a channel alike within {within(m.appeal_spread)}.")
    lines += hazards_in_words(m.typical_days, m.typical_days_within, m.segment_spread, m.segment_spread_within)
    if m.hidden_personas > 1:
        lines.append(
            f"Each of {m.hidden_personas} hidden personas moves on faster than the one before, within "
            f"{within(m.pace_spread)}; compared with the slowest, they stay as long within "
            f"{within(m.patience_spread)}, and meet a channel as often within {within(m.reach_spread)}."
        )
    return "\n".join(lines)


def prior_draws(model: InfluenceModel, history: InfluenceHistory, *, seed: int, draws: int) -> InfluencePosterior:
    """One chain from the prior, for the segments, moves, channels and stages of a history."""
    rng = np.random.default_rng(seed)
    priors = model.priors()
    n_segments, n_moves = history.stages.counts.shape
    n_channels, n_places = len(history.channels), len(history.pushed_stages)
    lead, pooled = (1, draws), n_segments > 1
    mu = rng.normal(*priors.rate, (*lead, n_moves))
    spread = np.exp(rng.normal(*priors.spread, (*lead, n_moves))) if pooled else None
    log_hazard = np.repeat(mu[..., None, :], n_segments, axis=-2)
    if spread is not None:
        log_hazard = log_hazard + spread[..., None, :] * rng.normal(size=log_hazard.shape)
    typical_pull = np.exp(rng.normal(*priors.pull, (*lead, n_channels)))
    own = rng.exponential(size=(*lead, n_channels, n_places if model.pull_by_stage else 1))
    pull = _probability(typical_pull[..., None] * own)
    fatigue = np.exp(-priors.repeat_loss * rng.exponential(size=(*lead, n_channels)))
    appeal = np.exp(priors.appeal_spread * rng.normal(size=(*lead, n_segments, n_channels)))
    return InfluencePosterior(
        history=history,
        hazards_by_chain=np.exp(log_hazard),
        typical_by_chain=np.exp(mu),
        spread_by_chain=spread,
        pull_by_chain=pull if model.pull_by_stage else np.repeat(pull, n_places, axis=-1),
        typical_pull_by_chain=typical_pull,
        half_life_by_chain=np.exp(rng.normal(*priors.half_life, (*lead, n_channels))),
        fatigue_by_chain=fatigue if model.fatigue else None,
        appeal_by_chain=appeal if model.appeal and pooled else None,
        hidden=_hidden_draws(model, history, lead, rng) if model.hidden_personas > 1 else None,
        diverging=np.zeros(lead, dtype=np.bool_),
        priors=asdict(model),
        seed=seed,
        warmup=0,
        versions=versions(),
    )


def influence_prior_table(
    model: InfluenceModel, history: InfluenceHistory, *, seed: int, draws: int = 1000
) -> pl.DataFrame:
    """What the priors expect of the contacts that a log holds, before it is seen what came of them.

    Of the history only the contacts, how many there were before each, and days at risk are used. If the ranges are not
    what you believe, change the settings of the model.

    Returns
    -------
    One row per quantity; columns quantity, channel, low, median, high (5%, 50%, 95% of draws). Quantities: customers
    moved on by 100 contacts on a channel, were each left alone; how many of them within a day, in percent; and the
    share of all moves on that contacts cause, in percent, the others happening by themselves

    Raises
    ------
    InputError : as `InfluenceModel.prior`
    """
    import polars as pl

    prior = model.prior(history, seed=seed, draws=draws)
    segment, channel, stage, repeat = history.cells.T
    moved = np.empty((draws, len(history.channels)))
    by_contacts = np.empty(draws)
    contacts = np.bincount(channel, history.cell_contacts, len(history.channels))
    for i in range(draws):
        strength = contact_influence(prior, i, segment, channel, stage, repeat)
        acting = np.bincount(channel, history.cell_contacts * -np.expm1(-strength), len(contacts))
        moved[i] = np.divide(acting, contacts, out=np.full(len(contacts), np.nan), where=contacts > 0)
        left = np.exp(-math.log(2) / prior.half_life[i][channel][:, None] * history.ages)
        by_contacts[i] = strength @ (history.cell_contacts - (history.age_weights * left).sum(axis=1))
    pushed = history.pushed[history.pushed >= 0]
    days = history.stages.exposure_days[:, history.stages.origins[pushed]]
    pace = 1.0 if prior.hidden is None else (prior.hidden.share * prior.hidden.pace[:, None]).sum(axis=-1)[..., None]
    by_itself = (prior.hazards[..., pushed] * pace * days).sum(axis=(1, 2))
    quantities: list[tuple[str, str | None, FloatArray]] = []
    quantities += [("moved on by 100 contacts", name, 100 * moved[:, c]) for c, name in enumerate(history.channels)]
    for c, name in enumerate(history.channels):
        quantities.append(("% of them within a day", name, -100 * np.expm1(-math.log(2) / prior.half_life[:, c])))
    quantities.append(("% of moves on by contacts", None, 100 * by_contacts / (by_contacts + by_itself)))
    rows = [(what, name, *np.quantile(values, [0.05, 0.5, 0.95])) for what, name, values in quantities]
    return pl.DataFrame(rows, schema=["quantity", "channel", "low", "median", "high"], orient="row")


def _probability(product: FloatArray) -> FloatArray:
    """That a contact acts, of pull * appeal * fatigue^n."""
    probability: FloatArray = -np.expm1(-influence(product))
    return probability


def _hidden_draws(
    model: InfluenceModel, history: InfluenceHistory, lead: tuple[int, int], rng: np.random.Generator
) -> HiddenDraws:
    priors, k = model.hidden_priors(), model.hidden_personas
    met, prior_days = contacts_prior(history.contacts, history.stages.exposure_days)

    def to_the_first(values: FloatArray) -> FloatArray:
        return np.insert(values, 0, 0.0, axis=2)

    later = (*lead, k - 1)
    rate = rng.gamma(HALF_A_CONTACT, 1 / prior_days, (*lead, *met.shape)) * met
    with np.errstate(divide="ignore"):  # rates of 0
        return HiddenDraws.of(
            Classes(
                share=np.log(rng.dirichlet(np.full(k, SHARE_PRIOR), (*lead, len(met)))),
                pace=to_the_first(np.cumsum(priors.pace * np.abs(rng.normal(size=later)), axis=-1)),
                patience=to_the_first(priors.patience * rng.normal(size=later)),
                reach=to_the_first(priors.reach * rng.normal(size=(*later, len(history.channels)))),
                rate=np.log(rate),
            )
        )

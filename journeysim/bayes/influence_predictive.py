"""Moves drawn again from a fitted influence model, given the days at risk and the contacts that were observed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from journeysim.bayes.arviz_groups import Replications
from journeysim.bayes.influence_causes import chosen_draws, contact_influence

if TYPE_CHECKING:
    from journeysim.bayes.influence_posterior import InfluencePosterior


def moves_again(posterior: InfluencePosterior, draws: int = 400) -> Replications:
    """Moves of each segment, made and drawn again from some evenly spaced draws, as one chain.

    Given days at risk and contacts, the moves made are counts about the hazard that customers accumulated (a
    martingale; Aalen, Borgan & Gjessing 2008, ch. 2): base hazard times days, and of each contact the part of its
    influence that it had spent when its stay ended. The random numbers are those of the seed of the fit.
    """
    history, counts = posterior.history, posterior.history.stages.counts
    days = history.stages.exposure_days[:, history.stages.origins]
    segment, channel, stage, repeat = history.cells.T
    move = history.pushed[stage]
    chosen = chosen_draws(posterior, draws)
    expected = posterior.hazards[chosen] * days
    for i, draw in enumerate(chosen):
        influence = contact_influence(posterior, int(draw), segment, channel, stage, repeat)
        decay = (np.log(2) / posterior.half_life[draw])[channel]
        left = (history.age_weights * np.exp(-decay[:, None] * history.ages)).sum(axis=1)
        np.add.at(expected[i], (segment, move), influence * np.maximum(history.cell_contacts - left, 0.0))
    again = np.random.default_rng([posterior.seed, 1]).poisson(expected).reshape(1, len(chosen), -1)
    labels = [f"{name}: {a} -> {b}" for name in posterior.segments for a, b in posterior.moves]
    return Replications("moves made", "move of segment", labels, counts.ravel(), again)

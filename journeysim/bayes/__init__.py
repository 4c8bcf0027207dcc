"""Bayesian models of journeys. Importing this loads neither PyMC, ArviZ nor a compiler; a fit loads what it needs."""

from journeysim.bayes.diagnostics import Diagnostics
from journeysim.bayes.hidden_choice import HiddenPersonasChoice, choose_hidden_personas
from journeysim.bayes.influence import InfluenceModel
from journeysim.bayes.influence_posterior import InfluencePosterior
from journeysim.bayes.posterior import Posterior
from journeysim.bayes.retention import RetentionChange, RetentionModel, to_cohorts, to_purchase_history
from journeysim.bayes.stages import StageModel

__all__ = [
    "Diagnostics",
    "HiddenPersonasChoice",
    "InfluenceModel",
    "InfluencePosterior",
    "Posterior",
    "RetentionChange",
    "RetentionModel",
    "StageModel",
    "choose_hidden_personas",
    "to_cohorts",
    "to_purchase_history",
]

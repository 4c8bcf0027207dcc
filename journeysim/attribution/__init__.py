"""Attribution: which channels are credited with the conversions, by rules, games, chains and models."""

from journeysim.attribution.any_touch import AnyTouch
from journeysim.attribution.base import Attribution, Attributor, require_conversions
from journeysim.attribution.elimination import BackwardsElimination
from journeysim.attribution.hazard import AdditiveHazard
from journeysim.attribution.heuristic import (
    CustomWeights,
    FirstTouch,
    LastNonDirect,
    LastTouch,
    Linear,
    PositionBased,
    TimeDecay,
    WShaped,
)
from journeysim.attribution.logistic import BaggedLogistic
from journeysim.attribution.markov_shapley import MarkovShapley
from journeysim.attribution.method import Method
from journeysim.attribution.plugins import PluginWarning
from journeysim.attribution.probabilistic import SimpleProbabilistic
from journeysim.attribution.propensity import PropensityWeighted
from journeysim.attribution.registry import attribute, method_info, method_table, methods, register
from journeysim.attribution.removal import RemovalEffect
from journeysim.attribution.shapley import OrderedShapley, SetShapley, SimplifiedShapley

__all__ = [
    "AdditiveHazard",
    "AnyTouch",
    "Attribution",
    "Attributor",
    "BackwardsElimination",
    "BaggedLogistic",
    "CustomWeights",
    "FirstTouch",
    "LastNonDirect",
    "LastTouch",
    "Linear",
    "MarkovShapley",
    "Method",
    "OrderedShapley",
    "PluginWarning",
    "PositionBased",
    "PropensityWeighted",
    "RemovalEffect",
    "SetShapley",
    "SimpleProbabilistic",
    "SimplifiedShapley",
    "TimeDecay",
    "WShaped",
    "attribute",
    "method_info",
    "method_table",
    "methods",
    "register",
    "require_conversions",
]

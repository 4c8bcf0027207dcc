"""Attribution: which channels are credited with the conversions, by rules, games, chains and models, and how surely."""

from journeysim.attribution.any_touch import AnyTouch
from journeysim.attribution.base import Attribution, Attributor, LogAttributor, require_conversions
from journeysim.attribution.bootstrap import bootstrap_attribution
from journeysim.attribution.calibrated import CalibratedAttribution, TestAgreement
from journeysim.attribution.calibration import IncrementalPrior, calibrate
from journeysim.attribution.compare import STANDARD_METHODS, Comparison, compare
from journeysim.attribution.cost_files import read_costs
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
from journeysim.attribution.hidden_markov import HiddenMarkov
from journeysim.attribution.lift_tests import LiftTest, read_lift_tests
from journeysim.attribution.logistic import BaggedLogistic
from journeysim.attribution.markov_shapley import MarkovShapley
from journeysim.attribution.method import Method
from journeysim.attribution.money import Returns, costs_of, returns
from journeysim.attribution.over_time import Drift, drift, journeys_between, journeys_by_period, journeys_by_segment
from journeysim.attribution.plugins import PluginWarning
from journeysim.attribution.posterior import posterior_attribution
from journeysim.attribution.probabilistic import SimpleProbabilistic
from journeysim.attribution.propensity import PropensityWeighted
from journeysim.attribution.registry import (
    attribute,
    log_methods,
    method_info,
    method_table,
    methods,
    name_of,
    register,
)
from journeysim.attribution.removal import RemovalEffect
from journeysim.attribution.shapley import OrderedShapley, SetShapley, SimplifiedShapley
from journeysim.attribution.uncertainty import UncertainAttribution

__all__ = [
    "STANDARD_METHODS",
    "AdditiveHazard",
    "AnyTouch",
    "Attribution",
    "Attributor",
    "BackwardsElimination",
    "BaggedLogistic",
    "CalibratedAttribution",
    "Comparison",
    "CustomWeights",
    "Drift",
    "FirstTouch",
    "HiddenMarkov",
    "IncrementalPrior",
    "LastNonDirect",
    "LastTouch",
    "LiftTest",
    "Linear",
    "LogAttributor",
    "MarkovShapley",
    "Method",
    "OrderedShapley",
    "PluginWarning",
    "PositionBased",
    "PropensityWeighted",
    "RemovalEffect",
    "Returns",
    "SetShapley",
    "SimpleProbabilistic",
    "SimplifiedShapley",
    "TestAgreement",
    "TimeDecay",
    "UncertainAttribution",
    "WShaped",
    "attribute",
    "bootstrap_attribution",
    "calibrate",
    "compare",
    "costs_of",
    "drift",
    "journeys_between",
    "journeys_by_period",
    "journeys_by_segment",
    "log_methods",
    "method_info",
    "method_table",
    "methods",
    "name_of",
    "posterior_attribution",
    "read_costs",
    "read_lift_tests",
    "register",
    "require_conversions",
    "returns",
]

"""Attribution: which channels are credited with the conversions, by heuristics and removal effects, and how surely."""

from journeysim.attribution.base import Attribution, Attributor, require_conversions
from journeysim.attribution.bootstrap import bootstrap_attribution
from journeysim.attribution.heuristic import FirstTouch, LastTouch, Linear, PositionBased, TimeDecay
from journeysim.attribution.money import Returns, costs_of, returns
from journeysim.attribution.over_time import Drift, drift, journeys_by_period, journeys_by_segment
from journeysim.attribution.posterior import posterior_attribution
from journeysim.attribution.registry import attribute, methods, register
from journeysim.attribution.removal import RemovalEffect
from journeysim.attribution.uncertainty import UncertainAttribution

__all__ = [
    "Attribution",
    "Attributor",
    "Drift",
    "FirstTouch",
    "LastTouch",
    "Linear",
    "PositionBased",
    "RemovalEffect",
    "Returns",
    "TimeDecay",
    "UncertainAttribution",
    "attribute",
    "bootstrap_attribution",
    "costs_of",
    "drift",
    "journeys_by_period",
    "journeys_by_segment",
    "methods",
    "posterior_attribution",
    "register",
    "require_conversions",
    "returns",
]

"""Attribution: which channels are credited with the conversions, by heuristics and by Markov removal effects."""

from journeysim.attribution.base import Attribution, Attributor, require_conversions
from journeysim.attribution.heuristic import FirstTouch, LastTouch, Linear, PositionBased, TimeDecay
from journeysim.attribution.registry import attribute, methods, register
from journeysim.attribution.removal import RemovalEffect

__all__ = [
    "Attribution",
    "Attributor",
    "FirstTouch",
    "LastTouch",
    "Linear",
    "PositionBased",
    "RemovalEffect",
    "TimeDecay",
    "attribute",
    "methods",
    "register",
    "require_conversions",
]

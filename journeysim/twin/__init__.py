"""The digital twin: a posterior of worlds fitted to a log, its check, and what each channel does in them."""

from journeysim.twin.check import TwinCheck, check_twin
from journeysim.twin.effects import TwinEffects, twin_attribution
from journeysim.twin.fit import Twin, fit_world, worlds_from
from journeysim.twin.ingredients import Ingredients, to_ingredients
from journeysim.twin.method import DigitalTwin

__all__ = [
    "DigitalTwin",
    "Ingredients",
    "Twin",
    "TwinCheck",
    "TwinEffects",
    "check_twin",
    "fit_world",
    "to_ingredients",
    "twin_attribution",
    "worlds_from",
]

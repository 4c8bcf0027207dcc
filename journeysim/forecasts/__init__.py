"""Forecasts: what a scenario does to conversion, retention and money, how surely, when, and whether it pays."""

from journeysim.forecasts.closed_form import conversion_curve, retention_curve
from journeysim.forecasts.decisions import Cost, Decision, choose_within_budget, decide
from journeysim.forecasts.over_time import GainsOverTime, gains_over_time
from journeysim.forecasts.result import LEVEL, Forecast, Measures, signed
from journeysim.forecasts.simulated import forecast_worlds
from journeysim.forecasts.simulated_over_time import gains_over_time_of_worlds
from journeysim.forecasts.sources import HasWorlds, forecast

__all__ = [
    "LEVEL",
    "Cost",
    "Decision",
    "Forecast",
    "GainsOverTime",
    "HasWorlds",
    "Measures",
    "choose_within_budget",
    "conversion_curve",
    "decide",
    "forecast",
    "forecast_worlds",
    "gains_over_time",
    "gains_over_time_of_worlds",
    "retention_curve",
    "signed",
]

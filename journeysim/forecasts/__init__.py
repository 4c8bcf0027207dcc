"""Forecasts: what a scenario does to conversion, retention and money, how surely, when, and whether it pays."""

from journeysim.forecasts.closed_form import conversion_curve, forecast, retention_curve
from journeysim.forecasts.result import INTERVAL, Forecast, Measures, signed

__all__ = ["INTERVAL", "Forecast", "Measures", "conversion_curve", "forecast", "retention_curve", "signed"]

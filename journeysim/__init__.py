"""journeysim: simulate customer journeys, attribute conversions, forecast improvements."""

__version__ = "0.1.0"

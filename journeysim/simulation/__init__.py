"""The simulator: counter-based randomness, the compiled engine, and the truth about what caused what."""

from journeysim.simulation.engine import simulate

__all__ = ["simulate"]

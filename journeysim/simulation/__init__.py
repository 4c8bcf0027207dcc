"""The simulator: counter-based randomness, the compiled engine, and the truth about what caused what."""

from journeysim.simulation.engine import simulate
from journeysim.simulation.truth import IncrementalEffects, incremental_effects

__all__ = ["IncrementalEffects", "incremental_effects", "simulate"]

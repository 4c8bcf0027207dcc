"""The simulator: counter-based randomness, the compiled engine, and the truth about what caused what."""

from journeysim.simulation.engine import simulate
from journeysim.simulation.shards import simulate_to
from journeysim.simulation.truth import IncrementalEffects, incremental_effects
from journeysim.simulation.whatif import SimulatedChange, simulate_changes

__all__ = [
    "IncrementalEffects",
    "SimulatedChange",
    "incremental_effects",
    "simulate",
    "simulate_changes",
    "simulate_to",
]

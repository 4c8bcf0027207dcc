"""The simulator: counter-based randomness, the compiled engine, and the truth about what caused what."""

from journeysim.simulation.closed_form import ClosedFormEffects, closed_form_effects
from journeysim.simulation.engine import simulate
from journeysim.simulation.incremental import IncrementalEffects, incremental_effects
from journeysim.simulation.shards import simulate_to
from journeysim.simulation.truth import truth
from journeysim.simulation.truth_result import Truth
from journeysim.simulation.whatif import SimulatedChange, changes_table, simulate_changes

__all__ = [
    "ClosedFormEffects",
    "IncrementalEffects",
    "SimulatedChange",
    "Truth",
    "changes_table",
    "closed_form_effects",
    "incremental_effects",
    "simulate",
    "simulate_changes",
    "simulate_to",
    "truth",
]

"""Markov chains of journeys: counts, the chain, what is lost without a part of it, and which order to take."""

from journeysim.markov.chain import AbsorbingChain, RemovalEffects
from journeysim.markov.counting import TransitionCounts, count_transitions
from journeysim.markov.order import OrderChoice, choose_order, order_drift
from journeysim.markov.removal import Removal, removal_effect_of, removal_table
from journeysim.markov.tables import transition_matrix, transition_table
from journeysim.markov.walks import Position, Sequence

__all__ = [
    "AbsorbingChain",
    "OrderChoice",
    "Position",
    "Removal",
    "RemovalEffects",
    "Sequence",
    "TransitionCounts",
    "choose_order",
    "count_transitions",
    "order_drift",
    "removal_effect_of",
    "removal_table",
    "transition_matrix",
    "transition_table",
]

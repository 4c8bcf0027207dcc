"""Exact continuous-time Markov chains of customers, counted: what the stage model assumes, with known hazards."""

import numpy as np

from journeysim.moves import LOST
from journeysim.stage_history import StageHistory

STAGES = ("awareness", "evaluation", "purchase")
MOVES = (
    ("awareness", "evaluation"),
    ("awareness", LOST),
    ("evaluation", "awareness"),
    ("evaluation", "purchase"),
    ("evaluation", LOST),
    ("purchase", LOST),
)
_ORIGINS = np.array([STAGES.index(origin) for origin, _ in MOVES])
_TARGETS = np.array([(*STAGES, LOST).index(target) for _, target in MOVES])


def purchase_probability(hazards):
    """(...,) probability to purchase from awareness, given hazards (..., 6) of MOVES: two linear equations, solved."""
    to_evaluation = hazards[..., 0] / (hazards[..., 0] + hazards[..., 1])
    leaving = hazards[..., 2] + hazards[..., 3] + hazards[..., 4]
    back, purchase = hazards[..., 2] / leaving, hazards[..., 3] / leaving
    return to_evaluation * purchase / (1 - to_evaluation * back)


def simulate_history(hazards, *, n_customers, horizon_days, rng):
    """Counts and customer-days of n_customers per segment who start in awareness; hazards (G, 6) per day of MOVES."""
    n_segments = len(hazards)
    counts = np.zeros((n_segments, len(MOVES)))
    exposure_days = np.zeros((n_segments, len(STAGES)))
    for g, hazard in enumerate(hazards):
        stage = np.zeros(n_customers, dtype=int)
        days_left = np.full(n_customers, float(horizon_days))
        while stage.size:
            clocks = rng.exponential(size=(stage.size, len(MOVES))) / hazard
            clocks[stage[:, None] != _ORIGINS] = np.inf
            move = clocks.argmin(axis=1)
            wait = clocks.min(axis=1)
            exposure_days[g] += np.bincount(stage, np.minimum(wait, days_left), minlength=len(STAGES))
            moved = wait < days_left
            counts[g] += np.bincount(move[moved], minlength=len(MOVES))
            stage, days_left = _TARGETS[move[moved]], (days_left - wait)[moved]
            stage, days_left = stage[stage < len(STAGES)], days_left[stage < len(STAGES)]
    starts = np.zeros((n_segments, len(STAGES)))
    starts[:, 0] = n_customers
    segments = tuple(f"segment {g}" for g in range(n_segments))
    return StageHistory(segments, STAGES, ("purchase",), MOVES, counts, exposure_days, starts)

"""A World as the arrays that the kernel reads: names become indices, parts become columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from journeysim.moves import LOST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.spec import World

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

FORWARD, BACK, EXIT = 0, 1, 2
DIRECTIONS = {"forward": FORWARD, "back": BACK, "exit": EXIT}
NO_MOVE = -1


class Tables(NamedTuple):
    """P personas, S stages, C channels. Moves, pain points and triggers are listed stage by stage; `*_start` (S + 1,)
    says where each stage's entries begin. Stage S stands for lost. Causes: 0 base, 1..C channels, then pain points.
    """

    move_start: IntArray
    move_to: IntArray
    move_rate: FloatArray  # per day
    move_direction: IntArray
    pushed: IntArray  # (S,) the stage that contacts push towards, or NO_MOVE
    influence: FloatArray  # (S,) multiplies what contacts do
    is_purchase: NDArray[np.bool_]
    is_experience: NDArray[np.bool_]
    pain_start: IntArray
    pain_index: IntArray
    pain_chance: FloatArray
    pain_slows: FloatArray
    pain_loses: FloatArray
    pain_hurts: FloatArray
    trigger_start: IntArray
    trigger_channel: IntArray
    trigger_chance: FloatArray
    trigger_delay: FloatArray  # days
    contact_rate: FloatArray  # (P, S) all channels together, per day
    alias_threshold: NDArray[np.uint64]  # (P, S, C) of 2**32: below it column c, else alias_other
    alias_other: IntArray  # (P, S, C)
    pull: FloatArray  # (P, S, C) including the persona's appeal
    mean_life: FloatArray  # (C,) half-life / ln 2, days
    fatigue: FloatArray  # (C,)
    channel_active: NDArray[np.bool_]  # (C,)
    reach: FloatArray  # (P, S, C)
    persona_until: FloatArray  # (P,) cumulative shares
    pace: FloatArray
    patience: FloatArray
    pain_sensitivity: FloatArray
    satisfaction: FloatArray
    basket_median: FloatArray  # (P,)
    basket_log_sd: float
    experience_shift: float
    experience_sd: float
    satisfaction_effect: float


def tables(world: World) -> Tables:
    """The arrays of a world."""
    stages, channels, personas = world.stages, world.channels, world.personas
    index = {name: i for i, name in enumerate((*world.stage_names, LOST))}
    channel_index = {name: i for i, name in enumerate(world.channel_names)}

    moves = [(s.name, to, rate) for s in stages for to, rate in s.moves_per_day.items()]
    pains = sorted(enumerate(world.pain_points), key=lambda numbered: index[numbered[1].stage])
    triggers = [(t, c.name) for s in stages for c in channels for t in c.triggers if t.entering == s.name]
    pushed = [world.pushed_move(s) for s in stages]

    rates = np.array(
        [
            [[c.contacts_per_day.get(s.name, 0.0) * p.reach_of(c.name, s.name) for c in channels] for s in stages]
            for p in personas
        ]
    ).reshape(len(personas), len(stages), len(channels))
    alias = [[_alias_table(rates[p, s]) for s in range(len(stages))] for p in range(len(personas))]
    shares = np.cumsum([p.share for p in personas])

    return Tables(
        move_start=_starts([origin for origin, _, _ in moves], index, len(stages)),
        move_to=_ints(index[to] for _, to, _ in moves),
        move_rate=_floats(rate for _, _, rate in moves),
        move_direction=_ints(DIRECTIONS[world.direction(origin, to)] for origin, to, _ in moves),
        pushed=_ints(NO_MOVE if to is None else index[to] for to in pushed),
        influence=_floats(s.influence for s in stages),
        is_purchase=np.array([s.purchase for s in stages]),
        is_experience=np.array([s.experience for s in stages]),
        pain_start=_starts([pain.stage for _, pain in pains], index, len(stages)),
        pain_index=_ints(k for k, _ in pains),
        pain_chance=_floats(pain.chance for _, pain in pains),
        pain_slows=_floats(pain.slows for _, pain in pains),
        pain_loses=_floats(pain.loses for _, pain in pains),
        pain_hurts=_floats(pain.hurts for _, pain in pains),
        trigger_start=_starts([t.entering for t, _ in triggers], index, len(stages)),
        trigger_channel=_ints(channel_index[name] for _, name in triggers),
        trigger_chance=_floats(t.chance for t, _ in triggers),
        trigger_delay=_floats(t.after_days for t, _ in triggers),
        contact_rate=rates.sum(axis=2),
        alias_threshold=np.array([[threshold for threshold, _ in row] for row in alias], dtype=np.uint64),
        alias_other=np.array([[other for _, other in row] for row in alias], dtype=np.int64),
        pull=np.array(
            [[[c.pull_in(s.name) * p.appeal.get(c.name, 1.0) for c in channels] for s in stages] for p in personas]
        ).reshape(rates.shape),
        mean_life=_floats(c.half_life_days / math.log(2) for c in channels),
        fatigue=_floats(c.fatigue for c in channels),
        channel_active=np.array([c.active for c in channels], dtype=bool),
        reach=np.array([[[p.reach_of(c.name, s.name) for c in channels] for s in stages] for p in personas]).reshape(
            rates.shape
        ),
        persona_until=shares / shares[-1],
        pace=_floats(p.pace for p in personas),
        patience=_floats(p.patience for p in personas),
        pain_sensitivity=_floats(p.pain for p in personas),
        satisfaction=_floats(p.satisfaction for p in personas),
        basket_median=_floats(world.basket.median * p.spending for p in personas),
        basket_log_sd=world.basket.log_sd,
        experience_shift=world.product_experience.mean_shift,
        experience_sd=world.product_experience.sd,
        satisfaction_effect=world.satisfaction_effect,
    )


def _ints(values: object) -> IntArray:
    return np.array([*values], dtype=np.int64)  # type: ignore[misc]


def _floats(values: object) -> FloatArray:
    return np.array([*values], dtype=np.float64)  # type: ignore[misc]


def _starts(origins: list[str], index: dict[str, int], n_stages: int) -> IntArray:
    """Where each stage's entries begin in a list that is sorted by stage."""
    return np.searchsorted(_ints(index[name] for name in origins), np.arange(n_stages + 1)).astype(np.int64)


def _alias_table(weights: FloatArray) -> tuple[NDArray[np.uint64], IntArray]:
    """Alias table for drawing an index in proportion to weights with one 32-bit word (Vose 1991, IEEE TSE 17:9)."""
    n = len(weights)
    threshold, other = np.full(n, 2**32, dtype=np.uint64), np.arange(n, dtype=np.int64)
    if weights.sum() == 0:
        return threshold, other
    scaled = weights * n / weights.sum()
    small = [i for i in range(n) if scaled[i] < 1]
    large = [i for i in range(n) if scaled[i] >= 1]
    while small and large:
        s, big = small.pop(), large.pop()
        threshold[s], other[s] = np.uint64(round(scaled[s] * 2**32)), big
        scaled[big] -= 1 - scaled[s]
        (small if scaled[big] < 1 else large).append(big)
    return threshold, other

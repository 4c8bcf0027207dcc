"""Worlds drawn at random from a stated prior. The prior was written down before any method was run on it.

| what | drawn from |
|---|---|
| stages before the purchase, unaware included | 3, 4 or 5 |
| mean days in a stage if nothing else happens | log-uniform, 5 to 40; in unaware 60 to 300 |
| share that moves forward, of those who leave a stage by themselves | uniform, .3 to .7; in unaware .8 |
| a way back from the later stages | with chance .5, at a fifth to a half of the forward rate |
| channels | 4 to 9 |
| contacts in the mean stay of a stage | log-uniform, .1 to 1, times log-normal (sd .5) by stage; in unaware a fifth |
| stages in which a channel is met | all, or (chance .4) two neighbours |
| pull | uniform, .02 to .3 |
| half-life, days | log-uniform, .5 to 7 |
| price per contact | log-uniform, .05 to 5; one in five costs nothing |
| retargeting, chance .6 | a channel in the last stage only, .5 to 2 contacts a day, pull 0 to .02 |
| accompanying channel, chance .6 | contacts grow three to six times from stage to stage, pull 0 |
| hidden personas, chance .6 | a third to two thirds have 2 to 6 times the pace, 3 to 10 times one channel's reach |
| synergy, chance .4 | one channel's pull is doubled to tripled by another one |
| fatigue, chance .4 | of one channel, .4 to .8 per contact |
| missing touches, chance .4 | one channel lacks 30% to 100% of its touches |

Each line is drawn by itself; a number is uniform where nothing else is said.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from journeysim.benchmark.cases import Case, Precision
from journeysim.benchmark.defects import MissTouches
from journeysim.spec import Basket, Channel, Persona, Stage, World

if TYPE_CHECKING:
    from numpy.random import Generator

HORIZON_DAYS = 180.0
PRECISION = Precision(share_error=0.003, max_customers=1_000_000, shapley_customers=60_000, move_customers=50_000)
MIXTURE = "Retargeting, a companion, hidden personas, synergy, fatigue and missing touches, each with a chance"


def random_case(seed: int) -> Case:
    """The case of a seed: the same seed gives the same case, whatever else is drawn.

    >>> random_case(1) == random_case(1), random_case(1).loaded() == random_case(2).loaded()
    (True, False)
    """
    rng = np.random.default_rng([seed, 20_406])
    stages, days = _stages(rng)
    names = [stage.name for stage in stages]
    channels = [_channel(rng, f"channel_{c + 1}", names, days) for c in range(rng.integers(4, 10))]
    if rng.random() < 0.6:
        rate = float(rng.uniform(0.5, 2))
        pull = float(rng.uniform(0, 0.02))
        channels.append(_paid(rng, "retargeting", {names[-1]: rate}, pull))
    if rng.random() < 0.6:
        steps = float(rng.uniform(3, 6)) ** np.arange(len(names))
        contacts = {s: float(r) for s, r in zip(names, steps / steps[-1] * rng.uniform(0.3, 1.2), strict=True)}
        channels.append(_paid(rng, "companion", contacts, 0.0))
    ordinary = [c for c, channel in enumerate(channels) if channel.name.startswith("channel_")]
    personas = [Persona(name="everybody", share=1.0)]
    if rng.random() < 0.6:
        share, favourite = float(rng.uniform(1 / 3, 2 / 3)), channels[rng.choice(ordinary)].name
        fast = Persona(
            name="fast", share=share, pace=float(rng.uniform(2, 6)), reach={favourite: float(rng.uniform(3, 10))}
        )
        personas = [fast, Persona(name="slow", share=1 - share)]
    if rng.random() < 0.4:
        one, other = rng.choice(ordinary, size=2, replace=False)
        synergy = {channels[other].name: float(rng.uniform(2, 3))}
        channels[one] = channels[one].model_copy(update={"synergy": synergy})
    if rng.random() < 0.4:
        one = rng.choice(ordinary)
        channels[one] = channels[one].model_copy(update={"fatigue": float(rng.uniform(0.4, 0.8))})
    defects: tuple[MissTouches, ...] = ()
    if rng.random() < 0.4:
        defects = (MissTouches(missing={channels[rng.choice(ordinary)].name: float(rng.uniform(0.3, 1))}),)
    world = World(
        name=f"random-{seed}",
        stages=(*stages, Stage(name="purchase", purchase=True)),
        channels=tuple(Channel(**dict(channel)) for channel in channels),  # checked again, after the changes
        personas=tuple(personas),
        basket=Basket(median=100.0),
        horizon_days=HORIZON_DAYS,
    )
    return Case(name=f"random-{seed}", tests=MIXTURE, world=world, defects=defects, truth=PRECISION)


def _stages(rng: Generator) -> tuple[list[Stage], list[float]]:
    """Stages before the purchase, and the mean days in each."""
    names = ["unaware", *(f"stage_{i}" for i in range(1, rng.integers(3, 6)))]
    stages, days = [], []
    for i, (here, there) in enumerate(pairwise([*names, "purchase"])):
        mean = _log_uniform(rng, 60, 300) if i == 0 else _log_uniform(rng, 5, 40)
        onwards = 0.8 if i == 0 else float(rng.uniform(0.3, 0.7))
        moves = {there: onwards / mean, "lost": (1 - onwards) / mean}
        if i > 1 and rng.random() < 0.5:
            moves[names[i - 1]] = moves[there] * float(rng.uniform(0.2, 0.5))
        stages.append(Stage(name=here, moves_per_day=moves))
        days.append(mean)
    return stages, days


def _channel(rng: Generator, name: str, stages: list[str], days: list[float]) -> Channel:
    level = _log_uniform(rng, 0.1, 1)
    here = range(len(stages))
    if rng.random() < 0.4:
        first = int(rng.integers(len(stages) - 1))
        here = range(first, first + 2)
    contacts = {stages[s]: level * float(np.exp(rng.normal(0, 0.5))) / days[s] * (0.2 if s == 0 else 1.0) for s in here}
    return _paid(rng, name, contacts, float(rng.uniform(0.02, 0.3)))


def _paid(rng: Generator, name: str, contacts: dict[str, float], pull: float) -> Channel:
    price = 0.0 if rng.random() < 0.2 else _log_uniform(rng, 0.05, 5)
    half_life = _log_uniform(rng, 0.5, 7)
    return Channel(name=name, contacts_per_day=contacts, pull=pull, half_life_days=half_life, cost_per_contact=price)


def _log_uniform(rng: Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))

"""The worlds that speed is measured on."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from journeysim.spec import Basket, Channel, Persona, Stage, World

DAYS = 180.0
FOLDER = Path(__file__).parent


def plain_world() -> World:
    """Seven stages in a line with losses and one way back, twenty channels, decaying influence: 36 events in 180 days.

    A contact comes every five days; rare channels are stronger. It multiplies the hazard of the next stage, which falls
    back by half in 4.9 days.
    """
    forward = [0.030, 0.030, 0.020, 0.025, 0.030, 0.030]
    lost = [0.002, 0.003, 0.004, 0.004, 0.002, 0.003, 0.004]
    names = [f"stage {i}" for i in range(7)]
    moves = [{names[i + 1]: forward[i], "lost": lost[i]} for i in range(6)] + [{names[3]: 0.02, "lost": lost[6]}]
    shares = 1 / np.arange(1, 21) / np.sum(1 / np.arange(1, 21))
    mean_life = 7.0
    return World(
        name="plain",
        stages=tuple(
            Stage(name=name, moves_per_day=rates, purchase=i == 4)
            for i, (name, rates) in enumerate(zip(names, moves, strict=True))
        ),
        channels=tuple(
            Channel(
                name=f"channel {c}",
                contacts_per_day=dict.fromkeys(names, float(0.2 * shares[c])),
                half_life_days=mean_life * math.log(2),
                pull={n: float(-np.expm1(-rate * effect * mean_life)) for n, rate in zip(names, forward, strict=False)},
            )
            for c, effect in enumerate(np.linspace(0.3, 2.2, 20))
        ),
        personas=(Persona(name="anyone", share=1.0),),
        basket=Basket(median=50),
    )


def twenty_channels_world() -> World:
    """Seven stages and twenty channels of decaying influence, from very common to very rare."""
    stages = [
        Stage(name="unaware", moves_per_day={"aware": 0.008, "lost": 0.001}),
        Stage(name="aware", moves_per_day={"interest": 0.04, "lost": 0.01}),
        Stage(name="interest", moves_per_day={"evaluation": 0.06, "aware": 0.02, "lost": 0.02}),
        Stage(name="evaluation", moves_per_day={"purchase": 0.05, "interest": 0.03, "lost": 0.02}),
        Stage(name="purchase", purchase=True, moves_per_day={"experience": 0.3}),
        Stage(name="experience", moves_per_day={"loyalty": 0.05, "lost": 0.02}),
        Stage(name="loyalty", moves_per_day={"purchase": 0.01, "lost": 0.005}),
    ]
    names = [stage.name for stage in stages]
    channels = []
    for c in range(20):
        rate = 0.09 * 0.8**c  # contacts per day, each channel a fifth less than the one before
        met = (names[:4], names[1:4], names[2:4], names[1:3])[c % 4]
        channels.append(
            Channel(
                name=f"channel {c + 1}",
                contacts_per_day=dict.fromkeys(met, rate if c % 4 == 0 else 3 * rate),
                pull=0.008 * 1.15**c,  # the rarer, the stronger
                half_life_days=1.0 + c % 5,
                fatigue=0.97,
            )
        )
    personas = [Persona(name="quick", share=0.4, pace=1.4), Persona(name="slow", share=0.6, pace=0.8)]
    return World(name="twenty channels", stages=stages, channels=channels, personas=personas, basket=Basket(median=50))


def peer_world() -> World:
    """What the SimPy peer can do: personas, pain points, triggers, satisfaction; 57 events in 180 days."""
    return World.from_yaml(FOLDER / "peer.yaml")


def rich_world() -> World:
    """All rules of a world but desks."""
    return World.from_yaml(FOLDER / "rich.yaml")

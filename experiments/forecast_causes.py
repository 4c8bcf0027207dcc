"""Which rule of a world makes a forecast from stages wrong? One rule after the other is switched off.

Expected: with all of them off, customers of a persona are Markov chains and the error is that of sampling. The rule
whose absence takes most of the error away is its cause in that world; where several share it, no single one does.

As in forecast_against_simulation.py: ten random scenarios, 10,000 customers fitted, 40,000 simulated; fitted by persona
with bins of time in stage, the best of the ways there.

Run: python experiments/forecast_causes.py [WORLD ...]. Finding: docs/forecasts.md, "When the forecast fails".
"""

import sys
from collections.abc import Callable

import numpy as np
from forecast_against_simulation import WAYS, rows_of

from journeysim import World
from journeysim.parts import Calendar
from journeysim.worlds import load

WORLDS = ("impulse-purchase", "four-stages", "trap-word-of-mouth")
WAY = {"by persona, bins": WAYS["by persona, bins"]}


def no_seasons(world: World) -> World:
    """No calendar of a stage or of a channel."""
    stages = tuple(stage.model_copy(update={"calendar": Calendar()}) for stage in world.stages)
    channels = tuple(channel.model_copy(update={"calendar": Calendar()}) for channel in world.channels)
    return world.model_copy(update={"stages": stages, "channels": channels})


def no_talk(world: World) -> World:
    """Nobody refers anybody."""
    if world.word_of_mouth is None:
        return world
    return world.model_copy(update={"word_of_mouth": world.word_of_mouth.model_copy(update={"referrals_per_day": 0.0})})


def no_pain(world: World) -> World:
    """Nobody meets a pain point."""
    return world.model_copy(update={"pain_points": ()})


def no_satisfaction(world: World) -> World:
    """Satisfaction changes no hazard."""
    return world.model_copy(update={"satisfaction_effect": 0.0})


def contacts_at_once(world: World) -> World:
    """A contact moves a customer within minutes or not at all; none is triggered, a repeat works like the first."""
    plain = {"half_life_days": 0.001, "fatigue": 1.0, "synergy": {}, "triggers": (), "irritation": None}
    return world.model_copy(update={"channels": tuple(c.model_copy(update=plain) for c in world.channels)})


RULES = {
    "seasons": no_seasons,
    "word of mouth": no_talk,
    "pain points": no_pain,
    "satisfaction": no_satisfaction,
    "memory of contacts": contacts_at_once,
}


def everything_off(world: World) -> World:
    """No rule at all."""
    for off in RULES.values():
        world = off(world)
    return world


VERSIONS: dict[str, Callable[[World], World]] = {
    "as it is": lambda world: world,
    **{f"without {rule}": off for rule, off in RULES.items()},
    "without any of these": everything_off,
}


def print_rows(name: str, version: str) -> None:
    """A row per measure of one version of a world, in percentage points."""
    rows = rows_of(VERSIONS[version](load(name)), WAY)
    for measure in ("conversion", "retention"):
        those = [row for row in rows if row["measure"] == measure]
        effect, error, absolute, covered = (
            np.mean([row[column] for row in those]) for column in ("effect", "error", "absolute", "covered")
        )
        print(f"{name}\t{version}\t{measure}\t{effect:.2f}\t{error:+.2f}\t{absolute:.2f}\t{covered:.0%}", flush=True)


def main() -> None:
    """Print all versions of the worlds named."""
    print("world\tversion\tmeasure\tmean effect\tmean error\tmean absolute error\tcoverage")
    for name in sys.argv[1:] or WORLDS:
        for version in VERSIONS:
            print_rows(name, version)


if __name__ == "__main__":
    main()

"""Do hidden personas explain what the twin gets wrong, and what is left when they are modelled?

In random worlds the twin without hidden personas takes the keenness of customers who meet a channel more often for its
influence. Expected: with two hidden personas the error falls in worlds that have them, and stays where it was in the
others; what is left comes from missing touches and synergy. To tell, each log is also fitted with its missing touches
put back. Point estimates (EM) stand for posteriors, to have many worlds in minutes; fatigue is then not modelled.

Errors are shares of all credit that stand at the wrong channel; the truth has 300,000 customers per twin run, the
worlds of the estimates 100,000: of .01 to .02 of an error that is small, much is their noise.

Run: python experiments/hidden_personas.py [seeds ...]. Finding: docs/influence-model.md, "Hidden personas, measured".
"""

import sys

import numpy as np

from journeysim import choose_hidden_personas, incremental_effects, simulate, to_journeys, worlds
from journeysim.attribution import RemovalEffect
from journeysim.bayes.hidden_draws import HiddenDraws
from journeysim.bayes.hidden_em import hidden_em
from journeysim.bayes.influence_posterior import InfluencePosterior
from journeysim.benchmark.defects import as_observed, with_defects
from journeysim.benchmark.random_worlds import random_case
from journeysim.events import EventLog
from journeysim.influence_history import InfluenceHistory, influence_history
from journeysim.scores import share_error
from journeysim.spec import World
from journeysim.stays import to_stays
from journeysim.twin import Twin, to_ingredients

SEEDS = range(1, 13)
FITTED, SIMULATED, TRUE = 20_000, 100_000, 300_000


def point(history: InfluenceHistory, k: int) -> InfluencePosterior:
    """What EM found, as a posterior of one draw."""
    found = hidden_em(history, k, half_life_days=3.0, pull_by_stage=True)
    one = (1, 1)
    hazards = np.exp(found.log_hazard)[None, None]
    return InfluencePosterior(
        history=history,
        hazards_by_chain=hazards,
        typical_by_chain=hazards[:, :, 0],
        spread_by_chain=None,
        pull_by_chain=found.start.pull[None, None],
        typical_pull_by_chain=found.start.pull.mean(axis=1)[None, None],
        half_life_by_chain=found.start.half_life_days[None, None],
        fatigue_by_chain=None,
        appeal_by_chain=None,
        diverging=np.zeros(one, dtype=np.bool_),
        priors={},
        seed=0,
        warmup=0,
        versions={},
        hidden=HiddenDraws(*(np.exp(part)[None, None] for part in found.classes)) if k > 1 else None,
    )


def errors_of(log: EventLog, truth: dict[str, float], numbers: tuple[int, ...], days: float) -> tuple[list[float], int]:
    """Share errors of twins with so many hidden personas, and the number that BIC chooses."""
    stays = to_stays(log)
    history = influence_history(stays, customers=True)
    ingredients = to_ingredients(log, stays)
    errors = []
    for k in numbers:
        drawn, _ = Twin(point(history, k), ingredients).worlds(1, seed=1)
        found = incremental_effects(drawn[0]["all"], n_customers=SIMULATED, horizon_days=days, seed=5)
        errors.append(error(found.channels, found.share, truth))
    return errors, choose_hidden_personas(history, most=3).best


def error(channels: tuple[str, ...], share: np.ndarray, truth: dict[str, float]) -> float:
    """A channel that was never seen gets nothing."""
    given = dict(zip(channels, share, strict=True))
    return share_error(np.array([given.get(name, 0.0) for name in truth]), np.array([*truth.values()]))


def ingredients_of(world: World, missing: bool) -> str:
    """Which of the ingredients of `random_worlds` a world has."""
    has = {
        "hidden personas": len(world.personas) > 1,
        "synergy": any(channel.synergy for channel in world.channels),
        "fatigue": any(channel.fatigue < 1 for channel in world.channels),
        "missing touches": missing,
        "retargeting": "retargeting" in world.channel_names,
        "companion": "companion" in world.channel_names,
    }
    return ", ".join(name for name, there in has.items() if there) or "none"


def row(name: str, world: World, defects: tuple) -> str:
    """One line of the table."""
    days = world.horizon_days
    true = incremental_effects(world, n_customers=TRUE, horizon_days=days, seed=99)
    truth = dict(zip(true.channels, true.share.tolist(), strict=True))
    log = simulate(world, n_customers=FITTED, horizon_days=days, seed=1)
    seen = as_observed(with_defects(log, defects, 1))
    removal = RemovalEffect().attribute(to_journeys(seen))
    markov = error(removal.channels, removal.conversions / removal.conversions.sum(), truth)
    (one, two), best = errors_of(seen, truth, (1, 2), days)
    complete = errors_of(as_observed(log), truth, (2,), days)[0][0] if defects else two
    cells = [name, ingredients_of(world, bool(defects)), *(f"{x:.3f}" for x in (markov, one, two)), f"{complete:.3f}"]
    return "| " + " | ".join([*cells, str(best)]) + " |"


def main() -> None:
    """Print the table."""
    print("| world | ingredients | Markov | twin, 1 | twin, 2 | twin, 2, no touch missing | number by BIC |")
    print("|---|---|---|---|---|---|---|")
    print(row("trap", worlds.load("trap-hidden-persona"), ()), flush=True)
    for seed in [int(text) for text in sys.argv[1:]] or SEEDS:
        case = random_case(seed)
        print(row(str(seed), case.loaded(), case.defects), flush=True)


if __name__ == "__main__":
    main()

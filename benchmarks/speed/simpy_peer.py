"""The same customers written the usual way: one SimPy process each, plain Python, `random.Random`.

An independent implementation of the mathematics in docs/simulation.md, kept apart from journeysim's: hazards are
resampled at every event (they have no memory) and decaying influence is thinned, where journeysim inverts clocks.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import simpy

from journeysim.moves import BASE, LOST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from journeysim.spec import Persona, World

Row = tuple[int, float, str, str | None, str, str | None, float | None, float | None, str | None]


def simulate_with_simpy(world: World, *, n_customers: int, horizon_days: float, seed: int) -> list[Row]:
    """Rows (customer, day, kind, channel, stage, pain point, value, cost, cause) in the order of time."""
    env = simpy.Environment()
    draws = random.Random(seed)
    plans = {persona.name: plan(world, persona) for persona in world.personas}
    names, shares = list(plans), [persona.share for persona in world.personas]
    rows: list[Row] = []
    for number in range(n_customers):
        chosen = plans[draws.choices(names, shares)[0]]
        env.process(customer(env, draws, world, chosen, number, rows))
    env.run(until=horizon_days)
    return rows


def plan(world: World, persona: Persona) -> dict[str, Any]:
    """What a persona meets in each stage, worked out once."""
    stages = {}
    for stage in world.stages:
        moves = []
        for to, rate in stage.moves_per_day.items():
            way = world.direction(stage.name, to)
            factor = persona.pace if way == "forward" else 1 / persona.patience if way == "exit" else 1.0
            moves.append((to, way, rate * factor))
        contacts = [
            (c.name, c.contacts_per_day.get(stage.name, 0.0) * persona.reach_of(c.name, stage.name))
            for c in world.channels
        ]
        triggers = [
            (c.name, trigger.chance * persona.reach_of(c.name, stage.name), trigger.after_days)
            for c in world.channels
            for trigger in c.triggers
            if trigger.entering == stage.name
        ]
        stages[stage.name] = {
            "stage": stage,
            "pushed": world.pushed_move(stage),
            "moves": moves,
            "channels": [name for name, rate in contacts if rate > 0],
            "rates": [rate for _, rate in contacts if rate > 0],
            "contact_rate": sum(rate for _, rate in contacts),
            "triggers": triggers,
            "pains": [pain for pain in world.pain_points if pain.stage == stage.name],
            "pull": {c.name: c.pull_in(stage.name) * persona.appeal.get(c.name, 1.0) for c in world.channels},
        }
    return {
        "persona": persona,
        "stages": stages,
        "decay": {c.name: math.log(2) / c.half_life_days for c in world.channels},
        "fatigue": {c.name: c.fatigue for c in world.channels},
        "cost": {c.name: c.cost_per_contact for c in world.channels},
    }


def customer(
    env: simpy.Environment, draws: random.Random, world: World, own: dict[str, Any], number: int, rows: list[Row]
) -> Iterator[simpy.Event]:
    """One customer's journey."""
    persona, decay, fatigue, cost = own["persona"], own["decay"], own["fatigue"], own["cost"]
    satisfaction, bought = persona.satisfaction, False
    fresh = dict.fromkeys(decay, 1.0)
    name, cause = world.stages[0].name, None
    while True:
        here = own["stages"][name]
        stage = here["stage"]
        rows.append((number, env.now, "stage", None, name, None, None, None, cause))
        if stage.purchase:
            bought = True
            value = world.basket.median * persona.spending * math.exp(world.basket.log_sd * draws.gauss(0, 1))
            rows.append((number, env.now, "purchase", None, name, None, value, None, None))
        if stage.experience:
            shift = draws.gauss(world.product_experience.mean_shift, world.product_experience.sd)
            satisfaction = min(max(satisfaction + shift, 0.0), 1.0)
        slows, loses, met = 1.0, 1.0, []
        for pain in here["pains"]:
            if draws.random() < pain.chance * persona.pain:
                rows.append((number, env.now, "pain", None, name, pain.name, None, None, None))
                met.append((pain.name, loses * (pain.loses - 1)))
                slows *= pain.slows
                loses *= pain.loses
                satisfaction = max(satisfaction - pain.hurts, 0.0)

        mood = math.exp(world.satisfaction_effect * (satisfaction - 0.5)) if bought else 1.0
        moves, hazards = [], []
        for to, way, rate in here["moves"]:
            moves.append((to, BASE))
            hazards.append(rate * slows * mood if way == "forward" else rate / mood if way == "exit" else rate)
            if way == "exit":
                for pain_name, added in met:
                    moves.append((to, pain_name))
                    hazards.append(rate / mood * added)
        move_rate, contact_rate = sum(hazards), here["contact_rate"]
        push = slows * mood * stage.influence
        triggers = sorted(
            (env.now + after, channel) for channel, chance, after in here["triggers"] if draws.random() < chance
        )
        influence: dict[str, float] = {}  # extra hazard of each channel, at time `since`
        since = env.now

        while True:
            # the next thing that happens: thinning, since the extra hazards only fall
            t = since
            while True:
                extra = sum(influence.values())
                total = move_rate + contact_rate + extra
                step = draws.expovariate(total) if total > 0 else math.inf
                if triggers and triggers[0][0] <= t + step:
                    step, what = triggers[0][0] - t, "trigger"
                else:
                    what = "clock"
                if t + step == math.inf:
                    return
                t += step
                for channel in influence:
                    influence[channel] *= math.exp(-decay[channel] * step)
                if what == "trigger":
                    break
                u = draws.random() * total
                if u < move_rate + contact_rate + sum(influence.values()):
                    break
            yield env.timeout(t - env.now)
            since = t
            if what == "clock" and u < move_rate:
                name, cause = draws.choices(moves, hazards)[0]
                break
            if what == "clock" and u >= move_rate + contact_rate:
                name, cause = here["pushed"], draws.choices(list(influence), list(influence.values()))[0]
                break
            channel = triggers.pop(0)[1] if what == "trigger" else draws.choices(here["channels"], here["rates"])[0]
            rows.append((number, env.now, "touch", channel, name, None, None, cost[channel], None))
            pull = here["pull"][channel] * fresh[channel]
            if here["pushed"] and pull > 0:
                added = -math.log(1 - pull) * decay[channel] * push
                influence[channel] = influence.get(channel, 0.0) + added
            fresh[channel] *= fatigue[channel]
        if name == LOST:
            rows.append((number, env.now, "lost", None, LOST, None, None, None, cause))
            return

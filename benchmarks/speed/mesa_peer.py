"""The plain world written for Mesa, the usual way: an agent per customer, all of them stepped once a day.

Daily ticks are what such models do, and are biased: at most one contact and one move a day.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import mesa

if TYPE_CHECKING:
    from journeysim.spec import World

Row = tuple[int, int, str, str]


class Customer(mesa.Agent):  # type: ignore[misc]
    """One customer: a stage and what is left of the influence of earlier contacts."""

    def __init__(self, model: Market) -> None:
        super().__init__(model)
        self.stage, self.influence = model.first, 0.0
        model.rows.append((self.unique_id, 0, "stage", self.stage))

    def step(self) -> None:
        """One day."""
        model = self.model
        here = model.stages[self.stage]
        self.influence *= model.decay
        draw = model.random.random
        if draw() < here["p_contact"]:
            channel = model.random.choices(model.channels, model.weights)[0]
            model.rows.append((self.unique_id, model.day, "touch", channel))
            self.influence += here["jump"].get(channel, 0.0)
        for to, rate, pushed in here["moves"]:
            if draw() < -math.expm1(-(rate + self.influence * pushed)):
                model.rows.append((self.unique_id, model.day, "stage" if to != "lost" else "lost", to))
                self.stage, self.influence = to, 0.0
                if to == "lost":
                    self.remove()
                return


class Market(mesa.Model):  # type: ignore[misc]
    """All customers and their clock."""

    def __init__(self, world: World, n_customers: int, seed: int) -> None:
        super().__init__(rng=seed)
        self.rows: list[Row] = []
        self.day = 0
        self.first = world.stages[0].name
        self.channels = list(world.channel_names)
        self.weights = [c.contacts_per_day[self.first] for c in world.channels]
        self.decay = 0.5 ** (1 / world.channels[0].half_life_days)
        self.stages: dict[str, Any] = {}
        for stage in world.stages:
            pushed = world.pushed_move(stage)
            contacts = sum(c.contacts_per_day[stage.name] for c in world.channels)
            self.stages[stage.name] = {
                "p_contact": -math.expm1(-contacts),
                "moves": [(to, rate, to == pushed) for to, rate in stage.moves_per_day.items()],
                "jump": {
                    c.name: -math.log1p(-c.pull_in(stage.name)) * math.log(2) / c.half_life_days for c in world.channels
                },
            }
        for _ in range(n_customers):
            Customer(self)

    def step(self) -> None:
        """One day for everybody."""
        self.day += 1
        self.agents.shuffle_do("step")


def simulate_with_mesa(world: World, *, n_customers: int, horizon_days: int, seed: int) -> list[Row]:
    """Rows (customer, day, kind, channel or stage)."""
    market = Market(world, n_customers, seed)
    for _ in range(horizon_days):
        market.step()
    return market.rows

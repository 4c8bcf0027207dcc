"""Twin runs: the same customers in versions of a world, with and without some channels, on common random numbers.

A channel that is off draws its contacts and drops them, so its twin meets the same draws everywhere else. Hence a
customer who never met a channel in one version does exactly the same in the version without it, and need not be
simulated again. With word of mouth or desks others may act on this customer, and everybody is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from journeysim.simulation.engines import couples_customers, range_simulator
from journeysim.simulation.outcomes import Outcomes, book, outcomes_of_tables, simulate_into
from journeysim.simulation.tables import tables
from journeysim.simulation.word_of_mouth import heard_by, nothing_heard

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from journeysim.simulation.recipe import Recipe
    from journeysim.simulation.tables import Tables
    from journeysim.spec import World

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Switch:
    """Channels that are switched off: everywhere, or in one stage."""

    channels: tuple[str, ...]
    stage: str | None = None


class Population:
    """A recipe as the twins need it: its tables once, and who is independent of whom."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.x = tables(recipe)
        self.book = book(recipe.world)
        self.coupled = couples_customers(recipe.world)

    @property
    def unit(self) -> str:
        """What is independent: a customer, or where word travels or staff is shared, a market."""
        return "market" if self.coupled else "customer"

    def unit_totals(self, values: FloatArray) -> FloatArray:
        """(n, ...) values of customers, from the first of a market on, as totals of independent units."""
        if not self.coupled:
            return values
        totals: FloatArray = np.add.reduceat(values, np.arange(0, len(values), self.recipe.world.market_size), axis=0)
        return totals


class Twins:
    """Customers first..last-1 of a population; whole markets where customers are coupled."""

    def __init__(self, population: Population, first: int, last: int) -> None:
        self.population, self.first, self.last = population, first, last

    def everything_on(self) -> Outcomes:
        """What happens in the world as it is, with credits."""
        return self._simulate(self.population.x, credited=True)

    def without(self, switch: Switch, like: Outcomes) -> Outcomes:
        """What happens without some channels; `like` are the outcomes of the world as it is."""
        world = self.population.recipe.world
        return self.also_without([world.channel_names.index(name) for name in switch.channels], like, [], switch.stage)

    def also_without(
        self, removed: Iterable[int], like: Outcomes, before: Iterable[int] = (), stage: str | None = None
    ) -> Outcomes:
        """What happens without the channels `removed`, where `like` happened without those `before`.

        Channels are given by their numbers; `stage` restricts `removed` to one stage.
        """
        world, removed = self.population.recipe.world, list(removed)
        x = switched_off(self.population.x, before)
        x = switched_off(x, removed, None if stage is None else world.stage_names.index(stage))
        if self.population.coupled:
            return self._simulate(x, credited=False)
        outcomes = like.copy()
        met = np.flatnonzero(like.contacts[:, removed].any(axis=1))
        self.simulate_again(outcomes, x, met)
        return outcomes

    def simulate_again(self, outcomes: Outcomes, x: Tables, chosen: NDArray[np.int64]) -> None:
        """Overwrite what became of customers first + chosen, who are independent, by what happens with `x`."""
        heard = nothing_heard(self.last - self.first)
        simulate_into(outcomes, self.population.recipe, x, self.population.book, self.first, heard, chosen)

    def _simulate(self, x: Tables, *, credited: bool) -> Outcomes:
        recipe, book, n = self.population.recipe, self.population.book, self.last - self.first
        if recipe.world.has_desks:
            events, customers = range_simulator(recipe.world)(recipe, x, self.first, self.last)
            return outcomes_of_tables(events, customers, book, self.first, credited=credited)
        outcomes = Outcomes.empty(n, len(recipe.world.channels), credited=credited)
        heard = heard_by(recipe, x, self.first, self.last)
        simulate_into(outcomes, recipe, x, book, self.first, heard, np.arange(n))
        return outcomes


def switched_off(x: Tables, channels: Iterable[int], stage: int | None = None) -> Tables:
    """The tables of `World.without`: contacts on these channels are drawn but never made, in a stage or anywhere.

    A hundred times as fast as new tables, and there may be a thousand versions of a world.
    """
    on = np.ones_like(x.channel_active)
    on[slice(None) if stage is None else stage, list(channels)] = False
    return x._replace(channel_active=x.channel_active & on, is_plain=x.is_plain & on)


def meets_in(world: World, channel: str) -> list[str]:
    """Stages in which customers can meet a channel."""
    entry = next(c for c in world.channels if c.name == channel)
    if world.word_of_mouth is not None and world.word_of_mouth.channel == channel:
        return list(world.stage_names)
    triggered = {trigger.entering for trigger in entry.triggers if trigger.chance > 0}
    return [name for name in world.stage_names if entry.contacts_per_day.get(name, 0.0) > 0 or name in triggered]

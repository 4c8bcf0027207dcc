"""What twin runs of some customers add to the estimates: moments of effects, causes and Shapley values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from journeysim.simulation.moments import Moments
from journeysim.simulation.outcomes import LAST_MOVE, LAST_MOVE_VALUE
from journeysim.simulation.shapley import exact_values, sampled_values
from journeysim.simulation.twin_runs import Switch, Twins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.simulation.outcomes import Outcomes
    from journeysim.simulation.twin_runs import Population

    FloatArray = NDArray[np.float64]

Shapley = Literal["exact", "sampled"]
MIN_UNITS = 20
MIN_ORDERS = 100  # with 30 the error of a small channel was a quarter too small, by its skewness
"""Independent units that a standard error needs at least: from 20 it is itself known to 1 / sqrt(2 · 19), or 16%."""

# What `Moments` of effects (items: switches) hold, in this order: the world as it is, and what is lost without.
N, CONVERSIONS, REVENUE, COST, LOST_CONVERSIONS, LOST_REVENUE, LOST_COST, OWN_COST = range(8)
# Of causes (items: base and channels): the four credits of `outcomes.add_up`, then:
PURCHASES, PURCHASE_VALUE = 4, 5
# Of Shapley values (items: channels):
VALUE_CONVERSIONS, VALUE_REVENUE, ALL_CONVERSIONS, ALL_REVENUE = range(4)


@dataclass(frozen=True, slots=True)
class TruthPlan:
    """What to estimate.

    Attributes
    ----------
    switches : what is switched off, one after the other
    by_persona : whether also among the customers of each persona
    shapley : all coalitions, or one random order and its reverse for each call; None for no Shapley values
    """

    switches: tuple[Switch, ...]
    by_persona: bool = False
    causes: bool = True
    shapley: Shapley | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TwinSums:
    """Moments by group of customers: everybody, then each persona if asked for. `shapley` is of everybody."""

    effects: tuple[Moments, ...]
    causes: tuple[Moments, ...]
    shapley: Moments | None

    def __add__(self, other: TwinSums) -> TwinSums:
        """The estimates from the customers of both."""
        return TwinSums(
            tuple(a + b for a, b in zip(self.effects, other.effects, strict=True)),
            tuple(a + b for a, b in zip(self.causes, other.causes, strict=True)),
            None if self.shapley is None or other.shapley is None else self.shapley + other.shapley,
        )


def estimate(population: Population, plan: TruthPlan, first: int, last: int) -> TwinSums:
    """The estimates from customers first..last-1; whole markets where customers are coupled."""
    twins = Twins(population, first, last)
    full = twins.everything_on()
    n = last - first
    groups = [np.ones(n)]
    if plan.by_persona:
        groups += [(full.persona == p).astype(float) for p in range(len(population.recipe.world.personas))]

    def by_group(values: FloatArray) -> list[FloatArray]:
        """Totals (units, ...) of values (n, ...) of each group's customers."""
        shape = (n, *(1,) * (values.ndim - 1))
        return [population.unit_totals(values * group.reshape(shape)) for group in groups]

    effects: list[list[FloatArray]] = [[] for _ in groups]
    for switch in plan.switches:
        lost = full.measures - twins.without(switch, full).measures
        columns = [np.ones(n), *full.measures.T, *lost.T, _own_cost(population, switch, full)]
        for collected, totals in zip(effects, by_group(np.column_stack(columns)), strict=True):
            collected.append(totals)
    causes: list[Moments] = []
    if plan.causes:
        bought = full.credited[..., [LAST_MOVE, LAST_MOVE_VALUE]].sum(axis=1, keepdims=True)
        credited = np.concatenate([full.credited, np.broadcast_to(bought, (*full.credited.shape[:2], 2))], axis=2)
        causes = [Moments.of(totals) for totals in by_group(credited)]
    return TwinSums(
        tuple(Moments.of(np.stack(collected, axis=1)) for collected in effects),
        tuple(causes),
        None if plan.shapley is None else _shapley(twins, full, plan.shapley),
    )


def _own_cost(population: Population, switch: Switch, full: Outcomes) -> FloatArray:
    """(n,) what the contacts of the channels cost in the world as it is; NaN for one stage, where nobody counted."""
    if switch.stage is not None:
        return np.full(len(full.measures), np.nan)
    numbers = [population.recipe.world.channel_names.index(name) for name in switch.channels]
    cost: FloatArray = full.contacts[:, numbers] @ population.book.cost[numbers]
    return cost


def _shapley(twins: Twins, full: Outcomes, how: Shapley) -> Moments:
    """Moments of Shapley values. Sampled ones are added up to one unit per order: an order and its customers are drawn
    independently of all others, so the error of the mean of such units includes that of the orders.
    """
    population = twins.population
    everything = population.unit_totals(full.measures[:, :2])
    if how == "exact":
        values = exact_values(twins, full)
    else:
        order = np.random.default_rng((population.recipe.seed, twins.first)).permutation(full.contacts.shape[1])
        values = sampled_values(twins, full, order.tolist()).sum(axis=0, keepdims=True)
        everything = everything.sum(axis=0, keepdims=True)
    everything = np.broadcast_to(everything[:, None], (*values.shape[:2], 2))
    return Moments.of(np.concatenate([values, everything], axis=2))


def customers_at_once(population: Population, plan: TruthPlan) -> int:
    """How many customers one call of `estimate` shall simulate: what it holds in memory stays below some 100 MB."""
    n_channels = len(population.recipe.world.channels)
    n = max(64, min(4096, 2**19 // len(plan.switches)))
    if plan.shapley == "exact":
        n = min(n, 2**21 >> n_channels)
    elif plan.shapley == "sampled":
        n = min(n, 256)  # orders vary more than customers do, so there must be many
    if population.coupled:
        size = population.recipe.world.market_size
        return math.ceil(n / size) * size
    return n

"""Plan: a recipe cut into shards, which are what workers write and what a stopped run goes on from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from journeysim.simulation.engine import CHUNK_CUSTOMERS
from journeysim.simulation.engines import resolved, whole_units
from journeysim.simulation.recipe import MAX_CUSTOMERS, whole_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from journeysim.simulation.engines import Engine
    from journeysim.simulation.recipe import Recipe

MOST = 16 * CHUNK_CUSTOMERS  # customers per shard: seconds of work
SHARDS = 8  # at least, if there are customers enough, so that several cores have work


@dataclass(frozen=True, slots=True)
class Plan:
    """Which customers go into which shard. Equal plans give equal logs, whoever writes them."""

    recipe: Recipe
    engine: Engine
    shard_customers: int

    def __len__(self) -> int:
        return math.ceil(self.recipe.n_customers / self.shard_customers)

    def chunks(self, number: int) -> Iterator[tuple[int, int]]:
        """The customers of a shard as ranges that are simulated one after the other: first, last + 1."""
        first = number * self.shard_customers
        last = min(first + self.shard_customers, self.recipe.n_customers)
        size = whole_units(self.recipe.world, self.engine, 1 if self.engine == "simpy" else CHUNK_CUSTOMERS)
        return ((begin, min(begin + size, last)) for begin in range(first, last, size))

    def to_json(self) -> dict[str, Any]:
        """All that determines the log and its parts, as plain values; `World.from_yaml` reads the world back."""
        recipe = self.recipe
        return {
            "world": recipe.world.to_yaml(),
            "n_customers": int(recipe.n_customers),
            "horizon_days": recipe.horizon_days,
            "seed": int(recipe.seed),
            "start": recipe.start.isoformat(),
            "engine": self.engine,
            "shard_customers": int(self.shard_customers),
            "journeysim": recipe.provenance["journeysim"],
        }


def plan_shards(recipe: Recipe, engine: Engine = "auto", shard_customers: int | None = None) -> Plan:
    """Cut a population, without regard to the machine: another one may go on with the work.

    Raises
    ------
    InputError : shard_customers is out of its range, or the engine cannot run the world
    """
    engine = resolved(recipe.world, engine)
    if shard_customers is None:
        even = math.ceil(recipe.n_customers / SHARDS / CHUNK_CUSTOMERS) * CHUNK_CUSTOMERS
        shard_customers = 1 if engine == "simpy" else min(even, MOST)  # 1 becomes one market: SimPy takes its time
    whole_number("shard_customers", shard_customers, 1, MAX_CUSTOMERS)
    return Plan(recipe, engine, whole_units(recipe.world, engine, shard_customers))


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """What differs between two plans as `Plan.to_json` gives them, in words; empty if nothing does."""
    said = []
    for name, value in here.items():
        other = there.get(name)
        if other == value:
            continue
        if name == "world" and isinstance(other, str):
            said.append(f"the world {_first_difference(other, value)}")
        else:
            said.append(f"{name} is {other} there and {value} here")
    return ", ".join(said)


def _first_difference(there: str, here: str) -> str:
    lines = [[line.strip() for line in text.splitlines()] + ["(its end)"] for text in (there, here)]
    old, new = next(pair for pair in zip(*lines, strict=False) if pair[0] != pair[1])
    return f"says {old!r} there and {new!r} here"

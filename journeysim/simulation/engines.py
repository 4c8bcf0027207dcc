"""Which engine simulates a world: the compiled kernel, or SimPy where customers share staff."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, get_args

from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from journeysim.simulation.recipe import Recipe
    from journeysim.simulation.tables import Tables
    from journeysim.spec import World

    RangeSimulator = Callable[[Recipe, Tables, int, int], tuple[list[pa.Table], pa.Table]]

Engine = Literal["auto", "compiled", "simpy"]
ENGINES: tuple[Engine, ...] = get_args(Engine)


def range_simulator(world: World, engine: Engine = "auto") -> RangeSimulator:
    """The function that simulates a range of customers: events and customers from (recipe, tables, first, last).

    Both engines write the same log, bit for bit, where both can run.

    Raises
    ------
    InputError : no engine has this name, or the compiled one is asked for a world with desks
    """
    if resolved(world, engine) == "simpy":
        from journeysim.simulation.desks import simulate_range_on_simpy

        return simulate_range_on_simpy
    from journeysim.simulation.chunk import simulate_range

    return simulate_range


def resolved(world: World, engine: Engine = "auto") -> Engine:
    """The engine that runs: `auto` takes the compiled one unless the world has desks. Raises as `range_simulator`."""
    if engine not in ENGINES:
        raise InputError(f"engine is {engine!r}; it must be one of {', '.join(ENGINES)}.")
    if engine == "compiled" and world.has_desks:
        desks = ", ".join(repr(channel.name) for channel in world.channels if channel.desk)
        raise InputError(
            f"World {world.name!r} has desks ({desks}): customers who share staff meet in real time, which the "
            "compiled engine cannot do. Use the engine 'auto' or 'simpy', or take the desks away."
        )
    if engine == "auto":
        return "simpy" if world.has_desks else "compiled"
    return engine


def couples_customers(world: World, engine: Engine = "auto") -> bool:
    """Whether customers of a market must be simulated together: ranges are then whole markets."""
    return world.word_of_mouth is not None or world.has_desks or engine == "simpy"


def whole_units(world: World, engine: Engine, n_customers: int) -> int:
    """The number of customers, rounded up to whole markets where these must be simulated together."""
    if not couples_customers(world, engine):
        return n_customers
    return math.ceil(n_customers / world.market_size) * world.market_size

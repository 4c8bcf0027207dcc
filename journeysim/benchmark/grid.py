"""Grid: which worlds, methods, sample sizes and seeds a run of the benchmark takes; YAML in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from journeysim.benchmark.cases import Case, load_case
from journeysim.benchmark.contestants import Contestant, expanded
from journeysim.benchmark.random_worlds import random_case
from journeysim.errors import InputError
from journeysim.parts import Name, Part
from journeysim.yaml_files import read_model

if TYPE_CHECKING:
    from collections.abc import Mapping


def _named(value: object) -> object:
    """A method by its name alone is one with default settings."""
    return {"method": value} if isinstance(value, str) else value


class RandomWorlds(Part):
    """Worlds drawn from the stated prior, one for each seed."""

    n_worlds: Annotated[int, Field(ge=1, le=10_000)] = Field(description="how many")
    first_seed: Annotated[int, Field(ge=0)] = Field(description="of the first; the others follow it")


class Grid(Part):
    """A benchmark as data: every method meets every sample of every world."""

    name: Name = Field(description="of the grid")
    worlds: tuple[str, ...] = Field(default=(), description="files of cases, relative to this one")
    random_worlds: RandomWorlds | None = Field(default=None, description="worlds drawn at random, too")
    methods: tuple[Annotated[Contestant, BeforeValidator(_named)], ...] = Field(description="names, or with settings")
    customers: tuple[Annotated[int, Field(ge=2, le=100_000_000)], ...] = Field(description="sizes of the samples")
    seeds: tuple[Annotated[int, Field(ge=0, lt=1 << 31)], ...] = Field(description="of the samples")
    level: Annotated[float, Field(gt=0, lt=1)] = Field(default=0.9, description="of intervals")


class Plan:
    """A grid with its cases read: what `run_benchmark` takes.

    Attributes
    ----------
    cases, contestants : read and expanded
    """

    def __init__(
        self,
        grid: Grid,
        cases: tuple[Case, ...],
        contestants: tuple[Contestant, ...] | None = None,
    ) -> None:
        self.grid = grid
        self.cases = cases
        self.contestants = expanded(grid.methods) if contestants is None else contestants
        names = [case.name for case in cases]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"Two cases are called {name!r}; give each world of a grid its own name.")
        if not names or not self.contestants or not grid.customers or not grid.seeds:
            raise InputError(f"Grid {grid.name!r} has nothing to run; it needs worlds, methods, customers and seeds.")

    def only(self, *, methods: tuple[Contestant, ...] = (), worlds: tuple[str, ...] = ()) -> Plan:
        """With these methods instead, and with some of the worlds.

        Raises
        ------
        InputError : there is no such world
        """
        known = [case.name for case in self.cases]
        for name in worlds:
            if name not in known:
                raise InputError(f"Grid {self.grid.name!r} has no world {name!r}; it has {', '.join(known)}.")
        cases = tuple(case for case in self.cases if not worlds or case.name in worlds)
        return Plan(self.grid, cases, expanded(methods) if methods else self.contestants)


def read_grid(path: str | Path, *, first_seed: int | None = None) -> Plan:
    """A grid and its cases from YAML.

    Parameters
    ----------
    first_seed : of the random worlds, in the place of the one in the file: other worlds from the same prior

    Raises
    ------
    InputError : a file is missing or wrong, or a method is unknown
    """
    path = Path(path)
    grid = read_model(path, Grid)
    cases = [load_case(path.parent / file) for file in grid.worlds]
    if drawn := grid.random_worlds:
        first = drawn.first_seed if first_seed is None else first_seed
        cases += [random_case(seed) for seed in range(first, first + drawn.n_worlds)]
    return Plan(grid, tuple(cases))


def settings_text(settings: Mapping[str, Any]) -> str:
    """As rows have them: `order=2, seed=1`; empty for the defaults."""
    return ", ".join(f"{name}={value}" for name, value in settings.items())

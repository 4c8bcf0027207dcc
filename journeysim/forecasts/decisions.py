"""Decisions: does a scenario pay, which is best, and which set of them under a budget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import StringIO
from itertools import combinations
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from journeysim.bayes.intervals import central
from journeysim.bayes.priors import is_number
from journeysim.errors import InputError
from journeysim.forecasts.result import LEVEL, LOWER_IS_BETTER, RETAINED, ROUNDING, Forecast, chance
from journeysim.scenario import combine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from journeysim.scenario import Scenario

    FloatArray = NDArray[np.float64]

NOTHING: Final = "change nothing"
"""The choice that is always there: it gains and costs nothing."""

MOST_SETS: Final = 500
"""Sets of scenarios that are all forecast; beyond, the search is greedy."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a scenario costs, in the currency of the log: a fixed sum, and so much per customer."""

    fixed: float = 0.0
    per_customer: float = 0.0

    def __post_init__(self) -> None:
        if not all(is_number(x) and x >= 0 for x in (self.fixed, self.per_customer)):
            raise InputError(f"Cost: fixed is {self.fixed!r}, per_customer {self.per_customer!r}; both must be >= 0.")

    def total(self, population: int) -> float:
        """For so many customers."""
        return self.fixed + self.per_customer * population


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """Net gains of scenarios for a population, draw by draw.

    Attributes
    ----------
    scenarios : the K names, by expected net gain, the best first
    measure, population : what was counted, over how many customers
    gross, net : (N, K) gain before and after the cost of the scenario
    cost : (K,)
    currency : or None if unknown
    source : of the forecast
    note : what to know of how they were found; "" if nothing
    """

    scenarios: tuple[str, ...]
    measure: str
    population: int
    gross: FloatArray
    net: FloatArray
    cost: FloatArray
    currency: str | None = None
    source: Literal["closed form", "simulated"] = "closed form"
    note: str = ""

    @property
    def best(self) -> str:
        """The choice with the largest expected net gain; `NOTHING` if no scenario is expected to pay."""
        return self.scenarios[0] if self.scenarios and self.net[:, 0].mean() > 0 else NOTHING

    def to_frame(self) -> pl.DataFrame:
        """One row per choice, the best first, `NOTHING` last.

        Columns: scenario, cost, gain (expected, net of cost) with its 90% interval low to high; p_helps (the gross gain
        is positive), p_pays (the net gain is), p_best (no other choice nets more; ties share), and regret, the expected
        loss against who knew each draw: mean over draws of max over choices of net gain, minus that of this choice.
        """
        choices = np.column_stack([self.net, np.zeros(len(self.net))])
        most = choices.max(axis=1)
        ties = choices >= most[:, None]
        low, high = central(choices, LEVEL)
        return pl.DataFrame(
            {
                "scenario": [*self.scenarios, NOTHING],
                "cost": [*self.cost.tolist(), 0.0],
                "gain": choices.mean(axis=0),
                "low": low,
                "high": high,
                "p_helps": [*chance(self.gross > ROUNDING, self.source).tolist(), None],
                "p_pays": [*chance(self.net > 0, self.source).tolist(), None],
                "p_best": (ties / ties.sum(axis=1, keepdims=True)).mean(axis=0),
                "regret": (most[:, None] - choices).mean(axis=0),
            }
        )

    def __str__(self) -> str:
        """The table in 80 columns."""
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column("scenario", overflow="fold")
        for name in ("cost", "net gain", "90% interval", "helps", "pays", "is best", "regret"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in self.to_frame().iter_rows(named=True):
            shares = ("" if row[name] is None else f"{row[name]:.0%}" for name in ("p_helps", "p_pays", "p_best"))
            interval = f"{_short(row['low'])} to {_short(row['high'])}"
            table.add_row(
                Text(row["scenario"]),
                _short(row["cost"]),
                _short(row["gain"]),
                interval,
                *shares,
                _short(row["regret"]),
            )
        console = Console(file=StringIO(), width=80, color_system=None)
        unit = self.currency or "the currency of the log"
        with console.capture() as capture:
            console.print(f"{self.measure} of {self.population:,} customers, in {unit}", highlight=False)
            console.print(table)
            console.print("Helps, pays, is best: probabilities. Regret: mean loss against knowing best.")
            if self.note:
                console.print(Text(self.note))
        return "\n".join(line.rstrip() for line in capture.get().strip("\n").splitlines())


def decide(
    forecast: Forecast,
    *,
    population: int,
    costs: Mapping[str, Cost],
    measure: str = "profit",
    worth: float = 1.0,
) -> Decision:
    """Rank the scenarios of a forecast by what they net for a population.

    Parameters
    ----------
    population : customers who start and whom the change reaches, bought or not
    costs : by scenario; one that is not named costs nothing
    measure : what is gained. Of money, the sum per customer who starts; of `conversion` and `purchases`, how many; of
        `retention`, how many retained buyers: customers who convert and are still active later, conversion times
        retention with the scenario minus without it, so that a scenario that wins more buyers retains more
    worth : in currency, of one unit of the measure: 1 for money, or what a converted customer, a purchase or a retained
        buyer is worth

    Raises
    ------
    InputError : the population is not a positive number, a cost is of an unknown scenario, the forecast has no such
        measure, or worth is not a number
    """
    if not isinstance(forecast, Forecast):
        raise InputError(f"decide takes what forecast gives, got {type(forecast).__name__}.")
    if not (is_number(population) and population > 0):
        raise InputError(f"population is {population!r}; it must be a positive number of customers.")
    if measure == "retention":
        measure = RETAINED
    if unknown := [name for name in costs if name not in forecast.scenarios]:
        raise InputError(f"costs names {unknown[0]!r}; the scenarios are {', '.join(forecast.scenarios)}.")
    if odd := [name for name, cost in costs.items() if not isinstance(cost, Cost)]:
        raise InputError(f"costs of {odd[0]!r} is {costs[odd[0]]!r}; give Cost(fixed=..., per_customer=...).")
    if not is_number(worth):
        raise InputError(f"worth is {worth!r}; it must be a number: what one unit of {measure} is worth.")
    sign = -1.0 if measure in LOWER_IS_BETTER else 1.0
    gross = np.empty((len(forecast.baseline.conversion), len(forecast.scenarios)))
    for k, name in enumerate(forecast.scenarios):
        gross[:, k] = sign * worth * population * forecast.difference(name, measure)
    cost = np.array([costs.get(name, Cost()).total(population) for name in forecast.scenarios])
    net = gross - cost
    order = np.argsort(-net.mean(axis=0), kind="stable")
    return Decision(
        scenarios=tuple(forecast.scenarios[k] for k in order),
        measure=measure,
        population=population,
        gross=gross[:, order],
        net=net[:, order],
        cost=cost[order],
        currency=forecast.currency,
        source=forecast.source,
        note=" ".join(filter(None, (_noisy(forecast, measure), *forecast.notes))),
    )


def choose_within_budget(
    scenarios: Sequence[Scenario],
    forecasts: Callable[[Sequence[Scenario]], Forecast],
    *,
    budget: float,
    population: int,
    costs: Mapping[str, Cost],
    measure: str = "profit",
    worth: float = 1.0,
) -> Decision:
    """Rank sets of scenarios that a budget allows, each set forecast jointly: gains of a journey do not add up.

    All sets are forecast if there are at most `MOST_SETS`. Otherwise scenarios are added one at a time, each time the
    one with which the set is expected to net most; the note of the result says so.

    Parameters
    ----------
    forecasts : how to forecast some scenarios, such as
        `lambda some: forecast(posterior, some, conversion_days=90, retention_days=30, money=money)`
    budget : what a set may cost
    costs, population, measure, worth : as `decide`; costs of a set add up

    Raises
    ------
    InputError : no scenario is within the budget, or as `decide`
    """
    known = {scenario.name for scenario in scenarios}
    if unknown := [name for name in costs if name not in known]:
        raise InputError(f"costs names {unknown[0]!r}; the scenarios are {', '.join(sorted(known))}.")

    def cost(some: tuple[Scenario, ...]) -> Cost:
        parts = [costs.get(scenario.name, Cost()) for scenario in some]
        return Cost(sum(part.fixed for part in parts), sum(part.per_customer for part in parts))

    def affordable(some: tuple[Scenario, ...]) -> bool:
        return cost(some).total(population) <= budget

    def ranked(sets: Sequence[tuple[Scenario, ...]]) -> Decision:
        joint = [combine(*some) for some in sets]
        named = {whole.name: cost(some) for whole, some in zip(joint, sets, strict=True)}
        return decide(forecasts(joint), population=population, costs=named, measure=measure, worth=worth)

    singles = [(scenario,) for scenario in scenarios if affordable((scenario,))]
    if not singles:
        raise InputError(f"No scenario is within the budget of {budget:,.10g}.")
    pool = [single[0] for single in singles]
    sets: list[tuple[Scenario, ...]] = []
    for some in (some for size in range(1, len(pool) + 1) for some in combinations(pool, size)):
        if affordable(some):
            sets.append(some)
        if len(sets) > MOST_SETS or (len(pool) > 20 and len(some) > 2):
            return _greedy(pool, affordable, ranked)
    return ranked(sets)


def _greedy(
    pool: Sequence[Scenario],
    affordable: Callable[[tuple[Scenario, ...]], bool],
    ranked: Callable[[Sequence[tuple[Scenario, ...]]], Decision],
) -> Decision:
    """Add the scenario that nets most, until none fits or none helps; rank all sets that were looked at."""
    looked: list[tuple[Scenario, ...]] = []
    chosen: tuple[Scenario, ...] = ()
    best = 0.0
    while True:
        candidates = [(*chosen, s) for s in pool if s not in chosen and affordable((*chosen, s))]
        if not candidates:
            break
        looked += candidates
        found = ranked(candidates)
        if found.net[:, 0].mean() <= best:
            break
        best = float(found.net[:, 0].mean())
        chosen = next(some for some in candidates if combine(*some).name == found.scenarios[0])
    whole = ranked(looked)
    note = f"Greedy search: {len(looked)} of the possible sets were forecast; a better one may exist. {whole.note}"
    return replace(whole, note=note.strip())


def _noisy(forecast: Forecast, measure: str) -> str:
    """What to know of scenarios whose gains have Monte Carlo noise left in; "" of none."""
    noisy = [name for name in forecast.scenarios if forecast.left_in(name, measure)]
    if not noisy:
        return ""
    return (
        f"Monte Carlo noise is left in the gain of {', '.join(noisy)}: intervals are too wide, probabilities not sure "
        "enough. More customers per world (n_customers) make them sharper."
    )


def _short(number: float) -> str:
    """A sum of money in at most seven characters."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= size:
            shown = number / (1e3 if letter == "k" else size)
            return f"{shown:.1f}{letter}"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.2f}"

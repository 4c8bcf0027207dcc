"""truth(world): what each channel really does, to a precision that is asked for, and how many customers that took."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from journeysim.errors import InputError
from journeysim.simulation.estimates import (
    ALL_CONVERSIONS,
    CONVERSIONS,
    LOST_CONVERSIONS,
    MIN_ORDERS,
    MIN_UNITS,
    VALUE_CONVERSIONS,
    Shapley,
    TruthPlan,
    TwinSums,
    customers_at_once,
    estimate,
)
from journeysim.simulation.recipe import MAX_CUSTOMERS, START, Recipe, whole_number
from journeysim.simulation.shapley import MAX_EXACT_CHANNELS
from journeysim.simulation.truth_frames import to_rows
from journeysim.simulation.truth_result import Truth
from journeysim.simulation.twin_runs import Population, Switch, meets_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from journeysim.spec import World

    FloatArray = NDArray[np.float64]

By = Literal["persona", "stage"]
FIRST_ROUND = 16_384  # customers
GROWTH = 2.0  # of the population from one round to the next, at most: early errors are rough
MARGIN = 1.03
RULE_OF_THREE = 3.0  # an event unseen in n trials has less than a chance of 3 / n, with 95% confidence
Z95 = 1.96


def truth(
    world: World,
    *,
    seed: int,
    horizon_days: float | None = None,
    precision: float = 0.005,
    max_customers: int = 1_000_000,
    by: By | None = None,
    together: Sequence[Sequence[str]] = (),
    shapley: bool | Shapley = False,
    start: datetime = START,
    threads: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Truth:
    """Incremental effects, causal shares and, if asked for, Shapley values of the channels of a world.

    Customers are simulated in rounds, in the world and its twins without channels, on common random numbers, until the
    standard error of every channel's effect on conversions is at most `precision`, or `max_customers` are reached;
    `Truth.status` says which. Nothing is kept but sums. The same arguments give the same numbers on any number of
    threads. `docs/truth.md` defines every measure.

    Parameters
    ----------
    horizon_days : length of the window; by default the world's own
    precision : largest standard error, as a share of all conversions, in (0, 1); of each channel's effect among all
        customers, with by="stage" also of each effect in one stage, and of each Shapley value if they are asked for
    by : persona: effects and causes also among the customers of each persona. stage: also the effects of switching a
        channel off in one stage only, for each stage in which it is met
    together : sets of channels whose joint effect is wanted; that of all channels always is
    shapley : exact: from all coalitions, for up to 10 channels; sampled: from random orders of the channels; True takes
        exact where it can
    start, threads : as `simulate`
    on_progress : called with the customers done, and the customers that will do as far as is known

    Raises
    ------
    InputError : an argument is out of its range; the world has no channels; or `max_customers` holds too few
        independent units (markets, where word travels or desks are shared) for an honest error
    """
    if not 0 < precision < 1:
        raise InputError(f"precision is {precision}; it must be a share of conversions above 0 and below 1.")
    if by not in (None, "persona", "stage"):
        raise InputError(f"by is {by!r}; it must be 'persona', 'stage' or None.")
    whole_number("max_customers", max_customers, 2, MAX_CUSTOMERS)
    threads = (os.cpu_count() or 1) if threads is None else threads
    whole_number("threads", threads, 1, 1024)
    days = world.horizon_days if horizon_days is None else horizon_days
    plan = TruthPlan(_switches(world, by, together), by_persona=by == "persona", shapley=_method(world, shapley))
    population = Population(Recipe(world, max_customers, days, seed, start))
    rounds = _Rounds(population, plan, precision, max_customers)
    population.recipe = replace(population.recipe, n_customers=rounds.most)  # whole markets only

    pool = ThreadPoolExecutor(threads)
    try:
        total, done, goal = None, 0, rounds.first
        while True:
            parts = range(done, goal, rounds.step)
            each = pool.map(lambda first: estimate(population, plan, first, min(first + rounds.step, goal)), parts)  # noqa: B023
            for part in each:
                total = part if total is None else total + part
                done = min(done + rounds.step, goal)
                if on_progress:
                    on_progress(done, goal)
            assert total is not None  # noqa: S101  # a round has a part
            largest = rounds.largest_error(total)
            if (reached := rounds.is_precise(total)) or done >= rounds.most:
                break
            goal = rounds.next_goal(total, done)
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt shall not wait for the rest of the round
    return Truth(
        world=world.name,
        horizon_days=float(days),
        seed=seed,
        currency=world.currency,
        precision=precision,
        largest_error=largest,
        reached=reached,
        n_customers=done,
        n_conversions=int(total.effects[0].totals[0, CONVERSIONS]),
        customers_needed=rounds.needed(total, done),
        unit=population.unit,
        n_units=total.effects[0].n_units,
        shapley=plan.shapley,
        n_orders=2 * total.shapley.n_units if total.shapley and plan.shapley == "sampled" else None,
        rows=to_rows(world, plan, total),
    )


def _switches(world: World, by: By | None, together: Sequence[Sequence[str]]) -> tuple[Switch, ...]:
    """Each channel, all of them, the sets asked for, and each channel in each stage."""
    if not world.channels:
        raise InputError(f"World {world.name!r} has no channels: there is nothing to switch off.")
    names = world.channel_names
    if isinstance(together, str) or any(isinstance(channels, str) for channels in together):
        raise InputError(f"together is {together!r}; it must be a list of lists of channels.")
    for channels in together:
        world.without(*channels)  # says which name is unknown
        if len(set(channels)) < 2:
            raise InputError(f"together has the set {list(channels)}; name two different channels at least.")
    sets = [tuple(name for name in names if name in channels) for channels in together]
    switches = [*(Switch((name,)) for name in names), Switch(names), *(Switch(channels) for channels in sets)]
    if by == "stage":
        switches += [Switch((name,), stage) for name in names for stage in meets_in(world, name)]
    return tuple(dict.fromkeys(switches))


def _method(world: World, shapley: bool | Shapley) -> Shapley | None:
    n_channels = len(world.channels)
    if shapley is True:
        return "exact" if n_channels <= MAX_EXACT_CHANNELS else "sampled"
    if shapley is False or shapley == "sampled":
        return shapley or None
    if shapley != "exact":
        raise InputError(f"shapley is {shapley!r}; it must be True, False, 'exact' or 'sampled'.")
    if n_channels > MAX_EXACT_CHANNELS:
        raise InputError(
            f"shapley is 'exact', but World {world.name!r} has {n_channels} channels: 2**{n_channels} coalitions. "
            f"Up to {MAX_EXACT_CHANNELS} can be simulated; use 'sampled'."
        )
    return "exact"


class _Rounds:
    """How many customers a round simulates, and when to stop.

    Stopping when an estimated error is small enough is biased in principle, because one may stop on an error that is
    too small by luck. The bias vanishes with the number of units (Chow & Robbins 1965, Annals of Mathematical
    Statistics 36:2), which starts at thousands of customers or 20 markets; the tests measure the coverage.
    """

    def __init__(self, population: Population, plan: TruthPlan, precision: float, max_customers: int) -> None:
        self.precision = precision
        self.step = customers_at_once(population, plan)
        least, block, units = 2, 1, MIN_UNITS
        what = "customers"
        if plan.shapley == "sampled":
            block, what = self.step, f"orders of the channels, one for each {self.step:,} customers"
            units = MIN_UNITS if population.coupled else MIN_ORDERS
        elif population.coupled:
            block = population.recipe.world.market_size
            what = f"markets of {block:,} customers, who are not independent of each other (market_size)"
        if block > 1:
            least = units * block
        if max_customers < least:
            raise InputError(
                f"max_customers is {max_customers:,}; an honest error needs {units} {what}. Set it to {least:,} at "
                "least" + (", or make the markets of the world smaller." if population.coupled else ".")
            )
        self.most = max_customers // block * block
        self.least = least
        whole_steps = math.ceil(max(FIRST_ROUND, least) / self.step) * self.step
        self.first = min(whole_steps, self.most)
        self.tracked = np.array([len(switch.channels) == 1 for switch in plan.switches])

    def largest_error(self, total: TwinSums) -> float:
        """The largest standard error of a channel's effect, or Shapley value; NaN if one is unknown."""
        errors = [total.effects[0].ratio(LOST_CONVERSIONS, CONVERSIONS)[1][self.tracked]]
        if total.shapley is not None:
            errors.append(total.shapley.ratio(VALUE_CONVERSIONS, ALL_CONVERSIONS)[1])
        return float(np.concatenate(errors).max())

    def conversions_needed(self) -> float:
        """Conversions from which on an effect that was never seen is small enough to be called 0: the rule of three."""
        return RULE_OF_THREE / (Z95 * self.precision)

    def is_precise(self, total: TwinSums) -> bool:
        """Whether every error is small enough, and known well enough."""
        conversions = total.effects[0].totals[0, CONVERSIONS]
        return self.largest_error(total) <= self.precision and conversions >= self.conversions_needed()

    def needed(self, total: TwinSums, done: int) -> int | None:
        """About how many customers the precision needs, by the error so far, which falls with the square root of their
        number; no fewer than an honest error needs. None if that is unknown.
        """
        largest = self.largest_error(total)
        if not math.isfinite(largest):
            return None
        conversions = float(total.effects[0].totals[0, CONVERSIONS])
        share = max((largest / self.precision) ** 2, self.conversions_needed() / conversions)
        return max(math.ceil(done * share), self.least)

    def next_goal(self, total: TwinSums, done: int) -> int:
        """Customers after the next round: as many as seem needed, in whole steps, and at most twice as many."""
        needed = self.needed(total, done)
        most = GROWTH * done
        wanted = most if needed is None else min(MARGIN * needed, most)
        return min(done + max(1, math.ceil((wanted - done) / self.step)) * self.step, self.most)

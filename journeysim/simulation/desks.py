"""The second engine: the same world on SimPy, a generator per customer, with desks that customers queue for.

Customers who share staff meet in real time, which the compiled kernel cannot do. Here every customer is a SimPy process
that draws from the same rules (`rules`, interpreted instead of compiled), so that on a world without desks both engines
write the same log, bit for bit. Customers keep their own absolute times; SimPy's clock only orders who is next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy

from journeysim.parts import MAX_NAMES, WEEKDAYS
from journeysim.simulation import rules
from journeysim.simulation.journey import Row, journey
from journeysim.simulation.people import people
from journeysim.simulation.rng import STREAM_DESK, draw, exponential, uniform
from journeysim.simulation.rows import HAS_VALUE, Rows, to_table

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import pyarrow as pa

    from journeysim.parts import Desk
    from journeysim.simulation.recipe import Recipe
    from journeysim.simulation.tables import Tables

    Process = Generator[simpy.Event, Any, None]

U64 = np.uint64
MINUTES_PER_DAY = 1440.0
OFF_DUTY, CALL = 0, 1  # priorities at a counter: the lower comes first
AN_INSTANT = 1e-9  # days: the clock may be a rounding error early


def simulate_range_on_simpy(recipe: Recipe, x: Tables, first: int, last: int) -> tuple[list[pa.Table], pa.Table]:
    """As `chunk.simulate_range`: events and customers first..last-1, who make up whole markets."""
    rows: list[Row] = []
    personas: list[int] = []
    n_rows: list[int] = []
    for begin in range(first, last, x.market_size):
        market = Market(recipe, x, begin, min(begin + x.market_size, last))
        market.run()
        for customer in market.customers:
            rows += customer.rows
            personas.append(customer.persona)
            n_rows.append(len(customer.rows))
    events = to_table(recipe.world, _rows(rows), np.array(n_rows), first, recipe.start_us)
    return [events], people(recipe, first, last, np.array(personas, np.uint8))


def _rows(rows: Sequence[Row]) -> Rows:
    time, code, value = (np.array(column) for column in zip(*rows, strict=True))
    return Rows(time, code + np.where(np.isnan(value), U64(0), U64(HAS_VALUE)), value)


@dataclass(slots=True, eq=False)
class Customer:
    """What others can reach of a customer: where the journey is, letters and the outcome of calls, and the log."""

    number: int
    persona: int
    satisfaction: float
    process: simpy.Process | None = None
    heard: list[tuple[float, float]] = field(default_factory=list)  # (day, uniform that decides what it does)
    called: list[Outcome] = field(default_factory=list)
    calls: list[simpy.Process] = field(default_factory=list)
    n_calls: int = 0
    rows: list[Row] = field(default_factory=list)

    def tell(self) -> None:
        """Wake the customer, who waits for what was next before the news."""
        if self.process is not None and self.process.is_alive:
            self.process.interrupt()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: at day `time`, after waiting `hours`; served, or hung up, and then perhaps for good."""

    time: float
    channel: int
    effect: float
    hours: float
    served: bool
    gives_up: bool


class Market:
    """The customers of one market, their clock and their desks."""

    def __init__(self, recipe: Recipe, x: Tables, first: int, last: int) -> None:
        self.recipe, self.x, self.first = recipe, x, first
        self.seed = U64(recipe.seed)
        self.env = simpy.Environment()
        self.customers = []
        for number in range(first, last):
            persona = rules.pick_persona.py_func(x, self.seed, U64(number))
            self.customers.append(Customer(number, persona, float(x.satisfaction[persona])))
        world = recipe.world
        self.desks = {c: _Counter(self, c) for c, channel in enumerate(world.channels) if channel.desk}
        names = world.pain_point_names
        self.hangs_up = {c: names.index(counter.desk.pain_point) for c, counter in self.desks.items()}

    def run(self) -> None:
        """Let all customers live until the end of the window."""
        for customer in self.customers:
            customer.process = self.env.process(journey(self, customer))
        self.env.run(until=math.nextafter(self.recipe.horizon_days, math.inf))

    def until(self, time: float) -> simpy.Timeout:
        """The event that the clock has come to `time`."""
        return self.env.timeout(max(time - self.env.now, 0.0))


class _Counter:
    """The staff of one channel in one market."""

    def __init__(self, market: Market, channel: int) -> None:
        desk = market.recipe.world.channels[channel].desk
        assert desk is not None  # noqa: S101  # made for channels with a desk only
        self.desk, self.channel, self.market = desk, channel, market
        self.most = max([1, desk.staff, *(shift.staff for shift in desk.shifts)])
        self.staff = simpy.PriorityResource(market.env, capacity=self.most)
        if desk.shifts or desk.staff == 0:
            market.env.process(self._roster())

    def _roster(self) -> Process:
        """Keep those off duty away from the counter: for each a request that comes before all calls.

        Whoever is busy when a shift ends finishes the call first.
        """
        env = self.market.env
        hours = {0.0, 24.0, *(h for shift in self.desk.shifts for h in (shift.from_hour, shift.until_hour))}
        off_duty: list[Any] = []
        while True:
            now = env.now + self.market.x.day_fraction
            n_off = self.most - staff_at(self.desk, self.market.recipe.start.weekday(), now)
            while len(off_duty) < n_off:
                off_duty.append(self.staff.request(priority=OFF_DUTY))
            while len(off_duty) > n_off:
                back = off_duty.pop()
                if back.triggered:
                    self.staff.release(back)
                else:
                    back.cancel()
            day = math.floor(now + AN_INSTANT)  # else just before midnight no hour of the day would be left
            yield env.timeout(min(day + hour / 24 - now for hour in hours if day + hour / 24 > now + AN_INSTANT))

    def call(self, customer: Customer, effect: float, row: Row) -> Process:
        """One contact: queue, be served or hang up, and tell the customer how it ended. `row` learns how long it took.

        Service and patience are exponential. A customer who is gone for good by then just leaves the line.
        """
        env, desk, seed, who = self.market.env, self.desk, self.market.seed, U64(customer.number)
        r0, r1, r2, r3 = draw(seed, who, STREAM_DESK, U64(customer.n_calls), U64(self.channel))
        service = exponential(r0, r1) * desk.service_minutes / MINUTES_PER_DAY
        patience = exponential(r2, r3) * (desk.patience_minutes or math.inf) / MINUTES_PER_DAY
        r0, r1, _, _ = draw(seed, who, STREAM_DESK, U64(customer.n_calls), U64(MAX_NAMES + self.channel))
        gives_up = uniform(r0, r1) < desk.loses
        customer.n_calls += 1
        arrived = env.now
        try:
            with self.staff.request(priority=CALL) as turn:
                yield turn if patience == math.inf else turn | env.timeout(patience)
                hours = (env.now - arrived) * 24
                row[-1] = hours * 60
                if served := turn.triggered:
                    yield env.timeout(service)
        except simpy.Interrupt:
            return
        customer.called.append(Outcome(env.now, self.channel, effect, hours, served, gives_up and not served))
        customer.tell()


def staff_at(desk: Desk, first_weekday: int, day: float) -> int:
    """Staff on duty at a time in days since the midnight before the window; `first_weekday` is 0 for a Monday."""
    weekday = WEEKDAYS[(first_weekday + math.floor(day + AN_INSTANT)) % 7]
    hour = (day + AN_INSTANT) % 1 * 24
    for shift in desk.shifts:
        if weekday in shift.weekdays and shift.from_hour <= hour < shift.until_hour:
            return shift.staff
    return desk.staff

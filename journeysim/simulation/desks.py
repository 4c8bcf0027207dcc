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
from journeysim.simulation.people import people
from journeysim.simulation.rng import STREAM_DESK, draw, exponential, uniform
from journeysim.simulation.rows import (
    CAUSE_BASE,
    CSAT,
    HAS_VALUE,
    LOST_ROW,
    NONE,
    NPS,
    PAIN,
    PURCHASE,
    REFERRAL,
    STAGE,
    TOUCH,
    Rows,
    packed,
    to_table,
)
from journeysim.simulation.tables import EXIT, FORWARD

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    import pyarrow as pa

    from journeysim.parts import Desk
    from journeysim.simulation.recipe import Recipe
    from journeysim.simulation.tables import Tables

    Process = Generator[simpy.Event, Any, None]

U64 = np.uint64
MINUTES_PER_DAY = 1440.0
OFF_DUTY, CALL = 0, 1  # priorities at a counter: the lower comes first
AN_INSTANT = 1e-9  # days: the clock may be a rounding error early
UNKNOWN = math.nan  # a value that a row does not have


def simulate_range_on_simpy(recipe: Recipe, x: Tables, first: int, last: int) -> tuple[list[pa.Table], pa.Table]:
    """As `chunk.simulate_range`: events and customers first..last-1, who make up whole markets."""
    rows: list[_Row] = []
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


_Row = list[Any]  # time, code, value


def _rows(rows: Sequence[_Row]) -> Rows:
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
    rows: list[_Row] = field(default_factory=list)

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
            day = math.floor(now)
            yield env.timeout(min(day + hour / 24 - now for hour in hours if day + hour / 24 > now + AN_INSTANT))

    def call(self, customer: Customer, effect: float, row: _Row) -> Process:
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


def journey(market: Market, me: Customer) -> Process:
    """The life of a customer in the window, see `kernel._simulate_customers`: the same rules in the same order."""
    x, seed, recipe, who = market.x, market.seed, market.recipe, U64(me.number)
    horizon, p = recipe.horizon_days, me.persona
    n_channels, n_stages = len(x.fatigue), len(x.pushed)
    fresh, met = np.ones(n_channels), np.zeros(n_channels, bool)
    pressure, pressed_at = np.zeros(n_channels), np.zeros(n_channels)
    n_irritated = np.zeros(n_channels, np.uint64)
    visits = [0] * n_stages
    purchases = 0

    def log(time: float, kind: int, *, channel: int = NONE, stage: int, pain: int = NONE, cause: int = NONE) -> _Row:
        row = [time, _packed(kind, channel, stage, pain, cause), UNKNOWN]
        me.rows.append(row)
        return row

    gaps, effects = np.empty(rules.CONTACTS_AT_ONCE), np.empty(rules.CONTACTS_AT_ONCE)
    words = np.empty(rules.CONTACTS_AT_ONCE, np.uint64)
    n_contact = 0
    rules.draw_contacts(seed, who, U64(0), gaps, words, effects)
    until_contact = float(gaps[0])
    n_referral = 0
    until_referral = _referral_gap(seed, who, U64(0)) if x.referral_rate[p] > 0 else math.inf

    t, s, caused_by = 0.0, 0, NONE
    while True:
        # --- enter stage s at time t ---
        visit, stay = U64(visits[s]), U64(s << 16)
        visits[s] += 1
        log(t, STAGE, stage=s, cause=caused_by)
        if x.is_purchase[s]:
            log(t, PURCHASE, stage=s)[-1] = _basket_value(x, seed, who, p, U64(purchases))
            purchases += 1
        if x.is_experience[s]:
            me.satisfaction = _after_experience(x, seed, who, visit, stay, me.satisfaction)
        slows, pains_met = 1.0, []
        for place, k in enumerate(range(x.pain_start[s], x.pain_start[s + 1])):
            if _meets_pain(x, seed, who, p, visit, stay, k, place):
                slows *= x.pain_slows[k]
                pains_met.append((place, k))
                me.satisfaction = _within_bounds(me.satisfaction - x.pain_hurts[k])
                log(t, PAIN, stage=s, pain=x.pain_index[k])
        for question, kind in enumerate((CSAT, NPS)):
            score = _survey_score(x, seed, who, s, visit, stay, question, me.satisfaction)
            if score >= 0:
                log(t, kind, stage=s)[-1] = float(score)

        forward, out = slows, 1.0
        if purchases and x.satisfaction_effect > 0:
            factor = _satisfaction_factor(x, me.satisfaction)
            forward, out = forward * factor, out / factor

        # --- the earliest of the moves that no contact causes ---
        t_move, to, caused_by = math.inf, n_stages, CAUSE_BASE
        clocks: list[float] = []
        way_out = 0
        for m in range(x.move_to.shape[1]):
            if m % 2 == 0:
                clocks += _two_clocks(seed, who, visit, stay, m // 2)
            direction = x.move_direction[s, m]
            rate = x.move_rate[p, s, m] * {FORWARD: forward, EXIT: out}.get(direction, 1.0)
            if rate > 0:
                t_clock = _time_spent(x, s, t, clocks[m] / rate, direction == FORWARD)
                if t_clock < t_move:
                    t_move, to, caused_by = t_clock, int(x.move_to[s, m]), CAUSE_BASE
            if direction == EXIT:
                loses = 1.0
                for pain_place, k in pains_met:
                    added = rate * loses * (x.pain_loses[k] - 1.0)
                    loses *= x.pain_loses[k]
                    if added > 0:
                        t_clock = t + _pain_clock(seed, who, visit, stay, pain_place, way_out) / added
                        if t_clock < t_move:
                            t_move, to = t_clock, int(x.move_to[s, m])
                            caused_by = 1 + n_channels + int(x.pain_index[k])
                way_out += 1

        begin = x.trigger_start[s]
        pending = {}
        for j in range(begin, x.trigger_start[s + 1]):
            if _trigger_fires(x, seed, who, p, s, visit, stay, j, j - begin):
                pending[j] = t + x.trigger_delay[j]
        push = forward * x.influence[p, s]
        contact_rate = x.contact_rate[p, s]
        referral_rate = x.referral_rate[p] if x.advocates[s] else 0.0

        # --- contacts, referrals and calls until the first move ---
        t_spent = t_referred = t
        t_contact = t + until_contact / contact_rate if contact_rate > 0 else math.inf
        t_refer = t + until_referral / referral_rate if referral_rate > 0 else math.inf
        while True:
            t_trigger = min(pending.values(), default=math.inf)
            t_heard = me.heard[0][0] if me.heard else math.inf
            t_called = me.called[0].time if me.called else math.inf
            t_next = min(t_contact, t_trigger, t_refer, t_heard, t_called)
            try:
                yield market.until(min(t_next, t_move, horizon))
            except simpy.Interrupt:
                continue  # there is news
            if t_next >= t_move or t_next >= horizon:
                break
            if t_next == t_called:
                outcome = me.called.pop(0)
                c, w = outcome.channel, outcome.effect
                desk = market.desks[c].desk
                me.satisfaction = _within_bounds(me.satisfaction - outcome.hours * desk.hurts_per_hour)
                if not outcome.served:
                    pain = market.hangs_up[c]
                    log(t_next, PAIN, stage=s, pain=pain)
                    if outcome.gives_up:
                        t_move, to, caused_by = t_next, n_stages, 1 + n_channels + pain
                    continue
                made = True
            elif t_next == t_contact:
                drawn = n_contact % rules.CONTACTS_AT_ONCE
                c, w = int(_contact_channel(x, p, s, words[drawn])), float(effects[drawn])
                made = x.channel_active[s, c] and (
                    not x.has_calendar[c] or _is_open(x, seed, who, c, t_next, U64(n_contact))
                )
                n_contact += 1
                if n_contact % rules.CONTACTS_AT_ONCE == 0:
                    rules.draw_contacts(seed, who, U64(n_contact), gaps, words, effects)
                until_contact = float(gaps[n_contact % rules.CONTACTS_AT_ONCE])
                t_spent = t_contact
                t_contact = t_spent + until_contact / contact_rate
            elif t_next == t_trigger:
                j = min(pending, key=lambda trigger: (pending[trigger], trigger))
                c, w = int(x.trigger_channel[j]), _trigger_effect(seed, who, visit, stay, j - begin)
                made = x.channel_active[s, c]
                del pending[j]
            elif t_next == t_heard:
                c, w = x.word_of_mouth, me.heard.pop(0)[1]
                made = x.channel_active[s, c]
            else:
                log(t_next, REFERRAL, stage=s)
                named, acts = _referral(x, seed, who, U64(n_referral), recipe.n_customers)
                if named >= 0:
                    friend = market.customers[named - market.first]
                    friend.heard.append((t_next + x.referral_delay, acts))
                    friend.tell()
                n_referral += 1
                until_referral = _referral_gap(seed, who, U64(n_referral))
                t_referred = t_refer
                t_refer = t_referred + until_referral / referral_rate
                continue
            if not made:
                continue
            if t_next != t_called:
                row = log(t_next, TOUCH, channel=c, stage=s)
                if c in market.desks:  # it counts when it has been served
                    me.calls.append(market.env.process(market.desks[c].call(me, w, row)))
                    continue
            t_pushed = t_next + _influence_time(w, x.pull[p, s, c] * fresh[c], push, x.mean_life[c])
            if t_pushed < t_move:
                t_move, to, caused_by = t_pushed, int(x.pushed[s]), 1 + c
            fresh[c] *= x.fatigue[c]
            if x.has_synergy[c]:
                _meet_first(x, c, met, fresh)
            me.satisfaction = _within_bounds(me.satisfaction + x.service[c])
            if x.tolerated[c] < math.inf:
                pressure[c] = _pressure_after(x, c, pressure[c], t_next - pressed_at[c])
                pressed_at[c] = t_next
                if pressure[c] > x.tolerated[c]:
                    me.satisfaction = _within_bounds(me.satisfaction - x.irritation_hurts[c])
                    t_lost = t_next + _irritation_time(x, seed, who, c, n_irritated[c], out / x.patience[p])
                    n_irritated[c] += U64(1)
                    if t_lost < t_move:
                        t_move, to, caused_by = t_lost, n_stages, 1 + c

        if t_move >= horizon:
            return
        if contact_rate > 0:
            until_contact = max(until_contact - (t_move - t_spent) * contact_rate, 0.0)
        if referral_rate > 0:
            until_referral = max(until_referral - (t_move - t_referred) * referral_rate, 0.0)
        t = t_move
        if to == n_stages:
            log(t, LOST_ROW, stage=n_stages, cause=caused_by)
            for call in me.calls:
                if call.is_alive:
                    call.interrupt()
            return
        s = to


def _interpreted(rule: Any) -> Callable[..., Any]:
    """A rule as Python: handing sixty arrays to compiled code takes longer than the rule."""
    function: Callable[..., Any] = rule.py_func
    return function


_after_experience = _interpreted(rules.after_experience)
_basket_value = _interpreted(rules.basket_value)
_contact_channel = _interpreted(rules.contact_channel)
_influence_time = _interpreted(rules.influence_time)
_irritation_time = _interpreted(rules.irritation_time)
_is_open = _interpreted(rules.is_open)
_meet_first = _interpreted(rules.meet_first)
_meets_pain = _interpreted(rules.meets_pain)
_packed = _interpreted(packed)
_pain_clock = _interpreted(rules.pain_clock)
_pressure_after = _interpreted(rules.pressure_after)
_referral = _interpreted(rules.referral)
_referral_gap = _interpreted(rules.referral_gap)
_satisfaction_factor = _interpreted(rules.satisfaction_factor)
_survey_score = _interpreted(rules.survey_score)
_time_spent = _interpreted(rules.time_spent)
_trigger_effect = _interpreted(rules.trigger_effect)
_trigger_fires = _interpreted(rules.trigger_fires)
_two_clocks = _interpreted(rules.two_clocks)
_within_bounds = _interpreted(rules.within_bounds)

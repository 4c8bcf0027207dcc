"""A recipe as the arrays that the kernel reads: names become indices, parts become columns, dates become days."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from journeysim.moves import LOST
from journeysim.parts import MONTHS, WEEKDAYS, Calendar
from journeysim.simulation.rng import exp, log
from journeysim.simulation.rules import CONTACTS_AT_ONCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.simulation.recipe import Recipe
    from journeysim.spec import World

    FloatArray = NDArray[np.float64]
    IndexArray = NDArray[np.uint64]
    BoolArray = NDArray[np.bool_]

FORWARD, BACK, EXIT = 0, 1, 2
DIRECTIONS = {"forward": FORWARD, "back": BACK, "exit": EXIT}
NO_CHANNEL = -1
CLOCKS_AT_ONCE = 16
MOST_CLOCKS = 64  # where there are more, most are drawn in vain


class Tables(NamedTuple):
    """P personas, S stages, C channels, D days that the window touches; M, the most moves of a stage, made even (where
    a stage has fewer, the others have rate 0). Pain points and triggers are listed stage by stage; `*_start` (S + 1,)
    says where each stage's entries begin. Stage S stands for lost. Causes: 0 base, 1..C channels, then pain points.
    Indices are unsigned: a signed one may count from the end, which takes time.
    """

    move_to: IndexArray  # (S, M)
    move_rate: FloatArray  # (P, S, M) per day, including the persona's pace or patience and the price
    move_direction: IndexArray  # (S, M)
    clock_key: IndexArray  # (B,) of the clocks that are drawn before they are needed: stage and pair of moves
    rows_of_stay: IndexArray  # (S,) rows that must fit at an entry: what is written at once, and contacts drawn
    pushed: IndexArray  # (S,) the stage that contacts push towards; where there is none their pull is 0
    influence: FloatArray  # (P, S) multiplies what contacts do, including the price
    is_eventful: BoolArray  # (S,) whether an entry is a purchase, an experience, met by pain points or surveys
    is_purchase: BoolArray
    is_experience: BoolArray
    has_survey: BoolArray
    survey_response: FloatArray  # (S, 2) share that answers CSAT and NPS; 0 where not asked
    has_demand: BoolArray  # (S,) whether the stage has a calendar
    demand: FloatArray  # (S, D + 1) integral of its factor from the first midnight on
    day_fraction: float  # of its first day that is over when the window begins
    pain_start: IndexArray
    pain_index: IndexArray
    pain_chance: FloatArray
    pain_slows: FloatArray
    pain_loses: FloatArray
    pain_hurts: FloatArray
    trigger_start: IndexArray
    trigger_channel: IndexArray
    trigger_chance: FloatArray  # (P, J) of a contact, including the persona's reach and the volume
    trigger_delay: FloatArray  # days
    contact_rate: FloatArray  # (P, S) all channels together at the highest of their calendars, per day
    alias_threshold: IndexArray  # (P, S, C) of 2**32: below it column c
    alias_channel: IndexArray  # (P, S, C, 2) the other channel, and c itself
    pull: FloatArray  # (P, S, C) including the persona's appeal
    mean_life: FloatArray  # (C,) half-life / ln 2, days
    fatigue: FloatArray  # (C,)
    channel_active: BoolArray  # (S, C) whether contacts made in the stage are made
    has_calendar: BoolArray  # (C,) whether some of its contacts are not made
    open_share: FloatArray  # (C, D) share of the contacts drawn that are made: factor of the day / highest factor
    has_synergy: BoolArray  # (C,) whether meeting it changes the pull of others
    synergy: FloatArray  # (C, C) [met, changed]
    service: FloatArray  # (C,) added to satisfaction per contact
    tolerated: FloatArray  # (C,) pressure; infinite where contacts never irritate
    forgets: FloatArray  # (C,) ln 2 / forgotten_days
    irritation_loses: FloatArray  # (C,)
    irritation_hurts: FloatArray  # (C,)
    is_plain: BoolArray  # (S, C) active, and none of the rules from has_calendar on
    has_memory: bool  # whether a channel has synergy or irritates
    persona_until: FloatArray  # (P,) cumulative shares
    patience: FloatArray
    pain_sensitivity: FloatArray
    satisfaction: FloatArray
    basket_median: FloatArray  # (P,)
    basket_log_sd: float
    experience_shift: float
    experience_sd: float
    satisfaction_effect: float
    advocates: BoolArray  # (S,)
    referral_rate: FloatArray  # (P,) per day, of an advocate
    word_of_mouth: int  # the channel that a referral is a contact on, or NO_CHANNEL
    referral_delay: float  # days
    market_size: int


def tables(recipe: Recipe) -> Tables:
    """The arrays of a recipe."""
    world = recipe.world
    stages, channels, personas = world.stages, world.channels, world.personas
    index = {name: i for i, name in enumerate((*world.stage_names, LOST))}
    channel_index = {name: i for i, name in enumerate(world.channel_names)}

    n_moves = 2 * max((len(s.moves_per_day) + 1) // 2 for s in stages)
    move_to, move_direction = (np.full((len(stages), n_moves), fill, np.uint64) for fill in (0, BACK))
    move_rate = np.zeros((len(personas), len(stages), n_moves))
    for i, stage in enumerate(stages):
        for m, (to, rate) in enumerate(stage.moves_per_day.items()):
            way = world.direction(stage.name, to)
            move_to[i, m], move_direction[i, m] = index[to], DIRECTIONS[way]
            for j, persona in enumerate(personas):
                pace = {"forward": persona.pace, "back": 1.0, "exit": 1.0 / persona.patience}[way]
                move_rate[j, i, m] = rate * pace * _price_factor(world, persona.price_elasticity, to)
    pains = sorted(enumerate(world.pain_points), key=lambda numbered: index[numbered[1].stage])
    triggers = [(t, c) for s in stages for c in channels for t in c.triggers if t.entering == s.name]
    pushed = [world.pushed_move(s) for s in stages]

    per_day = np.array([_factors(c.calendar, recipe) for c in channels]).reshape(len(channels), _n_days(recipe))
    highest = _floats(_highest(c.calendar) for c in channels)
    rates = np.array(
        [
            [[c.contacts_per_day.get(s.name, 0.0) * p.reach_of(c.name, s.name) for c in channels] for s in stages]
            for p in personas
        ]
    ).reshape(len(personas), len(stages), len(channels))
    volume = _floats(c.volume for c in channels)
    rates = rates * highest * np.maximum(volume, 1.0)
    open_share = per_day / np.where(highest > 0, highest, 1.0)[:, None] * np.minimum(volume, 1.0)[:, None]
    alias = [[_alias_table(rates[p, s]) for s in range(len(stages))] for p in range(len(personas))]
    shares = np.cumsum([p.share for p in personas])
    demand = np.array([_factors(s.calendar, recipe) for s in stages])
    irritations = [c.irritation for c in channels]
    synergy = np.array([[k.synergy.get(c.name, 1.0) for k in channels] for c in channels]).reshape(2 * (len(channels),))
    active = np.array([[c.active and s.name not in c.silent_in for c in channels] for s in stages], dtype=bool)
    has_calendar = (open_share != 1).any(axis=1)
    has_synergy = (synergy != 1).any(axis=1)
    irritates = np.array([i is not None for i in irritations], dtype=bool)
    service = _floats(c.service for c in channels)
    talk = world.word_of_mouth
    clock_key = _ints(i << 16 | pair for i in range(len(stages)) for pair in range(n_moves // 2))
    clock_key = np.resize(clock_key, -(-len(clock_key) // CLOCKS_AT_ONCE) * CLOCKS_AT_ONCE)  # the last are drawn twice
    clock_key = clock_key[: len(clock_key) * (len(clock_key) <= MOST_CLOCKS)]

    return Tables(
        move_to=move_to,
        move_rate=move_rate,
        move_direction=move_direction,
        clock_key=clock_key,
        rows_of_stay=_ints(
            6 + CONTACTS_AT_ONCE + sum(pain.stage == s.name for pain in world.pain_points) for s in stages
        ),
        pushed=_ints(0 if to is None else index[to] for to in pushed),
        is_eventful=np.array(
            [
                s.purchase or s.experience or bool(s.surveys) or any(p.stage == s.name for p in world.pain_points)
                for s in stages
            ]
        ),
        influence=np.array(
            [
                [
                    s.influence * _price_factor(world, p.price_elasticity, to)
                    for s, to in zip(stages, pushed, strict=True)
                ]
                for p in personas
            ]
        ),
        is_purchase=np.array([s.purchase for s in stages]),
        is_experience=np.array([s.experience for s in stages]),
        has_survey=np.array([bool(s.surveys) for s in stages]),
        survey_response=np.array(
            [
                [max((q.response for q in s.surveys if q.kind == kind), default=0.0) for kind in ("csat", "nps")]
                for s in stages
            ]
        ),
        has_demand=np.array([s.calendar != Calendar() for s in stages]),
        demand=np.pad(np.cumsum(demand, axis=1), ((0, 0), (1, 0))),
        day_fraction=_day_fraction(recipe.start),
        pain_start=_starts([pain.stage for _, pain in pains], index, len(stages)),
        pain_index=_ints(k for k, _ in pains),
        pain_chance=_floats(pain.chance for _, pain in pains),
        pain_slows=_floats(pain.slows for _, pain in pains),
        pain_loses=_floats(pain.loses for _, pain in pains),
        pain_hurts=_floats(pain.hurts for _, pain in pains),
        trigger_start=_starts([t.entering for t, _ in triggers], index, len(stages)),
        trigger_channel=_ints(channel_index[c.name] for _, c in triggers),
        trigger_chance=np.array(
            [
                [
                    # a volume below 1 drops contacts, also of those who would get more than one
                    min(1.0, t.chance * p.reach_of(c.name, t.entering) * max(c.volume, 1.0)) * min(c.volume, 1.0)
                    for t, c in triggers
                ]
                for p in personas
            ]
        ).reshape(len(personas), len(triggers)),
        trigger_delay=_floats(t.after_days for t, _ in triggers),
        contact_rate=rates.sum(axis=2),
        alias_threshold=np.array([[threshold for threshold, _ in row] for row in alias], dtype=np.uint64),
        alias_channel=np.array(
            [[np.stack([other, np.arange(len(other))], axis=1) for _, other in row] for row in alias], dtype=np.uint64
        ).reshape(*rates.shape, 2),
        pull=np.array(
            [
                [
                    [c.pull_in(s.name) * p.appeal.get(c.name, 1.0) * (to is not None) for c in channels]
                    for s, to in zip(stages, pushed, strict=True)
                ]
                for p in personas
            ]
        ).reshape(rates.shape),
        mean_life=_floats(c.half_life_days / math.log(2) for c in channels),
        fatigue=_floats(c.fatigue for c in channels),
        channel_active=active,
        has_calendar=has_calendar,
        open_share=open_share,
        has_synergy=has_synergy,
        synergy=synergy,
        service=service,
        tolerated=_floats(i.tolerated if i else np.inf for i in irritations),
        forgets=_floats(math.log(2) / i.forgotten_days if i else 0.0 for i in irritations),
        irritation_loses=_floats(i.loses if i else 0.0 for i in irritations),
        irritation_hurts=_floats(i.hurts if i else 0.0 for i in irritations),
        is_plain=active & ~has_calendar & ~has_synergy & ~irritates & (service == 0),
        has_memory=bool((has_synergy | irritates).any()),
        persona_until=shares / shares[-1],
        patience=_floats(p.patience for p in personas),
        pain_sensitivity=_floats(p.pain for p in personas),
        satisfaction=_floats(p.satisfaction for p in personas),
        basket_median=_floats(world.basket.median * world.price * p.spending for p in personas),
        basket_log_sd=world.basket.log_sd,
        experience_shift=world.product_experience.mean_shift,
        experience_sd=world.product_experience.sd,
        satisfaction_effect=world.satisfaction_effect,
        advocates=np.array([s.advocates for s in stages]),
        referral_rate=_floats(talk.referrals_per_day * p.talk if talk else 0.0 for p in personas),
        word_of_mouth=channel_index[talk.channel] if talk else NO_CHANNEL,
        referral_delay=talk.delay_days if talk else 1.0,
        market_size=world.market_size,
    )


def _price_factor(world: World, elasticity: float, target: str | None) -> float:
    """What the price does to hazards of moves to a purchase: price ** -elasticity, by the logarithm and exponential of
    the engine, whose bits are the same on every machine.
    """
    if target not in world.purchase_stages or world.price == 1.0:
        return 1.0
    return float(exp(-elasticity * log(world.price)))


def _day_fraction(start: datetime) -> float:
    """Share of its first day, in UTC, that is over when the window begins."""
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    return (start - midnight) / timedelta(days=1)


def _n_days(recipe: Recipe) -> int:
    return int(_day_fraction(recipe.start) + recipe.horizon_days) + 1


def _factors(calendar: Calendar, recipe: Recipe) -> FloatArray:
    """(D,) what a calendar multiplies rates by, on each day that the window touches."""
    days = np.datetime64(recipe.start.date(), "D") + np.arange(_n_days(recipe))
    weekday = (days.astype(np.int64) + 3) % 7  # the epoch was a Thursday
    month = days.astype("datetime64[M]").astype(np.int64) % 12
    factors: FloatArray = np.array([calendar.weekdays.get(name, 1.0) for name in WEEKDAYS])[weekday]
    factors *= np.array([calendar.months.get(name, 1.0) for name in MONTHS])[month]
    if calendar.flights:
        flights = np.full(len(days), calendar.outside_flights)
        for flight in calendar.flights:
            flights[flight.from_day : flight.until_day] = flight.times
        factors *= flights
    return factors


def _highest(calendar: Calendar) -> float:
    """The highest factor that a day can have, within the window or not: all windows draw the same contacts."""
    weekday = max(calendar.weekdays.get(name, 1.0) for name in WEEKDAYS)
    month = max(calendar.months.get(name, 1.0) for name in MONTHS)
    flight = max((calendar.outside_flights, *(f.times for f in calendar.flights))) if calendar.flights else 1.0
    return weekday * month * flight


def _ints(values: object) -> IndexArray:
    return np.array([*values], dtype=np.uint64)  # type: ignore[misc]


def _floats(values: object) -> FloatArray:
    return np.array([*values], dtype=np.float64)  # type: ignore[misc]


def _starts(origins: list[str], index: dict[str, int], n_stages: int) -> IndexArray:
    """Where each stage's entries begin in a list that is sorted by stage."""
    return np.searchsorted(_ints(index[name] for name in origins), np.arange(n_stages + 1)).astype(np.uint64)


def _alias_table(weights: FloatArray) -> tuple[IndexArray, NDArray[np.int64]]:
    """Alias table for drawing an index in proportion to weights with one 32-bit word (Vose 1991, IEEE TSE 17:9)."""
    n = len(weights)
    threshold, other = np.full(n, 2**32, dtype=np.uint64), np.arange(n, dtype=np.int64)
    if weights.sum() == 0:
        return threshold, other
    scaled = weights * n / weights.sum()
    small = [i for i in range(n) if scaled[i] < 1]
    large = [i for i in range(n) if scaled[i] >= 1]
    while small and large:
        s, big = small.pop(), large.pop()
        threshold[s], other[s] = np.uint64(round(scaled[s] * 2**32)), big
        scaled[big] -= 1 - scaled[s]
        (small if scaled[big] < 1 else large).append(big)
    return threshold, other

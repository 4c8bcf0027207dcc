"""World: how customers behave. Frozen, checked models with units and bounds on every field; YAML in and out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from journeysim.errors import InputError
from journeysim.moves import BASE, LOST, Direction, direction
from journeysim.parts import (
    MAX_NAMES,
    Basket,
    Calendar,
    Channel,
    Desk,
    Flight,
    Irritation,
    Name,
    PainPoint,
    Part,
    Persona,
    PositiveMultiplier,
    ProductExperience,
    Shift,
    Stage,
    Survey,
    Text,
    Trigger,
    WordOfMouth,
)
from journeysim.yaml_files import Place, Problem, did_you_mean, parse_model, problems_error, read_model, to_yaml

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Basket",
    "Calendar",
    "Channel",
    "Desk",
    "Flight",
    "Irritation",
    "PainPoint",
    "Persona",
    "ProductExperience",
    "Shift",
    "Stage",
    "Survey",
    "Trigger",
    "WordOfMouth",
    "World",
]

CUSTOMER_COLUMNS = ("customer", "persona", "market", "interests")
"""What the customers table of a simulated log holds before demographics: their names are taken."""

MAX_INTERESTS = 60  # a customer's are the bits of one integer


class World(Part):
    """How customers behave: stages, channels, personas, pain points. Every journey starts in the first stage.

    A world never changes, its mappings included. Equal worlds behave alike and have equal hashes: a world can be a key.

    Raises
    ------
    pydantic.ValidationError (a ValueError) : on construction, when parts contradict each other
    """

    name: Name = Field(description="of the world")
    title: Text = Field(default="", description="one line for readers")
    about: Text = Field(default="", description="a paragraph for readers")
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = Field(default="EUR", description="ISO 4217")
    stages: tuple[Stage, ...] = Field(min_length=2, max_length=MAX_NAMES, description="in the order of the journey")
    channels: tuple[Channel, ...] = Field(default=(), max_length=MAX_NAMES, description="where contacts come from")
    personas: tuple[Persona, ...] = Field(min_length=1, max_length=MAX_NAMES, description="their shares sum to 1")
    pain_points: tuple[PainPoint, ...] = Field(default=(), max_length=MAX_NAMES, description="barriers")
    basket: Basket = Field(description="value of one purchase")
    product_experience: ProductExperience = Field(
        default=ProductExperience(), description="what use does to satisfaction"
    )
    price: PositiveMultiplier = Field(default=1.0, description="of the product, relative to what the basket assumes")
    horizon_days: Annotated[float, Field(gt=0, le=36500)] = Field(
        default=180.0, description="days of the window this world is made for; commands take it unless told otherwise"
    )
    market_size: Annotated[int, Field(ge=2, le=10_000_000)] = Field(
        default=10_000, description="customers per market: within one, word travels and desks are shared"
    )
    word_of_mouth: WordOfMouth | None = Field(default=None, description="how customers refer others")
    satisfaction_effect: Annotated[float, Field(ge=0, le=10)] = Field(
        default=0.0, description="g: after the first purchase forward hazards times exp(g(sat-1/2)), exits its inverse"
    )

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        problems = [*_name_problems(self)]
        if not problems:  # the other checks look parts up by name
            problems = [*_stage_problems(self), *_channel_problems(self), *_people_problems(self)]
            problems += [*_calendar_problems(self), *_word_of_mouth_problems(self)]
        if not problems:
            problems = [*_reach_problems(self)]
        if problems:
            raise problems_error(problems)
        return self

    @classmethod
    def from_yaml(cls, source: str | Path) -> World:
        """Read a world from a YAML file (a path) or from YAML text (a string with more than one line).

        Raises
        ------
        InputError : with the line, the value and the fix of everything that is wrong
        """
        if isinstance(source, str) and "\n" in source:
            return parse_model(source, cls, source="world")
        return read_model(source, cls)

    def to_yaml(self) -> str:
        """The world as YAML text; `World.from_yaml` of it is equal to this world."""
        return to_yaml(self)

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages in the order of the journey."""
        return tuple(stage.name for stage in self.stages)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels in their order."""
        return tuple(channel.name for channel in self.channels)

    @property
    def pain_point_names(self) -> tuple[str, ...]:
        """Names of the pain points, and of what makes customers hang up at desks."""
        desks = (channel.desk.pain_point for channel in self.channels if channel.desk)
        return (*(pain.name for pain in self.pain_points), *dict.fromkeys(desks))

    @property
    def has_desks(self) -> bool:
        """Whether contacts queue for shared staff; such a world runs on the SimPy engine."""
        return any(channel.desk for channel in self.channels)

    @property
    def purchase_stages(self) -> tuple[str, ...]:
        """Stages whose entry is a purchase."""
        return tuple(stage.name for stage in self.stages if stage.purchase)

    def direction(self, origin: str, target: str) -> Direction:
        """Which way a move goes, see `journeysim.moves.direction`."""
        return direction(origin, target, stages=self.stage_names, purchase_stages=self.purchase_stages)

    def pushed_move(self, stage: Stage) -> str | None:
        """The move that contacts made in `stage` speed up; None if nothing leads forward from there."""
        if stage.pushes_to is not None:
            return stage.pushes_to
        return next((to for to in stage.moves_per_day if self.direction(stage.name, to) == "forward"), None)

    def contacts_in(self, channel: Channel, stage: str) -> float:
        """Contacts per day that a channel makes in a stage, with its volume; 0 where it is off or silent."""
        silent = not channel.active or stage in channel.silent_in
        return 0.0 if silent else channel.contacts_per_day.get(stage, 0.0) * channel.volume

    def pull_in(self, channel: Channel, stage: str) -> float:
        """Pull of a contact in a stage; 0 where nothing leads forward."""
        here = self.stages[self.stage_names.index(stage)]
        return channel.pull_in(stage) if self.pushed_move(here) else 0.0

    def without(self, *channels: str, stages: Sequence[str] | None = None) -> World:
        """This world with channels switched off: their contacts are drawn but never made.

        All other draws stay the same, so two simulations with the same seed differ only by what the channels cause.

        Parameters
        ----------
        stages : where they are switched off; by default everywhere

        Raises
        ------
        InputError : a name is not a channel or a stage of this world
        """
        for what, names, known in (
            ("channel", channels, self.channel_names),
            ("stage", stages or (), self.stage_names),
        ):
            for name in names:
                if name not in known:
                    raise InputError(f"World {self.name!r} has no {what} {name!r} ({did_you_mean(name, known)}).")

        def silenced(channel: Channel) -> Channel:
            if stages is None:
                return channel.model_copy(update={"active": False})
            return channel.model_copy(update={"silent_in": tuple(dict.fromkeys((*channel.silent_in, *stages)))})

        kept = tuple(silenced(channel) if channel.name in channels else channel for channel in self.channels)
        return self.model_copy(update={"channels": kept})


MOST_BY_PRICE = 1_000_000  # what a price may multiply or divide a hazard by


def _name_problems(world: World) -> Iterator[Problem]:
    for field in ("stages", "channels", "personas", "pain_points"):
        parts: Sequence[Stage | Channel | Persona | PainPoint] = getattr(world, field)
        times = Counter(part.name for part in parts)
        for i, part in enumerate(parts):
            if times[part.name] > 1:
                yield Problem((field, i, "name"), part.name, f"{times[part.name]} {field} share this name; rename one")
            if part.name in (LOST, BASE) and field != "personas":
                yield Problem((field, i, "name"), part.name, "this name has a meaning of its own; choose another")
    for i, pain in enumerate(world.pain_points):
        if pain.name in world.channel_names:
            yield Problem(("pain_points", i, "name"), pain.name, "a channel has this name too; causes must differ")
    taken = {*world.channel_names, *(pain.name for pain in world.pain_points), BASE, LOST}
    for i, channel in enumerate(world.channels):
        if channel.desk and channel.desk.pain_point in taken:
            place = ("channels", i, "desk", "pain_point")
            yield Problem(place, channel.desk.pain_point, "this name is taken; causes must differ")


def _unknown(place: Place, name: str, known: Sequence[str], what: str) -> Iterator[Problem]:
    if name not in known:
        yield Problem(place, name, f"no such {what}; {did_you_mean(name, known)}")


def _stage_problems(world: World) -> Iterator[Problem]:
    names = world.stage_names
    for i, stage in enumerate(world.stages):
        for kind, times in Counter(survey.kind for survey in stage.surveys).items():
            if times > 1:
                yield Problem(("stages", i, "surveys"), kind, f"asked {times} times; ask each survey once per stage")
        unknown = [to for to in stage.moves_per_day if to not in (*names, LOST)]
        for to in stage.moves_per_day:
            place = ("stages", i, "moves_per_day", to)
            yield from _unknown(place, to, (*names, LOST), "stage")
            if to == stage.name:
                yield Problem(place, to, "a stage cannot move to itself; leave this move out")
        if unknown or stage.pushes_to is None:
            continue
        if stage.pushes_to not in stage.moves_per_day or world.direction(stage.name, stage.pushes_to) != "forward":
            forward = [to for to in stage.moves_per_day if world.direction(stage.name, to) == "forward"]
            yield from _unknown(("stages", i, "pushes_to"), stage.pushes_to, forward, "forward move of this stage")


def _channel_problems(world: World) -> Iterator[Problem]:
    for i, channel in enumerate(world.channels):
        for field in ("contacts_per_day", "pull"):
            by_stage = getattr(channel, field)
            if isinstance(by_stage, Mapping):
                for stage in by_stage:
                    yield from _unknown(("channels", i, field, stage), stage, world.stage_names, "stage")
        for j, stage in enumerate(channel.silent_in):
            yield from _unknown(("channels", i, "silent_in", j), stage, world.stage_names, "stage")
        for other in channel.synergy:
            yield from _unknown(("channels", i, "synergy", other), other, world.channel_names, "channel")
            if other == channel.name:
                yield Problem(
                    ("channels", i, "synergy", other), other, "a channel repeats itself by fatigue, not synergy"
                )
        yield from _shift_problems(("channels", i, "desk", "shifts"), channel.desk.shifts if channel.desk else ())
        for j, trigger in enumerate(channel.triggers):
            yield from _unknown(
                ("channels", i, "triggers", j, "entering"), trigger.entering, world.stage_names, "stage"
            )


def _shift_problems(place: Place, shifts: Sequence[Shift]) -> Iterator[Problem]:
    for j, shift in enumerate(shifts):
        if shift.until_hour <= shift.from_hour:
            advice = "a shift ends after it begins; split one that passes midnight"
            yield Problem((*place, j, "until_hour"), shift.until_hour, advice)
        for other in shifts[:j]:
            both = set(shift.weekdays) & set(other.weekdays)
            if both and shift.from_hour < other.until_hour and other.from_hour < shift.until_hour:
                advice = (
                    f"another shift is worked then, {other.from_hour:g} to {other.until_hour:g}; staff would be unclear"
                )
                yield Problem((*place, j, "from_hour"), shift.from_hour, advice)


def _people_problems(world: World) -> Iterator[Problem]:
    for i, persona in enumerate(world.personas):
        for field in ("reach", "appeal"):
            for channel, by_stage in getattr(persona, field).items():
                yield from _unknown(("personas", i, field, channel), channel, world.channel_names, "channel")
                for stage in by_stage if isinstance(by_stage, Mapping) else ():
                    yield from _unknown(("personas", i, field, channel, stage), stage, world.stage_names, "stage")
        for name, shares in persona.demographics.items():
            place = ("personas", i, "demographics", name)
            if name in CUSTOMER_COLUMNS:
                yield Problem(place, name, "the customers table has a column of this name already; choose another")
            if isinstance(shares, Mapping) and abs(math.fsum(shares.values()) - 1) > 1e-6:
                yield Problem(place, round(math.fsum(shares.values()), 9), "the shares must sum to 1")
        yield from _appeal_problems(world, i, persona)
        if persona.price_elasticity * abs(math.log(world.price)) > math.log(MOST_BY_PRICE):
            at: Place = ("personas", i, "price_elasticity")
            advice = f"price ** -elasticity must be between 1/{MOST_BY_PRICE:,} and {MOST_BY_PRICE:,}"
            yield Problem(at, persona.price_elasticity, f"with the price {world.price:g}, {advice}")
    total = math.fsum(persona.share for persona in world.personas)
    if abs(total - 1) > 1e-6:
        yield Problem(("personas",), round(total, 9), "the shares of the personas must sum to 1")
    interests = {name for persona in world.personas for name in persona.interests}
    if len(interests) > MAX_INTERESTS:
        yield Problem(("personas",), len(interests), f"at most {MAX_INTERESTS} different interests in a world")
    for i, pain in enumerate(world.pain_points):
        yield from _unknown(("pain_points", i, "stage"), pain.stage, world.stage_names, "stage")


def _appeal_problems(world: World, i: int, persona: Persona) -> Iterator[Problem]:
    """Appeals and synergies that make certain what must stay a probability below 1."""
    for channel in world.channels:
        appeal = persona.appeal.get(channel.name, 1.0)
        synergy = math.prod(max(1.0, times) for times in channel.synergy.values())
        by_stage = channel.pull if isinstance(channel.pull, Mapping) else {"every stage": channel.pull}
        for stage, pull in by_stage.items():
            if appeal * pull * synergy >= 1:
                place = ("personas", i, "appeal", channel.name)
                total = f"times the pull {pull:g} of {channel.name!r} in {stage}"
                total += f" and its synergy {synergy:g}" if synergy > 1 else ""
                advice = f"is {appeal * pull * synergy:.3g}; keep it below {1 / (pull * synergy):.4g}"
                yield Problem(place, appeal, f"the appeal for {persona.name!r} {total} {advice}")


def _calendar_problems(world: World) -> Iterator[Problem]:
    calendars: list[tuple[Place, Calendar]] = [
        *((("stages", i, "calendar"), stage.calendar) for i, stage in enumerate(world.stages)),
        *((("channels", i, "calendar"), channel.calendar) for i, channel in enumerate(world.channels)),
    ]
    for place, calendar in calendars:
        day = 0.0
        for j, flight in enumerate(calendar.flights):
            if flight.until_day <= flight.from_day:
                yield Problem((*place, "flights", j, "until_day"), flight.until_day, "a flight ends after it begins")
            if flight.from_day < day:
                advice = f"the flight before ends on day {day:g}; list them one after the other"
                yield Problem((*place, "flights", j, "from_day"), flight.from_day, advice)
            day = flight.until_day


def _word_of_mouth_problems(world: World) -> Iterator[Problem]:
    advocates = [i for i, stage in enumerate(world.stages) if stage.advocates]
    if world.word_of_mouth is None:
        for i in advocates:
            advice = "nobody can be referred: add word_of_mouth to the world, or take this mark away"
            yield Problem(("stages", i, "advocates"), True, advice)
        return
    yield from _unknown(("word_of_mouth", "channel"), world.word_of_mouth.channel, world.channel_names, "channel")
    if not advocates:
        yield Problem(("word_of_mouth",), world.word_of_mouth.channel, "nobody refers: mark a stage `advocates: true`")
    for i, channel in enumerate(world.channels):
        if channel.desk and channel.name == world.word_of_mouth.channel:
            yield Problem(("channels", i, "desk"), channel.name, "friends need no staff; take the desk away")


def _reach_problems(world: World) -> Iterator[Problem]:
    """Stages that nobody can reach, and worlds in which nobody can buy."""
    moves = {stage.name: _possible_moves(world, stage) for stage in world.stages}
    reached, frontier = {world.stages[0].name}, [world.stages[0].name]
    while frontier:
        for to in moves.get(frontier.pop(), ()):
            if to != LOST and to not in reached:
                reached.add(to)
                frontier.append(to)
    start = world.stages[0].name
    for i, stage in enumerate(world.stages):
        if stage.name not in reached:
            advice = f"no move leads here from the first stage {start!r}; add one or remove this stage"
            yield Problem(("stages", i, "name"), stage.name, advice)
    if not world.purchase_stages:
        yield Problem(("stages",), [*world.stage_names], "no stage is a purchase; set `purchase: true` on one")
    elif not reached.intersection(world.purchase_stages):
        yield Problem(("stages",), [*world.purchase_stages], f"no way leads from {start!r} to a purchase")


def _possible_moves(world: World, stage: Stage) -> list[str]:
    """Moves with a base hazard, and the pushed one where some channel can push."""
    possible = [to for to, rate in stage.moves_per_day.items() if rate > 0]
    pushed = world.pushed_move(stage)
    if pushed and any(c.pull_in(stage.name) > 0 and _meets(world, c, stage.name) for c in world.channels):
        possible.append(pushed)
    return possible


def _meets(world: World, channel: Channel, stage: str) -> bool:
    if world.word_of_mouth and channel.name == world.word_of_mouth.channel:
        return True
    return channel.contacts_per_day.get(stage, 0) > 0 or any(trigger.entering == stage for trigger in channel.triggers)

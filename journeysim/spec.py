"""World: how customers behave. Frozen, checked models with units and bounds on every field; YAML in and out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from journeysim.errors import InputError
from journeysim.frozen import FrozenDict
from journeysim.moves import BASE, LOST, Direction, direction
from journeysim.yaml_files import TAG, Place, Problem, did_you_mean, parse_model, problems_error, read_model, to_yaml

if TYPE_CHECKING:
    from pathlib import Path

# Control characters are refused: YAML reads some of them as the end of a line, and tables cannot show them.
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=80, strip_whitespace=True, pattern=r"^[^\p{Cc}\p{Zl}\p{Zp}]*$"),
]
Text = Annotated[
    str, StringConstraints(max_length=2000, strip_whitespace=True, pattern=r"^([^\p{Cc}\p{Zl}\p{Zp}]|[\t\n])*$")
]
RatePerDay = Annotated[float, Field(ge=0, le=1e4, allow_inf_nan=False)]
Multiplier = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
PositiveMultiplier = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1)]
Money = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Value = TypeVar("Value")
ByName = Annotated[Mapping[Name, Value], AfterValidator(FrozenDict)]
Pull = Annotated[float, Field(ge=0, lt=1)]
PullOrByStage = Annotated[  # tagged, so that a wrong number is not also said to be a wrong mapping
    Annotated[Pull, Tag(TAG + "number")] | Annotated[ByName[Pull], Tag(TAG + "by stage")],
    Discriminator(lambda pull: TAG + ("by stage" if isinstance(pull, Mapping) else "number")),
]

MAX_NAMES = 120  # stages, channels and pain points are logged as bytes, and a cause is one of the latter two


class Part(BaseModel):
    """A part of a world: frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Stage(Part):
    """A step of the journey and the moves that leave it.

    `moves_per_day` are base hazards: what happens without any contact. A contact pushes along the one move named by
    `pushes_to`, by default the first forward move of the stage.
    """

    name: Name = Field(description="of the stage; unique")
    moves_per_day: ByName[RatePerDay] = Field(
        default_factory=FrozenDict, description="hazard per day to each stage, or lost"
    )
    pushes_to: Name | None = Field(default=None, description="the forward move that contacts speed up")
    influence: Multiplier = Field(default=1.0, description="multiplies the extra hazard of every contact made here")
    purchase: bool = Field(default=False, description="entering it is a purchase")
    experience: bool = Field(default=False, description="entering it draws the experience with the product")


class Trigger(Part):
    """A contact that follows the entry into a stage, if the customer is still there by then."""

    entering: Name = Field(description="stage whose entry triggers it")
    chance: Probability = Field(default=1.0, description="of a contact per entry, before the persona's reach")
    after_days: Annotated[float, Field(ge=0, le=3650)] = Field(default=0.0, description="days from entry to contact")


class Channel(Part):
    """Where contacts come from, how often, and what one contact does.

    `pull` is the probability that one contact alone, given time, would move the customer on; one number or one per
    stage (0 where not named). Its influence halves every `half_life_days`.
    """

    name: Name = Field(description="of the channel; unique")
    kind: Literal["paid", "owned", "earned"] = Field(default="paid", description="whose medium it is")
    online: bool = Field(default=True, description="false: shop, telephone, event")
    contacts_per_day: ByName[RatePerDay] = Field(
        default_factory=FrozenDict, description="contacts per day, by stage; 0 where not named"
    )
    triggers: tuple[Trigger, ...] = Field(default=(), description="contacts that answer the entry into a stage")
    pull: PullOrByStage = Field(default=0.0, description="probability that one contact moves the customer on")
    half_life_days: Annotated[float, Field(gt=0, le=3650)] = Field(
        default=3.0, description="days after which half of its influence is gone"
    )
    fatigue: Annotated[float, Field(gt=0, le=1)] = Field(default=1.0, description="pull is multiplied by it per repeat")
    cost_per_contact: Money = Field(default=0.0, description="in the currency of the world")
    active: bool = Field(default=True, description="false: contacts are drawn but never made")

    def pull_in(self, stage: str) -> float:
        """Pull of a contact that is made in `stage`."""
        return self.pull.get(stage, 0.0) if isinstance(self.pull, Mapping) else self.pull


class Persona(Part):
    """A kind of customer: how common, and how it differs from the others. Multipliers are 1 for the plain customer."""

    name: Name = Field(description="of the persona; unique")
    share: Annotated[float, Field(gt=0, le=1)] = Field(description="share of the population")
    pace: PositiveMultiplier = Field(default=1.0, description="multiplies base hazards of forward moves")
    patience: PositiveMultiplier = Field(default=1.0, description="divides hazards of exits")
    reach: ByName[Multiplier] = Field(
        default_factory=FrozenDict, description="by channel: multiplies the rate of contacts"
    )
    appeal: ByName[Multiplier] = Field(default_factory=FrozenDict, description="by channel: multiplies pull")
    pain: Multiplier = Field(default=1.0, description="multiplies the chance of meeting each pain point")
    satisfaction: Probability = Field(default=0.5, description="satisfaction at the start")
    spending: PositiveMultiplier = Field(default=1.0, description="multiplies the value of a purchase")
    about: Text = Field(default="", description="who this is; for readers")
    demographics: ByName[Text] = Field(default_factory=FrozenDict, description="such as age; for readers")
    interests: tuple[Text, ...] = Field(default=(), description="for readers")
    goals: tuple[Text, ...] = Field(default=(), description="for readers")
    challenges: tuple[Text, ...] = Field(default=(), description="for readers")


class PainPoint(Part):
    """A barrier that some customers meet on entering a stage."""

    name: Name = Field(description="of the pain point; unique, and not the name of a channel")
    stage: Name = Field(description="where it is met")
    chance: Probability = Field(description="of meeting it, per entry into the stage, before the persona's multiplier")
    slows: Annotated[float, Field(gt=0, le=1)] = Field(default=1.0, description="multiplies forward hazards there")
    loses: Annotated[float, Field(ge=1, le=100)] = Field(default=1.0, description="multiplies exit hazards there")
    hurts: Probability = Field(default=0.0, description="taken from satisfaction")


class Basket(Part):
    """Value of one purchase: log-normal."""

    median: Annotated[float, Field(gt=0, le=1e9)] = Field(description="in the currency of the world")
    log_sd: Annotated[float, Field(ge=0, le=3)] = Field(default=0.5, description="standard deviation of its logarithm")


class ProductExperience(Part):
    """How using the product moves satisfaction: a normal draw, the sum kept within [0, 1]."""

    mean_shift: Annotated[float, Field(ge=-1, le=1)] = Field(default=0.0, description="mean, added to satisfaction")
    sd: Annotated[float, Field(ge=0, le=1)] = Field(default=0.0, description="standard deviation")


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
    satisfaction_effect: Annotated[float, Field(ge=0, le=10)] = Field(
        default=0.0, description="g: after the first purchase forward hazards times exp(g(sat-1/2)), exits its inverse"
    )

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        problems = [*_name_problems(self)]
        if not problems:  # the other checks look parts up by name
            problems = [*_stage_problems(self), *_channel_problems(self), *_people_problems(self)]
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

    def without(self, *channels: str) -> World:
        """This world with channels switched off: their contacts are drawn but never made.

        All other draws stay the same, so two simulations with the same seed differ only by what the channels cause.

        Raises
        ------
        InputError : a name is not a channel of this world
        """
        for name in channels:
            if name not in self.channel_names:
                hint = did_you_mean(name, self.channel_names)
                raise InputError(f"World {self.name!r} has no channel {name!r} ({hint}).")
        kept = tuple(c.model_copy(update={"active": False}) if c.name in channels else c for c in self.channels)
        return self.model_copy(update={"channels": kept})


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


def _unknown(place: Place, name: str, known: Sequence[str], what: str) -> Iterator[Problem]:
    if name not in known:
        yield Problem(place, name, f"no such {what}; {did_you_mean(name, known)}")


def _stage_problems(world: World) -> Iterator[Problem]:
    names = world.stage_names
    for i, stage in enumerate(world.stages):
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
        for j, trigger in enumerate(channel.triggers):
            yield from _unknown(
                ("channels", i, "triggers", j, "entering"), trigger.entering, world.stage_names, "stage"
            )


def _people_problems(world: World) -> Iterator[Problem]:
    for i, persona in enumerate(world.personas):
        for field in ("reach", "appeal"):
            for channel in getattr(persona, field):
                yield from _unknown(("personas", i, field, channel), channel, world.channel_names, "channel")
        yield from _appeal_problems(world, i, persona)
    total = math.fsum(persona.share for persona in world.personas)
    if abs(total - 1) > 1e-6:
        yield Problem(("personas",), round(total, 9), "the shares of the personas must sum to 1")
    for i, pain in enumerate(world.pain_points):
        yield from _unknown(("pain_points", i, "stage"), pain.stage, world.stage_names, "stage")


def _appeal_problems(world: World, i: int, persona: Persona) -> Iterator[Problem]:
    """Appeals that make certain what must stay a probability below 1."""
    for channel in world.channels:
        appeal = persona.appeal.get(channel.name, 1.0)
        by_stage = channel.pull if isinstance(channel.pull, Mapping) else {"every stage": channel.pull}
        for stage, pull in by_stage.items():
            if appeal * pull >= 1:
                place = ("personas", i, "appeal", channel.name)
                total = f"times the pull {pull:g} of {channel.name!r} in {stage} is {appeal * pull:.3g}"
                yield Problem(place, appeal, f"the appeal for {persona.name!r} {total}; keep it below {1 / pull:.4g}")


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
    if pushed and any(c.pull_in(stage.name) > 0 and _meets(c, stage.name) for c in world.channels):
        possible.append(pushed)
    return possible


def _meets(channel: Channel, stage: str) -> bool:
    return channel.contacts_per_day.get(stage, 0) > 0 or any(trigger.entering == stage for trigger in channel.triggers)

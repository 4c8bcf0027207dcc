"""The levers: one frozen model for each kind of change.

A field that is called like a field of the world sets it: of a mapping, the entries that are named; of a list, all of
it. A field that ends in `_times` multiplies. What is not given stays as it is. A stage alone has fields of its own,
`forward`, `back` and `exit`, which multiply.

Every change has `target` (what it changes, in words), `problems` (what keeps it from being made in a world) and `on`
(the world with the change made). `on` checks no bounds: changes that follow may lead back within them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from journeysim.frozen import FrozenDict
from journeysim.parts import (
    ByName,
    Calendar,
    Channel,
    Desk,
    Money,
    Multiplier,
    Name,
    Part,
    PositiveMultiplier,
    Probability,
    PullOrByStage,
    RatePerDay,
    ReachOrByStage,
    Shift,
)
from journeysim.yaml_files import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from journeysim.moves import Direction
    from journeysim.spec import World


def unknown(what: str, names: Iterator[str] | Sequence[str], known: Sequence[str]) -> Iterator[str]:
    """A sentence for each name that is not among the known ones."""
    for name in names:
        if name not in known:
            yield f"changes {what} {name!r}, which is unknown ({did_you_mean(name, known)})"


def given(change: Part, *fields: str) -> dict[str, object]:
    """The fields that are given, with their values."""
    return {field: getattr(change, field) for field in fields if getattr(change, field) is not None}


def set_or_times(change: Part, part: Part, field: str) -> dict[str, object]:
    """The field set to what is given, or multiplied."""
    value, times = getattr(change, field, None), getattr(change, f"{field}_times")
    if value is not None:
        return {field: value}
    return {} if times is None else {field: getattr(part, field) * times}


class StageChange(Part):
    """Multipliers on what leads out of one stage; 1 leaves it as it is, 0.67 on exits loses a third fewer.

    `forward` also multiplies what contacts do there: an easier step is easier for everyone who takes it.
    """

    stage: Name = Field(description="name of the stage")
    forward: PositiveMultiplier = Field(
        default=1.0, description="multiplies hazards of moves to later stages and to purchases"
    )
    back: PositiveMultiplier = Field(default=1.0, description="multiplies hazards of moves to earlier stages")
    exit: PositiveMultiplier = Field(default=1.0, description="multiplies hazards of leaving for good")

    @property
    def target(self) -> str:
        """What is changed, in words."""
        return f"stage {self.stage!r}"

    def factor(self, towards: Direction) -> float:
        """The multiplier for moves in one direction."""
        return {"forward": self.forward, "back": self.back, "exit": self.exit}[towards]

    def problems(self, world: World) -> Iterator[str]:
        """What keeps this change from being made in a world."""
        yield from unknown("stage", [self.stage], world.stage_names)

    def on(self, world: World) -> World:
        """The world after this change; bounds are not checked."""
        stages = []
        for stage in world.stages:
            if stage.name == self.stage:
                moves = {to: r * self.factor(world.direction(stage.name, to)) for to, r in stage.moves_per_day.items()}
                changed = {"moves_per_day": FrozenDict(moves), "influence": stage.influence * self.forward}
                stage = stage.model_copy(update=changed)
            stages.append(stage)
        return world.model_copy(update={"stages": tuple(stages)})


class PainPointChange(Part):
    """A pain point is met more or less often, or does less or more to those who meet it; `chance_times: 0` fixes it."""

    pain_point: Name = Field(description="name of the pain point")
    chance_times: Multiplier | None = Field(default=None, description="multiplies the chance of meeting it")
    chance: Probability | None = Field(default=None, description="of meeting it")
    slows: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="multiplier of forward hazards there"
    )
    loses: Annotated[float, Field(ge=1, le=100)] | None = Field(
        default=None, description="multiplier of exit hazards there"
    )
    hurts: Probability | None = Field(default=None, description="taken from satisfaction")

    @property
    def target(self) -> str:
        """What is changed, in words."""
        return f"pain point {self.pain_point!r}"

    def problems(self, world: World) -> Iterator[str]:
        """What keeps this change from being made in a world."""
        at_desks = [c.name for c in world.channels if c.desk and c.desk.pain_point == self.pain_point]
        names = [pain.name for pain in world.pain_points]
        if at_desks and self.pain_point not in names:
            desks = " and ".join(map(repr, at_desks))
            yield f"changes pain point {self.pain_point!r}, which is hanging up at the desk {desks}; change that desk"
        else:
            yield from unknown("pain point", [self.pain_point], names)

    def on(self, world: World) -> World:
        """The world after this change; bounds are not checked."""
        pains = []
        for pain in world.pain_points:
            if pain.name == self.pain_point:
                changed = given(self, "slows", "loses", "hurts") | set_or_times(self, pain, "chance")
                pain = pain.model_copy(update=changed)
            pains.append(pain)
        return world.model_copy(update={"pain_points": tuple(pains)})


class ChannelChange(Part):
    """A channel makes more or fewer contacts, in other stages, with other personas, at other times; or each contact
    does more or less, or costs more or less; or the channel is switched off or on.
    """

    channel: Name = Field(description="name of the channel")
    volume_times: Multiplier | None = Field(
        default=None, description="multiplies how many contacts it makes, also the triggered"
    )
    active: bool | None = Field(default=None, description="false drops the channel, true takes it back")
    contacts_per_day: ByName[RatePerDay] | None = Field(
        default=None, description="in each stage that is named; the channel is then no longer silent there"
    )
    silence_in: tuple[Name, ...] | None = Field(
        default=None, description="stages in which it makes no contacts any more, added to those so far"
    )
    reach: ByName[ReachOrByStage] | None = Field(
        default=None, description="by persona: multiplier of the rate of contacts; one number, or one per stage"
    )
    calendar: Calendar | None = Field(default=None, description="in place of the present one")
    pull_times: Multiplier | None = Field(default=None, description="multiplies pull, in every stage")
    pull: PullOrByStage | None = Field(default=None, description="in every stage, or in each stage that is named")
    cost_per_contact_times: Multiplier | None = Field(default=None, description="multiplies the cost per contact")
    cost_per_contact: Money | None = Field(default=None, description="in the currency of the world")

    @property
    def target(self) -> str:
        """What is changed, in words."""
        return f"channel {self.channel!r}"

    def problems(self, world: World) -> Iterator[str]:
        """What keeps this change from being made in a world."""
        yield from unknown("channel", [self.channel], world.channel_names)
        stages: list[str] = [*(self.contacts_per_day or ()), *(self.silence_in or ())]
        stages += [*self.pull] if isinstance(self.pull, Mapping) else []
        for by_stage in (self.reach or {}).values():
            stages += [*by_stage] if isinstance(by_stage, Mapping) else []
        yield from unknown("stage", [*dict.fromkeys(stages)], world.stage_names)
        yield from unknown("persona", [*(self.reach or ())], [persona.name for persona in world.personas])
        for stage in self.silence_in or ():
            if (self.contacts_per_day or {}).get(stage, 0) > 0:
                yield f"changes {self.target} to make contacts in {stage!r} and to be silent there; choose one"
        for channel in world.channels:
            if channel.name == self.channel:
                yield from self._without_effect(channel, world)

    def _without_effect(self, channel: Channel, world: World) -> Iterator[str]:
        """What the model leaves alone: volume is not of referrals, a calendar only of contacts that come by rate, reach
        of these and of triggered ones.
        """
        if self.volume_times is not None and world.word_of_mouth and world.word_of_mouth.channel == channel.name:
            yield (
                f"scales {self.target}, whose contacts are referrals, which no volume multiplies; "
                "use word_of_mouth: {referrals_per_day_times: ...}"
            )
        rates = {**channel.contacts_per_day, **(self.contacts_per_day or {})}
        if self.reach and not any(rates.values()) and not channel.triggers:
            yield (
                f"changes the reach of {self.target}, which has no contacts_per_day and no triggers; reach does not "
                "act on referrals"
            )
        if self.calendar is not None and not any(rates.values()):
            yield (
                f"reschedules {self.target}, which has no contacts_per_day; a calendar does not move triggered "
                "contacts and referrals"
            )

    def on(self, world: World) -> World:
        """The world after this change; bounds are not checked."""
        stages = world.stage_names
        channels = [self._changed(c, stages) if c.name == self.channel else c for c in world.channels]
        personas = []
        for persona in world.personas:
            if self.reach and persona.name in self.reach:
                before = persona.reach.get(self.channel, {})
                reach = _set_by_stage(before, self.reach[persona.name], stages)
                persona = persona.model_copy(update={"reach": FrozenDict({**persona.reach, self.channel: reach})})
            personas.append(persona)
        return world.model_copy(update={"channels": tuple(channels), "personas": tuple(personas)})

    def _changed(self, channel: Channel, stages: Sequence[str]) -> Channel:
        changed = given(self, "active", "calendar")
        changed |= set_or_times(self, channel, "cost_per_contact") | set_or_times(self, channel, "volume")
        rates = self.contacts_per_day or {}
        if rates:
            changed["contacts_per_day"] = FrozenDict({**channel.contacts_per_day, **rates})
        silent = [stage for stage in channel.silent_in if not rates.get(stage)]
        changed["silent_in"] = tuple(dict.fromkeys((*silent, *(self.silence_in or ()))))
        pull = channel.pull
        if self.pull is not None:
            changed["pull"] = _set_by_stage(pull, self.pull, stages)
        elif self.pull_times is not None:
            times = self.pull_times
            changed["pull"] = (
                FrozenDict({s: p * times for s, p in pull.items()}) if isinstance(pull, Mapping) else pull * times
            )
        return channel.model_copy(update=changed)


def _set_by_stage(
    before: float | Mapping[str, float], value: float | Mapping[str, float], stages: Sequence[str]
) -> float | Mapping[str, float]:
    """The value; of a mapping the stages that it names, the others stay as they were."""
    if not isinstance(value, Mapping):
        return value
    others = before if isinstance(before, Mapping) else dict.fromkeys(stages, before)
    return FrozenDict({**others, **value})


class DeskChange(Part):
    """A desk gets other staff, other hours, or answers at another speed. A channel without a desk gets one if both
    `staff` and `service_minutes` are given.
    """

    desk: Name = Field(description="name of the channel whose contacts queue there")
    staff: Annotated[int, Field(ge=0, le=10_000)] | None = Field(
        default=None, description="of each market, outside shifts"
    )
    shifts: tuple[Shift, ...] | None = Field(default=None, description="in place of the present ones")
    service_minutes: Annotated[float, Field(gt=0, le=1e5)] | None = Field(
        default=None, description="mean time of service"
    )
    patience_minutes: Annotated[float, Field(gt=0, le=1e7)] | None = Field(
        default=None, description="mean time until a caller hangs up"
    )
    hurts_per_hour: Probability | None = Field(default=None, description="taken from satisfaction per hour of waiting")
    loses: Probability | None = Field(default=None, description="probability that hanging up ends the journey")

    @property
    def target(self) -> str:
        """What is changed, in words."""
        return f"desk {self.desk!r}"

    def problems(self, world: World) -> Iterator[str]:
        """What keeps this change from being made in a world."""
        yield from unknown("desk", [self.desk], world.channel_names)
        to_open = self.staff is None or self.service_minutes is None
        if to_open and any(c.name == self.desk and c.desk is None for c in world.channels):
            desks = ", ".join(channel.name for channel in world.channels if channel.desk) or "none"
            yield (
                f"changes desk {self.desk!r}, but that channel has no desk (desks: {desks}); to open one, give both "
                "staff and service_minutes"
            )

    def on(self, world: World) -> World:
        """The world after this change; bounds are not checked."""
        fields = ("staff", "shifts", "service_minutes", "patience_minutes", "hurts_per_hour", "loses")
        changed, channels = given(self, *fields), []
        for channel in world.channels:
            if channel.name == self.desk:
                desk = channel.desk.model_copy(update=changed) if channel.desk else Desk(**changed)
                channel = channel.model_copy(update={"desk": desk})
            channels.append(channel)
        return world.model_copy(update={"channels": tuple(channels)})


class MixChange(Part):
    """Another mix of personas: those that are named get these shares, the others share what is left as before."""

    personas: ByName[Annotated[float, Field(gt=0, le=1)]] = Field(description="by persona: share of the population")

    @property
    def target(self) -> str:
        """What is changed, in words."""
        return "the mix of personas"

    def problems(self, world: World) -> Iterator[str]:
        """What keeps this change from being made in a world."""
        names = [persona.name for persona in world.personas]
        yield from unknown("persona", [*self.personas], names)
        total, others = math.fsum(self.personas.values()), [name for name in names if name not in self.personas]
        if others and total > 1 - 1e-9:
            yield f"gives {total:g} of the population to some personas, which leaves nothing for {', '.join(others)}"
        if not others and abs(total - 1) > 1e-6:
            yield f"changes the shares of all personas to a sum of {total:g}; it must be 1"

    def on(self, world: World) -> World:
        """The world after this change; bounds are not checked."""
        left = 1 - math.fsum(self.personas.values())
        before = math.fsum(p.share for p in world.personas if p.name not in self.personas)
        shares = {p.name: self.personas.get(p.name) or p.share * left / before for p in world.personas}
        personas = tuple(p.model_copy(update={"share": shares[p.name]}) for p in world.personas)
        return world.model_copy(update={"personas": personas})


class PriceChange(Part):
    """Another price: baskets are worth more or less, and each persona buys by its `price_elasticity`."""

    price_times: PositiveMultiplier = Field(description="multiplies the price")

    @property
    def target(self) -> str:
        """What is changed, in words."""
        return "the price"

    def problems(self, world: World) -> Iterator[str]:  # noqa: ARG002
        """Every world has a price."""
        yield from ()

    def on(self, world: World) -> World:
        """The world after this change; bounds are not checked."""
        return world.model_copy(update={"price": world.price * self.price_times})


class TalkChange(Part):
    """How much customers talk, and how long it takes to be heard."""

    referrals_per_day_times: Multiplier | None = Field(default=None, description="multiplies how often advocates refer")
    referrals_per_day: RatePerDay | None = Field(default=None, description="of one advocate")
    delay_days: Annotated[float, Field(ge=0.01, le=365)] | None = Field(
        default=None, description="from telling to being heard"
    )


class WordOfMouthChange(Part):
    """Customers refer others more or less often, or are heard sooner or later."""

    word_of_mouth: TalkChange = Field(description="what changes about it")

    @property
    def target(self) -> str:
        """What is changed, in words."""
        return "the word of mouth"

    def problems(self, world: World) -> Iterator[str]:
        """What keeps this change from being made in a world."""
        if world.word_of_mouth is None:
            yield f"changes the word of mouth, but world {world.name!r} has none"

    def on(self, world: World) -> World:
        """The world after this change; bounds are not checked."""
        assert world.word_of_mouth is not None  # noqa: S101  # see `problems`
        talk = self.word_of_mouth
        changed = given(talk, "delay_days") | set_or_times(talk, world.word_of_mouth, "referrals_per_day")
        return world.model_copy(update={"word_of_mouth": world.word_of_mouth.model_copy(update=changed)})

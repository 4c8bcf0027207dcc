"""The parts of a world: stages, channels, personas and what happens to them. Units and bounds on every field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag

from journeysim.frozen import FrozenDict
from journeysim.yaml_files import TAG

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


def _is_mapping(value: object) -> str:
    """The tag of what is either one value or a mapping: a wrong number is not also said to be a wrong mapping."""
    return TAG + ("by name" if isinstance(value, Mapping) else "one")


PullOrByStage = Annotated[
    Annotated[Pull, Tag(TAG + "one")] | Annotated[ByName[Pull], Tag(TAG + "by name")], Discriminator(_is_mapping)
]
ReachOrByStage = Annotated[
    Annotated[Multiplier, Tag(TAG + "one")] | Annotated[ByName[Multiplier], Tag(TAG + "by name")],
    Discriminator(_is_mapping),
]
TextOrShares = Annotated[
    Annotated[Text, Tag(TAG + "one")] | Annotated[ByName[Probability], Tag(TAG + "by name")], Discriminator(_is_mapping)
]

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Month = Literal["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
MONTHS: tuple[Month, ...] = get_args(Month)

MAX_NAMES = 120  # stages, channels and pain points are logged as bytes, and a cause is one of the latter two


class Part(BaseModel):
    """A part of a world: frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Flight(Part):
    """A part of a campaign: days on which a channel runs."""

    from_day: Annotated[int, Field(ge=0, le=36500)] = Field(description="first day, counted from the window's start")
    until_day: Annotated[int, Field(gt=0, le=36500)] = Field(description="day before which it ends")
    times: Multiplier = Field(default=1.0, description="multiplies the rate meanwhile")


class Calendar(Part):
    """How a rate changes with the date: weekday times month times flight, each 1 where not named.

    A channel that has flights is silent outside them, unless `outside_flights` says otherwise. Days are whole, in UTC.
    """

    weekdays: Annotated[Mapping[Weekday, Multiplier], AfterValidator(FrozenDict)] = Field(
        default_factory=FrozenDict, description="mon to sun: multiplies the rate on that day"
    )
    months: Annotated[Mapping[Month, Multiplier], AfterValidator(FrozenDict)] = Field(
        default_factory=FrozenDict, description="jan to dec: multiplies the rate in that month"
    )
    flights: tuple[Flight, ...] = Field(default=(), description="when a campaign runs; one after the other")
    outside_flights: Multiplier = Field(
        default=0.0, description="multiplies the rate between flights, if there are any"
    )


class Survey(Part):
    """A question to those who enter a stage. Scores are binomial in satisfaction."""

    kind: Literal["csat", "nps"] = Field(description="csat: satisfied? 1 to 5; nps: would recommend? 0 to 10")
    response: Probability = Field(default=1.0, description="share of those asked who answer")


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
    advocates: bool = Field(default=False, description="who is here refers others, see word_of_mouth")
    surveys: tuple[Survey, ...] = Field(default=(), description="asked on entering it")
    calendar: Calendar = Field(default=Calendar(), description="of the base hazards of its forward moves: seasons")


class Trigger(Part):
    """A contact that follows the entry into a stage, if the customer is still there by then."""

    entering: Name = Field(description="stage whose entry triggers it")
    chance: Probability = Field(default=1.0, description="of a contact per entry, before the persona's reach")
    after_days: Annotated[float, Field(ge=0, le=3650)] = Field(default=0.0, description="days from entry to contact")


class Irritation(Part):
    """Too many contacts annoy. The pressure of a channel on a customer is its contacts, each counting half as much
    every `forgotten_days`; a contact that lifts it above `tolerated` irritates.
    """

    tolerated: Annotated[float, Field(ge=0, le=1e6)] = Field(description="contacts, the recent ones, that annoy nobody")
    forgotten_days: Annotated[float, Field(gt=0, le=3650)] = Field(
        default=7.0, description="days after which a contact counts half"
    )
    loses: Pull = Field(
        default=0.0, description="probability that one irritating contact loses the customer, given time"
    )
    hurts: Probability = Field(default=0.0, description="taken from satisfaction per irritating contact")


class Shift(Part):
    """Hours of the day, in UTC, with their staff."""

    from_hour: Annotated[float, Field(ge=0, lt=24)] = Field(description="when it begins")
    until_hour: Annotated[float, Field(gt=0, le=24)] = Field(description="when it ends, later on the same day")
    staff: Annotated[int, Field(ge=0, le=10_000)] = Field(description="of each market")
    weekdays: tuple[Weekday, ...] = Field(default=WEEKDAYS, min_length=1, description="days on which it is worked")


class Desk(Part):
    """Shared staff behind a channel: contacts queue, first come first served; those who wait too long hang up.

    A contact counts (it pulls) from the end of its service. Worlds with desks run on the SimPy engine.
    """

    staff: Annotated[int, Field(ge=0, le=10_000)] = Field(description="of each market, outside shifts")
    service_minutes: Annotated[float, Field(gt=0, le=1e5)] = Field(description="mean of an exponential")
    patience_minutes: Annotated[float, Field(gt=0, le=1e7)] | None = Field(
        default=None, description="mean of an exponential: hangs up after it; by default nobody does"
    )
    shifts: tuple[Shift, ...] = Field(default=(), description="hours with another staff than `staff`")
    hurts_per_hour: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="taken from satisfaction per hour of waiting"
    )
    loses: Probability = Field(default=0.0, description="probability that hanging up ends the journey")
    pain_point: Name = Field(default="delayed answers", description="what the log calls hanging up")


class Channel(Part):
    """Where contacts come from, how often, and what one contact does.

    `pull` is the probability that one contact alone, given time, would move the customer on; one number or one per
    stage (0 where not named). Its influence halves every `half_life_days`. With `synergy`, pull is multiplied for
    customers who have met another channel before.
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
    synergy: ByName[Multiplier] = Field(
        default_factory=FrozenDict, description="by channel: multiplies pull once that channel was met"
    )
    calendar: Calendar = Field(default=Calendar(), description="when contacts come more or less often; not of triggers")
    irritation: Irritation | None = Field(default=None, description="what too many contacts do")
    service: Annotated[float, Field(ge=-1, le=1)] = Field(default=0.0, description="added to satisfaction per contact")
    desk: Desk | None = Field(default=None, description="staff that contacts queue for")
    cost_per_contact: Money = Field(default=0.0, description="in the currency of the world")
    volume: Multiplier = Field(
        default=1.0,
        description="multiplies its contacts, also the triggered, not referrals; below 1 some are drawn but not made",
    )
    active: bool = Field(default=True, description="false: contacts are drawn but never made")
    silent_in: tuple[Name, ...] = Field(default=(), description="stages in which contacts are drawn but never made")

    def pull_in(self, stage: str) -> float:
        """Pull of a contact that is made in `stage`, before appeal, fatigue and synergy."""
        return self.pull.get(stage, 0.0) if isinstance(self.pull, Mapping) else self.pull


class Persona(Part):
    """A kind of customer: how common, and how it differs from the others. Multipliers are 1 for the plain customer."""

    name: Name = Field(description="of the persona; unique")
    share: Annotated[float, Field(gt=0, le=1)] = Field(description="share of the population")
    pace: PositiveMultiplier = Field(default=1.0, description="multiplies base hazards of forward moves")
    patience: PositiveMultiplier = Field(default=1.0, description="divides hazards of exits")
    reach: ByName[ReachOrByStage] = Field(
        default_factory=FrozenDict,
        description="by channel: multiplies the rate of contacts; one number, or one per stage (1 where not named)",
    )
    appeal: ByName[Multiplier] = Field(default_factory=FrozenDict, description="by channel: multiplies pull")
    pain: Multiplier = Field(default=1.0, description="multiplies the chance of meeting each pain point")
    satisfaction: Probability = Field(default=0.5, description="satisfaction at the start")
    spending: PositiveMultiplier = Field(default=1.0, description="multiplies the value of a purchase")
    price_elasticity: Annotated[float, Field(ge=0, le=10)] = Field(
        default=1.0, description="e: hazards of moves to a purchase times price ** -e"
    )
    talk: Multiplier = Field(default=1.0, description="multiplies how often it refers others")
    about: Text = Field(default="", description="who this is; for readers")
    demographics: ByName[TextOrShares] = Field(
        default_factory=FrozenDict, description="such as age: one value, or values with shares, drawn per customer"
    )
    interests: ByName[Probability] = Field(
        default_factory=FrozenDict, description="share of these customers who have each, drawn per customer"
    )
    goals: tuple[Text, ...] = Field(default=(), description="for readers")
    challenges: tuple[Text, ...] = Field(default=(), description="for readers")

    def reach_of(self, channel: str, stage: str) -> float:
        """What multiplies the rate of contacts on `channel` made in `stage`."""
        reach = self.reach.get(channel, 1.0)
        return reach.get(stage, 1.0) if isinstance(reach, Mapping) else reach


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


class WordOfMouth(Part):
    """Customers in a stage marked `advocates` refer others of their market, each at this rate times its `talk`.

    A referral names one of the others, all equally likely, and reaches that one `delay_days` later as a contact on
    `channel`, unless gone for good by then.
    """

    channel: Name = Field(description="the channel that a referral is a contact on")
    referrals_per_day: RatePerDay = Field(description="of one advocate")
    delay_days: Annotated[float, Field(ge=0.01, le=365)] = Field(default=1.0, description="from telling to being heard")

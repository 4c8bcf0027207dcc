"""A scenario for each lever, in one call. They add up: `drop_channel("tv") + change_price(times=0.95)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from journeysim.errors import InputError
from journeysim.scenario.changes import (
    ChannelChange,
    DeskChange,
    MixChange,
    PainPointChange,
    PriceChange,
    StageChange,
    WordOfMouthChange,
)
from journeysim.scenario.scenario import MAX_NAME, Scenario
from journeysim.yaml_files import tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from journeysim.parts import Calendar, Part, Shift


def improve_stage(
    stage: str,
    *,
    forward: float = 1.0,
    back: float = 1.0,
    exit: float = 1.0,
    name: str | None = None,
) -> Scenario:
    """The scenario that changes one stage.

    Parameters
    ----------
    forward, back, exit : multiply hazards of moves in these directions; `forward` also what contacts do there

    Raises
    ------
    InputError : a factor is not above 0 and at most 100

    >>> improve_stage("decision", exit=0.5).name
    'improve decision: exit x0.5'
    """
    factors = {"forward": forward, "back": back, "exit": exit}
    for towards, factor in factors.items():
        if not (isinstance(factor, int | float) and 0 < factor <= 100):
            raise InputError(f"improve_stage {stage!r}: {towards} is {factor}; it must be above 0 and at most 100.")
    told = ", ".join(f"{towards} x{factor:.3g}" for towards, factor in factors.items() if factor != 1)
    return _scenario(name, f"improve {stage}: {told or 'nothing'}", StageChange, stage=stage, **factors)


def fix_pain_point(pain_point: str, *, name: str | None = None) -> Scenario:
    """Nobody meets this pain point any more.

    >>> fix_pain_point("hidden_fees").name
    'fix hidden_fees'
    """
    return _scenario(name, f"fix {pain_point}", PainPointChange, pain_point=pain_point, chance_times=0.0)


def change_pain_point(
    pain_point: str,
    *,
    chance_times: float | None = None,
    chance: float | None = None,
    slows: float | None = None,
    loses: float | None = None,
    hurts: float | None = None,
    name: str | None = None,
) -> Scenario:
    """A pain point becomes milder or worse.

    Parameters
    ----------
    chance_times : multiplies the chance of meeting it
    chance, slows, loses, hurts : in place of the present values

    Raises
    ------
    InputError : nothing is given, both `chance` and `chance_times` are, or a number is out of its range

    >>> change_pain_point("slow_checkout", chance_times=2).name
    'slow_checkout: chance x2'
    """
    fields = {"chance_times": chance_times, "chance": chance, "slows": slows, "loses": loses, "hurts": hurts}
    return _scenario(name, f"{pain_point}: {_told(fields)}", PainPointChange, pain_point=pain_point, **fields)


def scale_channel(channel: str, *, volume_times: float, name: str | None = None) -> Scenario:
    """A channel makes more or fewer contacts, also of the triggered ones.

    While the volume is at most 1, contacts are dropped from those that are drawn, and all others stay. A volume above 1
    changes when the contacts of all channels come.

    Raises
    ------
    InputError : the number is out of its range

    >>> scale_channel("email", volume_times=0.5).name
    'email: volume x0.5'
    """
    told = f"{channel}: volume x{_brief(volume_times)}"
    return _scenario(name, told, ChannelChange, channel=channel, volume_times=volume_times)


def drop_channel(channel: str, *, name: str | None = None) -> Scenario:
    """A channel makes no contacts any more; all other draws stay, as in `World.without`.

    >>> drop_channel("tv").name
    'drop tv'
    """
    return _scenario(name, f"drop {channel}", ChannelChange, channel=channel, active=False)


def retarget(
    channel: str,
    *,
    contacts_per_day: Mapping[str, float] | None = None,
    silence_in: Sequence[str] | None = None,
    reach: Mapping[str, float | Mapping[str, float]] | None = None,
    name: str | None = None,
) -> Scenario:
    """A channel meets customers in other stages, or other personas.

    `silence_in` keeps all other draws; new rates change the draws of all contacts in the stages that they concern, and
    of what follows.

    Parameters
    ----------
    contacts_per_day : by stage, in place of the present rates; a stage that is not named keeps its rate
    silence_in : stages in which the channel makes no contacts any more
    reach : by persona, in place of the present multipliers: one number, or one per stage

    Raises
    ------
    InputError : nothing is given, or a number is out of its range

    >>> retarget("retargeting", silence_in=["decision"]).name
    'retarget retargeting: silent in decision'
    """
    told = [f"{stage} {rate:.3g} a day" for stage, rate in (contacts_per_day or {}).items()]
    told += [f"silent in {', '.join(silence_in)}"] if silence_in else []
    told += [f"reach of {', '.join(reach)}"] if reach else []
    fields = {
        "contacts_per_day": contacts_per_day,
        "silence_in": None if silence_in is None else tuple(silence_in),
        "reach": reach,
    }
    return _scenario(name, f"retarget {channel}: {', '.join(told)}", ChannelChange, channel=channel, **fields)


def reschedule(channel: str, calendar: Calendar | Mapping[str, Any], *, name: str | None = None) -> Scenario:
    """A channel gets another calendar, in place of the present one.

    All other draws stay if the highest factor within the window does.

    Raises
    ------
    InputError : the calendar is wrong

    >>> reschedule("tv", {"flights": [{"from_day": 0, "until_day": 14}]}).name
    'reschedule tv'
    """
    return _scenario(name, f"reschedule {channel}", ChannelChange, channel=channel, calendar=calendar)


def change_pull(
    channel: str,
    *,
    times: float | None = None,
    pull: float | Mapping[str, float] | None = None,
    name: str | None = None,
) -> Scenario:
    """Each contact of a channel moves more or fewer customers on.

    Parameters
    ----------
    times : multiplies pull in every stage
    pull : in place of the present value, in every stage or in the stages that are named

    Raises
    ------
    InputError : none or both are given, or a number is out of its range

    >>> change_pull("search", times=1.2).name
    'search: pull x1.2'
    """
    told = f"{channel}: {_told({'pull_times': times, 'pull': pull})}"
    return _scenario(name, told, ChannelChange, channel=channel, pull_times=times, pull=pull)


def change_cost(
    channel: str, *, times: float | None = None, cost_per_contact: float | None = None, name: str | None = None
) -> Scenario:
    """A contact of a channel costs more or less.

    Parameters
    ----------
    times : multiplies the cost per contact
    cost_per_contact : in place of the present one, in the currency of the world

    Raises
    ------
    InputError : none or both are given, or a number is out of its range

    >>> change_cost("search", times=0.9).name
    'search: cost per contact x0.9'
    """
    fields = {"cost_per_contact_times": times, "cost_per_contact": cost_per_contact}
    return _scenario(name, f"{channel}: {_told(fields)}", ChannelChange, channel=channel, **fields)


def staff_desk(
    desk: str,
    *,
    staff: int | None = None,
    shifts: Sequence[Shift | Mapping[str, Any]] | None = None,
    service_minutes: float | None = None,
    patience_minutes: float | None = None,
    hurts_per_hour: float | None = None,
    loses: float | None = None,
    name: str | None = None,
) -> Scenario:
    """A desk gets other staff, shifts or speed; what is given stands in place of what the desk has.

    Parameters
    ----------
    desk : name of the channel; one without a desk gets one if `staff` and `service_minutes` are given
    staff : of each market, outside shifts

    Raises
    ------
    InputError : nothing is given, or a number is out of its range

    >>> staff_desk("phone", staff=5).name
    'desk phone: staff 5'
    """
    fields = {
        "staff": staff,
        "shifts": None if shifts is None else tuple(shifts),
        "service_minutes": service_minutes,
        "patience_minutes": patience_minutes,
        "hurts_per_hour": hurts_per_hour,
        "loses": loses,
    }
    return _scenario(name, f"desk {desk}: {_told(fields)}", DeskChange, desk=desk, **fields)


def change_mix(shares: Mapping[str, float], *, name: str | None = None) -> Scenario:
    """Another mix of personas: those named get these shares of the population, the others share the rest as before.

    Raises
    ------
    InputError : a share is not above 0 and at most 1

    >>> change_mix({"bargain_hunter": 0.5}).name
    'mix: bargain_hunter 50%'
    """
    if not (isinstance(shares, Mapping) and all(isinstance(share, int | float) for share in shares.values())):
        raise InputError(f"change_mix: shares is {shares!r}; it must be a mapping from personas to shares.")
    told = ", ".join(f"{persona} {100 * share:.3g}%" for persona, share in shares.items())
    return _scenario(name, f"mix: {told}", MixChange, personas=shares)


def change_price(*, times: float, name: str | None = None) -> Scenario:
    """Another price: baskets are worth `times` as much, and each persona buys by its `price_elasticity`.

    Raises
    ------
    InputError : the number is not above 0 and at most 100

    >>> change_price(times=1.1).name
    'price x1.1'
    """
    return _scenario(name, f"price x{_brief(times)}", PriceChange, price_times=times)


def change_word_of_mouth(
    *,
    referrals_per_day_times: float | None = None,
    referrals_per_day: float | None = None,
    delay_days: float | None = None,
    name: str | None = None,
) -> Scenario:
    """Customers refer others more or less often, or are heard sooner or later.

    Parameters
    ----------
    referrals_per_day_times : multiplies how often advocates refer
    referrals_per_day, delay_days : in place of the present values

    Raises
    ------
    InputError : nothing is given, or a number is out of its range

    >>> change_word_of_mouth(referrals_per_day_times=1.5).name
    'word of mouth: referrals per day x1.5'
    """
    fields = {
        "referrals_per_day_times": referrals_per_day_times,
        "referrals_per_day": referrals_per_day,
        "delay_days": delay_days,
    }
    talk = {field: value for field, value in fields.items() if value is not None}
    return _scenario(name, f"word of mouth: {_told(fields)}", WordOfMouthChange, word_of_mouth=talk)


def _scenario(name: str | None, default_name: str, change: type[Part], **fields: object) -> Scenario:
    """The scenario of one change, or an InputError in the words of the change."""
    default_name = default_name if len(default_name) <= MAX_NAME else f"{default_name[: MAX_NAME - 3]}..."
    try:
        return Scenario.model_validate({"name": name or default_name, "changes": [change.model_validate(fields)]})
    except ValidationError as error:
        model = Scenario if error.title == Scenario.__name__ else change
        raise InputError(f"Scenario {default_name!r}: {tell(error, model)}") from None


def _brief(number: object) -> str:
    """A number in a name; anything else as it is, for the model to refuse."""
    return f"{number:.3g}" if isinstance(number, int | float) else repr(number)


def _told(fields: Mapping[str, Any]) -> str:
    """What is given, in short: "chance x0.5, slows 0.9"."""
    told = []
    for field, value in fields.items():
        if value is None:
            continue
        words, times = field.removesuffix("_times").replace("_", " "), "x" if field.endswith("_times") else ""
        told.append(f"{words} {times}{value:.3g}" if isinstance(value, int | float) else words)
    return ", ".join(told) or "nothing"

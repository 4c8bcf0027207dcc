"""Telling changes apart: the key that says what a change is about, and errors for a change that does not say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Discriminator, Tag
from pydantic_core import PydanticCustomError

from journeysim.scenario.changes import (
    ChannelChange,
    DeskChange,
    MixChange,
    PainPointChange,
    PriceChange,
    StageChange,
    WordOfMouthChange,
    given,
)
from journeysim.yaml_files import TAG, did_you_mean

if TYPE_CHECKING:
    from journeysim.parts import Part

LEVERS: Mapping[str, type[Part]] = {
    "stage": StageChange,
    "pain_point": PainPointChange,
    "channel": ChannelChange,
    "desk": DeskChange,
    "personas": MixChange,
    "price_times": PriceChange,
    "word_of_mouth": WordOfMouthChange,
}
"""The key that tells what a change is about."""


def _lever(value: object) -> str:
    """The tag of a change."""
    if isinstance(value, Mapping):
        return TAG + next((key for key in LEVERS if key in value), "")
    return TAG + next((key for key, model in LEVERS.items() if isinstance(value, model)), "")


def _is_one_lever(value: object) -> object:
    """Refuse a mapping that names no lever, or more than one."""
    if isinstance(value, Mapping):
        found = [key for key in LEVERS if key in value]
        hints = [did_you_mean(key, [*LEVERS]) for key in value]
        hint = next((hint for hint in hints if hint.startswith("did")), f"one of {', '.join(LEVERS)}")
        if len(found) > 1:
            raise PydanticCustomError(
                "two_levers", "one change is about one thing; make several of {keys}", {"keys": " and ".join(found)}
            )
        if not found:
            raise PydanticCustomError("no_lever", "say with a key what is changed; {hint}", {"hint": hint})
    elif _lever(value) == TAG:
        raise PydanticCustomError(
            "no_lever", "must be a mapping such as {example}", {"example": "{channel: email, volume_times: 0.5}"}
        )
    return value


def _says_something(change: Change) -> Change:
    """Refuse a change without effect, and one that both sets and multiplies."""
    part = change.word_of_mouth if isinstance(change, WordOfMouthChange) else change
    if isinstance(part, StageChange | MixChange | PriceChange):
        return change  # what they need is required, and a stage may be improved by 1
    fields = [field for field in type(part).model_fields if field not in LEVERS]
    found = given(part, *fields)
    if not found:
        detail = {"target": change.target, "fields": ", ".join(fields)}
        raise PydanticCustomError("no_change", "{target} stays as it is; give one of {fields}", detail)
    for field in found:
        if f"{field}_times" in found:
            raise PydanticCustomError("both", "give {field} or {field}_times, not both", {"field": field})
    return change


Change = StageChange | PainPointChange | ChannelChange | DeskChange | MixChange | PriceChange | WordOfMouthChange
"""A change of any kind."""

AnyChange = Annotated[
    Annotated[StageChange, Tag(TAG + "stage")]
    | Annotated[PainPointChange, Tag(TAG + "pain_point")]
    | Annotated[ChannelChange, Tag(TAG + "channel")]
    | Annotated[DeskChange, Tag(TAG + "desk")]
    | Annotated[MixChange, Tag(TAG + "personas")]
    | Annotated[PriceChange, Tag(TAG + "price_times")]
    | Annotated[WordOfMouthChange, Tag(TAG + "word_of_mouth")],
    Discriminator(_lever),
    BeforeValidator(_is_one_lever),
    AfterValidator(_says_something),
]
"""A change as it stands in a scenario: checked to be about one thing, and to change it."""

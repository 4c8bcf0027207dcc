"""Method: what the registry knows of a method before it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from journeysim.attribution.base import Attributor, LogAttributor

Need: TypeAlias = Literal["times", "nulls", "stages"]


@dataclass(frozen=True, slots=True)
class Method:
    """A method of attribution: how to make it, where it comes from, and what to think of it.

    Attributes
    ----------
    factory : makes it with its default settings
    paper : where it was described; empty for a rule of thumb
    assumes : one line; what has to hold for its credit to mean something
    misleads : one line; when it says something wrong
    needs : `times` (ages of touches), `nulls` (journeys without conversion) and `stages` (a log, not journeys), without
        which it refuses
    may_be_negative : whether a channel's credit can be below zero
    provided_by : the distribution that brings it
    """

    factory: Callable[[], Attributor | LogAttributor]
    paper: str = ""
    assumes: str = ""
    misleads: str = ""
    needs: frozenset[Need] = frozenset()
    may_be_negative: bool = False
    provided_by: str = "journeysim"

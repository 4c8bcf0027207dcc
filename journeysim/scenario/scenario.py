"""Scenario: a named list of changes. A World that it is applied to can be simulated, a posterior can be forecast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import numpy as np
from pydantic import Field, StringConstraints, ValidationError

from journeysim.errors import InputError
from journeysim.moves import direction
from journeysim.parts import Part, Text
from journeysim.scenario.changes import StageChange, unknown
from journeysim.scenario.kinds import AnyChange
from journeysim.scenario.table import PARTS, changes_between
from journeysim.spec import World
from journeysim.yaml_files import parse_model, read_model, tell, to_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

APart = TypeVar("APart", bound=Part)

MAX_NAME = 200
"""Characters of the name of a scenario: more than of a part's, because scenarios add up."""

LongName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_NAME, strip_whitespace=True, pattern=r"^[^\p{Cc}\p{Zl}\p{Zp}]*$"),
]


class Scenario(Part):
    """A named what-if: one or more changes, made one after the other, so that multipliers of one thing multiply."""

    name: LongName = Field(description="of the scenario")
    about: Text = Field(default="", description="for readers")
    changes: Annotated[tuple[AnyChange, ...], Field(min_length=1)] = Field(
        description="made one after the other; each is one of the kinds below"
    )

    @classmethod
    def from_yaml(cls, source: str | Path) -> Scenario:
        """Read a scenario from a YAML file (a path) or from YAML text. Raises InputError with the line and the fix."""
        if isinstance(source, str) and "\n" in source:
            return parse_model(source, cls, source="scenario")
        return read_model(source, cls)

    def to_yaml(self) -> str:
        """The scenario as YAML text."""
        return to_yaml(self)

    def __add__(self, other: Scenario) -> Scenario:
        """Both, this one first; `combine` gives the result a name of its own."""
        return combine(self, other)

    def apply(self, world: World) -> World:
        """The world in which this scenario has happened.

        Raises
        ------
        InputError : a name is not one of the world's, or the changes together take it out of the bounds of a world
        """
        changed = world
        for change in self.changes:
            for problem in change.problems(changed):
                raise InputError(f"Scenario {self.name!r} {problem}.")
            changed = change.on(changed)
        fields = dict(changed)
        for field, what in PARTS.items():
            pairs = zip(getattr(world, field), fields[field], strict=True)
            fields[field] = tuple(old if old == new else self._sound(new, what) for old, new in pairs)
        if changed.word_of_mouth is not None:
            fields["word_of_mouth"] = self._sound(changed.word_of_mouth, "the word of mouth")
        try:
            return World.model_validate(fields)
        except ValidationError as error:
            targets = ", ".join(dict.fromkeys(change.target for change in self.changes))
            message = f"Scenario {self.name!r} makes a world that cannot be by changing {targets}: {tell(error, World)}"
            raise InputError(message) from None

    def what_changes(self, world: World) -> pl.DataFrame:
        """A row for each field of the world that this scenario changes, found by comparing the worlds.

        Columns: part (`stage`, `channel`, `persona`, `pain point` or `world`), name, field (such as
        `contacts_per_day.decision`), before and after, as JSON; null where there is none. Take it back with
        `undo(scenario.apply(world), table)`.

        Raises
        ------
        InputError : as `apply`
        """
        return changes_between(world, self.apply(world))

    def hazard_factors(
        self, moves: Sequence[tuple[str, str]], *, stages: Sequence[str], purchase_stages: Sequence[str]
    ) -> NDArray[np.float64]:
        """(M,) what multiplies the hazard of each move (origin, target).

        Raises
        ------
        InputError : a stage is unknown, or something else than stages changes, of which hazards alone cannot tell
        """
        changes = self._of_stages(stages)
        factors = np.ones(len(moves))
        for m, (origin, target) in enumerate(moves):
            towards = direction(origin, target, stages=stages, purchase_stages=purchase_stages)
            for change in changes:
                if change.stage == origin:
                    factors[m] *= change.factor(towards)
        return factors

    def unseen(
        self, moves: Sequence[tuple[str, str]], *, stages: Sequence[str], purchase_stages: Sequence[str]
    ) -> list[str]:
        """What this scenario changes but none of `moves` does, such as "exit from loyalty": a log cannot tell of it.

        Raises
        ------
        InputError : as `hazard_factors`
        """
        seen = {
            (origin, direction(origin, target, stages=stages, purchase_stages=purchase_stages))
            for origin, target in moves
        }
        return [
            f"{towards} from {change.stage}"
            for change in self._of_stages(stages)
            for towards in ("forward", "back", "exit")
            if change.factor(towards) != 1 and (change.stage, towards) not in seen
        ]

    def _of_stages(self, stages: Sequence[str]) -> list[StageChange]:
        """The changes, all of which must be of known stages."""
        of_stages = [change for change in self.changes if isinstance(change, StageChange)]
        others = dict.fromkeys(change.target for change in self.changes if not isinstance(change, StageChange))
        if others:
            raise InputError(
                f"Scenario {self.name!r} changes {', '.join(others)}. A fitted stage model knows only the moves "
                "between stages, so it cannot forecast that. Fit a twin of the log, twin = fit_world(log, seed=1), and "
                "ask forecast(twin, [scenario], ...). On a world of your own: simulate_changes, or `journeysim whatif`."
            )
        for change in of_stages:
            for problem in unknown("stage", [change.stage], stages):
                raise InputError(f"Scenario {self.name!r} {problem}.")
        return of_stages

    def _sound(self, part: APart, what: str) -> APart:
        """The part, checked: a copy keeps what its bounds forbid."""
        try:
            return type(part).model_validate(part.model_dump(warnings=False))
        except ValidationError as error:
            named = f"{what} {part.name!r}" if hasattr(part, "name") else what
            message = f"Scenario {self.name!r} takes {named} out of bounds: {tell(error, type(part))}"
            raise InputError(message) from None


def combine(*scenarios: Scenario, name: str | None = None) -> Scenario:
    """All of these, one after the other.

    Parameters
    ----------
    name : by default the names joined by " + "

    Raises
    ------
    InputError : none is given, or the name is too long

    >>> from journeysim.scenario import drop_channel, change_price
    >>> combine(drop_channel("tv"), change_price(times=0.9)).name
    'drop tv + price x0.9'
    """
    if not scenarios:
        raise InputError("combine: no scenario is given; pass one or more.")
    joined = name or " + ".join(scenario.name for scenario in scenarios)
    if len(joined) > MAX_NAME:
        raise InputError(
            f"combine: the name {joined!r} has {len(joined)} characters; pass name= with at most {MAX_NAME}."
        )
    about = " ".join(scenario.about for scenario in scenarios if scenario.about)
    changes = tuple(change for scenario in scenarios for change in scenario.changes)
    return Scenario(name=joined, about=about[:2000], changes=changes)

"""Scenario: a named change. Applied to a World it can be simulated, applied to a posterior it can be forecast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field, ValidationError

from journeysim.errors import InputError
from journeysim.moves import Direction, direction
from journeysim.parts import Name, Part, PositiveMultiplier, Stage, Text
from journeysim.spec import World
from journeysim.yaml_files import did_you_mean, parse_model, read_model, tell, to_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


class StageChange(Part):
    """Multipliers on what leads out of one stage; 1 leaves it as it is, 0.67 on exits loses a third fewer.

    `forward` also multiplies what contacts do there: an easier step is easier for everyone who takes it.
    """

    stage: Name
    forward: PositiveMultiplier = Field(default=1.0, description="on hazards of moves to later stages and to purchases")
    back: PositiveMultiplier = Field(default=1.0, description="on hazards of moves to earlier stages")
    exit: PositiveMultiplier = Field(default=1.0, description="on hazards of leaving for good")

    def factor(self, towards: Direction) -> float:
        """The multiplier for moves in one direction."""
        return {"forward": self.forward, "back": self.back, "exit": self.exit}[towards]


class Scenario(Part):
    """A named what-if: one or more stages change. Changes of the same stage multiply."""

    name: Name
    about: Text = ""
    changes: Annotated[tuple[StageChange, ...], Field(min_length=1)]

    @classmethod
    def from_yaml(cls, source: str | Path) -> Scenario:
        """Read a scenario from a YAML file (a path) or from YAML text. Raises InputError with the line and the fix."""
        if isinstance(source, str) and "\n" in source:
            return parse_model(source, cls, source="scenario")
        return read_model(source, cls)

    def to_yaml(self) -> str:
        """The scenario as YAML text."""
        return to_yaml(self)

    def apply(self, world: World) -> World:
        """The world in which this scenario has happened.

        Raises
        ------
        InputError : a stage is not one of the world's, or a change takes it out of the bounds of a world
        """
        _check_stages(self, world.stage_names)
        stages = tuple(self._changed(stage, world) for stage in world.stages)
        try:
            return World.model_validate({**dict(world), "stages": stages})
        except ValidationError as error:
            changed = ", ".join(repr(name) for name in dict.fromkeys(change.stage for change in self.changes))
            message = f"Scenario {self.name!r} makes a world that cannot be by changing {changed}: {tell(error, World)}"
            raise InputError(message) from None

    def hazard_factors(
        self, moves: Sequence[tuple[str, str]], *, stages: Sequence[str], purchase_stages: Sequence[str]
    ) -> NDArray[np.float64]:
        """(M,) what multiplies the hazard of each move (origin, target). Raises InputError for an unknown stage."""
        _check_stages(self, stages)
        factors = np.ones(len(moves))
        for m, (origin, target) in enumerate(moves):
            towards = direction(origin, target, stages=stages, purchase_stages=purchase_stages)
            for change in self.changes:
                if change.stage == origin:
                    factors[m] *= change.factor(towards)
        return factors

    def unseen(
        self, moves: Sequence[tuple[str, str]], *, stages: Sequence[str], purchase_stages: Sequence[str]
    ) -> list[str]:
        """What this scenario changes but none of `moves` does, such as "exit from loyalty": a log cannot tell of it."""
        seen = {
            (origin, direction(origin, target, stages=stages, purchase_stages=purchase_stages))
            for origin, target in moves
        }
        return [
            f"{towards} from {change.stage}"
            for change in self.changes
            for towards in ("forward", "back", "exit")
            if change.factor(towards) != 1 and (change.stage, towards) not in seen
        ]

    def _changed(self, stage: Stage, world: World) -> Stage:
        moves, influence = dict(stage.moves_per_day), stage.influence
        for change in self.changes:
            if change.stage == stage.name:
                moves = {to: rate * change.factor(world.direction(stage.name, to)) for to, rate in moves.items()}
                influence *= change.forward
        try:  # a copy would keep what its bounds forbid
            return Stage.model_validate({**dict(stage), "moves_per_day": moves, "influence": influence})
        except ValidationError as error:
            message = f"Scenario {self.name!r} takes stage {stage.name!r} out of bounds: {tell(error, Stage)}"
            raise InputError(message) from None


def improve_stage(
    stage: str,
    *,
    forward: float = 1.0,
    back: float = 1.0,
    exit: float = 1.0,
    name: str | None = None,
) -> Scenario:
    """The scenario that changes one stage.

    Raises
    ------
    InputError : a factor is not above 0 and at most 100

    >>> improve_stage("decision", exit=0.5).name
    'improve decision: exit x0.5'
    """
    factors = {"forward": forward, "back": back, "exit": exit}
    for towards, factor in factors.items():
        if not 0 < factor <= 100:
            raise InputError(f"improve_stage {stage!r}: {towards} is {factor}; it must be above 0 and at most 100.")
    told = ", ".join(f"{towards} x{factor:.3g}" for towards, factor in factors.items() if factor != 1)
    change = StageChange(stage=stage, forward=forward, back=back, exit=exit)
    return Scenario(name=name or f"improve {stage}: {told or 'nothing'}", changes=(change,))


def _check_stages(scenario: Scenario, stages: Sequence[str]) -> None:
    for change in scenario.changes:
        if change.stage not in stages:
            hint = did_you_mean(change.stage, stages)
            raise InputError(f"Scenario {scenario.name!r} changes stage {change.stage!r}, which is unknown ({hint}).")

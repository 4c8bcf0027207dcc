"""Case: a world of the benchmark, what it tests, what should fail there, and what the log does not show."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import Discriminator, Field, Tag

from journeysim import worlds
from journeysim.benchmark.defects import Defect
from journeysim.parts import Name, Part, Text
from journeysim.spec import World
from journeysim.yaml_files import TAG, read_model

SUFFIXES: Final = (".yaml", ".yml")


def _is_mapping(value: object) -> str:
    return TAG + ("world" if isinstance(value, Mapping | World) else "name")


NameOrWorld = Annotated[
    Annotated[str, Tag(TAG + "name")] | Annotated[World, Tag(TAG + "world")], Discriminator(_is_mapping)
]


class Precision(Part):
    """How exactly the truth is measured."""

    share_error: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.002, description="expected share error of the truth itself; ten times as much can be judged"
    )
    max_customers: Annotated[int, Field(ge=100)] = Field(
        default=4_000_000, description="after which the truth is taken as it is"
    )
    shapley_customers: Annotated[int, Field(ge=100)] = Field(
        default=200_000, description="at most, for Shapley values, whose errors are smaller"
    )
    move_customers: Annotated[int, Field(ge=100)] = Field(
        default=200_000, description="simulated for each way to move money between two channels"
    )


class Case(Part):
    """One world of the benchmark."""

    name: Name = Field(description="of the case, as rows and tables have it")
    tests: Text = Field(description="what it is there to test")
    should_fail: Text = Field(default="", description="which methods should be wrong here, and why")
    world: NameOrWorld = Field(description="a packaged world, a file (relative to this one), or the world itself")
    defects: tuple[Defect, ...] = Field(default=(), description="what the log does not show, one after the other")
    truth: Precision = Field(default=Precision(), description="how exactly the truth is measured")

    def loaded(self) -> World:
        """The world itself.

        Raises
        ------
        InputError : no world has this name, or its file is wrong
        """
        return self.world if isinstance(self.world, World) else worlds.load(self.world)

    @property
    def key(self) -> str:
        """Hash of all that decides what a log of the case looks like."""
        content = [self.loaded().model_dump(mode="json"), [d.model_dump(mode="json") for d in self.defects]]
        return content_key(content)


def load_case(path: str | Path) -> Case:
    """A case from its YAML file; a world that is named by a path is read from there.

    Raises
    ------
    InputError : the file, or the file of its world, is missing or wrong
    """
    path = Path(path)
    case = read_model(path, Case)
    if isinstance(case.world, str) and Path(case.world).suffix in SUFFIXES:
        return case.model_copy(update={"world": worlds.load(path.parent / case.world)})
    case.loaded()
    return case


def content_key(content: object) -> str:
    """16 hexadecimal digits of the SHA-256 of what JSON can say."""
    return hashlib.sha256(json.dumps(content, sort_keys=False).encode()).hexdigest()[:16]

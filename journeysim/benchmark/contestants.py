"""Contestants: who says what each channel did, from paths, from a log with its stages, or by experiment."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from pydantic import Field

from journeysim.attribution import Attribution, Attributor, LogAttributor
from journeysim.attribution.method import Method
from journeysim.attribution.registry import method_info, methods
from journeysim.attribution.uncertainty import UncertainAttribution
from journeysim.benchmark.defects import as_observed, with_defects
from journeysim.errors import InputError
from journeysim.frozen import FrozenDict
from journeysim.journeys import to_journeys
from journeysim.parts import Name, Part
from journeysim.simulation import simulate
from journeysim.version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.benchmark.cases import Case
    from journeysim.benchmark.known_truth import KnownTruth
    from journeysim.events import EventLog
    from journeysim.journeys import Journeys
    from journeysim.spec import World

    FloatArray = NDArray[np.float64]

ALL = "all"


class SkipError(Exception):
    """A contestant cannot do a world; the message is the reason that the table gives."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What a contestant may be given of a world: one sample of customers, as observed.

    Attributes
    ----------
    case, world, truth : for controls only; an honest method never sees them
    log : with stages, without causes and personas, after the defects of the case
    journeys : paths of touches of that log
    n_customers, seed : of the sample; a method that draws takes its draws from the seed
    """

    case: Case
    world: World
    truth: KnownTruth
    log: EventLog
    journeys: Journeys
    n_customers: int
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Credit by channel, as a contestant gave it.

    Attributes
    ----------
    channels : (C,) names; channels of the world that are not among them get nothing
    credit : (C,) in any unit; only proportions count
    draws : (D, C) of the credit, for intervals, or None
    move : the move of money that the contestant advises, (from, to), where it can say more than its credit does, as who
        simulates moves can; None: the move that its credit promises most of
    measured : further numbers to report, such as what an experiment cost
    version : of the code that answered
    """

    channels: tuple[str, ...]
    credit: FloatArray
    draws: FloatArray | None = None
    move: tuple[str, str] | None = None
    measured: Mapping[str, float] = field(default_factory=dict)
    version: str = f"journeysim {__version__}"

    def of(self, channels: tuple[str, ...]) -> Answer:
        """The same, in the order of these channels.

        Raises
        ------
        InputError : it credits a channel that is not among them, twice the same, or a number that is not finite
        """
        unknown = [name for name in self.channels if name not in channels]
        if unknown or len(set(self.channels)) < len(self.channels):
            raise InputError(
                f"The answer credits {unknown[0] if unknown else 'a channel twice'!r}; the channels are "
                f"{', '.join(channels)}."
            )
        at = [channels.index(name) for name in self.channels]
        credit = np.zeros(len(channels))
        credit[at] = self.credit
        draws = None
        if self.draws is not None:
            draws = np.zeros((len(self.draws), len(channels)))
            draws[:, at] = self.draws
        if not np.isfinite(credit).all() or not (draws is None or np.isfinite(draws).all()):
            raise InputError("The answer has a credit that is not a finite number.")
        return replace(self, channels=channels, credit=credit, draws=draws)


@runtime_checkable
class SampleAttributor(Protocol):
    """A control or a yardstick: it sees the world, because it stands for an experiment in it, or for nothing at all."""

    def answer(self, sample: Sample) -> Answer:
        """Credit channels of the world."""
        ...


AnyMethod = Attributor | LogAttributor | SampleAttributor


class Contestant(Part):
    """A method as a grid names it."""

    method: str = Field(
        description="a registered method, package.module:Name, or path/to/file.py:Name; `all`: every registered one"
    )
    name: Name = Field(default="", description="in rows and tables; by default that of the method")
    settings: Mapping[str, Any] = Field(default_factory=FrozenDict, description="arguments that make the method")

    @property
    def label(self) -> str:
        """What rows call it."""
        return self.name or self.method

    def made(self) -> AnyMethod:
        """The method.

        Raises
        ------
        InputError : there is none of that name, it cannot be made with these settings, or it keeps no protocol
        """
        factory = _imported(self.method) if ":" in self.method else method_info(self.method).factory
        if isinstance(factory, Method):
            factory = factory.factory
        try:
            made = factory(**self.settings) if callable(factory) else factory
        except TypeError as error:
            raise InputError(f"Method {self.label!r} cannot be made with {dict(self.settings)}: {error}.") from None
        if not isinstance(made, Attributor | LogAttributor | SampleAttributor):
            raise InputError(
                f"Method {self.label!r} is {type(made).__name__}; it needs attribute(journeys) or attribute_log(log)."
            )
        return made


def _imported(place: str) -> Any:
    """What `package.module:Name` or `file.py:Name` leads to."""
    home, _, name = place.rpartition(":")
    try:
        module = _from_file(Path(home)) if home.endswith(".py") else importlib.import_module(home)
        return getattr(module, name)
    except (ImportError, AttributeError, OSError) as error:
        raise InputError(f"Method {place!r} cannot be imported: {error}.") from None


def _from_file(file: Path) -> Any:
    if (known := sys.modules.get(f"journeysim_contestant_{file.stem}")) is not None:
        return known
    spec = importlib.util.spec_from_file_location(f"journeysim_contestant_{file.stem}", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise ImportError(f"there is no file {file}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for their module there
    spec.loader.exec_module(module)
    return module


def expanded(contestants: tuple[Contestant, ...]) -> tuple[Contestant, ...]:
    """The contestants, `all` replaced by every registered method that is not named otherwise.

    Raises
    ------
    InputError : two have one name
    """
    named = {contestant.label for contestant in contestants}
    found: list[Contestant] = []
    for contestant in contestants:
        if contestant.method == ALL:
            found += [Contestant(method=name) for name in methods() if name not in named]
        else:
            found.append(contestant)
    labels = [contestant.label for contestant in found]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f"Two methods are called {label!r}; give one of them another name.")
    return tuple(found)


def draw_sample(case: Case, truth: KnownTruth, *, n_customers: int, seed: int) -> Sample:
    """A sample of a case; the same for every method. Raises InputError as `simulate` and `to_journeys`."""
    world = case.loaded()
    log = simulate(world, n_customers=n_customers, horizon_days=world.horizon_days, seed=seed, threads=1)
    log = as_observed(with_defects(log, case.defects, seed))
    return Sample(case, world, truth, log, to_journeys(log), n_customers, seed)


def answer_of(method: AnyMethod, sample: Sample) -> Answer:
    """Run a method on a sample: on its world, its log or its journeys, whichever the method takes, in that order.

    Raises
    ------
    SkipError : the method says so. InputError : it returned something else than an attribution
    """
    if isinstance(method, SampleAttributor):
        return method.answer(sample)
    found: object
    found = method.attribute_log(sample.log) if isinstance(method, LogAttributor) else method.attribute(sample.journeys)
    if isinstance(found, UncertainAttribution):
        return Answer(found.channels, found.point.conversions, found.conversions)
    if isinstance(found, Attribution):
        return Answer(found.channels, found.conversions)
    raise InputError(f"The method returned {type(found).__name__}, not an Attribution or UncertainAttribution.")

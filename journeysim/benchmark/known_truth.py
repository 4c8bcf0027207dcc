"""KnownTruth: what a method's answer is held against, measured once per world and kept in a small file."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from journeysim.benchmark.budget import BudgetMoves, budget_moves, movable_spend
from journeysim.benchmark.cases import content_key
from journeysim.errors import InputError
from journeysim.scores import credit_share
from journeysim.simulation import simulate, truth

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from journeysim.benchmark.cases import Case
    from journeysim.simulation import Truth
    from journeysim.spec import World

    FloatArray = NDArray[np.float64]

SEED: Final = 271_828  # of the truth; samples that methods get have seeds of their own
PILOT: Final = 131_072  # customers, from whom the number that is needed is told
TINY: Final = 1e-6  # a precision that is never reached: the number of customers decides
JUDGED: Final = 10.0
"""Differences of share errors below so many times the error of the truth are not judged."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownTruth:
    """What the C channels of a world really do.

    Attributes
    ----------
    key : hash of the world, of how it was measured, and of a small log, so that a changed simulator makes a new truth
    effect, effect_error : (C,) incremental effect, share of conversions, with its standard error
    shapley, shapley_error : (C,) Shapley value of the true game, likewise
    conversion_rate : converting customers / customers
    spend : (C,) cost of the channel's contacts per customer, of all channels
    movable : (C,) the same, 0 for channels that the budget rule does not touch
    moves : what comes of moving money; None where fewer than two channels have spend
    n_customers : simulated for the effects
    """

    key: str
    channels: tuple[str, ...]
    effect: FloatArray
    effect_error: FloatArray
    shapley: FloatArray
    shapley_error: FloatArray
    conversion_rate: float
    spend: FloatArray
    movable: FloatArray
    moves: BudgetMoves | None
    n_customers: int

    @property
    def share(self) -> FloatArray:
        """(C,) incremental effects scaled to sum to 1; harmful channels count as 0."""
        return credit_share(self.effect)

    @property
    def shapley_share(self) -> FloatArray:
        """(C,) Shapley values likewise."""
        return credit_share(self.shapley)

    @property
    def share_error(self) -> float:
        """Expected share error of this truth itself: half the sum of the mean absolute errors, 0.8 standard errors."""
        return _share_error(self.effect, self.effect_error)

    @property
    def smallest_judged(self) -> float:
        """Differences of share errors below this are not told apart: ten times the error of the truth."""
        return JUDGED * self.share_error

    def to_json(self) -> str:
        """As text that `from_json` reads; numbers to 7 digits, which is more than their errors deserve."""
        content = asdict(self)
        return json.dumps(_rounded(content), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, *, source: str) -> KnownTruth:
        """Read what `to_json` wrote.

        Raises
        ------
        InputError : the text is something else
        """
        try:
            content = json.loads(text)
            moves = content.pop("moves")
            if moves is not None:
                moves = BudgetMoves(tuple(moves["channels"]), np.array(moves["outcome"]), moves["error"])
            columns = ("effect", "effect_error", "shapley", "shapley_error", "spend", "movable")
            content |= {name: np.array(content[name], dtype=np.float64) for name in columns}
            return cls(**(content | {"channels": tuple(content["channels"]), "moves": moves}))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{source} is no truth of a world ({error}); remove it, and it is measured anew."
            ) from None


def truth_of(case: Case, folders: Sequence[Path]) -> KnownTruth:
    """The truth of a case: read from the first of these folders that has it, else measured and written to the last.

    Raises
    ------
    InputError : a file is damaged, or the truth cannot be measured (as `truth`)
    """
    key = truth_key(case)
    name = f"{case.loaded().name}-{key}.json"  # cases that differ in what the log lacks share a truth
    for folder in folders:
        if (folder / name).is_file():
            return KnownTruth.from_json((folder / name).read_text(encoding="utf-8"), source=str(folder / name))
    found = measure(case, key)
    if folders:
        folders[-1].mkdir(parents=True, exist_ok=True)
        unfinished = folders[-1] / f".{name}.{os.getpid()}"
        unfinished.write_text(found.to_json(), encoding="utf-8")
        unfinished.replace(folders[-1] / name)
        return KnownTruth.from_json(found.to_json(), source=name)  # the same digits whether read or measured
    return found


def truth_key(case: Case) -> str:
    """Hash of the world, of the precision, and of a small log that the simulator makes of it now."""
    world = case.loaded()
    n_customers = 2 * world.market_size if world.word_of_mouth and world.market_size <= 1_000 else 200
    log = simulate(world, n_customers=n_customers, horizon_days=world.horizon_days, seed=SEED, threads=1)
    return content_key([world.model_dump(mode="json"), case.truth.model_dump(mode="json"), log.hash()])


def measure(case: Case, key: str) -> KnownTruth:
    """Twin runs without each channel, Shapley values, and every move of money between two channels.

    Raises
    ------
    InputError : as `truth`
    """
    world = case.loaded()
    asked = case.truth
    pilot = truth(world, seed=SEED, precision=TINY, max_customers=min(PILOT, asked.max_customers), threads=1)
    rough = _share_error(*_column(pilot, world, "incremental", "conversions"))
    needed = math.ceil(pilot.n_customers * max(1.0, 1.1 * (rough / asked.share_error) ** 2))
    n_customers = min(needed, asked.max_customers)
    found = truth(world, seed=SEED, precision=TINY, max_customers=n_customers, threads=1)
    n_shapley = min(n_customers, asked.shapley_customers)
    game = truth(world, seed=SEED, precision=TINY, max_customers=n_shapley, shapley=True, threads=1)
    names = world.channel_names
    effect, effect_error = _column(found, world, "incremental", "conversions")
    value, value_error = _column(game, world, "shapley", "conversions")
    spend, _ = _column(found, world, "incremental", "own_cost_per_customer")
    movable = movable_spend(world, spend)
    return KnownTruth(
        key=key,
        channels=names,
        effect=effect,
        effect_error=effect_error,
        shapley=value,
        shapley_error=value_error,
        conversion_rate=float(found.find("world", "conversion_rate")[0] or 0.0),
        spend=spend,
        movable=movable,
        moves=budget_moves(world, movable, n_customers=asked.move_customers, seed=SEED),
        n_customers=found.n_customers,
    )


def _column(found: Truth, world: World, question: str, measure: str) -> tuple[FloatArray, FloatArray]:
    """(C,) values and standard errors of the channels."""
    rows = [found.find(question, measure, name) for name in world.channel_names]
    values, errors = (np.array([np.nan if x is None else x for x in each]) for each in zip(*rows, strict=True))
    return values, errors


def _share_error(effect: FloatArray, error: FloatArray) -> float:
    """Half the sum of the mean absolute errors of shares: a normal error is 0.8 standard errors in the mean."""
    return float(math.sqrt(2 / math.pi) * error.sum() / np.maximum(effect, 0.0).sum() / 2)


def _rounded(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _rounded(value.tolist())
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value

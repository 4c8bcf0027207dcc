"""StageHistory: counts of stage moves and days at risk, all that a stage model needs of a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from journeysim.errors import InputError
from journeysim.moves import LOST, Direction, direction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class StageHistory:
    """Sufficient statistics of stage moves: per segment, counts of each move and days at risk in each stage.

    Attributes
    ----------
    segments : the G segment names (personas, devices, ...)
    stages : the S stage names in the order of the journey
    purchase_stages : the stages whose entry is a conversion
    moves : the M moves that were seen, as (origin, target) names; a target may be `lost`
    counts : (G, M) how often each move was made
    exposure_days : (G, S) customer-days spent in each stage
    starts : (G, S) number of customers whose journey starts in each stage
    """

    segments: tuple[str, ...]
    stages: tuple[str, ...]
    purchase_stages: tuple[str, ...]
    moves: tuple[tuple[str, str], ...]
    counts: FloatArray
    exposure_days: FloatArray
    starts: FloatArray

    def __post_init__(self) -> None:
        shapes = {
            "counts": (len(self.segments), len(self.moves)),
            "exposure_days": (len(self.segments), len(self.stages)),
            "starts": (len(self.segments), len(self.stages)),
        }
        for name, shape in shapes.items():
            column = getattr(self, name)
            if column.shape != shape:
                raise InputError(f"StageHistory: {name} has shape {column.shape}, expected {shape}.")
            if not (np.isfinite(column) & (column >= 0)).all():
                raise InputError(f"StageHistory: {name} must be finite and >= 0.")
            column.setflags(write=False)
        impossible = (self.counts > 0) & (self.exposure_days[:, self.origins] == 0)
        if impossible.any():
            g, m = np.argwhere(impossible)[0]
            raise InputError(
                f"StageHistory: segment {self.segments[g]!r} made the move {' -> '.join(self.moves[m])} "
                f"{self.counts[g, m]:g} times but spent no time in {self.moves[m][0]!r}; check the times of the log."
            )

    @property
    def origins(self) -> IntArray:
        """(M,) index of the stage that each move leaves."""
        return np.array([self.stages.index(origin) for origin, _ in self.moves], dtype=np.int64)

    @property
    def targets(self) -> IntArray:
        """(M,) index of the stage that each move enters; `len(stages)` stands for lost."""
        names: Sequence[str] = (*self.stages, LOST)
        return np.array([names.index(target) for _, target in self.moves], dtype=np.int64)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """(M,) forward, back or exit, see `journeysim.moves.direction`."""
        return tuple(
            direction(origin, target, stages=self.stages, purchase_stages=self.purchase_stages)
            for origin, target in self.moves
        )

"""What the log hazards of a stage history are sums of, and the priors of it: one place, for every stage density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.bayes.priors import LogNormal
    from journeysim.stage_history import StageHistory

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

DIRECTIONS: Final = ("forward", "back", "exit")


@dataclass(frozen=True, slots=True)
class StagePriors:
    """The priors of a stage model on the log scale.

    Attributes
    ----------
    rate : of a move's hazard per day in a typical segment, just after entry, in the reference classes
    spread : of the standard deviation of log hazards between segments, and between levels of an attribute
    bin_sd : standard deviation of the log factor from one bin of time in stage to the next
    covariate_sd : standard deviation of a class's typical log factor, per direction of moves
    covariate_spread : of the standard deviation of a class's log factors between moves
    """

    rate: LogNormal
    spread: LogNormal
    bin_sd: float
    covariate_sd: float
    covariate_spread: LogNormal


@dataclass(frozen=True, slots=True, eq=False)
class StageEffects:
    """The d effects of each of M moves, in this order, and which of them a cell (segment, bin, classes) adds up.

    Deviations of segments (G > 1); levels of crossed attributes; steps from bin to bin; factors of covariate classes;
    the log hazard of a typical segment. See `journeysim.bayes.pooled_effects.PooledEffects` for the arrays.

    Attributes
    ----------
    segments, attributes, steps, covariates : where each kind stands among the d effects
    attribute_levels : (G, attributes) which level of each attribute a segment has
    """

    history: StageHistory
    segments: slice
    attributes: tuple[slice, ...]
    steps: slice
    covariates: tuple[slice, ...]
    attribute_levels: IntArray
    terms: IntArray
    mean: FloatArray
    sd: FloatArray
    scale_of: IntArray
    shared_of: IntArray
    scale_prior: FloatArray
    shared_sd: FloatArray

    @classmethod
    def of(cls, history: StageHistory, priors: StagePriors) -> StageEffects:
        """The effects that a history calls for."""
        cells = history.cells
        n_segments, n_bins, n_combinations, n_moves = cells.counts.shape
        names = [list(dict.fromkeys(column)) for column in zip(*history.levels, strict=True)]
        level = np.array(
            [[names[a].index(name) for a, name in enumerate(row)] for row in history.levels], dtype=np.int64
        ).reshape(n_segments, len(history.attributes))
        sizes = [
            n_segments if n_segments > 1 else 0,
            *map(len, names),
            n_bins - 1,
            *(len(classes) - 1 for _, classes in cells.covariates),
        ]
        ends = np.cumsum(sizes)
        parts = [slice(int(end - size), int(end)) for end, size in zip(ends, sizes, strict=True)]
        n_attributes = len(names)
        segments, attributes, steps, covariates = (
            parts[0],
            tuple(parts[1 : 1 + n_attributes]),
            parts[1 + n_attributes],
            tuple(parts[2 + n_attributes :]),
        )
        d = int(ends[-1]) + 1

        mean, sd = np.zeros(d), np.ones(d)
        mean[-1], sd[-1] = priors.rate.mean, priors.rate.sd
        sd[steps] = priors.bin_sd
        scale_of, shared_of = np.full((n_moves, d), -1), np.full((n_moves, d), -1)
        scale_prior: list[tuple[float, float]] = []
        for part in (segments, *attributes):
            if part.stop > part.start:
                scale_of[:, part] = len(scale_prior) + np.arange(n_moves)[:, None]
                scale_prior += [(priors.spread.mean, priors.spread.sd)] * n_moves
        n_shared = 0
        direction = np.array([DIRECTIONS.index(name) for name in history.directions], dtype=np.int64)
        for part in covariates:
            scale_of[:, part] = len(scale_prior)
            scale_prior.append((priors.covariate_spread.mean, priors.covariate_spread.sd))
            size = part.stop - part.start
            shared_of[:, part] = n_shared + direction[:, None] * size + np.arange(size)
            n_shared += len(DIRECTIONS) * size

        # the terms of each cell; d stands for nothing
        g, b, z = (
            index.ravel() for index in np.indices((n_segments, n_bins, n_combinations), dtype=np.int64, sparse=False)
        )
        columns = [np.full_like(g, d - 1)]
        if segments.stop:
            columns.append(g)
        columns += [part.start + level[g, a] for a, part in enumerate(attributes)]
        columns += [np.where(b > step, steps.start + step, d) for step in range(n_bins - 1)]
        classes = np.unravel_index(z, [len(names) for _, names in cells.covariates]) if covariates else ()
        columns += [
            np.where(of_cell > 0, part.start + of_cell - 1, d)
            for part, of_cell in zip(covariates, classes, strict=True)
        ]
        return cls(
            history=history,
            segments=segments,
            attributes=attributes,
            steps=steps,
            covariates=covariates,
            attribute_levels=level,
            terms=np.ascontiguousarray(np.stack(columns, axis=1)),
            mean=mean,
            sd=sd,
            scale_of=scale_of,
            shared_of=shared_of,
            scale_prior=np.array(scale_prior, dtype=np.float64).reshape(-1, 2),
            shared_sd=np.full(n_shared, priors.covariate_sd),
        )

    @property
    def counts(self) -> FloatArray:
        """(C, M) moves made in each cell."""
        counts = self.history.cells.counts
        return np.ascontiguousarray(counts.reshape(-1, counts.shape[-1]), dtype=np.float64)

    @property
    def exposure_days(self) -> FloatArray:
        """(C, M) customer-days at risk of each move in each cell."""
        days = self.history.cells.exposure_days
        return np.ascontiguousarray(days.reshape(-1, days.shape[-1])[:, self.history.origins], dtype=np.float64)

    def log_hazards(self, effects: FloatArray) -> FloatArray:
        """(..., G, M) log hazard of segments just after entry, in the reference classes; effects (..., M, d)."""
        typical = np.broadcast_to(effects[..., -1:], (*effects.shape[:-1], len(self.history.segments)))
        total = typical + effects[..., self.segments] if self.segments.stop else typical
        for a, part in enumerate(self.attributes):
            total = total + effects[..., part][..., self.attribute_levels[:, a]]
        return np.moveaxis(total, -1, -2)

    def named(self, scales: FloatArray, shared: FloatArray, effects: FloatArray) -> dict[str, Quantity]:
        """What else was learned, by name: spreads and factors, all > 0, of draws (..., Q), (..., K) and (..., M, d)."""
        found: dict[str, Quantity] = {}
        n_moves = len(self.history.moves)
        first = n_moves if self.segments.stop else 0
        for attribute in self.history.attributes:
            found[f"spread_{word(attribute)}"] = Quantity(("move",), scales[..., first : first + n_moves])
            first += n_moves
        if self.steps.stop > self.steps.start:
            factors = np.exp(np.cumsum(effects[..., self.steps], axis=-1))
            found["bin_factor"] = Quantity(("later_bin", "move"), np.moveaxis(factors, -1, -2))
        seen = 0
        for v, ((name, _), part) in enumerate(zip(self.history.cells.covariates, self.covariates, strict=True)):
            size, end = part.stop - part.start, word(name)
            typical = shared[..., seen : seen + len(DIRECTIONS) * size].reshape(*shared.shape[:-1], -1, size)
            seen += len(DIRECTIONS) * size
            found[f"spread_{end}"] = Quantity((), scales[..., first + v])
            found[f"typical_factor_{end}"] = Quantity(("direction", f"class_{end}"), np.exp(typical))
            found[f"factor_{end}"] = Quantity((f"class_{end}", "move"), np.moveaxis(np.exp(effects[..., part]), -1, -2))
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """Draws of a positive quantity, chain and draw first, and the names of its further dimensions."""

    dims: tuple[str, ...]
    draws: FloatArray


def word(name: str) -> str:
    """A name as part of a variable's name in a file."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)

"""Posterior: the draws of a fitted stage model, with names, priors, diagnostics and provenance."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from journeysim.bayes import netcdf
from journeysim.bayes.arviz_groups import Replications, arviz_object, sample_stats
from journeysim.bayes.diagnostics import Diagnostics, rhat_and_ess
from journeysim.bayes.notes import state, with_notes
from journeysim.bayes.stage_checks import moves_again
from journeysim.bayes.stage_effects import DIRECTIONS, Quantity, word
from journeysim.bayes.stage_history_file import history_in, with_history
from journeysim.errors import InputError
from journeysim.stage_cells import Cells

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import polars as pl
    import xarray as xr
    from numpy.typing import NDArray

    from journeysim.stage_history import StageHistory

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]

FORMAT: Final = "journeysim stage posterior 2"
"""Written into every file; a new layout gets a new number."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws of every move's hazard in every segment, given a history.

    C chains, D draws each, G segments, M moves (of `history`).

    Attributes
    ----------
    history : the counts that were fitted, with the names of segments, stages and moves
    hazards_by_chain : (C, D, G, M) hazard of each move, per day in its origin stage; where the history is split by time
        in stage or covariates, in the first bin and the first class of each
    typical_by_chain : (C, D, M) hazard of each move in a typical segment, per day; the only segment's, if there is one
    spread_by_chain : (C, D, M) standard deviation of the log hazard between segments; None with one segment
    more : what else was learned where the history is split further, by name; all > 0. `bin_factor` (C, D, B - 1, M)
        multiplies hazards in later bins; `factor_NAME` (C, D, classes - 1, M) in the later classes of a covariate, with
        its typical value per direction of moves; and spreads
    seen_at_visits : whether stages were seen at visits only: the counts of the history are then of visits
    diverging : (C, D) whether the transition to this draw diverged
    priors : the settings of the model that was fitted
    seed, warmup : of the sampler
    versions : of the packages that made the draws
    energy : (C, D) of the sampler at each draw (Betancourt 2017); None where it was not kept
    """

    history: StageHistory
    hazards_by_chain: FloatArray
    typical_by_chain: FloatArray
    spread_by_chain: FloatArray | None
    diverging: BoolArray
    priors: Mapping[str, float]
    seed: int
    warmup: int
    versions: Mapping[str, str]
    more: Mapping[str, Quantity] = field(default_factory=dict)
    seen_at_visits: bool = False
    energy: FloatArray | None = None

    def __post_init__(self) -> None:
        further = (quantity.draws for quantity in self.more.values())
        ours = (self.hazards_by_chain, self.typical_by_chain, self.spread_by_chain, self.diverging, self.energy)
        for draws in (*ours, *further):
            if draws is not None:
                draws.setflags(write=False)

    def __repr__(self) -> str:
        chains, draws, segments, moves = self.hazards_by_chain.shape
        return f"Posterior({moves} moves in {segments} segments, {chains} chains of {draws:,} draws, {state(self)})"

    def __str__(self) -> str:
        return with_notes(self)

    @property
    def hazards(self) -> FloatArray:
        """(C * D, G, M) hazards per day, chains one after the other."""
        return self.hazards_by_chain.reshape(-1, *self.hazards_by_chain.shape[2:])

    @property
    def edges_days(self) -> tuple[float, ...]:
        """Where each of the B bins of time in stage begins, in days."""
        return self.history.cells.edges_days

    @property
    def covariates(self) -> tuple[str, ...]:
        """Names of the covariates on which the hazards depend."""
        return tuple(name for name, _ in self.history.cells.covariates)

    @property
    def hazards_in_bins(self) -> FloatArray:
        """(C * D, G, B, M) hazards per day in each bin of time in stage, in the first class of each covariate."""
        hazards = self.hazards[:, :, None, :]
        if "bin_factor" not in self.more:
            return hazards
        later = self.more["bin_factor"].draws
        later = later.reshape(-1, 1, *later.shape[2:])
        return np.concatenate([hazards, hazards * later], axis=2)

    def holding(self, **classes: str) -> Posterior:
        """The posterior of customers who always are in the given class of each covariate, such as `contacts="2+"`.

        That is a thought experiment with an association: it says how such customers moved, not what would happen if
        others became like them. The history keeps its counts, summed over classes. Names are as in the covariate, with
        `_` for what is no letter or digit.

        Raises
        ------
        InputError : if a covariate is unknown or missing, or has no such class
        """
        covariates = {word(name): names for name, names in self.history.cells.covariates}
        if set(classes) != set(covariates):
            told = ", ".join(f"{name} ({', '.join(names)})" for name, names in covariates.items()) or "none"
            raise InputError(f"Posterior.holding needs one class of each covariate, which are: {told}.")
        hazards, typical = self.hazards_by_chain, self.typical_by_chain
        for name, chosen in classes.items():
            if chosen not in covariates[name]:
                raise InputError(f"Posterior: {name} has no class {chosen!r}, only {', '.join(covariates[name])}.")
            if position := covariates[name].index(chosen):
                factor = self.more[f"factor_{name}"].draws[:, :, position - 1]
                hazards, typical = hazards * factor[:, :, None, :], typical * factor
        cells = self.history.cells
        detail = Cells(
            cells.edges_days,
            (),
            cells.counts.sum(axis=2, keepdims=True),
            cells.exposure_days.sum(axis=2, keepdims=True),
        )
        return replace(
            self,
            history=replace(self.history, detail=detail if len(cells.edges_days) > 1 else None),
            hazards_by_chain=hazards,
            typical_by_chain=typical,
            more={
                name: quantity
                for name, quantity in self.more.items()
                if not any(name.endswith(f"_{covariate}") for covariate in covariates)
            },
        )

    @property
    def segments(self) -> tuple[str, ...]:
        """The G segment names."""
        return self.history.segments

    @property
    def stages(self) -> tuple[str, ...]:
        """The S stage names in the order of the journey."""
        return self.history.stages

    @property
    def purchase_stages(self) -> tuple[str, ...]:
        """The stages whose entry is a conversion."""
        return self.history.purchase_stages

    @property
    def moves(self) -> tuple[tuple[str, str], ...]:
        """The M moves as (origin, target)."""
        return self.history.moves

    @property
    def starts(self) -> FloatArray:
        """(G, S) number of customers whose journey starts in each stage: the weights of segments and first stages."""
        return self.history.starts

    @cached_property
    def diagnostics(self) -> Diagnostics:
        """R-hat, effective sample size and divergences over all parameters, on the log scale."""
        return Diagnostics.of(self._draws().map(np.log), n_divergences=int(self.diverging.sum()))

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading the figures: segments that are hardly seen, stages that nobody left."""
        thin = [
            f"Segment {name!r} has one customer or none: what is said of it comes from the other segments."
            for name in self.history.thin_segments
        ]
        left = {origin for origin, _ in self.moves}
        stuck = [
            f"Nobody was seen to leave stage {name!r}: a forecast lets nobody leave it."
            for name, days in zip(self.stages, self.history.exposure_days.sum(axis=0), strict=True)
            if name not in left and days > 0
        ]
        return (*thin, *stuck)

    def require_converged(self) -> None:
        """Raise InputError, saying what to do, unless the draws may be trusted."""
        if not self.diagnostics.ok:
            raise InputError(f"Posterior (seed {self.seed}): {self.diagnostics.verdict}")

    def summary(self) -> pl.DataFrame:
        """One row per segment and move.

        Columns: segment, origin, target, count; rate_per_day (posterior mean) with its central 90% interval rate_low to
        rate_high; days, the posterior median of the mean wait 1 / rate if this were the only move (its mean need not
        exist where a move was never seen); ess and rhat of the log rate.
        """
        import polars as pl

        n_segments, n_moves = self.history.counts.shape
        low, median, high = np.quantile(self.hazards, [0.05, 0.5, 0.95], axis=0)
        rhat, ess = rhat_and_ess(self._draws()[["hazard"]].map(np.log))
        return pl.DataFrame(
            {
                "segment": np.repeat(self.segments, n_moves),
                "origin": [origin for origin, _ in self.moves] * n_segments,
                "target": [target for _, target in self.moves] * n_segments,
                "count": self.history.counts.ravel(),
                "rate_per_day": self.hazards.mean(axis=0).ravel(),
                "rate_low": low.ravel(),
                "rate_high": high.ravel(),
                "days": (1 / median).ravel(),
                "ess": ess["hazard"].to_numpy().ravel(),
                "rhat": rhat["hazard"].to_numpy().ravel(),
            }
        )

    def to_arviz(self) -> Any:
        """What ArviZ's functions and plots take: `InferenceData`, or `DataTree` from ArviZ 1 on.

        Beside the draws and how they were made, moves are drawn again in the days at risk that were observed, as in
        `check_stages` (group posterior_predictive; not where stages were seen at visits only). There is no
        log_likelihood: leaving out a cell of counts is leaving out a thousand customers at once; see
        `stage_comparison.compare`.
        """
        again = None
        if not self.seen_at_visits:
            labels = [f"{segment}: {a} -> {b}" for segment in self.segments for a, b in self.moves]
            again = Replications(
                "moves made", "move of segment", labels, self.history.counts.ravel(), moves_again(self)
            )
        return arviz_object(self._draws(), sample_stats(self.diverging, self.energy), replications=again)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write draws, history and provenance to one netCDF-3 file; it exists whole or not at all.

        Raises
        ------
        InputError : if the file exists and `overwrite` is False, or it cannot be written there
        """
        history = self.history
        everything = with_history(self._draws().merge(sample_stats(self.diverging, self.energy)), history)
        if history.detail is not None:
            everything = everything.assign(
                cell_count=(("segment", "bin", "combination", "move"), history.detail.counts),
                cell_days=(("segment", "bin", "combination", "stage"), history.detail.exposure_days),
            )
        provenance = {"priors": self.priors, "seed": self.seed, "warmup": self.warmup, "versions": self.versions}
        provenance["seen_at_visits"] = self.seen_at_visits
        everything.attrs |= {
            "format": FORMAT,
            "provenance": json.dumps(provenance, default=dict),
            "attributes": json.dumps([history.attributes, history.levels]),
            "cells": json.dumps([history.cells.edges_days, history.cells.covariates]),
            "more": json.dumps({name: quantity.dims for name, quantity in self.more.items()}),
        }
        netcdf.write(everything, path, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Posterior:
        """The posterior that `save` wrote, equal to the last bit.

        Raises
        ------
        InputError : if the file does not exist, is damaged, or was not written by `Posterior.save`
        """
        with netcdf.opened(path, file_format=FORMAT) as file:
            attributes, levels = json.loads(file.attrs["attributes"])
            edges, covariates = json.loads(file.attrs["cells"])
            history = history_in(
                file,
                attributes=tuple(attributes),
                levels=tuple(map(tuple, levels)),
                detail=Cells(
                    edges_days=tuple(edges),
                    covariates=tuple((name, tuple(classes)) for name, classes in covariates),
                    counts=netcdf.numbers(file["cell_count"]),
                    exposure_days=netcdf.numbers(file["cell_days"]),
                )
                if "cell_count" in file
                else None,
            )
            return cls(
                history=history,
                hazards_by_chain=netcdf.numbers(file["hazard"]),
                typical_by_chain=netcdf.numbers(file["typical"]),
                spread_by_chain=netcdf.numbers(file["spread"]) if "spread" in file else None,
                diverging=file["diverging"].to_numpy().astype(np.bool_),
                energy=netcdf.numbers(file["energy"]) if "energy" in file else None,
                more={
                    name: Quantity(tuple(dims), netcdf.numbers(file[name]))
                    for name, dims in json.loads(file.attrs["more"]).items()
                },
                **json.loads(file.attrs["provenance"]),
            )

    def _draws(self) -> xr.Dataset:
        import xarray as xr

        variables = {
            "hazard": (("chain", "draw", "segment", "move"), self.hazards_by_chain),
            "typical": (("chain", "draw", "move"), self.typical_by_chain),
        }
        if self.spread_by_chain is not None:
            variables["spread"] = (("chain", "draw", "move"), self.spread_by_chain)
        for name, quantity in self.more.items():
            variables[name] = (("chain", "draw", *quantity.dims), quantity.draws)
        used = {dim for quantity in self.more.values() for dim in quantity.dims}
        cells = self.history.cells
        names = {
            "later_bin": list(cells.bins[1:]),
            "direction": list(DIRECTIONS),
            **{f"class_{word(name)}": list(classes[1:]) for name, classes in cells.covariates},
        }
        return xr.Dataset(
            variables,
            coords={dim: labels for dim, labels in names.items() if dim in used}
            | {
                "segment": list(self.segments),
                "origin": ("move", [origin for origin, _ in self.moves]),
                "target": ("move", [target for _, target in self.moves]),
            },
        )

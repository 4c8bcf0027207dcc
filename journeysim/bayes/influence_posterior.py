"""InfluencePosterior: draws of base hazards, pulls, half-lives, fatigue and appeal, and who caused the moves."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from journeysim.bayes import netcdf
from journeysim.bayes.arviz_groups import arviz_object, sample_stats
from journeysim.bayes.diagnostics import Diagnostics, rhat_and_ess
from journeysim.bayes.hidden_draws import HiddenDraws, flat
from journeysim.bayes.intervals import shortest_from_zero
from journeysim.bayes.notes import state, with_notes
from journeysim.bayes.priors import contacts_prior
from journeysim.bayes.stage_history_file import history_in, with_history
from journeysim.customer_rows import CustomerRows
from journeysim.errors import InputError
from journeysim.influence_history import InfluenceHistory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import polars as pl
    import xarray as xr
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]

FORMAT: Final = "journeysim influence posterior 1"
"""Written into every file; a new layout gets a new number."""
LEVEL: Final = 0.9

_DIMS: Final[Mapping[str, tuple[str, ...]]] = {
    "hazard": ("segment", "move"),
    "typical": ("move",),
    "spread": ("move",),
    "pull": ("channel", "place"),
    "typical_pull": ("channel",),
    "half_life": ("channel",),
    "fatigue": ("channel",),
    "appeal": ("segment", "channel"),
}
_FIELDS: Final = {"hazard": "hazards_by_chain"} | {name: f"{name}_by_chain" for name in _DIMS if name != "hazard"}
_HISTORY: Final[Mapping[str, tuple[str, ...]]] = {
    "pushed": ("stage",),
    "contacts": ("segment", "stage", "channel"),
    "cells": ("cell", "key"),
    "cell_contacts": ("cell",),
    "ages": ("age",),
    "age_weights": ("cell", "age"),
    "moves_after_contact": ("moved",),
    "first_contact": ("bound",),
    "contact_cell": ("touch",),
    "contact_age": ("touch",),
}
_CUSTOMERS: Final[Mapping[str, tuple[str, ...]]] = {
    "weight": ("row",),
    "segment": ("row",),
    "days": ("row", "stage"),
    "contacts": ("row", "channel"),
    "forward": ("row",),
    "exits": ("row",),
    "first_move": ("row_bound",),
}
_WHOLE: Final = ("pushed", "cells", "moves_after_contact", "first_contact", "contact_cell")


@dataclass(frozen=True, eq=False)
class InfluencePosterior:
    """Draws of the influence model, given a history: all that a world needs of moves and channels.

    Ch chains, D draws each, G segments, M moves, C channels, P stages with a pushed move (`history.pushed_stages`).

    Attributes
    ----------
    history : what was fitted, with the names; its contacts and days at risk give the rates of contacts
    hazards_by_chain : (Ch, D, G, M) base hazard of each move, per day in its origin stage
    typical_by_chain : (Ch, D, M) the same in a typical segment
    spread_by_chain : (Ch, D, M) standard deviation of the log hazard between segments; None with one segment
    pull_by_chain : (Ch, D, C, P) probability that a first contact, left alone, moves a customer of appeal 1 on
    typical_pull_by_chain : (Ch, D, C) mean of the pulls of a channel over stages, before seeing them
    half_life_by_chain : (Ch, D, C) days
    fatigue_by_chain : (Ch, D, C) what a repeat multiplies pull by; None if it was taken to be 1
    appeal_by_chain : (Ch, D, G, C) what a segment multiplies pull by; None if it was taken to be 1
    diverging : (Ch, D) whether the transition to this draw diverged
    priors : the settings of the model that was fitted
    seed, warmup : of the sampler
    versions : of the packages that made the draws
    hidden : draws of hidden personas; base hazards are then those of the slowest one. None if there are none
    energy : (Ch, D) of the sampler at each draw; None where it was not kept
    """

    history: InfluenceHistory
    hazards_by_chain: FloatArray
    typical_by_chain: FloatArray
    spread_by_chain: FloatArray | None
    pull_by_chain: FloatArray
    typical_pull_by_chain: FloatArray
    half_life_by_chain: FloatArray
    fatigue_by_chain: FloatArray | None
    appeal_by_chain: FloatArray | None
    diverging: BoolArray
    priors: Mapping[str, float]
    seed: int
    warmup: int
    versions: Mapping[str, str]
    hidden: HiddenDraws | None = None
    energy: FloatArray | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            if isinstance(draws := getattr(self, field.name), np.ndarray):
                draws.setflags(write=False)

    def __repr__(self) -> str:
        chains, draws, channels, _ = self.pull_by_chain.shape
        return f"InfluencePosterior({channels} channels, {chains} chains of {draws:,} draws, {state(self)})"

    def __str__(self) -> str:
        return with_notes(self)

    @property
    def hazards(self) -> FloatArray:
        """(Ch * D, G, M) base hazards per day, chains one after the other."""
        return flat(self.hazards_by_chain)

    @property
    def pull(self) -> FloatArray:
        """(Ch * D, C, P)."""
        return flat(self.pull_by_chain)

    @property
    def half_life(self) -> FloatArray:
        """(Ch * D, C) days."""
        return flat(self.half_life_by_chain)

    @property
    def fatigue(self) -> FloatArray:
        """(Ch * D, C); ones where the model has no fatigue."""
        return np.ones_like(self.half_life) if self.fatigue_by_chain is None else flat(self.fatigue_by_chain)

    @property
    def appeal(self) -> FloatArray:
        """(Ch * D, G, C); ones where the model has no appeal."""
        if self.appeal_by_chain is None:
            return np.ones((len(self.half_life), len(self.segments), len(self.channels)))
        return flat(self.appeal_by_chain)

    @property
    def segments(self) -> tuple[str, ...]:
        """The G segment names."""
        return self.history.stages.segments

    @property
    def channels(self) -> tuple[str, ...]:
        """The C channel names."""
        return self.history.channels

    @property
    def moves(self) -> tuple[tuple[str, str], ...]:
        """The M moves as (origin, target)."""
        return self.history.stages.moves

    @property
    def pushed_stages(self) -> tuple[str, ...]:
        """The P stages from which contacts move customers on."""
        return self.history.pushed_stages

    @property
    def unmet(self) -> tuple[tuple[str, str], ...]:
        """(channel, stage) that no customer met: their pull is what the channel's other stages and the prior say."""
        met = self.history.contacts.sum(axis=0)
        places = np.flatnonzero(self.history.pushed >= 0)
        names = self.history.stages.stages
        return tuple((c, names[s]) for i, c in enumerate(self.channels) for s in places if met[s, i] == 0)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading the figures: segments that are hardly seen, contacts that nobody met."""
        thin = [
            f"Segment {name!r} has one customer or none: what is said of it comes from the other segments."
            for name in self.history.stages.thin_segments
        ]
        stages = {c: [stage for channel, stage in self.unmet if channel == c] for c, _ in self.unmet}
        unmet = [
            f"Nobody met {channel!r} in {', '.join(map(repr, where))}: its pull there is what its other stages and the "
            "prior say."
            for channel, where in stages.items()
        ]
        return (*thin, *unmet)

    @cached_property
    def diagnostics(self) -> Diagnostics:
        """R-hat, effective sample size and divergences over all parameters, on the log scale."""
        return Diagnostics.of(self._draws().map(np.log), n_divergences=int(self.diverging.sum()))

    def require_converged(self) -> None:
        """Raise InputError, saying what to do, unless the draws may be trusted."""
        if not self.diagnostics.ok:
            raise InputError(f"InfluencePosterior (seed {self.seed}): {self.diagnostics.verdict}")

    def summary(self) -> pl.DataFrame:
        """One row per channel and parameter, and per stage or segment where it has several.

        Columns: parameter (pull, half_life_days, fatigue, appeal), channel, stage, segment; mean, low, high: of pull
        and of the loss by fatigue the shortest 90% interval that may begin at no effect (`shortest_from_zero`), of
        others the central one; holds_none, whether the interval of a pull begins at 0, or that of fatigue ends at 1;
        contacts, how many there were; met, moves of a stay with such a contact; ess and rhat of the logarithm.
        """
        import polars as pl

        rows: list[dict[str, Any]] = []
        names = self.history.stages.stages
        places = [names.index(stage) for stage in self.pushed_stages]
        met, contacts = self.history.moves_met, self.history.contacts
        rhat, ess = (d.map(np.asarray) for d in rhat_and_ess(self._draws().map(np.log)))
        pull, loss = shortest_from_zero(self.pull, LEVEL), shortest_from_zero(1.0 - self.fatigue, LEVEL)
        life, appeal = (np.quantile(d, [0.05, 0.95], axis=0) for d in (self.half_life, self.appeal))

        def add(name: str, at: tuple[int, ...], mean: float, low: float, high: float, **more: Any) -> None:
            key = name.removesuffix("_days")
            rows.append(
                {"parameter": name, "stage": None, "segment": None, "holds_none": None}
                | {"mean": float(mean), "low": float(low), "high": float(high)}
                | more
                | {"ess": float(ess[key].values[at]), "rhat": float(rhat[key].values[at])}
            )

        for c, channel in enumerate(self.channels):
            in_all = {"channel": channel, "contacts": contacts[..., c].sum(), "met": met[c].sum()}
            for p, s in enumerate(places):
                here = {"channel": channel, "stage": names[s], "contacts": contacts[:, s, c].sum(), "met": met[c, s]}
                low, high = pull[0][c, p], pull[1][c, p]
                add("pull", (c, p), self.pull[:, c, p].mean(), low, high, holds_none=bool(low == 0), **here)
            add("half_life_days", (c,), self.half_life[:, c].mean(), *life[:, c], **in_all)
            if self.fatigue_by_chain is not None:
                low, high = 1.0 - loss[1][c], 1.0 - loss[0][c]
                add("fatigue", (c,), self.fatigue[:, c].mean(), low, high, holds_none=bool(high == 1), **in_all)
            for g, segment in enumerate(self.segments if self.appeal_by_chain is not None else ()):
                here = {**in_all, "segment": segment, "contacts": contacts[g, :, c].sum()}
                add("appeal", (g, c), self.appeal[:, g, c].mean(), *appeal[:, g, c], **here)
        columns = ("parameter", "channel", "stage", "segment", "mean", "low", "high", "holds_none", "contacts", "met")
        return pl.DataFrame(rows, infer_schema_length=None).select(*columns, "ess", "rhat")

    def to_arviz(self) -> Any:
        """What ArviZ's functions and plots take: `InferenceData`, or `DataTree` from ArviZ 1 on.

        Beside the draws and how they were made, `posterior_predictive` holds moves drawn again, given days at risk and
        contacts, and `observed_data` those that were made; with hidden personas neither is there, because who is which
        persona is not observed.
        """
        from journeysim.bayes.influence_predictive import moves_again

        stats = sample_stats(self.diverging, self.energy)
        return arviz_object(self._draws(), stats, replications=None if self.hidden else moves_again(self))

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write draws, history and provenance to one netCDF-3 file; it exists whole or not at all.

        Raises
        ------
        InputError : if the file exists and `overwrite` is False, or it cannot be written there
        """
        drawn = self._draws().merge(sample_stats(self.diverging, self.energy))
        everything = with_history(drawn, self.history.stages).assign(
            # netCDF-3 has no integers of 64 bits; floats hold those that occur here exactly
            {name: (dims, getattr(self.history, name).astype(np.float64)) for name, dims in _HISTORY.items()}
        )
        provenance = {"priors": self.priors, "seed": self.seed, "warmup": self.warmup, "versions": self.versions}
        if self.history.customers is not None:
            everything = everything.assign(
                {
                    f"customer_{name}": (dims, getattr(self.history.customers, name).astype(np.float64))
                    for name, dims in _CUSTOMERS.items()
                }
            )
        everything.attrs |= {"format": FORMAT, "provenance": json.dumps(provenance, default=dict)}
        netcdf.write(everything, path, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> InfluencePosterior:
        """The posterior that `save` wrote, equal to the last bit.

        Raises
        ------
        InputError : if the file does not exist, is damaged, or was not written by `InfluencePosterior.save`
        """
        with netcdf.opened(path, file_format=FORMAT) as file:
            columns: dict[str, Any] = {
                name: netcdf.numbers(file[name]).astype(np.int64 if name in _WHOLE else np.float64) for name in _HISTORY
            }
            customers = None
            if "customer_weight" in file:
                kept: dict[str, Any] = {name: netcdf.numbers(file[f"customer_{name}"]) for name in _CUSTOMERS}
                kept |= {name: kept[name].astype(np.int64) for name in ("segment", "first_move")}
                customers = CustomerRows(**kept)
            history = InfluenceHistory(
                stages=history_in(file), channels=netcdf.names(file["channel"]), customers=customers, **columns
            )
            met, _ = contacts_prior(history.contacts, history.stages.exposure_days)
            return cls(
                history=history,
                hidden=HiddenDraws.in_file(file, met) if "persona_share" in file else None,
                **{at: netcdf.numbers(file[name]) if name in file else None for name, at in _FIELDS.items()},  # type: ignore[arg-type]
                diverging=file["diverging"].to_numpy().astype(np.bool_),
                energy=netcdf.numbers(file["energy"]) if "energy" in file else None,
                **json.loads(file.attrs["provenance"]),
            )

    def _draws(self) -> xr.Dataset:
        import xarray as xr

        drawn = {name: getattr(self, at) for name, at in _FIELDS.items()}
        hidden = xr.Dataset() if self.hidden is None else self.hidden.to_dataset()
        return hidden.assign(
            {name: (("chain", "draw", *_DIMS[name]), draws) for name, draws in drawn.items() if draws is not None}
        ).assign_coords(
            {
                "segment": list(self.segments),
                "origin": ("move", [origin for origin, _ in self.moves]),
                "target": ("move", [target for _, target in self.moves]),
                "channel": list(self.channels),
                "place": list(self.pushed_stages),
            }
        )

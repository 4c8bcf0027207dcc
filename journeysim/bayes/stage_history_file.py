"""A stage history in the file of a posterior that was fitted to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from journeysim.bayes import netcdf
from journeysim.stage_history import StageHistory

if TYPE_CHECKING:
    import xarray as xr


def with_history(draws: xr.Dataset, history: StageHistory) -> xr.Dataset:
    """The draws, which have the coordinates segment, origin and target, with the counts of the history beside them."""
    everything = draws.assign(
        count=(("segment", "move"), history.counts),
        exposure_days=(("segment", "stage"), history.exposure_days),
        starts=(("segment", "stage"), history.starts),
    ).assign_coords(stage=list(history.stages))
    everything.attrs["purchase_stages"] = json.dumps(history.purchase_stages)
    return everything


def history_in(file: xr.Dataset, **more: Any) -> StageHistory:
    """The history that `with_history` wrote; `more` are fields of its own that a model keeps elsewhere in the file."""
    return StageHistory(
        segments=netcdf.names(file["segment"]),
        stages=netcdf.names(file["stage"]),
        purchase_stages=tuple(json.loads(file.attrs["purchase_stages"])),
        moves=tuple(zip(netcdf.names(file["origin"]), netcdf.names(file["target"]), strict=True)),
        counts=netcdf.numbers(file["count"]),
        exposure_days=netcdf.numbers(file["exposure_days"]),
        starts=netcdf.numbers(file["starts"]),
        **more,
    )

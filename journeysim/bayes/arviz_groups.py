"""Every posterior in ArviZ's own groups, so that ArviZ's functions and plots work on all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from journeysim.bayes.arviz_versions import inference_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]


class Replications(NamedTuple):
    """What was observed, and what the model would have produced in its place.

    Attributes
    ----------
    name : of what was observed
    of : what there is one of: a customer, a move of a segment
    labels, observed : (n,) of these; several dimensions are more than some of ArviZ's plots can take
    again : (C, D, n) produced from C chains of D draws: all of the posterior's, or fewer, evenly spaced
    """

    name: str
    of: str
    labels: Sequence[Any]
    observed: NDArray[Any]
    again: NDArray[Any]


def arviz_object(
    draws: xr.Dataset,
    stats: xr.Dataset,
    *,
    replications: Replications | None = None,
    log_likelihood: FloatArray | None = None,
) -> Any:
    """`InferenceData` (ArviZ 0.x) or `DataTree` (1.x) of what there is.

    Parameters
    ----------
    draws : dimensions chain, draw and more; moves, which have an origin and a target, are labelled by both
    stats : `sample_stats`
    replications : groups posterior_predictive and observed_data
    log_likelihood : (C, D, n) of each observation
    """
    import xarray as xr

    groups = {"posterior": _labelled(draws), "sample_stats": stats}
    if replications is not None:
        name, of, labels, observed, again = replications
        coords = {of: list(labels)}
        if (observed == np.round(observed)).all():  # ArviZ smooths what is not an integer
            observed, again = observed.astype(np.int64), again.astype(np.int64)
        groups["posterior_predictive"] = xr.Dataset({name: (("chain", "draw", of), again)}, coords=coords)
        groups["observed_data"] = xr.Dataset({name: (of, observed)}, coords=coords)
    if log_likelihood is not None:
        groups["log_likelihood"] = xr.Dataset({"customers": (("chain", "draw", "customer"), log_likelihood)})
    return inference_object({group: _numbered(data) for group, data in groups.items()})


def sample_stats(diverging: BoolArray, energy: FloatArray | None) -> xr.Dataset:
    """(C, D) whether the transition to each draw diverged, and its energy where it was kept, by ArviZ's names."""
    import xarray as xr

    found = {"diverging": diverging} if energy is None else {"diverging": diverging, "energy": energy}
    return xr.Dataset({name: (("chain", "draw"), values) for name, values in found.items()})


def _numbered(dataset: xr.Dataset) -> xr.Dataset:
    """With coordinates of chain and draw: some plots of ArviZ tell chains apart by them."""
    return dataset.assign_coords({dim: range(dataset.sizes[dim]) for dim in ("chain", "draw") if dim in dataset.dims})


def _labelled(dataset: xr.Dataset) -> xr.Dataset:
    if "origin" not in dataset.coords:
        return dataset
    moves = zip(dataset["origin"].values, dataset["target"].values, strict=True)
    return dataset.assign_coords(move=[f"{origin} -> {target}" for origin, target in moves])

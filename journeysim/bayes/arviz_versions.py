"""What differs between ArviZ 0.x (with PyMC 5, Python 3.11) and ArviZ 1.x (with PyMC 6); no other module asks."""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    import xarray as xr


def import_arviz() -> ModuleType:
    """ArviZ, without the FutureWarning by which 0.23 announces 1.0; call it before nutpie or PyMC import ArviZ."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing", category=FutureWarning)
        return importlib.import_module("arviz")


def inference_object(groups: dict[str, xr.Dataset]) -> Any:
    """The container that this ArviZ's functions take: `InferenceData` (0.x) or `xarray.DataTree` (1.x)."""
    az = import_arviz()
    if az.__version__.startswith("0."):
        return az.InferenceData(**groups)
    import xarray as xr

    return xr.DataTree.from_dict(groups)


def pointwise_loo(log_likelihood: xr.Dataset, posterior: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Expected log predictive density of each observation left out, by PSIS, and its Pareto k.

    Parameters
    ----------
    log_likelihood : one variable with dimensions chain, draw and one more
    posterior : any parameters of the same draws, which tell how much the chains are worth
    """
    az = import_arviz()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of large Pareto k: the caller gets them all
        found = az.loo(inference_object({"posterior": posterior, "log_likelihood": log_likelihood}), pointwise=True)
    values = found.loo_i if hasattr(found, "loo_i") else found.elpd_i
    return values, found.pareto_k

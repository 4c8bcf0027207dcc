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

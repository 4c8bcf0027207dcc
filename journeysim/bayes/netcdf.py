"""Posteriors on disk: one netCDF-3 file each, which exists whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from journeysim.errors import InputError

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray


def write(dataset: xr.Dataset, path: str | Path, *, overwrite: bool) -> None:
    """Write variables, coordinates and text attributes to a file.

    Raises
    ------
    InputError : if the file exists and `overwrite` is False
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise InputError(f"Posterior: {path} exists; choose another name or pass overwrite=True.")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        # netCDF-3 needs nothing but SciPy, and R, Julia and the netCDF tools read it.
        dataset.to_netcdf(partial, engine="scipy", format="NETCDF3_64BIT")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read(path: str | Path, *, file_format: str) -> xr.Dataset:
    """The data set that `write` wrote.

    Parameters
    ----------
    file_format : what the attribute `format` of the file must say

    Raises
    ------
    InputError : if the file does not exist, is not netCDF, or has another format
    """
    import xarray as xr

    if not Path(path).is_file():
        raise InputError(f"Posterior: there is no file {path}.")
    try:
        file = xr.load_dataset(path, engine="scipy")
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"Posterior: {path} is not a netCDF file that Posterior.save wrote ({error}).") from error
    if file.attrs.get("format") != file_format:
        raise InputError(f"Posterior: {path} has format {file.attrs.get('format')!r}, expected {file_format!r}.")
    return file


def names(column: xr.DataArray) -> tuple[str, ...]:
    """The text of a coordinate."""
    return tuple(str(name) for name in column.values)


def numbers(column: xr.DataArray) -> NDArray[np.float64]:
    """Numbers in this machine's byte order (netCDF-3 is big-endian), which compiled code needs."""
    return column.to_numpy().astype(np.float64)

"""Posteriors on disk: one netCDF-3 file each, which exists whole or not at all, and knows when it was damaged."""

from __future__ import annotations

import hashlib
import io
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr
    from numpy.typing import NDArray

CHECKSUM: Final = "content_sha256"
"""Attribute of the file: SHA-256 of all its bytes, with zeros in the place of this attribute."""
_BLANK: Final = "0" * 64
_BEFORE: Final = b"content_sha256\0\0" + (2).to_bytes(4, "big") + (64).to_bytes(4, "big")
"""How netCDF-3 begins the attribute: its name, filled up to a multiple of 4; the type, text; the length of the text."""


def write(dataset: xr.Dataset, path: str | Path, *, overwrite: bool) -> None:
    """Write variables, coordinates and text attributes to a file.

    Raises
    ------
    InputError : if the file exists and `overwrite` is False, or it cannot be written there
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"Posterior: {path} is a folder; name a file in it, such as {path / 'posterior.nc'}.")
    if not path.parent.is_dir():
        raise InputError(f"Posterior: there is no folder {path.parent}; make it first, or write {path.name} elsewhere.")
    if path.exists() and not overwrite:
        raise InputError(f"Posterior: {path} exists; choose another name or pass overwrite=True.")
    # netCDF-3 needs nothing but SciPy, and R, Julia and the netCDF tools read it.
    blank: bytes = bytes(dataset.assign_attrs({CHECKSUM: _BLANK}).to_netcdf(engine="scipy", format="NETCDF3_64BIT"))
    at = blank.index(_BEFORE) + len(_BEFORE)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(blank[:at] + _digest(blank) + blank[at + len(_BLANK) :])
        partial.replace(path)
    except OSError as error:
        raise InputError(f"Posterior: {path} cannot be written: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def opened(path: str | Path, *, file_format: str) -> Iterator[xr.Dataset]:
    """The data set that `write` wrote; whatever goes wrong while it is used is said of the file.

    Parameters
    ----------
    file_format : what the attribute `format` of the file must say

    Raises
    ------
    InputError : if the file does not exist, is not netCDF, is damaged, or has another format
    """
    import xarray as xr

    path = Path(path)
    if not path.is_file():
        raise InputError(f"Posterior: there is no file {path}.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"Posterior: {path} cannot be read: {error.strerror or error}.") from error
    if not _is_intact(content):
        raise InputError(
            f"Posterior: {path} is not as it was written: it was damaged or changed. Copy it again, or fit again."
        )
    try:
        file = xr.load_dataset(io.BytesIO(content), engine="scipy")
    except Exception as error:  # what SciPy and xarray raise on bytes that are no netCDF depends on the bytes
        raise InputError(
            f"Posterior: {path} is not a netCDF file that a posterior's save wrote, or it is damaged. "
            "Check the name of the file, copy it again, or fit again."
        ) from error
    if (found := file.attrs.get("format")) != file_format:
        raise InputError(
            f"Posterior: {path} has format {found!r}, expected {file_format!r}; load it with the class that saved it."
        )
    try:
        yield file
    except Exception as error:  # a file without a checksum may lack, or hold, anything
        raise InputError(
            f"Posterior: {path} is damaged, or was not written by a posterior's save "
            f"({type(error).__name__}: {error}). Copy it again, or fit again."
        ) from error


def names(column: xr.DataArray) -> tuple[str, ...]:
    """The text of a coordinate."""
    return tuple(str(name) for name in column.values)


def numbers(column: xr.DataArray) -> NDArray[np.float64]:
    """Numbers in this machine's byte order (netCDF-3 is big-endian), which compiled code needs."""
    return column.to_numpy().astype(np.float64)


def _digest(blank: bytes) -> bytes:
    return hashlib.sha256(blank).hexdigest().encode()


def _is_intact(content: bytes) -> bool:
    """Whether bytes are those that `write` wrote; True for files that have no checksum, of versions before it."""
    found = content.find(_BEFORE)
    if found < 0:
        return True
    start = found + len(_BEFORE)
    end = start + len(_BLANK)
    return content[start:end] == _digest(content[:start] + _BLANK.encode() + content[end:])

"""EventLogs into files and back: a directory of Parquet, or one CSV. A file exists whole or not at all."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from journeysim.errors import InputError
from journeysim.events import COLUMNS, EventLog
from journeysim.log_directory import LogDirectory, scan_log, write_manifest
from journeysim.log_parts import PartWriter
from journeysim.table_files import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextmanager
def new_directory(target: str | Path) -> Iterator[Path]:
    """A directory to fill that gets the name `target` only when all went well.

    Raises
    ------
    InputError : something stands at `target` already; nothing is ever overwritten
    """
    target = Path(target)
    with making(target):
        unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        unfinished.chmod(0o755)  # mkdtemp makes it private
        yield unfinished
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def new_file(target: str | Path) -> Iterator[Path]:
    """A file to write that gets the name `target` only when all went well. Raises like `new_directory`."""
    target = Path(target)
    with making(target):
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        os.close(handle)
    unfinished = Path(name)
    try:
        unfinished.chmod(0o644)  # mkstemp makes it private
        yield unfinished
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def making(target: Path) -> Iterator[None]:
    """Something new at `target`, in a folder that is there from now on; a system that refuses is told as InputError."""
    if target.exists():
        raise InputError(f"{target} exists already. Choose another name, or remove it first.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(f"{target} cannot be made: {error.strerror} ({error.filename}).") from None


def write_log(log: EventLog, directory: str | Path) -> None:
    """Write a log as a directory of one part: two Parquet files and a manifest.

    Raises
    ------
    InputError : the directory exists already
    """
    with new_directory(directory) as folder:
        fill_log_directory(log, folder)


def fill_log_directory(log: EventLog, folder: Path) -> None:
    """Write the files of a log into a directory that exists."""
    with PartWriter(folder, 0) as writer:
        writer.add(log.events, log.customers)
        part = writer.finish()
    write_manifest(
        LogDirectory(
            path=folder,
            parts=(part,),
            start=log.start,
            end=log.end,
            stages=log.stages,
            purchase_stages=log.purchase_stages,
            currency=log.currency,
            provenance=log.provenance,
            recipe={},
        )
    )


def read_log(path: str | Path, *, stages: Sequence[str] = (), purchase_stages: Sequence[str] = ()) -> EventLog:
    """Read a log into memory: a directory that was written by this package, or one CSV or Parquet file of events.

    A single file does not say which stages there are nor which of them are purchases: give them, or let the stages
    be in the order in which they first appear.

    Raises
    ------
    InputError : it is missing, incomplete, damaged (checksums differ) or not a log
    """
    path = Path(path)
    if path.is_dir():
        return scan_log(path).read()
    frame, source = read_table(path, wanted=COLUMNS)
    return EventLog.from_frame(frame, stages=stages, purchase_stages=purchase_stages, source=source)


def write_csv(log: EventLog, path: str | Path) -> None:
    """Write the events of a log as one CSV file, `.csv` or `.csv.gz`. Raises InputError if it exists already."""
    path = Path(path)
    if not path.name.endswith((".csv", ".csv.gz")):
        raise InputError(f"{path}: expected a name that ends in .csv or .csv.gz.")
    with new_file(path) as file:
        if path.suffix == ".gz":
            with gzip.open(file, "wb") as content:
                log.to_polars().write_csv(content)  # type: ignore[call-overload]  # it writes to any binary file
        else:
            log.to_polars().write_csv(file)

"""EventLogs into files and back: a directory of Parquet, or one CSV."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING

from journeysim.errors import InputError
from journeysim.event_columns import COLUMNS
from journeysim.events import EventLog
from journeysim.log_directory import LogDirectory, scan_log, write_manifest
from journeysim.log_parts import PartWriter
from journeysim.new_outputs import new_directory, new_file
from journeysim.table_files import read_table

if TYPE_CHECKING:
    from collections.abc import Sequence


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

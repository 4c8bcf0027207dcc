"""Rows of a benchmark in one CSV file that only grows: a run that was killed goes on where it was."""

from __future__ import annotations

import csv
import io
import os
import sys
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

RAN, SKIPPED, CRASHED = "ran", "skipped", "crashed"
ENDINGS: Final = (RAN, SKIPPED, CRASHED)
"""The last metric of every cell: with it the cell is whole."""


class Row(NamedTuple):
    """One number of one cell: a method on one sample of one world.

    `seconds` and `memory` (MB that the method needed at most beyond what was there before; empty where the system does
    not tell) are those of the cell, and stand in each of its rows. `channel` is empty where the number is of all of
    them. `reason` says why a cell was skipped or crashed. `cell` is the hash of all that decides the cell's numbers.
    """

    world: str
    method: str
    settings: str
    customers: int
    seed: int
    metric: str
    value: float | None
    seconds: float | None
    memory: float | None
    version: str
    channel: str
    reason: str
    cell: str


TYPES: Final = {
    name: {"customers": pl.Int64, "seed": pl.Int64, **dict.fromkeys(("value", "seconds", "memory"), pl.Float64)}.get(
        name, pl.String
    )
    for name in Row._fields
}


class RowFile:
    """The rows in a folder; cells are appended whole, and a torn one at the end is dropped when the file is opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "rows.csv"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs away from the folder. Raises InputError if one is there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if sys.platform == "win32":  # no such locks there: two runs at once are not told
            yield
            return
        import fcntl

        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"Another run writes to {self.folder}. Wait for it, or choose another folder."
                ) from None
            except OSError:  # a file system without locks
                pass
            yield

    def open(self) -> set[str]:
        """Mend the file after a run that was killed; the keys of the cells that it has.

        Raises
        ------
        InputError : the file has other columns
        """
        if not self.path.is_file():
            self._write(_lines([Row._fields]))
            return set()
        text = self.path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        read = [*csv.reader(io.StringIO(whole))]
        if read[:1] != [[*Row._fields]]:
            raise InputError(f"{self.path} has other columns than rows of this benchmark; choose another folder.")
        kept: list[list[str]] = []
        for _, rows in groupby(read[1:], key=lambda row: row[-1]):
            cell = [*rows]
            if cell[-1][Row._fields.index("metric")] in ENDINGS:
                kept += cell
        mended = _lines([Row._fields, *kept])
        if mended != text:
            self._write(mended)
        return {row[-1] for row in kept}

    def append(self, rows: Sequence[Row]) -> None:
        """Add whole cells, on disk when this returns."""
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(_lines(rows))
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> pl.DataFrame:
        """All rows, as they were appended."""
        return read_rows(self.path)

    def _write(self, text: str) -> None:
        unfinished = self.path.with_suffix(".tmp")
        unfinished.write_text(text, encoding="utf-8", newline="")
        unfinished.replace(self.path)


def read_rows(path: Path) -> pl.DataFrame:
    """Rows of a file as a frame, typed."""
    words = [name for name, type_ in TYPES.items() if type_ == pl.String]
    return pl.read_csv(path, schema=TYPES).with_columns(pl.col(words).fill_null(""))


def _lines(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()

"""A part of a log on disk: two Parquet files that are complete for a range of customers, with their checksums."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from journeysim.errors import InputError
from journeysim.event_columns import REQUIRED
from journeysim.fingerprint import Fingerprint, fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Writing costs more than simulating. Measured (docs/logs.md): these take half the time of the defaults and fewer bytes.
# Dictionaries are for what has few values; statistics, by which readers skip rows, only for what logs are sorted by.
_ENCODINGS = {"customer": "DELTA_BINARY_PACKED", "time": "DELTA_BINARY_PACKED", "value": "PLAIN"}


@dataclass(frozen=True, slots=True)
class Part:
    """What a manifest says of a part.

    Attributes
    ----------
    files : names of its files of events and of customers
    sha256 : checksum of each file
    events, customers : fingerprints of both tables, with their numbers of rows
    customer_columns : names of the columns of customers
    """

    files: tuple[str, str]
    sha256: tuple[str, str]
    events: Fingerprint
    customers: Fingerprint
    customer_columns: tuple[str, ...]

    @property
    def n_events(self) -> int:
        """Number of events."""
        return self.events.n_rows

    @property
    def n_customers(self) -> int:
        """Number of customers."""
        return self.customers.n_rows

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "n_events": self.n_events,
            "n_customers": self.n_customers,
            "sha256": dict(zip(self.files, self.sha256, strict=True)),
            "fingerprints": [str(self.events), str(self.customers)],
            "customer_columns": list(self.customer_columns),
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Part:
        """From what `to_json` gave. Raises KeyError, TypeError or ValueError if it is something else."""
        (events, its_sum), (customers, their_sum) = said["sha256"].items()
        of_events, of_customers = said["fingerprints"]
        return cls(
            files=(events, customers),
            sha256=(its_sum, their_sum),
            events=Fingerprint.parse(said["n_events"], of_events),
            customers=Fingerprint.parse(said["n_customers"], of_customers),
            customer_columns=tuple(said["customer_columns"]),
        )


class PartWriter:
    """Writes a part piece by piece: under names of its own, until `part` is asked for.

    Several writers may work on one part, in other processes or on other machines: the last one to end wins, and what
    they write is the same.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self.files = (f"events-{number:05}.parquet", f"customers-{number:05}.parquet")
        unique = _unique()
        self._unfinished = [folder / f".{file}.{unique}" for file in self.files]
        self._folder = folder
        self._writers: list[pq.ParquetWriter] = []
        self._sums = [Fingerprint(), Fingerprint()]
        self._customer_columns: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for writer in self._writers:
                writer.close()
        finally:
            for file in self._unfinished:
                file.unlink(missing_ok=True)

    def add(self, events: pa.Table, customers: pa.Table) -> None:
        """Write more customers, with all their events; each call begins a row group."""
        tables = [_without_needless_nulls(events), customers]
        if not self._writers:
            for file, table in zip(self._unfinished, tables, strict=True):
                self._writers.append(pq.ParquetWriter(file, table.schema, **_options(table.schema)))
        for i, table in enumerate(tables):
            self._writers[i].write_table(table)
            self._sums[i] += fingerprint(table)
        self._customer_columns = tuple(customers.column_names)

    def finish(self) -> Part:
        """Give the files their names."""
        for writer in self._writers:
            writer.close()
        of_events, of_customers = map(checksum, self._unfinished)
        for unfinished, name in zip(self._unfinished, self.files, strict=True):
            unfinished.replace(self._folder / name)
        return Part(self.files, (of_events, of_customers), self._sums[0], self._sums[1], self._customer_columns)


def read_part(folder: Path, part: Part) -> tuple[pa.Table, pa.Table]:
    """Events and customers of a part.

    Raises
    ------
    InputError : a file is missing, or its checksum is not that of the manifest
    """
    for name, expected in zip(part.files, part.sha256, strict=True):
        if not (folder / name).is_file():
            raise InputError(f"{folder}: {name} is missing; the log is not whole.")
        if checksum(folder / name) != expected:
            raise InputError(f"{folder / name}: its checksum differs from the manifest; it was changed or damaged.")
    events, customers = (pq.read_table(folder / name) for name in part.files)
    nullable = pa.schema([column.with_nullable(True) for column in events.schema])
    return pa.Table.from_arrays(events.columns, schema=nullable), customers


def is_whole(folder: Path, part: Part) -> bool:
    """Whether the files of a part are there and undamaged."""
    files = [folder / name for name in part.files]
    return all(file.is_file() for file in files) and tuple(map(checksum, files)) == part.sha256


def write_whole(file: Path, content: object) -> None:
    """Write a file of JSON, which nobody ever sees in half."""
    unfinished = file.with_name(f".{file.name}.{_unique()}")
    with unfinished.open("w", encoding="utf-8") as text:
        text.write(json.dumps(content, indent=2) + "\n")
        text.flush()
        os.fsync(text.fileno())  # a name must not be on the disk before what it names
    unfinished.replace(file)


def _unique() -> str:
    return f"{os.getpid():x}-{os.urandom(6).hex()}"


def checksum(file: Path) -> str:
    """SHA-256 of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _options(schema: pa.Schema) -> dict[str, Any]:
    names = [field.name for field in schema]
    integer = pa.types.is_integer(schema.field("customer").type)
    encodings = {name: how for name, how in _ENCODINGS.items() if name in names and (integer or name != "customer")}
    return {
        "compression": {name: "zstd" if name == "customer" and not integer else "none" for name in names},
        "column_encoding": encodings,
        "use_dictionary": [name for name in names if name not in encodings],
        "write_statistics": ["customer"],
    }


def _without_needless_nulls(events: pa.Table) -> pa.Table:
    """The same, with columns that cannot hold nulls marked so: their levels need not be written."""
    schema = pa.schema([f.with_nullable(f.name not in REQUIRED) for f in events.schema])
    return pa.Table.from_arrays(events.columns, schema=schema)

"""EventLogs on disk: a directory with Parquet parts and a manifest, or one CSV. A log exists whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from journeysim.errors import InputError
from journeysim.events import COLUMNS, EventLog, check
from journeysim.table_files import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
_MANIFEST_KEYS = ("start", "end", "stages", "purchase_stages", "currency", "provenance", "sha256")

# Measured: default Parquet takes twice the time of these encodings; writing costs more than simulating.
_ENCODINGS = {"customer": "DELTA_BINARY_PACKED", "time": "PLAIN", "value": "PLAIN", "cost": "PLAIN"}


@contextmanager
def new_directory(target: str | Path) -> Iterator[Path]:
    """A directory to fill that gets the name `target` only when all went well.

    Raises
    ------
    InputError : something stands at `target` already; nothing is ever overwritten
    """
    target = Path(target)
    with _making(target):
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
    with _making(target):
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
def _making(target: Path) -> Iterator[None]:
    """Something new at `target`, in a folder that is there from now on; a system that refuses is told as InputError."""
    if target.exists():
        raise InputError(f"{target} exists already. Choose another name, or remove it first.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(f"{target} cannot be made ({error.strerror}: {error.filename}).") from None


def write_log(log: EventLog, directory: str | Path) -> None:
    """Write a log as a directory: `events-00000.parquet`, `customers.parquet` and `manifest.json`.

    Raises
    ------
    InputError : the directory exists already
    """
    with new_directory(directory) as folder:
        fill_log_directory(log, folder)


def fill_log_directory(log: EventLog, folder: Path) -> None:
    """Write the files of a log into a directory that exists."""
    integer = pa.types.is_integer(log.events.schema.field("customer").type)
    encodings = {k: v for k, v in _ENCODINGS.items() if integer or k != "customer"}
    words = [name for name in COLUMNS if name not in encodings]
    events = folder / "events-00000.parquet"
    pq.write_table(log.events, events, compression="zstd", column_encoding=encodings, use_dictionary=words)
    pq.write_table(log.customers, folder / "customers.parquet", compression="zstd")
    files = [events.name, "customers.parquet"]
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "start": log.start.isoformat(),
        "end": log.end.isoformat(),
        "stages": list(log.stages),
        "purchase_stages": list(log.purchase_stages),
        "currency": log.currency,
        "n_events": log.n_events,
        "n_customers": log.n_customers,
        "provenance": dict(log.provenance),
        "sha256": {name: _checksum(folder / name) for name in files},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def read_log(path: str | Path, *, stages: Sequence[str] = (), purchase_stages: Sequence[str] = ()) -> EventLog:
    """Read a log: a directory that `write_log` made, or one CSV or Parquet file with the columns of a log.

    A single file does not say which stages there are nor which of them are purchases: give them, or let the stages
    be in the order in which they first appear.

    Raises
    ------
    InputError : it is missing, incomplete, damaged (checksums differ) or not a log
    """
    path = Path(path)
    if path.is_dir():
        return _read_directory(path)
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


def _read_directory(folder: Path) -> EventLog:
    try:
        manifest: Mapping[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError:
        raise InputError(f"{folder}: no {MANIFEST}; it is not the directory of a log, or not a whole one.") from None
    except ValueError:
        raise InputError(f"{folder / MANIFEST}: damaged, it is not JSON.") from None
    found = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if found != SCHEMA_VERSION:
        raise InputError(f"{folder}: written with schema {found}, this version reads {SCHEMA_VERSION}.")
    if lacking := [key for key in _MANIFEST_KEYS if key not in manifest]:
        raise InputError(f"{folder / MANIFEST}: damaged, it has no {lacking[0]!r}.")
    for name, expected in manifest["sha256"].items():
        if not (folder / name).is_file():
            raise InputError(f"{folder}: {name} is missing; the log is not whole.")
        if _checksum(folder / name) != expected:
            raise InputError(f"{folder / name}: its checksum differs from the manifest; it was changed or damaged.")
    parts = sorted(folder / name for name in manifest["sha256"] if name.startswith("events-"))
    log = EventLog(
        events=pa.concat_tables([pq.read_table(part) for part in parts]),
        customers=pq.read_table(folder / "customers.parquet"),
        start=datetime.fromisoformat(manifest["start"]),
        end=datetime.fromisoformat(manifest["end"]),
        stages=tuple(manifest["stages"]),
        purchase_stages=tuple(manifest["purchase_stages"]),
        currency=manifest["currency"],
        provenance=manifest["provenance"],
    )
    check(log)
    return log


def _checksum(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()

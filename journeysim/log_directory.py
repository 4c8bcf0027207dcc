"""A log on disk: a directory of parts with a manifest that says what they are, read whole or part by part."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from journeysim.errors import InputError
from journeysim.events import EventLog, check, content_hash
from journeysim.fingerprint import Fingerprint
from journeysim.log_parts import Part, read_part, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MANIFEST = "manifest.json"
SCHEMA_VERSION = 2
"""Since 2: several parts, each with its customers; hashes that are sums over rows."""


@dataclass(frozen=True, slots=True)
class LogDirectory:
    """A log that may be larger than memory: iterating over it reads one part after the other, each an `EventLog`.

    Every customer is in one part, with all events. So whatever can be counted by customer can be counted part by part.

    Attributes
    ----------
    path : the directory
    parts : what it is made of, in the order of customers
    start, end, stages, purchase_stages, currency, provenance : as of `EventLog`
    recipe : of a simulated log, all that determines it: the world as YAML under `world`, ...; empty for other logs
    """

    path: Path
    parts: tuple[Part, ...]
    start: datetime
    end: datetime
    stages: tuple[str, ...]
    purchase_stages: tuple[str, ...]
    currency: str | None
    provenance: Mapping[str, str]
    recipe: Mapping[str, Any]

    def __repr__(self) -> str:
        return (
            f"LogDirectory({str(self.path)!r}: {self.n_events:,} events of {self.n_customers:,} customers "
            f"in {len(self.parts)} parts)"
        )

    @property
    def n_events(self) -> int:
        """Number of events."""
        return sum(part.n_events for part in self.parts)

    @property
    def n_customers(self) -> int:
        """Number of customers."""
        return sum(part.n_customers for part in self.parts)

    def hash(self) -> str:
        """That of the whole log as one `EventLog`, from the sums that its parts were written with."""
        return content_hash(
            events=sum((part.events for part in self.parts), Fingerprint()),
            customers=sum((part.customers for part in self.parts), Fingerprint()),
            customer_columns=self.parts[0].customer_columns,
            start=self.start,
            end=self.end,
            stages=self.stages,
            purchase_stages=self.purchase_stages,
            currency=self.currency,
        )

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[EventLog]:
        return (self.read_part(number) for number in range(len(self.parts)))

    def read_part(self, number: int) -> EventLog:
        """One part, as a log of its customers.

        Raises
        ------
        InputError : a file is missing or damaged, or a row breaks a rule of logs
        """
        return self._log([read_part(self.path, self.parts[number])])

    def read(self) -> EventLog:
        """All parts as one log in memory. Raises like `read_part`."""
        return self._log([read_part(self.path, part) for part in self.parts])

    def _log(self, tables: Sequence[tuple[pa.Table, pa.Table]]) -> EventLog:
        events, customers = zip(*tables, strict=True)
        log = EventLog(
            events=pa.concat_tables(events),
            customers=pa.concat_tables(customers),
            start=self.start,
            end=self.end,
            stages=self.stages,
            purchase_stages=self.purchase_stages,
            currency=self.currency,
            provenance=self.provenance,
        )
        check(log)
        return log


def write_manifest(log: LogDirectory) -> None:
    """Write the manifest of a log whose parts are there."""
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "start": log.start.isoformat(),
        "end": log.end.isoformat(),
        "stages": list(log.stages),
        "purchase_stages": list(log.purchase_stages),
        "currency": log.currency,
        "n_events": log.n_events,
        "n_customers": log.n_customers,
        "hash": log.hash(),
        "provenance": dict(log.provenance),
        "recipe": dict(log.recipe),
        "parts": [part.to_json() for part in log.parts],
    }
    write_whole(log.path / MANIFEST, manifest)


def scan_log(path: str | Path) -> LogDirectory:
    """The log in a directory, without reading it yet: `for part in scan_log(path)` goes through it part by part.

    Such a loop holds two parts in memory: the next one is read before its variable lets go of the last one. `del part`
    at the end of the loop's body makes it one.

    Raises
    ------
    InputError : there is no log, or its manifest is damaged
    """
    folder = Path(path)
    file = folder / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(f"{folder}: no {MANIFEST}; it is not the directory of a log, or not a whole one.") from None
    except ValueError:
        raise InputError(f"{file}: damaged, it is not JSON.") from None
    found = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if found != SCHEMA_VERSION:
        raise InputError(f"{folder}: written with schema {found}, this version reads {SCHEMA_VERSION}.")
    try:
        log = LogDirectory(
            path=folder,
            parts=tuple(Part.from_json(part) for part in manifest["parts"]),
            start=datetime.fromisoformat(manifest["start"]),
            end=datetime.fromisoformat(manifest["end"]),
            stages=tuple(manifest["stages"]),
            purchase_stages=tuple(manifest["purchase_stages"]),
            currency=manifest["currency"],
            provenance=manifest["provenance"],
            recipe=manifest["recipe"],
        )
    except KeyError as error:
        raise InputError(f"{file}: damaged, it has no {error}.") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{file}: damaged ({error}).") from None
    if not log.parts or log.hash() != manifest.get("hash"):
        raise InputError(f"{file}: damaged, its hash is not that of its parts.")
    return log

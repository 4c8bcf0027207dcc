"""What attribution starts from: aggregated paths, a log of ours, or an event log made by others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from journeysim.cli.terminal import step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from journeysim.events import EventLog
    from journeysim.journeys import Journeys
    from journeysim.outputs import OnProgress

File = Annotated[
    Path,
    typer.Argument(help="Aggregated paths (CSV, Parquet), the directory of a log, or, with --map, any event log."),
]
MapFile = Annotated[Path | None, typer.Option("--map", help="YAML as for `analyze`: FILE is a log made by others.")]
Separator = Annotated[str, typer.Option(help="What stands between two channels of a path.")]


@dataclass(frozen=True, slots=True)
class Source:
    """Journeys, the log they came from (None: aggregated paths), and what is known of their origin."""

    journeys: Journeys
    log: EventLog | None
    provenance: Mapping[str, object]


def is_log(file: Path, map_file: Path | None) -> bool:
    """Whether there are customers in the file, not just paths."""
    return map_file is not None or file.is_dir()


def read_any_log(path: Path, map_file: Path | None) -> EventLog:
    """A log of ours, or with a map one made by others."""
    from journeysim.event_map import EventMap, read_events
    from journeysim.log_files import read_log

    return read_log(path) if map_file is None else read_events(path, EventMap.from_yaml(map_file))


def read_source(file: Path, map_file: Path | None, separator: str, on_progress: OnProgress) -> Source:
    """Read the journeys. Raises InputError with the place where something is wrong."""
    from journeysim.interop import read_paths
    from journeysim.journeys import to_journeys

    where: dict[str, object] = {"file": file.name}
    if not is_log(file, map_file):
        with step(on_progress, "read the paths"):
            return Source(read_paths(file, separator=separator), None, where)
    with step(on_progress, "read the log"):
        log = read_any_log(file, map_file)
        journeys = to_journeys(log)
    if log.provenance:
        where["log"] = dict(log.provenance)
    return Source(journeys, log, where)

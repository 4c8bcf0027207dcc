"""What a run leaves behind: tables, a posterior and a report, in a directory that appears only as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import polars as pl

    from journeysim.bayes import Posterior
    from journeysim.report import Report


class OnProgress(Protocol):
    """Who wants to know how far a run is."""

    def __call__(self, step: str, done: int, total: int) -> None:
        """Hear that `done` of `total` parts of a step are finished; a total of 0 is not known yet."""


def silent(step: str, done: int, total: int) -> None:
    """Tell nobody."""


def write_outputs(folder: Path, tables: Mapping[str, pl.DataFrame], posterior: Posterior, report: Report) -> None:
    """Write each table as `NAME.csv`, then `posterior.nc` and `report.html`, into a directory that exists."""
    for name, frame in tables.items():
        frame.write_csv(folder / f"{name}.csv")
    posterior.save(folder / "posterior.nc")
    (folder / "report.html").write_text(report.to_html(), encoding="utf-8")

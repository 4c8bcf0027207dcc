"""Peer: another tool's method in an environment of its own, reached by files: nothing of it is ever imported here.

An adapter is a script that the peer's interpreter runs as `adapter.py PATHS ANSWER`. PATHS is a CSV file of aggregated
paths, `path` (channels joined by " > "), `conversions`, `nulls`, `value`; one row per distinct path. The adapter writes
ANSWER as JSON: `name`, `version`, `conventions` (one sentence), and `credit`, a mapping from channel to credit. If the
peer cannot do it, the adapter writes `{"skip": reason}`. Whatever else goes wrong is a crash, with the last line that
was said on standard error.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from journeysim.benchmark.contestants import Answer, Sample, SkipError
from journeysim.errors import InputError

if TYPE_CHECKING:
    from journeysim.journeys import Journeys

INTERPRETER = "JOURNEYSIM_PEERS_PYTHON"
"""The variable of the environment that names the peers' interpreter, where a method's settings do not."""


class PeerError(RuntimeError):
    """The peer failed; the message is what it said last."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A method of another tool, behind an adapter.

    Attributes
    ----------
    adapter : the script; relative to the current directory
    interpreter : that has the peer installed; by default what the variable JOURNEYSIM_PEERS_PYTHON names
    timeout_seconds : after which the peer is stopped
    """

    adapter: str
    interpreter: str = ""
    timeout_seconds: float = 600.0

    def answer(self, sample: Sample) -> Answer:
        """The peer's credit; it sees the paths of touches and nothing else.

        Raises
        ------
        SkipError : there is no interpreter, or the peer says that it cannot. PeerError : it failed
        """
        interpreter = self.interpreter or os.environ.get(INTERPRETER, "")
        if not interpreter:
            raise SkipError(f"no environment with the peer; make one and name its interpreter in {INTERPRETER}")
        with tempfile.TemporaryDirectory() as folder:
            paths, told = Path(folder) / "paths.csv", Path(folder) / "answer.json"
            names = safe_names(sample.journeys.channels)
            aggregated_paths(sample.journeys, names).write_csv(paths)
            command = [interpreter, str(Path(self.adapter).resolve()), str(paths), str(told)]
            environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}  # that is ours
            try:
                done = subprocess.run(  # noqa: S603  # the command is the user's own
                    command, capture_output=True, text=True, timeout=self.timeout_seconds, env=environment, check=False
                )
            except subprocess.TimeoutExpired:
                raise PeerError(f"stopped after {self.timeout_seconds:g} seconds") from None
            except OSError as error:
                raise SkipError(f"{interpreter} cannot be run: {error.strerror}") from None
            if done.returncode:
                said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
                raise PeerError(said[-1] if said else f"ended with code {done.returncode} and said nothing")
            content = json.loads(told.read_text(encoding="utf-8"))
        if "skip" in content:
            raise SkipError(content["skip"])
        back = dict(zip(names, sample.journeys.channels, strict=True))
        unknown = [name for name in content["credit"] if name not in back]
        if unknown:
            raise InputError(f"{content['name']} credits {unknown[0]!r}, which is no channel of the paths.")
        return Answer(
            tuple(back[name] for name in content["credit"]),
            np.array([*content["credit"].values()], dtype=np.float64),
            version=f"{content['name']} {content['version']} ({content['conventions']})",
        )


def safe_names(channels: tuple[str, ...]) -> tuple[str, ...]:
    """Names that no peer mistakes: `c000x`, `c001x`, ..., none of which contains another one."""
    return tuple(f"c{c:03}x" for c in range(len(channels)))


def aggregated_paths(journeys: Journeys, names: tuple[str, ...]) -> pl.DataFrame:
    """One row per distinct path: path, conversions, nulls, value; in the order of first appearance."""
    touches = pl.DataFrame({"journey": journeys.owner, "channel": np.array(names)[journeys.codes]})
    paths = touches.group_by("journey", maintain_order=True).agg(pl.col("channel").str.join(" > ").alias("path"))
    weights = {name: getattr(journeys, name) for name in ("conversions", "nulls", "value")}
    return (
        paths.select("path").with_columns(**weights).group_by("path", maintain_order=True).agg(pl.col([*weights]).sum())
    )

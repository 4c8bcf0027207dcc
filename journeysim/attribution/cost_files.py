"""Costs of channels from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from journeysim.columns import column, numbers
from journeysim.errors import InputError
from journeysim.table_files import read_table

if TYPE_CHECKING:
    from pathlib import Path


def read_costs(file: str | Path, *, by: str | None = None) -> dict[str | None, dict[str, float]]:
    """Costs by channel from the columns `channel` and `cost` of a table, by segment where `by` names its column.

    Returns
    -------
    by segment the costs by channel; the only segment is None without `by`

    Raises
    ------
    InputError : naming file and line: no such column, a blank name, a cost that is no number >= 0, or one given twice
    """
    names = [name for name in (by, "channel") if name]
    frame, source = read_table(file, wanted=[*names, "cost"])
    hint = f"Costs are by {' and '.join(names)}."
    keys = [column(frame, name, source, hint=hint).cast(pl.String).str.strip_chars() for name in names]
    for key in keys:
        blank = np.flatnonzero(key.fill_null("") == "")
        if len(blank):
            raise InputError(f"{source.place(int(blank[0]))}: {key.name} is blank. Fill it in or drop the row.")
    costs: dict[str | None, dict[str, float]] = {}
    amounts = numbers(column(frame, "cost", source, hint=hint), source, least=0.0)
    for row, (*segment, channel, cost) in enumerate(zip(*keys, amounts, strict=True)):
        known = costs.setdefault(segment[0] if segment else None, {})
        if channel in known:
            raise InputError(f"{source.place(row)}: channel {channel!r} has a cost already; add the two up.")
        known[channel] = cost
    return costs

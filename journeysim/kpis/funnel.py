"""The funnel: what became of those who entered each stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from journeysim.errors import InputError
from journeysim.kpis.groups import group_customers
from journeysim.kpis.intervals import Z95, divide, wilson_intervals
from journeysim.kpis.observed import Observed, observe
from journeysim.moves import LAPSED, LOST, direction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.events import EventLog
    from journeysim.kpis.groups import Cohort, Period

    IntArray = NDArray[np.int64]

WAYS: Final = ("forward", "back", "lost", "lapsed", "still_there")
"""How a stay in a stage ends: see `journeysim.moves.direction`; exits are to lost or to lapsed."""
OUT = (WAYS.index("lost"), WAYS.index("lapsed"))


def funnel(
    log: EventLog, *, by: str | None = None, period: Period | None = None, cohort: Cohort = "first_event"
) -> pl.DataFrame:
    """What became of those who entered each stage.

    Rows that repeat the stage a customer is in are no entries. A former customer who leaves the stage `lapsed` for any
    other is won back, and counts as forward there.

    Returns
    -------
    One row per group and stage in the order of the journey: `segment` (and `period`), `stage`; `entries`, which count
    a customer each time; `customers`, who entered at least once; how the stays ended, `forward`, `back`, `lost`,
    `lapsed`, or `still_there` at the end of the window; and `drop_off`, (lost + lapsed) / entries, null where nobody
    entered, with `low` and `high`, its 95% Wilson interval with the number of entries divided by the design effect of
    customers who enter several times.

    Raises
    ------
    InputError : the log has no stages, or as `kpis`
    """
    observed = with_stages(log, "funnel")
    groups = group_customers(log, observed, by=by, period=period, cohort=cohort)
    n, stays = len(log.stages), observed.stays
    entered = np.flatnonzero(stays.stage < n)
    who, stage, way = stays.who[entered], stays.stage[entered], ways(log, observed)[entered]
    cell = groups.codes[who] * n + stage
    size = len(groups) * n
    counts = np.bincount(cell * len(WAYS) + way, minlength=size * len(WAYS)).reshape(size, len(WAYS))
    # each customer's entries x and exits y in a stage: sums of x, y, xx, xy, yy give the variance of a ratio
    pairs = (
        pl.DataFrame({"who": who, "cell": cell, "y": np.isin(way, OUT).astype(np.float64)})
        .group_by("who", "cell")
        .agg(pl.col("y").sum(), pl.len().cast(pl.Float64).alias("x"))
    )
    x, y, cells = (pairs[name].to_numpy() for name in ("x", "y", "cell"))
    customers, xx, xy, yy = (np.bincount(cells, w, size) for w in (np.ones(len(x)), x * x, x * y, y * y))
    entries, out = counts.sum(axis=1).astype(np.float64), counts[:, OUT].sum(axis=1).astype(np.float64)
    share = divide(out, entries)
    effect = divide(yy - 2 * share * xy + share**2 * xx, entries * share * (1 - share))
    found = wilson_intervals(share, entries / np.fmax(effect, 1.0), np.full(size, Z95))
    frame = pl.DataFrame(
        {
            **groups.labels(n),
            "stage": [*log.stages] * len(groups),
            "entries": entries.astype(np.int64),
            "customers": customers.astype(np.int64),
            **dict(zip(WAYS, counts.T, strict=True)),
        }
    )
    numbers = {"drop_off": found.value, "low": found.low, "high": found.high}
    return frame.with_columns(pl.Series(name, values, nan_to_null=True) for name, values in numbers.items())


def drop_off(log: EventLog) -> pl.DataFrame:
    """What became of those who entered each stage: the funnel of everybody, in short.

    Returns
    -------
    One row per stage in the order of the journey: `stage`; `entries`; how they left, `forward`, `back` or `lost` (which
    here includes `lapsed`), or `still_there` at the end of the window; and `drop_off`, lost / entries, null where
    nobody entered.

    Raises
    ------
    InputError : the log has no stages
    """
    if not log.stages:
        raise InputError("drop_off: this log has no stages. Give `stages` when the log is read or made.")
    gone = pl.col("lost") + pl.col("lapsed")
    return funnel(log).select("stage", "entries", "forward", "back", gone.alias("lost"), "still_there", "drop_off")


def with_stages(log: EventLog, name: str) -> Observed:
    """Read a log, which must have stages."""
    if not log.stages:
        raise InputError(f"{name}: this log has no stages. Give `stages` when the log is read or made.")
    return observe(log)


def ways(log: EventLog, observed: Observed) -> IntArray:
    """(K,) index into `WAYS` of how each stay ended."""
    n, stays = len(log.stages), observed.stays
    way_of = np.full((n + 1, n + 2), WAYS.index("still_there"))  # the last column stands for no next stage
    for i, origin in enumerate(log.stages):
        for j, target in enumerate((*log.stages, LOST)):
            to = direction(origin, target, stages=log.stages, purchase_stages=log.purchase_stages)
            way_of[i, j] = WAYS.index((LAPSED if target == LAPSED else LOST) if to == "exit" else to)
    return np.asarray(way_of[stays.stage, np.where(stays.next < 0, n + 1, stays.next)])

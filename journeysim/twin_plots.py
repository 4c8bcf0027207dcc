"""A picture of the check of a twin: the KPIs of the log over the bands of its worlds.

Like `journeysim.plots`: the function returns a matplotlib `Figure` and draws a table that can be had as data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from journeysim.errors import InputError
from journeysim.plots import BLUE, INK, ORANGE, PALE, _plain, _tidy

if TYPE_CHECKING:
    from journeysim.twin import TwinCheck


def twin_check_chart(check: TwinCheck, *, title: str = "The log, and its twin simulated again") -> Figure:
    """One row per KPI: the 90% band of the worlds, relative to the log's value, which stands at 100%.

    KPIs that are 0 or missing in the log have no such unit and are left out. Data: `check.to_frame()`.

    Raises
    ------
    InputError : no KPI is left
    """
    frame = check.to_frame().filter(pl.col("inside").is_not_null() & (pl.col("observed") > 0))
    if frame.is_empty():
        raise InputError("twin_check_chart: no KPI of the log is above 0.")
    figure = Figure(figsize=(8.0, 1.7 + 0.3 * frame.height), layout="constrained")
    axes = figure.subplots()
    for row, kpi in enumerate(frame.reverse().iter_rows(named=True)):
        if row % 2 == 0:
            axes.axhspan(row - 0.5, row + 0.5, color=PALE, lw=0, zorder=0)
        low, high = kpi["low"] / kpi["observed"], kpi["high"] / kpi["observed"]
        # a band without width, such as that of all customers who enter the first stage, is still seen
        axes.plot([low, high], [row, row], color=BLUE if kpi["inside"] else ORANGE, lw=6, zorder=2)
    axes.plot([1.0] * frame.height, range(frame.height), "|", color=INK, ms=12, mew=2, zorder=3)
    axes.set(ylim=(-0.6, frame.height - 0.4))
    axes.set_yticks(range(frame.height), [_plain(name, 44) for name in frame["kpi"].reverse()])
    _tidy(axes, "")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    axes.set_xlabel("relative to the value in the log", fontsize=9)
    figure.suptitle(_plain(title), x=0.01, ha="left", fontsize=12, weight="bold")
    keys = [
        Line2D([], [], color=INK, lw=0, marker="|", ms=11, mew=2, label="in the log"),
        Line2D([], [], color=BLUE, lw=6, label="90% of the twin's worlds"),
        Line2D([], [], color=ORANGE, lw=6, label="the same, and the log is outside"),
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure

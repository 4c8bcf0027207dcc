"""Pictures of a twin: the KPIs of the log over the bands of its worlds, and the effects of channels.

Like `journeysim.plots`: every function returns a matplotlib `Figure` and draws a table that can be had as data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from journeysim.errors import InputError
from journeysim.plots import BLUE, INK, ORANGE, PALE, _plain, _tidy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from journeysim.twin import TwinCheck, TwinEffects


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


def twin_effects_chart(
    effects: TwinEffects,
    *,
    beside: Mapping[str, Mapping[str, float]] | None = None,
    truth: Mapping[str, float] | None = None,
    title: str = "Conversions lost without each channel",
) -> Figure:
    """One row per channel: its effect with a thick 50% and a thin 90% interval. Data: `effects.to_frame()`.

    Parameters
    ----------
    beside : numbers to stand beside, such as {"Markov removal effect": {channel: effect}}; channels may lack
    truth : true effects of all channels, where they are known

    Raises
    ------
    InputError : the truth of a channel is missing
    """
    if missing := [name for name in effects.channels if truth is not None and name not in truth]:
        raise InputError(f"twin_effects_chart: truth has no {', '.join(missing)}.")
    frame, half = effects.to_frame().reverse(), effects.to_frame(0.5)
    inner = {name: (low, high) for name, low, high in half.select("channel", "effect_low", "effect_high").iter_rows()}
    figure = Figure(figsize=(8.0, 1.7 + 0.42 * max(frame.height, 3)), layout="constrained")
    axes = figure.subplots()
    rows = range(frame.height)
    for row, (name, low, high) in enumerate(frame.select("channel", "effect_low", "effect_high").iter_rows()):
        if row % 2 == 0:
            axes.axhspan(row - 0.5, row + 0.5, color=PALE, lw=0, zorder=0)
        axes.plot([low, high], [row, row], color=BLUE, lw=1.8, zorder=2)
        axes.plot(inner[name], [row, row], color=BLUE, lw=7, solid_capstyle="butt", zorder=2)
    axes.plot(frame["effect"], rows, "o", color="white", mec=BLUE, ms=4.5, zorder=4)
    keys = [
        Line2D([], [], color=BLUE, lw=0, marker="o", mfc="white", ms=4.5, label="twin: mean"),
        Line2D([], [], color=BLUE, lw=7, label="50% interval"),
        Line2D([], [], color=BLUE, lw=1.8, label="90% interval"),
    ]
    for i, (label, values) in enumerate((beside or {}).items()):
        style: dict[str, Any] = {"marker": "DsP^v"[i % 5], "mfc": "white", "mec": ORANGE, "mew": 1.6, "ms": 7, "lw": 0}
        known = [(values[name], row) for row, name in enumerate(frame["channel"]) if name in values]
        axes.plot([value for value, _ in known], [row for _, row in known], zorder=3, **style)
        keys.append(Line2D([], [], label=_plain(label, 40), **style))
    if truth is not None:
        for row, name in enumerate(frame["channel"]):
            axes.plot([truth[name]] * 2, [row - 0.38, row + 0.38], color=INK, lw=2, zorder=1)
        keys.append(Line2D([], [], color=INK, lw=0, marker="|", ms=13, mew=2, label="truth"))
    axes.set(ylim=(-0.6, frame.height - 0.4))
    axes.set_yticks(rows, [_plain(name, 28) for name in frame["channel"]])
    _tidy(axes, "")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    axes.set_xlabel("share of converting customers", fontsize=9)
    figure.suptitle(_plain(title), x=0.01, ha="left", fontsize=12, weight="bold")
    figure.legend(handles=keys, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    return figure

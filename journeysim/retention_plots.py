"""Pictures of retention: who stays, with what certainty, and purchases that happened beside those that were predicted.

Like `journeysim.plots`: every function returns a matplotlib `Figure` of its own and draws a table that can be had as
data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from journeysim.errors import InputError
from journeysim.plots import BLUE, INK, ORANGE, SERIES, _plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from journeysim.bayes.retention.draws import SegmentDraws


def retention_fan(
    answer: SegmentDraws,
    *,
    observed: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]] | None = None,
    title: str = "Who is still a customer?",
) -> Figure:
    """A curve per segment with its 50% and 90% bands. Data: `answer.to_frame()`.

    Parameters
    ----------
    answer : of `retention` or `renewal_rate`
    observed : by segment (times, shares), drawn as points

    Raises
    ------
    InputError : more segments than colours
    """
    if len(answer.segments) > len(SERIES):
        raise InputError(f"retention_fan: {len(answer.segments)} curves cannot be told apart; at most {len(SERIES)}.")
    figure = Figure(figsize=(7.8, 4.1), layout="constrained")
    axes = figure.add_subplot()
    for g, name in enumerate(answer.segments):
        color = SERIES[g]
        low, inner_low, middle, inner_high, high = np.quantile(
            answer.draws[:, g], [0.05, 0.25, 0.5, 0.75, 0.95], axis=0
        )
        axes.fill_between(answer.times, low, high, color=color, alpha=0.18, lw=0)
        axes.fill_between(answer.times, inner_low, inner_high, color=color, alpha=0.3, lw=0)
        axes.plot(answer.times, middle, color=color, lw=1.8, label=_plain(name, 30))
        if observed and name in observed:
            axes.scatter(*observed[name], s=26, color=color, ec=INK, lw=0.7, zorder=3)
    if observed:
        axes.scatter([], [], s=26, color="white", ec=INK, lw=0.7, label="observed")
    axes.set(ylim=(0, 1.02), xlim=(answer.times.min(), answer.times.max()))
    axes.set(xlabel=f"{answer.unit} since the first purchase", ylabel=answer.what)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    _finish(figure, axes, title, "Line: median. Bands: 50% and 90% of the posterior, of the mean over many customers.")
    return figure


def tracking_chart(
    counts: pl.DataFrame, *, unit: str = "weeks", title: str = "Purchases, and those predicted"
) -> Figure:
    """Cumulative repeat purchases: observed, and predicted with 90% bands, before and after the history ended.

    Data: `journeysim.bayes.retention.checks.tracking(...)`.
    """
    figure = Figure(figsize=(7.8, 4.1), layout="constrained")
    axes = figure.add_subplot()
    end = float(counts.filter(part="fit")["time"].to_numpy().max())
    labels = {"fit": "the model, before", "forecast": "forecast from what had happened"}
    for part, color in (("fit", BLUE), ("forecast", ORANGE)):
        of = counts.filter(part=part)
        time = of["time"].to_numpy()
        axes.fill_between(time, of["low"].to_numpy(), of["high"].to_numpy(), color=color, alpha=0.25, lw=0)
        axes.plot(time, of["mean"].to_numpy(), color=color, lw=1.6, label=labels[part])
    axes.plot(counts["time"].to_numpy(), counts["observed"].to_numpy(), color=INK, lw=1.6, ls="--", label="observed")
    axes.axvline(end, color="#888888", lw=1)
    axes.annotate("end of the history", (end, 0.02), xycoords=("data", "axes fraction"), xytext=(5, 0),
                  textcoords="offset points", fontsize=8, color="#555555")  # fmt: skip
    axes.set(xlabel=f"{unit} since the first customer came", ylabel="repeat purchases so far")
    axes.set(xlim=(0, float(counts["time"].to_numpy().max())), ylim=(0, None))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
    _finish(
        figure, axes, title, "Bands: 90% of the posterior predictive distribution, chance of single customers included."
    )
    return figure


def _finish(figure: Figure, axes: Axes, title: str, note: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#eeeeee")
    axes.set_title(_plain(title), loc="left", fontsize=12, weight="bold")
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.supxlabel(note, x=0.01, ha="left", fontsize=8, color="#555555")

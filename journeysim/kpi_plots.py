"""Pictures of KPIs: curves with their bands, and the funnel with what lost the customers.

Like `journeysim.plots`: every function returns a matplotlib `Figure` of its own and draws a frame of `journeysim.kpis`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from journeysim.errors import InputError
from journeysim.plots import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SERIES, SKY, YELLOW, _plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_REASON_COLORS = (PURPLE, SKY, YELLOW, GREEN, "#8c5a2b")  # none of those that say how a stay ended
_N_REASONS = 5  # named in the funnel; the rest are drawn together
_OTHERS = "other reasons"


def retention_chart(curve: pl.DataFrame, *, title: str = "Who is still a customer?") -> Figure:
    """Kaplan-Meier curves with their 95% bands, a line per segment. Data: `retention_curve(log, ...)`."""
    figure, axes = _curves(curve, title)
    axes.set(xlabel="days since the first purchase", ylabel="neither lost nor lapsed", ylim=(0, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return figure


def conversion_chart(curve: pl.DataFrame, *, title: str = "Who has purchased?") -> Figure:
    """Who has purchased, with its 95% band, a line per segment. Data: `conversion_curve(log, ...)`."""
    figure, axes = _curves(curve, title)
    axes.set(xlabel="days since the first event", ylabel="customers who have purchased", ylim=(0, None))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


def value_chart(curve: pl.DataFrame, *, currency: str = "", title: str = "What has a buyer been worth?") -> Figure:
    """Mean cumulative revenue per buyer with its 95% band, a line per segment. Data: `clv_curve(log, ...)`."""
    figure, axes = _curves(curve, title)
    unit = f", {currency}" if currency else ""
    axes.set(xlabel="days since the first purchase", ylabel=f"mean revenue per buyer{unit}", ylim=(0, None))
    return figure


def funnel_chart(stages: pl.DataFrame, reasons: pl.DataFrame, *, title: str = "The funnel") -> Figure:
    """Who entered each stage and what became of them; beside it, why they left.

    Data: `funnel(log)` of one segment, and `loss_reasons(log)`. Causes of a stage add up to its drop-off. Pain points
    met before a loss are not its causes, and may overlap: they are drawn side by side.

    Raises
    ------
    InputError : the funnel has several segments
    """
    if len(stages["stage"].unique()) < stages.height:
        raise InputError("funnel_chart: draw one segment at a time, such as stages.filter(segment=...).")
    rows = np.arange(stages.height)[::-1].astype(float)
    figure = Figure(figsize=(10.4, 1.9 + 0.44 * max(stages.height, 3)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.25, 1))
    names = [_plain(name, 22) for name in stages["stage"]]
    parts = {"forward": BLUE, "back": ORANGE, "still_there": "#d5dde5", "lapsed": "#f0a58c", "lost": RED}
    begin = np.zeros(stages.height)
    for name, color in parts.items():
        width = stages[name].to_numpy().astype(float)
        if width.any():
            left.barh(rows, width, 0.68, left=begin, color=color, label=name.replace("_", " "), zorder=2)
        begin += width
    for row, entries in zip(rows, stages["entries"], strict=True):
        left.text(entries + 0.012 * max(begin.max(), 1), row, f"{entries:,}", va="center", fontsize=8, color=INK)
    left.set(xlim=(0, 1.16 * max(begin.max(), 1)), xlabel="entries into the stage, by how the stay ended")
    left.set_yticks(rows, names)
    left.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    left.locator_params(axis="x", nbins=5)
    _reason_bars(right, stages, reasons, rows)
    for axes, columns in ((left, 5), (right, 3)):
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(axis="x", color="#eeeeee", zorder=0)
        axes.set_ylim(-0.6, stages.height - 0.4)
        handles, _ = axes.get_legend_handles_labels()
        if handles:
            axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns,
                        handlelength=1.2, columnspacing=1.2, borderaxespad=0.2)  # fmt: skip
    figure.suptitle(_plain(title), x=0.01, ha="left", fontsize=12, weight="bold")
    return figure


def _reason_bars(axes: Axes, stages: pl.DataFrame, reasons: pl.DataFrame, rows: np.ndarray) -> None:
    reasons = reasons.filter(pl.col("lost") > 0)
    by_cause = reasons.is_empty() or reasons["evidence"][0] == "cause"
    entries = dict(stages.select("stage", "entries").iter_rows())
    base = reasons.filter(reason_kind="base")
    named = reasons.filter(pl.col("reason_kind") != "base")
    order = named.group_by("reason", maintain_order=True).agg(pl.col("lost").sum()).sort("lost", descending=True)
    chosen = [*order["reason"].head(_N_REASONS)]
    colors = {name: _REASON_COLORS[i] for i, name in enumerate(chosen)}
    if order.height > _N_REASONS:
        colors[_OTHERS] = GREY
        named = named.with_columns(
            reason=pl.when(pl.col("reason").is_in(chosen)).then("reason").otherwise(pl.lit(_OTHERS))
        )
    groups = ([("nothing in particular", "#d8d8d8", base)] if base.height else []) + [
        (name, color, named.filter(reason=name)) for name, color in colors.items()
    ]
    end = np.zeros(stages.height)
    for k, (name, color, part) in enumerate(groups):
        lost = dict(part.group_by("stage").agg(pl.col("lost").sum()).iter_rows())
        share = np.array([lost.get(stage, 0) / max(entries[stage], 1) for stage in stages["stage"]])
        if by_cause:
            axes.barh(rows, share, 0.68, left=end, color=color, label=_plain(name, 24), zorder=2)
            end += share
        else:
            height = 0.68 / len(groups)
            axes.barh(rows + 0.34 - height * (k + 0.5), share, height, color=color, label=_plain(name, 24), zorder=2)
    drop_off = stages["drop_off"].fill_null(0.0).to_numpy()
    axes.vlines(drop_off, rows - 0.4, rows + 0.4, color=INK, lw=2, zorder=3)
    top = max(float(drop_off.max()), 1e-9)
    for row, share, n in zip(rows, drop_off, stages["entries"], strict=True):
        told = f"{share:.1%}" if n else "nobody entered"
        axes.text(share + 0.02 * top, row, told, va="center", fontsize=8, color=INK)
    axes.set_xlim(0, 1.18 * top)
    axes.set_xlabel(
        "drop-off (black), and its causes, share of entries" if by_cause
        else "drop-off (black), and who had met what before:\nan association, not a cause"
    )  # fmt: skip
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if top > 0.04 else 1))
    axes.locator_params(axis="x", nbins=5)


def _curves(curve: pl.DataFrame, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.8, 3.9), layout="constrained")
    axes = figure.add_subplot()
    keys = [name for name in ("segment", "period") if name in curve.columns]
    parts = curve.partition_by(keys, maintain_order=True)
    if len(parts) > len(SERIES):
        raise InputError(f"{len(parts)} curves cannot be told apart; choose at most {len(SERIES)} segments.")
    for part, color in zip(parts, SERIES, strict=False):
        label = " ".join(str(name) for name in part.select(keys).row(0) if len(keys) == 1 or name != "all")
        known = part.filter(pl.col("value").is_not_null()).sort("day")
        day, value = known["day"].to_numpy(), known["value"].to_numpy()
        low, high = (known[bound].fill_null(known["value"]).to_numpy() for bound in ("low", "high"))
        axes.fill_between(day, low, high, step="post", color=color, alpha=0.22, lw=0)
        size = f" ({max(part['at_risk']):,})"
        axes.step(day, value, where="post", color=color, lw=1.8, label=_plain(label, 40) + size)
    axes.set_xlim(0, max(*curve["day"], 1e-9))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#eeeeee")
    axes.set_title(_plain(title), loc="left", fontsize=12, weight="bold")
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), title="segment (customers)",
                title_fontsize=8, alignment="left")  # fmt: skip
    note = "Band: pointwise 95% interval. A curve ends where nobody was observed for so long."
    figure.supxlabel(note, x=0.01, ha="left", fontsize=8, color="#555555")
    return figure, axes

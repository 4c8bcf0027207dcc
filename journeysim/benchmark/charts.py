"""Pictures of the leaderboard: where each method errs, what its advice costs, whether its intervals hold the truth.

Like `journeysim.plots`: every function returns a matplotlib `Figure` of its own, and draws a table that can be had as
data (`journeysim.benchmark.leaderboard`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from journeysim.benchmark.leaderboard import by_customers, matrix, overall
from journeysim.plots import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY

if TYPE_CHECKING:
    import polars as pl

_LOOKS = {
    "last_touch": (ORANGE, "s"),
    "linear": (GREEN, "D"),
    "markov": (RED, "P"),
    "shapley": (SKY, "p"),
    "additive_hazard": (PURPLE, "8"),
    "hidden_markov": (BLUE, "X"),
    "holdout_10": (INK, "v"),
    "holdout_50": (INK, "^"),
    "random": (GREY, "x"),
    "equal": (GREY, "o"),
}
_OTHERS = (BLUE, "*")


def error_map(table: pl.DataFrame, customers: int, metric: str = "share_error", title: str = "") -> Figure:
    """A heat map, method by world. Data: `leaderboard.matrix(table, customers, metric)`."""
    data = matrix(table, customers, metric)
    methods, worlds = data["method"].to_list(), data.columns[1:]
    values = data.select(worlds).to_numpy().astype(np.float64)
    figure = Figure(figsize=(0.66 * max(len(worlds), 7) + 3.2, 0.29 * len(methods) + 2.4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("#f4f4f4")
    highest = max(0.6, float(np.nanquantile(values, 0.95)))
    axes.imshow(values, cmap="YlOrRd", vmin=0, vmax=highest, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        known = not np.isnan(value)
        dark = known and value > 0.62 * highest
        text = f"{100 * value:.0f}" if known else "–"
        axes.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if dark else INK)
    axes.set_xticks(range(len(worlds)), [w.replace("-", " ") for w in worlds], rotation=40, ha="right", fontsize=9)
    axes.set_yticks(range(len(methods)), [m.replace("_", " ") for m in methods], fontsize=9)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    said = title or "Credit at the wrong channel, % of all credit"
    axes.set_title(f"{said} ({customers:,} customers)", loc="left", fontsize=12, weight="bold")
    return figure


def regret_chart(table: pl.DataFrame, customers: int) -> Figure:
    """What the advice of each method loses, a dot per world and a bar for the mean: 0 is the best move of money, 1 the
    worst. Data: `leaderboard.matrix(table, customers, "budget_regret_relative")`.
    """
    data = overall(table, customers).sort("budget_regret_relative", descending=True, nulls_last=True)
    data = data.filter(data["budget_regret_relative"].is_not_null())
    methods = data["method"].to_list()
    figure = Figure(figsize=(8.2, 0.27 * len(methods) + 1.5), layout="constrained")
    axes = figure.add_subplot()
    part = table.filter((table["customers"] == customers) & table["budget_regret_relative"].is_not_null())
    for i, method in enumerate(methods):
        values = part.filter(part["method"] == method)["budget_regret_relative"].to_numpy()
        axes.barh(i, values.mean(), color=_LOOKS.get(method, _OTHERS)[0], alpha=0.45, height=0.7)
        axes.plot(values, np.full(len(values), i), ".", color=INK, alpha=0.45, ms=5)
    axes.set_yticks(range(len(methods)), [m.replace("_", " ") for m in methods], fontsize=9)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.6, len(methods) - 0.4), xlabel="0: the best move of money; 1: the worst")
    axes.spines[["top", "right"]].set_visible(False)
    title = f"What is lost by moving money as a method says ({customers:,} customers)"
    axes.set_title(title, loc="left", fontsize=12, weight="bold")
    return figure


def coverage_chart(table: pl.DataFrame, level: float) -> Figure:
    """How often intervals hold the true share, by their width: a dot per method, world and sample size.

    Data: the columns coverage and interval_width of `leaderboard.summary`.
    """
    figure = Figure(figsize=(8.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    known = table.filter(table["coverage"].is_not_null() & ~table["method"].str.starts_with("oracle"))
    colors = (RED, ORANGE, GREEN, BLUE, GREY, PURPLE, SKY)
    for i, method in enumerate(known["method"].unique(maintain_order=True)):
        part = known.filter(known["method"] == method)
        mean = float(part["coverage"].mean())  # type: ignore[arg-type]
        axes.scatter(
            part["interval_width"], part["coverage"], s=22, color=colors[i % len(colors)], alpha=0.6, lw=0,
            marker="osD^vPX*"[i % 8], label=f"{method.replace('_', ' ')}: {mean:.0%} in the mean",
        )  # fmt: skip
    axes.axhline(level, color=INK, lw=1, ls="--")
    axes.text(1.0, level, f" {level:.0%} promised", va="center", fontsize=9, transform=axes.get_yaxis_transform())
    axes.set(xlabel="mean width of the intervals, as a share of all credit", ylim=(-0.04, 1.04), xscale="log")
    axes.set_ylabel("channels whose interval\nholds the true share")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0%}" if x >= 0.01 else f"{x:.1%}"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 0.8))
    axes.set_title("Do intervals hold the truth?", loc="left", fontsize=12, weight="bold")
    return figure


def customers_chart(table: pl.DataFrame) -> Figure:
    """Mean share error by sample size, a line per method. Data: `leaderboard.by_customers(table)`."""
    data = by_customers(table)
    sizes = [int(name) for name in data.columns[1:]]
    figure = Figure(figsize=(8.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    shown = data.filter(data["method"].is_in([*_LOOKS]))
    for method, *values in shown.iter_rows():
        color, marker = _LOOKS[method]
        style = "--" if method in ("random", "equal") else "-"
        axes.plot(sizes, values, color=color, marker=marker, ls=style, ms=5, label=method.replace("_", " "))
    axes.set(xscale="log", ylim=(0, None), xlabel="customers in the sample", ylabel="credit at the wrong channel")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#eeeeee")
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes.set_title("How many customers does it take? (mean over worlds)", loc="left", fontsize=12, weight="bold")
    return figure

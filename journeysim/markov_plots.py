"""Pictures of Markov chains: which order predicts best, and how a higher order drifts to "any touch".

Like `journeysim.plots`: every function returns a matplotlib `Figure` of its own and draws a frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from journeysim.plots import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY, _plain

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

_COLORS = (BLUE, ORANGE, GREEN, PURPLE, RED, SKY)


def order_chart(curve: pl.DataFrame, *, title: str = "How many touches to remember?") -> Figure:
    """Held-out log-likelihood and BIC of each order, the best ones marked. Data: `choose_order(journeys).curve`."""
    figure = Figure(figsize=(9.0, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    orders = curve["order"].to_numpy()
    fit, error = curve["log_likelihood"].to_numpy(), curve["standard_error"].to_numpy()
    best = int(np.flatnonzero(curve["best_cross_validation"])[0])
    left.errorbar(orders, fit - fit[best], 1.96 * error, fmt="o-", color=BLUE, capsize=3, lw=1.5)
    _mark(left, orders[best], 0.0, f"best: order {orders[best]}")
    left.set_ylabel("held-out log-likelihood per journey,\ndifference to the best")
    left.set_title("Cross-validation: higher is better", loc="left", fontsize=10)
    bic = curve["bic"].to_numpy()
    chosen = int(np.flatnonzero(curve["best_bic"])[0])
    right.plot(orders, bic - bic[chosen], "o-", color=BLUE, lw=1.5)
    _mark(right, orders[chosen], 0.0, f"best: order {orders[chosen]}")
    for order, excess in zip(orders, bic - bic[chosen], strict=True):
        if excess:  # a curve that rises steeply hides the small differences
            rises = excess > 0.05 * (bic.max() - bic[chosen])
            right.annotate(f"+{excess:,.0f}", (order, excess), xytext=(-7, 4) if rises else (0, -15),
                           textcoords="offset points", ha="right" if rises else "center", fontsize=7.5,
                           color="#555555")  # fmt: skip
    right.set_ylabel("BIC, difference to the best")
    right.yaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    right.set_title("BIC: lower is better", loc="left", fontsize=10)
    for axes in (left, right):
        axes.set_xticks(orders)
        axes.set_xlabel("order: touches that a state remembers")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#eeeeee")
        axes.margins(x=0.12, y=0.22)
    figure.suptitle(_plain(title), x=0.01, ha="left", fontsize=12, weight="bold")
    note = "Bars: 95% interval of the difference, over folds."
    figure.supxlabel(note, x=0.01, ha="left", fontsize=8, color="#555555")
    return figure


def drift_chart(
    drift: pl.DataFrame, *, title: str = 'A higher order is not more causal: it becomes "any touch"'
) -> Figure:
    """Removal effects by order, and the share of conversions each channel touched. Data: `order_drift(journeys)`."""
    at_last = drift.filter(order=drift["order"].max()).sort("any_touch", descending=True)
    figure = Figure(figsize=(8.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    orders = drift["order"].unique().sort().to_numpy()
    x = np.arange(len(orders))
    end = x[-1] + 1.0
    limits = at_last["any_touch"].to_numpy()
    gap = 0.045 * max(limits.max(), 1e-9)
    heights = limits.copy()
    for i in range(1, len(heights)):  # labels from the top, none over another
        heights[i] = min(heights[i], heights[i - 1] - gap)
    for i, name in enumerate(at_last["channel"]):
        color = _COLORS[i % len(_COLORS)]
        effect = drift.filter(channel=name).sort("order")["removal_effect"].to_numpy()
        style = "-" if i < len(_COLORS) else "--"
        axes.plot(x, effect, "o" + style, color=color, lw=1.6, ms=4)
        axes.plot([x[-1], end], [effect[-1], limits[i]], ":", color=color, lw=1)
        axes.plot(end, limits[i], "D", color=color, ms=5)
        axes.text(end + 0.12, heights[i], _plain(name, 24), color=color, fontsize=8, va="center")
    axes.axvline(end, color=GREY, lw=0.8, zorder=0)
    axes.set_xticks([*x, end], [*(str(k) for k in orders), "any touch"])
    axes.set(xlabel="order of the Markov chain", ylabel="removal effect", xlim=(x[0] - 0.2, end + 1.9), ylim=(0, None))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#eeeeee")
    axes.set_title(_plain(title), loc="left", fontsize=12, weight="bold")
    note = "Diamonds: share of the conversions whose path contains the channel."
    figure.supxlabel(note, x=0.01, ha="left", fontsize=8, color="#555555")
    return figure


def _mark(axes: Axes, x: float, y: float, text: str) -> None:
    axes.plot(x, y, "o", ms=11, mfc="none", mec=INK, mew=1.3)
    axes.annotate(text, (x, y), xytext=(0, 11), textcoords="offset points", ha="center", fontsize=8, color=INK)

"""Pictures: the map of the journey, attributions beside the truth, forecasts beside simulations.

Every function returns a matplotlib `Figure` of its own (no global state) and draws a table that can be had as data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.ticker import PercentFormatter
from rich.cells import cell_len, set_cell_size

from journeysim.bayes.intervals import central
from journeysim.forecasts import LEVEL
from journeysim.moves import LOST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from journeysim.attribution import Comparison
    from journeysim.forecasts import Forecast
    from journeysim.simulation import IncrementalEffects
    from journeysim.simulation.whatif import SimulatedChange
    from journeysim.stage_history import StageHistory

    FloatArray = NDArray[np.float64]

# Okabe & Ito's colours, told apart by readers with any kind of colour vision; but a darker red, as theirs (vermilion)
# looks orange to most, and captions say red
BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW, RED = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#F0E442", "#B81D24",
)  # fmt: skip
INK, GREY, PALE = "#222222", "#8a8a8a", "#e9eef3"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, GREY)
METHODS: Mapping[str, tuple[str, str, str]] = {
    "first_touch": ("first touch", "o", BLUE),
    "last_touch": ("last touch", "s", ORANGE),
    "linear": ("linear", "D", GREEN),
    "position_based": ("position-based", "^", PURPLE),
    "time_decay": ("time decay", "v", SKY),
    "markov": ("Markov", "P", RED),
    "last_non_direct": ("last non-direct", "<", ORANGE),
    "any_touch": ("any touch", "d", BLUE),
    "w_shaped": ("W-shaped", ">", PURPLE),
    "markov_shapley": ("Markov-Shapley", "H", RED),
    "shapley_simplified": ("Shapley, simplified", "h", SKY),
    "shapley_ordered": ("Shapley, ordered", "8", SKY),
    "shapley": ("Shapley, set-based", "p", SKY),
    "probabilistic": ("simple probabilistic", "d", GREEN),
    "logistic": ("bagged logistic", "H", GREEN),
    "additive_hazard": ("additive hazard", "8", PURPLE),
    "hidden_markov": ("hidden Markov", "X", BLUE),
    "digital_twin": ("digital twin", "*", INK),
    "backwards_elimination": ("backwards elimination", "<", BLUE),
    "propensity": ("propensity-weighted", ">", ORANGE),
}
"""By method of attribution its name for readers, marker and colour: the same in every picture."""
_OTHERS = ("X", "*", "p", "h")  # markers of methods that are not ours
_MOST_DOTS = 8  # in a row, before they are a swarm
_Z90 = 1.6449  # half-width of a central 90% normal interval, in standard deviations


def stage_map(history: StageHistory, *, title: str = "The journey") -> Figure:
    """Stages from left to right; arrows as wide as the number of customers who took them, and the losses below.

    Data: `history.counts`, summed over segments.
    """
    counts = history.counts.sum(axis=0)
    entries = history.starts.sum(axis=0).copy()
    np.add.at(entries, history.targets[history.targets < len(history.stages)], counts[history.targets < len(entries)])
    widest = max(counts.max(initial=1.0), 1.0)
    top, bottom = 0.35, -1.1
    n_wide = max(len(history.stages), 5)  # stages that fit into the width; inches per unit are 1.45 and 1.2
    figure = Figure(layout="constrained")
    axes = figure.add_subplot()
    for m in np.argsort(-counts):
        (_, target), start = history.moves[m], int(history.origins[m])
        width = 0.8 + 13 * counts[m] / widest
        if target == LOST:
            share = counts[m] / entries[start] if entries[start] else 0.0
            _arrow(axes, (start, -0.24), (start, -0.9), RED, width, rad=0.0)
            axes.text(start, -0.98, f"{share:.0%} lost", color=RED, fontsize=8, ha="center", va="center")
            continue
        end = history.stages.index(target)
        color = BLUE if history.directions[m] == "forward" else ORANGE
        if end == start + 1:
            _arrow(axes, (start + 0.36, 0.0), (end - 0.36, 0.0), color, width, rad=0.0)
            continue
        side = 1 if end > start else -1  # arcs rise above the stages to the right, and hang below them to the left
        span = abs(end - start)
        ends = (start + 0.1 * side, 0.22 * side), (end - 0.1 * side, 0.22 * side)
        _arrow(axes, *ends, color, width, rad=-0.5 / np.sqrt(span))
        reach = side * (0.3 + 0.25 * np.sqrt(span) * 1.45 / 1.2)  # an arc rises to half of rad times its span
        top, bottom = max(top, reach), min(bottom, reach)
    for s, stage in enumerate(history.stages):
        face = "#d7eadf" if stage in history.purchase_stages else PALE
        box = FancyBboxPatch((s - 0.34, -0.2), 0.68, 0.4, boxstyle="round,pad=0.02", fc=face, ec=INK, lw=0.8, zorder=5)
        axes.add_patch(box)
        label = _plain(stage, 14)
        size = 9 if cell_len(label) <= 11 else 7.5
        axes.text(s, 0.06, label, ha="center", va="center", fontsize=size, weight="bold", zorder=6)
        axes.text(s, -0.1, f"{entries[s]:,.0f}", ha="center", va="center", fontsize=8, color="#444444", zorder=6)
    axes.set(xlim=(-0.5, n_wide - 0.5), ylim=(bottom - 0.1, top + 0.1))
    figure.set_size_inches(1.45 * n_wide, 1.2 * (top - bottom + 0.2) + 0.6)
    axes.set_axis_off()
    axes.set_title(_plain(title), loc="left", fontsize=12, weight="bold")
    note = "Numbers in boxes: entries. Blue: forward, orange: back, red: lost (share of entries). Width: customers."
    figure.supxlabel(note, x=0.01, ha="left", fontsize=8, color="#555555")
    return figure


def attribution_chart(
    channels: Sequence[str],
    shares: Mapping[str, FloatArray],
    *,
    truth: IncrementalEffects | None = None,
    title: str = "Who gets the credit?",
) -> Figure:
    """One line per channel: the share that each method credits, and the true incremental share where it is known.

    Parameters
    ----------
    shares : by method, (C,) shares in the order of `channels`; each of `METHODS` has its own marker and colour
    truth : of a simulated world, its channels in any order
    """
    reference = _truth_shares(truth, channels) if truth is not None else np.mean([*shares.values()], axis=0)
    order = np.argsort(reference, kind="stable")
    rows = np.arange(len(channels))
    figure = Figure(figsize=(8.2, 1.3 + 0.42 * max(len(channels), 3)), layout="constrained")
    axes = figure.add_subplot()
    others = [method for method in shares if method not in METHODS]
    for i, (method, share) in enumerate(shares.items()):
        told, marker, color = METHODS.get(method) or (method, *_look(others.index(method), len(others)))
        apart = 0.5 * ((i + 0.5) / len(shares) - 0.5)  # so that methods which agree do not hide each other
        at = rows - apart
        axes.scatter(share[order], at, s=34, marker=marker, color=color, label=_plain(told), zorder=3, alpha=0.9)
    if truth is not None:
        label = "true incremental share"
        axes.scatter(reference[order], rows, s=300, marker="|", color=INK, lw=3, label=label, zorder=2)
    every = np.concatenate([*shares.values(), reference])
    low, high = min(0.0, every.min()), every.max()  # credit can be negative
    room = high - low
    axes.barh(rows, 3 * room, left=low - room, height=0.64, color=PALE, zorder=1)
    if low < 0:
        axes.axvline(0, color=GREY, lw=1, zorder=1)
    axes.set(
        xlim=(low - 0.03 * room, high + 0.08 * room),
        ylim=(-0.6, len(channels) - 0.4),
        xlabel="share of conversions credited",
    )
    axes.set_yticks(rows, [_plain(channels[i], 28) for i in order])
    _tidy(axes, title)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=_decimals(axes)))
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), labelspacing=0.9)
    return figure


def comparison_chart(
    comparison: Comparison, *, truth: IncrementalEffects | None = None, title: str = "Who gets the credit?"
) -> Figure:
    """What each method credits, beside the truth where it is known. Data: `comparison.to_frame()`."""
    shares = {label: result.share for label, result in comparison.results.items()}
    return share_chart(comparison.channels, shares, truth=truth, title=title)


def share_chart(
    channels: Sequence[str],
    shares: Mapping[str, FloatArray],
    *,
    truth: IncrementalEffects | None = None,
    title: str = "Who gets the credit?",
) -> Figure:
    """Shares of credit as dots or, where there are more than eight in a row, as a table whose cells are shaded.

    Parameters are those of `attribution_chart`.
    """
    if len(shares) <= _MOST_DOTS:
        return attribution_chart(channels, shares, truth=truth, title=title)
    columns = {METHODS[label][0] if label in METHODS else label: share for label, share in shares.items()}
    if truth is not None:
        columns["true incremental share"] = _truth_shares(truth, channels)
    table = np.column_stack([*columns.values()])
    table = table[order := np.argsort(-table.mean(axis=1), kind="stable")]
    figure = Figure(figsize=(2.4 + 0.56 * len(columns), 1.9 + 0.32 * max(len(channels), 3)), layout="constrained")
    axes = figure.add_subplot()
    dark = max(float(table.max()), 1e-9)
    axes.imshow(np.maximum(table, 0.0), cmap="Blues", vmin=0.0, vmax=dark, aspect="auto")
    for (row, column), share in np.ndenumerate(table):
        color = RED if share < 0 else "white" if share > 0.6 * dark else INK
        axes.text(column, row, f"{100 * share:z.0f}", color=color, ha="center", va="center", fontsize=8)
    axes.set_xticks(range(len(columns)), [_plain(name, 32) for name in columns], rotation=40, ha="left", fontsize=8)
    axes.set_yticks(range(len(channels)), [_plain(channels[i], 28) for i in order], fontsize=9)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.suptitle(_plain(title), x=0.01, ha="left", fontsize=12, weight="bold")
    note = "Share of conversions credited, in %; every column adds up to 100."
    figure.supxlabel(note, x=0.01, ha="left", fontsize=8, color="#555555")
    return figure


def forecast_chart(
    result: Forecast, *, simulated: Sequence[SimulatedChange] = (), title: str = "What would an improvement do?"
) -> Figure:
    """Change in conversion and in retention per scenario, with 90% intervals; beside it what the simulator found.

    Data: `result.to_frame()` and `simulated`.
    """
    names = list(result.scenarios)
    rows = np.arange(len(names))[::-1].astype(float)
    figure = Figure(figsize=(9.4, 1.7 + 0.62 * len(names)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    offset = 0.12 if simulated else 0.0
    days = {"conversion": result.conversion_days, "retention": result.retention_days}
    told = {"conversion": "conversion within {:g} days", "retention": "retention after {:g} days"}
    for axes, measure in zip(panels, days, strict=True):
        differences = [result.difference(name, measure) for name in names]
        low, high = central(np.array(differences).T, LEVEL)
        axes.axvline(0, color=GREY, lw=1)
        axes.hlines(rows + offset, low, high, color=BLUE, lw=3, label="forecast, 90% interval")
        axes.plot([d.mean() for d in differences], rows + offset, "o", color=BLUE)
        if simulated:
            change = np.array([getattr(s, measure) for s in simulated])
            error = _Z90 * np.array([getattr(s, f"{measure}_error") for s in simulated])
            axes.hlines(
                rows - offset, change - error, change + error, color=ORANGE, lw=3, label="simulated, 90% interval"
            )
            axes.plot(change, rows - offset, "D", color=ORANGE, ms=5)
        axes.set_yticks(rows, [_plain(name, 44) for name in names])
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlabel(f"{told[measure].format(days[measure])}, change in pp", fontsize=9)
        _tidy(axes, "")
        if np.ptp(axes.get_xlim()) < 1e-5:  # less than ticks can tell apart
            axes.set_xlim(-1e-5, 1e-5)
        axes.locator_params(axis="x", nbins=6)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=_decimals(axes), symbol=""))
        axes.tick_params(axis="x", labelsize=8)
    figure.suptitle(_plain(title), x=0.01, ha="left", fontsize=12, weight="bold")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, frameon=False, loc="outside lower right", ncols=2)
    return figure


def curve_chart(days: FloatArray, curves: Mapping[str, FloatArray], *, ylabel: str, title: str) -> Figure:
    """Share of customers over time: a line per version with its 90% band.

    Parameters
    ----------
    days : (T,)
    curves : by name, (N, T) draws
    """
    figure = Figure(figsize=(7.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for i, (name, draws) in enumerate(curves.items()):
        color = SERIES[i % len(SERIES)]
        low, high = central(draws, LEVEL)
        axes.fill_between(days, low, high, color=color, alpha=0.25, lw=0)
        axes.plot(days, draws.mean(axis=0), color=color, lw=2, label=_plain(name, 60))
    axes.set(xlabel="days", ylabel=ylabel, xlim=(0, days[-1]), ylim=(0, None))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#eeeeee")
    axes.set_title(_plain(title), loc="left", fontsize=12, weight="bold")
    axes.legend(fontsize=8, frameon=False)
    return figure


def _look(i: int, n: int) -> tuple[str, str]:
    """Marker and colour of one of n series without a look of its own; a few are grey, to stand behind ours."""
    return _OTHERS[i % len(_OTHERS)], GREY if n == 1 else SERIES[i % len(SERIES)]


def _truth_shares(truth: IncrementalEffects, channels: Sequence[str]) -> FloatArray:
    return np.array([truth.share[truth.channels.index(channel)] for channel in channels])


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str, width: float, rad: float
) -> None:
    arrow = FancyArrowPatch(
        start,
        end,
        connectionstyle=f"arc3,rad={rad}",
        arrowstyle=f"simple,tail_width={width},head_width={width + 5},head_length={4 + width / 2}",
        mutation_scale=1,
        color=color,
        alpha=0.75,  # paler, orange would be yellow
        lw=0,
        shrinkA=0,
        shrinkB=0,
        zorder=2,
    )
    axes.add_patch(arrow)


def _tidy(axes: Axes, title: str) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#eeeeee", zorder=0)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    if title:
        axes.set_title(_plain(title), loc="left", fontsize=12, weight="bold")


def _decimals(axes: Axes) -> int:
    """The fewest decimals that show the percentage of every tick as it is: 0.25 is not 0.2."""
    percentages = np.asarray(axes.get_xticks()) * 100
    step = abs(percentages[1] - percentages[0])
    return next((d for d in range(6) if np.allclose(np.round(percentages, d), percentages, atol=step / 1000)), 6)


def _plain(text: str, length: int = 100) -> str:
    """Text for matplotlib, which takes dollar signs for mathematics, and for XML, which knows no control characters."""
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    if cell_len(text) > length:  # East Asian letters are twice as wide as others
        text = set_cell_size(text, length - 1).rstrip() + "…"
    return text.replace("$", r"\$")

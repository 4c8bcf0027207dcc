"""Pictures of forecasts: when a gain arrives, and which scenario nets how much.

Like `journeysim.plots`: every function returns a matplotlib `Figure` of its own and draws a table that can be had as
data.
"""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from journeysim.bayes.intervals import central
from journeysim.errors import InputError
from journeysim.forecasts import LEVEL
from journeysim.plots import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY, _plain, _tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from journeysim.forecasts import Decision, GainsOverTime

_COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)
_MOST_ROWS = 20


def gains_chart(
    gains: GainsOverTime, measure: str = "conversion", *, scenarios: Sequence[str] | None = None, title: str = ""
) -> Figure:
    """What each scenario has gained by each day, with 90% bands; a dot where half of it has arrived.

    Data: `gains.to_frame()`.

    Parameters
    ----------
    scenarios : which, at most six; by default the first six

    Raises
    ------
    InputError : there is no such measure or scenario, or more than six are asked for
    """
    names = list(dict.fromkeys(name for name, what in gains.gains if what == measure))
    if not names:
        known = ", ".join(dict.fromkeys(what for _, what in gains.gains))
        raise InputError(f"gains_chart: there are no gains of {measure!r}, only of {known}.")
    chosen = list(scenarios or names[: len(_COLORS)])
    if len(chosen) > len(_COLORS) or not set(chosen) <= set(names):
        raise InputError(f"gains_chart: name at most {len(_COLORS)} of {', '.join(names)}.")
    times = 100 if measure == "conversion" else 1
    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(0, color=GREY, lw=0.8)
    for name, color in zip(chosen, _COLORS, strict=False):
        draws = times * gains.gains[name, measure]
        mean = draws.mean(axis=0)
        axes.fill_between(gains.days, *central(draws, LEVEL), color=color, alpha=0.18, lw=0)
        half = gains.half_by(name, measure)
        arrives = f"\nhalf by day {half:,.0f}" if np.isfinite(half) else ""
        axes.plot(gains.days, mean, color=color, lw=2, label=_plain(name, 40) + arrives)
        if np.isfinite(half):
            axes.plot(half, np.interp(half, gains.days, mean), "o", color=color, mec="white", ms=7)
    unit = "percentage points" if times == 100 else f"per customer, {gains.currency or 'currency of the log'}"
    if measure == "purchases":
        unit = "per customer"
    noisy = any(gains.left_in[name, measure].any() for name in chosen if (name, measure) in gains.left_in)
    wide = ", too wide where simulation noise rules" if noisy else ""
    axes.set_xlabel(f"days since customers started   (band: 90% interval{wide}; dot: half of the gain has arrived)")
    axes.set_ylabel(f"gain in {measure} so far\n({unit})")
    axes.set_xlim(0, gains.days[-1])
    _tidy(axes, title or f"When does the gain in {measure} arrive?")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.10g}"))
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), labelspacing=0.9)
    return figure


def decision_chart(decision: Decision, *, title: str = "Which scenario pays?") -> Figure:
    """Scenarios by expected net gain, with 90% intervals and the probability that each pays. Data: `to_frame()`.

    Raises
    ------
    InputError : there is no scenario
    """
    rows = decision.to_frame().head(min(len(decision.scenarios), _MOST_ROWS)).reverse()
    if rows.is_empty():
        raise InputError("decision_chart: the decision has no scenario to draw.")
    at = np.arange(rows.height)
    figure = Figure(figsize=(8.6, 1.8 + 0.42 * max(rows.height, 3)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=INK, lw=1)
    colors = [BLUE if gain > 0 else RED for gain in rows["gain"]]
    axes.hlines(at, rows["low"], rows["high"], color=colors, lw=2.4)
    axes.scatter(rows["gain"], at, s=34, color=colors, ec="white", lw=0.8, zorder=3)
    for y, chance in zip(at, rows["p_pays"], strict=True):
        axes.annotate(
            f"pays: {chance:.0%}", (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=INK,
            annotation_clip=False,
        )  # fmt: skip
    axes.set_yticks(at, ["\n".join(wrap(_plain(name, 60), 32)) for name in rows["scenario"]])
    axes.set_ylim(-0.6, rows.height - 0.4)
    unit = decision.currency or "currency of the log"
    axes.set_xlabel(
        f"net gain in {decision.measure} over {decision.population:,} customers, {unit}\n(line: 90% interval)"
    )
    _tidy(axes, title)
    axes.locator_params(axis="x", nbins=6)  # numbers of millions fit
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.10g}"))
    return figure

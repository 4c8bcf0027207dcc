"""Pictures of attribution with its uncertainty: a point and its intervals per channel and method.

Like `journeysim.plots`: every function returns a matplotlib `Figure` of its own and draws a table that can be had
as data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from journeysim.attribution.uncertainty import UncertainAttribution
from journeysim.errors import InputError
from journeysim.plots import BLUE, GREEN, GREY, INK, ORANGE, PALE, PURPLE, RED, SKY, _plain, _tidy, share_chart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from journeysim.attribution.calibrated import CalibratedAttribution, When
    from journeysim.attribution.credit import Credit
    from journeysim.attribution.uncertainty import Quantity

    FloatArray = NDArray[np.float64]

_COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, GREY)
_MARKERS = "osD^vPX"
_INNER = 0.5  # the thick part of a line holds half of the draws
_MOST_SERIES = 6  # that a row has room for
_LABELS = {
    "conversions": "conversions credited",
    "share": "share of conversions credited",
    "value": "value credited",
    "removal_effect": "removal effect: conversions lost without the channel",
    "removal_effect_value": "removal effect: value lost without the channel",
}


def interval_chart(
    results: Mapping[str, UncertainAttribution],
    *,
    of: Quantity = "share",
    level: float = 0.9,
    truth: Mapping[str, float] | None = None,
    title: str = "Who gets the credit, and how surely?",
) -> Figure:
    """One row per channel: what each method credits, with a thick 50% and a thin `level` interval.

    Data: `result.to_frame(level)`.

    Parameters
    ----------
    results : by the name that the legend shows, all of the same channels
    of : what to draw
    truth : by channel, where it is known; drawn as a bar across the row

    Raises
    ------
    InputError : without a result, with results of other channels, or as `UncertainAttribution.interval`
    """
    if not results:
        raise InputError("interval_chart: give at least one result.")
    first = next(iter(results.values()))
    channels = first.channels
    other = next((name for name, result in results.items() if result.channels != channels), None)
    if other is not None:
        raise InputError(f"interval_chart: {other!r} has other channels than the first result; draw them apart.")
    points = {name: result.points(of) for name, result in results.items()}
    order = np.argsort(next(iter(points.values())), kind="stable")
    rows = np.arange(len(channels))
    figure = Figure(figsize=(8.6, 1.5 + 0.44 * max(len(channels), 3)), layout="constrained")
    axes = figure.add_subplot()
    for row in rows[::2]:
        axes.axhspan(row - 0.5, row + 0.5, color=PALE, lw=0, zorder=0)
    for i, (name, result) in enumerate(results.items()):
        color = _COLORS[i % len(_COLORS)]
        at = rows - 0.6 * ((i + 0.5) / len(results) - 0.5)  # so that methods which agree do not hide each other
        for share, width in ((level, 1.4), (_INNER, 4.5)):
            low, high = result.interval(share, of=of)[:, order]
            axes.hlines(at, low, high, color=color, lw=width, zorder=2)
        axes.scatter(
            points[name][order], at, s=26, marker=_MARKERS[i % len(_MARKERS)], color=color, ec="white", lw=0.7,
            label=_plain(name, 40), zorder=3,
        )  # fmt: skip
    if truth is not None:
        true = _by_channel(truth, channels)[order]
        axes.vlines(true, rows - 0.42, rows + 0.42, color=INK, lw=2, label="truth", zorder=1)
    axes.set(ylim=(-0.6, len(channels) - 0.4))
    axes.set_xlabel(f"{_LABELS[of]}   (thin line: {level:.0%} interval, thick: {_INNER:.0%})")
    axes.set_yticks(rows, [_plain(channels[i], 28) for i in order])
    _tidy(axes, title)
    if of in ("conversions", "value"):
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.10g}"))
    if len(results) > 1 or truth is not None:
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), labelspacing=0.9)
    return figure


def credit_chart(credit: Credit, *, title: str = "Who gets the credit?") -> Figure:
    """Shares of credit by channel, a series per segment; with intervals where there are draws. Data: `credit.rows()`.

    More segments than a row of intervals has room for are shown without them.
    """
    series = {part if credit.by else credit.point(part).method: part for part in credit.parts}
    drawn = {
        name: found for name, part in series.items() if isinstance(found := credit.parts[part], UncertainAttribution)
    }
    if drawn and len(drawn) <= _MOST_SERIES:
        return interval_chart(drawn, level=credit.level, title=f"{title[:-1]}, and how surely?")
    points = {name: credit.point(part) for name, part in series.items()}
    channels = next(iter(points.values())).channels
    return share_chart(channels, {name: point.share for name, point in points.items()}, title=title)


def calibration_chart(
    result: CalibratedAttribution,
    *,
    level: float = 0.9,
    truth: Mapping[str, float] | None = None,
    title: str = "What do channels cause, before and after the tests?",
) -> Figure:
    """One row per channel: its effect as a share of all conversions before and after lift tests, with intervals.

    A diamond is what a test found, plus and minus 1.64 standard errors (90%); a cross is the credit. Data:
    `result.to_frame(level)` and `result.tests_frame()`.

    Parameters
    ----------
    truth : by channel, share of all conversions, where it is known; drawn as a bar across the row

    Raises
    ------
    InputError : for a level outside (0, 1), or a truth without one of the channels
    """
    channels, point = result.channels, result.attribution.point
    everything = point.total_conversions + point.untouched_conversions
    order = np.argsort(result.after.mean(axis=0), kind="stable")
    rows = np.arange(len(channels))
    figure = Figure(figsize=(9.2, 1.5 + 0.52 * max(len(channels), 3)), layout="constrained")
    axes = figure.add_subplot()
    for row in rows[::2]:
        axes.axhspan(row - 0.5, row + 0.5, color=PALE, lw=0, zorder=0)
    axes.axvline(0, color=GREY, lw=0.8, zorder=1)
    if truth is not None:
        axes.vlines(
            _by_channel(truth, channels)[order], rows - 0.45, rows + 0.45, color=INK, lw=2, label="truth", zorder=1
        )
    credited = point.conversions[order] / everything
    axes.scatter(credited, rows + 0.36, s=30, marker="x", color=INK, label="credited", zorder=4)
    moments: tuple[tuple[When, str, float], ...] = (("before", SKY, 0.2), ("after", BLUE, 0.0))
    for when, color, shift in moments:
        low, high = result.interval(level, when=when, of="share")[:, order]
        mean = result.draws(when, of="share").mean(axis=0)[order]
        axes.hlines(rows + shift, low, high, color=color, lw=2.4, zorder=2)
        axes.scatter(mean, rows + shift, s=26, color=color, ec="white", lw=0.7, label=f"{when} tests", zorder=3)
    place = {int(c): row for row, c in enumerate(order)}
    for i, found in enumerate(result.tests):
        channel = channels.index(found.test.channel)
        earlier = sum(other.test.channel == found.test.channel for other in result.tests[:i])
        at, effect = place[channel] - min(0.18 + 0.1 * earlier, 0.44), found.effect / everything
        half = 1.645 * found.standard_error / everything
        axes.hlines(at, effect - half, effect + half, color=ORANGE, lw=1.4, zorder=2)
        axes.scatter(
            effect, at, s=30, marker="D", color=ORANGE, ec="white", lw=0.7, label=None if i else "lift test", zorder=3
        )
    axes.set(ylim=(-0.6, len(channels) - 0.4))
    axes.set_xlabel(f"share of all conversions that the channel causes   (lines: {level:.0%} interval)")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.10g}%"))
    axes.set_yticks(rows, [_plain(channels[i], 28) for i in order])
    _tidy(axes, title)
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), labelspacing=0.9)
    return figure


def _by_channel(truth: Mapping[str, float], channels: tuple[str, ...]) -> FloatArray:
    missing = [channel for channel in channels if channel not in truth]
    if missing:
        raise InputError(f"truth has no number for channel {missing[0]!r}.")
    return np.array([truth[channel] for channel in channels])

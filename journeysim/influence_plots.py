"""A picture of what contacts do: the pull of every channel in every stage, with its interval.

Like `journeysim.plots`: the function returns a matplotlib `Figure` and draws a table that can be had as data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from journeysim.errors import InputError
from journeysim.plots import BLUE, GREY, INK, ORANGE, PALE, _plain, _tidy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from journeysim.bayes.influence_posterior import InfluencePosterior


def pull_chart(
    posterior: InfluencePosterior,
    *,
    truth: Mapping[tuple[str, str], float] | None = None,
    title: str = "What one contact does",
) -> Figure:
    """One panel per stage with contacts, one row per channel: mean and 90% interval of the pull.

    An interval that begins at 0, because the data cannot tell the channel from one that does nothing, has another
    colour; a channel that nobody met in a stage says so. Data: `posterior.summary()`.

    Parameters
    ----------
    truth : pull by (channel, stage), where it is known; drawn as a bar across the row

    Raises
    ------
    InputError : if truth lacks a channel that was met in a stage
    """
    pulls = posterior.summary().filter(parameter="pull")
    met = set(pulls.filter(pulls["contacts"] > 0)["stage"])
    stages = [stage for stage in posterior.pushed_stages if stage in met]
    row_of = {channel: row for row, channel in enumerate(reversed(posterior.channels))}
    figure = Figure(figsize=(2.2 + 2.6 * len(stages), 1.9 + 0.36 * len(row_of)), layout="constrained")
    panels = figure.subplots(1, len(stages), sharex=True, sharey=True, squeeze=False)[0]
    for stage, axes in zip(stages, panels, strict=True):
        for row in range(0, len(row_of), 2):
            axes.axhspan(row - 0.5, row + 0.5, color=PALE, lw=0, zorder=0)
        for pull in pulls.filter(stage=stage).iter_rows(named=True):
            row = row_of[pull["channel"]]
            if pull["contacts"] == 0:
                axes.text(0.0, row, " nobody met it here", color=GREY, fontsize=8, va="center")
                continue
            color = ORANGE if pull["holds_none"] else BLUE
            axes.hlines(row, pull["low"], pull["high"], color=color, lw=2.2, zorder=2)
            axes.scatter(pull["mean"], row, s=24, color=color, ec="white", lw=0.7, zorder=3)
            if truth is not None:
                if (at := (pull["channel"], stage)) not in truth:
                    raise InputError(f"pull_chart: truth has no pull for {at}.")
                axes.vlines(truth[at], row - 0.38, row + 0.38, color=INK, lw=2, zorder=1)
        axes.set(ylim=(-0.6, len(row_of) - 0.4))
        axes.set_yticks([*row_of.values()], [_plain(channel, 28) for channel in row_of])
        _tidy(axes, "")
        axes.set_title(_plain(stage, 28), loc="left", fontsize=10)
    seen = pulls.filter(pulls["contacts"] > 0)
    most = max([*seen["high"], *(truth or {}).values()], default=1.0)
    panels[0].set_xlim(-0.04 * most, 1.04 * most)  # of all panels, once all is drawn
    if title:
        figure.suptitle(_plain(title), x=0.01, ha="left", fontsize=12, weight="bold")
    figure.supxlabel("pull: probability that one contact, left alone, moves a customer on (90% interval)", fontsize=9)
    keys = [
        Line2D([], [], color=BLUE, lw=2.2, marker="o", mec="white", label="it moves customers"),
        Line2D([], [], color=ORANGE, lw=2.2, marker="o", mec="white", label="perhaps it does nothing"),
    ]
    if truth is not None:
        keys.append(Line2D([], [], color=INK, lw=0, marker="|", ms=11, mew=2, label="truth"))
    figure.legend(handles=keys, loc="outside right upper", fontsize=8, frameon=False)
    return figure

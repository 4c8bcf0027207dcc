"""The map of a world: its stages and moves above, and below each stage the channels and pain points met there."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from journeysim.moves import LOST
from journeysim.plots import BLUE, GREY, INK, ORANGE, PALE, PURPLE, RED
from journeysim.plots import _plain as plain
from journeysim.world_tables import base_moves, marks, percent, stay_days, three_digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from journeysim.parts import Channel, WordOfMouth
    from journeysim.spec import World
    from journeysim.world_tables import BaseMove

# All lengths are in inches: the axes fill the figure, one unit is one inch.
MARGIN, LEFT, COLUMN, ROW = 0.25, 2.75, 1.6, 0.3
BOX_WIDTH, BOX_HEIGHT = 1.2, 0.98
LINE = 0.15  # of small text
PULL = LogNorm(0.002, 0.5, clip=True)
SHADES = colormaps["YlGnBu"]
COLORS = {"forward": BLUE, "back": ORANGE, "exit": RED}


def world_map(world: World) -> Figure:
    """Draw a world as practitioners draw journeys: stages as columns, touchpoints and pain points as rows.

    Arrows show where the plain customer goes from each stage, without contacts. Data: `world_tables.base_moves` and the
    world itself.
    """
    moves = base_moves(world)
    places = {name: LEFT + COLUMN * (i + 0.5) for i, name in enumerate(world.stage_names)}
    above, below = _rises(world, moves)
    tells = 0.35 if world.word_of_mouth else 0.0
    barriers = _barriers(world)
    pains = max((len(lines) for lines in barriers.values()), default=0)
    grid = ROW * len(world.channels) + 0.45 if world.channels else 0.0
    heights = (0.75, tells + above, BOX_HEIGHT, below, grid, LINE * pains + (0.25 if pains else 0), 0.75)
    width = LEFT + COLUMN * max(len(world.stages), 5) + MARGIN
    tops = sum(heights) - np.cumsum((0, *heights))  # where each band begins, from the top of the page
    figure = Figure(figsize=(width, sum(heights)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, sum(heights)))
    axes.set_axis_off()
    axes.text(MARGIN, tops[0] - 0.3, plain(world.name), fontsize=14, weight="bold", va="center", color=INK)
    axes.text(MARGIN, tops[0] - 0.56, plain(world.title, 150), fontsize=10, va="center", color="#555555")
    middle = float(tops[2]) - BOX_HEIGHT / 2
    for i, x in enumerate(places.values()):
        if i % 2 == 0:
            axes.axvspan(
                x - COLUMN / 2, x + COLUMN / 2, tops[6] / tops[0], tops[2] / tops[0], color="#f7f8fa", zorder=0
            )
    for move in moves:
        _draw_move(axes, world, move, places, middle)
    for stage in world.stages:
        _draw_stage(axes, world, stage.name, places[stage.name], middle)
    if world.word_of_mouth:
        _draw_word_of_mouth(axes, world, world.word_of_mouth, places, middle + BOX_HEIGHT / 2, float(tops[1]) - 0.2)
    if world.channels:
        _row_title(axes, "Contacts by stage", float(tops[4]) - 0.2)
        for row, channel in enumerate(world.channels):
            _draw_channel(axes, world, channel, places, float(tops[4]) - 0.55 - ROW * row)
    if pains:
        _row_title(axes, "Pain points (chance to meet)", float(tops[5]) - 0.2)
        for name, lines in barriers.items():
            for k, line in enumerate(lines):
                at = places[name] - COLUMN / 2 + 0.1, float(tops[5]) - 0.2 - LINE * k
                axes.text(*at, plain(line), fontsize=7.5, va="center", color=RED)
    _draw_key(axes, float(tops[6]) - 0.22, told=world.word_of_mouth is not None)
    return figure


def _rises(world: World, moves: tuple[BaseMove, ...]) -> tuple[float, float]:
    """How far the arcs rise above the boxes and hang below them."""
    above, below = 0.2, 0.5
    for move in moves:
        if move.target != LOST and (steps := _steps(world, move)) != 1:
            if steps > 0:
                above = max(above, _peak(steps) + 0.25)
            else:
                below = max(below, _peak(steps) + 0.25)
    return above, below


def _steps(world: World, move: BaseMove) -> int:
    return world.stage_names.index(move.target) - world.stage_names.index(move.origin)


def _peak(steps: int) -> float:
    """Height of an arc: longer ones pass outside shorter ones, and clear of what is written in the middle."""
    return 0.34 if steps == -1 else 0.5 + 0.24 * (abs(steps) - 1)


def _draw_move(axes: Axes, world: World, move: BaseMove, places: dict[str, float], middle: float) -> None:
    color, width, label = COLORS[move.direction], 0.8 + 7 * move.share, percent(move.share)
    x, half = places[move.origin], BOX_HEIGHT / 2
    if move.target == LOST:
        _arrow(axes, (x, middle - half), (x, middle - half - 0.25), color, width)
        axes.text(x, middle - half - 0.35, f"{label} lost", fontsize=8, color=color, ha="center", va="center")
        return
    end, steps = places[move.target], _steps(world, move)
    if steps == 1:
        _arrow(axes, (x + BOX_WIDTH / 2, middle), (end - BOX_WIDTH / 2, middle), color, width)
        axes.text((x + end) / 2, middle + 0.17, label, fontsize=8, color=color, ha="center", va="center")
        return
    side = 1 if steps > 0 else -1  # to the right above the boxes, to the left below them
    start, stop = (x + 0.3 * side, middle + half * side), (end - 0.3 * side, middle + half * side)
    peak = _peak(steps)
    _arrow(axes, start, stop, color, width, rad=-2 * peak / abs(stop[0] - start[0]))  # arc3 rises rad / 2 of its span
    at = (start[0] + stop[0]) / 2, middle + side * (half + peak)
    box = {"fc": "white", "ec": "none", "pad": 0.6, "alpha": 0.85}
    axes.text(*at, label, fontsize=8, color=color, ha="center", va="center", bbox=box, zorder=4)


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str, width: float, rad: float = 0.0
) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            connectionstyle=f"arc3,rad={rad}",
            arrowstyle=f"simple,tail_width={width},head_width={width + 5},head_length={5 + width / 3}",
            mutation_scale=1,
            color=color,
            alpha=0.7,
            lw=0,
            shrinkA=0,
            shrinkB=0,
            zorder=3,
        )
    )


def _draw_stage(axes: Axes, world: World, name: str, x: float, middle: float) -> None:
    stage = world.stages[world.stage_names.index(name)]
    corner = x - BOX_WIDTH / 2, middle - BOX_HEIGHT / 2
    face = "#d7eadf" if stage.purchase else PALE
    box = FancyBboxPatch(
        corner, BOX_WIDTH, BOX_HEIGHT, boxstyle="round,pad=0,rounding_size=0.06", fc=face, ec=INK, lw=0.8
    )
    box.set_zorder(5)
    axes.add_patch(box)
    label = plain(name, 16)
    axes.text(
        x,
        middle + 0.33,
        label,
        fontsize=9.5 if len(label) <= 12 else 8,
        weight="bold",
        ha="center",
        va="center",
        zorder=6,
    )
    days = stay_days(stage)
    stay = "for good" if days is None else f"{three_digits(days)} days"
    seasons = ", seasonal" if stage.calendar.months or stage.calendar.flights else ""
    for k, line in enumerate((stay + seasons, *textwrap.wrap(", ".join(marks(stage)), 22)[:3])):
        axes.text(x, middle + 0.13 - LINE * k, line, fontsize=7, ha="center", va="center", color="#444444", zorder=6)


def _draw_word_of_mouth(
    axes: Axes, world: World, told: WordOfMouth, places: dict[str, float], top: float, height: float
) -> None:
    """From those who tell to those who hear: everybody, the first stage above all."""
    tellers = [places[stage.name] - 0.35 for stage in world.stages if stage.advocates]
    first = places[world.stage_names[0]]
    axes.plot([first, max(tellers)], [height, height], color=PURPLE, lw=1.2, ls=(0, (4, 2)), zorder=1)
    for x in tellers:
        axes.plot([x, x], [top, height], color=PURPLE, lw=1.2, ls=(0, (4, 2)), zorder=1)
    axes.annotate(
        "", (first, top), (first, height), arrowprops={"arrowstyle": "-|>", "color": PURPLE, "lw": 1.2, "ls": "--"}
    )
    often = f"one in {three_digits(1 / told.referrals_per_day)} days each" if told.referrals_per_day else "nobody"
    label = plain(f"tell others ({told.channel}): {often}")
    axes.text(first + 0.1, height + 0.1, label, fontsize=8, color=PURPLE, va="center")


def _draw_channel(axes: Axes, world: World, channel: Channel, places: dict[str, float], y: float) -> None:
    axes.plot([MARGIN, LEFT + COLUMN * len(places)], [y - ROW / 2] * 2, color="#e6e6e6", lw=0.6, zorder=1)
    color = INK if channel.active else GREY
    axes.text(MARGIN, y, plain(channel.name, 22), fontsize=9, va="center", color=color)
    where = channel.kind if channel.online else f"{channel.kind}, offline"
    axes.text(LEFT - 0.1, y, where if channel.active else "off", fontsize=7, va="center", ha="right", color="#777777")
    told = world.word_of_mouth is not None and world.word_of_mouth.channel == channel.name
    for stage, x in places.items():
        rate, pull = world.contacts_in(channel, stage), world.pull_in(channel, stage)
        if rate > 0:
            axes.scatter([x], [y], s=_area(rate), color=_shade(pull), ec=GREY, lw=0.5, zorder=2)
        if any(trigger.entering == stage for trigger in channel.triggers):
            axes.scatter([x + 0.3], [y], s=42, marker="D", color=_shade(pull), ec=GREY, lw=0.5, zorder=2)
        if told and (pull > 0 or rate > 0):
            axes.scatter([x - 0.3 * (rate > 0)], [y], s=75, marker="*", color=_shade(pull), ec=PURPLE, lw=0.7, zorder=2)


def _area(rate: float) -> float:
    """Of a bubble, in square points: proportional to the rate up to one contact in two days."""
    return 12 + 380 * min(rate, 0.5)


def _shade(pull: float) -> tuple[float, float, float, float] | str:
    return "white" if pull == 0 else SHADES(0.12 + 0.88 * PULL(pull))


def _barriers(world: World) -> dict[str, list[str]]:
    """What is written below each stage: its pain points with their chances, folded to the width of a column."""
    lines: dict[str, list[str]] = {stage: [] for stage in world.stage_names}
    for pain in world.pain_points:
        text = f"{pain.name.replace('_', ' ')} {percent(pain.chance)}"
        first, *rest = textwrap.wrap(text, 22)
        lines[pain.stage] += [f"• {first}", *(f"   {line}" for line in rest)]
    return lines


def _row_title(axes: Axes, title: str, y: float) -> None:
    axes.text(MARGIN, y, title, fontsize=9, weight="bold", va="center", color="#555555")


def _draw_key(axes: Axes, y: float, *, told: bool) -> None:
    x = MARGIN
    for rate, label in ((0.02, "one contact in 50 days"), (0.1, "in 10 days"), (0.4, "in 2.5 days")):
        axes.scatter([x + 0.1], [y], s=_area(rate), color="white", ec=GREY, lw=0.7)
        axes.text(x + 0.28, y, label, fontsize=7.5, va="center", color="#555555")
        x += 0.5 + 0.055 * len(label)
    x += 0.1
    for pull, label in ((0.0, "moves nobody on"), (0.005, "0.5%"), (0.05, "5%"), (0.3, "30% of contacts move on")):
        axes.scatter([x + 0.1], [y], s=70, marker="s", color=_shade(pull), ec=GREY, lw=0.5)
        axes.text(x + 0.24, y, label, fontsize=7.5, va="center", color="#555555")
        x += 0.42 + 0.055 * len(label)
    axes.scatter([x + 0.1], [y], s=42, marker="D", color="white", ec=GREY, lw=0.7)
    axes.text(x + 0.24, y, "answers an entry", fontsize=7.5, va="center", color="#555555")
    if told:
        axes.scatter([x + 1.35], [y], s=75, marker="*", color="white", ec=PURPLE, lw=0.7)
        axes.text(x + 1.49, y, "told by others", fontsize=7.5, va="center", color="#555555")
    note = (
        "Arrows: where customers go from a stage (blue forward, orange back, red out) and mean days in it, before "
        "contacts, personas, pain points and seasons."
    )
    axes.text(MARGIN, y - 0.3, note, fontsize=7.5, va="center", color="#555555")

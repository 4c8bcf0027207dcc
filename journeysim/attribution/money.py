"""Money: what a conversion credited to a channel cost, and what its spend returned, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from journeysim.attribution.cents import to_the_cent
from journeysim.attribution.uncertainty import UncertainAttribution, as_text
from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from journeysim.attribution.base import Attribution
    from journeysim.events import EventLog

    FloatArray = NDArray[np.float64]

TOTAL = "(total)"
_HEADS = {
    "cost": "cost",
    "conversions": "conversions",
    "cost_per_conversion": "cost per\nconversion",
    "value": "value",
    "return_on_spend": "return\non spend",
}


def costs_of(log: EventLog) -> dict[str, float]:
    """Cost of all touches per channel, in the currency of the log.

    All of them, those after a purchase too: that is what was spent.

    Raises
    ------
    InputError : if a touch has no cost
    """
    touches = pl.DataFrame(pl.from_arrow(log.events)).filter(pl.col("kind") == "touch")
    unknown = touches.filter(pl.col("cost").is_null() | pl.col("cost").is_nan())
    if unknown.height:
        raise InputError(
            f"{unknown.height:,} of {touches.height:,} touches have no cost, the first on channel "
            f"{unknown['channel'][0]!r}. Write 0 where a touch was free, or give the costs per channel yourself."
        )
    sums = touches.group_by(pl.col("channel").cast(pl.String)).agg(pl.col("cost").sum()).sort("channel")
    return dict(sums.iter_rows())


@dataclass(frozen=True, slots=True, eq=False)
class Returns:
    """Costs of channels beside what they are credited with.

    The spend is known; the uncertainty is that of the credit. Like the credit, these are answers of a method of
    attribution: the return on the *next* unit of spend is another question, for an experiment or a scenario.

    Attributes
    ----------
    attribution : with its draws, or without; then there are no intervals
    cost : (C,) in the currency of the values, in the order of the channels
    """

    attribution: Attribution | UncertainAttribution
    cost: FloatArray

    @property
    def point(self) -> Attribution:
        """The attribution of the data themselves."""
        return self.attribution.point if isinstance(self.attribution, UncertainAttribution) else self.attribution

    def to_frame(self, level: float = 0.9) -> pl.DataFrame:
        """One row per channel, highest cost first, and one of totals.

        Columns: channel; cost; conversions; cost_per_conversion and return_on_spend (value / cost), each with `_low`
        and `_high` where there are draws; value. Cost and value are in whole cents, rounded so that their columns add
        up to the totals (to the cent). A cost per conversion is infinite where credit may be none; a return without
        spend is null.
        """
        exact = self.exact(level)
        channels = exact.head(len(self.cost)).with_columns(
            cost=to_the_cent(self.cost), value=to_the_cent(self.point.value)
        )
        total = exact.tail(1).with_columns(pl.lit(channels[name].sum()).alias(name) for name in ("cost", "value"))
        return pl.concat([channels.sort("cost", "channel", descending=[True, False]), total.select(exact.columns)])

    def exact(self, level: float = 0.9) -> pl.DataFrame:
        """As `to_frame`, with no amount rounded, in the order of the channels."""
        found, point = self.attribution, self.point
        suffixes, conversions, value = [""], [point.conversions], [point.value]
        if isinstance(found, UncertainAttribution):
            suffixes += ["_low", "_high"]
            conversions += [*found.interval(level, of="conversions")[::-1]]  # many conversions make one cheap
            value += [*found.interval(level, of="value")]
        n_columns = len(suffixes)
        conversion = np.column_stack([conversions, np.full(n_columns, point.total_conversions)])
        worth = np.column_stack([value, np.full(n_columns, point.total_value)])
        cost = np.append(self.cost, self.cost.sum())
        free = cost == 0
        with np.errstate(divide="ignore", invalid="ignore"):
            per_conversion = np.where(conversion > 0, cost / conversion, np.where(free, 0.0, np.inf))
            on_spend = np.where(free, np.nan, worth / cost)
        columns: dict[str, object] = {
            "channel": pl.Series([*found.channels, TOTAL], dtype=pl.String),
            "cost": cost,
            "conversions": conversion[0],
            **{f"cost_per_conversion{suffix}": per_conversion[i] for i, suffix in enumerate(suffixes)},
            "value": worth[0],
            **{f"return_on_spend{suffix}": on_spend[i] for i, suffix in enumerate(suffixes)},
        }
        return pl.DataFrame(columns).with_columns(pl.col("^return_on_spend.*$").fill_nan(None))

    def __rich__(self) -> Group:
        return self.screen()

    def screen(self, level: float = 0.9) -> Group:
        """Costs, cost per conversion and return by channel; with intervals in two tables, to fit 80 columns."""
        found, frame = self.attribution, self.to_frame(level)
        interval = f"{level:.0%} interval"
        title = f"Costs and returns, credit by {self.point.method}"
        if isinstance(found, UncertainAttribution):
            title += f", {found.n_draws:,} draws"
            tables = [
                _table(frame, {"cost": "cost", "conversions": "conversions", **_ends("cost_per_conversion", interval)}),
                _table(frame, {"cost": "cost", "value": "value", **_ends("return_on_spend", interval)}),
            ]
        else:
            names = ("cost", "conversions", "cost_per_conversion", "value", "return_on_spend")
            tables = [_table(frame, {name: _HEADS[name] for name in names})]
        notes = [
            "Return on spend: value credited / cost; an average of what happened, not the return on the next spend."
        ]
        if self.point.untouched_conversions:
            notes.append(
                f"{self.point.untouched_conversions:,.1f} more conversions had no touch (value "
                f"{self.point.untouched_value:,.2f})"
            )
        return Group(Text(title, style="bold"), *tables, *(Text(f"- {note}") for note in notes))

    def __str__(self) -> str:
        return as_text(self)


def returns(attribution: Attribution | UncertainAttribution, costs: Mapping[str, float]) -> Returns:
    """Set the costs of channels beside what they are credited with; with intervals where the credit has draws.

    Parameters
    ----------
    costs : by channel, >= 0, for each channel of the attribution; 0 where nothing was spent. A channel that nobody met
        on the way to a conversion or a null may have costs too, but not a channel that the attribution does not know

    Raises
    ------
    InputError : a channel without a cost, a cost without a channel, or one that is no number >= 0
    """
    return Returns(attribution, cost_column(attribution.channels, costs))


def cost_column(channels: tuple[str, ...], costs: Mapping[str, float]) -> FloatArray:
    """(C,) costs in the order of the channels. Raises as `returns`."""
    for channel, cost in costs.items():
        if channel not in channels:
            raise InputError(
                f"Costs are given for channel {channel!r}, which is not among the channels of the attribution: "
                f"{', '.join(channels)}. Its spend would be missing from the totals."
            )
        if not 0 <= cost < np.inf:
            raise InputError(f"The cost of channel {channel!r} is {cost!r}; it must be a finite number >= 0.")
    missing = [channel for channel in channels if channel not in costs]
    if missing:
        raise InputError(f"There is no cost for channel {missing[0]!r}; give 0 if nothing was spent on it.")
    return np.array([float(costs[channel]) for channel in channels])


def _ends(name: str, interval: str) -> dict[str, str]:
    """A column and that of its interval, with their heads."""
    return {name: _HEADS[name], f"{name}_low": interval}


def _table(frame: pl.DataFrame, heads: Mapping[str, str]) -> Table:
    """Columns of a frame; one that ends in `_low` is shown with its `_high`."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("channel", overflow="fold")
    for name, head in heads.items():
        table.add_column(head, justify="right", no_wrap=True, style="dim" if name.endswith("_low") else None)
    for row in frame.iter_rows(named=True):
        is_total = row["channel"] == TOTAL
        cells = (_cell(row, name, is_total=is_total) for name in heads)
        if is_total:
            table.add_section()
        # Text: a channel named "[b]" is not markup
        table.add_row(Text("total" if is_total else row["channel"]), *cells, style="bold" if is_total else None)
    return table


def _cell(row: Mapping[str, float], name: str, *, is_total: bool) -> str:
    if row[name] is None:
        return "" if name.endswith("_low") else "-"
    if not name.endswith("_low"):
        return f"{row[name]:,.1f}" if name == "conversions" else f"{row[name]:,.2f}"
    return "" if is_total else f"{row[name]:,.2f} to {row[name.replace('_low', '_high')]:,.2f}"

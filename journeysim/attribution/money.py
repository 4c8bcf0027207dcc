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

from journeysim.attribution.uncertainty import as_text
from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from journeysim.attribution.uncertainty import UncertainAttribution
    from journeysim.events import EventLog

    FloatArray = NDArray[np.float64]

TOTAL = "(total)"


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
    attribution : with its draws
    cost : (C,) in the currency of the values, in the order of the channels
    """

    attribution: UncertainAttribution
    cost: FloatArray

    def to_frame(self, level: float = 0.9) -> pl.DataFrame:
        """One row per channel, highest cost first, and one of totals.

        Columns: channel; cost; conversions; cost_per_conversion and return_on_spend (value / cost), each with `_low`
        and `_high`; value. Cost and value are in whole cents, rounded so that their columns add up to the totals (to
        the cent). A cost per conversion is infinite where credit may be none; a return without spend is null.
        """
        found = self.attribution
        point = found.point
        conversions = np.vstack([point.conversions, found.interval(level, of="conversions")[::-1]])
        value = np.vstack([point.value, found.interval(level, of="value")])
        total = [point.total_conversions, point.total_value]
        conversions = np.column_stack([conversions, np.full(3, total[0])])
        value = np.column_stack([value, np.full(3, total[1])])
        cost = np.append(self.cost, self.cost.sum())
        free = cost == 0
        with np.errstate(divide="ignore", invalid="ignore"):
            per_conversion = np.where(conversions > 0, cost / conversions, np.where(free, 0.0, np.inf))
            on_spend = np.where(free, np.nan, value / cost)
        cost_cents, value_cents = whole_cents(self.cost), whole_cents(point.value)
        columns: dict[str, object] = {
            "channel": pl.Series([*found.channels, TOTAL], dtype=pl.String),
            "cost": np.append(cost_cents, cost_cents.sum()) / 100,
            "conversions": conversions[0],
            **{"cost_per_conversion" + suffix: per_conversion[i] for i, suffix in enumerate(("", "_low", "_high"))},
            "value": np.append(value_cents, value_cents.sum()) / 100,
            **{"return_on_spend" + suffix: on_spend[i] for i, suffix in enumerate(("", "_low", "_high"))},
        }
        frame = pl.DataFrame(columns).with_columns(pl.col("^return_on_spend.*$").fill_nan(None))
        channels = frame.head(len(self.cost)).sort("cost", "channel", descending=[True, False])
        return pl.concat([channels, frame.tail(1)])

    def __rich__(self) -> Group:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("channel", overflow="fold")
        heads = (
            "cost",
            "conversions",
            "cost per\nconversion",
            "90% interval",
            "value",
            "return\non spend",
            "90% interval",
        )
        for head in heads:
            table.add_column(head, justify="right", no_wrap=True, style="dim" if "interval" in head else None)
        frame = self.to_frame()
        for row in frame.iter_rows(named=True):
            is_total, spent = row["channel"] == TOTAL, row["return_on_spend"] is not None
            cells: list[str | Text] = [
                Text("total" if is_total else row["channel"]),
                f"{row['cost']:,.2f}",
                f"{row['conversions']:,.1f}",
                f"{row['cost_per_conversion']:,.2f}",
                "" if is_total else f"{row['cost_per_conversion_low']:,.2f} to {row['cost_per_conversion_high']:,.2f}",
                f"{row['value']:,.2f}",
                f"{row['return_on_spend']:,.2f}" if spent else "-",
                f"{row['return_on_spend_low']:,.2f} to {row['return_on_spend_high']:,.2f}"
                if spent and not is_total
                else "",
            ]
            if is_total:
                table.add_section()
            table.add_row(*cells, style="bold" if is_total else None)
        point = self.attribution.point
        notes = [
            "Return on spend: value credited / cost; an average of what happened, not the return on the next spend."
        ]
        if point.untouched_conversions:
            notes.append(
                f"{point.untouched_conversions:,.1f} more conversions had no touch (value {point.untouched_value:,.2f})"
            )
        title = f"Costs and returns, credit by {point.method}, {self.attribution.n_draws:,} draws"
        return Group(Text(title, style="bold"), table, *(Text(f"- {note}") for note in notes))

    def __str__(self) -> str:
        return as_text(self)


def returns(attribution: UncertainAttribution, costs: Mapping[str, float]) -> Returns:
    """Set the costs of channels beside what they are credited with.

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


def whole_cents(amounts: FloatArray) -> NDArray[np.int64]:
    """(C,) whole cents of amounts, rounded so that they add up to the rounded sum.

    Every amount is rounded down; the cents that are missing go to those that lost most (the largest remainders).
    """
    exact = np.asarray(amounts) * 100
    cents = np.floor(exact).astype(np.int64)
    missing = round(float(amounts.sum()) * 100) - int(cents.sum())
    cents[np.argsort(cents - exact, kind="stable")[:missing]] += 1
    return cents

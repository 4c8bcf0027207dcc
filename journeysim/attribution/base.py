"""Attribution: what each channel is credited with, and the protocol of the methods that say so."""

from __future__ import annotations

from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import polars as pl
from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from journeysim.attribution.cents import to_the_cent
from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from journeysim.attribution.uncertainty import UncertainAttribution
    from journeysim.events import EventLog
    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """Conversions and value that a method credits to each channel.

    Attributes
    ----------
    method : name of the method
    settings : the settings it ran with
    channels : the C channel names
    conversions : (C,) conversions credited; they add up to the conversions that had a touch
    value : (C,) value credited, in the currency of the journeys; adds up likewise
    removal_effects, removal_effects_value : (C,) share of conversions and of value lost in the fitted chain without the
        channel; None where the method has none
    untouched_conversions, untouched_value : what happened without any touch; credited to no channel
    notes : what a reader should know, in sentences
    """

    method: str
    settings: Mapping[str, object]
    channels: tuple[str, ...]
    conversions: FloatArray
    value: FloatArray
    removal_effects: FloatArray | None = None
    removal_effects_value: FloatArray | None = None
    untouched_conversions: float = 0.0
    untouched_value: float = 0.0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("conversions", "value", "removal_effects", "removal_effects_value"):
            column = getattr(self, name)
            if column is None:
                continue
            if column.shape != (len(self.channels),):
                raise InputError(f"Attribution: {name} has shape {column.shape} for {len(self.channels)} channels.")
            if not np.isfinite(column).all():
                channel = self.channels[int(np.flatnonzero(~np.isfinite(column))[0])]
                raise InputError(f"Attribution: {name} of {channel!r} is not finite; check method {self.method!r}.")
            column.setflags(write=False)
        object.__setattr__(self, "settings", dict(self.settings))  # ours alone, and it pickles

    @property
    def total_conversions(self) -> float:
        """Conversions credited to all channels together."""
        return float(self.conversions.sum())

    @property
    def total_value(self) -> float:
        """Value credited to all channels together."""
        return float(self.value.sum())

    @property
    def share(self) -> FloatArray:
        """(C,) share of the credited conversions, sums to 1."""
        return self.conversions / self.total_conversions

    def to_frame(self) -> pl.DataFrame:
        """One row per channel, most credited first: channel, conversions, value, share, removal_effect (or null)."""
        effects = [None] * len(self.channels) if self.removal_effects is None else self.removal_effects
        return pl.DataFrame(
            {
                "channel": pl.Series(self.channels, dtype=pl.String),
                "conversions": self.conversions,
                "value": self.value,
                "share": self.share,
                "removal_effect": pl.Series(effects, dtype=pl.Float64),
            }
        ).sort("conversions", "channel", descending=[True, False])

    def __rich__(self) -> Group:
        settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        table = Table(box=box.SIMPLE_HEAD, show_footer=True)
        table.add_column("channel", "total", overflow="fold")
        totals = {
            "conversions": f"{self.total_conversions:,.2f}",
            "value": f"{self.total_value:,.2f}",
            "share": f"{self.share.sum():.1%}",
        }
        if self.removal_effects is not None:
            totals["removal\neffect"] = ""
        for name, total in totals.items():
            table.add_column(name, total, justify="right", no_wrap=True)  # names may wrap, numbers must not
        frame = self.to_frame()
        frame = frame.with_columns(value=to_the_cent(frame["value"].to_numpy()))
        for channel, conversions, value, share, effect in frame.iter_rows():
            numbers = [f"{conversions:,.2f}", f"{value:,.2f}", f"{share:.1%}"]
            effects = [] if effect is None else [f"{effect:.4f}"]
            table.add_row(Text(channel), *numbers, *effects)  # Text: a channel named "[b]" is not markup
        notes = list(self.notes)
        if self.untouched_conversions:
            notes.append(
                f"{self.untouched_conversions:,.2f} more conversions (value {self.untouched_value:,.2f}) had no touch "
                "and are credited to no channel."
            )
        title = f"Attribution by {self.method}" + (f" ({settings})" if settings else "")
        return Group(Text(title, style="bold"), table, *(Text(f"- {note}") for note in notes))

    def __str__(self) -> str:
        console = Console(file=StringIO(), width=100, color_system=None)
        with console.capture() as capture:
            console.print(self)
        return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())


@runtime_checkable
class Attributor(Protocol):
    """A method of attribution: settings in the constructor, data only here, a new result each time."""

    def attribute(self, journeys: Journeys) -> Attribution:
        """Credit the conversions of the journeys to their channels."""
        ...


@runtime_checkable
class LogAttributor(Protocol):
    """A method that needs more than paths: stages, times between moves, what customers did after the purchase."""

    def attribute_log(self, log: EventLog) -> Attribution | UncertainAttribution:
        """Credit the conversions of a log to its channels."""
        ...


def require_conversions(journeys: Journeys) -> None:
    """Refuse journeys without a conversion: no method can credit what did not happen.

    Raises
    ------
    InputError : if no journey with a touch converts
    """
    if journeys.n_conversions == 0:
        raise InputError(
            f"None of the {journeys.n_journeys} journeys with touches converts, so there is nothing to attribute. "
            "Check the column of conversions, or the window in which they are looked for."
        )

"""Truth: what `truth` found, as a tidy frame and as a page for readers."""

from __future__ import annotations

from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

import polars as pl
from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from journeysim.errors import InputError
from journeysim.moves import BASE
from journeysim.simulation.truth_frames import Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from journeysim.simulation.estimates import Shapley

_NOT_KNOWN = "–"


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What the channels of a world really do, with Monte Carlo standard errors.

    Attributes
    ----------
    world, horizon_days, seed, currency : what was simulated
    precision : the largest standard error asked for, as a share of conversions
    largest_error : the largest one reached, of the effects that `truth` lists; NaN if one is unknown
    reached : whether the precision was reached
    n_customers, n_conversions : simulated in the world as it is; each twin has the same customers
    customers_needed : about how many the precision needs, by the error reached; None if unknown
    unit, n_units : what is independent (customer, market), and how many there were
    shapley : how Shapley values were computed, None if they were not; `n_orders` of the channels if sampled
    rows : all numbers, see `to_frame`
    """

    world: str
    horizon_days: float
    seed: int
    currency: str
    precision: float
    largest_error: float
    reached: bool
    n_customers: int
    n_conversions: int
    customers_needed: int | None
    unit: str
    n_units: int
    shapley: Shapley | None
    n_orders: int | None
    rows: tuple[Row, ...]

    def to_frame(self) -> pl.DataFrame:
        """One row per number: question, channel, stage, persona, measure, unit, value, standard_error.

        `truth_frames.MEASURES` defines questions, measures and units. `stage` and `persona` are null where a number is
        of all of them, `channel` where it is of the world; a value is null where it is not defined.
        """
        types = {name: pl.Float64 if name in ("value", "standard_error") else pl.String for name in Row._fields}
        return pl.DataFrame(self.rows, schema=types, orient="row")

    def find(
        self,
        question: str,
        measure: str,
        channel: str | None = None,
        *,
        stage: str | None = None,
        persona: str | None = None,
    ) -> tuple[float | None, float | None]:
        """One number and its standard error.

        Raises
        ------
        InputError : it was not estimated
        """
        wanted = (question, channel, stage, persona, measure)
        for row in self.rows:
            if row[:5] == wanted:
                return row.value, row.standard_error
        known = ", ".join(dict.fromkeys(f"{row.question}: {row.measure}" for row in self.rows))
        raise InputError(
            f"There is no number for {wanted}; there are {known}. Ask `truth` for more with by and shapley."
        )

    @property
    def status(self) -> str:
        """Whether the precision was reached, and with how many customers."""
        asked = f"every standard error at most {self.precision:.3%} of conversions"
        if self.reached:
            return (
                f"Precise as asked ({asked}): the largest is {self.largest_error:.3%} after {self.n_customers:,} "
                f"customers; about {self.customers_needed:,} would have done."
            )
        if self.customers_needed is None:
            return f"NOT as precise as asked ({asked}): nobody converted among {self.n_customers:,} customers."
        return (
            f"NOT as precise as asked ({asked}): the largest is {self.largest_error:.3%} after {self.n_customers:,} "
            f"customers, the most that were allowed. About {self.customers_needed:,} would do."
        )

    def __rich__(self) -> Group:
        title = f"What the channels of {self.world} really do"
        window = f"{self.horizon_days:g} days, seed {self.seed}; each number ± its standard error"
        effects = [
            ("incremental", "conversions", "incremental\neffect"),
            ("causal", "purchases_last_move", "causal:\nlast move"),
            ("causal", "purchases_path", "causal:\npath"),
        ]
        if self.shapley:
            effects.append(("shapley", "conversions", "Shapley\nvalue"))
        money = [
            ("incremental", "revenue", "incremental\nrevenue"),
            ("incremental", "cost_per_conversion", f"{self.currency} per\nconversion"),
            ("incremental", "return_on_spend", "return\non spend"),
        ]
        parts: list[RenderableType] = [Text(title, style="bold"), Text(window), self._channel_table(effects)]
        parts += [Text("Money", style="bold"), self._channel_table(money)]
        for what in ("persona", "stage"):
            if any(getattr(row, what) for row in self.rows):
                parts += [Text(f"By {what}", style="bold"), self._part_table(what)]
        return Group(*parts, *(Text(f"- {note}") for note in self._notes()))

    def __str__(self) -> str:
        console = Console(file=StringIO(), width=100, color_system=None)
        with console.capture() as capture:
            console.print(self)
        return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())

    def _channel_table(self, questions: Sequence[tuple[str, str, str]]) -> Table:
        """A row per channel, the most effective first, then sets of channels and base; a column per (question, measure,
        heading).
        """
        table = _table(("channel",), [heading for *_, heading in questions])
        known = {row[:5]: row for row in self.rows}
        asked = {question for question, *_ in questions}
        names = dict.fromkeys(
            row.channel for row in self.rows if row.channel and row.stage is None and row.question in asked
        )
        effects = {row.channel: row.value or 0.0 for row in self.rows if row[2:5] == (None, None, "conversions")}
        single = {row.channel for row in self.rows if row.question == "causal"} - {BASE}
        for one_channel in (True, False):
            for name in sorted(names, key=lambda name: -effects.get(name, 0.0)):
                if (name in single) == one_channel:
                    cells = (_cell(known.get((question, name, None, None, what))) for question, what, _ in questions)
                    table.add_row(Text(name or ""), *cells)
            table.add_section()
        return table

    def _part_table(self, what: str) -> Table:
        """Effects in each part, channel by channel in the order of the world."""
        measures = ["conversions", "cost_per_conversion", "return_on_spend"]
        headings = ["incremental\neffect", f"{self.currency} per\nconversion", "return\non spend"]
        table = _table(("channel", what), headings)
        known = {row[:5]: row for row in self.rows}
        names = dict.fromkeys(row.channel for row in self.rows if row.question == "incremental")
        for name in names:
            parts = dict.fromkeys(
                row[2:4]
                for row in self.rows
                if row.question == "incremental" and row.channel == name and getattr(row, what)
            )
            for i, (stage, persona) in enumerate(parts):
                cells = (_cell(known["incremental", name, stage, persona, measure]) for measure in measures)
                table.add_row(Text("" if i else name or ""), Text(stage or persona or ""), *cells)
            table.add_section()
        return table

    def _notes(self) -> list[str]:
        rate, error = self.find("world", "conversion_rate")
        revenue, cost = (self.find("world", f"{what}_per_customer")[0] for what in ("revenue", "cost"))
        notes = [
            f"{rate or 0:.2%} ± {error or 0:.2%} of the customers convert; revenue {revenue or 0:,.2f} and cost "
            f"{cost or 0:,.2f} {self.currency} per customer.",
            self.status,
        ]
        if self.unit == "market":
            notes.append(f"Customers of a market act on each other: errors are those of {self.n_units:,} markets.")
        if self.n_orders:
            notes.append(f"Shapley values from {self.n_orders:,} random orders of the channels; errors include that.")
        notes.append(
            "Incremental: share lost without the channel. Causal: who caused the moves to purchases. They answer "
            "different questions and need not agree."
        )
        if any(row.value is None and row.measure == "cost_per_conversion" for row in self.rows):
            notes.append(f"{_NOT_KNOWN}: not defined, or divided by what is within three standard errors of 0.")
        return notes


def _table(labels: Sequence[str], headings: Sequence[str]) -> Table:
    """An empty table of names on the left and numbers on the right; names may wrap, numbers must not."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for name in labels:
        table.add_column(name, overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _cell(row: Row | None) -> str:
    """A number with its standard error, as its unit deserves."""
    if row is None:
        return ""
    if row.value is None:
        return _NOT_KNOWN
    error = row.standard_error
    if row.unit == "share":
        return f"{row.value:.1%}" + ("" if error is None else f" ±{100 * error:.1f}")
    digits = 2 if abs(row.value) < 10 else 1 if abs(row.value) < 1000 else 0
    return f"{row.value:,.{digits}f}" + ("" if error is None else f" ±{error:,.{digits}f}")

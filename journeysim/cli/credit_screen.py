"""What an attribution shows in a terminal of 80 columns: credit, its intervals, costs and returns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from journeysim.attribution import UncertainAttribution
from journeysim.attribution.cents import to_the_cent
from journeysim.attribution.credit import outside_note

if TYPE_CHECKING:
    import polars as pl
    from rich.console import RenderableType

    from journeysim.attribution.credit import Credit
    from journeysim.markov import OrderChoice


def credit_screens(credit: Credit) -> list[RenderableType]:
    """A screen per segment, its money below it; then the notes of intervals and of the order."""
    screens: list[RenderableType] = []
    for part, found in credit.parts.items():
        if credit.by:
            screens.append(Text(f"{credit.by}: {part}", style="bold reverse"))
        screens.append(_uncertain(found, credit.level) if isinstance(found, UncertainAttribution) else found)
        if part in credit.money:
            screens.append(credit.money[part].screen(credit.level))
    if credit.choice is not None:
        screens.append(Group(Text("Which order?", style="bold"), Text(str(credit.choice)), _curve(credit.choice)))
    return screens


def incremental_returns(returns: pl.DataFrame) -> Table:
    """What an incremental conversion costs and a unit of spend returns, after lift tests, with 90% intervals."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("channel", overflow="fold", min_width=10)
    for head in ("cost", "per caused\nconversion", "90% interval", "return on\nspend", "90% interval"):
        table.add_column(head, justify="right", no_wrap=True, style="dim" if "interval" in head else None)
    for row in returns.iter_rows(named=True):
        cells = [f"{row['cost']:,.2f}"]
        for name in ("after_cost_per_conversion", "after_return_on_spend"):
            low, high = (_amount(row[f"{name}_{end}"]) for end in ("low", "high"))
            cells += [_amount(row[name]), "" if low == high else f"{low} to {high}"]
        table.add_row(Text(row["channel"]), *cells)
    return table


def _amount(number: float | None) -> str:
    if number is None:
        return "–"
    return "∞" if math.isinf(number) else f"{number:,.0f}" if abs(number) >= 100 else f"{number:,.2f}"


def _uncertain(found: UncertainAttribution, level: float) -> Group:
    """Conversions and ranks, then value and removal effects, each with their intervals."""
    point = found.point
    frame = found.to_frame(level)
    frame = frame.with_columns(value=to_the_cent(frame["value"].to_numpy()))
    interval = f"{level:.0%} interval"
    count = ",.0f" if point.total_conversions >= 1_000 else ",.1f"
    credit = _table(
        ("conversions", f"{point.total_conversions:{count}}"), (interval, ""), ("share", "100.0%"), ("first", "")
    )
    has_value, has_effects = bool(point.value.any()), found.removal_effects is not None
    worth = [("value", f"{point.total_value:,.2f}"), (interval, "")] if has_value else []
    effects = [("removal\neffect", ""), (interval, "")] if has_effects else []
    more = _table(*worth, *effects)
    for row in frame.iter_rows(named=True):
        name = Text(row["channel"])  # a channel named "[b]" is not markup
        credit.add_row(
            name,
            f"{row['conversions']:{count}}",
            f"{row['conversions_low']:{count}} to {row['conversions_high']:{count}}",
            f"{row['share']:z.1%}",
            f"{row['p_first']:.0%}",
        )
        ends = ",.0f" if abs(point.total_value) >= 10_000 else ",.2f"
        cells = (
            [f"{row['value']:,.2f}", f"{row['value_low']:{ends}} to {row['value_high']:{ends}}"] if has_value else []
        )
        if has_effects:
            low, high = row["removal_effect_low"], row["removal_effect_high"]
            cells += [f"{row['removal_effect']:.3f}", f"{low:.3f} to {high:.3f}"]
        more.add_row(name, *cells)
    settings = ", ".join(f"{name}={value}" for name, value in point.settings.items())
    made = ", ".join(f"{name}={value}" for name, value in found.settings.items())
    title = f"Attribution by {point.method}" + (f" ({settings})" if settings else "")
    notes = [
        f"{found.n_draws:,} draws of the {found.source} ({made}). The totals are known; the split is uncertain.",
        "First: in how many of the draws no channel is credited with more.",
        *point.notes,
        *found.notes,
        *outside_note(found, level),
    ]
    if point.untouched_conversions:
        notes.append(
            f"{point.untouched_conversions:,.6g} more conversions (value {point.untouched_value:,.2f}) had no touch "
            "and are credited to no channel."
        )
    tables = [credit, more] if has_value or has_effects else [credit]
    return Group(Text(title, style="bold"), *tables, *(Text(f"- {note}") for note in notes))


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_footer=any(foot for _, foot in columns), padding=(0, 1, 0, 0))
    table.add_column("channel", "total", overflow="fold")
    for head, foot in columns:
        table.add_column(head, foot, justify="right", no_wrap=True, style="dim" if "interval" in head else None)
    return table


def _curve(choice: OrderChoice) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in ("order", "log-likelihood\nper journey", "standard error\nto the best", "BIC", "contexts"):
        table.add_column(head, justify="right")
    for row in choice.curve.iter_rows(named=True):
        table.add_row(
            str(row["order"]),
            f"{row['log_likelihood']:.4f}" + (" *" if row["best_cross_validation"] else "  "),
            f"{row['standard_error']:.4f}",
            f"{row['bic']:,.0f}" + (" *" if row["best_bic"] else "  "),
            f"{row['n_contexts']:,}",
        )
    return table

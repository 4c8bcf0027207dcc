"""Credit, forecasts and comparisons as tables in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from journeysim.cli.terminal import out, print_by_scenario, print_title

if TYPE_CHECKING:
    import polars as pl


def print_credit(credit: pl.DataFrame) -> None:
    """Shares of conversions by channel, a column for each method."""
    print_title("Who gets the credit? Shares of conversions beside the truth")
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("", overflow="fold")
    for name in credit.columns[1:]:
        table.add_column(name.replace("_", "\n"), justify="right", no_wrap=True)
    for channel, *shares in credit.iter_rows():
        table.add_row(Text(channel), *(f"{share:.1%}" for share in shares))
    out.print(table)


def print_forecasts(forecasts: pl.DataFrame) -> None:
    """Each scenario with what it changes, in percentage points (pp)."""
    from journeysim.sections import NOTHING_TO_IMPROVE

    print_title("What if? Forecasts with 90% intervals")
    if forecasts.is_empty():
        out.print(NOTHING_TO_IMPROVE, markup=False)
        return
    rows = [
        (
            row["scenario"],
            f"{row['measure']}, {row['days']:g} days",
            f"{row['baseline']:.2%}",
            f"{row['forecast']:.2%}",
            *(
                ("not seen" if row["unseen"] else "no change", "")
                if row["p_improves"] is None
                else (f"{100 * row['difference']:+.2f}", f"{100 * row['low']:+.2f} to {100 * row['high']:+.2f}")
            ),
        )
        for row in forecasts.iter_rows(named=True)
    ]
    print_by_scenario(("baseline", "forecast", "change, pp", "90% interval"), rows)


def print_comparison(comparison: pl.DataFrame) -> None:
    """Forecast and simulation of the same changes."""
    from journeysim.sections import WHY_THEY_DIFFER

    print_title("The simulator's word on the same scenarios: changes in pp")
    rows = [
        (
            row["scenario"],
            row["measure"],
            *(f"{100 * row[name]:+.2f}" for name in ("forecast", "simulated")),
            f"{100 * row['joint_error']:.2f}",
            f"{row['z']:+.1f}",
            "yes" if row["agrees"] else "no",
        )
        for row in comparison.iter_rows(named=True)
    ]
    print_by_scenario(("forecast", "simulated", "joint error", "z", "agree"), rows)
    if not comparison["agrees"].all():
        out.print(f"\n{WHY_THEY_DIFFER}", highlight=False, markup=False)

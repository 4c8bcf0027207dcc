"""Credit, forecasts, comparisons, KPIs and funnels as tables in a terminal."""

from __future__ import annotations

import numpy as np
import polars as pl
from rich import box
from rich.cells import cell_len, set_cell_size
from rich.table import Table
from rich.text import Text

from journeysim.cli.terminal import out, print_by_scenario, print_hanging, print_line, print_title

MOST_REASONS = 4  # of loss, for a stage
LEAST_SHARE = 0.005  # of losses: below that a reason would show as 0%


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
    from journeysim.forecasts import signed
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
                else (
                    signed(100 * row["difference"]),
                    f"{signed(100 * row['low'])} to {signed(100 * row['high'])}",
                )
            ),
        )
        for row in forecasts.iter_rows(named=True)
    ]
    print_by_scenario(("baseline", "forecast", "change, pp", "90% interval"), rows)


def print_comparison(comparison: pl.DataFrame) -> None:
    """Forecast and simulation of the same changes."""
    from journeysim.forecasts import signed
    from journeysim.sections import WHY_THEY_DIFFER

    print_title("The simulator's word on the same scenarios: changes in pp")
    rows = [
        (
            row["scenario"],
            row["measure"],
            *(signed(100 * row[name]) for name in ("forecast", "simulated")),
            f"{100 * row['joint_error']:.2f}",
            f"{row['z']:+z.1f}",
            "yes" if row["agrees"] else "no",
        )
        for row in comparison.iter_rows(named=True)
    ]
    print_by_scenario(("forecast", "simulated", "joint error", "z", "agree"), rows)
    if not comparison["agrees"].all():
        out.print(f"\n{WHY_THEY_DIFFER}", highlight=False, markup=False)


def print_kpis(figures: pl.DataFrame, *, currency: str | None) -> None:
    """KPIs as rows: of one segment with intervals, of several side by side, as many as fit."""
    from journeysim.sections import in_unit, in_words

    names = [name for name in ("segment", "period") if name in figures.columns]
    figures = figures.filter(pl.col("value").is_not_null().any().over("kpi"))
    parts = figures.partition_by(names, maintain_order=True)
    first = parts[0]
    labels = [in_words(name) for name in first["kpi"]]
    columns = [
        (
            " ".join(name for name in part.select(names).row(0) if len(names) == 1 or name != "all"),
            [in_unit(value, unit) for value, unit in part.select("value", "unit").iter_rows()],
        )
        for part in parts
    ]
    if len(parts) == 1:
        bounds = [
            "" if low is None or high is None else f"{in_unit(low, unit)} to {in_unit(high, unit)}"
            for low, high, unit in first.select("low", "high", "unit").iter_rows()
        ]
        columns.append(("95% interval", bounds))
    widths = [max(map(cell_len, (heading, *cells))) + 3 for heading, cells in columns]  # with the gap
    n_fit = max(1, int(np.searchsorted(np.cumsum(widths), out.width - max(map(len, labels)) - 4, side="right")))

    print_title(f"KPIs{f', money in {currency}' if currency else ''}")
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("", no_wrap=True)
    for heading, _ in columns[:n_fit]:
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for label, *cells in zip(labels, *(cells for _, cells in columns[:n_fit]), strict=True):
        table.add_row(label, *cells)
    out.print(table)
    if n_fit < len(columns):
        print_line(f"{n_fit} of {len(parts)} segments are shown; --out writes all, with their intervals.")
    elif len(parts) > 1:
        print_line("--out writes them with their intervals.")


def print_funnel(stages: pl.DataFrame, reasons: pl.DataFrame) -> None:
    """What became of those who entered each stage, then the main reasons of loss, a line per stage."""
    columns = ["entries", "customers", "forward", "back", "lost", "lapsed", "still_there"]
    if not stages["lapsed"].sum():
        columns.remove("lapsed")
    print_title("Funnel: what became of those who entered each stage")
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 0, 0, 1))
    table.add_column("", no_wrap=True, min_width=6)
    for name in (*columns, "drop_off"):
        table.add_column(name.replace("_", "\n"), justify="right", no_wrap=True)
    for row in stages.iter_rows(named=True):
        drop_off = "–" if row["drop_off"] is None else f"{row['drop_off']:.1%}"
        table.add_row(Text(row["stage"]), *(f"{row[name]:,}" for name in columns), drop_off)
    out.print(table)
    reasons = reasons.filter(pl.col("lost") > 0)
    if reasons.is_empty():
        return
    by_cause = reasons["evidence"][0] == "cause"
    print_title(
        "Why they left: causes, as shares of those who left (base: nothing in particular)"
        if by_cause
        else "What they had met before they left: no causes, some would have left anyway, and shares overlap"
    )
    width = max(map(cell_len, reasons["stage"]))
    for (stage,), rows in reasons.group_by("stage", maintain_order=True):
        rows = rows.filter(pl.col("share_of_lost") >= LEAST_SHARE)
        told = [f"{reason} {share:.0%}" for reason, share in rows.select("reason", "share_of_lost").iter_rows()]
        more = f", {len(told) - MOST_REASONS} more" if len(told) > MOST_REASONS else ""
        print_hanging(f"  {set_cell_size(str(stage), width)}   ", f"{', '.join(told[:MOST_REASONS])}{more}")

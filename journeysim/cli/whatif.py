"""`journeysim whatif`: scenarios on a world, what they change and what comes of it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from journeysim.cli.app import Seed
from journeysim.cli.terminal import out, print_by_scenario, print_hanging, print_line, print_title, progress, say_where
from journeysim.cli.workers import Processes, Threads, compile_first, executor_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from journeysim.simulation import SimulatedChange

LONGEST = 24
"""Characters of a value that still stands beside its field."""

FEW = 10
"""Independent markets below which a standard error is itself a guess."""


def whatif(
    world: Annotated[str, typer.Argument(help="Name of a packaged world, or a YAML file.")],
    scenario: Annotated[list[Path], typer.Option(help="Scenario as YAML; may be given several times.")],
    customers: Annotated[int, typer.Option(min=2, help="How many to simulate, with and without each.")] = 100_000,
    conversion_days: Annotated[
        float | None, typer.Option(help="Horizon of conversion; by default the world's window.")
    ] = None,
    retention_days: Annotated[float, typer.Option(help="Horizon of retention after the first purchase.")] = 30.0,
    seed: Seed = 1,
    threads: Threads = None,
    processes: Processes = None,
    out_file: Annotated[Path | None, typer.Option("--out", help="New CSV file for the differences.")] = None,
) -> None:
    """Simulate a world with and without scenarios: what they change, and what comes of it.

    The same customers meet both versions of the world, on the same random draws.

    \b
    Examples:
      journeysim whatif considered-purchase --scenario fewer-mails.yaml
      journeysim whatif my-world.yaml --scenario a.yaml --scenario b.yaml --out differences.csv
    """
    from journeysim import worlds
    from journeysim.new_outputs import new_file
    from journeysim.scenario import Scenario
    from journeysim.simulation import changes_table, simulate, simulate_changes
    from journeysim.simulation.whatif import changed_worlds

    chosen = worlds.load(world)
    scenarios = [Scenario.from_yaml(path) for path in scenario]
    days = chosen.horizon_days if conversion_days is None else conversion_days
    asked: dict[str, Any] = {
        "n_customers": customers,
        "conversion_days": days,
        "retention_days": retention_days,
        "seed": seed,
    }
    versions = [chosen, *changed_worlds(chosen, scenarios, **asked)]
    with executor_of(processes, threads) as executor, new_file(out_file) if out_file else nullcontext() as unfinished:
        print_changes({each.name: each.what_changes(chosen) for each in scenarios})
        with progress() as on_progress:
            compiled = [version for version in versions if not version.has_desks]
            if compiled:
                compile_first(on_progress, lambda: simulate(compiled[0], n_customers=1, horizon_days=1.0, seed=1))
            found = simulate_changes(
                chosen,
                scenarios,
                **asked,
                executor=executor,
                threads=threads,
                on_progress=lambda done: on_progress("customers", done, len(versions) * customers),
            )
        if unfinished is not None:
            changes_table(found).write_csv(unfinished)
    print_differences(found, conversion_days=days, retention_days=retention_days, currency=chosen.currency)
    if out_file is not None:
        say_where(out_file)


def print_changes(tables: dict[str, pl.DataFrame]) -> None:
    """For each scenario what it changes in the world, before and after; long values on lines of their own."""
    print_title("What changes")
    for name, table in tables.items():
        print_line(f"  {name}", style="bold")
        if table.is_empty():
            print_line("    nothing: the world is so already")
        rows = [
            (part if part == "world" else f"{part} {of}", field, _shown(before), _shown(after))
            for part, of, field, before, after in table.iter_rows()
        ]
        short = [max(len(before), len(after)) <= LONGEST for *_, before, after in rows]
        width = max((len(f"{row[0]}: {row[1]}") for row, fits in zip(rows, short, strict=True) if fits), default=0)
        for (part, field, before, after), fits in zip(rows, short, strict=True):
            label = f"{part}: {field}"
            if fits:
                print_line(f"    {label:<{width}}   {before} -> {after}")
            else:
                print_line(f"    {label}")
                print_hanging("        ", before)
                print_hanging("     -> ", after)


def print_differences(
    changes: Sequence[SimulatedChange], *, conversion_days: float, retention_days: float, currency: str
) -> None:
    """For each scenario and measure the baseline, the change and its standard error."""
    total = f"{conversion_days + retention_days:g} days"
    labels = {
        "conversion": f"conversion, {conversion_days:g} days",
        "retention": f"retention, {retention_days:g} days",
        "purchases": f"purchases a head, {total}",
        "revenue": f"revenue, {total}",
        "cost": f"cost of contacts, {total}",
        "profit": f"profit, {total}",
    }
    print_title("What comes of it")
    rows = []
    for change in changes:
        for measure, label in labels.items():
            numbers = (getattr(change, f"{measure}{part}") for part in ("_baseline", "", "_error"))
            shown = _shares if measure in ("conversion", "retention") else _money
            rows.append((change.scenario, label, *shown(*numbers)))
    print_by_scenario(("baseline", "change", "standard error"), rows)
    one = changes[0]
    said = [
        f"{one.n_customers:,} customers in each version of the world. Conversion is the share of customers who "
        "purchase in time, retention the share of these who are still customers so long after the first purchase; both "
        f"change in percentage points (pp). Money is {currency} per customer; profit is revenue minus the "
        "cost of contacts (no goods, no wages)."
    ]
    coupled = [change for change in changes if change.n_independent < change.n_customers]
    if coupled:
        few = ", which are few." if coupled[0].n_independent < FEW else "."
        said.append(
            "Where customers influence each other (word of mouth, desks), errors rest on "
            f"{coupled[0].n_independent} independent markets{few}"
        )
    for sentence in said:
        out.print()
        out.print(Text(sentence))


def _shown(value: str | None) -> str:
    """JSON as it is, but for numbers, which get six digits; what a mapping does not name is a dash."""
    if value is None or value == "null":
        return "-"
    return f"{float(value):.6g}" if value[0] in "-0123456789" else value


def _shares(baseline: float, change: float, error: float) -> tuple[str, str, str]:
    from journeysim.forecasts import signed

    if baseline != baseline or change != change:  # nobody purchased
        return "unknown", "unknown", "unknown"
    return f"{baseline:.2%}", f"{signed(100 * change)} pp", f"{100 * error:.2f} pp"


def _money(baseline: float, change: float, error: float) -> tuple[str, str, str]:
    return f"{baseline:z,.2f}", f"{change:+,.2f}" if round(change, 2) else "0.00", f"{error:,.2f}"

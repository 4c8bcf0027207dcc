"""The command line. Exit codes: 0 done, 1 a fault of the program, 2 a fault of the input."""

from __future__ import annotations

import errno
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from journeysim.errors import InputError
from journeysim.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl

    from journeysim.outputs import OnProgress

out = Console()
err = Console(stderr=True)


class _Terminated(BaseException):
    """SIGTERM. Not a KeyboardInterrupt, which samplers may take as "enough draws"."""


@contextmanager
def _termination_raises() -> Iterator[None]:
    """Let SIGTERM unwind the stack like an interrupt, so that unfinished outputs are removed."""
    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        yield
        return

    def terminate(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one shall not stop the tidying up
        raise _Terminated

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


class _Commands(TyperGroup):
    """Tells what went wrong in one message, without a traceback; a fault of the program itself keeps its own."""

    def invoke(self, ctx: Any) -> object:
        try:
            with _termination_raises():
                return super().invoke(ctx)
        except InputError as error:
            _fail(str(error), exit_code=2)
        except KeyboardInterrupt:
            _fail("interrupted; nothing was written.", exit_code=130)
        except _Terminated:
            _fail("terminated; nothing was written.", exit_code=143)
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever was reading has seen enough
                raise
            _fail(str(error), exit_code=1)


def _fail(message: str, *, exit_code: int) -> NoReturn:
    err.print(f"[bold red]Error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(exit_code)


app = typer.Typer(
    name="journeysim",
    cls=_Commands,
    help="Simulate customer journeys, attribute conversions to channels, forecast what an improvement would do.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Seed = Annotated[int, typer.Option(help="The same seed gives the same result on every machine.")]


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"journeysim {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


@app.command()
def demo(
    out_dir: Annotated[Path, typer.Option("--out", help="New directory for the log, the tables and report.html.")],
    customers: Annotated[int, typer.Option(min=1_000, help="How many to simulate.")] = 100_000,
    seed: Seed = 1,
) -> None:
    """Simulate a packaged world, attribute, fit and forecast, and hold every answer against the known truth.

    \b
    Example:
      journeysim demo --out out/demo
    """
    from journeysim.demo import run_demo

    with _progress() as on_progress:
        found = run_demo(out_dir, n_customers=customers, seed=seed, on_progress=on_progress)
    out.print(f"{found.n_events:,} events simulated.", highlight=False)
    _print_credit(found.credit)
    _print_forecasts(found.forecasts)
    _print_comparison(found.comparison)
    _say_where(out_dir)


@app.command()
def simulate(
    world: Annotated[str, typer.Argument(help="Name of a packaged world, or a YAML file.")],
    out_dir: Annotated[Path, typer.Option("--out", help="New directory for the log.")],
    customers: Annotated[int, typer.Option(min=1, help="How many to simulate.")] = 10_000,
    days: Annotated[float, typer.Option(help="Length of the window.")] = 180.0,
    seed: Seed = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="By default one per core; never changes the log.")] = None,
) -> None:
    """Simulate a world and write its event log (Parquet).

    \b
    Examples:
      journeysim simulate considered-purchase --customers 100000 --days 180 --seed 1 --out out/log
      journeysim simulate my-world.yaml --out out/mine
    """
    from journeysim import worlds
    from journeysim.log_files import fill_log_directory, new_directory
    from journeysim.simulation import simulate as run

    chosen = worlds.load(world)
    with new_directory(out_dir) as folder:
        run(chosen, n_customers=1, horizon_days=1.0, seed=seed)  # compile before the clock starts
        with _progress() as on_progress:
            began = time.perf_counter()
            log = run(
                chosen,
                n_customers=customers,
                horizon_days=days,
                seed=seed,
                threads=threads,
                on_progress=lambda done: on_progress("simulate", done, customers),
            )
            seconds = time.perf_counter() - began
        fill_log_directory(log, folder)
    out.print(
        f"{log.n_events:,} events of {customers:,} customers in {seconds:.2f} s "
        f"({seconds / log.n_events * 1e9:.0f} ns per event, writing not counted)\nhash {log.hash()}",
        highlight=False,
        soft_wrap=True,
    )
    _say_where(out_dir)


@app.command()
def attribute(
    file: Annotated[Path, typer.Argument(help="Aggregated paths (CSV, Parquet), or an event log of journeysim.")],
    method: Annotated[str, typer.Option(help="markov, first_touch, last_touch, linear, ...")] = "markov",
    order: Annotated[
        int | None, typer.Option(min=1, help="Of the Markov chain: how many touches it remembers.")
    ] = None,
    out_file: Annotated[Path | None, typer.Option("--out", help="New CSV file for the result.")] = None,
    separator: Annotated[str, typer.Option(help="What stands between two channels of a path.")] = " > ",
) -> None:
    """Credit conversions to channels.

    Reads ChannelAttribution's format (path, total_conversions, total_conversion_value, total_null) or the directory of
    a log that `simulate` wrote.

    \b
    Examples:
      journeysim attribute paths.csv --order 2
      journeysim attribute paths.csv --method linear --out linear.csv
      journeysim attribute out/log --method time_decay
    """
    from journeysim.attribution import RemovalEffect
    from journeysim.attribution import attribute as run
    from journeysim.interop import read_paths
    from journeysim.journeys import to_journeys
    from journeysim.log_files import new_file, read_log

    if order is not None and method != "markov":
        raise InputError(f"--order belongs to --method markov, not to {method!r}. Leave one of them out.")
    journeys = to_journeys(read_log(file)) if file.is_dir() else read_paths(file, separator=separator)
    result = run(journeys, RemovalEffect(order=order or 1) if method == "markov" else method)
    if out_file is not None:
        with new_file(out_file) as unfinished:
            result.to_frame().write_csv(unfinished)
    out.print(result)
    if out_file is not None:
        _say_where(out_file)


@app.command()
def analyze(
    events: Annotated[Path, typer.Argument(help="Event log: CSV, gzipped CSV or Parquet.")],
    map_file: Annotated[Path, typer.Option("--map", help="YAML: what the columns and event names mean.")],
    out_dir: Annotated[Path, typer.Option("--out", help="New directory for tables and report.html.")],
    by: Annotated[str | None, typer.Option(help="Segment: one of the columns under `segments` in the map.")] = None,
    scenario: Annotated[list[Path] | None, typer.Option(help="Scenario as YAML; may be given several times.")] = None,
    conversion_days: Annotated[float, typer.Option(help="Horizon of conversion.")] = 90.0,
    retention_days: Annotated[float, typer.Option(help="Horizon of retention after the first purchase.")] = 30.0,
    seed: Seed = 1,
) -> None:
    """Analyze a real event log: attribution, stage model, and what losing fewer customers would do.

    \b
    Example (data and map come with the source):
      journeysim analyze journeysim/datasets/retentioneering_ecom.csv.gz \\
        --map journeysim/datasets/retentioneering_ecom.yaml --out out/shop
    """
    from journeysim.analysis import run_analysis
    from journeysim.event_map import EventMap, read_events
    from journeysim.scenario import Scenario

    event_map = EventMap.from_yaml(map_file)
    scenarios = [Scenario.from_yaml(path) for path in scenario or ()]
    log = read_events(events, event_map)
    with _progress() as on_progress:
        found = run_analysis(
            log,
            out_dir,
            title=f"What {events.name} says",
            by=by,
            scenarios=scenarios,
            conversion_days=conversion_days,
            retention_days=retention_days,
            seed=seed,
            on_progress=on_progress,
        )
    if found.attribution is not None:
        out.print(found.attribution)
    _print_forecasts(found.forecasts)
    out.print()
    for sentence in found.check:
        out.print(sentence, highlight=False, markup=False)
    _say_where(out_dir)


@app.command()
def worlds(
    name: Annotated[str | None, typer.Argument(help="A packaged world, or a YAML file; by default lists all.")] = None,
) -> None:
    """List the packaged worlds, or print one as YAML, to be changed and simulated.

    \b
    Examples:
      journeysim worlds
      journeysim worlds considered-purchase > my-world.yaml
    """
    from journeysim import worlds as packaged

    if name is not None:
        sys.stdout.write(packaged.source(name))
        return
    for each in packaged.names():
        world = packaged.load(each)
        out.print(Text(world.name, style="bold"))
        out.print(
            f"  {world.title}\n  {len(world.stages)} stages, {len(world.channels)} channels, "
            f"{len(world.personas)} personas, {len(world.pain_points)} pain points",
            highlight=False,
            markup=False,
        )


@contextmanager
def _progress() -> Iterator[OnProgress]:
    """Bars in a terminal, nothing elsewhere."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal) as bars:
        tasks: dict[str, int] = {}

        def on_progress(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done)  # type: ignore[arg-type]

        yield on_progress


def _print_credit(credit: pl.DataFrame) -> None:
    """Shares of conversions by channel, a column for each method."""
    _print_title("Who gets the credit? Shares of conversions beside the truth")
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("", overflow="fold")
    for name in credit.columns[1:]:
        table.add_column(name.replace("_", "\n"), justify="right", no_wrap=True)
    for channel, *shares in credit.iter_rows():
        table.add_row(Text(channel), *(f"{share:.1%}" for share in shares))
    out.print(table)


def _print_forecasts(forecasts: pl.DataFrame) -> None:
    """Each scenario with what it changes, in percentage points (pp)."""
    from journeysim.sections import NOTHING_TO_IMPROVE

    _print_title("What if? Forecasts with 90% intervals")
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
    _print_by_scenario(("baseline", "forecast", "change, pp", "90% interval"), rows)


def _print_comparison(comparison: pl.DataFrame) -> None:
    """Forecast and simulation of the same changes."""
    from journeysim.sections import WHY_THEY_DIFFER

    _print_title("The simulator's word on the same scenarios: changes in pp")
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
    _print_by_scenario(("forecast", "simulated", "joint error", "z", "agree"), rows)
    if not comparison["agrees"].all():
        out.print(f"\n{WHY_THEY_DIFFER}", highlight=False, markup=False)


def _print_by_scenario(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows of scenario, label and numbers; the name of a scenario stands above its rows and may be of any length."""
    widths = [max(map(len, column)) for column in zip(*(row[1:] for row in rows), strict=True)]
    widths = [max(pair) for pair in zip(widths, map(len, ("", *headings)), strict=True)]

    def line(label: str, *numbers: str) -> str:
        cells = (number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True))
        return "   ".join((f"    {label:<{widths[0]}}", *cells)).rstrip()

    _print_line(line("", *headings), style="bold")
    scenario = None
    for name, *cells in rows:
        if name != scenario:
            _print_line(f"  {name}", style="bold")
            scenario = name
        _print_line(line(*cells))


def _print_title(title: str) -> None:
    _print_line(f"\n{title}", style="bold")


def _print_line(text: str, style: str = "") -> None:
    out.print(Text(text, style=style), soft_wrap=True)


def _say_where(path: Path) -> None:
    _print_line(f"\nWritten: {path}")


if __name__ == "__main__":
    app()

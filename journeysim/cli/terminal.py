"""What a terminal shows: output and errors, bars, titles, tables."""

from __future__ import annotations

import textwrap
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.progress import Task

    from journeysim.outputs import OnProgress

out = Console()
err = Console(stderr=True)


class _HowFar(ProgressColumn):
    """What is done of how much; empty for a step in one piece, or of unknown length."""

    def render(self, task: Task) -> Text:
        in_pieces = task.total is not None and task.total > 1
        return Text(f"{task.completed:,.0f} of {task.total:,.0f}" if in_pieces else "")


class _Left(TimeRemainingColumn):
    """The time that is left; empty where nothing is, or nobody can say."""

    def render(self, task: Task) -> Text:
        is_running = task.total is not None and task.total > 1 and not task.finished
        return super().render(task).append(" left") if is_running else Text("")


@contextmanager
def progress() -> Iterator[OnProgress]:
    """Bars in a terminal, nothing elsewhere."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        _HowFar(),
        TimeElapsedColumn(),
        _Left(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal) as bars:
        tasks: dict[str, int] = {}

        def on_progress(step: str, done: int, total: int) -> None:
            known = total or None  # of what has no total the bar runs to and fro
            if step not in tasks:  # what was done before the first call does not count for the speed
                tasks[step] = bars.add_task(step, total=known, completed=done)
            bars.update(tasks[step], completed=done, total=known)  # type: ignore[arg-type]

        yield on_progress


@contextmanager
def step(on_progress: OnProgress, name: str) -> Iterator[None]:
    """A part of a command that cannot say how far it is: its bar runs, and is full at the end."""
    on_progress(name, 0, 0)
    yield
    on_progress(name, 1, 1)


def print_by_scenario(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows of scenario, label and numbers; the name of a scenario stands above its rows and may be of any length."""
    widths = [max(map(len, column)) for column in zip(*(row[1:] for row in rows), strict=True)]
    widths = [max(pair) for pair in zip(widths, map(len, ("", *headings)), strict=True)]

    def line(label: str, *numbers: str) -> str:
        cells = (number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True))
        return "   ".join((f"    {label:<{widths[0]}}", *cells)).rstrip()

    print_line(line("", *headings), style="bold")
    scenario = None
    for name, *cells in rows:
        if name != scenario:
            print_line(f"  {name}", style="bold")
            scenario = name
        print_line(line(*cells))


def print_title(title: str) -> None:
    """A heading after an empty line, folded where it is longer than a line."""
    out.print(Text(f"\n{title}", style="bold"))


def print_hanging(label: str, text: str) -> None:
    """A text behind its label, folded below its own beginning."""
    room = max(out.width - cell_len(label), 20)
    first, *rest = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    print_line(f"{label}{first}")
    for line in rest:
        print_line(f"{' ' * cell_len(label)}{line}")


def print_line(text: str, style: str = "") -> None:
    """A line as it is: names are no markup, and nothing is folded."""
    out.print(Text(text, style=style), soft_wrap=True)


def say_where(*paths: Path) -> None:
    """Where the results stand."""
    for i, path in enumerate(paths):
        print_line(f"Written: {path}" if i else f"\nWritten: {path}")

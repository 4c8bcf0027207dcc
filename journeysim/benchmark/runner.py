"""run_benchmark: every method on every sample of every world, over any Executor, resumable."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from journeysim.benchmark import peak_memory
from journeysim.benchmark.cases import Case, content_key
from journeysim.benchmark.contestants import Contestant, Sample, SkipError, answer_of, draw_sample
from journeysim.benchmark.grid import Plan, settings_text
from journeysim.benchmark.known_truth import KnownTruth, truth_key, truth_of
from journeysim.benchmark.rows import CRASHED, RAN, SKIPPED, Row, RowFile
from journeysim.benchmark.scoring import score
from journeysim.errors import InputError
from journeysim.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import polars as pl

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Cell:
    """A method on one sample of one world; `key` is a hash of all that decides its numbers."""

    case: Case
    contestant: Contestant
    customers: int
    seed: int
    level: float
    key: str


@dataclass(frozen=True, slots=True)
class Task:
    """All methods that are still to run on one sample: what is sent to a worker."""

    case: Case
    customers: int
    seed: int
    cells: tuple[Cell, ...]
    folders: tuple[Path, ...]


def run_benchmark(
    plan: Plan,
    out: str | Path,
    *,
    executor: Executor | None = None,
    truths: Sequence[str | Path] = (),
    on_progress: Callable[[int, int, str], None] | None = None,
) -> pl.DataFrame:
    """Run what the folder `out` does not have yet; all rows of the plan.

    A method that cannot do a world skips with its reason, one that raises is a row with what it said; neither stops the
    run. Rows are appended to `out`/rows.csv when the methods of a sample are through. The numbers do not depend on the
    executor, nor on being interrupted; seconds and memory do.

    Parameters
    ----------
    executor : any `concurrent.futures.Executor`; by default the work is done here, one thing after the other. Seconds
        of one method mean something with processes that have a core each
    truths : folders that may have the truth of a world already; missing ones are measured and go to `out`/truth
    on_progress : called with cells done, cells in all, and what was done last

    Raises
    ------
    InputError : a method is unknown or cannot be made, another run writes to the folder, or a truth cannot be measured
    """
    out = Path(out)
    for contestant in plan.contestants:
        contestant.made()  # says now what is wrong with it
    folders = (*map(Path, truths), out / "truth")
    file = RowFile(out)
    tell = on_progress or (lambda _done, _total, _what: None)
    with file.alone():
        known = file.open()
        keys = {case.name: truth_key(case) for case in plan.cases}
        cells = [*_cells(plan, keys)]
        todo = [cell for cell in cells if cell.key not in known]
        total = len(cells)
        done = total - len(todo)
        needed = {keys[cell.case.name]: cell.case for cell in todo}
        tell(done, total, "resumed" if done else "begun")
        for case in _through(executor, _make_truth, [(case, folders) for case in needed.values()]):
            tell(done, total, f"truth of {case}")
        for rows, what in _through(executor, run_task, [(task,) for task in _tasks(todo, folders)]):
            file.append(rows)
            done += len({row.cell for row in rows})
            tell(done, total, what)
        wanted = {cell.key for cell in cells}
        frame = file.read()
    return frame.filter(frame["cell"].is_in(wanted))


def _cells(plan: Plan, keys: dict[str, str]) -> Iterator[Cell]:
    methods = [(contestant, contestant.model_dump(mode="json")) for contestant in plan.contestants]
    level = plan.grid.level
    for case in plan.cases:
        world = [case.name, case.key, keys[case.name]]
        for customers in plan.grid.customers:
            for seed in plan.grid.seeds:
                for contestant, method in methods:
                    key = content_key([*world, customers, seed, method, level, __version__])
                    yield Cell(case, contestant, customers, seed, level, key)


def _tasks(cells: Sequence[Cell], folders: tuple[Path, ...]) -> list[Task]:
    grouped: dict[tuple[str, int, int], list[Cell]] = {}
    for cell in cells:
        grouped.setdefault((cell.case.name, cell.customers, cell.seed), []).append(cell)
    return [Task(own[0].case, own[0].customers, own[0].seed, tuple(own), folders) for own in grouped.values()]


def _through(
    executor: Executor | None, function: Callable[..., Result], arguments: Sequence[tuple[object, ...]]
) -> Iterator[Result]:
    """Results as they come. When the caller stops, or one fails, what has not begun is given up."""
    if executor is None:
        yield from (function(*each) for each in arguments)
        return
    open_ones: set[Future[Result]] = {executor.submit(function, *each) for each in arguments}
    try:
        while open_ones:
            ready, open_ones = wait(open_ones, return_when=FIRST_COMPLETED)
            for future in ready:
                yield future.result()
    finally:
        for future in open_ones:
            future.cancel()


def _make_truth(case: Case, folders: tuple[Path, ...]) -> str:
    truth_of(case, folders)
    return case.name


def run_task(task: Task) -> tuple[list[Row], str]:
    """The rows of the methods on one sample, and a word on what was done."""
    truth = truth_of(task.case, task.folders)
    rows: list[Row] = []
    try:
        sample = draw_sample(task.case, truth, n_customers=task.customers, seed=task.seed)
    except InputError as error:  # no touch, or nobody buys: no method can say anything
        for cell in task.cells:
            rows += _ended(cell, SKIPPED, str(error))
    else:
        for cell in task.cells:
            rows += run_cell(cell, sample, truth)
    return rows, f"{task.case.name}, {task.customers:,} customers, seed {task.seed}"


def run_cell(cell: Cell, sample: Sample, truth: KnownTruth) -> list[Row]:
    """The rows of one method on a sample."""
    before, begun = peak_memory.start(), time.perf_counter()
    try:
        answer = answer_of(cell.contestant.made(), sample)
        seconds, memory = time.perf_counter() - begun, peak_memory.since(before)
        found = score(answer, truth, cell.level)
    except SkipError as error:
        return _ended(cell, SKIPPED, str(error))
    except InputError as error:
        return _ended(cell, SKIPPED, f"refused: {error}")
    except Exception as error:  # noqa: BLE001  # whatever a method of somebody else may raise is a row
        return _ended(cell, CRASHED, f"{type(error).__name__}: {error}")
    rest = (round(seconds, 6), None if memory is None else round(memory, 1), answer.version)
    rows = [
        _row(cell, metric, None if value != value else value, *rest, channel=channel)
        for (metric, channel), value in found.items()
    ]
    return [*rows, _row(cell, RAN, 1.0, *rest)]


def _ended(cell: Cell, ending: str, reason: str) -> list[Row]:
    return [_row(cell, ending, 1.0, None, None, f"journeysim {__version__}", reason=" ".join(reason.split()))]


def _row(
    cell: Cell,
    metric: str,
    value: float | None,
    seconds: float | None,
    memory: float | None,
    version: str,
    *,
    channel: str = "",
    reason: str = "",
) -> Row:
    return Row(
        world=cell.case.name,
        method=cell.contestant.label,
        settings=settings_text(cell.contestant.settings),
        customers=cell.customers,
        seed=cell.seed,
        metric=metric,
        value=value,
        seconds=seconds,
        memory=memory,
        version=version,
        channel=channel,
        reason=reason,
        cell=cell.key,
    )

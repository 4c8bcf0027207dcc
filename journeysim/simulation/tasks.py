"""Work for any Executor: ranges of customers as tasks that can be pickled, a bounded number of them at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from journeysim.errors import InputError
from journeysim.simulation.engines import Engine, range_simulator
from journeysim.simulation.recipe import Recipe, whole_number
from journeysim.simulation.tables import tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor, Future

    import pyarrow as pa

    from journeysim.simulation.tables import Tables

AT_ONCE = 1000  # tasks that an executor knows of: enough for a cluster, and few to cancel
MAX_WORKERS = 1024

Result = TypeVar("Result")

_one_at_a_time = threading.Lock()
_known: deque[tuple[Recipe, str, Tables]] = deque(maxlen=8)


def simulate_task(recipe: Recipe, engine: Engine, first: int, last: int) -> tuple[list[pa.Table], pa.Table]:
    """Events and customers first..last-1 of a recipe, in any process on any machine."""
    return range_simulator(recipe.world, engine)(recipe, tables_of(recipe), first, last)


def tables_of(recipe: Recipe) -> Tables:
    """The tables of a recipe, made once in each process that works on it."""
    with _one_at_a_time:
        for known, _, x in _known:
            if known is recipe:
                return x
        written = repr(recipe)  # a world that was copied with plain dictionaries has no hash
        for _, same, x in _known:
            if same == written:
                return x
        _known.append((recipe, written, tables(recipe)))
        return _known[-1][-1]


@contextmanager
def workers(executor: Executor | None, threads: int | None) -> Iterator[Executor]:
    """The executor that was given, or threads of our own, by default one per core.

    Raises
    ------
    InputError : both were given, or `threads` is out of its range
    """
    if executor is not None:
        if threads is not None:
            raise InputError(f"executor and threads={threads} were both given; an executor has its own workers.")
        if isinstance(executor, type) or not callable(getattr(executor, "submit", None)):
            raise InputError(
                f"executor is {executor!r}; it must be a concurrent.futures.Executor, such as ProcessPoolExecutor(4) "
                "or, with Dask, client.get_executor()."
            )
        yield executor
        return
    threads = (os.cpu_count() or 1) if threads is None else threads
    whole_number("threads", threads, 1, MAX_WORKERS)
    with ThreadPoolExecutor(threads) as pool:
        yield pool


@contextmanager
def in_order(
    executor: Executor, work: Callable[..., Result], tasks: Iterable[tuple[object, ...]]
) -> Iterator[Iterator[Result]]:
    """The results of `work(*task)` in the order of the tasks, which are submitted as results are taken.

    When a task fails, or the `with` is left early, tasks that have not begun are cancelled and those that have are
    waited for: afterwards nothing goes on in the background.
    """
    waiting = iter(tasks)
    submitted: deque[Future[Result]] = deque()

    def results() -> Iterator[Result]:
        submitted.extend(executor.submit(work, *task) for task in islice(waiting, AT_ONCE))
        while submitted:
            result = submitted[0].result()
            submitted.popleft()
            submitted.extend(executor.submit(work, *task) for task in islice(waiting, 1))
            yield result

    try:
        yield results()
    finally:
        begun = [future for future in submitted if not future.cancel()]
        wait(begun)


@contextmanager
def processes(number: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes that leave Ctrl-C to their parent, and end with it even if it is killed.

    They are spawned, since a process with threads cannot be forked safely; so a script that uses them needs
    `if __name__ == "__main__":`.

    Raises
    ------
    InputError : the number is out of its range
    """
    whole_number("processes", number, 1, MAX_WORKERS)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(number, mp_context=spawn, initializer=_begin_worker) as pool:
        yield pool


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to parent and children alike
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)  # nobody will take the result; without this, workers of a killed parent wait for ever

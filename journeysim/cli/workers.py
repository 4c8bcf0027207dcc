"""Who does the work of a command, threads or processes, and the kernel that is compiled before they begin."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from journeysim.cli.terminal import step
from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager

    from journeysim.outputs import OnProgress

Threads = Annotated[int | None, typer.Option(min=1, help="By default one per core; never changes a number.")]
Processes = Annotated[
    int | None, typer.Option(min=1, help="Instead of threads; worlds with desks need them to use several cores.")
]


def executor_of(processes: int | None, threads: int | None) -> AbstractContextManager[Executor | None]:
    """A pool of processes if they were asked for, else None: the simulator takes threads."""
    if processes is None:
        return nullcontext()
    if threads is not None:
        raise InputError("--threads and --processes were both given; choose one.")
    from journeysim.simulation.tasks import processes as process_pool

    return process_pool(processes)


def compile_first(on_progress: OnProgress, smallest: Callable[[], object]) -> None:
    """Let Numba compile what the smallest run of a kind needs, or load it: seconds in which no bar could move."""
    with step(on_progress, "compile (first run only)"):
        smallest()

"""Compiled work on all processors, in parts that threads take one after the other."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS: Final = 4  # for each thread: one that is held up leaves the rest to the others


def in_parts(work: Callable[[int, int], None], n: int, *, most: int | None = None) -> None:
    """Call work(first, last) for parts of range(n), at `most` so long; it must let go of the GIL.

    Numba's own parallel loops do the same, but OpenMP's threads wait for each other in busy loops: on a machine with
    other work that took four times the CPU.
    """
    threads = os.cpu_count() or 1
    parts = max(1, min(n, PARTS * threads), -(-n // (most or n or 1)))
    bounds = [n * part // parts for part in range(parts + 1)]
    if parts == 1:
        work(0, n)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, first, last) for first, last in pairwise(bounds)]:
            done.result()

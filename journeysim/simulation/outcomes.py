"""What the journeys of customers come to: conversion, revenue, cost, contacts, and who caused the purchases.

Rows are written, added up and forgotten, customer by customer, so memory does not grow with the population. And any
choice of customers can be simulated: draws have no state.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit

from journeysim.simulation.kernel import Heard, empty_people, hash_of_sources, own, simulate_customers
from journeysim.simulation.rng import NUMBA_OPTIONS
from journeysim.simulation.rows import CAUSE_BASE, PURCHASE, STAGE, TOUCH, empty_rows, unpacked

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from journeysim.simulation.recipe import Recipe
    from journeysim.simulation.tables import Tables
    from journeysim.spec import World

    FloatArray = NDArray[np.float64]

CONVERSION, REVENUE, COST = range(3)  # columns of `Outcomes.measures`
LAST_MOVE, LAST_MOVE_VALUE, PATH, PATH_VALUE = range(4)  # last axis of `Outcomes.credited`
ROWS_AT_FIRST = 4096
U64 = np.uint64


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What became of n customers of a world with C channels.

    Attributes
    ----------
    measures : (n, 3) whether they purchased (0 or 1); value of their purchases; cost of their contacts
    contacts : (n, C) how often each channel met them
    persona : (n,) code of the persona
    credited : (n, 1 + C, 4) purchases caused by base and by each channel; see `add_up`. (0, ...) if not asked for
    """

    measures: FloatArray
    contacts: NDArray[np.int32]
    persona: NDArray[np.uint8]
    credited: FloatArray

    @classmethod
    def empty(cls, n: int, n_channels: int, *, credited: bool = False) -> Outcomes:
        """Where nothing happened yet."""
        return cls(
            np.zeros((n, 3)),
            np.zeros((n, n_channels), np.int32),
            np.zeros(n, np.uint8),
            np.zeros((n if credited else 0, 1 + n_channels, 4)),
        )

    def copy(self) -> Outcomes:
        """The same, to be changed; credits are left behind."""
        return Outcomes(self.measures.copy(), self.contacts.copy(), self.persona, self.credited[:0])


class Book(NamedTuple):
    """What adding up needs to know of a world with C channels and S stages."""

    cost: FloatArray  # (C,) of one contact
    forward: NDArray[np.bool_]  # (S, S) which moves go forward


def book(world: World) -> Book:
    """The book of a world."""
    names = world.stage_names
    return Book(
        np.array([channel.cost_per_contact for channel in world.channels], dtype=float),
        np.array([[a != b and world.direction(a, b) == "forward" for b in names] for a in names]),
    )


@njit(**NUMBA_OPTIONS)
def add_up(code, value, begin, end, k, book, path, measures, contacts, credited):  # type: ignore[no-untyped-def]
    """Add rows begin..end-1, the journey of one customer, to entry k of the outcomes; `code` as in `rows.packed`.

    A purchase is caused by the forward moves of its path: those since the last purchase, or since the start. The last
    is the move into the purchase. Credit goes to the cause of the last move (LAST_MOVE), and in equal parts to the
    causes of all (PATH); the same weighted by the value of the purchase. A journey that starts with a purchase has no
    move: base. `path` (1 + C,) is scratch.
    """
    with_credits = len(credited) > 0
    at, n_moves, last = -1, 0, CAUSE_BASE
    measures[k, :] = 0.0
    contacts[k, :] = 0
    path[:] = 0.0
    for row in range(begin, end):
        what, channel, to, cause = unpacked(code[row])
        if what == TOUCH:
            contacts[k, channel] += 1
            measures[k, COST] += book.cost[channel]
        elif what == STAGE:
            if with_credits and at >= 0 and book.forward[at, to]:
                last = cause
                path[last] += 1.0
                n_moves += 1
            at = to
        elif what == PURCHASE:
            measures[k, CONVERSION] = 1.0
            measures[k, REVENUE] += value[row]
            if with_credits:
                if n_moves == 0:
                    last = CAUSE_BASE
                    path[CAUSE_BASE] = 1.0
                    n_moves = 1
                credited[k, last, LAST_MOVE] += 1.0
                credited[k, last, LAST_MOVE_VALUE] += value[row]
                for j in range(len(path)):
                    credited[k, j, PATH] += path[j] / n_moves
                    credited[k, j, PATH_VALUE] += path[j] / n_moves * value[row]
                path[:] = 0.0
                n_moves = 0


def _compiled(sources: int) -> Any:
    """Compiled anew when the kernel that it calls changes, see `kernel._entry`."""

    @njit(**NUMBA_OPTIONS)
    def simulate_chosen(  # type: ignore[no-untyped-def]
        x,
        seed,
        first,
        chosen,
        begin,
        horizon,
        heard,
        rows,
        one,
        memory,
        book,
        path,
        measures,
        contacts,
        persona,
        credited,
    ):
        """Simulate customers first + chosen[begin..] into their entries; returns how many of `chosen` are done.

        It stops before one whose rows do not fit.
        """
        for i in range(begin, len(chosen)):
            k = chosen[i]
            a = first + k
            inbox = Heard(heard.start[k : k + 2], heard.time, heard.effect)
            done, n_rows = simulate_customers(x, seed, a, a + 1, horizon, inbox, rows, one, memory)
            if done == 0:
                return i
            persona[k] = one.persona[0]
            add_up(rows.code, rows.value, 0, np.int64(n_rows), k, book, path, measures, contacts, credited)
        return len(chosen)

    return simulate_chosen if sources else None


_simulate_chosen = _compiled(hash_of_sources())


def simulate_into(
    outcomes: Outcomes, recipe: Recipe, x: Tables, book: Book, first: int, heard: Heard, chosen: NDArray[np.int64]
) -> None:
    """Simulate customers first + chosen on the compiled engine and overwrite their entries in `outcomes`."""
    n_rows, done = ROWS_AT_FIRST, 0
    memory, path = own(x), np.zeros(1 + len(book.cost))
    while done < len(chosen):
        done = _simulate_chosen(
            x,
            U64(recipe.seed),
            first,
            chosen,
            done,
            recipe.horizon_days,
            heard,
            empty_rows(n_rows),
            empty_people(1),
            memory,
            book,
            path,
            outcomes.measures,
            outcomes.contacts,
            outcomes.persona,
            outcomes.credited,
        )
        n_rows *= 2  # no size is known beforehand


def outcomes_of_tables(
    events: list[pa.Table], customers: pa.Table, book: Book, first: int, *, credited: bool
) -> Outcomes:
    """The outcomes of customers first, first + 1, ... that an engine simulated as tables of a log."""
    outcomes = Outcomes.empty(customers.num_rows, len(book.cost), credited=credited)
    outcomes.persona[:] = customers["persona"].combine_chunks().indices.to_numpy()
    path = np.zeros(1 + len(book.cost))
    for table in events:
        who = table["customer"].to_numpy() - first
        value = table["value"].to_numpy(zero_copy_only=False)
        # Engines code names in the order of the world; what stands under a null is never read.
        kind, channel, stage, cause = (
            table[name].combine_chunks().indices.fill_null(0).to_numpy().astype(np.uint64)
            for name in ("kind", "channel", "stage", "cause")
        )
        code = kind | channel << U64(8) | stage << U64(16) | cause << U64(32)  # see rows.packed
        bounds = np.flatnonzero(np.diff(who, prepend=-1, append=outcomes.persona.size))
        for begin, end in pairwise(bounds.tolist()):
            add_up(
                code, value, begin, end, who[begin], book, path,
                outcomes.measures, outcomes.contacts, outcomes.credited,
            )  # fmt: skip
    return outcomes

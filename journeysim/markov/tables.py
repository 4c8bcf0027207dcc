"""The chain as tables: a row per transition, or a row and a column per state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from journeysim.errors import InputError

if TYPE_CHECKING:
    from journeysim.markov.counting import TransitionCounts

START, CONVERSION, NULL = "(start)", "(conversion)", "(null)"
MOST_COLUMNS: Final = 2_000
"""A wide table of more states is no table for anybody; the long one has only the moves that happened."""


def transition_table(counts: TransitionCounts) -> pl.DataFrame:
    """Every transition that happened, from "(start)" to "(conversion)" or "(null)" (ChannelAttribution's names).

    A state of several touches is written "a > b", oldest first. There are no transitions from a state to itself: they
    are no moves of the chain (docs/attribution.md, conventions).

    Returns
    -------
    frame with columns origin, target, probability (adds up to 1 per origin), weight (of the journeys that moved so)

    Raises
    ------
    InputError : if two states would have one name: a channel "(start)", or channels with " > " in them
    """
    names = _names(counts)
    start, conversion, null = len(counts.states), len(counts.states) + 1, len(counts.states) + 2
    states = np.arange(start)
    moves = counts.moves.tocoo()
    origin = np.concatenate([np.full(start, start), moves.row, states, states]).astype(np.int64)
    target = np.concatenate([states, moves.col, np.full(start, conversion), np.full(start, null)]).astype(np.int64)
    weight = np.concatenate([counts.starts, moves.data, counts.conversions, counts.nulls])
    leaving = np.bincount(origin, weight, minlength=null + 1)
    kept = np.flatnonzero(weight)
    kept = kept[np.lexsort((target[kept], (origin[kept] + 1) % (start + 1)))]  # (start) first, then state by state
    origin, target, weight = origin[kept], target[kept], weight[kept]
    label = pl.Series([*names, START, CONVERSION, NULL], dtype=pl.String)
    return pl.DataFrame(
        {
            "origin": label.gather(origin),
            "target": label.gather(target),
            "probability": weight / leaving[origin],
            "weight": weight,
        }
    )


def transition_matrix(counts: TransitionCounts) -> pl.DataFrame:
    """Probabilities to go from the state of a row (column `origin`) to that of a column; every row adds up to 1.

    Rows are "(start)" and the states, columns the states, "(conversion)" and "(null)".

    Raises
    ------
    InputError : for more than 2,000 states, or as `transition_table`
    """
    if len(counts.states) > MOST_COLUMNS:
        raise InputError(
            f"A transition matrix of {len(counts.states):,} states is too wide to read (the most is {MOST_COLUMNS:,}). "
            "Use transition_table, or a lower order."
        )
    names = _names(counts)
    table = transition_table(counts)
    rows, columns = [START, *names], [*names, CONVERSION, NULL]
    at_row, at_column = ({name: i for i, name in enumerate(found)} for found in (rows, columns))
    matrix = np.zeros((len(rows), len(columns)))
    matrix[[at_row[name] for name in table["origin"]], [at_column[name] for name in table["target"]]] = table[
        "probability"
    ]
    return pl.DataFrame({"origin": rows} | {name: matrix[:, i] for i, name in enumerate(columns)})


def _names(counts: TransitionCounts) -> list[str]:
    names = [" > ".join(counts.channels[code] for code in state if code >= 0) for state in counts.states]
    taken = {START, CONVERSION, NULL, "origin"}
    for name in names:
        if name in taken:
            raise InputError(f"Two states would be called {name!r} in a table; rename that channel.")
        taken.add(name)
    return names

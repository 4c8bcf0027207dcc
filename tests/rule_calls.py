"""Rules called one at a time: the tables of a tiny world, and a rule's draws for many customers."""

import numpy as np
from small_worlds import small_world

from journeysim.simulation.recipe import START, Recipe
from journeysim.simulation.tables import tables

U64 = np.uint64
SEED, NO_VISIT, NO_STAY = U64(5), U64(0), U64(0)
MOVES = {"look": {"buy": 0.1}, "buy": {}}


def tables_of(moves=MOVES, *, days=28.0, start=START, n_customers=1000, **parts):
    """The arrays of `small_world(moves, **parts)`; the plain start is Thursday, 1 January 2026."""
    return tables(Recipe(small_world(moves, **parts), n_customers, days, 5, start))


def plain(rule):
    """A rule as Python, and its whole numbers as the kernel hands them over."""
    return rule.py_func


def each(n, call):
    """(n,) or (n, k) what `call` says of customers 0..n-1."""
    return np.array([call(U64(a)) for a in range(n)])

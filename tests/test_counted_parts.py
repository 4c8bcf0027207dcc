"""Counts of parts add up to the counts of the whole, and attribute alike."""

from functools import reduce
from operator import add

import numpy as np
import polars as pl
import pytest

from journeysim.attribution import RemovalEffect
from journeysim.errors import InputError
from journeysim.interop import journeys_from_paths
from journeysim.markov import count_transitions


def frames(seed, n=900):
    """Three parts; the first has short paths only, the last a channel of its own, which sorts first."""
    rng = np.random.default_rng(seed)
    for names, longest in ((["b", "bb"], 2), (["b", "c", "d"], 9), (["a", "c", "d", "e"], 9)):
        paths = [" > ".join(rng.choice(names, size=rng.integers(1, longest + 1))) for _ in range(n)]
        conversions = rng.integers(0, 3, n) / 4
        yield pl.DataFrame(
            {
                "path": paths,
                "total_conversions": conversions,
                "total_conversion_value": conversions * 10,
                "total_null": rng.integers(1, 3, n) / 2,
            }
        )


@pytest.mark.parametrize("order", [1, 2, 3, 12])
def test_counts_of_parts_add_up(order):
    parts = list(frames(order))
    whole = count_transitions(journeys_from_paths(pl.concat(parts)), order)
    summed = reduce(add, (count_transitions(journeys_from_paths(part), order) for part in parts))
    assert summed.channels == whole.channels
    assert summed.order == whole.order
    np.testing.assert_array_equal(summed.states, whole.states)
    for name in ("starts", "conversions", "nulls", "value"):  # eighths are exact in binary
        np.testing.assert_array_equal(getattr(summed, name), getattr(whole, name))
    assert abs(summed.moves - whole.moves).max() == 0
    assert summed.moves.nnz == whole.moves.nnz


@pytest.mark.parametrize("removal", ["null", "detour"])
def test_counts_attribute_as_journeys_do(removal):
    parts = list(frames(7))
    method = RemovalEffect(order=2, removal=removal)
    want = method.attribute(journeys_from_paths(pl.concat(parts)))
    got = method.attribute_counts(reduce(add, (count_transitions(journeys_from_paths(p), 2) for p in parts)))
    assert (got.channels, got.settings, got.notes) == (want.channels, want.settings, want.notes)
    np.testing.assert_allclose(got.removal_effects, want.removal_effects, atol=1e-12)
    np.testing.assert_allclose(got.conversions, want.conversions, rtol=1e-12)
    np.testing.assert_allclose(got.value, want.value, rtol=1e-12)


def test_what_does_not_fit_is_refused():
    journeys = journeys_from_paths(next(frames(1)))
    one, two = count_transitions(journeys, 1), count_transitions(journeys, 2)
    with pytest.raises(InputError, match="order 1 and of order 2 cannot be added"):
        one + two
    with pytest.raises(InputError, match="was given counts of order 2"):
        RemovalEffect().attribute_counts(two)
    with pytest.raises(InputError, match="needs these"):
        RemovalEffect(removal="refit").attribute_counts(one)

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journeysim.fingerprint import ROWS_AT_ONCE, Fingerprint, fingerprint

N = 2 * ROWS_AT_ONCE + 4321  # several blocks, the last one not full


def a_table(n=N, seed=0):
    rng = np.random.default_rng(seed)
    words = pa.array(["a", "b", "c"])
    return pa.table(
        {
            "customer": np.sort(rng.integers(0, n // 7, n)),
            "number": pa.array(rng.normal(size=n), mask=rng.random(n) < 0.9),
            "word": pa.DictionaryArray.from_arrays(
                pa.array(rng.integers(0, 3, n).astype(np.uint8), mask=rng.random(n) < 0.3), words
            ),
        }
    )


TABLE = a_table()
WHOLE = fingerprint(TABLE)


def changed(column, row, value, table=TABLE):
    values = table[column].to_pylist()
    values[row] = value
    return table.set_column(table.column_names.index(column), column, pa.array(values, table[column].type.value_type
        if pa.types.is_dictionary(table[column].type) else table[column].type))  # fmt: skip


@given(st.sets(st.integers(0, N), max_size=5))
def test_parts_add_up_in_any_order_if_they_are_cut_between_customers(cuts):
    who = np.asarray(TABLE["customer"])
    edges = sorted({0, N, *(int(np.searchsorted(who, who[min(cut, N - 1)])) for cut in cuts)})
    parts = [fingerprint(TABLE.slice(a, b - a)) for a, b in pairwise(edges)]
    assert sum(reversed(parts), Fingerprint()) == WHOLE


@given(st.sets(st.integers(0, N), max_size=5))
def test_chunks_do_not_matter_even_within_a_customer(cuts):
    edges = sorted({0, N, *cuts})
    assert fingerprint(pa.concat_tables([TABLE.slice(a, b - a) for a, b in pairwise(edges)])) == WHOLE


def test_cutting_within_a_customer_is_another_table():
    """Negative control: places count from the first row of a customer that a part has."""
    who = np.asarray(TABLE["customer"])
    cut = int(np.flatnonzero(who[1:] == who[:-1])[100]) + 1
    assert fingerprint(TABLE.slice(0, cut)) + fingerprint(TABLE.slice(cut)) != WHOLE


@pytest.mark.parametrize("row", [0, 7, ROWS_AT_ONCE - 1, ROWS_AT_ONCE, N - 1])
@pytest.mark.parametrize(("column", "value"), [("customer", 10**6), ("number", 1e-300), ("word", "d")])
def test_one_entry_changes_it(column, row, value):
    assert fingerprint(changed(column, row, value)) != WHOLE


def test_null_is_no_zero_and_no_empty_word():
    for type_, nothing in ((pa.float64(), 0.0), (pa.int64(), 0), (pa.string(), "")):
        tables = [pa.table({"customer": [1], "x": pa.array([value], type_)}) for value in (None, nothing)]
        assert fingerprint(tables[0]) != fingerprint(tables[1])


def test_the_order_of_a_customers_rows_counts_and_that_of_customers_does_not():
    rows = pa.table({"customer": [1, 1, 2], "word": ["a", "b", "c"]})
    assert fingerprint(rows.take([1, 0, 2])) != fingerprint(rows)
    assert fingerprint(rows.take([2, 0, 1])) == fingerprint(rows)


def test_values_that_change_places_between_rows_or_columns_are_seen():
    one = pa.table({"customer": [1, 2], "x": [3, 4], "y": [5, 6]})
    for other in ({"x": [4, 3], "y": [5, 6]}, {"x": [5, 6], "y": [3, 4]}, {"x": [3, 6], "y": [5, 4]}):
        assert fingerprint(pa.table({"customer": [1, 2], **other})) != fingerprint(one)


@pytest.mark.parametrize("index", [pa.int8(), pa.uint8(), pa.int16(), pa.int32()])
def test_codes_of_any_width_and_order_are_the_same_words(index):
    words = TABLE["word"].to_pylist()
    order = ["unused", "c", "b", None, "a"]
    codes = pa.array([None if word is None else order.index(word) for word in words], index)
    recoded = pa.DictionaryArray.from_arrays(codes, pa.array(order))
    null_as_word = pa.DictionaryArray.from_arrays(codes.fill_null(3), pa.array(order))
    for column in (recoded, null_as_word, pa.array(words), pa.array(words, pa.large_string())):
        assert fingerprint(TABLE.set_column(2, "word", column)) == WHOLE


def test_numbers_of_any_width_are_the_same():
    wide = pa.table({"customer": pa.array([1, 2], pa.int64()), "x": pa.array([0.5, None], pa.float64())})
    narrow = pa.table({"customer": pa.array([1, 2], pa.uint16()), "x": pa.array([0.5, None], pa.float32())})
    assert fingerprint(wide) == fingerprint(narrow)


def test_its_bits_are_as_even_as_those_of_a_coin():
    """Fingerprints of 4000 tables that differ in one number: each bit is set in half of them.

    128 bits are watched; each strays by 7 standard deviations with chance 2.6e-12.
    """
    found = [fingerprint(pa.table({"customer": [i], "x": [0.0]})) for i in range(4000)]
    bits = np.array([[(f.high << 64 | f.low) >> bit & 1 for bit in range(128)] for f in found])
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 7 * 0.5 / np.sqrt(4000)
    assert len({f.low for f in found}) == len({f.high for f in found}) == 4000


def test_text_and_back():
    assert Fingerprint.parse(WHOLE.n_rows, str(WHOLE)) == WHOLE
    with pytest.raises(ValueError, match="is no fingerprint"):
        Fingerprint.parse(3, "12")


def test_no_rows_are_nothing():
    assert fingerprint(TABLE.slice(0, 0)) == Fingerprint() == fingerprint(TABLE.schema.empty_table())

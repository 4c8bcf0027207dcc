"""Texts cut at a separator: the same as str.split, on any text; and counting, the same in either table."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journeysim import tokens
from journeysim.errors import InputError
from journeysim.interop import journeys_from_paths
from journeysim.markov import count_transitions, counting

SEPARATORS = [" > ", ">", "|", "->", "-->", " - > ", "→", " →→ ", "aba", "> "]


def assert_like_split(texts, separator):
    spellings, codes, lengths = tokens.cut_texts(pl.Series("path", texts), separator)
    want = [text.split(separator) for text in texts]
    assert spellings.to_list() == sorted({token for text in want for token in text}, key=str.encode)
    assert lengths.tolist() == [len(text) for text in want]
    assert spellings.gather(codes).to_list() == [token for text in want for token in text]


# Pieces that look like separators and each other, names within names, spaces, and bytes that UTF-8 shares.
PIECES = [
    "a",
    "ab",
    "aba",
    "eta",
    "beta",
    " ",
    " >",
    "> ",
    ">",
    "-",
    "|",
    "→",
    "↑",
    "é",
    "\u00a0",
    "\x00",
    "🛒",
    "x" * 9,
]


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), min_size=1), st.sampled_from(SEPARATORS))
@settings(max_examples=400, deadline=None)
def test_texts_are_cut_as_python_cuts_them(texts, separator):
    assert_like_split(texts, separator)


@given(st.lists(st.text(), min_size=1), st.text(min_size=1, max_size=4).filter(str.strip))
@settings(max_examples=200, deadline=None)
def test_any_text_is_cut_at_any_separator(texts, separator):
    assert_like_split([separator.join([text, text[::-1], "", text]) for text in texts], separator)


def test_blocks_and_many_names_come_together(monkeypatch):
    monkeypatch.setattr(tokens, "BLOCK_ROWS", 700)
    rng = np.random.default_rng(1)
    texts = [" > ".join(f"name {n}" for n in rng.integers(5000, size=rng.integers(1, 9))) for _ in range(3000)]
    assert_like_split(texts, " > ")


def slow_journeys(paths):
    """Channels and codes of touches, name by name, with spaces around names dropped."""
    split = [[name.strip() for name in path.split(" > ")] for path in paths]
    channels = sorted({name for path in split for name in path}, key=str.encode)
    return tuple(channels), [[channels.index(name) for name in path] for path in split]


NAME = st.lists(st.sampled_from(["a", "b", "é", ">", "-", "🛒", "eta"]), min_size=1, max_size=3).map("".join)


@given(st.lists(st.lists(NAME, min_size=1, max_size=5), min_size=1, max_size=20), st.sampled_from(["", " ", "\t"]))
@settings(max_examples=200, deadline=None)
def test_journeys_are_those_of_a_slow_reading(paths, space):
    texts = [f"{space}{f'{space} > '.join(path)}" for path in paths]
    weight = np.arange(1.0, len(texts) + 1)
    if all(" > " not in text for text in texts) and any(">" in text for text in texts):
        return  # rightly refused: is ">" a separator?
    frame = pl.DataFrame({"path": texts, "total_conversions": weight, "total_null": weight})
    channels, codes = slow_journeys(texts)
    if "" in channels:
        with pytest.raises(InputError, match="a channel without a name"):
            journeys_from_paths(frame)
        return
    journeys = journeys_from_paths(frame)
    assert journeys.channels == channels
    np.testing.assert_array_equal(journeys.codes, np.concatenate(codes))
    np.testing.assert_array_equal(journeys.offsets, np.append(0, np.cumsum([len(path) for path in codes])))


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_counts_are_the_same_whichever_table_they_are_kept_in(monkeypatch, order):
    rng = np.random.default_rng(order)
    paths = [" > ".join(f"c{n}" for n in rng.integers(9, size=rng.geometric(0.2))) for _ in range(2000)]
    frame = pl.DataFrame({"path": paths, "total_conversions": rng.random(2000), "total_null": rng.random(2000)})
    journeys = journeys_from_paths(frame)
    full = count_transitions(journeys, order)
    monkeypatch.setattr(counting, "FULL_TABLE", 50)  # the places are shared from the sixth state on
    shared = count_transitions(journeys, order)
    np.testing.assert_array_equal(full.states, shared.states)
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(full.moves, name), getattr(shared.moves, name))
    for name in ("starts", "conversions", "nulls", "value"):
        np.testing.assert_array_equal(getattr(full, name), getattr(shared, name))

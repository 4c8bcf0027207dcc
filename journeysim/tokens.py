"""Texts cut at a separator into numbered tokens, eight bytes at a time, straight from a column's buffer."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import pyarrow as pa
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    IntArray = NDArray[np.int64]
    CodeArray = NDArray[np.int32]

BLOCK_ROWS: Final = 1 << 17
"""Texts that are cut at a time, by a thread: bounds the memory beside the result."""

U64 = np.uint64
_OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy"}
_SPREAD = U64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio
_ONES, _HIGH, _ALL = U64(0x0101010101010101), U64(0x8080808080808080), U64(0xFFFFFFFFFFFFFFFF)


def cut_texts(texts: pl.Series, separator: str) -> tuple[pl.Series, CodeArray, IntArray]:
    """What `texts.str.split(separator)` gives, each distinct token being made a string only once.

    Parameters
    ----------
    texts : (n,) strings without nulls
    separator : with at least one character that is not a space

    Returns
    -------
    spellings : (D,) the distinct tokens as they are written, sorted
    codes : (T,) the spelling of each token, text by text
    lengths : (n,) tokens of each text, at least one
    """
    blocks = [texts.slice(begin, BLOCK_ROWS) for begin in range(0, len(texts), BLOCK_ROWS)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        cuts = list(pool.map(lambda block: _cut_block(block, separator), blocks))
    spellings = pl.concat([found for found, _, _ in cuts]).unique().sort()
    codes = [spellings.search_sorted(found).to_numpy().astype(np.int32)[code] for found, code, _ in cuts]
    return spellings, np.concatenate(codes), np.concatenate([lengths for _, _, lengths in cuts])


def _cut_block(texts: pl.Series, separator: str) -> tuple[pl.Series, CodeArray, IntArray]:
    """As `cut_texts`, with spellings in the order in which they are met."""
    array = texts.to_arrow().cast(pa.large_string())
    _, ends, content = array.buffers()
    offsets = np.frombuffer(ends, np.int64)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(content or b"", np.uint8)[: offsets[-1]]
    words = np.ndarray((max(len(data) - 7, 0),), np.uint64, data, 0, (1,))
    bare = np.frombuffer(separator.encode(), np.uint8)
    lead = len(separator[: -len(separator.lstrip())].encode())
    codes = np.empty(
        (int(offsets[-1] - offsets[0])) // len(bare) + len(array), np.int32
    )  # what is unused costs nothing
    lengths = np.zeros(len(array), np.int64)
    n, starts, sizes = _cut(data, words, offsets, bare, lead, codes, lengths)
    found = [data[start : start + size].tobytes().decode() for start, size in zip(starts, sizes, strict=True)]
    return pl.Series(texts.name, found, dtype=pl.String), codes[:n].copy(), lengths


@njit(inline="always", **_OPTIONS)
def _word(data, words, at):  # type: ignore[no-untyped-def]
    """The eight bytes from a place on; zeros after the end of the data."""
    if at < len(words):
        return words[at]
    word = U64(0)
    for i in range(len(data) - at):
        word |= U64(data[at + i]) << U64(8 * i)
    return word


@njit(inline="always", **_OPTIONS)
def _first(length):  # type: ignore[no-untyped-def]
    """A mask of the first bytes of a word, at most eight."""
    return _ALL if length >= 8 else (U64(1) << U64(8 * length)) - U64(1)


@njit(**_OPTIONS)
def _separator_at(data, words, at, end, separator, lead, anchors):  # type: ignore[no-untyped-def]
    """The first place from `at` on where the separator stands, all of it before `end`; `end` if there is none.

    Eight bytes are searched at once for the byte separator[lead] (Mycroft's test for a zero byte; the lowest it finds
    is one), which should be rare in names.
    """
    place = at + lead
    while place < end:
        odd = _word(data, words, place) ^ anchors
        hit = (odd - _ONES) & ~odd & _HIGH
        if hit == 0:
            place += 8
            continue
        lowest = hit & (~hit + U64(1))
        place += np.int64((((lowest - U64(1)) & _ONES) * _ONES) >> U64(56)) - 1
        start = place - lead
        if start + len(separator) <= end:
            i = 0
            while i < len(separator) and data[start + i] == separator[i]:
                i += 1
            if i == len(separator):
                return start
        place += 1
    return end


@njit(**_OPTIONS)
def _same(data, words, a, b, length):  # type: ignore[no-untyped-def]
    for i in range(0, length, 8):
        if (_word(data, words, a + i) ^ _word(data, words, b + i)) & _first(length - i) != 0:
            return False
    return True


@njit(**_OPTIONS)
def _filed(hashes, size):  # type: ignore[no-untyped-def]
    """A table of slots that leads to each hash; size is a power of 2, greater than their number."""
    slots = np.full(size, -1, np.int32)
    for code in range(len(hashes)):
        slot = np.int64(hashes[code] & U64(size - 1))
        while slots[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        slots[slot] = code
    return slots


@njit(**_OPTIONS)
def _cut_on(data, words, offsets, separator, lead, slots, starts, sizes, hashes, codes, lengths, at):  # type: ignore[no-untyped-def]
    """Go on until all texts are cut or there is no room for another distinct token; allocates nothing, to be fast.

    `at` holds the text, the place in `data`, the number of tokens and that of distinct ones.
    """
    j, begin, n, n_distinct = at
    mask, anchors = len(slots) - 1, U64(separator[lead]) * _ONES
    while j < len(lengths) and n_distinct < len(starts):
        end = offsets[j + 1]
        stop = _separator_at(data, words, begin, end, separator, lead, anchors)
        length = stop - begin
        hashed = U64(length)
        for i in range(0, length, 8):
            hashed = (hashed ^ (_word(data, words, begin + i) & _first(length - i))) * _SPREAD
            hashed ^= hashed >> U64(32)
        slot = np.int64(hashed) & mask
        code = slots[slot]
        while code >= 0 and not (
            hashes[code] == hashed and sizes[code] == length and _same(data, words, starts[code], begin, length)
        ):
            slot = (slot + 1) & mask
            code = slots[slot]
        if code < 0:
            code = np.int32(n_distinct)
            slots[slot] = code
            starts[code], sizes[code], hashes[code] = begin, length, hashed
            n_distinct += 1
        codes[n] = code
        n += 1
        lengths[j] += 1
        if stop < end:
            begin = stop + len(separator)
        else:
            j += 1
            begin = end
    return j, begin, n, n_distinct


@njit(**_OPTIONS)
def _cut(data, words, offsets, separator, lead, codes, lengths):  # type: ignore[no-untyped-def]
    """Cut each text data[offsets[j]:offsets[j + 1]] at the separator, from left to right, as `str.split` does.

    Parameters
    ----------
    data : bytes of UTF-8; words : words[i] are the eight bytes data[i:i + 8], little end first
    separator : its bytes; lead : which of them to look for first
    codes, lengths : where to write the number of each token, and to add up how many tokens each text has

    Returns
    -------
    n : number of tokens
    starts, sizes : (D,) where each distinct token is found first in `data`, and its number of bytes
    """
    starts, sizes, hashes = np.empty(512, np.int64), np.empty(512, np.int64), np.empty(512, np.uint64)
    slots = _filed(hashes[:0], 1024)
    at = (0, np.int64(offsets[0]), 0, 0)
    while True:
        at = _cut_on(data, words, offsets, separator, lead, slots, starts, sizes, hashes, codes, lengths, at)
        if at[0] == len(lengths):
            return at[2], starts[: at[3]], sizes[: at[3]]
        starts, sizes, hashes = np.append(starts, starts), np.append(sizes, sizes), np.append(hashes, hashes)
        slots = _filed(hashes[: at[3]], 2 * len(hashes))

"""Compiled sums over the rows of a table: what fingerprints are made of."""

from __future__ import annotations

import numpy as np
from numba import njit

U64 = np.uint64
_OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_OPTIONS)
def mix(z):  # type: ignore[no-untyped-def]
    """A permutation of 64 bits in which each bit of the input moves about half of the output.

    Source: splitmix64's finaliser, variant 13 of Stafford, Better bit mixing (2011).
    """
    z = (z ^ (z >> U64(30))) * U64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> U64(27))) * U64(0x94D049BB133111EB)
    return z ^ (z >> U64(31))


@njit(**_OPTIONS)
def add_words(rows, codes, valid, offset, meaning):  # type: ignore[no-untyped-def]
    """Add to each row the meaning of its code; null adds nothing.

    `valid` is Arrow's bitmap, in which the first row has place `offset`, or empty where no code is null.
    """
    if len(valid) == 0:
        for i in range(len(rows)):
            rows[i] += meaning[codes[i]]
        return
    i = 0
    while i < len(rows):
        byte, shift = valid[(offset + i) >> 3], (offset + i) & 7
        until = min(i + 8 - shift, len(rows))
        if byte:  # most columns are null nearly everywhere
            for j in range(i, until):
                known = (byte >> (shift + j - i)) & 1
                rows[j] += meaning[codes[j] * known] * U64(known)  # a branch could not be foreseen
        i = until


@njit(**_OPTIONS)
def add_numbers(rows, bits, valid, offset, salt):  # type: ignore[no-untyped-def]
    """Add to each row the mixed bits of its number; nulls as in `add_words`."""
    if len(valid) == 0:
        for i in range(len(rows)):
            rows[i] += mix(bits[i] ^ salt)
        return
    i = 0
    while i < len(rows):
        byte, shift = valid[(offset + i) >> 3], (offset + i) & 7
        until = min(i + 8 - shift, len(rows))
        if byte:
            for j in range(i, until):
                rows[j] += mix(bits[j] ^ salt) * U64((byte >> (shift + j - i)) & 1)
        i = until


@njit(**_OPTIONS)
def sum_rows(rows, who, previous, place):  # type: ignore[no-untyped-def]
    """Two sums over all rows, then the customer and the place of the last; `place` counts the rows of a customer."""
    low, high = U64(0), U64(0)
    for i in range(len(rows)):
        place = place + 1 if who[i] == previous else 0
        previous = who[i]
        row = mix(rows[i] + U64(place) * U64(0x9E3779B97F4A7C15))  # 2**64 / golden ratio: places lie far apart
        low += row
        high += mix(row ^ U64(0x2545F4914F6CDD1D))  # any number will do, so that it is another mixture
    return low, high, previous, place

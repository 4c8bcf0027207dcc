"""Fingerprint: what tables say, in 128 bits that add up, so that parts may be taken in any order and by anybody.

Every row becomes 64 bits, from its customer, its place among the rows of that customer, and its entries; the
fingerprint of a table is the sum over its rows of two mixtures of these, modulo 2**64. This is a multiset hash (Clarke
et al., Incremental multiset hash functions, ASIACRYPT 2003) with a quick mixer in the place of a cryptographic one. It
tells apart logs that differ by accident or by a change of the model. It is no defence against somebody who seeks two
logs with one fingerprint: for that, a log on disk has a SHA-256 of each of its files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    U64Array = NDArray[np.uint64]

U64 = np.uint64
NO_SALT = U64(0)
ROWS_AT_ONCE = 32_768  # what is known of them stays in the cache of a core


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Of a number of rows: fingerprints of parts add up to that of the whole, if no customer is in two parts."""

    n_rows: int = 0
    low: int = 0
    high: int = 0

    def __add__(self, other: Fingerprint) -> Fingerprint:
        n_rows, low, high = self.n_rows + other.n_rows, self.low + other.low, self.high + other.high
        return Fingerprint(n_rows, low % 2**64, high % 2**64)

    def __str__(self) -> str:
        return f"{self.high:016x}{self.low:016x}"

    @classmethod
    def parse(cls, n_rows: int, text: str) -> Fingerprint:
        """The fingerprint that `str` gave. Raises ValueError if the text is none."""
        if len(text) != 32:
            raise ValueError(f"{text!r} is no fingerprint.")
        return cls(n_rows, low=int(text[16:], 16), high=int(text[:16], 16))


def fingerprint(table: pa.Table) -> Fingerprint:
    """Of a table whose rows are grouped by its column `customer`.

    Numbers count as 64 bits, times as microseconds and words as text: how they are coded and chunked does not matter.
    Neither does the order of customers, but the order of a customer's rows does.
    """
    from journeysim.mixing import sum_rows  # reading and writing need no compiler, only this does

    total = Fingerprint(table.num_rows)
    previous, place = 0, -1
    for batch in table.to_batches():
        columns = [_column(batch.column(name), _word(name)) for name in batch.schema.names]
        customers = batch.column("customer")
        who = _bits(customers) if pa.types.is_integer(customers.type) else _sums([_column(customers)], batch.num_rows)
        for begin in range(0, batch.num_rows, ROWS_AT_ONCE):
            n = min(ROWS_AT_ONCE, batch.num_rows - begin)
            rows = _sums(columns, n, begin)
            low, high, previous, place = sum_rows(rows, who[begin : begin + n], U64(previous), place)
            total += Fingerprint(0, int(low), int(high))
    return total


class _Column(NamedTuple):
    """Entries as 64 bits each, or as codes of words with a meaning; which are null, by Arrow's bitmap from a place on.

    `salt` makes the same entry say something else in another column. No bitmap: no nulls.
    """

    entries: NDArray[Any]
    valid: NDArray[np.uint8]
    offset: int
    salt: np.uint64
    meaning: U64Array | None


def _sums(columns: Sequence[_Column], n: int, begin: int = 0) -> U64Array:
    """(n,) the sum of what the columns say, by row from `begin` on."""
    from journeysim.mixing import add_numbers, add_words

    rows = np.zeros(n, U64)
    for entries, valid, offset, salt, meaning in columns:
        if meaning is None:
            add_numbers(rows, entries[begin : begin + n], valid, offset + begin, salt)
        else:
            add_words(rows, entries[begin : begin + n], valid, offset + begin, meaning)
    return rows


def _column(column: pa.Array, salt: np.uint64 = NO_SALT) -> _Column:
    type_ = column.type
    if pa.types.is_timestamp(type_):
        column = column.cast(pa.timestamp("us", type_.tz)).cast(pa.int64())
    elif pa.types.is_floating(type_):
        column = column.cast(pa.float64())
    elif pa.types.is_string(type_) or pa.types.is_large_string(type_):
        column = column.dictionary_encode()
    elif not (pa.types.is_dictionary(type_) or pa.types.is_integer(type_)):  # booleans, dates, lists: not in events
        entries = [None if entry is None else repr(entry) for entry in column.to_pylist()]
        column = pa.array(entries, pa.string()).dictionary_encode()
    if not pa.types.is_dictionary(column.type):
        return _Column(_bits(column), _validity(column), column.offset, salt, None)
    words = column.dictionary.to_pylist() or [None]  # where all is null, there are codes below it still
    meaning = np.array([U64(0) if word is None else _word(str(word), salt) for word in words], U64)
    codes = column.indices
    values = np.frombuffer(codes.buffers()[1], codes.type.to_pandas_dtype())[codes.offset :][: len(codes)]
    return _Column(values, _validity(codes), codes.offset, salt, meaning)


def _bits(numbers: pa.Array) -> U64Array:
    """The 64 bits of each entry, integer or float64; without a copy if it has 64 bits already."""
    if pa.types.is_integer(numbers.type) and numbers.type.bit_width < 64:
        numbers = numbers.cast(pa.int64())
    return np.frombuffer(numbers.buffers()[1], U64)[numbers.offset :][: len(numbers)]


def _validity(column: pa.Array) -> NDArray[np.uint8]:
    return np.frombuffer(column.buffers()[0], np.uint8) if column.null_count else np.zeros(0, np.uint8)


def _word(word: str, salt: np.uint64 = NO_SALT) -> np.uint64:
    """64 bits for a word: of SHA-256, so that words of any likeness have nothing in common."""
    digest = hashlib.sha256(f"{int(salt)} {word}".encode(errors="surrogatepass")).digest()
    return U64(int.from_bytes(digest[:8], "little"))

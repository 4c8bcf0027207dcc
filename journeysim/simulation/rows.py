"""Rows as the engines write them, 24 bytes each, and the same rows as the columns of a log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

from journeysim.event_columns import COLUMNS, KINDS, TIME
from journeysim.moves import BASE, LOST
from journeysim.simulation.rng import NUMBA_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from journeysim.spec import World

U64 = np.uint64
TOUCH, STAGE, PURCHASE, PAIN, LOST_ROW, CSAT, NPS, REFERRAL = range(8)  # index into journeysim.event_columns.KINDS
NONE = 255  # no channel, no pain point, no cause
CAUSE_BASE = 0
MICROSECONDS_PER_DAY = 86_400e6
HAS_VALUE = 1 << 40


class Rows(NamedTuple):
    """What happened, in the order in which it did: three stores per row are all that the kernel has time for."""

    time: NDArray[np.float64]  # days from the start of the window
    code: NDArray[np.uint64]  # see `packed`
    value: NDArray[np.float64]  # where the code says so; the others are never written, nor read


def empty_rows(n: int) -> Rows:
    """Room for n rows."""
    return Rows(np.empty(n), np.empty(n, np.uint64), np.empty(n))


@njit(inline="always", **NUMBA_OPTIONS)
def packed(kind, channel, stage, pain, cause):  # type: ignore[no-untyped-def]
    """One word that says what happened: a byte each; `HAS_VALUE` is added where there is a value."""
    return U64(kind) | U64(channel) << U64(8) | U64(stage) << U64(16) | U64(pain) << U64(24) | U64(cause) << U64(32)


@njit(inline="always", **NUMBA_OPTIONS)
def kind_of(code):  # type: ignore[no-untyped-def]
    """The kind in a packed word."""
    return code & U64(0xFF)


@njit(inline="always", **NUMBA_OPTIONS)
def unpacked(code):  # type: ignore[no-untyped-def]
    """Kind, channel, stage and cause in a packed word."""
    byte = U64(0xFF)
    return (
        np.int64(code & byte),
        np.int64(code >> U64(8) & byte),
        np.int64(code >> U64(16) & byte),
        np.int64(code >> U64(32) & byte),
    )


@njit(**NUMBA_OPTIONS)
def _unpack(rows, n_rows, first, start_us, cost_of, customer, time_us, words, value, cost):  # type: ignore[no-untyped-def]
    """Fill columns: `words` (5, n) kind, channel, stage, pain, cause; customer i has n_rows[i] rows. Loops without
    branches, which use the width of the processor.
    """
    n = len(customer)
    begin = 0
    for i in range(len(n_rows)):
        end = begin + n_rows[i]
        customer[begin:end] = first + i
        begin = end
    for i in range(n):
        time_us[i] = start_us + np.int64(rows.time[i] * MICROSECONDS_PER_DAY + 0.5)
    for i in range(n):
        code = rows.code[i]
        words[0, i] = code & U64(0xFF)
        words[1, i] = code >> U64(8) & U64(0xFF)
        words[2, i] = code >> U64(16) & U64(0xFF)
        words[3, i] = code >> U64(24) & U64(0xFF)
        words[4, i] = code >> U64(32) & U64(0xFF)
    value[:] = rows.value[:n]
    for i in range(n):
        cost[i] = cost_of[words[1, i]]


def to_table(world: World, rows: Rows, n_rows: NDArray[np.int64], first: int, start_us: int) -> pa.Table:
    """The rows of customers first, first + 1, ... as an Arrow table; n_rows (n_customers,) says how many each has."""
    n = int(n_rows.sum())
    # one block of memory, which the operating system hands out faster than many
    block = np.empty(37 * n, np.uint8)
    customer, time_us, value, cost = (
        block[8 * n * i : 8 * n * (i + 1)].view(type_)
        for i, type_ in enumerate((np.int64, np.int64, np.float64, np.float64))
    )
    words = block[32 * n : 37 * n].reshape(5, n)
    cost_of = np.zeros(256)
    cost_of[: len(world.channels)] = [c.cost_per_contact for c in world.channels]
    _unpack(rows, n_rows, first, start_us, cost_of, customer, time_us, words, value, cost)
    kind, channel, stage, pain, cause = words
    pains = world.pain_point_names
    touched, met, caused = kind == TOUCH, kind == PAIN, cause != NONE
    for codes, valid in ((channel, touched), (pain, met), (cause, caused)):
        codes *= valid  # what stands under a null must still be an index
    is_touch = _bitmap(touched)
    columns = {
        "customer": _column(pa.int64(), customer),
        "time": _column(TIME, time_us),
        "kind": _named(kind, KINDS),
        "channel": _named(channel, world.channel_names, is_touch),
        "stage": _named(stage, (*world.stage_names, LOST)),
        "pain_point": _named(pain, pains, _bitmap(met)),
        "value": _column(pa.float64(), value, _bitmap((rows.code[:n] & U64(HAS_VALUE)) != 0)),
        "cost": _column(pa.float64(), cost, is_touch),
        "cause": _named(cause, (BASE, *world.channel_names, *pains), _bitmap(caused)),
    }
    return pa.table({name: columns[name] for name in COLUMNS})


def _bitmap(valid: NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(valid, bitorder="little"))


def _column(type_: pa.DataType, values: NDArray[Any], valid: pa.Buffer | None = None) -> pa.Array:
    return pa.Array.from_buffers(type_, len(values), [valid, pa.py_buffer(values)])


def _named(codes: NDArray[np.uint8], names: Sequence[str], valid: pa.Buffer | None = None) -> pa.DictionaryArray:
    """Codes as names; where they are not valid, null. Codes are right by construction, and not checked once more."""
    words = pa.array(list(names), pa.string())
    return pa.DictionaryArray.from_arrays(_column(pa.uint8(), codes, valid), words, safe=False)

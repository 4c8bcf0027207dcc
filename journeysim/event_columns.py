"""The columns of an event log, and how any dataframe is brought to them; the one place that lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import narwhals as nw
import numpy as np
import polars as pl
import pyarrow as pa

from journeysim.columns import column, numbers, times
from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from narwhals.typing import IntoDataFrame

    from journeysim.table_files import Source

KINDS: Final = ("touch", "stage", "purchase", "pain", "lost", "csat", "nps", "referral")
"""What can happen: a touchpoint; a move to another stage; a purchase; meeting a pain point; leaving for good; the
answer to a survey, satisfied (1 to 5) or would recommend (0 to 10); recommending to somebody else."""

COLUMNS: Final[Mapping[str, str]] = {
    "customer": "who: integer or text",
    "time": "when: UTC, to the microsecond",
    "kind": f"what: {', '.join(KINDS)}",
    "channel": "of a touch, else null",
    "stage": "the stage the customer is in after the row; null where unknown",
    "pain_point": "which barrier was met, else null",
    "value": "of a purchase, in the currency of the log; of a survey, the score; of a call at a desk, minutes waited",
    "cost": "of a touch, in the currency of the log, else null",
    "cause": "simulated logs: the channel that caused a move, a pain point, or base",
}
REQUIRED: Final = ("customer", "time", "kind")
TIME: Final = pa.timestamp("us", tz="UTC")
NAMES = pa.dictionary(pa.uint8(), pa.string())
MANY_NAMES: Final = 256  # from here on, a column of words is coded by 32 bits instead of 8
TYPES: Final[Mapping[str, pa.DataType]] = {
    "time": TIME,
    "value": pa.float64(),
    "cost": pa.float64(),
    **dict.fromkeys(("kind", "channel", "stage", "pain_point", "cause"), NAMES),
}


def normalised(frame: pl.DataFrame, source: Source) -> pl.DataFrame:
    """The frame with exactly the columns of a log, each of its type.

    Raises
    ------
    InputError : a required column is missing, there are no rows, or a time or a number cannot be read
    """
    needed = f"A log needs {', '.join(REQUIRED)}."
    for name in REQUIRED:
        column(frame, name, source, hint=needed)
    if frame.is_empty():
        raise InputError(f"{source.name}: there are no events.")
    frame = with_customer_type(frame, source).with_columns(times(frame["time"], source))
    missing = [pl.lit(None).alias(name) for name in COLUMNS if name not in frame.columns]
    frame = frame.with_columns(missing)
    frame = frame.with_columns(numbers(frame[name], source, blank=True) for name in ("value", "cost"))
    words = [name for name, type_ in TYPES.items() if type_ == NAMES]
    return frame.select(*COLUMNS).with_columns(pl.col(words).cast(pl.String))


def to_polars(table: IntoDataFrame, name: str) -> pl.DataFrame:
    """Any dataframe as Polars. Raises InputError, which names it `name`, if a column mixes types."""
    try:
        frame = pl.DataFrame(pl.from_arrow(nw.from_native(table, eager_only=True).to_arrow()))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:  # columns of Python objects
        raise InputError(
            f"{name}: a column mixes types ({' '.join(map(str, error.args))}); convert it first."
        ) from None
    return frame.select(pl.exclude(r"^__index_level_\d+__$"))  # an index of pandas without a name


def with_customer_type(frame: pl.DataFrame, source: Source) -> pl.DataFrame:
    """The frame with customers as integers where all of them are, else as text.

    Raises
    ------
    InputError : a customer is missing, or is neither an integer nor text
    """
    ids = column(frame, "customer", source)
    is_text = ids.dtype in (pl.String, pl.Categorical, pl.Enum)
    if is_text:
        ids = ids.cast(pl.String)
    elif not ids.dtype.is_integer() and ids.null_count() < len(ids):
        raise InputError(f"{source.name}: column 'customer' holds {ids.dtype}, expected integers or text.")
    blank = (ids.str.strip_chars() == "").fill_null(value=True) if is_text else ids.is_null()
    if blank.any():
        raise InputError(
            f"{source.place(int(np.flatnonzero(blank)[0]))}: there is no customer. Fill it in or drop the row."
        )
    if is_text and not ids.str.contains(r"^(0|-?[1-9][0-9]{0,17})$").all():
        return frame.with_columns(ids)  # as integers something would be lost, such as a leading zero
    integers = ids.cast(pl.Int64, strict=False)
    return frame.with_columns(ids.cast(pl.String) if integers.null_count() else integers)


def is_coded_text(type_: pa.DataType) -> bool:
    """Whether it is text coded by integers of any size."""
    return bool(pa.types.is_dictionary(type_)) and type_.value_type == pa.string()


def to_arrow(frame: pl.DataFrame) -> pa.Table:
    """A frame that `normalised` gave as an Arrow table of the types of `TYPES`."""
    columns: dict[str, Any] = {"customer": frame["customer"].to_arrow(compat_level=pl.CompatLevel.oldest())}
    for name, type_ in TYPES.items():
        values = frame[name].to_arrow(compat_level=pl.CompatLevel.oldest())
        if type_ == NAMES:
            coded = values.cast(pa.string()).dictionary_encode()
            few = len(coded.dictionary) < MANY_NAMES
            values = pa.DictionaryArray.from_arrays(
                coded.indices.cast(pa.uint8()) if few else coded.indices, coded.dictionary
            )
        columns[name] = values.cast(type_) if name == "time" else values
    return pa.table({name: columns[name] for name in COLUMNS})

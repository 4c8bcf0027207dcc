"""Journeys of each group of customers, so that any method can be asked per persona or segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from journeysim.errors import InputError
from journeysim.journeys import to_journeys

if TYPE_CHECKING:
    from journeysim.events import EventLog
    from journeysim.journeys import Journeys

NONE = "(none)"


def split_journeys(log: EventLog, *, by: str, **settings: Any) -> dict[str, Journeys]:
    """Journeys per value of a column of the log's customers, such as persona; all with the same channels.

    Parameters
    ----------
    by : column of `log.customers`; customers without a value are "(none)"
    settings : of `to_journeys`

    Raises
    ------
    InputError : there is no such column, or a segment has no touch at all (it is named)
    """
    if by not in log.segment_names():
        raise InputError(
            f"split_journeys: there is no column {by!r}. Found: {', '.join(log.segment_names()) or 'none'}."
        )
    values = log.customers[by].cast("string").fill_null(NONE)
    journeys = {}
    for name in sorted(pc.unique(values).to_pylist()):
        try:
            journeys[name] = to_journeys(log.only(log.customers["customer"].filter(pc.equal(values, name))), **settings)
        except InputError as error:
            raise InputError(f"Segment {name!r} of {by}: {error}") from error
    return journeys

"""Stays: who was in which stage from when to when, what ended it, and the contacts made meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from journeysim.errors import InputError
from journeysim.event_columns import KINDS
from journeysim.events import microseconds
from journeysim.moves import LOST
from journeysim.stage_history import StageHistory, segment_codes, to_stage_history

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.events import EventLog

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

US_PER_DAY = 86_400e6


@dataclass(frozen=True, slots=True, eq=False)
class Stays:
    """The stays of a log in the order of its rows, N of them, and the T contacts made in them.

    Attributes
    ----------
    counts : moves and days at risk of the same stays
    channels : the C channel names
    customer : (N,) whose stay it is, as `EventLog.customer_codes`; ascending
    segment, stage : (N,) of each stay
    days : (N,) how long it was observed
    target : (N,) the stage that it was left for; `len(stages)` is lost, -1 that it was open when the window closed
    contact_stay : (T,) the stay in which each contact was made; ascending
    contact_channel : (T,)
    contact_age : (T,) days from the contact to the end of its stay
    contact_repeat : (T,) earlier contacts of the customer on the channel, in any stage
    """

    counts: StageHistory
    channels: tuple[str, ...]
    customer: IntArray
    segment: IntArray
    stage: IntArray
    days: FloatArray
    target: IntArray
    contact_stay: IntArray
    contact_channel: IntArray
    contact_age: FloatArray
    contact_repeat: IntArray


def to_stays(log: EventLog, *, by: str | None = None) -> Stays:
    """The stays of a log, with the contacts made in them; of moves, only when and where to, never why.

    Stays are those of `to_stage_history`. A contact belongs to the stay that its row stands in: at equal times the
    order of the rows decides. Contacts before the first stage of a customer, or after being lost, belong to none.

    Parameters
    ----------
    by : column of `log.customers` to split by; None for one segment, `all`

    Raises
    ------
    InputError : the log has no stages, no touches, no such column, or events after a loss
    """
    counts = to_stage_history(log, by=by)
    kinds = log.codes("kind", KINDS)
    touch = kinds == KINDS.index("touch")
    if not touch.any():
        raise InputError("The log has no touches, so nothing can be learned of their influence; fit a StageModel.")
    lost = len(log.stages)
    stage = np.where(kinds == KINDS.index("lost"), lost, log.codes("stage", (*log.stages, LOST)))
    who, when = log.customer_codes(), log.times_us()
    rows = np.flatnonzero(stage >= 0)
    begins = np.ones(len(rows), dtype=bool)
    begins[1:] = (who[rows[1:]] != who[rows[:-1]]) | (stage[rows[1:]] != stage[rows[:-1]])
    rows = rows[begins]
    goes_on = np.append(who[rows[1:]] == who[rows[:-1]], False)
    until = np.where(goes_on, np.append(when[rows[1:]], 0), microseconds(log.end))
    target = np.where(goes_on, np.append(stage[rows[1:]], -1), -1)
    kept = stage[rows] != lost
    number = np.where(kept, np.cumsum(kept) - 1, -1)

    # names that no touch has would be channels without contacts
    named = log.codes("channel", log.names_in("channel"))
    used = np.unique(named[touch])
    channels = tuple(log.names_in("channel")[c] for c in used)
    at = np.flatnonzero(touch)
    channel = np.searchsorted(used, named[at])
    from journeysim.stay_kernels import earlier_contacts  # compiled

    repeat = earlier_contacts(who[at], channel, len(channels))
    stay_of_row = np.searchsorted(rows, at, side="right") - 1
    inside = (stay_of_row >= 0) & (who[rows[stay_of_row]] == who[at]) & kept[stay_of_row]
    at, stay_of_row = at[inside], stay_of_row[inside]
    segment = (
        np.zeros(log.n_customers, dtype=np.int64) if by is None else segment_codes(log, by, unknown="(unknown)")[0]
    )
    return Stays(
        counts=counts,
        channels=channels,
        customer=who[rows][kept],
        segment=segment[who[rows]][kept],
        stage=stage[rows][kept],
        days=(until - when[rows])[kept] / US_PER_DAY,
        target=target[kept],
        contact_stay=number[stay_of_row],
        contact_channel=channel[inside],
        contact_age=(until[stay_of_row] - when[at]) / US_PER_DAY,
        contact_repeat=repeat[inside],
    )

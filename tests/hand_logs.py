"""Logs written by hand, one line per event."""

from datetime import UTC, datetime, timedelta

import polars as pl

from journeysim.event_columns import COLUMNS
from journeysim.events import EventLog

START = datetime(2026, 1, 1, tzinfo=UTC)
_WHAT = {"touch": "channel", "stage": "stage", "pain": "pain_point", "purchase": "stage", "lost": "stage"}
_WHAT |= dict.fromkeys(("csat", "nps", "referral"), "stage")
_SCHEMA = dict.fromkeys(COLUMNS, pl.String) | {
    "time": pl.Datetime("us", "UTC"),
    "value": pl.Float64,
    "cost": pl.Float64,
}


def on(day):
    """The time at a number of days since the start."""
    return START + timedelta(days=day)


def hand_events(*rows):
    """Rows are (customer, day, kind, the channel or stage or pain point, value); the last two may be left out."""
    events = []
    for customer, day, kind, *rest in rows:
        what, value = (*rest, None, None)[:2]
        events.append({"customer": customer, "time": on(day), "kind": kind, _WHAT[kind]: what, "value": value})
    integers = all(isinstance(row[0], int) for row in rows)
    return pl.DataFrame(events, schema=_SCHEMA | {"customer": pl.Int64 if integers else pl.String})


def hand_log(*rows, days=10, **parts):
    """The log of `hand_events`, observed for a number of days."""
    return EventLog.from_frame(hand_events(*rows), start=START, end=on(days), **parts)

"""Journeys by segment and by period, and whether the removal effects drift from period to period."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from journeysim.attribution.bootstrap import Steps
from journeysim.errors import InputError
from journeysim.journeys import Journeys, to_journeys
from journeysim.markov.solving import DENSE_STATES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from numpy.typing import NDArray

    from journeysim.events import EventLog

    FloatArray = NDArray[np.float64]

_TRUNCATE = {"week": "1w", "month": "1mo"}


def journeys_by_segment(log: EventLog, by: str, *, lookback_days: float | None = None) -> dict[str, Journeys]:
    """The touch paths of each segment of customers, up to their first purchase.

    Parameters
    ----------
    by : a column of `log.customers`, such as persona

    Raises
    ------
    InputError : there is no such column, a customer has no segment, or a segment no touch before a conversion
    """
    if by not in log.segment_names():
        raise InputError(f"There is no segment {by!r}; the customers have: {', '.join(log.segment_names()) or 'none'}.")
    return _split(log, pl.DataFrame(pl.from_arrow(log.customers)).select("customer", part=pl.col(by)), lookback_days)


def journeys_by_period(
    log: EventLog, period: Literal["week", "month"] = "month", *, lookback_days: float | None = None
) -> dict[str, Journeys]:
    """The touch paths by when they ended: with the first purchase, or else with the last touch that was seen.

    A customer who has not bought when the window closes counts as a null, most often in a late period: there the
    conversion rate looks lower than it will turn out. Periods are named by their first day (UTC); weeks begin on
    Monday.

    Raises
    ------
    InputError : for an unknown period, or a period without a touch before a conversion
    """
    if period not in _TRUNCATE:
        raise InputError(f"period must be 'week' or 'month', got {period!r}.")
    part = pl.col("end").dt.truncate(_TRUNCATE[period]).dt.strftime("%Y-%m-%d")
    return _split(log, _ends(log).select("customer", part=part), lookback_days)


def journeys_between(log: EventLog, start: date, end: date, *, lookback_days: float | None = None) -> Journeys:
    """The touch paths that ended from `start` to `end`, both included (UTC), as in `journeys_by_period`.

    For an attribution of the days of a lift test.

    Raises
    ------
    InputError : no journey ended then, or none with a touch before a conversion
    """
    name = f"{start} to {end}"
    ends = _ends(log).filter(pl.col("end").dt.date().is_between(start, end))
    if not ends.height:
        raise InputError(f"No journey of the log ended from {name}.")
    return _split(log, ends.select("customer", part=pl.lit(name)), lookback_days)[name]


def _ends(log: EventLog) -> pl.DataFrame:
    """When the journey of each customer ended: columns customer and end."""
    events = pl.DataFrame(pl.from_arrow(log.events)).with_columns(pl.col("kind").cast(pl.String))
    ends = events.group_by("customer").agg(
        bought=pl.col("time").filter(pl.col("kind") == "purchase").min(),
        touched=pl.col("time").filter(pl.col("kind") == "touch").max(),
        first_touch=pl.col("time").filter(pl.col("kind") == "touch").min(),
    )
    # who bought before any touch has no journey to attribute; those customers stand in no period
    return ends.filter(
        pl.col("first_touch").is_not_null() & ~(pl.col("bought") < pl.col("first_touch")).fill_null(False)
    ).select("customer", end=pl.coalesce("bought", "touched"))


def _split(log: EventLog, parts: pl.DataFrame, lookback_days: float | None) -> dict[str, Journeys]:
    if parts["part"].null_count():
        customer = parts.filter(pl.col("part").is_null())["customer"][0]
        raise InputError(f"Customer {customer!r} belongs to no segment: the column is blank there.")
    channels = log.names_in("channel")
    found = {}
    for (name,), group in sorted(parts.group_by("part"), key=lambda item: str(item[0][0])):
        some = log.only(pa.array(group["customer"].to_list(), type=log.customers.schema.field("customer").type))
        try:
            journeys = to_journeys(some, lookback_days=lookback_days)
        except InputError as error:
            raise InputError(f"Part {name!r} of the log: {error}") from error
        if journeys.channels != channels:  # the names of the whole log, in its order
            raise InputError(f"Part {name!r} of the log has other channels than the whole.")
        found[str(name)] = journeys
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Drift:
    """Whether the shares of Markov credit differ between periods by more than chance.

    Attributes
    ----------
    periods, channels : names, P and C
    share : (P, C) share of the conversions credited in each period
    p_value : (C,) adjusted for looking at all channels
    false_alarm : chance that any channel is flagged although nothing changed
    """

    periods: tuple[str, ...]
    channels: tuple[str, ...]
    share: FloatArray
    p_value: FloatArray
    false_alarm: float

    @property
    def drifting(self) -> tuple[str, ...]:
        """The channels that are flagged."""
        return tuple(c for c, p in zip(self.channels, self.p_value, strict=True) if p <= self.false_alarm)

    def to_frame(self) -> pl.DataFrame:
        """One row per channel and period: channel, period, share, p_value, drifts."""
        n_periods = len(self.periods)
        return pl.DataFrame(
            {
                "channel": np.repeat(np.array(self.channels, dtype=object), n_periods).tolist(),
                "period": list(self.periods) * len(self.channels),
                "share": self.share.T.ravel(),
                "p_value": np.repeat(self.p_value, n_periods),
            }
        ).with_columns(drifts=pl.col("p_value") <= self.false_alarm)


def drift(
    parts: Mapping[str, Journeys], *, seed: int, order: int = 1, false_alarm: float = 0.01, n_permutations: int = 999
) -> Drift:
    """Test whether Markov credit is shared alike in all periods.

    Per channel, the spread of its shares around their mean, weighted by conversions; compared with what it is when
    journeys are dealt to periods at random. If it does not matter in which period a journey falls, all dealings are
    alike, so that the chance to flag any channel is at most `false_alarm`, whatever the number of journeys. Every
    change flags, also one that is of the window's making (see `journeys_by_period`).

    Parameters
    ----------
    parts : by period, of the same channels; every row one journey
    seed : of the dealings
    order : of the chains, >= 1; up to 500 states
    false_alarm : chance to flag any channel when nothing changed, at least 1 / (n_permutations + 1)

    Raises
    ------
    InputError : fewer than two periods, other channels, rows of several journeys, a period without a conversion, more
        than 500 states, or settings that make no sense

    Source: single-step maxT, Westfall & Young 1993, Resampling-Based Multiple Testing, ch. 2.
    """
    if len(parts) < 2:
        raise InputError(f"drift: there is {len(parts)} period; it takes two or more to compare.")
    if order < 1:
        raise InputError(f"drift: order must be 1 or more, got {order!r}.")
    if not 1 / (n_permutations + 1) <= false_alarm < 1:
        raise InputError(
            f"drift: false_alarm is {false_alarm!r}; with {n_permutations} permutations it can be from "
            f"{1 / (n_permutations + 1):.3g} up to 1."
        )
    everyone = _together(parts)
    steps = Steps.of(everyone, order)
    if len(steps.contains) > DENSE_STATES:
        raise InputError(
            f"drift: at order {order} the chain has {len(steps.contains):,} states, more than the {DENSE_STATES} that "
            "can be solved for every dealing. Use a lower order."
        )
    of = np.repeat(np.arange(len(parts)), [part.n_journeys for part in parts.values()])
    share, spread = _spread(steps, everyone, of, len(parts))
    rng = np.random.default_rng(seed)
    spreads = [spread] + [_spread(steps, everyone, rng.permutation(of), len(parts))[1] for _ in range(n_permutations)]
    # Each channel in units of its own mean spread, the data's included: all dealings are treated alike, so the chance
    # of a false alarm is exact.
    scaled = np.array(spreads)
    scaled = scaled / np.maximum(scaled.mean(axis=0), 1e-300)
    p_value = (scaled.max(axis=1)[:, None] >= scaled[0] * (1 - 1e-9)).mean(axis=0)
    return Drift(tuple(parts), everyone.channels, share, p_value, false_alarm)


def _spread(steps: Steps, journeys: Journeys, of: NDArray[np.int64], n_parts: int) -> tuple[FloatArray, FloatArray]:
    """(P, C) shares per part, and (C,) their spread; a part without a conversion has share 0 and weight 0."""
    dealt = (of[:, None] == np.arange(n_parts)).astype(np.float64)
    conversions = journeys.conversions[:, None] * dealt
    effects = steps.chains(conversions, journeys.nulls[:, None] * dealt, 0 * dealt).removal_effects().by_conversions
    total = effects.sum(axis=1, keepdims=True)
    share = effects / np.where(total > 0, total, 1.0)
    weight = conversions.sum(axis=0) / conversions.sum()
    return share, weight @ (share - weight @ share) ** 2


def _together(parts: Mapping[str, Journeys]) -> Journeys:
    """All parts in one, each row a journey."""
    journeys = list(parts.values())
    for name, part in parts.items():
        if part.channels != journeys[0].channels:
            raise InputError(f"drift: period {name!r} has other channels than the first.")
        if part.n_conversions == 0:
            raise InputError(f"drift: no journey of period {name!r} converts; join it with its neighbour.")
        if ((part.conversions + part.nulls) != 1).any():
            raise InputError(
                f"drift: period {name!r} has rows that are several journeys; journeys are dealt one by one, so give "
                "each a row (as to_journeys does)."
            )

    def column(name: str) -> NDArray[np.generic]:
        return np.concatenate([getattr(part, name) for part in journeys])

    sizes = np.concatenate([np.diff(part.offsets) for part in journeys])
    return Journeys(
        channels=journeys[0].channels,
        codes=column("codes").astype(np.int32, copy=False),
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
        conversions=column("conversions").astype(np.float64, copy=False),
        nulls=column("nulls").astype(np.float64, copy=False),
        value=column("value").astype(np.float64, copy=False),
    )

"""Posterior predictive check of a twin: do its worlds, simulated again, show the KPIs of the log?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from journeysim.errors import InputError
from journeysim.kpis.observed import US_PER_DAY, money, observe
from journeysim.kpis.survival import KaplanMeier
from journeysim.simulation.engine import simulate
from journeysim.simulation.recipe import whole_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from rich.console import Group

    from journeysim.events import EventLog
    from journeysim.spec import World
    from journeysim.twin.fit import Twin

    FloatArray = NDArray[np.float64]
    Drawn = tuple[list[dict[str, World]], FloatArray]

LEVEL = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class TwinCheck:
    """KPIs of a log beside those of N worlds of its twin.

    Attributes
    ----------
    kpis : the K names
    observed : (K,) values in the log
    predicted : (N, K) values in the worlds; NaN where a world has none, such as days to a purchase that nobody made
    n_customers : simulated per world
    notes : what a reader should know
    """

    kpis: tuple[str, ...]
    observed: FloatArray
    predicted: FloatArray
    n_customers: int
    notes: tuple[str, ...]

    def to_frame(self) -> pl.DataFrame:
        """One row per KPI. Columns: kpi, observed, low and high, the 90% band of the worlds, and inside; null, not
        judged, where the log or a world has no value.
        """
        known = np.isfinite(self.predicted).all(axis=0) & np.isfinite(self.observed)
        edges = np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        low, high = np.quantile(np.where(known, self.predicted, 0.0), edges, axis=0)
        # a sum over customers differs in its last digits by their order
        slack = 1e-9 * np.abs(self.observed)
        inside = (low - slack <= self.observed) & (self.observed <= high + slack)
        return pl.DataFrame(
            {
                "kpi": pl.Series(self.kpis, dtype=pl.String),
                "observed": [float(x) if np.isfinite(x) else None for x in self.observed],
                "low": [float(x) if k else None for x, k in zip(low, known, strict=True)],
                "high": [float(x) if k else None for x, k in zip(high, known, strict=True)],
                "inside": [bool(x) if k else None for x, k in zip(inside, known, strict=True)],
            }
        )

    @property
    def outside(self) -> tuple[str, ...]:
        """KPIs whose observed value is outside the band."""
        frame = self.to_frame()
        return tuple(frame.filter(~pl.col("inside"))["kpi"])

    @property
    def verdict(self) -> str:
        """One or two sentences. Bands are for another log; this one was fitted and is nearer to its twin: where the
        model holds, far fewer than one KPI in ten is outside. KPIs move together: it is no test.
        """
        judged = self.to_frame()["inside"].drop_nulls()
        text = f"{int(judged.sum())} of {len(judged)} KPIs of the log are inside the 90% band of the twin's worlds; "
        text += "of a log that its model fits, nearly all are."
        if self.outside:
            text += f" Outside: {', '.join(self.outside)}."
        return text

    def __rich__(self) -> Group:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(title="The log, and its twin simulated again", title_justify="left", box=None, width=78)
        table.add_column("KPI", overflow="fold", ratio=1)
        for name in ("in the log", "90% band", "", "inside"):
            table.add_column(name, justify="right", no_wrap=True)
        said = {True: "yes", False: "NO", None: "?"}
        for name, observed, low, high, inside in self.to_frame().iter_rows():
            table.add_row(Text(name), *(_number(x) for x in (observed, low, high)), said[inside])
        return Group(table, *(Text(f"\n{text}") for text in (self.verdict, *self.notes)))


def check_twin(
    twin: Twin,
    log: EventLog,
    *,
    seed: int,
    n_worlds: int = 50,
    n_customers: int | None = None,
    retained_days: float | None = None,
    drawn: Drawn | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> TwinCheck:
    """Simulate worlds of the posterior again, and compare their KPIs with those of the log.

    Every simulated customer is watched for as long as one of the log's, drawn at random, was from the first event on:
    customers who arrive late are compared with their like. KPIs are of what was seen until then: converted; entered a
    stage; touches per customer by channel; days from the first event to the first purchase, median of buyers; revenue
    per customer; buyers neither lost nor lapsed `retained_days` after the first purchase (Kaplan-Meier).

    The log is the one that was fitted, so the check finds what the model cannot represent; a twin may pass and still
    be wrong about what its channels cause.

    Parameters
    ----------
    n_worlds : draws of the posterior
    n_customers : simulated per world; by default as many as the log has, which is what makes bands those of its KPIs
    retained_days : by default a third of the window
    drawn : what `twin.worlds` gave, to use these worlds instead of drawing `n_worlds`
    on_progress : called with the worlds done

    Raises
    ------
    InputError : numbers out of their range, a log with other stages or channels than the twin's, or without customers
        who were seen

    Source: Gelman, Meng & Stern 1996, Statistica Sinica 6, 733-807.
    """
    whole_number("n_worlds", n_worlds, 20, 1_000_000)
    n = log.n_customers if n_customers is None else n_customers
    whole_number("n_customers", n, 20, 10**9)
    days = log.days / 3 if retained_days is None else retained_days
    if not 0 < days < log.days:
        raise InputError(f"retained_days is {days}; it must be above 0 and below {log.days:g}, the length of the log.")
    stages = twin.posterior.history.stages.stages
    channels = twin.posterior.channels
    touched = {name for name in log.to_polars().filter(pl.col("kind") == "touch")["channel"].unique() if name}
    if set(log.stages) != set(stages) or touched != set(channels):
        raise InputError("The stages or channels of the log are not those of the twin; give the log it was fitted to.")
    first = observe(log).first_event
    watched = (observe(log).end - first[~np.isnan(first)]) / US_PER_DAY
    if not len(watched):
        raise InputError("No customer of the log has an event.")
    seen = _Seen.of(log, stages, channels, None)
    worlds, shares = twin.worlds(n_worlds, seed=seed) if drawn is None else drawn
    rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
    predicted = []
    for i, (by_segment, share) in enumerate(zip(worlds, shares, strict=True)):
        parts = []
        for world, size in zip(by_segment.values(), rng.multinomial(n, share / share.sum()), strict=True):
            if size:
                again = simulate(
                    world, n_customers=int(size), horizon_days=twin.ingredients.days, seed=int(rng.integers(2**62))
                )
                parts.append(_Seen.of(again, stages, channels, rng.choice(watched, size)))
        predicted.append(_Seen.together(parts).kpis(days))
        if on_progress:
            on_progress(i + 1)
    names = (
        "converted",
        *(f"entered {name}" for name in stages),
        *(f"touches per customer: {name}" for name in channels),
        "median days to first purchase",
        "revenue per customer",
        f"buyers retained at {days:g} days",
    )
    notes = []
    if n != log.n_customers:
        wide = "wider" if n < log.n_customers else "narrower"
        notes.append(f"{n:,} customers per world, {log.n_customers:,} in the log: bands are {wide} than for its KPIs.")
    return TwinCheck(names, seen.kpis(days), np.array(predicted), n, tuple(notes))


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What was seen of n customers: an array of (n,) or (n, .) each; days to a purchase that was not seen are NaN."""

    entered: FloatArray
    touches: FloatArray
    to_purchase: FloatArray
    revenue: FloatArray
    as_customer: FloatArray
    gone: NDArray[np.bool_]

    @classmethod
    def of(cls, log: EventLog, stages: tuple[str, ...], channels: tuple[str, ...], watched: FloatArray | None) -> _Seen:
        """From a log, of which each customer is watched for some days; None until the window ends."""
        x = observe(log)
        end = np.full(x.n_customers, x.end)
        if watched is not None:
            end = np.minimum(end, x.first_event + watched * US_PER_DAY)
        # a microsecond more: watch times went through days
        before = x.time <= end[x.who] + 1
        n = x.n_customers
        entered = np.zeros((n, len(stages)))
        place = np.array([stages.index(name) if name in stages else -1 for name in (*log.stages, "")])
        stay = x.stays.time <= end[x.stays.who] + 1
        stage = place[x.stays.stage[stay]]
        entered[x.stays.who[stay][stage >= 0], stage[stage >= 0]] = 1.0
        touch, purchase = (rows[before[rows]] for rows in (x.rows("touch"), x.rows("purchase")))
        touches = np.zeros((n, len(channels)))
        np.add.at(touches, (x.who[touch], log.codes("channel", channels)[touch]), 1.0)
        bought = np.where(x.first_purchase <= end + 1, x.first_purchase, np.nan)
        gone = x.gone <= end + 1
        return cls(
            entered,
            touches,
            (bought - x.first_event) / US_PER_DAY,
            x.sum(purchase, money(log, "value", purchase)),
            (np.where(gone, x.gone, end) - bought) / US_PER_DAY,
            gone,
        )

    @classmethod
    def together(cls, parts: list[_Seen]) -> _Seen:
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))

    def kpis(self, days: float) -> FloatArray:
        buyers = ~np.isnan(self.to_purchase)
        median = retained = np.nan
        if buyers.any():
            median = float(np.median(self.to_purchase[buyers]))
            left = np.maximum(self.as_customer[buyers], 0.0)
            found = KaplanMeier.fit(left, self.gone[buyers]).survival(np.array([days])).value[0]
            retained = float(found)
        alone = [buyers.mean(), *self.entered.mean(axis=0), *self.touches.mean(axis=0)]
        return np.array([*alone, median, self.revenue.mean(), retained])


def _number(x: float | None) -> str:
    return "none" if x is None else f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"

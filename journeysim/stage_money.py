"""StageMoney: what a log tells of money: the values of purchases, and what contacts cost per day in each stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from journeysim.errors import InputError
from journeysim.event_columns import KINDS
from journeysim.moves import LOST
from journeysim.stage_history import segments_of, to_stage_history

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from journeysim.events import EventLog

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class StageMoney:
    """Money of G segments in S stages, in the currency of the log.

    Attributes
    ----------
    segments, stages : names
    n_purchases, mean_value, sd_value : (G,) of the values of purchases; where a segment has fewer than two, mean and
        spread are those of all segments, and the mean is as uncertain as that of two purchases
    cost, cost_squared : (G, S) sums over the contacts in a stage
    days : (G, S) customer-days in a stage
    currency : ISO 4217, or None if unknown
    """

    segments: tuple[str, ...]
    stages: tuple[str, ...]
    n_purchases: FloatArray
    mean_value: FloatArray
    sd_value: FloatArray
    cost: FloatArray
    cost_squared: FloatArray
    days: FloatArray
    currency: str | None = None

    @property
    def cost_per_day(self) -> FloatArray:
        """(G, S) cost of contacts per customer-day; 0 where nobody was seen."""
        return np.divide(self.cost, self.days, out=np.zeros_like(self.cost), where=self.days > 0)

    def draws(self, n: int, seed: int) -> tuple[FloatArray, FloatArray]:
        """(n, G) mean value of a purchase, and (n, G, S) cost per customer-day, as uncertain as the log leaves them.

        Both are gamma with the mean and standard error of the log: of a mean, sd / sqrt(purchases); of the cost of
        contacts that come as a Poisson process, sqrt(sum of squared costs) / days.
        """
        rng = np.random.default_rng(seed)
        error = self.sd_value / np.sqrt(np.maximum(self.n_purchases, 2))
        cost_error = np.divide(np.sqrt(self.cost_squared), self.days, out=np.zeros_like(self.cost), where=self.days > 0)
        return _gamma(rng, self.mean_value, error, n), _gamma(rng, self.cost_per_day, cost_error, n)


def to_stage_money(log: EventLog, *, by: str | Sequence[str] | None = None) -> StageMoney:
    """The money of a log per segment and stage; segments and stages are those of `to_stage_history(log, by=by)`.

    A contact belongs to the stage that its customer is in; those before the first stage, or after a loss, to none.

    Raises
    ------
    InputError : no purchase has a value, a value is missing or negative, or as `to_stage_history`
    """
    history = to_stage_history(log, by=by)
    segment = segments_of(log, by)[0]
    kinds, who = log.codes("kind", KINDS), log.customer_codes()
    purchase, touch = (kinds == KINDS.index(kind) for kind in ("purchase", "touch"))
    value = log.events["value"].to_numpy()[purchase].astype(np.float64)
    if not len(value):
        raise InputError("The log has no purchases, so there is no money to learn from it.")
    if not (np.isfinite(value) & (value >= 0)).all():
        raise InputError("StageMoney: a purchase of the log has no value, or a negative one; give each its value.")
    n_segments, n_stages = history.starts.shape
    bought_in = segment[who[purchase]]
    n = np.bincount(bought_in, minlength=n_segments).astype(np.float64)
    few = n < 2
    mean = np.bincount(bought_in, value, n_segments) / np.maximum(n, 1)
    squares = np.bincount(bought_in, (value - mean[bought_in]) ** 2, n_segments)
    spread = np.sqrt(squares / np.maximum(n - 1, 1))

    lost = n_stages
    stage = np.where(kinds == KINDS.index("lost"), lost, log.codes("stage", (*log.stages, LOST)))
    rows = np.arange(len(stage))
    last = np.maximum.accumulate(np.where(stage >= 0, rows, -1))  # row that told the stage last
    inside = touch & (last >= 0) & (who[last] == who)
    inside[inside] = stage[last[inside]] != lost
    costs = np.nan_to_num(log.events["cost"].to_numpy()[inside].astype(np.float64))
    cell = segment[who[inside]] * n_stages + stage[last[inside]]
    return StageMoney(
        segments=history.segments,
        stages=history.stages,
        n_purchases=n,
        mean_value=np.where(few, value.mean(), mean),
        sd_value=np.where(few, value.std(), spread),
        cost=np.bincount(cell, costs, n_segments * n_stages).reshape(history.starts.shape).astype(np.float64),
        cost_squared=np.bincount(cell, costs**2, n_segments * n_stages)
        .reshape(history.starts.shape)
        .astype(np.float64),
        days=history.exposure_days,
        currency=log.currency,
    )


def _gamma(rng: np.random.Generator, mean: FloatArray, error: FloatArray, n: int) -> FloatArray:
    """(n, ...) draws with these means and standard deviations; where the latter are 0, the mean itself."""
    sure = (error <= 0) | (mean <= 0)
    shape = np.where(sure, 1.0, mean**2 / np.where(sure, 1.0, error) ** 2)
    drawn = rng.gamma(shape, size=(n, *mean.shape)) / shape * mean
    return np.where(sure, mean, drawn)

"""Answers to surveys: customer satisfaction (CSAT, 1 to 5) and the Net Promoter Score (NPS, 0 to 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from journeysim.kpis.groups import group_customers
from journeysim.kpis.intervals import Estimates, divide, ratio, shares
from journeysim.kpis.observed import observe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from journeysim.events import EventLog
    from journeysim.kpis.groups import Cohort, Groups, Period
    from journeysim.kpis.observed import Observed

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

TOP_BOX: Final = 4  # of 5: satisfied or very satisfied
PROMOTER, DETRACTOR = 9, 6  # Reichheld (2003), The one number you need to grow, Harvard Business Review 81(12):46


def surveys(
    log: EventLog,
    *,
    by: str | None = None,
    period: Period | None = None,
    cohort: Cohort = "first_event",
    cluster: str | None = None,
) -> pl.DataFrame:
    """Answers by survey and by the stage in which they were given.

    A log records who answered, not who was asked, and does not tell who kept silent: scores are those of the people
    who answer. The response rate is therefore not known. Where answers name their stage, `answers_per_entry` is the
    response rate *if* everybody is asked on each entry into that stage, and a lower bound of it otherwise.

    Returns
    -------
    One row per group, survey and stage with answers, and one with the stage null for all stages together: `segment`
    (and `period`), `survey` (csat or nps), `stage`, `answers`, `answers_per_entry`, `measure` (mean, top_2_box, nps),
    `value`, `low`, `high` (95%; customers, or clusters, are the independent units).

    Raises
    ------
    InputError : as `kpis`
    """
    observed = observe(log)
    groups = group_customers(log, observed, by=by, period=period, cohort=cohort, cluster=cluster)
    stage = log.codes("stage", log.stages)
    frames = []
    for survey in ("csat", "nps"):
        rows = observed.rows(survey)
        for s, name in [(-1, None), *enumerate(log.stages)]:
            those = rows if s < 0 else rows[stage[rows] == s]
            if not len(those):
                continue
            answers = groups.total(observed.count(those))
            entered = observed.stays.who[observed.stays.stage == s]
            entries = groups.total(np.bincount(entered, minlength=log.n_customers))
            labels: dict[str, Any] = {**groups.labels(), "survey": [survey] * len(groups)}
            labels["stage"] = pl.Series([name] * len(groups), dtype=pl.String)
            labels["answers"] = answers.astype(np.int64)
            labels["answers_per_entry"] = divide(answers, entries) if s >= 0 else np.full(len(groups), np.nan)
            for measure, found in scores(log, observed, groups, survey, those).items():
                frames.append(pl.DataFrame({**labels, "measure": [measure] * len(groups), **found._asdict()}))
    schema: dict[str, Any] = dict.fromkeys((*groups.labels(), "survey", "stage"), pl.String)
    schema |= {"answers": pl.Int64, "answers_per_entry": pl.Float64, "measure": pl.String}
    schema |= dict.fromkeys(Estimates._fields, pl.Float64)
    frame = pl.concat([pl.DataFrame(schema=schema), *frames]).filter(pl.col("answers") > 0)
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None))


def scores(log: EventLog, observed: Observed, groups: Groups, survey: str, rows: IntArray) -> Mapping[str, Estimates]:
    """What some answers to a survey add up to: mean and top-2-box share of CSAT; NPS in points from -100 to 100."""
    value: FloatArray = log.events["value"].to_numpy()[rows]
    rows, value = rows[~np.isnan(value)], value[~np.isnan(value)]
    answers = observed.count(rows)
    if survey == "csat":
        top = observed.count(rows[value >= TOP_BOX])
        mean = ratio(groups, observed.sum(rows, value), answers, least=1, most=5)
        return {"mean": mean, "top_2_box": shares(groups, top, answers)}
    return {"nps": ratio(groups, observed.sum(rows, balance(value)), answers, least=-1, most=1).times(100)}


def balance(answers: FloatArray) -> FloatArray:
    """(k,) of answers to nps: 1 for a promoter, -1 for a detractor, 0 otherwise."""
    return (answers >= PROMOTER).astype(np.float64) - (answers <= DETRACTOR)

"""Why customers drop off: the causes that a log names, and the pain points that they had met."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from journeysim.kpis.funnel import OUT, ways, with_stages
from journeysim.kpis.intervals import wilson
from journeysim.kpis.observed import observe
from journeysim.moves import BASE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from journeysim.events import EventLog
    from journeysim.kpis.observed import Observed

    IntArray = NDArray[np.int64]

UNKNOWN: Final = "(unknown)"
"""The reason of losses without a cause in a log that names the causes of others."""


def loss_reasons(log: EventLog) -> pl.DataFrame:
    """Why customers dropped off from each stage, as far as the log tells.

    A simulated log names the `cause` of each exit: base (nothing in particular), a channel that irritated, or a pain
    point; the shares of a stage add up to 1. A log without causes knows only who had met which pain point during the
    stay that ended so. That is an association: some of them would have left anyway, and the shares overlap.

    Returns
    -------
    One row per stage and reason: `stage`, `reason`, `reason_kind` (base, channel, pain point, unknown), `evidence`
    (cause or association); `lost`, stays that ended in lost or lapsed for this reason, or else after meeting it;
    `share_of_lost` of the stage. For pain points also `met`, the stays that met it; `drop_off_met` and
    `drop_off_not_met`, the shares of stays with and without it that ended so. In the order of stages, most losses
    first. Reasons without a loss are left out, save pain points that were met.

    Raises
    ------
    InputError : the log has no stages
    """
    observed = with_stages(log, "loss_reasons")
    n, stays = len(log.stages), observed.stays
    pains, causes = log.names_in("pain_point"), (*log.names_in("cause"), UNKNOWN)
    out = np.isin(ways(log, observed), OUT)
    entries = np.bincount(stays.stage, minlength=n + 1)
    lost = np.bincount(stays.stage[out], minlength=n + 1)
    met, met_and_lost = _meetings(log, observed, pains, out)
    cause = log.codes("cause", causes)[stays.row[np.flatnonzero(out) + 1]]  # the row of the next stay tells
    has_causes = bool((cause >= 0).any())
    cause[cause < 0] = len(causes) - 1
    by_cause = np.zeros((n + 1, len(causes)), np.int64)
    np.add.at(by_cause, (stays.stage[out], cause), 1)

    rows: list[tuple[Any, ...]] = []
    for s, stage in enumerate(log.stages):
        counts = {name: int(by_cause[s, k]) for k, name in enumerate(causes)} if has_causes else {}
        here = []
        for name in dict.fromkeys((*counts, *pains)):
            of_pain: tuple[Any, ...] = (None, None, None)
            if name in pains:
                k = pains.index(name)
                others = int(entries[s] - met[s, k])
                of_pain = (
                    int(met[s, k]),
                    _share(met_and_lost[s, k], met[s, k]),
                    _share(lost[s] - met_and_lost[s, k], others),
                )
            n_lost = counts.get(name, 0) if has_causes else int(met_and_lost[s, pains.index(name)])
            if n_lost or of_pain[0]:
                evidence = "cause" if has_causes else "association"
                here.append((stage, name, _kind(name, pains), evidence, n_lost, _share(n_lost, lost[s]), *of_pain))
        rows += sorted(here, key=lambda row: -row[4])
    number, word = pl.Float64, pl.String
    schema = {"stage": word, "reason": word, "reason_kind": word, "evidence": word, "lost": pl.Int64}
    schema |= {"share_of_lost": number, "met": pl.Int64, "drop_off_met": number, "drop_off_not_met": number}
    return pl.DataFrame(rows, schema=schema, orient="row")


def pain_points(log: EventLog) -> pl.DataFrame:
    """Who met each pain point, and how many of these and of the others purchased.

    Those who come furthest have most chances to meet one: the columns compare, they do not tell what it costs.

    Returns
    -------
    One row per pain point: `pain_point`, `customers`, `share_of_customers`, `converted` (share of those who met it),
    `converted_otherwise` (share of those who did not)
    """
    names = log.names_in("pain_point")
    observed = observe(log)
    pain, bought = log.codes("pain_point", names), observed.bought
    rows = []
    for k, name in enumerate(names):
        met = np.zeros(log.n_customers, dtype=bool)
        met[observed.who[pain == k]] = True
        share, _, _ = wilson(int(bought[met].sum()), int(met.sum()))
        otherwise, _, _ = wilson(int(bought[~met].sum()), int((~met).sum()))
        rows.append((name, int(met.sum()), float(met.mean()), share, otherwise))
    number = pl.Float64
    schema = {"pain_point": pl.String, "customers": pl.Int64, "share_of_customers": number}
    schema |= {"converted": number, "converted_otherwise": number}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _meetings(
    log: EventLog, observed: Observed, pains: Sequence[str], out: NDArray[np.bool_]
) -> tuple[IntArray, IntArray]:
    """(S + 1, P) stays in each stage that met each pain point, and those of them that ended in an exit."""
    rows, stays = observed.rows("pain"), observed.stays
    shape = (len(log.stages) + 1, len(pains))
    found = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    stay = np.searchsorted(stays.row, rows, side="right") - 1
    pain = log.codes("pain_point", pains)[rows]
    known = (stay >= 0) & (pain >= 0)
    stay, pain, rows = stay[known], pain[known], rows[known]
    own = stays.who[stay] == observed.who[rows]
    stay, pain = np.divmod(np.unique(stay[own] * len(pains) + pain[own]), max(len(pains), 1))  # each once per stay
    for table, chosen in zip(found, (np.ones(len(stay), bool), out[stay]), strict=True):
        np.add.at(table, (stays.stage[stay[chosen]], pain[chosen]), 1)
    return found


def _kind(name: str, pains: Sequence[str]) -> str:
    if name in pains:
        return "pain point"
    return {BASE: "base", UNKNOWN: "unknown"}.get(name, "channel")


def _share(part: int, whole: int) -> float | None:
    return int(part) / int(whole) if whole else None

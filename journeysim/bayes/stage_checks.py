"""Does a fitted stage model describe the customers? Moves, days in stage, and the waiting times of single stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from journeysim.bayes.stage_effects import word
from journeysim.errors import InputError
from journeysim.stage_history import observed_stays

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from journeysim.bayes.posterior import Posterior
    from journeysim.events import EventLog
    from journeysim.stage_history import StageHistory

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

MIN_P_VALUE: Final = 0.01
"""Below this a check says that the model does not fit: by chance in one fit of a right model in a hundred."""


@dataclass(frozen=True, slots=True, eq=False)
class StageCheck:
    """What a fitted model would have produced in the days at risk that were observed, beside what happened.

    Attributes
    ----------
    moves : a row per segment and move; columns segment, origin, target, observed (moves made), mean, low, high (central
        90% of what the model would have produced) and p_value (two-sided)
    days : a row per segment, stage that is ever left, and later bin of the history; columns segment, stage, days,
        observed (share of stays that last longer, were none cut off: Nelson & Aalen), mean, low, high, p_value
    p_value : chance that the model would be as far from its own expectation as the moves are, over all cells together
        (chi-square discrepancy; Gelman, Meng & Stern 1996, Statistica Sinica 6)
    """

    moves: pl.DataFrame
    days: pl.DataFrame
    p_value: float

    @property
    def verdict(self) -> str:
        """What the tables mean and what to do about it."""
        if self.p_value >= MIN_P_VALUE:
            return f"The model describes moves and days in stage (p {self.p_value:.2g})."
        said = [f"The model does not describe the moves (p {self.p_value:.2g})."]
        said += [
            f"Segment {row['segment']!r} went {row['origin']} -> {row['target']} {row['observed']:,.0f} times, "
            f"expected were {row['low']:,.0f} to {row['high']:,.0f}."
            for row in self._worst(self.moves)
        ]
        said += [
            f"{row['observed']:.0%} of segment {row['segment']!r} stay in {row['stage']} for more than "
            f"{row['days']:g} days, expected were {row['low']:.0%} to {row['high']:.0%}: fit a history with "
            "bins_days='auto'."
            for row in self._worst(self.days)
        ]
        return " ".join([*said, "Split segments that differ inside, or add covariates."])

    @staticmethod
    def _worst(table: pl.DataFrame) -> list[dict[str, Any]]:
        """The row that fits worst, if it does not fit."""
        return [row for row in table.sort("p_value").head(1).to_dicts() if row["p_value"] < MIN_P_VALUE]


def check_stages(posterior: Posterior, history: StageHistory, *, seed: int, draws: int = 1000) -> StageCheck:
    """Hold a posterior against the cells of a history of the same customers, or of others.

    Given the days at risk in a cell, the moves made there are counts about hazard times days (a martingale; Aalen,
    Borgan & Gjessing 2008, ch. 2). They are drawn again from each draw of the hazards. Give a history with finer bins
    than the fitted one (`bins_days=(0, 1, 7, 30)`) to see whether hazards that the model takes to be constant are.

    Raises
    ------
    InputError : the history has other segments or moves than the posterior, or bins that do not split the fitted ones
    """
    import polars as pl

    hazards = hazards_in(posterior, history, evenly(len(posterior.hazards), draws))  # (N, G, B, Z, M)
    cells = history.cells
    at_risk = cells.exposure_days[..., history.origins]
    expected = hazards * at_risk
    again = np.random.default_rng(seed).poisson(expected).astype(np.float64)
    axes = tuple(range(1, expected.ndim))
    possible = np.where(expected > 0, expected, 1.0)
    ours = (np.where(expected > 0, (cells.counts - expected) ** 2, 0.0) / possible).sum(axis=axes)
    theirs = (np.where(expected > 0, (again - expected) ** 2, 0.0) / possible).sum(axis=axes)

    n_segments, n_moves, n_stages = len(history.segments), len(history.moves), len(history.stages)
    moves = {
        "segment": np.repeat(history.segments, n_moves),
        "origin": [origin for origin, _ in history.moves] * n_segments,
        "target": [target for _, target in history.moves] * n_segments,
        **_beside(history.counts, again.sum(axis=(2, 3))),
    }
    of_stage = np.zeros((n_moves, n_stages))
    of_stage[np.arange(n_moves), history.origins] = 1.0
    days = cells.exposure_days.sum(axis=2)  # (G, B, S)
    width = np.diff(cells.edges_days)

    def staying(counts: FloatArray) -> FloatArray:
        """(..., G, S, B - 1) share of stays that outlast each bin but the last."""
        rates = np.where(days > 0, counts.sum(axis=-2) @ of_stage, 0.0) / np.where(days > 0, days, 1.0)
        left = np.cumsum(rates[..., :-1, :] * width[:, None], axis=-2)
        return np.asarray(np.exp(-np.swapaxes(left, -1, -2)))

    n_edges = len(width)
    # (G, S) stages that somebody was in and that are ever left
    told = (days.sum(axis=1) > 0) & (of_stage.sum(axis=0) > 0)
    stay = {
        "segment": np.repeat(history.segments, n_stages * n_edges),
        "stage": np.tile(np.repeat(history.stages, n_edges), n_segments),
        "days": np.tile(cells.edges_days[1:], n_segments * n_stages),
        **_beside(staying(cells.counts), staying(again)),
    }
    days_table = pl.DataFrame(stay).filter(pl.Series(np.repeat(told.ravel(), n_edges)))
    return StageCheck(pl.DataFrame(moves), days_table, float((theirs >= ours).mean()))


def waiting_time_pit(posterior: Posterior, log: EventLog, *, by: str | None = None, seed: int) -> FloatArray:
    """(n,) probability integral transform of the days of each stay in a stage that is ever left: uniform if all fits.

    1 - exp(-H), with H the hazard of leaving that has accumulated, averaged over draws. Of a stay that was open at the
    end it is only known that the value is larger: it is drawn from there to 1 (randomised, as in Czado, Gneiting & Held
    2009, Biometrics 65). `scipy.stats.kstest(pit, "uniform")` or a histogram tells whether it is uniform.

    Parameters
    ----------
    by : as given to `to_stage_history` for the fit

    Raises
    ------
    InputError : the posterior depends on covariates, or has other segments or stages than the log
    """
    if posterior.covariates:
        raise InputError(
            "waiting_time_pit: hazards change with covariates within a stay; use check_stages, which follows them."
        )
    segments, segment, stage, days, moved = observed_stays(log, by=by)
    for what, mine, theirs in (
        ("segments", posterior.segments, segments), ("stages", posterior.stages, log.stages)
    ):  # fmt: skip
        if tuple(mine) != tuple(theirs):
            raise InputError(f"waiting_time_pit: the posterior has {what} {list(mine)}, the log {list(theirs)}.")
    leaving = np.zeros((len(posterior.moves), len(posterior.stages)))
    leaving[np.arange(len(leaving)), posterior.history.origins] = 1.0
    kept = leaving.sum(axis=0)[stage] > 0
    segment, stage, days, moved = segment[kept], stage[kept], days[kept], moved[kept]
    begins = np.array(posterior.edges_days)
    spent = np.clip(days[:, None] - begins, 0.0, np.append(np.diff(begins), np.inf))  # (n, B) days in each bin
    chosen = evenly(len(posterior.hazards), 400)
    total = posterior.hazards_in_bins[chosen] @ leaving  # (N, G, B, S)
    left = np.zeros(len(days))
    for draw in total:
        left -= np.expm1(-np.einsum("nb,nb->n", draw[segment, :, stage], spent))
    left /= len(chosen)
    u = np.random.default_rng(seed).random(len(left))
    return np.asarray(np.where(moved, left, left + u * (1.0 - left)))


def moves_again(posterior: Posterior, draws: int = 1000) -> FloatArray:
    """(C, D, G * M) moves drawn again in the days at risk of the fitted history, summed over cells.

    From evenly spaced draws of each chain, `draws` in all; the random numbers are those of the seed of the fit.
    """
    cells, by_chain = posterior.history.cells, posterior.hazards_by_chain
    n_chains, n_draws = by_chain.shape[:2]
    kept = evenly(n_draws, max(1, draws // n_chains))
    chosen = (n_draws * np.arange(n_chains)[:, None] + kept).ravel()
    hazards = hazards_in(posterior, posterior.history, chosen)
    expected = np.einsum("ngbzm,gbzm->ngm", hazards, cells.exposure_days[..., posterior.history.origins])
    again = np.random.default_rng([posterior.seed, 1]).poisson(expected)
    return np.asarray(again.reshape(n_chains, len(kept), -1), dtype=np.float64)


def hazards_in(posterior: Posterior, history: StageHistory, chosen: IntArray) -> FloatArray:
    """(N, G, B, Z, M) hazards in the cells of a history that may be finer than the fitted one, of N chosen draws.

    The history may split segments where the posterior has one, its bins, and by covariates where it has none.
    """
    mine, cells = posterior.history, history.cells
    if posterior.seen_at_visits:
        raise InputError("Stages were seen at visits only: there are no days at risk to hold the fit against.")
    for what, ours, theirs in (("stages", mine.stages, history.stages), ("moves", mine.moves, history.moves)):
        if ours != theirs:
            raise InputError(f"The posterior has {what} {ours}, the history {theirs}; take both from the same log.")
    if mine.segments != history.segments and len(mine.segments) > 1:
        raise InputError(f"The posterior has segments {mine.segments}, the history {history.segments}.")
    if not set(posterior.edges_days) <= set(cells.edges_days):
        raise InputError(
            f"The fit has bins that begin at {posterior.edges_days} days, the history at {cells.edges_days}; give a "
            "history whose bins split those of the fit."
        )
    if mine.cells.covariates not in ((), cells.covariates):
        raise InputError(
            f"The fit has the covariates {', '.join(posterior.covariates)}; give a history with the same ones."
        )
    at = np.searchsorted(posterior.edges_days, cells.edges_days, side="right") - 1
    hazards = posterior.hazards_in_bins[chosen][:, :, at]
    shape = (len(chosen), len(history.segments), len(at), cells.counts.shape[2], len(history.moves))
    factor = np.ones((len(chosen), 1, shape[-1]))
    for name, _ in mine.cells.covariates:
        of_class = posterior.more[f"factor_{word(name)}"].draws.reshape(len(posterior.hazards), -1, shape[-1])[chosen]
        of_class = np.concatenate([np.ones_like(of_class[:, :1]), of_class], axis=1)
        factor = (factor[:, :, None] * of_class[:, None]).reshape(len(chosen), -1, shape[-1])
    return np.broadcast_to(hazards[:, :, :, None] * factor[:, None, None], shape)


def evenly(n_draws: int, most: int) -> IntArray:
    """At most so many of the draws, evenly spaced."""
    return np.unique(np.linspace(0, n_draws - 1, min(n_draws, most)).astype(np.int64))


def _beside(observed: FloatArray, again: FloatArray) -> dict[str, FloatArray]:
    """Columns: observed, mean, low, high and two-sided p-value of replications (N, ...)."""
    low, high = np.quantile(again, [0.05, 0.95], axis=0)
    # rounding must not make a tie an extreme
    gap = again - observed
    slack = 1e-12 * (1 + np.abs(observed))
    as_extreme = np.minimum((gap <= slack).mean(axis=0), (gap >= -slack).mean(axis=0))
    columns = {
        "observed": observed, "mean": again.mean(axis=0), "low": low, "high": high,
        "p_value": np.minimum(2 * as_extreme, 1.0),
    }  # fmt: skip
    return {name: values.ravel() for name, values in columns.items()}

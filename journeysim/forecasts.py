"""Forecast: what a scenario does to conversion and retention, in closed form over every draw of a posterior.

Where hazards are constant, a customer of one segment is a continuous-time Markov chain with generator Q, so the state
after t days is the matrix exponential exp(Q t) (Norris 1997, Markov Chains, section 2.1). Where they depend on time in
stage, it is a semi-Markov chain: `journeysim.semi_markov`. A scenario multiplies hazards; baseline and scenario share
each draw, so their difference is sharper than either of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from journeysim.ctmc import transition_probabilities
from journeysim.errors import InputError
from journeysim.moves import LAPSED, LOST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from rich.console import JustifyMethod

    from journeysim.bayes.posterior import Posterior
    from journeysim.scenario import Scenario

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

INTERVAL = (0.05, 0.95)
"""Quantiles of the 90% intervals in tables and plots."""

ROUNDING = 1e-9
"""Differences below this are rounding: the scenario does not touch the measure."""


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """What one version of the world does, one number per draw.

    Attributes
    ----------
    conversion : (N,) share of customers who purchase within `conversion_days`
    retention : (N,) share of these who are still active customers `retention_days` after the first purchase
    """

    conversion: FloatArray
    retention: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Baseline and scenarios, draw by draw.

    Attributes
    ----------
    conversion_days, retention_days : the horizons
    baseline : the measures without any change
    scenarios : the K names
    changed : (K,) measures under each scenario, on the same draws as the baseline
    unseen : (K,) what each scenario changes but nobody was seen to do, such as "exit from loyalty"; mostly empty
    """

    conversion_days: float
    retention_days: float
    baseline: Measures
    scenarios: tuple[str, ...]
    changed: tuple[Measures, ...]
    unseen: tuple[tuple[str, ...], ...]

    def __repr__(self) -> str:
        return (
            f"Forecast({len(self.scenarios)} scenario{'' if len(self.scenarios) == 1 else 's'}, conversion within "
            f"{self.conversion_days:g} days, retention at {self.retention_days:g} days, "
            f"{len(self.baseline.conversion):,} draws)"
        )

    def __str__(self) -> str:
        """The table in 80 columns: shares in percent, differences and their 90% intervals in percentage points."""
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for heading in ("scenario", "measure", "days", "baseline", "forecast", "difference\n(pp)", "90% interval"):
            words = heading in ("scenario", "measure")
            side: JustifyMethod = "left" if words else "right"
            table.add_column(heading, justify=side, overflow="fold", no_wrap=heading != "scenario")
        for (scenario,), rows in self.to_frame().group_by("scenario", maintain_order=True):
            cells = zip(*(_in_words(row) for row in rows.iter_rows(named=True)), strict=True)
            table.add_row(Text(str(scenario)), *map("\n".join, cells))
        console = Console(file=StringIO(), width=80, color_system=None)
        with console.capture() as capture:
            console.print(table)
        return "\n".join(line.rstrip() for line in capture.get().strip("\n").splitlines()).rstrip()

    def difference(self, scenario: str, measure: str) -> FloatArray:
        """(N,) scenario minus baseline, for `conversion` or `retention`."""
        changed = self.changed[self.scenarios.index(scenario)]
        return np.asarray(getattr(changed, measure) - getattr(self.baseline, measure))

    def to_frame(self) -> pl.DataFrame:
        """One row per scenario and measure.

        Columns: scenario, measure, days, baseline, forecast (posterior means, shares of customers), difference with its
        central 90% interval low to high, and p_improves, the posterior probability that the difference is positive
        (null where the scenario cannot change the measure at all); and unseen, what the scenario changes but nobody was
        seen to do, so that the fit knows nothing of it.
        """
        rows = []
        for scenario, changed, unseen in zip(self.scenarios, self.changed, self.unseen, strict=True):
            for measure, days in (("conversion", self.conversion_days), ("retention", self.retention_days)):
                difference = self.difference(scenario, measure)
                low, high = np.quantile(difference, INTERVAL)
                can_change = bool(np.abs(difference).max() > ROUNDING)
                rows.append(
                    {
                        "scenario": scenario,
                        "measure": measure,
                        "days": days,
                        "baseline": float(getattr(self.baseline, measure).mean()),
                        "forecast": float(getattr(changed, measure).mean()),
                        "difference": float(difference.mean()),
                        "low": float(low),
                        "high": float(high),
                        "p_improves": float((difference > ROUNDING).mean()) if can_change else None,
                        "unseen": ", ".join(unseen) or None,
                    }
                )
        columns = ("days", "baseline", "forecast", "difference", "low", "high", "p_improves")
        words = {"scenario": pl.String, "measure": pl.String}
        return pl.DataFrame(rows, schema={**words, **dict.fromkeys(columns, pl.Float64), "unseen": pl.String})


def _in_words(row: Mapping[str, Any]) -> list[str]:
    """The cells of a row of `to_frame`, from the measure on."""
    told = [row["measure"], f"{row['days']:g}", f"{row['baseline']:.2%}", f"{row['forecast']:.2%}"]
    if row["p_improves"] is None:
        return [*told, "not seen" if row["unseen"] else "no change", ""]
    difference, low, high = (signed(100 * row[name]) for name in ("difference", "low", "high"))
    return [*told, difference, f"{low} to {high}"]


def signed(number: float) -> str:
    """A difference with its sign and two decimals; what rounds to nothing has no sign."""
    return f"{number:+.2f}" if round(number, 2) else "0.00"


def forecast(
    posterior: Posterior,
    scenarios: Sequence[Scenario],
    *,
    conversion_days: float,
    retention_days: float,
    require_converged: bool = True,
) -> Forecast:
    """Forecast each scenario against the baseline.

    Parameters
    ----------
    conversion_days, retention_days : horizons in days, > 0
    require_converged : refuse draws that cannot be trusted

    Raises
    ------
    InputError : a horizon is not positive, a scenario names an unknown stage, no stage is a purchase or none
        is ever reached, two scenarios share a name, or the fit did not converge
    """
    for name, days in (("conversion_days", conversion_days), ("retention_days", retention_days)):
        if not 0 < days < np.inf:
            raise InputError(f"{name} is {days}; it must be a positive number of days.")
    if len({scenario.name for scenario in scenarios}) < len(scenarios):
        raise InputError("Two scenarios share a name; give each its own.")
    if require_converged:
        posterior.require_converged()

    def measures(scenario: Scenario | None) -> Measures:
        converted = _purchases(posterior, scenario, conversion_days)  # (N, G, S)
        active = _active(posterior, scenario, retention_days)  # (N, G, S)
        conversion = converted.sum(axis=(1, 2))
        return Measures(conversion, (converted * active).sum(axis=(1, 2)) / conversion)

    return Forecast(
        conversion_days=conversion_days,
        retention_days=retention_days,
        baseline=measures(None),
        scenarios=tuple(scenario.name for scenario in scenarios),
        changed=tuple(measures(scenario) for scenario in scenarios),
        unseen=tuple(
            tuple(scenario.unseen(posterior.moves, stages=posterior.stages, purchase_stages=posterior.purchase_stages))
            for scenario in scenarios
        ),
    )


def conversion_curve(posterior: Posterior, days: FloatArray, scenario: Scenario | None = None) -> FloatArray:
    """(N, T) share of customers who purchase within each of `days` (T,), evenly spaced from 0.

    Raises
    ------
    InputError : `days` are not so, or as `forecast`
    """
    _check_grid(days)
    purchases = _purchase_indices(posterior)
    return np.asarray(_entered(posterior, scenario, _start_weights(posterior), purchases, days).sum(axis=(1, 3)))


def retention_curve(posterior: Posterior, days: FloatArray, scenario: Scenario | None = None) -> FloatArray:
    """(N, T) share of customers active after each of `days` (T,) since the first purchase, evenly spaced from 0.

    Segments weigh in by who purchases within the last of `days`.

    Raises
    ------
    InputError : `days` are not evenly spaced from 0, or as `forecast`
    """
    _check_grid(days)
    bought = _purchases(posterior, scenario, float(days[-1]))
    weights = bought / bought.sum(axis=(1, 2), keepdims=True)
    return np.asarray(1.0 - _entered(posterior, scenario, weights, _gone(posterior), days).sum(axis=(1, 3)))


def _purchases(posterior: Posterior, scenario: Scenario | None, days: float) -> FloatArray:
    """(N, G, S) share of all customers whose first purchase, within `days`, is in segment g and purchase stage s."""
    purchases = _purchase_indices(posterior)
    reached = _entered(posterior, scenario, _start_weights(posterior), purchases, np.array([days]))
    bought = np.zeros((*reached.shape[:2], len(posterior.stages)))
    bought[..., purchases] = reached[:, :, 0]
    if not bought.any(axis=(1, 2)).all():
        raise InputError("No move of this history leads to a purchase, so there is no conversion to forecast.")
    return bought


def _active(posterior: Posterior, scenario: Scenario | None, days: float) -> FloatArray:
    """(N, G, S) probability that a customer who purchased in stage s is neither lost nor lapsed within `days`.

    Zero for stages that are no purchase.
    """
    active = np.zeros((len(posterior.hazards), len(posterior.starts), len(posterior.stages)))
    for purchase in _purchase_indices(posterior):
        weights = np.zeros_like(posterior.starts)
        weights[:, purchase] = 1.0
        gone = _entered(posterior, scenario, weights, _gone(posterior), np.array([days]))
        active[..., purchase] = 1.0 - gone[:, :, 0].sum(axis=-1)
    return active


def _gone(posterior: Posterior) -> list[int]:
    """The states of those who left: lapsing ends retention like losing."""
    lapsed = [posterior.stages.index(LAPSED)] if LAPSED in posterior.stages else []
    return [*lapsed, len(posterior.stages)]


def _entered(
    posterior: Posterior, scenario: Scenario | None, weights: FloatArray, ends: list[int], days: FloatArray
) -> FloatArray:
    """(N, G, T, E) share of customers who have entered each of the states `ends` by each of `days`.

    Customers begin with weights (G, S) or (N, G, S), having just entered their stage. Closed form where hazards are
    constant; a renewal equation on a grid, refined until it stands still, where they depend on time in stage.
    """
    if posterior.covariates:
        raise InputError(
            "Forecast: the hazards of this posterior depend on what customers meet, which a forecast from stages does "
            "not follow. Hold the classes fixed with `posterior.holding(NAME='class')`, or fit a history without "
            "covariates, whose hazards are averages over what customers met."
        )
    hazards = posterior.hazards_in_bins  # (N, G, B, M)
    if scenario is not None:
        hazards = hazards * scenario.hazard_factors(
            posterior.moves, stages=posterior.stages, purchase_stages=posterior.purchase_stages
        )
    shape = (*hazards.shape[:2], len(posterior.stages))
    weights = np.broadcast_to(weights, shape)
    if hazards.shape[2] > 1:
        from journeysim.semi_markov import absorbed

        found = absorbed(
            hazards.reshape(-1, *hazards.shape[2:]),
            np.array(posterior.edges_days),
            *_indices(posterior),
            weights.reshape(-1, shape[2]),
            np.array(ends),
            days,
        )
        return found.reshape(*shape[:2], *found.shape[1:])
    Q = _generators(posterior, hazards[:, :, 0])
    Q[:, :, ends, :] = 0.0
    state = np.concatenate([weights, np.zeros((*shape[:2], 1))], axis=-1)
    if len(days) == 1:
        P = transition_probabilities(Q, float(days[0]))
        return np.asarray(np.einsum("ngs,ngsk->ngk", state, P)[:, :, None, ends])
    P = transition_probabilities(Q, days[1] - days[0])
    shares = [state[..., ends]]
    for _ in days[1:]:
        state = np.einsum("ngs,ngsk->ngk", state, P)
        shares.append(state[..., ends])
    return np.stack(shares, axis=2)


def _generators(posterior: Posterior, hazards: FloatArray) -> FloatArray:
    """(N, G, S + 1, S + 1) generator matrices of hazards (N, G, M); the last state is lost."""
    n_states = len(posterior.stages) + 1
    Q = np.zeros((*hazards.shape[:2], n_states, n_states))
    Q[:, :, *_indices(posterior)] = hazards
    diagonal = np.arange(n_states)
    Q[:, :, diagonal, diagonal] = -Q.sum(axis=-1)
    return Q


def _indices(posterior: Posterior) -> tuple[IntArray, IntArray]:
    """(M,) stage that each move leaves, and state that it enters."""
    names = (*posterior.stages, LOST)
    origins, targets = zip(*posterior.moves, strict=True)
    return np.array([names.index(name) for name in origins]), np.array([names.index(name) for name in targets])


def _check_grid(days: FloatArray) -> None:
    if len(days) < 2 or days[0] != 0 or not days[-1] > 0 or not np.allclose(days, np.linspace(0, days[-1], len(days))):
        raise InputError(f"days are {np.array2string(np.asarray(days), threshold=6)}; take np.linspace(0, horizon, n).")


def _start_weights(posterior: Posterior) -> FloatArray:
    """(G, S) share of customers by segment and first stage."""
    return np.asarray(posterior.starts / posterior.starts.sum())


def _purchase_indices(posterior: Posterior) -> list[int]:
    if not posterior.purchase_stages:
        raise InputError("No stage of this history is a purchase, so there is no conversion to forecast.")
    return [posterior.stages.index(name) for name in posterior.purchase_stages]

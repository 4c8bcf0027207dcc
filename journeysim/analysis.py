"""The analysis of a real log: attribution, a stage model, and what it would help to lose fewer customers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from journeysim import sections
from journeysim.bayes import StageModel
from journeysim.errors import InputError
from journeysim.forecasts import forecast
from journeysim.journeys import to_journeys
from journeysim.kpis import converted_within, drop_off, kpis, pain_points, retained_after
from journeysim.moves import LOST
from journeysim.new_outputs import new_directory
from journeysim.outputs import OnProgress, silent, write_outputs
from journeysim.report import Report, Table
from journeysim.scenario import Scenario, improve_stage
from journeysim.stage_history import to_stage_history

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import polars as pl

    from journeysim.attribution import Attribution
    from journeysim.events import EventLog
    from journeysim.forecasts.result import FloatArray
    from journeysim.kpis import Estimate
    from journeysim.stage_history import StageHistory


@dataclass(frozen=True, slots=True)
class Findings:
    """What the analysis found.

    Attributes
    ----------
    attribution : Markov removal effects, order 1; None if the log has no channels
    forecasts : the table of what-ifs
    check : whether conversion and retention of the fitted model are those of the log, in sentences
    """

    attribution: Attribution | None
    forecasts: pl.DataFrame
    check: tuple[str, ...]


def fewer_lost(history: StageHistory) -> list[Scenario]:
    """What if a stage lost a third fewer customers? One scenario for each stage that loses any."""
    losing = [origin for origin, target in history.moves if target == LOST]
    return [improve_stage(stage, exit=2 / 3, name=f"{stage} loses a third fewer customers") for stage in losing]


def run_analysis(
    log: EventLog,
    out: str | Path,
    *,
    title: str = "What the log says",
    by: str | None = None,
    scenarios: Sequence[Scenario] = (),
    conversion_days: float = 90.0,
    retention_days: float = 30.0,
    seed: int = 1,
    on_progress: OnProgress = silent,
) -> Findings:
    """Attribute, fit and forecast from a real log, and write what comes out into the new directory `out`.

    Writes `kpis.csv`, `drop_off.csv`, `pain_points.csv` and `attribution.csv` (where the log has such), then
    `stage_rates.csv`, `forecast.csv`, `posterior.nc` (to go on from with `Posterior.load`) and `report.html`.

    Parameters
    ----------
    by : attribute of customers to split the stage model by
    scenarios : what-ifs; by default that each stage that loses customers in turn loses a third fewer
    conversion_days, retention_days : horizons of the forecasts

    Raises
    ------
    InputError : `out` exists, nobody purchases, a stage of a scenario is unknown, or the fit did not converge
    """
    with new_directory(out) as folder:
        if "purchase" not in log.names_in("kind"):
            raise InputError(
                "Nobody in this log purchases, so there is nothing to attribute or to forecast. Does the map name the "
                "right stage and its events?"
            )
        history = to_stage_history(log, by=by)
        scenarios = [*scenarios] or fewer_lost(history)
        on_progress("attribute", 0, 1)
        results, attributed = {}, []
        if log.names_in("channel"):
            journeys = to_journeys(log)
            results = sections.attributions(journeys)
            attributed = [sections.attribution_section(results, journeys)]
        on_progress("attribute", 1, 1)

        on_progress("fit the stage model", 0, 1)
        for longer in (1, 4, 16):  # few moves in many segments need more draws than the default
            posterior = StageModel().fit(history, seed=seed, draws=1000 * longer, warmup=500 * longer)
            if posterior.diagnostics.ok:
                break
        on_progress("fit the stage model", 1, 1)
        on_progress("forecast", 0, 1)
        result = forecast(posterior, scenarios, conversion_days=conversion_days, retention_days=retention_days)
        on_progress("forecast", 1, 1)

        on_progress("write the report", 0, 1)
        figures, stages, pains = kpis(log), drop_off(log), pain_points(log)
        check = [
            _check("conversion", result.baseline.conversion, converted_within(log, conversion_days), conversion_days),
            _check("retention", result.baseline.retention, retained_after(log, retention_days), retention_days),
        ]
        tables = {
            "kpis": figures,
            "drop_off": stages,
            "stage_rates": posterior.summary(),
            "forecast": result.to_frame(),
        }
        if results:
            tables["attribution"] = sections.attribution_table(results)
        shown = [sections.kpi_table(figures), sections.drop_off_table(stages)]
        if not pains.is_empty():
            tables["pain_points"] = pains
            formats = dict.fromkeys(("share_of_customers", "converted", "converted_otherwise"), ".1%")
            shown.append(Table(pains, "Pain points, and who converted with and without", formats))
        report = Report(
            title=title,
            summary=(
                f"{log.n_customers:,} customers, {log.n_events:,} events from {log.start:%Y-%m-%d} to "
                f"{log.end:%Y-%m-%d}.",
                *sections.forecast_sentences(result),
                *check,
            ),
            sections=(
                sections.journey_section(history, shown, notes=() if pains.is_empty() else [sections.PAIN_POINTS]),
                *attributed,
                sections.model_section(posterior, note=sections.INTERVALS),
                sections.forecast_section(result, posterior, scenarios),
            ),
        )
        write_outputs(folder, tables, posterior, report)
        on_progress("write the report", 1, 1)
    return Findings(results.get("markov"), tables["forecast"], tuple(check))


def _check(measure: str, draws: FloatArray, observed: Estimate, days: float) -> str:
    """Whether the fitted model says of the log itself what the log says, without any scenario."""
    modelled = float(draws.mean())
    value, low, high = observed
    told = f"Check of the model: {measure} at {days:g} days is {modelled:.1%} by the model"
    if value is None or low is None or high is None:
        return f"{told}; the log is too short, or too small, to show it."
    shown = f"{told} and {value:.1%} in the log (95% interval {low:.1%} to {high:.1%}, Kaplan-Meier)"
    if low <= modelled <= high:
        return f"{shown}: they agree."
    return (
        f"{shown}: the model is outside. Hazards of this log are not constant during a stay; take what is said of "
        f"{measure} as a direction and an order of size."
    )

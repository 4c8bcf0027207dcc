"""The analysis of a real log: attribution, a stage model, and what it would help to lose fewer customers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from journeysim import sections
from journeysim.bayes import StageModel
from journeysim.errors import InputError
from journeysim.forecasts import forecast
from journeysim.journeys import to_journeys
from journeysim.kpis import converted_within, drop_off, kpis, pain_points
from journeysim.log_files import new_directory
from journeysim.moves import LOST
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
    from journeysim.stage_history import StageHistory


@dataclass(frozen=True, slots=True)
class Findings:
    """What the analysis found.

    Attributes
    ----------
    attribution : Markov removal effects, order 1; None if the log has no channels
    forecasts : the table of what-ifs
    """

    attribution: Attribution | None
    forecasts: pl.DataFrame


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
        posterior = StageModel().fit(history, seed=seed)
        if not posterior.diagnostics.ok:  # few moves in many segments need more draws than the default
            posterior = StageModel().fit(history, seed=seed, draws=4000, warmup=2000)
        on_progress("fit the stage model", 1, 1)
        on_progress("forecast", 0, 1)
        result = forecast(posterior, scenarios, conversion_days=conversion_days, retention_days=retention_days)
        on_progress("forecast", 1, 1)

        on_progress("write the report", 0, 1)
        figures, stages, pains = kpis(log), drop_off(log), pain_points(log)
        observed, low, high = converted_within(log, conversion_days)
        modelled = float(result.baseline.conversion.mean())
        shown_by_log = (
            "this log is too short to show the share itself"
            if observed is None or low is None or high is None
            else f"the log itself shows {observed:.1%} (95% interval {low:.1%} to {high:.1%}, Kaplan-Meier)"
        )
        check = (
            f"A check of the model: within {conversion_days:g} days of their first event it lets {modelled:.1%} of "
            f"customers purchase; {shown_by_log}. "
            "Where the two lie apart, hazards are not constant during a stay: read the differences that scenarios make "
            "as their direction and order of size."
        )
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
            ),
            sections=(
                sections.journey_section(history, shown),
                *attributed,
                sections.model_section(posterior, note=check),
                sections.forecast_section(result, posterior, scenarios),
            ),
        )
        write_outputs(folder, tables, posterior, report)
        on_progress("write the report", 1, 1)
    return Findings(results.get("markov"), tables["forecast"])

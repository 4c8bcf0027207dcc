"""The demo: simulate a packaged world, attribute, fit, forecast, and hold every answer against the known truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from journeysim import sections, worlds
from journeysim.bayes import StageModel
from journeysim.forecasts import forecast
from journeysim.journeys import to_journeys
from journeysim.kpis import drop_off, kpis
from journeysim.log_files import fill_log_directory
from journeysim.new_outputs import new_directory
from journeysim.outputs import OnProgress, silent, write_outputs
from journeysim.report import Report
from journeysim.scenario import improve_stage
from journeysim.scores import forecast_against_simulation
from journeysim.simulation import incremental_effects, simulate, simulate_changes
from journeysim.stage_history import to_stage_history

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from journeysim.attribution import Attribution

WORLD: Final = "considered-purchase"
HORIZON_DAYS: Final = 180.0
RETENTION_DAYS: Final = 90.0
CHECK_CUSTOMERS: Final = 4
"""How many times the customers of the fit the simulator is asked with: a check must be sharper than what it checks."""
SCENARIOS: Final = (
    improve_stage("decision", exit=0.5, name="decision loses half as many"),
    improve_stage("evaluation", forward=1.25, name="evaluation 25% quicker"),
    improve_stage("experience", exit=0.5, name="experience loses half as many"),
)


@dataclass(frozen=True, slots=True)
class DemoFindings:
    """What the demo found, for who wants more than the report.

    Attributes
    ----------
    n_events : rows of the simulated log
    attribution : Markov removal effects, order 1
    credit : share per channel and method, and the true incremental share
    forecasts : the table of forecasts
    comparison : each forecast beside the simulation of the same scenario
    """

    n_events: int
    attribution: Attribution
    credit: pl.DataFrame
    forecasts: pl.DataFrame
    comparison: pl.DataFrame


def run_demo(
    out: str | Path, *, n_customers: int = 100_000, seed: int = 1, on_progress: OnProgress = silent
) -> DemoFindings:
    """Run the whole chain on the packaged world of a considered purchase, and write what comes out.

    Writes into the new directory `out`: the log, `kpis.csv`, `drop_off.csv`, `attribution.csv`, `truth.csv`,
    `stage_rates.csv`, `forecast.csv`, `forecast_check.csv`, `posterior.nc` (to go on from with `Posterior.load`) and
    `report.html`.

    Raises
    ------
    InputError : `out` exists, or a number is out of range
    """
    world = worlds.load(WORLD)
    with new_directory(out) as folder:
        log = simulate(
            world,
            n_customers=n_customers,
            horizon_days=HORIZON_DAYS,
            seed=seed,
            on_progress=lambda done: on_progress("simulate", done, n_customers),
        )
        on_progress("write the log", 0, 1)
        (folder / "log").mkdir()
        fill_log_directory(log, folder / "log")
        on_progress("write the log", 1, 1)

        on_progress("attribute", 0, 1)
        journeys = to_journeys(log)
        results = sections.attributions(journeys)
        on_progress("attribute", 1, 1)
        truth = incremental_effects(
            world,
            n_customers=n_customers,
            horizon_days=HORIZON_DAYS,
            seed=seed,
            on_progress=lambda done: on_progress("true effects (twin runs)", done, len(world.channels) + 1),
        )

        on_progress("fit the stage model", 0, 1)
        history = to_stage_history(log, by="persona")
        posterior = StageModel().fit(history, seed=seed)
        on_progress("fit the stage model", 1, 1)

        on_progress("forecast", 0, 1)
        result = forecast(posterior, SCENARIOS, conversion_days=HORIZON_DAYS, retention_days=RETENTION_DAYS)
        on_progress("forecast", 1, 1)
        on_progress("simulate the same scenarios", 0, 1)
        simulated = simulate_changes(
            world,
            SCENARIOS,
            n_customers=CHECK_CUSTOMERS * n_customers,
            conversion_days=HORIZON_DAYS,
            retention_days=RETENTION_DAYS,
            seed=(seed + 1) % 2**64,  # other draws than the fit saw, so that the two answers are independent
        )
        on_progress("simulate the same scenarios", 1, 1)

        on_progress("write the report", 0, 1)
        figures, stages = kpis(log), drop_off(log)
        tables = {
            "kpis": figures,
            "drop_off": stages,
            "attribution": sections.attribution_table(results),
            "truth": truth.to_frame(),
            "stage_rates": posterior.summary(),
            "forecast": result.to_frame(),
            "forecast_check": forecast_against_simulation(result, simulated),
        }
        report = Report(
            title=f"{world.title or world.name}: what moves customers, and what would help",
            summary=(
                f"{n_customers:,} customers were simulated for {HORIZON_DAYS:g} days with seed {seed}: "
                f"{log.n_events:,} events, {journeys.n_conversions + journeys.untouched_conversions:,.0f} conversions.",
                *sections.forecast_sentences(result, simulated=simulated),
                sections.INTERVALS,
            ),
            sections=(
                sections.journey_section(history, [sections.kpi_table(figures), sections.drop_off_table(stages)]),
                sections.attribution_section(results, journeys, truth=truth),
                sections.model_section(posterior),
                sections.forecast_section(result, posterior, SCENARIOS, simulated=simulated),
            ),
        )
        write_outputs(folder, tables, posterior, report)
        on_progress("write the report", 1, 1)
    return DemoFindings(
        n_events=log.n_events,
        attribution=results["markov"],
        credit=sections.credit_table(results, truth),
        forecasts=tables["forecast"],
        comparison=tables["forecast_check"],
    )

"""Sections of a report: what was found, in words, pictures and tables; for the demo and for real logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from journeysim.attribution import STANDARD_METHODS, attribute
from journeysim.forecasts import conversion_curve, signed
from journeysim.plots import METHODS, attribution_chart, curve_chart, forecast_chart, stage_map
from journeysim.report import Section, Table, probability
from journeysim.scores import AGREEMENT_Z, forecast_against_simulation, share_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from journeysim.attribution import Attribution
    from journeysim.bayes import Posterior
    from journeysim.forecasts import Forecast
    from journeysim.journeys import Journeys
    from journeysim.scenario import Scenario
    from journeysim.simulation import IncrementalEffects, SimulatedChange
    from journeysim.stage_history import StageHistory

WHY_THEY_DIFFER = (
    "What forecast and simulation cannot agree on is what a stage model leaves out. It takes the hazard of a move to "
    "be the same throughout a stay. In the simulated world it is not: the influence of contacts builds up and fades, "
    "pain points hold back some customers of a stage while the others move on, triggered contacts come after a delay, "
    "and satisfaction carries over from one stage to the next. More customers do not mend that; they show it better."
)
INTERVALS = (
    "Intervals carry what the data leave open about the rates of the stage model. They do not carry what the model "
    "leaves out: where hazards change during a stay, the truth may lie outside."
)
PAIN_POINTS = (
    "Those who come furthest have most chances to meet a pain point, and they convert most: a higher share among those "
    "who met one does not say that it does no harm."
)
NOTHING_TO_IMPROVE = "No stage of this log loses customers, so none can lose fewer; scenarios of your own may say more."
ACRONYMS = ("clv", "csat", "nps")
SHARES = {"share": "z.1%", "removal_effect": ".4f", "conversions": ",.1f", "value": ",.0f"}
CHANGES = {
    **dict.fromkeys(("baseline", "forecast"), ".2%"),
    **dict.fromkeys(("difference", "low", "high"), "pp"),
    "p_improves": "probability",
    "days": "g",
}


def attributions(journeys: Journeys) -> dict[str, Attribution]:
    """What the standard methods say of the journeys."""
    return {method: attribute(journeys, method) for method in STANDARD_METHODS}


def attribution_table(results: Mapping[str, Attribution]) -> pl.DataFrame:
    """All results under each other: method, channel, conversions, value, share, removal_effect."""
    return pl.concat(result.to_frame().insert_column(0, _constant(name, result)) for name, result in results.items())


def credit_table(results: Mapping[str, Attribution], truth: IncrementalEffects) -> pl.DataFrame:
    """Share per channel, a column for each method, and the true incremental share; the truly greatest first."""
    true_share = pl.DataFrame({"channel": truth.channels, "truth": truth.share})
    for method, result in results.items():
        shares = result.to_frame().select("channel", pl.col("share").alias(method))
        true_share = true_share.join(shares, on="channel", how="left")
    return true_share.sort("truth", descending=True)


def kpi_table(figures: pl.DataFrame) -> Table:
    """KPIs for readers: each value in its unit."""
    shown = [
        (in_words(row["kpi"]), in_unit(row["value"], row["unit"]), _interval(row))
        for row in figures.iter_rows(named=True)
        if row["value"] is not None
    ]
    return Table(pl.DataFrame(shown, schema=["figure", "value", "95% interval"], orient="row"), "Key figures")


def drop_off_table(stages: pl.DataFrame) -> Table:
    """What became of those who entered each stage."""
    return Table(stages, "Drop-off by stage", {"drop_off": ".1%"})


def in_words(kpi: str) -> str:
    """The name of a KPI for readers: clv_30_days is CLV 30 days."""
    return " ".join(word.upper() if word in ACRONYMS else word for word in kpi.split("_"))


def in_unit(value: float | None, unit: str) -> str:
    """A figure with as many decimals as its unit deserves."""
    if value is None:
        return "–"
    # z: what rounds to 0 has no sign
    formats = {"share": "z.1%", "count": "z,.4g" if value < 1000 else ",.0f", "money": "z,.2f", "days": "z,.1f days"}
    pattern = formats.get(unit, "z,.2f")
    return f"{value:{pattern.removesuffix(' days')}}{' days' if pattern.endswith('days') else ''}"


def _interval(row: Mapping[str, object]) -> str:
    if row["low"] is None:
        return ""
    return f"{in_unit(row['low'], str(row['unit']))} to {in_unit(row['high'], str(row['unit']))}"  # type: ignore[arg-type]


def attribution_section(
    results: Mapping[str, Attribution], journeys: Journeys, *, truth: IncrementalEffects | None = None
) -> Section:
    """Credit by method; in a simulated world beside the truth."""
    shares = {method: result.share for method, result in results.items()}
    untouched = journeys.untouched_conversions
    paragraphs = [
        f"{journeys.n_conversions:,.0f} conversions had at least one touch and are credited to "
        f"{_counted(len(journeys.channels), 'channel')}"
        + (f"; {untouched:,.0f} had none, and no channel is credited with them." if untouched else "."),
        *journeys.notes,
    ]
    if _one_channel_each(journeys):
        paragraphs.append(
            "No journey met more than one channel, so all methods must agree: this log cannot say how channels share "
            "the work."
        )
    tables = [Table(results["markov"].to_frame(), "Markov removal effects, order 1", SHARES)]
    if truth is not None:
        true_share = dict(zip(truth.channels, truth.share, strict=True))
        reference = np.array([true_share[name] for name in journeys.channels])
        errors = {method: share_error(share, reference) for method, share in shares.items()}
        best, worst = min(errors, key=errors.__getitem__), max(errors, key=errors.__getitem__)
        paragraphs.insert(
            0,
            "Because this world is simulated, the truth is known: each channel was switched off in turn, on the same "
            f"random draws. Of the methods {_told(best)} comes closest, and still puts {errors[best]:.0%} of the "
            f"credit in the wrong place; {_told(worst)} misplaces {errors[worst]:.0%}.",
        )
        ranking = pl.DataFrame(
            {"method": [_told(method) for method in errors], "credit in the wrong place": list(errors.values())}
        )
        tables.append(Table(ranking.sort(ranking.columns[1]), "", {ranking.columns[1]: ".1%"}))
        formats = {"share": "z.1%", "effect": "z.2%", "standard_error": ".2%", "conversions": ",.0f"}
        tables.append(Table(truth.to_frame().sort("effect", descending=True), "True incremental effects", formats))
    chart = attribution_chart(journeys.channels, shares, truth=truth)
    return Section("Attribution", tuple(paragraphs), {"Share of credit by channel and method": chart}, tuple(tables))


def journey_section(history: StageHistory, tables: Sequence[Table], *, notes: Sequence[str] = ()) -> Section:
    """The map of the journey and the figures of the log."""
    return Section("The journey", tuple(notes), {"Map of the journey": stage_map(history)}, tuple(tables))


def model_section(posterior: Posterior, *, note: str = "") -> Section:
    """What the stage model was fitted to, whether to trust the fit, and its rates."""
    history = posterior.history
    segments = _counted(len(history.segments), "segment")
    paragraphs = (
        f"Hazards of {len(history.moves)} moves in {segments} were fitted to "
        f"{history.counts.sum():,.0f} moves over {history.exposure_days.sum():,.0f} customer-days. "
        f"{posterior.diagnostics.verdict}",
        *([note] if note else []),
    )
    formats = {"count": ",.0f", "days": ",.2f", "ess": ",.0f", "rhat": ".3f"}
    rates = Table(posterior.summary(), "Rates of moves per day, with 90% intervals", formats)
    return Section("The stage model", paragraphs, {}, (rates,))


def forecast_section(
    result: Forecast, posterior: Posterior, scenarios: Sequence[Scenario], *, simulated: Sequence[SimulatedChange] = ()
) -> Section:
    """What each scenario would do, and, for a simulated world, whether the simulator agrees."""
    paragraphs = [
        f"Conversion is the share of customers who purchase within {result.conversion_days:g} days of their first "
        f"stage, retention the share of these who are still customers {result.retention_days:g} days after that "
        "purchase. A scenario changes some hazards and leaves all others as they are. " + INTERVALS,
    ]
    if not scenarios:
        return Section("What if?", (*paragraphs, *forecast_sentences(result)))
    tables = [Table(result.to_frame(), "Forecasts with 90% intervals; differences in percentage points", CHANGES)]
    if simulated:
        comparison = forecast_against_simulation(result, simulated)
        agreeing = int(comparison["agrees"].sum())
        paragraphs += [
            f"The simulator was asked the same questions, with other random draws and "
            f"{simulated[0].n_customers:,} customers. {agreeing} of {len(comparison)} differences cannot be told apart "
            f"from the forecast: they lie within {AGREEMENT_Z:g} joint standard errors (posterior and Monte Carlo)."
            f"{_disagreements(comparison)}",
            WHY_THEY_DIFFER,
        ]
        formats = {**dict.fromkeys(("forecast", "simulated", "gap", "joint_error"), "pp"), "z": "+z.1f"}
        tables.append(Table(comparison, "Forecast against simulation, in percentage points", formats))
    days = np.linspace(0.0, result.conversion_days, 61)
    best = max(scenarios, key=lambda scenario: float(result.difference(scenario.name, "conversion").mean()))
    curves = {
        "as it is": conversion_curve(posterior, days),
        best.name: conversion_curve(posterior, days, best),
    }
    chart = forecast_chart(result, simulated=simulated)
    curve = curve_chart(days, curves, ylabel="customers who have purchased", title="Conversion over time, forecast")
    figures = {"Change per scenario with intervals": chart, "Share of customers who have purchased, by day": curve}
    return Section("What if?", tuple(paragraphs), figures, tuple(tables))


def forecast_sentences(result: Forecast, *, simulated: Sequence[SimulatedChange] = ()) -> list[str]:
    """A sentence per scenario: what it does to conversion, or else to retention, with its interval.

    For a simulated world, with what the simulator says of the same change.
    """
    if not result.scenarios:
        return [NOTHING_TO_IMPROVE]
    sentences = []
    for (scenario,), rows in result.to_frame().group_by("scenario", maintain_order=True):
        name = f"{str(scenario)[0].upper()}{str(scenario)[1:]}"
        moving = rows.filter(pl.col("p_improves").is_not_null())
        unseen = rows["unseen"][0]
        if moving.is_empty() and unseen:
            sentences.append(f"{name}: nobody was seen to make this move ({unseen}), so the log cannot tell.")
            continue
        if moving.is_empty():
            sentences.append(f"{name}: no change.")
            continue
        row = moving.row(0, named=True)
        told = {"conversion": "conversion within {}", "retention": "retention {} after the first purchase"}
        what = told[row["measure"]].format(_days(row["days"]))
        start = "no change of conversion; " if row["measure"] == "retention" else ""
        sentence = (
            f"{name}: {start}{what} goes from {row['baseline']:.2%} to {row['forecast']:.2%}, by "
            f"{signed(100 * row['difference'])} percentage points (90% interval {signed(100 * row['low'])} to "
            f"{signed(100 * row['high'])}; probability of an improvement {probability(row['p_improves'])})."
        )
        for change in simulated:
            if change.scenario == scenario:
                found, error = getattr(change, row["measure"]), getattr(change, f"{row['measure']}_error")
                sentence += f" The simulator says {signed(100 * found)} (standard error {100 * error:.2f})."
        sentences.append(sentence)
    return sentences


def _disagreements(comparison: pl.DataFrame) -> str:
    listed = [
        f"{row['scenario']}, {row['measure']}: forecast {signed(100 * row['forecast'])}, simulated "
        f"{signed(100 * row['simulated'])} percentage points"
        for row in comparison.filter(~pl.col("agrees")).iter_rows(named=True)
    ]
    return f" They differ here: {'; '.join(listed)}." if listed else ""


def _days(days: float) -> str:
    return f"{days:g} day{'' if days == 1 else 's'}"


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _told(method: str) -> str:
    return METHODS[method][0] if method in METHODS else method


def _one_channel_each(journeys: Journeys) -> bool:
    firsts = np.repeat(journeys.codes[journeys.offsets[:-1]], np.diff(journeys.offsets))
    return bool((journeys.codes == firsts).all()) and len(journeys.channels) > 1


def _constant(name: str, result: Attribution) -> pl.Series:
    return pl.Series("method", [name] * len(result.channels))

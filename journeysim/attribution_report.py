"""The pages of an attribution and of a comparison of methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from journeysim.attribution import UncertainAttribution, method_table
from journeysim.attribution.cents import to_the_cent
from journeysim.interval_plots import calibration_chart, credit_chart
from journeysim.markov_plots import order_chart
from journeysim.plots import comparison_chart
from journeysim.report import Report, Section, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from journeysim.attribution import CalibratedAttribution, Comparison
    from journeysim.attribution.credit import Credit

_FORMATS = {
    "conversions": ",.1f",
    "removal_effect": ".4f",
    "ranks_first": "probability",
    **dict.fromkeys(("value", "cost", "cost_per_conversion", "return_on_spend"), ",.2f"),
    **dict.fromkeys(("share", "distance", "lowest", "highest", "spread"), "z.1%"),
}
_OF_ENDS = {"conversions": ",.1f", "share": "z.1%", "value": ",.2f", "removal_effect": ".3f"}  # others: ",.2f"
_FOOTER = "The same numbers as data: --out with a name that ends in .csv, .parquet or .json."


def credit_report(credit: Credit, *, source: str) -> Report:
    """What a method credits, with costs and the choice of the order where there are such.

    Parameters
    ----------
    source : what the journeys were read from, for the title
    """
    totals = [credit.totals(part) for part in credit.parts]
    conversions, value = (sum(total[name] for total in totals) for name in ("conversions", "value"))
    summary = [f"{conversions:,.6g} conversions, value {value:,.2f}, credited to channels by {credit.method}."]
    if credit.by:
        summary.append(f"By {credit.by}: {', '.join(credit.parts)}.")
    found = next(iter(credit.parts.values()))
    explained = []
    if isinstance(found, UncertainAttribution):
        explained = [
            f"Intervals ({credit.level:.0%}) and ranks are those of {found.n_draws:,} draws of the {found.source}: "
            "what chance leaves open about the split. The totals are known. Whether the split is causal is another "
            "question.",
            "Ranks first: in how many of the draws no channel is credited with more.",
        ]
    tables = [Table(_shown(credit, part), _caption(credit, part, "Credit"), _FORMATS) for part in credit.parts]
    sections = [Section("Credit by channel", tuple(explained), {_TOLD: credit_chart(credit)}, tuple(tables))]
    if credit.money:
        money = [
            Table(
                _with_intervals(money_of.to_frame(credit.level), credit.level),
                _caption(credit, part, "Costs and returns"),
                _FORMATS,
            )
            for part, money_of in credit.money.items()
        ]
        paragraph = (
            "Return on spend is value credited / cost: an average of what happened, not the return on the next spend."
        )
        sections.append(Section("What did it cost, and what did it return?", (paragraph,), {}, tuple(money)))
    if credit.choice is not None:
        formats = {"log_likelihood": ".4f", "standard_error": ".4f", "bic": ",.0f"}
        curve = Table(credit.choice.curve, "Held-out log-likelihood per journey and BIC by order", formats)
        charts = {"Log-likelihood and BIC by order of the chain": order_chart(credit.choice.curve)}
        sections.append(Section("Which order?", (str(credit.choice),), charts, (curve,)))
    about = method_table().filter(method=credit.point(next(iter(credit.parts))).method)
    sections.append(Section("What to keep in mind", tuple(credit.notes()), {}, _of_methods(about)))
    return Report(f"Attribution: {source}", tuple(summary), tuple(sections), _FOOTER)


def comparison_report(comparison: Comparison, *, source: str) -> Report:
    """What several methods credit, and how far they are apart."""
    summary = (
        f"{comparison.total_conversions:,.6g} conversions, value {comparison.total_value:,.2f}, shared out by "
        f"{len(comparison.results)} methods.",
        *comparison.sentences(),
    )
    shares = Table(comparison.shares(), "Shares of the conversions", dict.fromkeys(comparison.results, "z.1%"))
    rows = comparison.to_frame()
    amounts = [part.with_columns(value=to_the_cent(part["value"].to_numpy())) for part in rows.partition_by("method")]
    apart = (
        Table(comparison.distances(), "Share of the credit that would have to move to another channel", _FORMATS),
        Table(comparison.disagreements(), "By channel, the most disputed first", _FORMATS),
    )
    about = method_table().filter(pl.col("method").is_in([*{found.method for found in comparison.results.values()}]))
    sections = (
        Section("Credit by channel", (), {_TOLD: comparison_chart(comparison)}, (shares,)),
        Section("How far are they apart?", (), {}, apart if len(comparison.results) > 1 else ()),
        Section("What to keep in mind", tuple(comparison.remarks()), {}, _of_methods(about)),
        Section("All numbers", (), {}, (Table(pl.concat(amounts), "Credit by method and channel", _FORMATS),)),
    )
    return Report(f"Methods of attribution compared: {source}", summary, sections, _FOOTER)


def calibrated_report(found: CalibratedAttribution, costs: Mapping[str, float] | None, *, source: str) -> Report:
    """What channels cause before and after lift tests, and what that costs."""
    point = found.attribution.point
    summary = (
        f"{point.total_conversions:,.6g} conversions, credited by {point.method}; {len(found.tests)} lift tests.",
        "Caused: conversions that would be lost without the channel. They need not add up to the conversions.",
    )
    formats = dict.fromkeys(
        ("credited", "before", "after", "after_value", "effect", "standard_error", "expected"), ",.1f"
    )
    formats |= {"after_share": "z.1%", "z_credit": "+.1f", "z_expected": "+.1f"}
    effects = Table(_with_intervals(found.to_frame(), 0.9), "Conversions that each channel causes", formats)
    tests = Table(found.tests_frame(), "What the tests found, in conversions of these journeys", formats)
    money = []
    if costs is not None:
        caption = "Costs and returns of what each channel causes"
        returns = found.returns(costs)
        amounts = dict.fromkeys((name for name in returns.columns if name != "channel"), ",.2f")
        money = [Table(_with_intervals(returns, 0.9), caption, amounts)]
    sections = (
        Section(
            "What do channels cause?",
            (),
            {"Effects before and after the tests": calibration_chart(found)},
            (effects, *money),
        ),
        Section("Do the tests agree with the credit?", (), {}, (tests,)),
        Section("What to keep in mind", found.notes, {}, _of_methods(method_table().filter(method=point.method))),
    )
    return Report(f"Attribution with lift tests: {source}", summary, sections, _FOOTER)


_TOLD = "Share of credit by channel"


def _shown(credit: Credit, part: str) -> pl.DataFrame:
    """Rows of a segment without its money, values in whole cents, without columns that say nothing here."""
    found = credit.parts[part]
    rows = found.to_frame(credit.level) if isinstance(found, UncertainAttribution) else found.to_frame()
    rows = rows.with_columns(value=to_the_cent(rows["value"].to_numpy()))
    rows = rows.drop("share_low", "share_high", strict=False)  # those of conversions, divided by the total
    rows = rows.select(column for column in rows if column.null_count() < rows.height)
    return _with_intervals(rows.rename({"p_first": "ranks_first"}, strict=False), credit.level)


def _with_intervals(frame: pl.DataFrame, level: float) -> pl.DataFrame:
    """Both ends of an interval in one column of text: what readers compare stands together."""
    columns = []
    for column in frame:
        quantity, _, end = column.name.rpartition("_")
        if end == "low":
            form = _OF_ENDS.get(quantity, ",.2f")
            ends = zip(column, frame[f"{quantity}_high"], strict=True)
            told = ["" if low is None or low == high else f"{low:{form}} to {high:{form}}" for low, high in ends]
            columns.append(pl.Series(f"{quantity}, {level:.0%} interval", told))
        elif end != "high":
            columns.append(column)
    return pl.DataFrame(columns)


def _caption(credit: Credit, part: str, what: str) -> str:
    return f"{what}, {part}" if credit.by else what


def _of_methods(about: pl.DataFrame) -> tuple[Table, ...]:
    if about.is_empty():
        return ()
    return (Table(about.select("method", "paper", "assumes", "misleads"), "What the methods take for granted"),)

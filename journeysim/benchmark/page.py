"""The leaderboard as one HTML page, and as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from journeysim.benchmark import charts
from journeysim.benchmark.leaderboard import by_customers, markdown, matrix, overall, refusals
from journeysim.benchmark.scoring import METRICS
from journeysim.report import Report, Section, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from journeysim.benchmark.cases import Case

SHARES = ("share_error", "named_worlds", "random_worlds", "worst_world", "share_error_shapley", "coverage")
_FORMATS = {
    **dict.fromkeys((*SHARES, "interval_width", "budget_regret", "seed_spread"), ".1%"),
    **dict.fromkeys(("rank_agreement", "top_1", "budget_regret_relative"), ".2f"),
    "seconds": ".3f",
}
_EXPLAINED = (
    "Share error is the part of all credit that stands at the wrong channel, against the shares of the true "
    "incremental effects (twin runs of the same customers with and without the channel). Every world counts once. "
    "Credit below 0 counts as 0. Methods of one rank are tied: over the worlds their errors differ by less than two "
    "standard errors of the difference.",
    "Methods called random and equal look at nothing; oracle is handed the truth; a holdout is a randomised experiment "
    "on as many customers as the methods see.",
)


def worlds_table(cases: Sequence[Case]) -> pl.DataFrame:
    """What each named world tests and what should fail there; random ones are one line."""
    rows = [(case.name, case.tests, case.should_fail) for case in cases if not case.name.startswith("random-")]
    drawn = [case for case in cases if case.name.startswith("random-")]
    if drawn:
        rows.append((f"random worlds ({len(drawn)})", drawn[0].tests, ""))
    return pl.DataFrame(rows, schema=["world", "tests", "should_fail"], orient="row")


def to_page(table: pl.DataFrame, cases: Sequence[Case], *, title: str, level: float) -> Report:
    """The page of a summary."""
    sizes = sorted(table["customers"].unique())
    most = sizes[-1]
    sections = [
        Section(
            f"Methods, {most:,} customers",
            _EXPLAINED,
            tables=(Table(overall(table, most), "Means over worlds, best first", _FORMATS),),
        ),
        Section(
            "Where each method errs",
            figures={"Share error by method and world": charts.error_map(table, most)},
        ),
        Section(
            "What the advice costs",
            (
                "One move of money between two paid channels, as the method's credit per unit of spend says; its "
                "outcome is simulated, and held against the best move there is.",
            ),
            figures={
                "Budget regret by method": charts.regret_chart(table, most),
                "Budget regret by method and world": charts.error_map(
                    table, most, "budget_regret_relative", "Budget regret, % of the way from the best to the worst move"
                ),
            },
        ),
    ]
    if table["coverage"].is_not_null().any():
        figures = {"Coverage by interval width": charts.coverage_chart(table, level)}
        sections.append(Section("Intervals", figures=figures))
    if len(sizes) > 1:
        formats = {str(size): ".1%" for size in sizes}
        sections.append(
            Section(
                "How many customers",
                figures={"Share error by sample size": charts.customers_chart(table)},
                tables=(Table(by_customers(table), "Share error by customers in the sample", formats),),
            )
        )
    sections.append(Section("The worlds", tables=(Table(worlds_table(cases)),)))
    if not (refused := refusals(table)).is_empty():
        sections.append(Section("Skipped and crashed", tables=(Table(refused),)))
    sections.append(Section("The metrics", tuple(f"{name}: {meaning}." for name, meaning in METRICS.items())))
    summary = (
        f"{table['method'].n_unique()} methods on {table['world'].n_unique()} worlds whose causal truth is known, "
        f"with {', '.join(f'{size:,}' for size in sizes)} customers.",
    )
    return Report(title, summary, tuple(sections))


def to_markdown(table: pl.DataFrame, cases: Sequence[Case], *, title: str) -> str:
    """The tables of the page, for people who read text."""
    sizes = sorted(table["customers"].unique())
    most = sizes[-1]
    named = matrix(table, most).rename({"method": "share error"})
    parts = [
        f"# {title}",
        *_EXPLAINED,
        f"## Methods, {most:,} customers, means over worlds",
        markdown(overall(table, most)),
        f"## Share error by world, {most:,} customers",
        markdown(named, 2),
        f"## Budget regret by world, {most:,} customers, from the best move (0) to the worst (1)",
        markdown(matrix(table, most, "budget_regret_relative"), 2),
        "## Share error by customers, means over worlds",
        markdown(by_customers(table)),
        "## The worlds",
        markdown(worlds_table(cases)),
    ]
    if not (refused := refusals(table)).is_empty():
        parts += ["## Skipped and crashed", markdown(refused)]
    return "\n\n".join(parts) + "\n"

"""The demo, once, through the command line; then what it left behind, as a user would read it."""

import polars as pl
import pytest
from pages import Page, assert_self_contained
from typer.testing import CliRunner

from journeysim.attribution import STANDARD_METHODS
from journeysim.bayes import Posterior
from journeysim.cli import app
from journeysim.demo import SCENARIOS, WORLD
from journeysim.forecasts import forecast, signed
from journeysim.log_files import read_log
from journeysim.plots import METHODS
from journeysim.worlds import load

TABLES = {
    "kpis": ["segment", "kpi", "value", "low", "high", "unit"],
    "drop_off": ["stage", "entries", "forward", "back", "lost", "still_there", "drop_off"],
    "attribution": ["method", "channel", "conversions", "value", "share", "removal_effect"],
    "truth": ["channel", "conversions", "share", "effect", "standard_error"],
    "stage_rates": [
        *("segment", "origin", "target", "count", "rate_per_day", "rate_low", "rate_high", "days", "ess", "rhat")
    ],
    "forecast": [
        "scenario",
        "measure",
        "days",
        "baseline",
        "forecast",
        "difference",
        "low",
        "high",
        "p_improves",
        "unseen",
    ],
    "forecast_check": ["scenario", "measure", "forecast", "simulated", "gap", "joint_error", "z", "agrees"],
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """(folder, what was printed)"""
    out = tmp_path_factory.mktemp("demo") / "out"
    result = CliRunner().invoke(app, ["demo", "--customers", "3000", "--seed", "5", "--out", str(out)])
    assert result.exit_code == 0, result.output
    return out, result.output


@pytest.fixture(scope="module")
def tables(demo):
    return {name: pl.read_csv(demo[0] / f"{name}.csv") for name in TABLES}


@pytest.fixture(scope="module")
def page(demo):
    return Page.read(demo[0] / "report.html")


def test_it_leaves_exactly_what_is_documented(demo):
    found = {path.name for path in demo[0].iterdir()}
    assert found == {"log", "report.html", "posterior.nc", *(f"{name}.csv" for name in TABLES)}
    assert list(demo[0].parent.iterdir()) == [demo[0]]


def test_tables_have_the_documented_columns_and_no_gaps(tables):
    assert {name: table.columns for name, table in tables.items()} == TABLES
    for name in ("truth", "stage_rates", "forecast_check", "drop_off"):
        assert not tables[name].is_empty()
        assert not any(column.has_nulls() for column in tables[name]), name


def test_every_standard_method_stands_beside_the_truth(tables):
    credit = tables["attribution"]
    assert tuple(credit["method"].unique(maintain_order=True)) == STANDARD_METHODS
    shares = credit.group_by("method").agg(pl.col("share").sum())["share"]
    assert shares.to_list() == pytest.approx([1.0] * len(shares))
    assert set(tables["truth"]["channel"]) == set(load(WORLD).channel_names)


def test_the_log_is_that_of_the_world_and_the_seed(demo):
    log = read_log(demo[0] / "log")
    assert log.n_customers == 3000
    assert (log.provenance["world"], log.provenance["seed"]) == (WORLD, "5")


def test_each_of_three_improvements_stands_beside_what_the_simulator_says(tables):
    assert len(SCENARIOS) == 3
    for name in ("forecast", "forecast_check"):
        assert tables[name]["scenario"].to_list() == [s.name for s in SCENARIOS for _ in range(2)]
    both = tables["forecast"].join(tables["forecast_check"], on=["scenario", "measure"], suffix="_check")
    assert both["difference"].to_list() == pytest.approx(both["forecast_check"].to_list())
    assert (both["low"] <= both["difference"]).all()
    assert (both["difference"] <= both["high"]).all()


def test_one_can_go_on_from_the_saved_posterior(demo, tables):
    posterior = Posterior.load(demo[0] / "posterior.nc")
    again = forecast(posterior, SCENARIOS, conversion_days=180, retention_days=90).to_frame()
    assert again["difference"].to_list() == pytest.approx(tables["forecast"]["difference"].to_list(), rel=1e-9)


def test_the_report_is_whole_and_needs_nothing_else(page):
    assert_self_contained(page)
    assert page.headings[1:] == ["The journey", "Attribution", "The stage model", "What if?"]
    assert len(page.pictures) == 4


def numbers(page, caption, column):
    """A column of a table of the report, as numbers."""
    title = next(title for title in page.tables if title.startswith(caption))
    head, *rows = page.tables[title]
    cells = [row[head.index(column)] for row in rows]
    return [None if c == "–" else float(c.strip("%").replace(",", "")) / (100 if "%" in c else 1) for c in cells]


def test_numbers_in_the_report_are_those_in_the_tables(page, tables):
    markov = tables["attribution"].filter(pl.col("method") == "markov")
    truth = tables["truth"].sort("effect", descending=True)
    forecasts, check = tables["forecast"], tables["forecast_check"]
    for caption, column, expected, precision in (
        ("Markov", "conversions", markov["conversions"], 0.05),
        ("Markov", "removal effect", markov["removal_effect"], 0.00005),
        ("True", "share", truth["share"], 0.0005),
        ("True", "standard error", truth["standard_error"], 0.00005),
        ("Drop-off", "still there", tables["drop_off"]["still_there"], 0),
        ("Drop-off", "drop off", tables["drop_off"]["drop_off"], 0.0005),
        ("Forecasts", "baseline", forecasts["baseline"], 0.00005),
        ("Forecasts", "difference", 100 * forecasts["difference"], 0.0005),
        ("Forecasts", "high", 100 * forecasts["high"], 0.0005),
        ("Forecast against", "simulated", 100 * check["simulated"], 0.0005),
        ("Forecast against", "joint error", 100 * check["joint_error"], 0.0005),
        ("Forecast against", "z", check["z"], 0.05),
        ("Rates of moves", "count", tables["stage_rates"]["count"], 0.5),
    ):
        shown = numbers(page, caption, column)
        assert shown == pytest.approx(expected.to_list(), abs=precision + 1e-9), (caption, column)


def test_the_summary_repeats_the_table_of_forecasts(page, tables):
    check = {
        row["scenario"]: row for row in tables["forecast_check"].filter(pl.col("measure") == "conversion").to_dicts()
    }
    for row in tables["forecast"].filter(pl.col("measure") == "conversion").iter_rows(named=True):
        sentence = next(p for p in page.paragraphs if p.lower().startswith(row["scenario"].lower()))
        if row["p_improves"] is None:
            assert "no change of conversion; retention 90 days after" in sentence
            continue
        assert f"from {row['baseline']:.2%} to {row['forecast']:.2%}" in sentence
        assert f"{100 * row['difference']:+.2f} percentage points" in sentence
        assert f"The simulator says {100 * check[row['scenario']]['simulated']:+.2f} " in sentence


def test_the_page_names_the_methods_that_come_closest_and_furthest(page, tables):
    truth = tables["truth"].select("channel", pl.col("share").alias("truth"))
    shares = tables["attribution"].join(truth, on="channel")
    errors = shares.group_by("method").agg(((pl.col("share") - pl.col("truth")).abs().sum() / 2).alias("error"))
    (best, least), (worst, most) = errors.sort("error").rows()[0], errors.sort("error").rows()[-1]
    assert least < most
    said = next(p for p in page.paragraphs if "the truth is known" in p)
    assert f"{METHODS[best][0]} comes closest, and still puts {least:.0%}" in said
    assert f"{METHODS[worst][0]} misplaces {most:.0%}" in said


def test_the_check_is_sharper_than_the_fit(page):
    assert any("with other random draws and 12,000 customers" in p for p in page.paragraphs)


def test_what_is_printed_is_what_is_written(demo, tables):
    printed = demo[1]
    for row in tables["forecast"].iter_rows(named=True):
        assert row["p_improves"] is None or f"{signed(100 * row['low'])} to {signed(100 * row['high'])}" in printed
    for channel, share in tables["truth"].select("channel", "share").iter_rows():
        assert [channel, f"{share:.1%}"] in [line.split()[:2] for line in printed.splitlines()]
    assert max(map(len, printed.splitlines()[:-1])) <= 80
    assert "\x1b" not in printed

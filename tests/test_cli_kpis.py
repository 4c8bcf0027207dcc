"""`journeysim kpis` as a user meets it."""

from __future__ import annotations

import re

import polars as pl
import pytest
from hand_logs import hand_log
from small_worlds import full_world
from typer.testing import CliRunner

from journeysim.cli import app
from journeysim.cli.results import print_funnel
from journeysim.cli.terminal import out
from journeysim.kpis import funnel, kpis
from journeysim.log_files import write_csv, write_log
from journeysim.simulation import simulate


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["kpis", *map(str, arguments)], env={"COLUMNS": "120"})
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


@pytest.fixture(scope="module")
def log():
    return simulate(full_world(), n_customers=1_500, horizon_days=90, seed=1)


@pytest.fixture(scope="module")
def folder(log, tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    write_log(log, folder / "log")
    return folder


def test_the_table_the_funnel_and_the_reasons_are_printed(log, folder):
    printed = run(folder / "log")
    figures = {row["kpi"]: row for row in kpis(log).iter_rows(named=True)}
    row = figures["conversion_rate"]
    expected = rf"conversion rate +{row['value']:.1%} +{row['low']:.1%} to {row['high']:.1%}"
    assert re.search(expected.replace(".", r"\."), printed)
    assert "money in EUR" in printed
    assert "CSAT top 2 box" in printed
    for heading in ("Funnel: what became", "Why they left: causes"):
        assert heading in printed
    assert re.search(r"decision +base \d+%, hidden costs \d+%", printed)


def test_out_writes_what_kpis_returns(log, folder, tmp_path):
    printed = run(folder / "log", "--by", "persona", "--cluster", "market", "--out", tmp_path / "kpis.csv")
    assert f"Written: {tmp_path / 'kpis.csv'}" in printed
    assert re.search(r"careful +quick|quick +careful", printed)
    written = pl.read_csv(tmp_path / "kpis.csv")
    expected = kpis(log, "persona", cluster="market")
    assert written.columns == expected.columns
    assert written["value"].to_list() == pytest.approx(expected["value"].to_list())
    assert "exists already" in run(folder / "log", "--out", tmp_path / "kpis.csv", code=2)


def test_coupled_customers_are_told_of_until_markets_are_the_units(folder, tmp_path):
    told = "Customers of a market influence each other (word of mouth): intervals are too narrow; add --cluster market."
    assert told in " ".join(run(folder / "log").split())
    assert told not in " ".join(run(folder / "log", "--cluster", "market").split())
    alone = hand_log((0, 0, "stage", "cart"), (1, 0, "touch", "tv"), stages=["cart"])
    write_csv(alone, tmp_path / "log.csv")
    assert told not in " ".join(run(tmp_path / "log.csv").split())


def test_reasons_are_folded_below_each_other_and_rare_ones_left_out(monkeypatch, capsys):
    monkeypatch.setattr(out, "_width", 80)
    names = ["delivery_takes_far_too_long", "unclear_return_policy", "size_chart_hard_to_find", "slow_checkout"]
    reasons = pl.DataFrame(
        {
            "stage": ["decision"] * 5,
            "reason": [*names, "retargeting"],
            "evidence": ["cause"] * 5,
            "lost": [400, 300, 200, 99, 1],
            "share_of_lost": [0.4, 0.3, 0.2, 0.099, 0.001],
        }
    )
    log = hand_log((0, 0, "stage", "decision"), (0, 1, "lost"), stages=["decision"])
    print_funnel(funnel(log), reasons)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    *_, first, second = printed.rstrip().splitlines()
    assert first == "  decision   delivery_takes_far_too_long 40%, unclear_return_policy 30%,"
    assert second == "             size_chart_hard_to_find 20%, slow_checkout 10%"


def test_periods_stand_in_the_order_of_time_and_those_that_do_not_fit_are_told(folder):
    printed = run(folder / "log", "--period", "week", "--cohort", "first_purchase")
    heading = next(line for line in printed.splitlines() if "2026-W" in line)
    weeks = re.findall(r"2026-W\d\d", heading)
    assert weeks == sorted(weeks)
    assert len(weeks) > 3
    assert f"{len(weeks)} of 15 segments are shown" in printed  # 13 weeks, the first has four days, and (none)


def test_a_simulated_log_has_one_cohort_of_first_events(folder):
    assert "Every first event lies in 2026-01, so there is one cohort" in run(folder / "log", "--period", "month")


def test_a_csv_without_causes_shows_associations(tmp_path):
    log = hand_log((0, 0, "stage", "cart"), (0, 1, "pain", "[bold]fee[/bold]"), (0, 2, "lost"), stages=["cart"])
    write_csv(log, tmp_path / "log.csv")
    printed = run(tmp_path / "log.csv")
    assert "What they had met before they left: no causes" in printed
    assert "[bold]fee[/bold] 100%" in printed


def test_a_log_without_stages_has_no_funnel(tmp_path):
    write_csv(hand_log((0, 0, "touch", "ad")), tmp_path / "log.csv")
    assert "Funnel" not in run(tmp_path / "log.csv")


def test_a_foreign_log_is_read_by_its_map(tmp_path):
    (tmp_path / "e.csv").write_text("user,when,what\n1,2026-01-01,view\n1,2026-02-05,buy\n2,2026-02-01,view\n")
    (tmp_path / "map.yaml").write_text(
        "columns: {customer: user, time: when, event: what}\n"
        "stages: {browse: [view], purchase: [buy]}\npurchase: purchase\nlost_after_days: 30\n"
    )
    printed = run(tmp_path / "e.csv", "--map", tmp_path / "map.yaml", "--period", "month")
    assert re.search(r"2026-01 +2026-02", printed)
    assert re.search(r"conversion rate +100.0% +0.0%", printed)


def test_an_unknown_column_is_told(folder):
    assert "no column 'shoe_size' in customers; known: persona, market" in run(
        folder / "log", "--by", "shoe_size", code=2
    )

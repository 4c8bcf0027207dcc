"""The twin's check: it passes the log it came from, and finds a wrong world, also with customers who arrive late."""

from dataclasses import replace
from datetime import timedelta
from io import StringIO

import numpy as np
import polars as pl
import pytest
from influence_stays import known_world
from rich.console import Console
from test_twin import quick_twin
from typer.testing import CliRunner

from journeysim import World, check_twin, simulate, twin_attribution
from journeysim.cli import app
from journeysim.errors import InputError
from journeysim.events import EventLog
from journeysim.log_files import write_log
from journeysim.twin_plots import twin_check_chart, twin_effects_chart


@pytest.fixture(scope="module")
def log():
    return simulate(known_world(), n_customers=1500, horizon_days=60, seed=1)


@pytest.fixture(scope="module")
def twin(log):
    return quick_twin(log, by="persona")


@pytest.fixture(scope="module")
def check(twin, log):
    return check_twin(twin, log, seed=1, n_worlds=40)


def wrong(twin, factor=1.5):
    """Base hazards and baskets are too large: all goes faster, to other stages and to lost alike."""
    posterior = replace(twin.posterior, hazards_by_chain=twin.posterior.hazards_by_chain * factor)
    return replace(
        twin,
        posterior=posterior,
        ingredients=replace(twin.ingredients, log_mean=twin.ingredients.log_mean + np.log(factor)),
    )


def test_the_log_is_among_the_worlds_of_its_twin(check, log):
    assert len(check.outside) <= 3, check.verdict
    frame = check.to_frame()
    by_kpi = dict(zip(frame["kpi"], frame["observed"], strict=True))
    events = log.to_polars()
    buyers = events.filter(events["kind"] == "purchase")["customer"].n_unique()
    assert by_kpi["converted"] == pytest.approx(buyers / 1500)
    assert by_kpi["revenue per customer"] == pytest.approx(events["value"].sum() / 1500)
    mail = events.filter((events["kind"] == "touch") & (events["channel"] == "mail")).height
    assert by_kpi["touches per customer: mail"] == pytest.approx(mail / 1500)
    assert by_kpi["entered looking"] == 1


def test_a_wrong_world_is_found(twin, log, check):
    bad = check_twin(wrong(twin), log, seed=1, n_worlds=20)
    assert {"touches per customer: mail", "revenue per customer", "median days to first purchase"} <= set(
        bad.outside
    ), bad.verdict
    assert len(bad.outside) > len(check.outside)


def test_customers_who_arrive_late_are_compared_with_their_like(log):
    """Half of the customers come 30 days later, and the window ends for all on the same day."""
    frame = log.to_polars()
    names = frame["customer"].unique().sort()
    late = frame["customer"].is_in(names.gather_every(2).to_list())
    shifted = frame["time"] + timedelta(days=30)
    frame = frame.with_columns(time=pl.when(late).then(shifted).otherwise(frame["time"]))
    frame = frame.filter(frame["time"] <= log.end)
    cut = EventLog.from_frame(
        frame, start=log.start, end=log.end, stages=log.stages, purchase_stages=log.purchase_stages, currency="EUR"
    )
    found = check_twin(quick_twin(cut), cut, seed=1, n_worlds=20)
    assert not {"converted", "touches per customer: mail"} & set(found.outside), found.verdict


def test_the_table_fits_80_columns_and_the_chart_draws(check):
    console = Console(width=80, file=StringIO())
    with console.capture() as capture:
        console.print(check)
    text = capture.get()
    assert max(map(len, text.splitlines())) <= 80
    assert "in the log" in text
    assert "90% band" in text
    (axes, *_) = twin_check_chart(check).axes
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "converted"


def test_bad_arguments_are_refused(twin, log):
    with pytest.raises(InputError, match="n_worlds"):
        check_twin(twin, log, seed=1, n_worlds=5)
    with pytest.raises(InputError, match="retained_days"):
        check_twin(twin, log, seed=1, retained_days=100)
    frame = log.to_polars()
    other = EventLog.from_frame(frame.filter((frame["channel"] != "mail") | frame["channel"].is_null()),
                                stages=log.stages, purchase_stages=log.purchase_stages)  # fmt: skip
    with pytest.raises(InputError, match="not those of the twin"):
        check_twin(twin, other, seed=1)


def test_the_command_prints_both_tables_and_writes_worlds(tmp_path, log, monkeypatch):
    """The sampler is cut short; all else is what a user runs."""
    monkeypatch.setattr("journeysim.twin.fit_world", lambda log, *, seed, by: quick_twin(log, by))
    write_log(log, tmp_path / "log")
    arguments = ["twin", str(tmp_path / "log"), "--by", "persona", "--worlds", "20", "--customers", "200"]
    found = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert found.exit_code == 0, found.output
    assert "Lost without the channel" in found.output
    assert "Markov" in found.output
    assert "Effects by closed form; hidden personas in the twin: 1." in found.output
    assert "in the log" in found.output
    assert len(list((tmp_path / "out").glob("world-*.yaml"))) == 40
    assert World.from_yaml(tmp_path / "out" / "world-020-2.yaml").stage_names == ("looking", "choosing", "bought")
    effects = pl.read_csv(tmp_path / "out" / "effects.csv")
    companion = effects.row(by_predicate=pl.col("channel") == "companion", named=True)
    assert effects.height == 3
    assert companion["effect_low"] == 0
    assert companion["markov"] > companion["effect_high"]


def test_the_chart_of_effects_draws_truth_and_others(twin):
    effects = twin_attribution(twin, seed=1, n_worlds=20)
    markov = {"mail": 0.5, "companion": 0.6}
    truth = {"mail": 0.1, "shop": 0.2, "companion": 0.0}
    figure = twin_effects_chart(effects, beside={"Markov removal effect": markov}, truth=truth)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == effects.to_frame()["channel"].to_list()[::-1]
    assert "Markov removal effect" in [text.get_text() for text in figure.legends[0].get_texts()]
    with pytest.raises(InputError, match="truth has no companion"):
        twin_effects_chart(effects, truth={"mail": 0.1, "shop": 0.2})

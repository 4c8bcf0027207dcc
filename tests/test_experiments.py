"""Experiments: their rows, and that an interrupted run picks up where it stopped."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

SCRIPT = Path(__file__).parents[1] / "experiments" / "funnel_length.py"
CELL = ["world", "n_stages", "method", "n_customers", "seed"]
RESULT = ["metric", "value", "standard_error", "seconds", "version"]


@pytest.fixture(scope="module")
def funnel_length() -> ModuleType:
    spec = spec_from_file_location("funnel_length", SCRIPT)
    module = module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "funnel_length", module)  # dataclasses look their module up
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="module")
def tiny(funnel_length):
    return funnel_length.Settings(stages_between=(1, 3), seeds=(0, 9), n_customers=3_000, truth_customers=5_000)


def stopped_clock() -> float:
    return 0.0


@pytest.fixture(scope="module")
def whole(funnel_length, tiny, tmp_path_factory):
    """A whole run: its rows and its file."""
    out = tmp_path_factory.mktemp("whole")
    return funnel_length.run(tiny, out, clock=stopped_clock), out / "funnel_length.csv"


def test_rows_have_the_columns_and_every_method_is_scored_once_per_cell(funnel_length, whole):
    rows, file = whole
    assert rows.columns == CELL + RESULT
    assert pl.read_csv(file, schema=rows.schema).equals(rows)
    errors = rows.filter(metric="share_error")
    assert errors.group_by("n_stages", "seed", "method").len()["len"].to_list() == [1] * 4 * 8
    assert set(errors["method"]) == {*funnel_length.METHODS, "equal_split"}
    assert errors["value"].is_between(0, 1).all()
    assert errors["standard_error"].is_between(0, 0.1).all()


def test_a_second_run_runs_nothing_and_leaves_the_file_as_it_is(funnel_length, tiny, whole, monkeypatch):
    rows, file = whole
    before = file.read_bytes()
    monkeypatch.setattr(funnel_length, "simulate", None)  # would fail if called
    assert funnel_length.run(tiny, file.parent).equals(rows)
    assert file.read_bytes() == before


def test_an_interrupted_run_resumes_to_the_identical_file(funnel_length, tiny, whole, tmp_path, monkeypatch):
    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        funnel_length.run(tiny, tmp_path, clock=stopped_clock, on_progress=interrupt)
    file = tmp_path / "funnel_length.csv"
    assert 0 < len(pl.read_csv(file)) < len(whole[0])

    run_cell, run_again = funnel_length._run_cell, []
    monkeypatch.setattr(funnel_length, "_run_cell", lambda *cell: run_again.append(cell) or run_cell(*cell))
    funnel_length.run(tiny, tmp_path, clock=stopped_clock)
    assert len(run_again) == 2
    assert file.read_bytes() == whole[1].read_bytes()


def test_progress_is_told_to_a_terminal_and_not_to_a_log(funnel_length, tiny, whole, monkeypatch, tmp_path, capsys):
    def run(settings, out, on_progress=None):
        if on_progress is not None:
            on_progress(1, 4)
        return whole[0]

    monkeypatch.setattr(funnel_length, "run", run)
    for terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        funnel_length.main(tmp_path)
        assert ("\r1 of 4 cells" in capsys.readouterr().err) == terminal


def test_other_settings_do_not_reuse_rows(funnel_length, tiny, whole):
    other = funnel_length.Settings(**{name: getattr(tiny, name) for name in tiny.__slots__} | {"half_life_days": 2.0})
    names = {funnel_length._content(funnel_length.line_world(1, 0, s), 0, s) for s in (tiny, other)}
    assert len(names) == 2


@pytest.mark.parametrize("between", range(1, 7))
def test_every_line_is_as_long_and_its_channels_are_met_equally_often(funnel_length, between):
    world = funnel_length.line_world(between, 5, funnel_length.Settings())
    steps = world.stages[:-1]
    met = {stage.name: sum(c.contacts_per_day.get(stage.name, 0) for c in world.channels) for stage in steps}
    assert met == pytest.approx(dict.fromkeys(met, 0.08))
    for channel in world.channels:  # time in each step is 60 days / steps
        assert sum(channel.contacts_per_day.values()) * 60 / len(steps) == pytest.approx(0.08 * 60 / 4)
    assert np.isclose(sum(channel.pull for channel in world.channels), 0.6)


def test_the_finding_and_the_chart_are_made_of_the_rows(funnel_length, whole, tmp_path):
    said = funnel_length.finding(whole[0])
    last = whole[0].filter(metric="share_error", method="last_touch", n_stages=3)["value"].mean()
    assert f"{last:.1%} of the credit" in said
    funnel_length.chart(whole[0]).savefig(tmp_path / "plot.png")

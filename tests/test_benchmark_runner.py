"""The runner: rows that do not depend on who runs it or on being stopped; methods that skip, crash or are handed in."""

import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context

import numpy as np
import polars as pl
import pytest
from benchmark_worlds import quick_case, quick_plan, three_channels

from journeysim import InputError, methods
from journeysim.attribution import Attribution, Linear
from journeysim.benchmark import Answer, Contestant, MissTouches, SkipError, read_grid, run_benchmark
from journeysim.benchmark.rows import RowFile

SAME = ["world", "method", "settings", "customers", "seed", "metric", "channel", "reason", "cell", "value"]


@dataclass(frozen=True)
class Mine:
    """A method of somebody else: an adapter around an attribution by linear credit."""

    wrong: str = ""

    def attribute(self, journeys):
        if self.wrong == "crash":
            raise ZeroDivisionError("a matrix was\nsingular")
        if self.wrong == "skip":
            raise SkipError("only for two channels")
        if self.wrong == "type":
            return {"ad": 1.0}
        if self.wrong == "channel":
            return Attribution("mine", {}, ("elsewhere",), np.ones(1), np.ones(1))
        if self.wrong == "nobody":
            return Attribution("mine", {}, journeys.channels, -np.ones(3), np.ones(3))
        return Linear().attribute(journeys)


class FromLog:
    """A method that counts the entries into the last stage but one, which only a log with stages shows."""

    def attribute_log(self, log):
        assert log.stages == ("unaware", "interest", "buy")
        assert log.to_polars()["cause"].is_null().all()
        assert log.customers.column_names == ["customer"]
        entries = (log.to_polars()["stage"].cast(pl.String) == "interest").sum()
        return Attribution("from_log", {}, ("ad", "mail", "shop"), np.array([entries, 1.0, 1.0]), np.ones(3))


def mine(name="mine", **settings):
    return Contestant(method=f"{__name__}:Mine", name=name, settings=settings)


def same(rows):
    return rows.select(SAME).sort(SAME[:-1])


@pytest.fixture(scope="module")
def truths(tmp_path_factory):
    """A folder with the truth of the quick case, so that each test does not measure it."""
    out = tmp_path_factory.mktemp("truths")
    run_benchmark(quick_plan(["linear"]), out)
    return [out / "truth"]


def endings(rows):
    return dict(rows.filter(pl.col("metric").is_in(["ran", "skipped", "crashed"])).select("method", "metric").rows())


def test_every_registered_method_gives_rows_with_all_that_was_asked_for(truths, tmp_path):
    rows = run_benchmark(quick_plan(["all"], seeds=(1,)), tmp_path, truths=truths)
    assert {*rows["method"]} == {*methods()}
    assert {*endings(rows).values()} == {"ran"}
    assert rows.columns[:10] == [
        "world", "method", "settings", "customers", "seed", "metric", "value", "seconds", "memory", "version",
    ]  # fmt: skip
    bias = rows.filter(metric="bias").group_by("method").agg(pl.col("value").sum(), pl.len())
    np.testing.assert_allclose(bias["value"], 0, atol=1e-6)
    assert {*bias["len"]} == {3}
    assert (rows["seconds"] > 0).all()


def test_rows_do_not_depend_on_the_executor(truths, tmp_path):
    plan = quick_plan(["linear", "markov", mine()])
    alone = run_benchmark(plan, tmp_path / "alone", truths=truths)
    with ThreadPoolExecutor(2) as pool:
        threads = run_benchmark(plan, tmp_path / "threads", executor=pool, truths=truths)
    assert same(threads).equals(same(alone))


@pytest.mark.slow
def test_rows_do_not_depend_on_processes(truths, tmp_path):
    plan = quick_plan(["linear", "markov"])
    alone = run_benchmark(plan, tmp_path / "alone", truths=truths)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        processes = run_benchmark(plan, tmp_path / "processes", executor=pool, truths=truths)
    assert same(processes).equals(same(alone))


class Killed(BaseException):
    pass


def test_a_run_that_was_killed_goes_on_and_has_the_same_rows(truths, tmp_path):
    plan = quick_plan(["linear", "markov"], seeds=(1, 2, 3))
    whole = run_benchmark(plan, tmp_path / "whole", truths=truths)

    def stop(done, total, what):
        if done == 4:
            raise Killed

    with pytest.raises(Killed):
        run_benchmark(plan, tmp_path / "killed", truths=truths, on_progress=stop)
    file = tmp_path / "killed" / "rows.csv"
    text = file.read_text()
    assert text.count("\n") == 1 + 4 * len(whole) // 6
    file.write_text(text[: int(0.8 * len(text))])  # the system stopped amid a line
    told = []
    resumed = run_benchmark(plan, tmp_path / "killed", truths=truths, on_progress=lambda *said: told.append(said))
    assert told[0][:2] == (3, 6)  # of four cells the last was torn
    assert same(resumed).equals(same(whole))
    assert not resumed.select(SAME[:-1]).is_duplicated().any()
    before = file.read_text()
    run_benchmark(plan, tmp_path / "killed", truths=truths)
    assert file.read_text() == before


def test_a_method_that_skips_or_fails_is_a_row_with_its_reason(truths, tmp_path):
    wrong = ("crash", "skip", "type", "channel", "nobody")
    plan = quick_plan([*(mine(name, wrong=name) for name in wrong), "linear"], seeds=(1,))
    rows = run_benchmark(plan, tmp_path, truths=truths)
    ended = endings(rows)
    expected = {"crash": "crashed", "skip": "skipped", "type": "skipped", "channel": "skipped", "nobody": "skipped"}
    assert ended == {**expected, "linear": "ran"}
    reasons = dict(rows.filter(pl.col("reason") != "").select("method", "reason").rows())
    assert reasons["crash"] == "ZeroDivisionError: a matrix was singular"
    assert reasons["skip"] == "only for two channels"
    assert "returned dict" in reasons["type"]
    assert "'elsewhere'" in reasons["channel"]
    assert "no shares" in reasons["nobody"]


def test_a_method_may_take_the_log_with_its_stages_but_not_its_causes(truths, tmp_path):
    plan = quick_plan([Contestant(method=f"{__name__}:FromLog", name="log")], seeds=(1,))
    assert endings(run_benchmark(plan, tmp_path, truths=truths)) == {"log": "ran"}


def test_a_method_in_a_file_of_ones_own_is_found(truths, tmp_path):
    file = tmp_path / "my_method.py"
    file.write_text("from journeysim.attribution import Linear\nclass Mine(Linear):\n    pass\n")
    plan = quick_plan([Contestant(method=f"{file}:Mine", name="mine"), "linear"], seeds=(1,))
    rows = run_benchmark(plan, tmp_path / "out", truths=truths)
    one, other = (rows.filter(method=name, metric="share_error")["value"].item() for name in ("mine", "linear"))
    assert one == other


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("linaer", "Did you mean 'linear'"),
        ("nowhere.at.all:Mine", "cannot be imported"),
        (f"{__name__}:Nothing", "cannot be imported"),
        ("missing.py:Mine", "cannot be imported"),
        (f"{__name__}:SAME", "needs attribute"),
    ],
)
def test_a_method_that_cannot_be_made_stops_the_run_before_it_begins(method, said, tmp_path):
    with pytest.raises(InputError, match=said):
        run_benchmark(quick_plan([Contestant(method=method)]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_settings_that_do_not_fit_are_told():
    with pytest.raises(InputError, match="cannot be made"):
        Contestant(method="linear", settings={"speed": 3}).made()


def test_a_sample_in_which_nobody_meets_a_channel_is_skipped_by_all(tmp_path):
    all_missing = MissTouches(missing=dict.fromkeys(("ad", "mail", "shop"), 1.0))
    plan = quick_plan(["linear", "markov"], [quick_case(defects=[all_missing])], seeds=(1,))
    assert {*endings(run_benchmark(plan, tmp_path)).values()} == {"skipped"}


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="other columns"):
        run_benchmark(quick_plan(["linear"]), tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks there")
def test_two_runs_do_not_write_to_one_folder(tmp_path):
    with RowFile(tmp_path).alone(), pytest.raises(InputError, match="Another run"):
        run_benchmark(quick_plan(["linear"]), tmp_path)


def test_two_methods_or_worlds_of_one_name_are_refused():
    with pytest.raises(InputError, match="Two methods"):
        quick_plan(["linear", mine("linear")])
    with pytest.raises(InputError, match="Two cases"):
        quick_plan(["linear"], [quick_case(), quick_case()])


def test_all_leaves_out_what_is_named_with_settings():
    plan = quick_plan([Contestant(method="all"), mine("linear")])
    assert sorted(contestant.label for contestant in plan.contestants) == sorted(methods())


def test_a_grid_is_read_from_yaml(tmp_path):
    (tmp_path / "case.yaml").write_text("name: control\ntests: y\nworld: plain-channels\n")
    file = tmp_path / "grid.yaml"
    text = "name: g\nworlds: [case.yaml]\nrandom_worlds: {n_worlds: 2, first_seed: 5}\ncustomers: [10]\nseeds: [1]\n"
    file.write_text(text + "methods: [linear, {method: markov, name: m}]\n")
    plan = read_grid(file)
    assert [case.name for case in plan.cases] == ["control", "random-5", "random-6"]
    assert [contestant.label for contestant in plan.contestants] == ["linear", "m"]
    assert [case.name for case in read_grid(file, first_seed=9).cases] == ["control", "random-9", "random-10"]
    assert [case.name for case in plan.only(worlds=("random-5",)).cases] == ["random-5"]
    with pytest.raises(InputError, match="no world 'x'"):
        plan.only(worlds=("x",))
    file.write_text(text + "method: [linear]\n")
    with pytest.raises(InputError, match="line"):
        read_grid(file)


@cache
def rows_with_names(names):
    """Scores of every method on the same world, with channels of these names."""
    import tempfile

    case = quick_case(world=three_channels(names))
    return run_benchmark(quick_plan(["all"], [case], customers=(1_000,), seeds=(1,)), tempfile.mkdtemp())


@pytest.mark.parametrize("method", methods())
def test_renaming_channels_changes_no_score(method):
    """Names in another alphabetical order, too: no method may look at them."""
    scores = []
    for names in (("ad", "mail", "shop"), ("zeta", "beta", "eta")):
        rows = rows_with_names(names).filter(pl.col("method") == method, ~pl.col("metric").is_in(["bias"]))
        scores.append(rows.select("metric", "value").sort("metric"))
    assert scores[0]["metric"].equals(scores[1]["metric"])
    np.testing.assert_allclose(scores[0]["value"].to_numpy(), scores[1]["value"].to_numpy(), atol=1e-6)


def test_answers_may_come_in_any_order_of_channels():
    answer = Answer(("shop", "ad"), np.array([1.0, 2.0]), np.array([[1.0, 2.0]])).of(("ad", "mail", "shop"))
    np.testing.assert_array_equal(answer.credit, [2, 0, 1])
    np.testing.assert_array_equal(answer.draws, [[2, 0, 1]])
    with pytest.raises(InputError, match="not a finite"):
        Answer(("ad",), np.array([np.nan])).of(("ad",))


def test_a_grid_without_methods_has_nothing_to_run():
    with pytest.raises(InputError, match="nothing to run"):
        quick_plan([])

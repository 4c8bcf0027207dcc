"""Peers in an environment of their own: what they are given, what they answer, and what becomes of their failures."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from benchmark_worlds import quick_plan

from journeysim import InputError, attribute, journeys_from_paths
from journeysim.benchmark import Contestant, Sample, SkipError, run_benchmark
from journeysim.benchmark.peers import INTERPRETER, Peer, PeerError, aggregated_paths, safe_names

LAST_TOUCH = """
import csv, json, sys
credit = {}
for row in csv.DictReader(open(sys.argv[1])):
    last = row["path"].split(" > ")[-1]
    credit[last] = credit.get(last, 0) + float(row["conversions"])
answer = {"name": "fake", "version": "1.2", "conventions": "last touch", "credit": credit}
json.dump(answer, open(sys.argv[2], "w"))
"""


def journeys():
    columns = ["path", "total_conversions", "total_conversion_value", "total_null"]
    rows = [("a > b", 2, 20, 1), ("b", 1, 5, 0), ("a > b", 1, 3, 2), ("eta > a", 0, 0, 4)]
    return journeys_from_paths(pl.DataFrame(rows, schema=columns, orient="row"))


def sample():
    return Sample(None, None, None, None, journeys(), 10, 1)


@pytest.fixture
def adapter(tmp_path):
    def write(script=LAST_TOUCH):
        file = tmp_path / "adapter.py"
        file.write_text(script)
        return Peer(str(file), sys.executable, timeout_seconds=20)

    return write


def test_a_peer_gets_distinct_paths_with_names_that_nothing_can_confuse():
    names = safe_names(journeys().channels)
    frame = aggregated_paths(journeys(), names)
    told = dict(zip(journeys().channels, names, strict=True))
    assert frame.rows() == [
        (f"{told['a']} > {told['b']}", 3.0, 3.0, 23.0),
        (told["b"], 1.0, 0.0, 5.0),
        (f"{told['eta']} > {told['a']}", 0.0, 4.0, 0.0),
    ]
    many = safe_names(tuple(map(str, range(1_200))))
    assert len({*many}) == 1_200
    assert not any(one in other for one in many[:20] for other in many if one != other)


def test_a_peer_answers_with_its_own_version(adapter):
    answer = adapter().answer(sample())
    expected = attribute(journeys(), "last_touch")
    credit = dict(zip(answer.channels, answer.credit, strict=True))
    assert {name: credit.get(name, 0.0) for name in expected.channels} == dict(
        zip(expected.channels, expected.conversions, strict=True)
    )
    assert answer.version == "fake 1.2 (last touch)"


@pytest.mark.parametrize(
    ("script", "error", "said"),
    [
        ("raise ValueError('singular matrix')", PeerError, "ValueError: singular matrix"),
        ("import sys; sys.exit(3)", PeerError, "code 3"),
        ("import json, sys; json.dump({'skip': 'order 1 only'}, open(sys.argv[2], 'w'))", SkipError, "order 1 only"),
        (LAST_TOUCH.replace("credit[last] = ", "credit['x' + last] = "), InputError, "no channel of the paths"),
    ],
)
def test_a_peer_that_fails_says_why(adapter, script, error, said):
    with pytest.raises(error, match=said):
        adapter(script).answer(sample())


def test_a_peer_that_takes_too_long_is_stopped(tmp_path):
    file = tmp_path / "slow.py"
    file.write_text("import time; time.sleep(60)")
    with pytest.raises(PeerError, match=r"stopped after 0\.5 seconds"):
        Peer(str(file), sys.executable, timeout_seconds=0.5).answer(sample())


def test_without_an_environment_of_its_own_a_peer_is_skipped(adapter, monkeypatch):
    monkeypatch.delenv(INTERPRETER, raising=False)
    with pytest.raises(SkipError, match=INTERPRETER):
        Peer(adapter().adapter).answer(sample())
    with pytest.raises(SkipError, match="cannot be run"):
        Peer(adapter().adapter, "no-such-python").answer(sample())
    monkeypatch.setenv(INTERPRETER, sys.executable)
    assert Peer(adapter().adapter).answer(sample()).version.startswith("fake")


def test_in_a_run_a_peer_is_a_row_like_any_other(adapter, tmp_path):
    settings = {"adapter": adapter().adapter, "interpreter": sys.executable}
    peer = Contestant(method="journeysim.benchmark.peers:Peer", name="fake_peer", settings=settings)
    rows = run_benchmark(quick_plan([peer, "last_touch"], seeds=(1,)), tmp_path / "out")
    errors = dict(rows.filter(metric="share_error").select("method", "value").rows())
    assert errors["fake_peer"] == pytest.approx(errors["last_touch"])
    assert {*rows.filter(method="fake_peer")["version"]} == {"fake 1.2 (last touch)"}
    np.testing.assert_array_less(0, rows.filter(method="fake_peer")["seconds"])


def test_every_adapter_of_the_benchmark_is_a_method_of_the_grid_of_peers():
    from journeysim.benchmark import read_grid

    home = Path(__file__).parents[1] / "benchmarks" / "attribution"
    plan = read_grid(home / "peers.yaml")
    named = {Path(c.settings["adapter"]).name for c in plan.contestants if "adapter" in c.settings}
    assert named == {file.name for file in (home / "peers").glob("*.py")}

"""Logs on disk: those of `simulate` in parts; whatever stops a run, it goes on and gives the identical log."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shard_worlds import HOW, WORLDS
from small_worlds import small_world

from journeysim import worlds
from journeysim.errors import InputError
from journeysim.log_directory import scan_log
from journeysim.log_files import read_log
from journeysim.simulation import shards, simulate
from journeysim.simulation.engine import CHUNK_CUSTOMERS
from journeysim.simulation.plan import MOST, SHARDS, plan_shards
from journeysim.simulation.recipe import Recipe
from journeysim.simulation.shards import simulate_to, unfinished
from journeysim.spec import World

N_SHARDS = {"alone": 6, "word of mouth": 6, "desk": 6}
SHARD = {"alone": 450, "word of mouth": 500, "desk": 60}


@pytest.fixture(scope="module", params=WORLDS)
def case(request):
    """Name, settings for `simulate`, and the log that they give."""
    world, n = WORLDS[request.param]
    settings = {"world": world, "n_customers": n, **HOW}
    return request.param, settings, simulate(**settings)


def write(case, target, **how):
    name, settings, _ = case
    return simulate_to(target, **{"shard_customers": SHARD[name], **settings, **how})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_log_on_disk_is_the_log_in_memory(case, tmp_path):
    name, _, expected = case
    log = write(case, tmp_path / "deep" / "log")
    assert log.hash() == expected.hash()
    assert (log.n_events, log.n_customers, len(log)) == (expected.n_events, expected.n_customers, N_SHARDS[name])
    again = read_log(tmp_path / "deep" / "log")
    assert again.equals(expected)
    assert again.events.cast(expected.events.schema).equals(expected.events)  # also to Arrow, code by code
    assert (again.provenance, again.currency) == (expected.provenance, expected.currency)
    files = [f"{table}-{i:05}.parquet" for table in ("customers", "events") for i in range(N_SHARDS[name])]
    assert names(tmp_path / "deep" / "log") == [*files, "manifest.json"]
    assert names(tmp_path / "deep") == ["log"]


def test_parts_are_complete_for_their_customers(case, tmp_path):
    name, settings, expected = case
    write(case, tmp_path / "log")
    log, first = scan_log(tmp_path / "log"), 0
    for part, said in zip(log, log.parts, strict=True):
        last = min(first + SHARD[name], settings["n_customers"])
        assert part.customers["customer"].to_pylist() == [*range(first, last)]
        assert part.equals(expected.only(pa.array(range(first, last))))
        assert (part.n_events, part.n_customers) == (said.n_events, said.n_customers)
        first = last
    assert first == settings["n_customers"]
    assert log.read_part(2).equals([*log][2])


def test_the_manifest_says_how_to_make_the_log_again(case, tmp_path):
    _, settings, expected = case
    write(case, tmp_path / "log")
    recipe = json.loads((tmp_path / "log" / "manifest.json").read_text())["recipe"]
    assert recipe == scan_log(tmp_path / "log").recipe
    world = World.from_yaml(recipe["world"])
    assert world == settings["world"]
    wanted = {name: recipe[name] for name in ("n_customers", "horizon_days", "seed", "engine")}
    assert simulate(world, **wanted).equals(expected)


@pytest.mark.parametrize(("threads", "shard"), [(1, 1), (2, 333), (2, 1000), (2, 10**6), (1, None)])
def test_shards_and_threads_do_not_change_the_log(case, tmp_path, threads, shard):
    name, settings, expected = case
    if shard == 1 and name == "alone":
        shard = 100  # 2500 files take long
    log = simulate_to(tmp_path / "log", **settings, threads=threads, shard_customers=shard)
    assert log.hash() == expected.hash()


def test_progress_counts_finished_customers(case, tmp_path):
    name, settings, _ = case
    seen = []
    write(case, tmp_path / "log", on_progress=seen.append)
    assert seen == [min(i * SHARD[name], settings["n_customers"]) for i in range(N_SHARDS[name] + 1)]


def test_events_are_written_in_few_bytes_and_other_tools_read_them(tmp_path):
    import polars as pl

    log = simulate_to(tmp_path / "log", worlds.load("considered-purchase"), n_customers=20_000, horizon_days=90, seed=1)
    size = sum(file.stat().st_size for file in (tmp_path / "log").iterdir())
    assert size < 9 * log.n_events
    frame = pl.read_parquet(tmp_path / "log" / "events-*.parquet")
    assert frame.equals(log.read().to_polars())


# --- a run that is stopped ---


class Stop(BaseException):
    pass


def stop_after(n_customers, error=Stop):
    def on_progress(done):
        if done >= n_customers:
            raise error

    return on_progress


@pytest.fixture
def stopped(case, tmp_path):
    """A run that was stopped in its middle; the folder that it leaves behind."""
    name, _, _ = case
    with pytest.raises(Stop) as stop:
        write(case, tmp_path / "log", threads=1, on_progress=stop_after(2 * SHARD[name]))
    assert names(tmp_path) == ["log.partial"]
    (said,) = stop.value.__notes__
    left = unfinished(tmp_path / "log")
    assert 2 <= left.n_done < N_SHARDS[name]
    assert said == f"{left}; the same command goes on from there"
    assert str(left) == f"{left.n_done} of {left.n_shards} shards are in {tmp_path / 'log.partial'}"
    assert left.n_shards == N_SHARDS[name]
    return tmp_path / "log.partial"


def numbers_written(monkeypatch):
    """The shards that are simulated from now on."""
    written, real = [], shards.write_shard
    monkeypatch.setattr(shards, "write_shard", lambda *task: written.append(task[2]) or real(*task))
    return written


def test_a_stopped_run_goes_on_with_what_is_missing(case, stopped, tmp_path, monkeypatch):
    name, _, expected = case
    n_done, seen = unfinished(tmp_path / "log").n_done, []
    before = contents(stopped)
    written = numbers_written(monkeypatch)
    log = write(case, tmp_path / "log", on_progress=seen.append)
    assert sorted(written) == [*range(n_done, N_SHARDS[name])]
    assert seen[0] == n_done * SHARD[name]
    assert log.hash() == expected.hash()
    assert read_log(tmp_path / "log").equals(expected)
    write(case, tmp_path / "at once")
    assert contents(tmp_path / "log") == contents(tmp_path / "at once")
    kept = {name: content for name, content in before.items() if name.endswith(".parquet")}
    assert kept.items() <= contents(tmp_path / "log").items()
    assert unfinished(tmp_path / "log") is None


def cut_short(file):
    file.write_bytes(file.read_bytes()[:-5])


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("events-00001.parquet", cut_short),
        ("events-00001.parquet", Path.unlink),
        ("customers-00001.parquet", cut_short),
        ("done-00001.json", cut_short),
        ("done-00001.json", Path.unlink),
        ("done-00001.json", lambda file: file.write_text("{}")),
    ],
)
def test_a_damaged_shard_is_made_again(case, stopped, tmp_path, monkeypatch, file, damage):
    damage(stopped / file)
    written = numbers_written(monkeypatch)
    log = write(case, tmp_path / "log")
    assert 1 in written
    assert 0 not in written
    assert read_log(tmp_path / "log").hash() == log.hash() == case[2].hash()


def test_what_killed_writers_left_is_removed_in_the_end(case, stopped, tmp_path):
    (stopped / ".events-00004.parquet.12-ab").write_text("half")
    write(case, tmp_path / "log")
    assert {name.split("-")[0] for name in names(tmp_path / "log")} == {"customers", "events", "manifest.json"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 6}, "seed is 5 there and 6 here"),
        ({"horizon_days": 61}, r"horizon_days is 60\.0 there and 61\.0 here"),
        ({"n_customers": 2_000}, r"n_customers is \d+ there and 2000 here"),
        ({"shard_customers": 1_000}, r"shard_customers is \d+ there and \d+ here"),
        ({"world": small_world({"a": {"buy": 1.0}, "buy": {}})}, "the world says '.*' there and '.*' here"),
    ],
)
def test_what_is_left_of_another_run_is_refused_with_what_differs(case, stopped, tmp_path, change, told):
    before = contents(stopped)
    with pytest.raises(
        InputError, match=rf"of 6 shards are in .*log\.partial, but of other settings: .*{told}.*remove"
    ):
        write(case, tmp_path / "log", **change)
    assert contents(stopped) == before


def test_the_version_counts_as_a_setting(case, stopped, tmp_path):
    said = json.loads((stopped / "plan.json").read_text())
    (stopped / "plan.json").write_text(json.dumps(said | {"journeysim": "0.0.1"}))
    with pytest.raises(InputError, match=r"other settings: journeysim is 0\.0\.1 there"):
        write(case, tmp_path / "log")


@pytest.mark.parametrize("error", [InputError("no luck"), OSError(28, "disk full"), KeyboardInterrupt()])
def test_a_run_without_any_finished_shard_leaves_nothing(case, tmp_path, error):
    with pytest.raises(type(error)) as stop:
        write(case, tmp_path / "log", on_progress=stop_after(0, error))
    assert not hasattr(stop.value, "__notes__")
    assert names(tmp_path) == []


def test_two_runs_do_not_write_to_one_directory_at_once(case, tmp_path):
    """The second is refused and leaves the first one's work alone; the first is not disturbed."""
    told = []

    def another_run(done):
        if not told:
            with pytest.raises(
                InputError, match=r"Another run is writing to .*log\.partial\. Wait for it, stop it, or"
            ) as e:
                write(case, tmp_path / "log")
            told.append(str(e.value))

    log = write(case, tmp_path / "log", on_progress=another_run)
    assert told
    assert log.hash() == case[2].hash()
    assert not list((tmp_path / "log").glob(".*"))


def test_nothing_is_overwritten(case, tmp_path):
    write(case, tmp_path / "log")
    before = contents(tmp_path / "log")
    with pytest.raises(InputError, match="log exists already"):
        write(case, tmp_path / "log")
    assert contents(tmp_path / "log") == before
    (tmp_path / "other.partial").mkdir()
    (tmp_path / "other.partial" / "mine").write_text("mine")
    with pytest.raises(InputError, match=r"other\.partial is in the way, and is no unfinished log"):
        write(case, tmp_path / "other")
    assert names(tmp_path / "other.partial") == ["mine"]
    (tmp_path / "other.partial" / "plan.json").write_text('{"of": "somebody else"}')
    with pytest.raises(InputError, match=r"other\.partial is in the way"):
        write(case, tmp_path / "other")


def test_a_run_that_was_killed_in_its_first_moment_is_no_obstacle(case, tmp_path):
    (tmp_path / "log.partial").mkdir()
    (tmp_path / "log.partial" / ".plan.json.12-ab").write_text("{")
    assert unfinished(tmp_path / "log") is None
    assert write(case, tmp_path / "log").hash() == case[2].hash()
    assert not [*(tmp_path / "log").glob(".*")]


def test_a_worker_that_does_not_see_the_directory_says_so(tmp_path):
    world, n = WORLDS["alone"]
    plan = plan_shards(Recipe(world, n, **HOW))
    with pytest.raises(InputError, match=r"A worker does not find .*elsewhere: all workers must see the directory"):
        shards.write_shard(tmp_path / "elsewhere", plan, 0)


def test_workers_that_write_elsewhere_are_found_out(tmp_path, monkeypatch):
    def far_away(folder, plan, number):
        part = real(folder, plan, number)
        (folder / part.files[0]).unlink()
        return part

    real = shards.write_shard
    monkeypatch.setattr(shards, "write_shard", far_away)
    world, n = WORLDS["alone"]
    with pytest.raises(InputError, match="must share a file system"):
        simulate_to(tmp_path / "log", world, n_customers=n, **HOW)


def test_a_part_that_fails_leaves_no_file(case, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        write(case, tmp_path / "log")
    assert names(tmp_path) == []


# --- how a population is cut ---


@pytest.mark.parametrize(
    ("n", "engine", "shard", "expected"),
    [
        (1_000, "auto", None, CHUNK_CUSTOMERS),
        (3 * SHARDS * CHUNK_CUSTOMERS, "auto", None, 3 * CHUNK_CUSTOMERS),
        (10**9, "auto", None, MOST),
        (10**9, "auto", 12_345, 12_345),
        (10**9, "simpy", None, 10_000),
        (10**9, "simpy", 12_345, 20_000),
    ],
)
def test_shards_are_seconds_of_work_and_whole_markets_where_customers_meet(n, engine, shard, expected):
    world = WORLDS["alone"][0]
    assert world.market_size == 10_000
    plan = plan_shards(Recipe(world, n, 1, seed=1), engine, shard)
    assert plan.shard_customers == expected
    last = [*plan.chunks(len(plan) - 1)]
    assert last[-1][1] == n
    assert last[0][0] == (len(plan) - 1) * expected


@pytest.mark.parametrize("wrong", [0, -1, 1.5])
def test_a_shard_has_customers(wrong):
    with pytest.raises(InputError, match=f"shard_customers is {wrong}"):
        plan_shards(Recipe(WORLDS["alone"][0], 10, 1, seed=1), "auto", wrong)


# --- as a process ---

N = 100
COMMAND = ["considered-purchase", "--customers", f"{N}000", "--days", "40", "--shard-customers", "1000"]


def run_until(target, n_done, *options):
    """A run of the command line in which some shards are done."""
    command = [sys.executable, "-m", "journeysim.cli", "simulate", *COMMAND, *options, "--out", str(target)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    partial, deadline = target.with_name("log.partial"), time.monotonic() + 120
    while len([*partial.glob("done-*")]) < n_done and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    return process


@pytest.fixture(scope="module")
def hash_at_once():
    return simulate(worlds.load("considered-purchase"), n_customers=N * 1000, horizon_days=40, seed=1).hash()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("options", [[], pytest.param(["--processes", "2"], marks=pytest.mark.slow)], ids=str)
def test_a_killed_run_goes_on_and_gives_the_identical_log(tmp_path, options, hash_at_once):
    process = run_until(tmp_path / "log", 3, *options)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    left = unfinished(tmp_path / "log")
    assert 3 <= left.n_done < N
    again = run_until(tmp_path / "log", N + 1)
    printed, errors = again.communicate(timeout=120)
    assert (again.returncode, errors) == (0, "")
    assert printed.startswith(f"Went on from {left.n_done} of 100 shards that were done before.\n")
    assert f"hash {hash_at_once}\n" in printed
    assert names(tmp_path) == ["log"]
    assert read_log(tmp_path / "log").hash() == hash_at_once


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(
    ("sent", "code", "said", "options"),
    [
        (signal.SIGINT, 130, "interrupted", []),
        (signal.SIGTERM, 143, "terminated", []),
        pytest.param(signal.SIGINT, 130, "interrupted", ["--processes", "2"], marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_run_says_how_to_go_on(tmp_path, sent, code, said, options):
    process = run_until(tmp_path / "log", 3, *options)
    process.send_signal(sent)
    printed, errors = process.communicate(timeout=60)
    left = unfinished(tmp_path / "log")
    assert (process.returncode, printed) == (code, "")
    assert errors == f"Error: {said}: {left}; the same command goes on from there.\n"
    assert 3 <= left.n_done < N
    assert [path.name for path in left.folder.glob(".*")] == [".lock"]  # nothing half written

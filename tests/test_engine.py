"""What every simulated log looks like, and what `simulate` refuses."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest
from log_tables import MOVES, moves, never_touched_by, table
from small_worlds import rich_world, small_world

import journeysim
from journeysim.errors import InputError
from journeysim.events import EventLog, check
from journeysim.log_files import read_log, write_log
from journeysim.simulation.engine import simulate
from journeysim.simulation.recipe import MAX_DAYS, START
from journeysim.spec import Channel

WORLD = rich_world()
SIMPLE = small_world({"look": {"buy": 0.1}, "buy": {}})


@pytest.fixture(scope="module")
def log():
    return simulate(WORLD, n_customers=5000, horizon_days=120, seed=4)


@pytest.fixture(scope="module")
def events(log):
    return table(log)


# --- what every log looks like -------------------------------------------------------------------------------------


def test_a_simulated_log_passes_the_checks_of_any_log(log, events):
    check(log)
    assert log.n_customers == 5000
    assert set(events["kind"]) == {"stage", "touch", "purchase", "pain", "lost"}


def test_every_customer_enters_the_first_stage_at_the_start(events):
    first = events.group_by("customer", maintain_order=True).first()
    assert first["customer"].to_list() == list(range(5000))
    assert first.select("kind", "stage", "day", "cause").unique().rows() == [("stage", "unaware", 0.0, None)]


def test_nothing_follows_lost(events):
    last = events.group_by("customer", maintain_order=True).last()
    assert (last["kind"] == "lost").sum() == (events["kind"] == "lost").sum() > 0
    assert events.filter((pl.col("kind") == "lost") != (pl.col("stage") == "lost")).is_empty()


def test_moves_are_moves_of_the_world(events):
    possible = {(stage.name, to) for stage in WORLD.stages for to, rate in stage.moves_per_day.items() if rate > 0}
    assert set(moves(events).select("origin", "stage").unique().rows()) == possible
    others = events.filter(~pl.col("kind").is_in(MOVES))
    assert (others["stage"] == others["origin"]).all()


def test_a_purchase_follows_each_entry_into_a_purchase_stage_and_only_there(events):
    after = events.with_columns(pl.col("kind", "time", "value").shift(-1).over("customer").name.prefix("next_"))
    bought = after.filter(kind="stage", stage="buy")
    assert (bought["next_kind"] == "purchase").all()
    assert (bought["next_time"] == bought["time"]).all()
    assert (bought["next_value"] > 0).all()
    assert events.filter(kind="purchase").height == bought.height
    assert events.filter(pl.col("kind") != "purchase")["value"].null_count() == events.height - bought.height


def test_causes_are_base_or_a_contact_or_a_pain_point_of_the_same_stay(events):
    stay = pl.col("kind").is_in(MOVES).cum_sum().over("customer")
    events = events.with_columns(stay=stay)
    caused = moves(events)
    assert caused["cause"].null_count() == 0
    assert events.filter(~pl.col("kind").is_in(MOVES))["cause"].null_count() > 0
    present = events.select("customer", "stay", cause=pl.coalesce("channel", "pain_point")).drop_nulls().unique()
    blamed = caused.filter(pl.col("cause") != "base").with_columns(stay=pl.col("stay") - 1)
    assert blamed.join(present, on=["customer", "stay", "cause"], how="anti").is_empty()
    pushed = {s.name: WORLD.pushed_move(s) for s in WORLD.stages}
    by_channel = blamed.filter(pl.col("cause").is_in(WORLD.channel_names))
    assert (by_channel["stage"] == by_channel["origin"].replace(pushed)).all()
    assert set(blamed.filter(stage="lost")["cause"]) == {pain.name for pain in WORLD.pain_points}


def test_pain_points_and_contacts_happen_in_their_stages(events):
    assert set(events.filter(kind="pain").select("pain_point", "stage").unique().rows()) == {
        (pain.name, pain.stage) for pain in WORLD.pain_points
    }
    places = {(c.name, stage) for c in WORLD.channels for stage in c.contacts_per_day}
    places |= {(c.name, trigger.entering) for c in WORLD.channels for trigger in c.triggers}
    assert set(events.filter(kind="touch").select("channel", "stage").unique().rows()) == places


def test_a_written_log_reads_back_the_same(log, tmp_path):
    write_log(log, tmp_path / "log")
    assert read_log(tmp_path / "log").equals(log)


def test_the_hash_is_of_what_a_log_says_not_of_how_its_words_are_coded(log):
    again = EventLog.from_frame(
        log.to_polars(),
        customers=log.customers,
        start=log.start,
        end=log.end,
        stages=log.stages,
        purchase_stages=log.purchase_stages,
        currency=log.currency,
    )
    assert again.equals(log)
    assert not again.only(never_touched_by(log, "ad")).equals(log)


# --- windows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "utc"),
    [
        (datetime(2026, 3, 29, 1), datetime(2026, 3, 29, 1, tzinfo=UTC)),
        (datetime(2026, 3, 29, 1, tzinfo=timezone(timedelta(hours=2))), datetime(2026, 3, 28, 23, tzinfo=UTC)),
        (datetime(1931, 1, 1, 0, 0, 0, 7), datetime(1931, 1, 1, 0, 0, 0, 7, tzinfo=UTC)),
    ],
    ids=["naive", "aware", "before 1970"],
)
def test_a_start_is_taken_as_utc_and_only_shifts_the_log(start, utc):
    log = simulate(SIMPLE, n_customers=50, horizon_days=30, seed=1, start=start)
    check(log)
    assert log.start == utc
    assert log.events["time"][0].as_py() == utc
    reference = simulate(SIMPLE, n_customers=50, horizon_days=30, seed=1)
    assert table(log)["day"].to_list() == table(reference)["day"].to_list()


def test_all_times_lie_in_a_window_that_ends_far_off_between_two_microseconds():
    world = small_world({"look": {"buy": 2.0}, "buy": {"look": 2.0}})
    for days in (36_499.123456789012, 1.1e-5, 1e-12):
        log = simulate(world, n_customers=3, horizon_days=days, seed=1, start=START + timedelta(microseconds=1))
        check(log)


def test_one_customer_and_stages_that_nobody_leaves():
    log = simulate(SIMPLE, n_customers=1, horizon_days=1000, seed=0)
    assert table(log)["kind"].to_list() == ["stage", "stage", "purchase"]
    still = small_world(
        {"look": {"buy": 0.0}, "buy": {}},
        channels=[Channel(name="ad", contacts_per_day={"look": 1e-9}, pull=0.5)],
    )
    assert table(simulate(still, n_customers=9, horizon_days=50, seed=0))["kind"].to_list() == ["stage"] * 9


def test_progress_counts_finished_customers():
    seen = []
    simulate(SIMPLE, n_customers=25, horizon_days=1, seed=0, chunk_customers=10, on_progress=seen.append)
    assert seen == [10, 20, 25]


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_the_smallest_and_the_largest_seed_work(seed):
    assert simulate(SIMPLE, n_customers=2, horizon_days=1, seed=seed).n_customers == 2


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("n_customers", v) for v in (0, -1, 10**30, NAN, 10.5)),
        *(("horizon_days", v) for v in (0, -1.0, NAN, INF, MAX_DAYS + 1)),
        *(("seed", v) for v in (-1, 2**64, NAN, 0.5)),
        *(("threads", v) for v in (0, -2, 10**6)),
        *(("chunk_customers", v) for v in (0, -1, NAN)),
    ],
)
def test_a_number_out_of_range_is_refused_by_name_and_value(name, value):
    with pytest.raises(InputError, match=rf"{name} is {value}".replace("+", r"\+")):
        simulate(SIMPLE, **{"n_customers": 5, "horizon_days": 5.0, "seed": 1, name: value})


def test_a_window_beyond_the_calendar_is_refused():
    with pytest.raises(InputError, match="9999-12-01; 60 days later"):
        simulate(SIMPLE, n_customers=5, horizon_days=60, seed=1, start=datetime(9999, 12, 1))


@pytest.mark.slow
def test_a_change_of_the_draws_alone_is_compiled_anew(tmp_path):
    """Numba caches by the file of the kernel; the draws that are compiled into it stand in another."""
    package = Path(journeysim.__file__).parent
    shutil.copytree(package, tmp_path / "journeysim", ignore=shutil.ignore_patterns("__pycache__"))
    script = (
        "import journeysim as js; from journeysim import worlds; "
        "print(js.simulate(worlds.load('impulse-purchase'), n_customers=50, horizon_days=30, seed=1).hash())"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "PYTHONPATH")}

    def run() -> str:
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout

    before = run()
    assert run() == before
    rng = tmp_path / "journeysim" / "simulation" / "rng.py"
    rng.write_text(rng.read_text().replace("0xD2511F53", "0xD2511F55"))
    assert run() != before

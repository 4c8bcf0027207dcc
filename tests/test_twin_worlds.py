"""Two simulations that differ in one thing may differ only by what it causes."""

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from log_tables import moves, never_touched_by, table
from scipy import stats
from small_worlds import rich_world

from journeysim.simulation import chunk as chunk_module
from journeysim.simulation.engine import simulate
from journeysim.simulation.rows import empty_rows

WORLD = rich_world()
N, DAYS = 3000, 90


def run(world=WORLD, n_customers=N, horizon_days=DAYS, seed=3, **how):
    return simulate(world, n_customers=n_customers, horizon_days=horizon_days, seed=seed, **how)


@pytest.fixture(scope="module")
def before():
    return run()


# --- the same log --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("threads", "chunk"), [(1, N), (1, 1000), (2, 1000), (2, 7), (8, 64), (3, 2999), (None, 16_384)]
)
def test_threads_and_chunks_do_not_change_the_log(before, threads, chunk):
    assert run(threads=threads, chunk_customers=chunk).equals(before)


def test_one_customer_per_chunk_does_not_change_the_log(before):
    few = run(n_customers=40, chunk_customers=1)
    assert before.only(pa.array(range(40))).equals(few)


@pytest.mark.parametrize("chunk", [1, 3, 10])
def test_full_buffers_do_not_change_the_log(monkeypatch, chunk):
    """Room for two customers at a time, then for less than one: the rest is begun anew."""
    ad = WORLD.channels[0].model_copy(update={"contacts_per_day": {"unaware": 30.0, "interest": 20.0}})
    busy = WORLD.model_copy(update={"channels": (ad, *WORLD.channels[1:])})
    roomy = run(busy, n_customers=10, threads=1)
    most = max(np.bincount(roomy.customer_codes()))
    sizes = []
    monkeypatch.setattr(chunk_module, "empty_rows", lambda n: sizes.append(n) or empty_rows(n))
    for room in (2 * most, 100):
        monkeypatch.setattr(chunk_module, "ROWS_AT_ONCE", room)
        assert run(busy, n_customers=10, threads=1, chunk_customers=chunk).equals(roomy)
    assert max(sizes) > most > 100


def test_other_seeds_give_other_logs(before):
    hashes = {before.hash(), *(run(seed=seed).hash() for seed in (0, 4, 3 + 2**32, 3 + 2**63))}
    assert len(hashes) == 5


def test_a_larger_population_begins_with_the_same_customers(before):
    larger = run(n_customers=2 * N, chunk_customers=1234)
    assert larger.only(before.customers["customer"].combine_chunks()).equals(before)


def test_a_longer_horizon_begins_with_the_same_events(before):
    longer = run(horizon_days=1.7 * DAYS)
    assert longer.n_events > before.n_events
    assert table(longer).filter(pl.col("time") <= before.end).equals(table(before))


def test_the_log_is_the_same_on_every_python_and_machine(before):
    """A golden value: it changes only with the model, and a change of it belongs in the changelog."""
    assert before.hash() == "0c757c937dd365d6c17a0ed0fa789fb0b475b897a06a27be78ad144dcf3acfdc"


# --- a channel off -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=WORLD.channel_names)
def switched(request, before):
    return request.param, before, run(WORLD.without(request.param))


def test_a_channel_that_is_off_never_appears(switched):
    channel, before, after = switched
    assert channel in set(table(before)["channel"])
    assert not {channel} & {*table(after)["channel"], *table(after)["cause"]}


def test_customers_who_never_met_the_channel_are_untouched_and_others_are_not(switched):
    channel, before, after = switched
    spared = never_touched_by(before, channel)
    assert 0 < len(spared) < N
    assert before.only(spared).equals(after.only(spared))
    rest = [log.only(pa.array(np.setdiff1d(np.arange(N), spared.to_numpy()))) for log in (before, after)]
    old, new = (moves(table(log)).select("customer", "day", "stage") for log in rest)
    changed = old.join(new, on=old.columns, how="anti")["customer"].n_unique()
    assert changed > 50


def test_all_is_the_same_up_to_the_first_contact(switched):
    channel, before, after = switched
    old, new = (table(log).with_columns(row=pl.int_range(pl.len()).over("customer")) for log in (before, after))
    met = (pl.col("channel") == channel).fill_null(value=False).cum_max().over("customer")
    prefix = old.filter(~met)
    same = new.join(prefix.group_by("customer").len("n_prefix"), on="customer", maintain_order="left")
    assert same.filter(pl.col("row") < pl.col("n_prefix")).drop("n_prefix").equals(prefix)


def test_common_draws_make_the_effect_of_a_channel_more_than_3_times_as_precise():
    """Customers are independent, so a pair of runs gives the variance per customer of both ways to measure.

    Var(on - off) <= P(on differs from off) = q with common draws, p(1 - p) + p'(1 - p') with independent seeds; exact
    binomial bounds, each failing with chance 1e-6.
    """
    n = 40_000
    on, off = (
        np.isin(np.arange(n), table(run(world, n)).filter(kind="purchase")["customer"].to_numpy())
        for world in (WORLD, WORLD.without("search"))
    )
    assert on.mean() > off.mean()
    q = stats.beta.isf(1e-6, (on != off).sum() + 1, n - (on != off).sum())
    p_on, p_off = (stats.beta.ppf(1e-6, bought.sum(), n - bought.sum() + 1) for bought in (on, off))
    assert p_on < 0.5  # so that p(1 - p) grows with p
    assert p_on * (1 - p_on) + p_off * (1 - p_off) > 3 * q
    other_seed = np.isin(
        np.arange(n), table(run(WORLD.without("search"), n, seed=99)).filter(kind="purchase")["customer"]
    )
    assert np.var(on.astype(float) - other_seed) > 3 * np.var(on.astype(float) - off)

"""`simulate` against an independent implementation: SimPy processes, other draws, other sampling, same mathematics."""

import numpy as np
import polars as pl
import pytest
from log_tables import table
from small_worlds import rich_world
from statistical import FALSE_ALARM, assert_same_distribution, assert_same_mean, assert_same_proportion

from benchmarks.speed.simpy_peer import simulate_with_simpy
from benchmarks.speed.workloads import peer_world
from journeysim.simulation.engine import simulate

pytestmark = pytest.mark.slow
COLUMNS = ["customer", "day", "kind", "channel", "stage", "pain_point", "value", "cost", "cause"]
WHAT = ["kind", "channel", "stage", "pain_point", "cause"]
OURS, PEERS, DAYS = 50_000, 6_000, 120


def ours(world, seed=1):
    return table(simulate(world, n_customers=OURS, horizon_days=DAYS, seed=seed))


def peers(world):
    rows = simulate_with_simpy(world, n_customers=PEERS, horizon_days=DAYS, seed=2)
    return pl.DataFrame(rows, schema=COLUMNS, orient="row", infer_schema_length=None)


def per_customer(events, what, n):
    customers = events.filter(*(pl.col(k).eq_missing(v) for k, v in zip(WHAT, what, strict=True)))["customer"]
    return np.bincount(customers.to_numpy(), minlength=n)


def assert_alike(a, b):
    """Events by kind, channel, stage, pain point and cause: how many there are, how many customers have any.

    All comparisons together raise a false alarm with chance `FALSE_ALARM`.
    """
    cells = pl.concat([a, b], how="diagonal").select(WHAT).unique().rows()
    each = FALSE_ALARM / (2 * len(cells))
    for what in cells:
        x, y = per_customer(a, what, OURS), per_customer(b, what, PEERS)
        assert_same_proportion(int((x > 0).sum()), OURS, int((y > 0).sum()), PEERS, each)
        assert_same_mean(x, y, each)


@pytest.fixture(scope="module", params=[rich_world(), peer_world()], ids=lambda world: world.name)
def both(request):
    return request.param, ours(request.param), peers(request.param)


def test_both_count_the_same_events_for_the_same_causes(both):
    _, a, b = both
    assert_alike(a, b)


def test_both_take_the_same_time_to_each_stage_and_spend_the_same(both):
    world, a, b = both
    for stage in world.stage_names[1:]:
        first = [e.filter(kind="stage", stage=stage).group_by("customer").first()["day"].to_numpy() for e in (a, b)]
        assert_same_distribution(*first)
    values = [np.log(e.filter(kind="purchase").group_by("customer").first()["value"].to_numpy()) for e in (a, b)]
    assert_same_mean(*values)
    assert_same_mean(*[e.group_by("customer").agg(pl.col("cost").sum())["cost"].to_numpy() for e in (a, b)])


def test_a_world_that_is_a_little_different_is_caught(both):
    world, _, b = both
    search = next(c for c in world.channels if c.name == "search")
    weaker = search.model_copy(update={"pull": {stage: 0.6 * search.pull_in(stage) for stage in search.pull}})
    other = world.model_copy(update={"channels": tuple(weaker if c is search else c for c in world.channels)})
    with pytest.raises(AssertionError):
        assert_alike(ours(other), b)

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hand_logs import hand_log
from hypothesis import given, settings
from hypothesis import strategies as st

from journeysim.errors import InputError
from journeysim.simulation import simulate
from journeysim.spec import World
from journeysim.stage_history import StageHistory, to_stage_history

STAGES = {"stages": ["look", "cart", "buy"], "purchase_stages": ["buy"]}
ROWS = (
    (1, 0, "stage", "look"),
    (1, 1, "touch", "ad"),
    (1, 2, "stage", "look"),
    (1, 3, "stage", "cart"),
    (1, 4, "stage", "look"),
    (1, 6, "stage", "cart"),
    (1, 7, "stage", "buy"),
    (1, 7, "purchase", "buy"),
    (1, 8, "purchase", "buy"),
    (2, 5, "stage", "cart"),
    (2, 5.5, "lost", "lost"),
    (3, 1, "touch", "ad"),
)
PEOPLE = pl.DataFrame({"customer": [1, 2, 3, 4], "device": ["app", None, "web", "app"], "age": [7, 8, 7, 7]})


def moves(history):
    return {move: history.counts[:, m].tolist() for m, move in enumerate(history.moves)}


def test_counts_and_days_by_hand():
    history = to_stage_history(hand_log(*ROWS, customers=PEOPLE, **STAGES))
    assert moves(history) == {
        ("look", "cart"): [2],
        ("cart", "look"): [1],
        ("cart", "buy"): [1],
        ("cart", "lost"): [1],
    }
    # customer 1 looks 0-3 and 4-6, has a cart 3-4 and 6-7, has bought from 7 to the end; customer 2 has a cart 5-5.5
    assert history.exposure_days.tolist() == [[5, 2.5, 3]]
    assert history.starts.tolist() == [[1, 1, 0]]
    assert history.segments == ("all",)
    assert history.directions == ("forward", "back", "forward", "exit")
    assert (history.origins.tolist(), history.targets.tolist()) == ([0, 1, 1, 1], [1, 0, 2, 3])


def test_segments_by_hand_with_those_unknown():
    history = to_stage_history(hand_log(*ROWS, customers=PEOPLE, **STAGES), by="device")
    assert history.segments == ("app", "web", "(unknown)")  # not in the order in which they come
    assert history.exposure_days.tolist() == [[5, 2, 3], [0, 0, 0], [0, 0.5, 0]]
    assert moves(history)["cart", "lost"] == [0, 0, 1]
    assert history.starts.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    numbers = to_stage_history(hand_log(*ROWS, customers=PEOPLE, **STAGES), by="age")
    assert numbers.segments == ("7", "8")


def test_segments_that_are_coded_keep_the_order_of_their_codes():
    log = hand_log(*ROWS, customers=PEOPLE, **STAGES)
    coded = pa.DictionaryArray.from_arrays(pa.array([2, None, 1, 2], pa.int8()), pa.array(["tv", "web", "app"]))
    people = log.customers.set_column(1, "device", coded)
    log = type(log)(log.events, people, log.start, log.end, log.stages, log.purchase_stages)
    assert to_stage_history(log, by="device").segments == ("web", "app", "(unknown)")


def test_segments_and_segmentless_add_up():
    log = hand_log(*ROWS, customers=PEOPLE, **STAGES)
    whole, split = to_stage_history(log), to_stage_history(log, by="device")
    assert split.moves == whole.moves
    for name in ("counts", "exposure_days", "starts"):
        assert getattr(split, name).sum(axis=0).tolist() == getattr(whole, name)[0].tolist()


def test_a_purchase_from_a_later_stage_is_forward():
    rows = ((1, 0, "stage", "buy"), (1, 1, "stage", "use"), (1, 2, "stage", "buy"))
    history = to_stage_history(hand_log(*rows, stages=["buy", "use"], purchase_stages=["buy"]))
    assert history.directions == ("forward", "forward")


def test_what_happens_after_a_loss_is_refused_by_customer():
    for row in ((2, 6, "stage", "look"), (2, 5.5, "stage", "cart")):
        with pytest.raises(InputError, match="Customer 2 has events after being lost; remove the loss"):
            to_stage_history(hand_log(*ROWS, row, **STAGES))


def test_a_loss_is_told_twice_but_counted_once():
    history = to_stage_history(hand_log(*ROWS, (2, 6, "lost"), **STAGES))
    assert moves(history)["cart", "lost"] == [1]


def test_a_log_without_stages_or_without_the_column_is_refused():
    with pytest.raises(InputError, match="The log has no stages"):
        to_stage_history(hand_log((1, 1, "touch", "a")))
    with pytest.raises(InputError, match="no column 'city'; columns to split by: device, age"):
        to_stage_history(hand_log(*ROWS, customers=PEOPLE, **STAGES), by="city")
    with pytest.raises(InputError, match="no column 'customer'; columns to split by: none"):
        to_stage_history(hand_log(*ROWS, **STAGES), by="customer")


def test_moves_from_a_stage_in_which_nobody_spent_time_are_refused():
    rows = ((1, 1, "stage", "cart"), (1, 1, "stage", "buy"))
    with pytest.raises(InputError, match="'all' made the move cart -> buy 1 times but spent no time in 'cart'"):
        to_stage_history(hand_log(*rows, **STAGES))


def test_arrays_of_wrong_shape_or_sign_are_refused():
    parts = {"segments": ("all",), "stages": ("a",), "purchase_stages": (), "moves": (("a", "lost"),)}
    good = {"counts": np.ones((1, 1)), "exposure_days": np.ones((1, 1)), "starts": np.ones((1, 1))}
    with pytest.raises(InputError, match=r"counts has shape \(2, 1\), expected \(1, 1\)"):
        StageHistory(**parts, **good | {"counts": np.ones((2, 1))})
    with pytest.raises(InputError, match="starts must be finite and >= 0"):
        StageHistory(**parts, **good | {"starts": -np.ones((1, 1))})
    with pytest.raises(ValueError, match="read-only"):
        StageHistory(**parts, **good).counts[0, 0] = 2


def reference(rows, days):
    """The definition, event by event: (counts of moves, days in each stage, first stages)."""
    counts, exposure, starts = {}, dict.fromkeys(STAGES["stages"], 0), dict.fromkeys(STAGES["stages"], 0)
    for customer in {row[0] for row in rows}:
        stage, since = None, 0
        for _, day, _, name in sorted((row for row in rows if row[0] == customer), key=lambda row: row[1]):
            if stage is None and name != "lost":
                starts[name] += 1
            if stage not in (None, name):
                counts[stage, name] = counts.get((stage, name), 0) + 1
                exposure[stage] += day - since
            if stage != name:
                stage, since = name, day
        if stage != "lost":
            exposure[stage] += days - since
    return counts, [*exposure.values()], [*starts.values()]


@given(
    st.dictionaries(
        st.integers(0, 3),
        st.tuples(st.lists(st.tuples(st.integers(0, 8), st.sampled_from(STAGES["stages"])), max_size=8), st.booleans()),
        min_size=1,
    )
)
@settings(deadline=None)
def test_random_logs_agree_with_the_definition(lives):
    rows = [(c, day, "stage", stage) for c, (stays, _) in lives.items() for day, stage in stays]
    rows += [(c, 9, "lost", "lost") for c, (stays, lost) in lives.items() if lost or not stays]
    counts, exposure, starts = reference(rows, 10)
    log = hand_log(*rows, **STAGES)
    if any(exposure[STAGES["stages"].index(origin)] == 0 for origin, _ in counts):
        with pytest.raises(InputError, match="but spent no time"):
            to_stage_history(log)
        return
    history = to_stage_history(log)
    assert {move: count for move, (count,) in moves(history).items()} == counts
    assert history.exposure_days[0].tolist() == exposure
    assert history.starts[0].tolist() == starts


WORLD = """
name: tiny
stages:
  - {name: look, moves_per_day: {buy: 0.3, lost: 0.2}}
  - {name: buy, purchase: true, moves_per_day: {look: 0.1, lost: 0.05}}
personas: [{name: quick, share: 0.4, pace: 2}, {name: slow, share: 0.6}]
basket: {median: 10}
"""


def test_days_of_a_simulated_log_are_those_before_the_loss():
    log = simulate(World.from_yaml(WORLD), n_customers=500, horizon_days=20, seed=1)
    history = to_stage_history(log, by="persona")
    lost = log.to_polars().filter(pl.col("kind").cast(pl.String) == "lost")
    after_loss = (log.end - lost["time"]).dt.total_microseconds().sum() / 86_400e6
    assert history.exposure_days.sum() == pytest.approx(500 * 20 - after_loss, rel=1e-12)
    assert history.counts[:, history.targets == 2].sum() == len(lost)
    assert history.starts.sum(axis=0).tolist() == [500, 0]
    assert history.segments == ("quick", "slow")

"""What the influence model keeps of a log is all that its likelihood needs, and nothing that a real log has not."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from influence_stays import START, known_world

from journeysim import EventLog, simulate, to_influence_history
from journeysim.errors import InputError
from journeysim.influence_history import AGE_STEP, FIRST_AGE_DAYS, age_grid
from journeysim.stay_kernels import spread_over_ages
from journeysim.stays import to_stays


def log_of(rows, *, customers=None, stages=("a", "b", "c"), purchase_stages=("c",), days=10.0):
    who, day, kind, name = zip(*rows, strict=True)
    return EventLog.from_frame(
        pl.DataFrame(
            {
                "customer": list(who),
                "time": [START + timedelta(days=d) for d in day],
                "kind": list(kind),
                "channel": [n if k == "touch" else None for n, k in zip(name, kind, strict=True)],
                "stage": [n if k == "stage" else None for n, k in zip(name, kind, strict=True)],
            }
        ),
        customers=customers,
        start=START,
        end=START + timedelta(days=days),
        stages=stages,
        purchase_stages=purchase_stages,
    )


ROWS = [
    (1, 0.0, "stage", "a"),
    (1, 1.0, "touch", "mail"),
    (1, 3.0, "touch", "mail"),
    (1, 4.0, "stage", "b"),
    (1, 5.0, "touch", "mail"),
    (1, 6.0, "touch", "shop"),
    (1, 8.0, "lost", None),
    (2, 1.0, "touch", "shop"),
    (2, 2.0, "stage", "a"),
    (2, 2.0, "touch", "shop"),
    (2, 7.0, "stage", "c"),
    (3, 0.0, "stage", "b"),
    (3, 9.0, "stage", "c"),
]


def test_stays_contacts_and_repeats_of_a_log_written_by_hand():
    stays = to_stays(log_of(ROWS))
    assert stays.channels == ("mail", "shop")
    assert stays.days.tolist() == [4, 4, 5, 3, 9, 1]
    assert stays.target.tolist() == [1, 3, 2, -1, 2, -1]
    assert stays.contact_stay.tolist() == [0, 0, 1, 1, 2], "a contact before the first stage belongs to no stay"
    assert stays.contact_repeat.tolist() == [0, 1, 2, 0, 1], "but it counts as an earlier one"
    np.testing.assert_allclose(stays.contact_age, [3, 1, 3, 2, 5])


def test_history_of_a_log_written_by_hand():
    history = to_influence_history(log_of(ROWS))
    assert history.pushed_stages == ("a", "b")
    moves = history.stages.moves
    assert [moves[m] for m in history.pushed[:2]] == [("a", "b"), ("b", "c")]
    assert history.pushed[2] == -1
    # who went from a to c made another move; the stay in b after contacts ended in a loss
    assert [moves[m] for m in history.moves_after_contact] == [("a", "b")]
    np.testing.assert_allclose(history.contact_age, [3, 1])
    assert history.cells[history.contact_cell].tolist() == [[0, 0, 0, 0], [0, 0, 0, 1]]
    assert history.contacts.tolist() == [[[2, 1], [1, 1], [0, 0]]]
    assert history.cell_contacts.sum() == 5
    other = to_influence_history(log_of(ROWS), pushes_to={"a": "c"})
    assert [moves[m] for m in other.moves_after_contact] == [("a", "c")]


def test_kept_ages_give_the_sum_of_every_fading_influence_within_the_stated_error():
    ages = 10 ** np.random.default_rng(1).uniform(-7, 2.5, 5000)
    grid = age_grid(ages.max())
    weights = spread_over_ages(np.arange(len(ages)), ages, grid, len(ages), FIRST_AGE_DAYS, AGE_STEP)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-12)
    for half_life in (0.01, 0.3, 1.0, 7.0, 1000.0):
        decay = np.log(2) / half_life
        assert np.abs(weights @ np.exp(-decay * grid) - np.exp(-decay * ages)).max() < 1.3e-5
    # negative control: the nearest age instead of interpolation errs by far more
    nearest = grid[np.abs(grid[:, None] - ages).argmin(axis=0)]
    assert np.abs(np.exp(-nearest) - np.exp(-ages)).max() > 1e-3


def test_causes_in_a_simulated_log_are_not_looked_at():
    log = simulate(known_world(), n_customers=500, horizon_days=30, seed=1)
    frame = log.to_polars().with_columns(cause=pl.lit(None, pl.String))
    blind = EventLog.from_frame(
        frame, customers=log.customers, start=log.start, end=log.end, stages=log.stages,
        purchase_stages=log.purchase_stages,
    )  # fmt: skip
    seen, unseen = (to_influence_history(each) for each in (log, blind))
    for name in ("contacts", "cells", "age_weights", "moves_after_contact", "contact_cell", "contact_age"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(unseen, name))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row for row in ROWS if row[2] != "touch"], "no touches"),
        ([row for row in ROWS if row[3] not in ("b", "c")], "no forward move|nothing that contacts"),
        ([*ROWS, (1, 9.0, "stage", "a")], "after being lost"),
        (
            [(i, d, k, n) for i in range(5) for d, k, n in ((0, "stage", "a"), (2, "touch", "x"), (2, "stage", "b"))],
            "at the very instant of a contact",
        ),
    ],
)
def test_a_log_from_which_no_influence_can_be_learned_is_refused(rows, message):
    with pytest.raises(InputError, match=message):
        to_influence_history(log_of(rows))


def test_a_move_that_nobody_made_cannot_be_pushed():
    with pytest.raises(InputError, match="a -> lost is no forward move of the log; there are: a -> b, a -> c"):
        to_influence_history(log_of(ROWS), pushes_to={"a": "lost"})

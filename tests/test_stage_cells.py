"""Time in stage, crossed attributes and covariates: stays cut by hand, and against a definition moment by moment."""

import numpy as np
import polars as pl
import pytest
from hand_logs import hand_log
from statistical import assert_proportion
from test_stage_history import PEOPLE, ROWS, STAGES

from journeysim import ContactCount, ContactRecency, PainMet, Satisfaction
from journeysim.bayes import StageModel
from journeysim.errors import InputError
from journeysim.stage_history import to_stage_history

LIFE = (
    (1, 0, "stage", "look"),
    (1, 1, "touch", "ad"),
    (1, 2, "touch", "ad"),
    (1, 3, "touch", "mail"),
    (1, 3, "stage", "cart"),
    (1, 3, "pain", "fees"),
    (1, 5, "csat", "cart", 5.0),
    (1, 6, "touch", "ad"),
    (1, 6, "stage", "buy"),
)


def split(covariate, *rows, **options):
    history = to_stage_history(hand_log(*(rows or LIFE), **STAGES), covariates=[covariate], **options)
    return history.cells.exposure_days[0, 0], history.cells.counts[0, 0], history.moves


def test_bins_by_hand():
    history = to_stage_history(hand_log(*LIFE, **STAGES), bins_days=(0, 1, 3))
    # look 0-3: a move at the very edge of a bin is one of the bin before; cart 3-6; buy from 6 to the end
    assert history.cells.exposure_days[0, :, 0].tolist() == [[1, 1, 1], [2, 2, 2], [0, 0, 1]]
    assert history.cells.counts[0, :, 0].tolist() == [[0, 0], [1, 1], [0, 0]]
    assert history.cells.bins == ("0-1", "1-3", "3+")
    assert history.exposure_days.tolist() == [[3, 3, 4]]


def test_contacts_in_a_stay_by_hand():
    days, counts, moves = split(ContactCount())
    # the mail of day 3 comes at the moment of the move: it did not precede it, and does not count in the next stay
    assert days.T.tolist() == [[1, 1, 1], [3, 0, 0], [4, 0, 0]]
    assert moves == (("look", "cart"), ("cart", "buy"))
    assert counts.T.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert split(ContactCount(channel="mail"))[0].T.tolist() == [[3, 0, 0], [3, 0, 0], [4, 0, 0]]


def test_days_since_the_last_contact_by_hand():
    days, counts, _ = split(ContactRecency(days=(0.5, 2)))
    # contacts on days 1, 2, 3, 6: never 0-1; fresh for half a day each; then old from day 5 to 6 and from day 8
    assert days.T.tolist() == [[1, 1, 1], [1, 1.5, 0.5], [2, 1.5, 0.5]]
    assert counts.T.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert ContactRecency(days=(0.5, 2)).classes == ("2+ days or never", "0.5-2 days", "0-0.5 days")


def test_pain_and_satisfaction_by_hand():
    days, counts, _ = split(PainMet())
    assert days.T.tolist() == [[3, 0], [0, 3], [4, 0]]
    assert counts.T.tolist() == [[1, 0], [0, 1]]
    days, counts, _ = split(Satisfaction())
    assert days.T.tolist() == [[3, 0, 0, 0], [2, 0, 0, 1], [0, 0, 0, 4]]
    assert counts.T.tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]


def test_two_covariates_and_bins_add_up_to_each_alone():
    both = [ContactCount(), PainMet()]
    history = to_stage_history(hand_log(*LIFE, **STAGES), bins_days=(0, 1.5), covariates=both)
    whole = history.cells.exposure_days.reshape(1, 2, 3, 2, 3)
    assert whole.sum(axis=(1, 3))[0].tolist() == split(both[0])[0].tolist()
    assert whole.sum(axis=(1, 2))[0].tolist() == split(both[1])[0].tolist()


def test_crossed_attributes_have_a_segment_per_combination():
    people = PEOPLE.with_columns(pl.Series("city", ["x", "y", "x", "y"]))
    log = hand_log(*ROWS, customers=people, **STAGES)
    history = to_stage_history(log, by=("device", "city"))
    assert history.attributes == ("device", "city")
    assert history.segments == ("app, x", "app, y", "web, x", "web, y", "(unknown), x", "(unknown), y")
    assert history.levels[3] == ("web", "y")
    assert history.counts.sum(axis=0).tolist() == to_stage_history(log).counts[0].tolist()
    assert history.thin_segments == history.segments
    posterior = StageModel().fit(history, seed=1, draws=50, warmup=50)
    assert "'web, y' has one customer or none: what is said of it comes from the other segments" in posterior.notes[3]
    assert "Nobody was seen to leave stage 'buy'" in posterior.notes[-1]


@pytest.mark.parametrize("bins", [(), (1, 2), (0, 2, 2), (0, np.inf)])
def test_bins_must_ascend_from_zero(bins):
    with pytest.raises(InputError, match="bins_days must begin with 0 and ascend"):
        to_stage_history(hand_log(*LIFE, **STAGES), bins_days=bins)


def test_covariates_that_the_log_does_not_know_are_refused():
    log = hand_log(*LIFE, **STAGES)
    for covariate, message in (
        (ContactCount(channel="tv"), "no channel 'tv' to split by; it has: ad, mail"),
        (PainMet("queue"), "no pain_point 'queue' to split by; it has: fees"),
    ):
        with pytest.raises(InputError, match=message):
            to_stage_history(log, covariates=[covariate])
    with pytest.raises(InputError, match="no answers to surveys"):
        to_stage_history(hand_log(*ROWS, **STAGES), covariates=[Satisfaction()])
    with pytest.raises(InputError, match="Two covariates are the same"):
        to_stage_history(log, covariates=[ContactCount(), ContactCount()])


def waiting(hazards, edges, n, rng):
    """A log of customers who buy at piecewise constant hazards, and their waits."""
    left = rng.exponential(size=n)
    wait = np.full(n, np.nan)
    for begin, end, hazard in zip(edges, (*edges[1:], np.inf), hazards, strict=True):
        here = np.isnan(wait) & (left < hazard * (end - begin))
        wait[here] = begin + left[here] / hazard
        left -= hazard * (end - begin)
    rows = [(i, 0, "stage", "look") for i in range(n)]
    rows += [(i, float(w), "stage", "buy") for i, w in enumerate(wait) if w < 40]
    return hand_log(*rows, days=40, stages=["look", "buy"], purchase_stages=["buy"]), wait


def test_bins_are_chosen_where_the_hazard_changes_and_only_there():
    changing, _ = waiting([0.30, 0.05], (0, 2), 2000, np.random.default_rng(1))
    assert to_stage_history(changing, bins_days="auto").cells.edges_days == (0, 2)
    constant, _ = waiting([0.1], (0,), 2000, np.random.default_rng(2))
    assert to_stage_history(constant, bins_days="auto").detail is None


def test_the_binned_model_forecasts_what_a_constant_one_cannot():
    from journeysim.forecasts import forecast

    log, _ = waiting([0.30, 0.05], (0, 2), 2000, np.random.default_rng(1))
    truth = 1 - np.exp(-0.30 * 2 - 0.05 * 2)
    binned, constant = (
        forecast(
            StageModel().fit(to_stage_history(log, bins_days=bins), seed=1), [], conversion_days=4, retention_days=1
        ).baseline.conversion
        for bins in ((0, 2), (0,))
    )
    assert abs(binned.mean() - truth) < 5 * binned.std()
    assert abs(constant.mean() - truth) > 10 * constant.std()


def test_a_posterior_of_classes_is_held_fixed(tmp_path):
    from journeysim.bayes import Posterior
    from journeysim.forecasts import forecast

    rows = [(i, 0, "stage", "look") for i in range(400)] + [(i, 1, "touch", "ad") for i in range(0, 400, 2)]
    rows += [(i, 2 + i / 100, "stage", "buy") for i in range(0, 400, 4)]
    rows += [(i, 2 + i / 100, "stage", "buy") for i in range(1, 400, 16)]
    history = to_stage_history(hand_log(*rows, **STAGES), covariates=[ContactCount(most=1)], bins_days=(0, 3))
    fitted = StageModel().fit(history, seed=1)
    fitted.save(tmp_path / "fit.nc")
    loaded = Posterior.load(tmp_path / "fit.nc")
    np.testing.assert_array_equal(loaded.more["factor_contacts"].draws, fitted.more["factor_contacts"].draws)
    np.testing.assert_array_equal(loaded.history.cells.counts, history.cells.counts)
    assert np.quantile(fitted.more["factor_contacts"].draws, 0.01) > 1
    none, some = (
        forecast(loaded.holding(contacts=held), [], conversion_days=9, retention_days=1).baseline.conversion.mean()
        for held in ("0", "1+")
    )
    assert some > none
    with pytest.raises(InputError, match=r"one class of each covariate, which are: contacts \(0, 1\+\)"):
        loaded.holding()
    with pytest.raises(InputError, match="contacts has no class '7'"):
        loaded.holding(contacts="7")


def test_the_prior_says_what_its_words_say():
    history = to_stage_history(hand_log(*ROWS, **STAGES), bins_days=(0, 2), covariates=[ContactCount()])
    model = StageModel(typical_days=10, typical_days_within=4)
    assert "typically takes 10 days, 90% of moves between 2.5 and 40." in model.describe_priors()
    assert "change by less than a factor of 3." in model.describe_priors()
    draws = model.prior(history, seed=1, draws=5000)
    days = 1 / draws.hazards[:, 0, 0]
    assert_proportion(int(((days > 2.5) & (days < 40)).sum()), 5000, 0.9)
    factor = draws.more["bin_factor"].draws[0, :, 0, 1]
    assert_proportion(int(((factor > 1 / 3) & (factor < 3)).sum()), 5000, 0.9)

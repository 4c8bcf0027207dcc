"""Priors of the influence model: what they say in words, as draws, and of the contacts of a log."""

import math
import re
from functools import partial

import numpy as np
import pytest
from influence_stays import known_world
from scipy import stats
from statistical import assert_distribution, assert_sharp_proportion

from journeysim import InfluenceModel, simulate
from journeysim.bayes.influence_prior import influence_prior_table
from journeysim.influence_history import influence_history
from journeysim.stays import to_stays

N = 4000


@pytest.fixture(scope="module")
def stays():
    return to_stays(simulate(known_world(), n_customers=150, horizon_days=60, seed=1), by="persona")


@pytest.fixture(scope="module")
def history(stays):
    return influence_history(stays, customers=True)


def between(draws, low, high):
    return int(((draws > low) & (draws < high)).sum())


def test_draws_are_what_the_words_say(history):
    model = InfluenceModel(
        typical_pull=0.01, typical_pull_within=4, typical_half_life_days=2, typical_half_life_within=5, repeat_loss=0.2,
        appeal_spread=0.5, typical_days=10, typical_days_within=4,
    )  # fmt: skip
    words = model.describe_priors()
    prior = model.prior(history, seed=1, draws=N)
    assert "moves 1 of 100 customers on; 90% of channels move between 0.25 and 4. That" in words
    assert_sharp_proportion(between(prior.typical_pull_by_chain[0, :, 0], 0.0025, 0.04), N, 0.9)
    assert "is done after 2 days, for 90% of channels after between 0.4 and 10." in words
    assert_sharp_proportion(between(prior.half_life[:, 1], 0.4, 10), N, 0.9)
    assert "costs it about 20% of its pull, and less than 37% with 90% probability" in words
    assert_sharp_proportion(between(prior.fatigue[:, 0], 1 - 0.369, 1), N, 0.9)
    assert "alike within a factor of 2.28 with 90% probability" in words
    assert_sharp_proportion(between(prior.appeal[:, 1, 0], 1 / 2.276, 2.276), N, 0.9)
    assert "typically takes 10 days, 90% of moves between 2.5 and 40." in words
    assert_sharp_proportion(between(1 / prior.typical_by_chain[0, :, 0], 2.5, 40), N, 0.9)
    # pull is exponential about the typical one of its channel, before it bends
    share = prior.pull[:, 0, 1] / prior.typical_pull_by_chain[0, :, 0]
    small = prior.typical_pull_by_chain[0, :, 0] < 0.02
    assert_distribution(share[small], stats.expon.cdf)
    assert not np.array_equal(prior.pull[:, 0, 0], prior.pull[:, 0, 1])


def test_what_is_switched_off_is_neither_said_nor_drawn(history):
    model = InfluenceModel(pull_by_stage=False, fatigue=False, appeal=False)
    prior = model.prior(history, seed=1, draws=50)
    assert prior.fatigue_by_chain is None
    assert prior.appeal_by_chain is None
    assert np.array_equal(prior.pull[..., 0], prior.pull[..., 1])
    assert not re.search(r"in a stage|costs it|answer to a channel|hidden", model.describe_priors())
    assert repr(prior).startswith("InfluencePosterior(3 channels, 1 chains of 50 draws, drawn from the prior")


def test_hidden_personas_are_what_the_words_say(history):
    model = InfluenceModel(hidden_personas=3, pace_spread=0.5, patience_spread=0.2, reach_spread=2.0)
    hidden = model.prior(history, seed=2, draws=N).hidden
    words = model.describe_priors()
    assert "Each of 3 hidden personas moves on faster than the one before, within a factor of 2.28 with 90%" in words
    for k in (1, 2):
        assert_sharp_proportion(between(hidden.pace[:, k] / hidden.pace[:, k - 1], 1, 2.276), N, 0.9)
        assert "stay as long within a factor of 1.39 with 90%" in words
        assert_sharp_proportion(between(hidden.patience[:, k], 1 / 1.3895, 1.3895), N, 0.9)
        assert "meet a channel as often within a factor of 26.84 with 90%" in words
        assert_sharp_proportion(between(hidden.reach[:, k, 0], 1 / 26.84, 26.84), N, 0.9)
    for first in (hidden.pace[:, 0], hidden.patience[:, 0], hidden.reach[:, 0]):
        assert (first == 1).all()
    assert_distribution(hidden.share[:, 0, 1], stats.beta(2, 4).cdf)  # Dirichlet(2, 2, 2)
    met = history.contacts.sum(axis=0) > 0
    assert ((hidden.rate > 0).any(axis=(0, 1)) == met).all()


def test_the_table_is_what_the_contacts_of_the_log_would_do_one_by_one(stays, history):
    """One draw of tight priors, against sums over contacts, each with its own repeats, segment and age."""
    model = InfluenceModel(typical_pull_within=1.001, typical_half_life_within=1.001)
    prior = model.prior(history, seed=3, draws=1)
    table = influence_prior_table(model, history, seed=3, draws=1)
    found = {row[:2]: row[3] for row in table.rows()}
    place = np.cumsum(history.pushed >= 0) - 1
    acting, caused, contacts = dict.fromkeys(stays.channels, 0.0), 0.0, dict.fromkeys(stays.channels, 0)
    for stay, c, age, repeat in zip(
        stays.contact_stay, stays.contact_channel, stays.contact_age, stays.contact_repeat, strict=True
    ):
        stage, segment, name = stays.stage[stay], stays.segment[stay], stays.channels[c]
        if history.pushed[stage] < 0:
            continue
        product = prior.pull[0, c, place[stage]] * prior.appeal[0, segment, c] * prior.fatigue[0, c] ** repeat
        acting[name] += product
        contacts[name] += 1
        caused += -math.log1p(-product) * (1 - 0.5 ** (age / prior.half_life[0, c]))
    for c, name in enumerate(stays.channels):
        assert found["moved on by 100 contacts", name] == pytest.approx(100 * acting[name] / contacts[name], rel=1e-6)
        assert found["% of them within a day", name] == pytest.approx(100 * (1 - 0.5 ** (1 / prior.half_life[0, c])))
    by_itself = sum(
        prior.hazards[0, g, m] * history.stages.exposure_days[g, history.stages.origins[m]]
        for g in range(2)
        for m in history.pushed[history.pushed >= 0]
    )
    assert found["% of moves on by contacts", None] == pytest.approx(100 * caused / (caused + by_itself), rel=1e-3)


def test_the_table_follows_the_settings(history):
    def medians(**settings):
        return influence_prior_table(InfluenceModel(**settings), history, seed=1, draws=300)["median"].to_numpy()

    default, strong, slow = medians(), medians(typical_pull=0.3), medians(typical_half_life_days=30.0)
    assert (strong[:3] > 5 * default[:3]).all()
    np.testing.assert_allclose(strong[3:6], default[3:6])
    assert (slow[3:6] < default[3:6] / 4).all()
    assert medians(typical_days=1e6)[-1] > 95
    with_fast_personas = partial(medians, hidden_personas=2, pace_spread=2.0)
    assert with_fast_personas()[-1] < default[-1]


def test_the_same_seed_gives_the_same_prior(history):
    one, same, other = (InfluenceModel().prior(history, seed=seed, draws=20) for seed in (1, 1, 2))
    assert one._draws().identical(same._draws())
    assert not one._draws().identical(other._draws())

"""The closed form of effects against the simulator, whose contacts are drawn one by one."""

import numpy as np
import pytest
from influence_stays import known_world
from statistical import assert_proportion

import journeysim.simulation.closed_form as module
from journeysim import World, incremental_effects, worlds
from journeysim.errors import InputError
from journeysim.simulation.closed_form import beyond_closed_form, closed_form_effects, conversions_without

DAYS = 60.0


def without_fatigue(**changes):
    channels = [channel.model_copy(update={"fatigue": 1.0}) for channel in known_world().channels]
    return known_world(**{"channels": channels} | changes)


def assert_fits(world, days, n_customers, seed=1):
    """Conversion (exact binomial, 1 in a million) and effects (6 standard errors, about 1 in 500 million each)."""
    exact = closed_form_effects(world, days)
    found = incremental_effects(world, n_customers=n_customers, horizon_days=days, seed=seed)
    assert_proportion(found.n_conversions, n_customers, exact.converted)
    # a channel that does nothing has no error
    assert (np.abs(exact.effect - found.effect) <= 6 * found.standard_error + 1e-9).all(), (exact.effect, found)


def test_effects_are_those_of_the_simulator():
    world = without_fatigue()
    assert_fits(world, DAYS, 100_000)


def test_the_bound_finds_pulls_that_are_a_fifth_too_small(monkeypatch):
    exact = closed_form_effects
    weak = [
        c.model_copy(update={"pull": {k: 0.8 * v for k, v in c.pull.items()}}) for c in without_fatigue().channels[:2]
    ]
    wrong = without_fatigue(channels=[*weak, without_fatigue().channels[2]])
    monkeypatch.setitem(globals(), "closed_form_effects", lambda world, days: exact(wrong, days))
    monkeypatch.setitem(globals(), "assert_proportion", lambda *_: None)  # the effects alone must tell
    with pytest.raises(AssertionError, match="IncrementalEffects"):
        assert_fits(without_fatigue(), DAYS, 100_000)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["known", "trap-companion", "trap-hidden-persona", "trap-retargeting", "plain-channels"]
)
def test_effects_are_those_of_a_million_customers(name):
    world = without_fatigue() if name == "known" else worlds.load(name)
    assert_fits(world, DAYS if name == "known" else world.horizon_days, 1_000_000)


def test_all_that_multiplies_is_taken_in():
    """Reach by stage, appeal, patience, price, volume, a silent stage, a stage where contacts do half, repurchases."""
    world = without_fatigue(
        stages=[
            {"name": "looking", "moves_per_day": {"choosing": 0.03, "lost": 0.02}},
            {"name": "choosing", "moves_per_day": {"bought": 0.05, "looking": 0.03, "lost": 0.04}, "influence": 0.5},
            {"name": "bought", "purchase": True, "moves_per_day": {"looking": 1.0, "lost": 2.0}},
        ],
        personas=[
            {"name": "keen", "share": 0.3, "pace": 1.5, "reach": {"mail": {"choosing": 4}}, "price_elasticity": 2},
            {"name": "slow", "share": 0.7, "patience": 0.5, "appeal": {"mail": 3}, "reach": {"shop": 2}},
        ],
        price=0.8,
    )
    mail, shop, companion = world.channels
    channels = (
        mail.model_copy(update={"volume": 2.5}),
        shop.model_copy(update={"silent_in": ("looking",)}),
        companion.model_copy(update={"pull": 0.9, "half_life_days": 0.01, "active": True}),
    )
    assert_fits(World.model_validate(world.model_copy(update={"channels": channels}).model_dump()), 20.0, 60_000)


def test_influence_that_acts_at_once_leaves_a_markov_chain():
    """With half-lives near 0 a contact adds rate times pull to the hazard, as in docs/simulation.md."""
    quick = [c.model_copy(update={"half_life_days": 1e-5}) for c in without_fatigue().channels]
    world = without_fatigue(channels=quick, personas=[{"name": "all", "share": 1}])
    generator = np.zeros((4, 4))
    added = [0.2 * 0.08 + 0.05 * 0.2, 0.15 * 0.12 + 0.1 * 0.35]
    generator[0, [1, 3]] = 0.03 + added[0], 0.02
    generator[1, [2, 0, 3]] = 0.05 + added[1], 0.03, 0.04
    generator -= np.diag(generator.sum(axis=1))
    from scipy.linalg import expm

    assert closed_form_effects(world, DAYS).converted == pytest.approx(expm(DAYS * generator)[0, 2], abs=2e-5)


def test_bins_and_steps_are_fine_enough(monkeypatch):
    rough = [closed_form_effects(world, days) for world, days in ((without_fatigue(), DAYS), (without_fatigue(), 3.0))]
    monkeypatch.setattr(module, "EDGE_RATIO", 1.02)
    monkeypatch.setattr(module, "FIRST_EDGE_DAYS", 1e-3)
    monkeypatch.setattr("journeysim.semi_markov.TOLERANCE", 1e-8)
    for days, found in zip((DAYS, 3.0), rough, strict=True):
        fine = closed_form_effects(without_fatigue(), days)
        assert found.converted == pytest.approx(fine.converted, abs=2e-5)
        np.testing.assert_allclose(found.effect, fine.effect, atol=1e-4)


def test_a_first_stage_that_is_left_at_once_takes_no_time():
    stages = [stage.model_dump() for stage in without_fatigue().stages]
    start = {"name": "start", "moves_per_day": {"looking": 7500.0, "choosing": 2500.0}}
    with_start = closed_form_effects(without_fatigue(stages=[start, *stages]), DAYS)
    looking = closed_form_effects(without_fatigue(), DAYS)
    choosing = closed_form_effects(
        without_fatigue(stages=[{"name": "start", "moves_per_day": {"choosing": 999.0}}, *stages]), DAYS
    )
    assert with_start.converted == pytest.approx(0.75 * looking.converted + 0.25 * choosing.converted, abs=2e-3)


def test_many_worlds_at_once_are_each_alone():
    many = [without_fatigue(), without_fatigue(personas=[{"name": "all", "share": 1}])]
    together = conversions_without(many, DAYS)
    for world, row in zip(many, together, strict=True):
        alone = closed_form_effects(world, DAYS)
        np.testing.assert_allclose(row, [alone.converted, *alone.without], rtol=1e-12)
    with pytest.raises(InputError, match="not the stages, moves or channels"):
        conversions_without([without_fatigue(), worlds.load("trap-companion")], DAYS)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("trap-saturation", "has fatigue"),
        ("trap-synergy", "has synergy"),
        ("trap-word-of-mouth", "word of mouth"),
        ("considered-purchase", "pain point"),
        ("considered-purchase", "is triggered"),
        ("aida", "has a calendar"),
    ],
)
def test_what_it_cannot_represent_is_refused_by_name(name, what):
    assert any(what in reason for reason in beyond_closed_form(worlds.load(name)))
    with pytest.raises(InputError, match=what):
        closed_form_effects(worlds.load(name), 30.0)

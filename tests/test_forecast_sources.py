"""One door: whatever was fitted, `forecast` answers it, in closed form or by simulation, or says where it can be."""

import numpy as np
import pytest
from influence_stays import known_world
from test_forecast_money import assert_z
from test_forecasts import DAYS, DRAWS
from test_simulated_intervals import assert_held
from test_twin import quick_twin

from journeysim import InputError, drop_channel, improve_stage, simulate, simulate_changes, worlds
from journeysim.bayes.intervals import central
from journeysim.bayes.retention import PurchasePosterior
from journeysim.forecasts import (
    HasWorlds,
    conversion_curve,
    forecast,
    forecast_worlds,
    gains_over_time,
    gains_over_time_of_worlds,
)

PLAN = improve_stage("look", forward=2, name="plan")
ASK = {"conversion_days": 20, "retention_days": 10}
FEW = {"n_worlds": 8, "n_customers": 200}


@pytest.fixture(scope="module")
def log():
    return simulate(known_world(), n_customers=600, horizon_days=60, seed=1)


@pytest.fixture(scope="module")
def twin(log):
    return quick_twin(log)


def test_a_posterior_of_worlds_is_simulated_and_one_of_stages_is_not(twin):
    assert isinstance(twin, HasWorlds)
    found = forecast(twin, [drop_channel("mail")], seed=3, yearly_discount=0.2, **ASK, **FEW)
    assert found.source == "simulated"
    same = forecast_worlds(
        *twin.worlds(8, seed=3), [drop_channel("mail")], n_customers=200, seed=3, yearly_discount=0.2, **ASK
    )
    assert found.to_frame().equals(same.to_frame())
    assert forecast(DRAWS, [PLAN], **DAYS).source == "closed form"


def test_one_scenario_is_as_good_as_a_list_of_one(twin):
    mail = drop_channel("mail")
    one, many = (forecast(twin, some, **ASK, **FEW).to_frame() for some in (mail, [mail]))
    assert one.equals(many)
    assert forecast(DRAWS, PLAN, **DAYS).to_frame().equals(forecast(DRAWS, [PLAN], **DAYS).to_frame())
    days = np.linspace(0, 20, 3)
    assert gains_over_time(DRAWS, PLAN, days).to_frame().equals(gains_over_time(DRAWS, [PLAN], days).to_frame())
    drawn, size = twin.worlds(3, seed=1), {"n_customers": 50, "seed": 1}
    one, many = (gains_over_time_of_worlds(*drawn, some, days, **size).to_frame() for some in (mail, [mail]))
    assert one.equals(many)
    with pytest.raises(InputError, match="scenarios holds a str, 'drop mail'; make scenarios with"):
        forecast(twin, ["drop mail"], **ASK)
    for source in (twin, DRAWS):
        with pytest.raises(InputError, match="Two scenarios share a name, 'drop mail'"):
            forecast(source, [mail, mail], **ASK)


def test_arguments_for_the_other_kind_of_source_are_refused(twin):
    with pytest.raises(InputError, match="n_worlds simulates nothing"):
        forecast(DRAWS, [PLAN], n_worlds=5, **DAYS)
    with pytest.raises(InputError, match="money is not needed"):
        forecast(twin, [drop_channel("mail")], money=object(), **ASK)
    with pytest.raises(InputError, match=r"horizon_days is 365, but .* 30 days"):
        forecast(twin, [drop_channel("mail")], horizon_days=365, **ASK)
    with pytest.raises(InputError, match="from 1 to 200"):
        forecast(twin, [drop_channel("mail")], n_worlds=10_000, **ASK)
    with pytest.raises(InputError, match="'fax'"):
        forecast(twin, [drop_channel("fax")], **ASK, **FEW)


@pytest.mark.parametrize(
    ("source", "instead"),
    [
        ("influence", r"InfluencePosterior is .*twin = fit_world\(log, seed=1\), and ask forecast\(twin"),
        ("retention", r"PurchasePosterior is .*what_if\("),
        ("log", r"EventLog is .*StageModel\(\)\.fit\(to_stage_history\(log\), seed=1\).*fit_world\(log"),
        ("world", r"World is .*simulate_changes"),
    ],
)
def test_what_cannot_be_forecast_is_told_what_to_call_instead(source, instead, twin, log):
    of = {
        "influence": twin.posterior,
        "retention": object.__new__(PurchasePosterior),  # its kind is all that is looked at
        "log": log,
        "world": worlds.load("trap-companion"),
    }
    days = np.linspace(0, 10, 3)
    for ask in (
        lambda it: forecast(it, [PLAN], **DAYS),
        lambda it: gains_over_time(it, [PLAN], days),
        lambda it: conversion_curve(it, days),
    ):
        with pytest.raises(InputError, match=instead):
            ask(of[source])


def test_a_twin_is_told_how_its_gains_over_time_are_simulated(twin):
    with pytest.raises(InputError, match=r"gains_over_time_of_worlds\(\*twin\.worlds\(100"):
        gains_over_time(twin, [PLAN], np.linspace(0, 10, 3))


@pytest.mark.slow
def test_what_a_channel_does_is_forecast_from_the_log_alone():
    """Eight logs of one world within the model: their intervals of switching a channel off hold what it really does."""
    channels = [
        {"name": "mail", "contacts_per_day": {"looking": 0.2, "choosing": 0.15}, "pull": 0.1, "half_life_days": 2},
        {"name": "companion", "contacts_per_day": {"looking": 0.05, "choosing": 0.5}, "pull": 0, "half_life_days": 2},
    ]
    personas = [{"name": "keen", "share": 0.5, "pace": 1.3}, {"name": "slow", "share": 0.5}]
    world, mail, seeds = known_world(channels=channels, personas=personas), drop_channel("mail"), range(8)
    (truth,) = simulate_changes(world, [mail], n_customers=200_000, seed=99, **ASK)
    nothing, held, z = 0, 0, []
    for seed in seeds:
        twin = quick_twin(simulate(world, n_customers=2_000, horizon_days=60, seed=seed), by="persona")
        found = forecast(twin, mail, seed=seed, **ASK)
        draws = found.difference("drop mail", "conversion")
        low, high = central(draws, 0.9)
        held += bool(low <= truth.conversion <= high)
        nothing += bool(low <= 0 <= high)
        z.append((draws.mean() - truth.conversion) / draws.std())
    assert_held(held, len(seeds), 0.86)
    assert_z(np.sum(z), len(seeds) ** 0.5)
    with pytest.raises(AssertionError, match="p-value"):
        assert_held(nothing, len(seeds), 0.86)

"""Worlds whose effects are known, and lift tests drawn around these: do calibrated intervals hold the truth?"""

import numpy as np

from journeysim import worlds
from journeysim.attribution import LiftTest, calibrate, posterior_attribution
from journeysim.journeys import to_journeys
from journeysim.simulation import simulate, truth

WORLDS = (
    "plain-channels",
    "considered-purchase",
    "trap-companion",
    "trap-retargeting",
    "trap-synergy",
    "trap-hidden-persona",
    "trap-saturation",
)
ERROR = 0.02  # of every test, as a share of conversions


def world_and_truth(name, n_customers=6_000):
    """An attribution of a simulated log, and the share of all conversions (C,) that each channel really causes."""
    world = worlds.load(name)
    log = simulate(world, n_customers=n_customers, horizon_days=world.horizon_days, seed=2)
    found = posterior_attribution(to_journeys(log), seed=1, n_draws=400)
    real = truth(world, seed=1, precision=0.02)
    effects = [real.find("incremental", "conversions", channel)[0] for channel in found.channels]
    return found, np.array(effects)


def repeated(found, effects, rng, n_times, *, n_tested=2, told=1.0):
    """Tests of channels at random, n_times: 90% intervals of tested and untested channels, and errors of all.

    `told` is what the tests claim as their error, relative to what it is.

    Returns
    -------
    (tested, held, error_credit, error_before, error_after) : (n_times, C) each
    """
    columns = []
    touched = found.point.total_conversions / (found.point.total_conversions + found.point.untouched_conversions)
    for seed in range(n_times):
        at = rng.choice(len(effects), n_tested, replace=False)
        tests = [
            LiftTest(found.channels[c], effects[c] + ERROR * rng.standard_normal(), told * ERROR, unit="share")
            for c in at
        ]
        result = calibrate(found, tests, seed=seed)
        low, high = result.interval(of="share")
        columns.append(
            (
                np.isin(np.arange(len(effects)), at),
                (low <= effects) & (effects <= high),
                abs(found.point.share * touched - effects),
                abs(result.draws("before", of="share").mean(axis=0) - effects),
                abs(result.draws(of="share").mean(axis=0) - effects),
            )
        )
    return tuple(np.array(column) for column in zip(*columns, strict=True))

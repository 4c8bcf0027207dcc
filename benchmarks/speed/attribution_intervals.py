"""Draws of removal effects per second: all chains in one batch against one chain after the other, in this run.

Both sides solve the same draws of a Dirichlet posterior and must agree to 1e-9. The peer is what one would write first:
per draw, solve the chain again with each channel redirected to null. Also the journey bootstrap, against counting and
solving each resample anew. Seconds are of CPU, all threads.
Run: python benchmarks/speed/attribution_intervals.py [n_journeys]
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from benchmarks.speed import attribution
from journeysim.attribution import RemovalEffect, bootstrap_attribution, posterior_attribution
from journeysim.attribution.bootstrap import Resampler
from journeysim.attribution.chain_draws import ChainDraws
from journeysim.attribution.posterior import _Rows, _Worth
from journeysim.journeys import Journeys
from journeysim.markov import count_transitions

T = TypeVar("T")
N_DRAWS = 1_000
N_RESAMPLES = 50


def one_by_one(chains: ChainDraws) -> np.ndarray:
    """(D, C) removal effects, re-solving every chain without each channel."""
    n_channels = chains.contains.shape[1]
    identity = np.eye(len(chains.contains))
    effects = np.zeros((len(chains.start), n_channels))
    for draw, (start, moves, rewards) in enumerate(zip(chains.start, chains.moves, chains.rewards, strict=True)):
        full = start @ np.linalg.solve(identity - moves, rewards[:, 0])
        for channel in range(n_channels):
            keep = ~chains.contains[:, channel]
            left = (start * keep) @ np.linalg.solve(identity - moves * keep, rewards[:, 0])
            effects[draw, channel] = 1 - left / full
    return effects


def resampled_one_by_one(journeys: Journeys, n_draws: int) -> np.ndarray:
    again = Resampler.of(journeys, "poisson", 1)
    effects = []
    for draw in range(n_draws):
        conversions, nulls, value = again.draw(draw)
        resample = replace(journeys, conversions=conversions, nulls=nulls, value=value)
        effects.append(RemovalEffect().attribute(resample).removal_effects)
    return np.array(effects)


def timed(work: Callable[[], T], runs: int = 1) -> tuple[float, T]:
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        result = work()
        seconds.append(time.process_time() - start)
    return min(seconds), result


def report(name: str, n_draws: int, ours: float, peer: float) -> None:
    print(f"{name}: ours={ours:.3f}s ({n_draws / ours:,.0f} draws/s) peer={peer:.3f}s ratio={peer / ours:.1f}")


def main(n_journeys: int) -> None:
    attribution.N_CHANNELS = 20
    journeys = attribution.generate(n_journeys)
    whole, _ = timed(lambda: posterior_attribution(journeys, seed=1, n_draws=N_DRAWS).share, 3)
    print(
        f"posterior, {N_DRAWS:,} draws of order 1, 20 channels, {n_journeys:,} journeys, counting included: "
        f"{whole:.3f}s"
    )
    counts = count_transitions(journeys)
    rows, worth = _Rows.of(counts, 0.5, every_move=False), _Worth.of(journeys, counts)
    drawing, chains = timed(lambda: rows.draw(np.random.default_rng(1), N_DRAWS, worth), 3)
    print(f"of which drawing {N_DRAWS:,} chains: {drawing:.3f}s")
    mine, result = timed(lambda: chains.removal_effects().by_conversions, 3)
    peer, want = timed(lambda: one_by_one(chains))
    np.testing.assert_allclose(result, want, atol=1e-9)
    report(f"removal effects of {N_DRAWS:,} chains, 20 channels", N_DRAWS, mine, peer)
    mine, result = timed(lambda: bootstrap_attribution(journeys, seed=1, n_draws=N_RESAMPLES).removal_effects, 3)
    peer, want = timed(lambda: resampled_one_by_one(journeys, N_RESAMPLES))
    np.testing.assert_allclose(result, want, atol=1e-9)
    report(f"bootstrap, {N_RESAMPLES} resamples, order 1, {n_journeys:,} journeys", N_RESAMPLES, mine, peer)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)

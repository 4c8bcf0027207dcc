"""Exact removal effects: ours against a naive implementation, both measured in this run, on generated paths.

The peer is what one would write first: a dict of counts, filled path by path, and one sparse solve per removed channel.
Both start from integer-coded paths and must agree to 1e-9. Run: python benchmarks/speed/attribution.py [n_journeys]
"""

import sys
import time
from collections import defaultdict

import numpy as np
from scipy.sparse import csc_array, identity
from scipy.sparse.linalg import splu

from journeysim.journeys import Journeys
from journeysim.markov import AbsorbingChain, count_transitions

N_CHANNELS = 12


def generate(n_journeys: int, seed: int = 1) -> Journeys:
    """Paths like those of the public sample data: geometric lengths (mean 5), a few popular channels, 22 % convert."""
    rng = np.random.default_rng(seed)
    lengths = rng.geometric(1 / 5, n_journeys)
    codes = (N_CHANNELS * rng.random(lengths.sum()) ** 2).astype(np.int32)
    converts = (rng.random(n_journeys) < 0.22).astype(float)
    value = converts * rng.gamma(2, 10, n_journeys)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Journeys(tuple(f"channel {c}" for c in range(N_CHANNELS)), codes, offsets, converts, 1 - converts, value)


def ours(journeys: Journeys, order: int) -> np.ndarray:
    return AbsorbingChain.from_counts(count_transitions(journeys, order)).removal_effects().by_conversions


def naive(paths: list[tuple[int, ...]], conversions: list[float], nulls: list[float], order: int) -> np.ndarray:
    moves, converts, total = defaultdict(float), defaultdict(float), defaultdict(float)
    for path, conversion, null in zip(paths, conversions, nulls, strict=True):
        weight, origin = conversion + null, "start"
        for i in range(max(1, len(path) - order + 1)):
            state = path[i : i + order]
            if state != origin:
                moves[origin, state] += weight
                total[origin] += weight
                origin = state
        converts[origin] += conversion
        total[origin] += weight
    states = list(total)
    index = {state: i for i, state in enumerate(states)}
    reward = np.array([converts[state] / total[state] for state in states])

    def p_conversion(removed: int | None) -> float:
        kept = {
            (index[a], index[b]): w / total[a] for (a, b), w in moves.items() if removed is None or removed not in b
        }
        rows, columns = np.array(list(kept)).T
        Q = csc_array((list(kept.values()), (rows, columns)), shape=(len(states), len(states)))
        return splu(csc_array(identity(len(states)) - Q)).solve(reward)[index["start"]]

    full = p_conversion(None)
    return np.array([1 - p_conversion(channel) / full for channel in range(N_CHANNELS)])


def main(n_journeys: int) -> None:
    journeys = generate(n_journeys)
    parts = zip(journeys.offsets[:-1], journeys.offsets[1:], strict=True)
    codes = journeys.codes.tolist()
    paths = [tuple(codes[a:b]) for a, b in parts]
    conversions, nulls = journeys.conversions.tolist(), journeys.nulls.tolist()
    for order in (1, 3):
        mine = []
        for _ in range(3):
            start = time.perf_counter()
            effects = ours(journeys, order)
            mine.append(time.perf_counter() - start)
        start = time.perf_counter()
        peer_effects = naive(paths, conversions, nulls, order)
        peer = time.perf_counter() - start
        np.testing.assert_allclose(effects, peer_effects, atol=1e-9)
        name = f"removal effects, order {order}, {n_journeys:,} journeys"
        print(f"{name}: ours={min(mine):.3f}s peer={peer:.3f}s ratio={peer / min(mine):.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)

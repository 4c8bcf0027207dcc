"""Journeys simulated from absorbing chains that are known, so that their true removal effects are too."""

from dataclasses import dataclass

import numpy as np

from journeysim.journeys import Journeys


@dataclass(frozen=True)
class KnownChain:
    """Begins, moves and ends of journeys of order 1; a channel does not follow itself."""

    channels: tuple[str, ...]
    start: np.ndarray  # (C,) sums to 1
    moves: np.ndarray  # (C, C)
    p_convert: np.ndarray  # (C,); rows of moves + p_convert + the rest, a null, sum to 1
    mean_value: np.ndarray  # (C,) mean value of a conversion from each channel

    def removal_effects(self, by_value=False):
        """(C,) by solving x = r + Q x again with each channel redirected to null."""
        r = self.p_convert * (self.mean_value if by_value else 1)

        def earned(keep):
            return (self.start * keep) @ np.linalg.solve(np.eye(len(r)) - self.moves * keep, r)

        full = earned(np.ones(len(r)))
        return np.array([1 - earned(np.arange(len(r)) != c) / full for c in range(len(r))])

    def simulate(self, n_journeys, rng):
        """One row per journey; single values are exponential around their mean."""
        n = len(self.channels)
        steps = np.cumsum(np.column_stack([self.moves, self.p_convert]), axis=1)
        at = rng.choice(n, n_journeys, p=self.start)
        walking = np.arange(n_journeys)
        touches = [(walking, at)]
        converted, last = np.zeros(n_journeys, dtype=bool), at.copy()
        while walking.size:
            here = (rng.random(walking.size)[:, None] >= steps[at]).sum(axis=1)
            converted[walking[here == n]] = True
            walking, at = walking[here < n], here[here < n]
            last[walking] = at
            touches.append((walking, at))
        who, codes = (np.concatenate(column) for column in zip(*touches, strict=True))
        order = np.argsort(who, kind="stable")
        value = np.where(converted, rng.exponential(self.mean_value[last]), 0.0)
        return Journeys(
            self.channels,
            codes[order].astype(np.int32),
            np.concatenate([[0], np.cumsum(np.bincount(who, minlength=n_journeys))]),
            converted.astype(float),
            (~converted).astype(float),
            value,
        )


def random_chain(rng, n_channels=6, rare=0.01):
    """Channels that differ; the last one begins, or follows, with probability `rare` only."""
    popular = np.append(rng.dirichlet(np.full(n_channels - 1, 3.0)) * (1 - rare), rare)
    moves = np.tile(popular, (n_channels, 1)) * rng.uniform(0.3, 1.7, (n_channels, n_channels))
    np.fill_diagonal(moves, 0)
    moves *= (rng.uniform(0.4, 0.7, n_channels) / moves.sum(axis=1))[:, None]
    ends = 1 - moves.sum(axis=1)
    return KnownChain(
        (*(f"channel {c}" for c in range(n_channels - 1)), "rare"),
        popular,
        moves,
        ends * rng.uniform(0.1, 0.5, n_channels),
        rng.uniform(20, 80, n_channels),
    )

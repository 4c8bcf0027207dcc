"""What is true of worlds without contacts and of given hazards, from SciPy's matrix exponential."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import expm

from journeysim.moves import LOST


def base_generator(world, persona):
    """Generator (S + 1, S + 1) of one persona without contacts and pain points; the last state is lost."""
    names = [*world.stage_names, LOST]
    Q = np.zeros((len(names), len(names)))
    for stage in world.stages:
        for to, rate in stage.moves_per_day.items():
            factor = {"forward": persona.pace, "back": 1.0, "exit": 1 / persona.patience}[
                world.direction(stage.name, to)
            ]
            Q[names.index(stage.name), names.index(to)] = rate * factor
    return Q - np.diag(Q.sum(axis=1))


def converted_and_retained(Q, purchases, start, conversion_days, retention_days):
    """Shares of customers: who purchase in time, and who moreover are not lost `retention_days` later."""
    stopped = Q.copy()
    stopped[purchases] = 0
    bought = (start @ expm(stopped * conversion_days))[purchases]
    active = 1 - expm(Q * retention_days)[purchases, -1]
    return bought.sum(), bought @ active


def conversion_and_retention(world, conversion_days, retention_days):
    """The two measures of a world without contacts and pain points."""
    purchases = [world.stage_names.index(name) for name in world.purchase_stages]
    start = np.eye(len(world.stages) + 1)[0]
    shares = np.array(
        [
            np.multiply(
                persona.share,
                converted_and_retained(
                    base_generator(world, persona), purchases, start, conversion_days, retention_days
                ),
            )
            for persona in world.personas
        ]
    ).sum(axis=0)
    return shares[0], shares[1] / shares[0]


@dataclass(frozen=True)
class Draws:
    """What a forecast needs of a posterior: hazards (N, G, M) of `moves`, and `starts` (G, S).

    `later` (N, B - 1, M) multiplies the hazards in bins of time in stage after the first.
    """

    hazards: np.ndarray
    moves: tuple
    stages: tuple
    purchase_stages: tuple
    starts: np.ndarray
    converged: bool = True
    edges_days: tuple = (0.0,)
    later: np.ndarray | None = None
    covariates: tuple = ()

    @property
    def segments(self):
        return tuple(f"segment {g}" for g in range(len(self.starts)))

    @property
    def hazards_in_bins(self):
        first = self.hazards[:, :, None]
        return first if self.later is None else np.concatenate([first, first * self.later[:, None]], axis=2)

    def require_converged(self):
        if not self.converged:
            raise ValueError("not converged")

    def generator(self, n, g, factors=1.0):
        """One draw of one segment, written down anew."""
        names = [*self.stages, LOST]
        Q = np.zeros((len(names), len(names)))
        for (origin, target), hazard in zip(self.moves, self.hazards[n, g] * factors, strict=True):
            Q[names.index(origin), names.index(target)] = hazard
        return Q - np.diag(Q.sum(axis=1))

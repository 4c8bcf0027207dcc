"""Speed of forecasts: 4,000 draws x 50 scenarios of 4 personas and 8 stages, against matrix exponentials of libraries.

Conversion and retention of every draw, segment and scenario. SciPy's expm (batched) is timed on a few draws and scaled.
Run: python benchmarks/speed/forecast.py
"""

import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.linalg import expm

from journeysim import forecast
from journeysim.forecasts.chains import Chains
from journeysim.scenario import Scenario, StageChange

STAGES = ("aware", "interested", "comparing", "cart", "buyer", "user", "loyal", "advocate")
FORWARD = list(pairwise(STAGES))
BACK = [("comparing", "interested"), ("cart", "comparing"), ("loyal", "user"), ("user", "buyer")]
MOVES = (*FORWARD, *BACK, *((stage, "lost") for stage in STAGES))
DRAWS, SEGMENTS, SCENARIOS, TIMED = 4_000, 4, 50, 20
CONVERSION_DAYS, RETENTION_DAYS = 90.0, 180.0


@dataclass(frozen=True)
class Drawn:
    """Draws as a posterior has them."""

    hazards_in_bins: np.ndarray
    starts: np.ndarray
    moves: tuple = MOVES
    stages: tuple = STAGES
    purchase_stages: tuple = ("buyer",)
    edges_days: tuple = (0.0,)
    covariates: tuple = ()
    segments: tuple = ("a", "b", "c", "d")

    def require_converged(self) -> None:
        """They are not from a sampler."""


def main() -> None:
    """Print a line per way."""
    rng = np.random.default_rng(1)
    typical = np.array([0.25] * len(FORWARD) + [0.05] * len(BACK) + [0.03] * len(STAGES))
    starts = np.zeros((SEGMENTS, len(STAGES)))
    starts[:, 0] = 1_000
    drawn = Drawn(typical * rng.gamma(50, 0.02, size=(DRAWS, SEGMENTS, 1, len(MOVES))), starts)
    scenarios = [
        Scenario(
            name=f"scenario {i}",
            changes=tuple(
                StageChange(stage=str(stage), forward=rng.uniform(1, 1.5), exit=rng.uniform(0.6, 1))
                for stage in rng.choice(STAGES[:4] if i % 2 else STAGES[4:], 2, replace=False)
            ),
        )
        for i in range(SCENARIOS)
    ]
    days = {"conversion_days": CONVERSION_DAYS, "retention_days": RETENTION_DAYS}
    forecast(drawn, scenarios[:1], **days)  # compiles
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        found = forecast(drawn, scenarios, **days)
        seconds.append(time.perf_counter() - begin)
    print(f"{DRAWS:,} draws x {SCENARIOS} scenarios x {SEGMENTS} segments x {len(STAGES)} stages")
    print(f"forecast: {min(seconds):.2f} s, best of 3 ({', '.join(f'{s:.2f}' for s in seconds)})")

    chains = Chains(drawn)
    hazards = (chains.by_segment * chains.factors(scenarios[1])[:, None])[:, :, :TIMED].transpose(0, 2, 1)
    Q = np.zeros((SEGMENTS, TIMED, 9, 9))
    Q[:, :, chains.origins, chains.targets] = hazards
    Q[..., range(9), range(9)] = -Q.sum(axis=-1)
    begin = time.perf_counter()
    until_bought = Q.copy()
    until_bought[:, :, chains.purchases] = 0
    bought = expm(until_bought * CONVERSION_DAYS)[:, :, 0, chains.purchases[0]].T
    kept = 1 - expm(Q * RETENTION_DAYS)[:, :, chains.purchases[0], -1].T
    took = time.perf_counter() - begin
    conversion = bought.mean(axis=1)
    error = max(
        np.abs(conversion - found.changed[1].conversion[:TIMED]).max(),
        np.abs((bought * kept).mean(axis=1) / conversion - found.changed[1].retention[:TIMED]).max(),
    )
    scaled = took * DRAWS / TIMED * (SCENARIOS + 1)
    print(f"scipy.linalg.expm, batched: {scaled:.0f} s, scaled from {TIMED} draws of one scenario")
    print(f"largest difference between the two: {error:.1e}")


if __name__ == "__main__":
    main()

"""Speed of forecasts: 4,000 draws x 50 scenarios from fitted stage models, against matrix exponentials of a library.

Models are fitted to 5,000 customers of considered-purchase: of all customers, by persona, and with bins of time in
stage. Conversion and retention of every draw, segment and scenario; then with money. SciPy's expm (batched) is timed on
a few draws and scaled, and must agree. CPU seconds are of all threads.
Run: python benchmarks/speed/forecast.py
"""

import time

import numpy as np
from scipy.linalg import expm

from journeysim import StageModel, forecast, simulate, to_stage_history, to_stage_money, worlds
from journeysim.forecasts.chains import Chains
from journeysim.scenario import Scenario, StageChange

SCENARIOS, FEW, TIMED, REPEATS = 50, 3, 20, 3
BINS = (0, 1, 3, 7, 21)
CONVERSION_DAYS, RETENTION_DAYS = 90.0, 180.0
DAYS = {"conversion_days": CONVERSION_DAYS, "retention_days": RETENTION_DAYS}


def random_scenarios(stages):
    """Two stages each, of the first half or of the second."""
    rng, half = np.random.default_rng(1), len(stages) // 2
    return [
        Scenario(
            name=f"scenario {i}",
            changes=tuple(
                StageChange(stage=str(stage), forward=rng.uniform(1, 1.5), exit=rng.uniform(0.6, 1))
                for stage in rng.choice(stages[:half] if i % 2 else stages[half:], 2, replace=False)
            ),
        )
        for i in range(SCENARIOS)
    ]


def timed(what, posterior, scenarios, money=None):
    """Print the best of some runs; the forecast."""
    forecast(posterior, scenarios[:1], money=money, **DAYS)  # compiles
    wall, cpu = [], []
    for _ in range(REPEATS):
        begin, used = time.perf_counter(), time.process_time()
        found = forecast(posterior, scenarios, money=money, **DAYS)
        wall.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - used)
    draws, segments, moves = posterior.hazards.shape
    print(
        f"{what}: {min(wall):.2f} s, best of {REPEATS} ({', '.join(f'{s:.2f}' for s in wall)}), CPU {min(cpu):.2f} s; "
        f"{draws:,} draws x {len(scenarios)} scenarios x {segments} segments x {moves} moves"
    )
    return found


def against_scipy(posterior, scenario, found):
    """One scenario, conversion and retention, by one matrix exponential per draw and segment."""
    chains = Chains(posterior)
    hazards = (chains.by_segment * chains.factors(scenario)[:, None])[:, :, :TIMED].transpose(0, 2, 1)
    n_states = chains.starts.shape[1]
    Q = np.zeros((len(hazards), TIMED, n_states, n_states))
    Q[:, :, chains.origins, chains.targets] = hazards
    Q[..., range(n_states), range(n_states)] = -Q.sum(axis=-1)
    begin = time.perf_counter()
    until_bought = Q.copy()
    until_bought[:, :, chains.purchases] = 0
    bought = np.einsum("gs,gnst->gnt", chains.starts[..., 0], expm(until_bought * CONVERSION_DAYS))
    bought = bought[:, :, chains.purchases]
    kept = 1 - expm(Q * RETENTION_DAYS)[:, :, chains.purchases, -1]
    took = time.perf_counter() - begin
    conversion = bought.sum(axis=(0, 2))
    error = max(
        np.abs(conversion - found.conversion[:TIMED]).max(),
        np.abs((bought * kept).sum(axis=(0, 2)) / conversion - found.retention[:TIMED]).max(),
    )
    scaled = took * len(posterior.hazards) / TIMED * (SCENARIOS + 1)
    print(f"scipy.linalg.expm, batched: {scaled:.0f} s, scaled from {TIMED} draws of one scenario")
    print(f"largest difference between the two: {error:.1e}")


def main() -> None:
    """Print a line per model."""
    log = simulate(worlds.load("considered-purchase"), n_customers=5_000, horizon_days=180, seed=1)
    scenarios = random_scenarios(log.stages)
    for by in (None, "persona"):
        posterior = StageModel().fit(to_stage_history(log, by=by), seed=1)
        found = timed(f"by {by}", posterior, scenarios)
        timed(f"by {by}, with money", posterior, scenarios, to_stage_money(log, by=by))
    against_scipy(posterior, scenarios[1], found.changed[1])
    binned = StageModel().fit(to_stage_history(log, bins_days=BINS), seed=1)
    timed("bins of time in stage", binned, scenarios[:FEW])
    timed("bins of time in stage, with money", binned, scenarios[:FEW], to_stage_money(log))


if __name__ == "__main__":
    main()

"""Does a fit of the stage model take longer with more customers? And against the same model in PyMC?

    python benchmarks/speed/stage_fit.py

prints one line per question, seconds of wall time, medians over alternating repetitions in one process:
4 segments, 20 moves, 4 chains of 500 + 1,000 draws. The second line's peer compiles and samples the PyMC model with
nutpie, which is what a user of PyMC would do; PyMC's own sampler is several times slower still.
"""

import argparse
import statistics
import time

import numpy as np
import xarray as xr

from journeysim.bayes import Diagnostics, StageModel
from journeysim.bayes.arviz_versions import import_arviz
from journeysim.stage_history import StageHistory

N_SEGMENTS, N_STAGES, N_MOVES = 4, 7, 20


def history_of(n_customers: int) -> StageHistory:
    """Poisson counts at hazards and days per customer that do not depend on n_customers."""
    rng = np.random.default_rng(11)
    stages = tuple(f"stage {s}" for s in range(N_STAGES))
    possible = [(origin, target) for origin in stages for target in (*stages, "lost") if origin != target]
    moves = tuple(possible[i] for i in sorted(rng.choice(len(possible), N_MOVES, replace=False)))
    segments = tuple(f"segment {g}" for g in range(N_SEGMENTS))
    customers = n_customers * rng.dirichlet(np.full(N_SEGMENTS, 5.0))
    days = customers[:, None] * rng.gamma(2.0, 3.0, (N_SEGMENTS, N_STAGES)) * 0.6 ** np.arange(N_STAGES)
    typical = rng.normal(np.log(0.03), 1.0, N_MOVES)
    hazards = np.exp(typical + 0.3 * rng.normal(size=(N_SEGMENTS, N_MOVES)))
    counts = rng.poisson(hazards * days[:, [stages.index(origin) for origin, _ in moves]]).astype(float)
    starts = np.zeros((N_SEGMENTS, N_STAGES))
    starts[:, 0] = customers
    return StageHistory(segments, stages, (stages[3],), moves, counts, days, starts)


def seconds(run) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def growth(repeats: int) -> None:
    model = StageModel()
    histories = {n: history_of(n) for n in (10_000, 1_000_000, 10_000_000)}
    model.fit(histories[10_000], seed=0, warmup=50, draws=50)  # imports and compiled code
    took: dict[int, list[float]] = {n: [] for n in histories}
    per_second = []
    for seed in range(repeats):
        for n, history in histories.items():
            cpu = time.process_time()
            took[n].append(seconds(lambda history=history, seed=seed: fits.append(model.fit(history, seed=seed))))
            cpu = time.process_time() - cpu
            per_second.append(fits.pop().diagnostics.min_ess / cpu)
    peer = statistics.median(took[10_000])
    for n in (1_000_000, 10_000_000):
        ours = statistics.median(took[n])
        what = f"stage fit, {n:.0e} customers, times as long as 1e4"
        print(f"{what}: ours={ours:.2f}s peer={peer:.2f}s ratio={ours / peer:.2f}")
    print(f"# smallest effective sample size per CPU second: {statistics.median(per_second):.0f}", flush=True)


fits: list = []


def against_pymc() -> None:
    import_arviz()
    import pymc as pm

    history = history_of(10_000)
    fits = {}

    def ours() -> None:
        fits["ours"] = StageModel().fit(history, seed=1).diagnostics

    def peer() -> None:
        with StageModel().pymc_model(history):
            trace = pm.sample(
                draws=1000,
                tune=500,
                chains=4,
                nuts_sampler="nutpie",
                random_seed=1,
                progressbar=False,
                compute_convergence_checks=False,
            )
        draws = xr.Dataset({name: trace["posterior"][name] for name in ("mu", "tau", "log_hazard")})
        fits["peer"] = Diagnostics.of(draws, n_divergences=int(trace["sample_stats"]["diverging"].sum()))

    a, b = seconds(ours), seconds(peer)
    print(f"stage fit, times as fast as PyMC with nutpie: ours={a:.2f}s peer={b:.2f}s ratio={b / a:.1f}")
    for name, diagnostics in fits.items():
        print(f"# {name}: {diagnostics.verdict}")  # a sampler that failed is not slow, it is wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--without-pymc", action="store_true")
    options = parser.parse_args()
    growth(options.repeats)
    if not options.without_pymc:
        against_pymc()

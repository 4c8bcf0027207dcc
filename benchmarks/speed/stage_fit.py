"""What does a fit of the stage model cost, and what would the same posterior cost from one row per stay in PyMC?

    python benchmarks/speed/stage_fit.py

prints one line per question. Seconds are CPU seconds unless the line says wall, for other programs may be running;
medians over alternating repetitions in one process. 4 segments, 20 moves, 4 chains of 500 + 1,000 draws; against rows:
20,000 customers, 3 segments, 6 moves, 2 chains of 300 + 500 draws, compilation included, as a user has it.
"""

import argparse
import statistics
import subprocess
import sys
import time

import numpy as np

from journeysim.bayes import StageModel
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
    return StageHistory(segments, stages, (), moves, counts, days, starts)


def growth(repeats: int) -> None:
    model = StageModel()
    histories = {n: history_of(n) for n in (10_000, 1_000_000, 10_000_000)}
    begin = time.perf_counter()
    model.fit(histories[10_000], seed=0, warmup=50, draws=50)
    print(f"# first small fit of this process, imports and compiled code: {time.perf_counter() - begin:.1f} s wall")
    cpu: dict[int, list[float]] = {n: [] for n in histories}
    wall, per_second = [], []
    for seed in range(repeats):
        for n, history in histories.items():
            at, begin = time.process_time(), time.perf_counter()
            posterior = model.fit(history, seed=seed)
            cpu[n].append(time.process_time() - at)
            wall.append(time.perf_counter() - begin)
            per_second.append(posterior.diagnostics.min_ess / cpu[n][-1])
    peer = statistics.median(cpu[10_000])
    for n in (1_000_000, 10_000_000):
        ours = statistics.median(cpu[n])
        ratio = f"ours={ours:.2f}s peer={peer:.2f}s ratio={ours / peer:.2f} (< 1.3)"
        print(f"stage fit, {n:.0e} customers against 1e4: {ratio}")
    print(f"stage refit, compiled: {statistics.median(wall):.2f} s wall (<= 5)")
    print(f"smallest effective sample size per CPU second: {statistics.median(per_second):.0f} (>= 500)", flush=True)


FIRST_ANSWER = """
import time; begin = time.perf_counter()
import sys; sys.path.insert(0, {folder!r})
from stage_fit import StageModel, history_of
posterior = StageModel().fit(history_of(10_000), seed=1)
posterior.diagnostics.verdict
print(time.perf_counter() - begin)
"""


def another_process() -> None:
    """The cache on disk holds the compiled density: a new process only loads it."""
    code = FIRST_ANSWER.format(folder=__file__.rsplit("/", 1)[0])
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    print(f"new process, from import to diagnosed posterior: {float(out):.1f} s wall", flush=True)


def stays(n_customers: int) -> tuple[StageHistory, dict[str, np.ndarray]]:
    """Customers of an exact Markov chain, as one row per stay, and their counts and days at risk."""
    stages = ("awareness", "evaluation", "purchase")
    origins, targets = np.array([0, 0, 1, 1, 1, 2]), np.array([1, 3, 0, 2, 3, 3])
    rng = np.random.default_rng(5)
    hazards = np.array([0.10, 0.05, 0.04, 0.08, 0.06, 0.02]) * np.exp(0.3 * rng.normal(size=(3, 6)))
    segment, stage = rng.integers(3, size=n_customers), np.zeros(n_customers, dtype=int)
    left = np.full(n_customers, 60.0)
    rows = []
    while len(stage):
        clocks = rng.exponential(size=(len(stage), 6)) / hazards[segment]
        clocks[stage[:, None] != origins] = np.inf
        move, wait = clocks.argmin(axis=1), clocks.min(axis=1)
        moved = wait < left
        rows.append((segment, stage, np.minimum(wait, left), np.where(moved, move, -1)))
        goes_on = moved & (targets[move] < 3)
        segment, stage, left = segment[goes_on], targets[move[goes_on]], (left - wait)[goes_on]
    row = dict(zip(("segment", "stage", "days", "move"), map(np.concatenate, zip(*rows, strict=True)), strict=True))
    counts, days = np.zeros((3, 6)), np.zeros((3, 3))
    made = row["move"] >= 0
    np.add.at(counts, (row["segment"][made], row["move"][made]), 1.0)
    np.add.at(days, (row["segment"], row["stage"]), row["days"])
    starts = np.zeros((3, 3))
    starts[:, 0] = np.bincount(rows[0][0], minlength=3)
    names = (*stages, "lost")
    moves = tuple((names[i], names[j]) for i, j in zip(origins, targets, strict=True))
    return StageHistory(("a", "b", "c"), stages, ("purchase",), moves, counts, days, starts), row


def against_rows(n_customers: int, draws: int) -> None:
    """The same posterior from one row per stay, by PyMC's own sampler (its default) and by nutpie."""
    az = import_arviz()
    import pymc as pm

    history, row = stays(n_customers)
    at = time.process_time()
    ours = StageModel().fit(history, seed=1)
    our_cost = (time.process_time() - at) / ours.diagnostics.min_ess
    mine = np.log(ours.hazards_by_chain)
    priors = StageModel().log_priors()
    leaving = np.zeros((6, 3))
    leaving[np.arange(6), history.origins] = 1.0
    made = row["move"] >= 0
    with pm.Model() as model:
        mu = pm.Normal("mu", priors.rate.mean, priors.rate.sd, shape=6)
        tau = pm.LogNormal("tau", priors.spread.mean, priors.spread.sd, shape=6)
        log_hazard = pm.Normal("log_hazard", mu[None, :], tau[None, :], shape=(3, 6))
        total = pm.math.dot(pm.math.exp(log_hazard), leaving)
        pm.Potential("moved", log_hazard[row["segment"][made], row["move"][made]].sum())
        pm.Potential("stayed", -(total[row["segment"], row["stage"]] * row["days"]).sum())
    quiet = {"progressbar": False, "compute_convergence_checks": False}
    for sampler in ("pymc", "nutpie"):
        at = time.process_time()
        with model:
            trace = pm.sample(
                draws=draws, tune=300, chains=2, cores=1, nuts_sampler=sampler, random_seed=1, **quiet
            )  # fmt: skip
        cpu = time.process_time() - at
        theirs = trace["posterior"]["log_hazard"].to_numpy()
        ess = min(float(az.ess(theirs[:, :, g, m])) for g in range(3) for m in range(6))
        gap = (np.abs(mine.mean(axis=(0, 1)) - theirs.mean(axis=(0, 1))) / mine.std(axis=(0, 1))).max()
        cost = f"ours={1000 * our_cost:.2f}s peer={1000 * cpu / ess:.1f}s ratio={cpu / ess / our_cost:.0f}"
        print(f"CPU per 1,000 effective draws, counts against {len(row['days']):,} rows in {sampler}: {cost}")
        means = f"means of log hazards at most {gap:.3f} sd apart (< 0.1)"
        print(f"# {sampler}: {cpu:.1f} s in all, smallest ESS {ess:.0f} of {2 * draws:,} draws; {means}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--without-pymc", action="store_true")
    parser.add_argument("--row-draws", type=int, default=500)
    options = parser.parse_args()
    growth(options.repeats)
    another_process()
    if not options.without_pymc:
        against_rows(20_000, options.row_draws)

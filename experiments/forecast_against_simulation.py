"""How wrong is a forecast from stages, and does it know? 50 random scenarios on 5 packaged worlds.

Expected: where hazards within a segment are constant, 90% intervals hold the simulated difference 90% of the time.
Packaged worlds break this (contacts whose influence builds up and fades, pain points, satisfaction, word of mouth): the
posterior is narrow, the model is wrong, and coverage falls. Bins of time in stage should mend part of it, and splitting
by persona another; a world of word of mouth neither.

Each world is simulated once to fit (10,000 customers), and 10 random stage scenarios each are simulated on 40,000
customers with common random numbers. An interval counts as right if it holds the simulated difference, with the Monte
Carlo error of the simulation added in squares to the spread of the draws.

Run: python experiments/forecast_against_simulation.py. Finding: docs/forecasts.md, "When the forecast fails".
"""

import numpy as np
import polars as pl

from journeysim import StageModel, World, forecast, simulate, to_stage_history
from journeysim.scenario import Scenario, StageChange
from journeysim.simulation import simulate_changes
from journeysim.worlds import load

WORLDS = ("four-stages", "considered-purchase", "impulse-purchase", "trap-hidden-persona", "trap-word-of-mouth")
FITTED, SIMULATED, PER_WORLD, SEED = 10_000, 40_000, 10, 5
DAYS = {"conversion_days": 90.0, "retention_days": 90.0}
WAYS = {
    "all customers": {},
    "by persona": {"by": "persona"},
    "by persona, bins": {"by": "persona", "bins_days": (0.0, 1.0, 3.0, 7.0, 21.0)},
}


def random_scenarios(stages: tuple[str, ...], rng: np.random.Generator) -> list[Scenario]:
    """One or two stages each, whose moves forward and out are multiplied by something between 0.6 and 1.7."""
    return [
        Scenario(
            name=f"scenario {i}",
            changes=tuple(
                StageChange(stage=str(stage), forward=rng.uniform(1, 1.7), exit=rng.uniform(0.6, 1))
                for stage in rng.choice(stages, rng.integers(1, 3), replace=False)
            ),
        )
        for i in range(PER_WORLD)
    ]


def rows_of(world: World, ways: dict[str, dict[str, object]]) -> list[dict[str, object]]:
    """Forecast and simulated difference of each scenario on a world, by each way to fit."""
    rng = np.random.default_rng(SEED)
    scenarios = random_scenarios(world.stage_names, rng)
    simulated = simulate_changes(world, scenarios, n_customers=SIMULATED, seed=SEED + 1, **DAYS)
    log = simulate(world, n_customers=FITTED, horizon_days=sum(DAYS.values()), seed=SEED)
    rows: list[dict[str, object]] = []
    for way, how in ways.items():
        posterior = StageModel().fit(to_stage_history(log, **how), seed=SEED, draws=2000)
        found = forecast(posterior, scenarios, **DAYS)
        for change in simulated:
            for measure in ("conversion", "retention"):
                draws, truth = found.difference(change.scenario, measure), getattr(change, measure)
                joint = float(np.hypot(draws.std(), getattr(change, f"{measure}_error")))
                error = float(draws.mean() - truth)
                rows.append(
                    {
                        "world": world.name,
                        "way": way,
                        "measure": measure,
                        "effect": 100 * abs(truth),
                        "error": 100 * error,
                        "absolute": 100 * abs(error),
                        "width": 100 * 2 * 1.645 * joint,
                        "covered": abs(error) <= 1.645 * joint or (joint == 0 and abs(error) < 1e-9),
                        "unseen": any(found.unseen[found.scenarios.index(change.scenario)]),
                    }
                )
    return rows


def main() -> None:
    """Print a table per measure, in percentage points."""
    rows = []
    for name in WORLDS:
        rows += rows_of(load(name), WAYS)
        print(f"{name} done", flush=True)
    frame = pl.DataFrame(rows)
    for measure in ("conversion", "retention"):
        print(f"\n{measure}: mean absolute effect, mean error, mean absolute error, interval width (pp), coverage")
        those = frame.filter(pl.col("measure") == measure)
        for keys in (["world", "way"], ["way"]):
            table = those.group_by(keys, maintain_order=True).agg(
                pl.len().alias("n"), pl.col("effect", "error", "absolute", "width").mean().round(2),
                pl.col("covered").mean().round(2),
            )  # fmt: skip
            print(table.write_csv(separator="\t"))


if __name__ == "__main__":
    main()

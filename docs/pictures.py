"""Make the pictures of the README and the docs, from the packaged worlds and the packaged data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from journeysim import (
    EventMap,
    InfluenceModel,
    StageModel,
    forecast,
    incremental_effects,
    read_events,
    simulate,
    simulate_changes,
    to_influence_history,
    to_journeys,
    to_stage_history,
    worlds,
)
from journeysim.demo import CHECK_CUSTOMERS, SCENARIOS
from journeysim.influence_plots import pull_chart
from journeysim.kpi_plots import funnel_chart, retention_chart
from journeysim.kpis import funnel, loss_reasons, retention_curve
from journeysim.plots import attribution_chart, forecast_chart, stage_map
from journeysim.sections import attributions
from journeysim.world_map import world_map

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IMAGES = Path(__file__).parent / "images"
DATA = Path(__file__).parents[1] / "journeysim" / "datasets"


def main() -> None:
    """Write the pictures of the pages and the maps of the packaged worlds."""
    IMAGES.mkdir(exist_ok=True)
    world = worlds.load("considered-purchase")
    n_customers = 100_000
    size = {"n_customers": n_customers, "horizon_days": 180.0}
    log = simulate(world, **size, seed=1)
    journeys, history = to_journeys(log), to_stage_history(log, by="persona")
    shares = {method: result.share for method, result in attributions(journeys).items()}
    truth = incremental_effects(world, **size, seed=1)
    posterior = StageModel().fit(history, seed=1)
    days = {"conversion_days": 180.0, "retention_days": 90.0}
    simulated = simulate_changes(world, SCENARIOS, n_customers=CHECK_CUSTOMERS * n_customers, seed=2, **days)
    shop = read_events(
        DATA / "retentioneering_ecom.csv.gz", EventMap.from_yaml(DATA / "retentioneering_ecom_visits.yaml")
    )
    figures = {
        "credit": attribution_chart(journeys.channels, shares, truth=truth),
        "what-if": forecast_chart(forecast(posterior, SCENARIOS, **days), simulated=simulated),
        "journey": stage_map(history, title="A refrigerator, 100,000 customers in 180 days"),
        "funnel": funnel_chart(funnel(log), loss_reasons(log), title="A refrigerator: 100,000 customers in 180 days"),
        "retention": retention_chart(retention_curve(log, by="persona")),
        "pull": draw_pulls(),
        "shop": stage_map(to_stage_history(shop), title="A web shop, visit by visit"),
    }
    for name, figure in figures.items():
        figure.savefig(IMAGES / f"{name}.png", dpi=110)
    draw_world_maps()
    print("error of shares:", {m: round(float(np.abs(s - truth.share).sum() / 2), 3) for m, s in shares.items()})


def draw_pulls() -> Figure:
    """What the influence model finds of the channels of a packaged trap, beside the truth."""
    world = worlds.load("trap-companion")
    log = simulate(world, n_customers=20_000, horizon_days=90, seed=1)
    posterior = InfluenceModel().fit(to_influence_history(log, by="persona"), seed=1)
    truth = {(c.name, stage): world.pull_in(c, stage) for c in world.channels for stage in world.stage_names}
    return pull_chart(posterior, truth=truth, title="What one contact does: city trips, 20,000 customers")


def draw_world_maps() -> None:
    """Write the map of every packaged world into `images/worlds`."""
    (IMAGES / "worlds").mkdir(exist_ok=True)
    for name in worlds.names():
        world_map(worlds.load(name)).savefig(
            IMAGES / "worlds" / f"{name}.png", dpi=100, pil_kwargs={"optimize": True}, metadata={"Software": None}
        )


if __name__ == "__main__":
    main()

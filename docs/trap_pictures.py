"""Make the pictures of the worlds that are made to fool attribution: what methods say beside what is true."""

from __future__ import annotations

from pathlib import Path

from journeysim import attribute, incremental_effects, simulate, to_journeys, worlds
from journeysim.plots import attribution_chart

IMAGES = Path(__file__).parent / "images"
SIZE = {"n_customers": 50_000, "seed": 1}  # of the tables in docs/worlds, see tests/test_traps.py
METHODS = ("first_touch", "last_touch", "position_based", "markov")
TITLES = {
    "plain-channels": "Plain channels: every method is nearly right",
    "trap-retargeting": "Retargeting meets those who would buy anyway",
    "trap-companion": "Clicks on the site's own name move nobody",
    "trap-synergy": "Calculator and visit only work together",
    "trap-word-of-mouth": "The market stand starts what neighbours pass on",
    "trap-hidden-persona": "Podcasts reach enthusiasts, who buy anyway",
    "trap-saturation": "Too many messages do harm, which counts as 0",
}


def main() -> None:
    """Write a picture for each of these worlds, under its name."""
    IMAGES.mkdir(exist_ok=True)
    for name, title in TITLES.items():
        world = worlds.load(name)
        journeys = to_journeys(simulate(world, horizon_days=world.horizon_days, **SIZE))
        shares = {method: attribute(journeys, method).share for method in METHODS}
        truth = incremental_effects(world, horizon_days=world.horizon_days, **SIZE)
        figure = attribution_chart(journeys.channels, shares, truth=truth, title=title)
        figure.savefig(IMAGES / f"{name}.png", dpi=110)


if __name__ == "__main__":
    main()

"""Make the picture of docs/digital-twin.md: effects in the twin of one log, with the truth and Markov beside them."""

from __future__ import annotations

from pathlib import Path

from journeysim import RemovalEffect, closed_form_effects, fit_world, simulate, to_journeys, twin_attribution, worlds
from journeysim.twin_plots import twin_effects_chart

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Write it, from 3,000 customers of the trap whose most frequent channel only accompanies."""
    world = worlds.load("trap-companion")
    log = simulate(world, n_customers=3_000, horizon_days=world.horizon_days, seed=1)
    effects = twin_attribution(fit_world(log, seed=1), seed=1)
    exact = closed_form_effects(world, world.horizon_days)
    markov = RemovalEffect().attribute(to_journeys(log)).to_frame()
    print(effects.to_frame(), *effects.notes)
    figure = twin_effects_chart(
        effects,
        beside={"Markov removal effect": dict(markov.select("channel", "removal_effect").iter_rows())},
        truth=dict(zip(exact.channels, exact.effect.tolist(), strict=True)),
        title="trap-companion: conversions lost without each channel",
    )
    IMAGES.mkdir(exist_ok=True)
    figure.savefig(IMAGES / "twin-effects.png", dpi=110)


if __name__ == "__main__":
    main()

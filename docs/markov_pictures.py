"""Make the pictures of docs/attribution.md: which order, what a high order becomes, all methods side by side."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from journeysim import compare, simulate, to_journeys, worlds
from journeysim.markov import choose_order, order_drift
from journeysim.markov_plots import drift_chart, order_chart
from journeysim.plots import comparison_chart

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Write them, from 50,000 customers of a packaged world; of the methods, some of which are slow, from 3,000."""
    IMAGES.mkdir(exist_ok=True)
    draw_methods()
    journeys = to_journeys(simulate(worlds.load("considered-purchase"), n_customers=50_000, horizon_days=180.0, seed=1))
    choice, drift = choose_order(journeys, max_order=6), order_drift(journeys, (1, 2, 3, 4, 6, 8, 12, 20))
    order_chart(choice.curve).savefig(IMAGES / "markov-order.png", dpi=110)
    drift_chart(drift).savefig(IMAGES / "markov-drift.png", dpi=110)
    print(choice)
    with pl.Config(tbl_rows=-1, tbl_cols=-1):
        print(choice.curve)
        print(drift.pivot("order", index=["channel", "any_touch"], values="removal_effect"))


def draw_methods() -> None:
    """What each registered method says of one log."""
    journeys = to_journeys(simulate(worlds.load("considered-purchase"), n_customers=3_000, horizon_days=180.0, seed=1))
    comparison_chart(compare(journeys, "all")).savefig(IMAGES / "methods.png", dpi=110)


if __name__ == "__main__":
    main()

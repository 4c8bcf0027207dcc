"""Make the pictures of docs/forecasts.md: when gains arrive, and which scenario pays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from journeysim import (
    Cost,
    StageModel,
    decide,
    forecast,
    gains_over_time,
    improve_stage,
    simulate,
    to_stage_history,
    to_stage_money,
    worlds,
)
from journeysim.forecast_plots import decision_chart, gains_chart

IMAGES = Path(__file__).parent / "images"
SCENARIOS = [
    improve_stage("awareness", forward=1.25, name="a film that explains"),
    improve_stage("evaluation", forward=1.25, name="comparison chart"),
    improve_stage("decision", forward=1.25, name="one-page checkout"),
    improve_stage("loyalty", exit=0.8, name="service plan"),
]
COSTS = {
    "a film that explains": Cost(fixed=450_000),
    "comparison chart": Cost(fixed=60_000, per_customer=0.2),
    "one-page checkout": Cost(fixed=250_000),
    "service plan": Cost(fixed=5_000, per_customer=0.3),
}


def main() -> None:
    """Write both pictures, and print the table behind the second."""
    log = simulate(worlds.load("considered-purchase"), n_customers=3_000, horizon_days=180, seed=1)
    posterior = StageModel().fit(to_stage_history(log, by="persona"), seed=1)
    money = to_stage_money(log, by="persona")
    gains = gains_over_time(posterior, SCENARIOS, np.linspace(0, 180, 91), money=money)
    gains_chart(gains, "conversion", scenarios=[s.name for s in SCENARIOS[:3]]).savefig(
        IMAGES / "forecast-gains.png", dpi=110
    )
    found = forecast(
        posterior, SCENARIOS, conversion_days=90, retention_days=30, money=money, horizon_days=365, yearly_discount=0.1
    )
    decision = decide(found, population=50_000, costs=COSTS, measure="clv")
    decision_chart(decision, title="Which scenario pays, among 50,000 customers in a year?").savefig(
        IMAGES / "forecast-decision.png", dpi=110
    )
    print(decision)


if __name__ == "__main__":
    main()

"""Makes worlds/fitted-shop.yaml: the world that the hidden Markov method fits to the visits of a web shop.

    python benchmarks/attribution/fit_shop.py

The log is journeysim/datasets/retentioneering_ecom.csv.gz (Apache-2.0, see the NOTICE beside it). A touch is the first
time in a visit that a customer meets one of the things below; a journey ends with the first purchase, or is open when
the log ends. Hidden stages and kinds become stages and personas. What is known of the fitted world is exact, because it
is simulated; whether the shop was like that nobody knows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from journeysim.attribution.hidden_markov import HiddenMarkov
from journeysim.benchmark import Case
from journeysim.benchmark.cases import Precision
from journeysim.journeys import Journeys
from journeysim.spec import Basket, Channel, Persona, Stage, World
from journeysim.yaml_files import to_yaml

if TYPE_CHECKING:
    from journeysim.attribution.hidden_funnel import HiddenFunnel

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "journeysim" / "datasets" / "retentioneering_ecom.csv.gz"
TOUCHES = {
    "search": "search",
    "promo_page": "promotion",
    "review_page": "reviews",
    "compare": "comparison",
    "wishlist_add": "wish_list",
    "support_chat": "support_chat",
}
HORIZON_DAYS = 120.0
ARRIVES_PER_DAY = 1_000.0


def shop_journeys() -> Journeys:
    rows = pl.read_csv(DATA, try_parse_dates=True).sort("user_id", "timestamp", maintain_order=True)
    end = rows["timestamp"].max()
    bought = rows.filter(event="purchase").group_by("user_id").agg(bought=pl.col("timestamp").min())
    touches = (
        rows.filter(pl.col("event").is_in([*TOUCHES]))
        .unique(["user_id", "session_id", "event"], keep="first", maintain_order=True)
        .join(bought, on="user_id", how="left")
        .filter(pl.col("bought").is_null() | (pl.col("timestamp") < pl.col("bought")))
        .with_columns(age=(pl.col("bought").fill_null(end) - pl.col("timestamp")).dt.total_seconds() / 86_400)
    )
    users = touches.group_by("user_id", maintain_order=True).agg(pl.len(), pl.col("bought").is_not_null().first())
    names = tuple(TOUCHES.values())
    converts = users["bought"].to_numpy().astype(np.float64)
    return Journeys(
        channels=names,
        codes=np.array([names.index(TOUCHES[event]) for event in touches["event"]], dtype=np.int32),
        offsets=np.append(0, np.cumsum(users["len"].to_numpy())).astype(np.int64),
        conversions=converts,
        nulls=1.0 - converts,
        value=np.zeros(len(converts)),
        ages_days=touches["age"].to_numpy(),
    )


def world_of(funnel: HiddenFunnel, channels: tuple[str, ...]) -> World:
    """Everybody arrives and is in one of the hidden stages at once. Kinds start alike; in the funnel they do not."""
    n_stages = len(funnel.forward)
    names = [f"stage_{s + 1}" for s in range(n_stages)]
    starts = funnel.start.sum(axis=0)
    arrival = {name: _short(ARRIVES_PER_DAY * share) for name, share in zip(names, starts, strict=True)}
    stages = [Stage(name="arrival", moves_per_day=arrival)]
    for s, there in enumerate([*names[1:], "purchase"]):
        moves = {there: _short(funnel.forward[s]), "lost": _short(funnel.lost[s])}
        stages.append(Stage(name=names[s], moves_per_day=moves))
    return World(
        name="fitted-shop",
        stages=(*stages, Stage(name="purchase", purchase=True)),
        channels=tuple(
            Channel(
                name=name,
                kind="owned",
                contacts_per_day={stage: _short(rate) for stage, rate in zip(names, funnel.contacts[c], strict=True)},
                pull=_short(funnel.pull[c]),
                half_life_days=_short(np.log(2) / funnel.onward),
            )
            for c, name in enumerate(channels)
        ),
        personas=tuple(
            Persona(
                name=f"kind_{g + 1}",
                share=share,
                pace=_short(funnel.pace[g]),
                reach={name: _short(times) for name, times in zip(channels, funnel.reach[g], strict=True)},
            )
            for g, share in enumerate(_shares(funnel.start.sum(axis=1)))
        ),
        basket=Basket(median=100.0),
        horizon_days=HORIZON_DAYS,
    )


def _short(x: float) -> float:
    return float(f"{max(float(x), 1e-6):.3g}")


def _shares(shares: np.ndarray) -> list[float]:
    first = [round(float(x), 3) for x in shares[:-1]]
    return [*first, round(1 - sum(first), 3)]


if __name__ == "__main__":
    journeys = shop_journeys()
    print(journeys)
    fit = HiddenMarkov().fit(journeys)
    case = Case(
        name="fitted-shop",
        tests="A world that hidden_markov fitted to the visits of a web shop, with stages and kinds that it found.",
        should_fail="Nothing badly: no channel is targeted. hidden_markov has an advantage: the world is its own.",
        world=world_of(fit, journeys.channels),
        truth=Precision(share_error=0.005, max_customers=2_000_000, shapley_customers=100_000, move_customers=50_000),
    )
    header = "# Made by benchmarks/attribution/fit_shop.py; rates are per day.\n"
    (HERE / "worlds" / "fitted-shop.yaml").write_text(header + to_yaml(case), encoding="utf-8")

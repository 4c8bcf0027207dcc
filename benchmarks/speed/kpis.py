"""How long the KPIs of a log take, of everybody and of each of many markets."""

import sys
import time

from journeysim import simulate, worlds
from journeysim.kpis import channel_spend, clv_curve, funnel, kpis, loss_reasons, retention_curve, surveys


def main(n_customers=100_000):
    world = worlds.load("impulse-purchase").model_copy(update={"market_size": 100})
    log = simulate(world, n_customers=n_customers, horizon_days=90, seed=1)
    n_markets = len(set(log.customers["market"].to_pylist()))
    print(f"{log.n_events:,} events of {n_customers:,} customers in {n_markets:,} markets")
    for name, run in {
        "kpis": lambda: kpis(log),
        "kpis by market": lambda: kpis(log, by="market"),
        "kpis, markets as clusters": lambda: kpis(log, cluster="market"),
        "funnel by market": lambda: funnel(log, by="market"),
        "loss_reasons": lambda: loss_reasons(log),
        "surveys": lambda: surveys(log),
        "channel_spend": lambda: channel_spend(log),
        "retention_curve, every day": lambda: retention_curve(log),
        "clv_curve, every day": lambda: clv_curve(log),
    }.items():
        begin = time.perf_counter()
        run()
        print(f"{name:<28}{time.perf_counter() - begin:6.2f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

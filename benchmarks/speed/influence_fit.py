"""How long does a fit of the influence model take, by the number of customers?

    python benchmarks/speed/influence_fit.py [customers ...]

prints one line per number (10,000 and 100,000): contacts and moves after contacts, seconds from the log to the history,
microseconds per log density with its gradient, and seconds of a fit (wall time, and CPU time over all cores): the world
trap-companion, two personas, all of fatigue, appeal and pulls by stage, 2 chains of 300 + 300 draws. With --hidden 2
the personas are not told to the model, which looks for two hidden ones.
"""

import argparse
import time

from journeysim import InfluenceModel, simulate, to_influence_history, worlds


def measure(n_customers: int, hidden: int) -> None:
    log = simulate(worlds.load("trap-companion"), n_customers=n_customers, horizon_days=90, seed=1)
    begin = time.process_time()
    history = to_influence_history(log, by="persona" if hidden == 1 else None, customers=hidden > 1)
    counting = time.process_time() - begin
    model = InfluenceModel(hidden_personas=hidden)
    if hidden == 1:
        density, start = model._density(history)
        point = density.start(start)
    else:
        density, point = model._hidden_density(history)
    begin = time.process_time()
    for _ in range(20):
        density(point)
    evaluation = (time.process_time() - begin) / 20
    begin, cpu = time.perf_counter(), time.process_time()
    posterior = model.fit(history, seed=1, chains=2, draws=300, warmup=300)
    wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    print(
        f"{n_customers:>9,} customers: {history.contacts.sum():>9,.0f} contacts, "
        f"{len(history.moves_after_contact):>7,} moves after contacts, history {counting:.2f} s, "
        f"gradient {evaluation * 1e6:,.0f} us, fit {wall:.1f} s wall, {cpu:.1f} s CPU, "
        f"least ESS {posterior.diagnostics.min_ess:.0f}",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("customers", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--hidden", type=int, default=1, help="hidden personas")
    chosen = parser.parse_args()
    to_influence_history(simulate(worlds.load("trap-companion"), n_customers=200, horizon_days=90, seed=1))  # compile
    for n in chosen.customers:
        measure(n, chosen.hidden)

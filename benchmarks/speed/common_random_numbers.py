"""How much more certain are twin runs on common random numbers than runs with independent seeds?

    python benchmarks/speed/common_random_numbers.py

In each replication the removal effect r = 1 - (conversions without the channel) / (conversions with it) of the same
number of customers is estimated twice: with one seed for both runs (ours), and with two (peer). Prints the variances
over replications, their ratio with a 95% interval (bootstrap over replications), and the most that any pairing of
customers could reach. Channels are not chosen by hand: of each world the one with the most contacts per customer, the
median one and the one with the fewest.

The limit: pairing leaves Var(d - r y) with d = y - y', y and y' being 0 or 1. It is least where nobody converts only
without the channel; then it is p r (1 - r), against p (1 - r) (1 - p (1 - r)) + (1 - r)² p (1 - p) with two seeds.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.speed.workloads import DAYS, twenty_channels_world
from journeysim import worlds
from journeysim.simulation.outcomes import CONVERSION
from journeysim.simulation.recipe import Recipe
from journeysim.simulation.twin_runs import Population, Switch, Twins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.spec import World


def contacts_per_customer(world: World, n_customers: int) -> NDArray[np.float64]:
    full = Twins(Population(Recipe(world, n_customers, DAYS, seed=0)), 0, n_customers).everything_on()
    print(f"# {world.name}: {full.contacts.sum() / n_customers:.1f} contacts per customer", flush=True)
    return full.contacts.mean(axis=0)


def conversions(world: World, channels: list[str], n_customers: int, seed: int) -> NDArray[np.float64]:
    """Conversions in the world, then without each of the channels."""
    twins = Twins(Population(Recipe(world, n_customers, DAYS, seed)), 0, n_customers)
    full = twins.everything_on()
    versions = [full, *(twins.without(Switch((channel,)), full) for channel in channels)]
    return np.array([version.measures[:, CONVERSION].sum() for version in versions])


def compare(world: World, n_customers: int, replications: int) -> None:
    met = contacts_per_customer(world, n_customers)
    order = np.argsort(-met)
    chosen = {"common": order[0], "middling": order[len(order) // 2], "rare": order[-1]}
    names = [world.channel_names[c] for c in chosen.values()]
    twins = np.array([conversions(world, names, n_customers, seed) for seed in range(replications)])
    others = np.array([conversions(world, [], n_customers, replications + seed)[0] for seed in range(replications)])
    rng = np.random.default_rng(1)
    again = rng.integers(replications, size=(2000, replications))
    for i, (label, c) in enumerate(chosen.items(), start=1):
        common, independent = 1 - twins[:, i] / twins[:, 0], 1 - twins[:, i] / others
        ours, peer = common.var(ddof=1), independent.var(ddof=1)
        low, high = np.quantile(independent[again].var(axis=1) / common[again].var(axis=1), [0.025, 0.975])
        p, r = twins[:, 0].mean() / n_customers, 1 - twins[:, i].mean() / twins[:, 0].mean()
        limit = ((1 - p * (1 - r)) + (1 - r) * (1 - p)) / r
        print(
            f"{world.name}, variance of the effect of a {label} channel: ours={ours:.2e} peer={peer:.2e} "
            f"ratio={peer / ours:.1f} (95% {low:.1f} to {high:.1f}; limit {limit:.0f}; {names[i - 1]}, {met[c]:.2f} "
            f"contacts per customer, effect {r:.2%} of {p:.1%} who convert)",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=5_000, help="in each run")
    parser.add_argument("--replications", type=int, default=400)
    options = parser.parse_args()
    for each in (worlds.load("considered-purchase"), twenty_channels_world()):
        compare(each, options.customers, options.replications)

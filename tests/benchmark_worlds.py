"""A small world for tests of the benchmark, with a truth that is quick to measure."""

from small_worlds import small_world

from journeysim.benchmark import Case, Contestant, Grid, Plan
from journeysim.benchmark.cases import Precision
from journeysim.spec import Channel

QUICK = Precision(share_error=0.1, max_customers=20_000, move_customers=4_000)
MOVES = {
    "unaware": {"interest": 0.02, "lost": 0.005},
    "interest": {"buy": 0.04, "lost": 0.06},
    "buy": {"lost": 0.01},
}
RATES = {"unaware": 0.02, "interest": 0.08}


def three_channels(names=("ad", "mail", "shop"), **parts):
    pulls, prices = (0.25, 0.1, 0.02), (0.5, 0.1, 2.0)
    channels = [
        Channel(name=name, contacts_per_day=RATES, pull=pull, half_life_days=1, cost_per_contact=price)
        for name, pull, price in zip(names, pulls, prices, strict=True)
    ]
    return small_world(MOVES, channels=channels, horizon_days=60, **parts)


def quick_case(name="quick", world=None, **parts):
    return Case(name=name, tests="the benchmark", world=world or three_channels(), truth=QUICK, **parts)


def quick_plan(methods, cases=None, customers=(400,), seeds=(1, 2)):
    contestants = tuple(m if isinstance(m, Contestant) else Contestant(method=m) for m in methods)
    grid = Grid(name="quick", methods=contestants, customers=customers, seeds=seeds)
    return Plan(grid, tuple(cases or [quick_case()]))

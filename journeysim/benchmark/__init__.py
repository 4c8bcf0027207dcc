"""The attribution benchmark: worlds whose causal truth is known, methods through one contract, one table."""

from journeysim.benchmark.cases import Case, load_case
from journeysim.benchmark.combination import HiddenMarkovPosterior, WithHoldout
from journeysim.benchmark.contestants import Answer, Contestant, Sample, SampleAttributor, SkipError
from journeysim.benchmark.controls import Bootstrapped, EqualShares, Holdout, MarkovPosterior, Oracle, RandomShares
from journeysim.benchmark.defects import MissTouches, ShortWindow, SplitCustomers, as_observed, with_defects
from journeysim.benchmark.grid import Grid, Plan, read_grid
from journeysim.benchmark.known_truth import KnownTruth, truth_of
from journeysim.benchmark.random_worlds import random_case
from journeysim.benchmark.rows import read_rows
from journeysim.benchmark.runner import run_benchmark

__all__ = [
    "Answer",
    "Bootstrapped",
    "Case",
    "Contestant",
    "EqualShares",
    "Grid",
    "HiddenMarkovPosterior",
    "Holdout",
    "KnownTruth",
    "MarkovPosterior",
    "MissTouches",
    "Oracle",
    "Plan",
    "RandomShares",
    "Sample",
    "SampleAttributor",
    "ShortWindow",
    "SkipError",
    "SplitCustomers",
    "WithHoldout",
    "as_observed",
    "load_case",
    "random_case",
    "read_grid",
    "read_rows",
    "run_benchmark",
    "truth_of",
    "with_defects",
]

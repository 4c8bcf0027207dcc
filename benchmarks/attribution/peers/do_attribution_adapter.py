"""Adapter of do-attribution: Markov removal effects of order 1, removed channels redirected to null."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from do_attribution import MarkovAttribution

paths = pd.read_csv(sys.argv[1])
journeys, conversions = [], []
for converted, column in ((1, "conversions"), (0, "nulls")):
    for path, times in zip(paths["path"], paths[column], strict=True):
        journeys += [path] * round(times)
        conversions += [converted] * round(times)
found = MarkovAttribution(order=1, removal_strategy="redirect_to_null").fit(journeys, conversions)
answer = {
    "name": "do-attribution",
    "version": version("do-attribution"),
    "conventions": "Markov order 1, redirect_to_null, one row per journey",
    "credit": found["attribution"],
}
if found["attribution"] is None:
    answer = {"skip": f"no shares: {found['normalization_status']}, {found['normalization_reason']}"}
Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")

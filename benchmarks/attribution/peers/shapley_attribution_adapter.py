"""Adapter of shapley-attribution: its path Shapley values of a boosted classifier, at defaults but for the seed."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from shapley_attribution import PathShapleyAttribution

paths = pd.read_csv(sys.argv[1])
journeys, conversions = [], []
for converted, column in ((1, "conversions"), (0, "nulls")):
    for path, times in zip(paths["path"], paths[column], strict=True):
        journeys += [path.split(" > ")] * round(times)
        conversions += [converted] * round(times)
model = PathShapleyAttribution(random_state=1).fit(journeys, y=conversions)
answer = {
    "name": "shapley-attribution",
    "version": version("shapley-attribution"),
    "conventions": "PathShapleyAttribution, gradient boosting, one row per journey",
    "credit": {str(channel): float(score) for channel, score in model.get_attribution().items()},
}
Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")

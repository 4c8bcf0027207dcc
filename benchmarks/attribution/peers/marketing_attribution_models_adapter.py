"""Adapter of marketing-attribution-models 2: Markov chain, at its defaults, from grouped journeys."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import polars as pl
from mam.core import MAM

paths = pl.read_csv(sys.argv[1])
both = [
    paths.filter(pl.col(column) > 0).select(
        "path", pl.lit(column == "conversions").alias("converted"), pl.col(column).cast(pl.Int64).alias("times")
    )
    for column in ("conversions", "nulls")
]
model = MAM(
    df=pl.concat(both),
    format_type="grouped_journey",
    channels_colname="path",
    journey_with_conv_colname="converted",
    occurrences_colname="times",
)
found = model.run_markov().to_polars()
number = next(name for name, kind in found.schema.items() if kind.is_float())
answer = {
    "name": "marketing-attribution-models",
    "version": version("marketing-attribution-models"),
    "conventions": "run_markov at its defaults, null paths counted",
    "credit": dict(zip(found[found.columns[0]].to_list(), found[number].to_list(), strict=True)),
}
Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")

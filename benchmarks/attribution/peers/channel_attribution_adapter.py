"""Adapter of ChannelAttribution (GPL-3): Markov removal effects of order 1 by its own simulation, at its defaults."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from ChannelAttribution import markov_model

paths = pd.read_csv(sys.argv[1])
found = markov_model(
    paths, "path", "conversions", var_value="value", var_null="nulls", order=1, sep=">", verbose=False, flg_pro=False
)
answer = {
    "name": "ChannelAttribution",
    "version": version("ChannelAttribution"),
    "conventions": "Markov order 1, simulated walks, null paths counted",
    "credit": dict(zip(found["channel_name"].str.strip(), found["total_conversions"].astype(float), strict=True)),
}
Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")

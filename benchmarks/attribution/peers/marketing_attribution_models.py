"""Adapter of marketing-attribution-models: Markov of order 1. It takes one row per journey, so paths are repeated."""

import json
import sys
from importlib.metadata import version

import pandas as pd
from marketing_attribution_models import MAM

paths = pd.read_csv(sys.argv[1])
rows = []
for outcome, column in ((True, "conversions"), (False, "nulls")):
    again = paths.loc[paths.index.repeat(paths[column].round().astype(int)), ["path"]]
    rows.append(again.assign(outcome=outcome))
journeys = pd.concat(rows, ignore_index=True)
journeys["journey"] = [f"id:{i}" for i in range(len(journeys))]
model = MAM(
    journeys,
    group_channels=False,
    channels_colname="path",
    journey_with_conv_colname="outcome",
    group_channels_by_id_list=["journey"],
    path_separator=" > ",
)
_, by_channel, *_ = model.attribution_markov(transition_to_same_state=False)
credit = dict(zip(by_channel.iloc[:, 0], by_channel.iloc[:, 1].astype(float), strict=True))
answer = {
    "name": "marketing-attribution-models",
    "version": version("marketing-attribution-models"),
    "conventions": "Markov order 1, no moves to the same state, null paths counted",
    "credit": {str(channel): value for channel, value in credit.items()},
}
with open(sys.argv[2], "w") as file:
    json.dump(answer, file)

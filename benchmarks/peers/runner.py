"""Runs one peer on a file of aggregated paths; started by the interpreter of the peers' environment, without ours.

python runner.py PEER FILE SETTINGS; the settings are a JSON object. Prints a JSON object in its last line: seconds of
wall and CPU for reading and for the model (interpreter and imports come before the clock), and what the peer found by
channel.
"""

import json
import sys
import time

import numpy as np
import pandas as pd


def channel_attribution(data, settings):
    from ChannelAttribution import markov_model

    def run():
        return markov_model(
            data,
            "path",
            "total_conversions",
            var_value="total_conversion_value",
            var_null="total_null",
            out_more=True,
            sep=">",
            verbose=False,
            flg_pro=False,
            **settings,
        )

    def found(result):
        effects = result["removal_effects"]
        return {
            "effects": dict(zip(effects.iloc[:, 0], effects["removal_effects_conversion"], strict=True)),
            "conversions": dict(zip(result["result"].iloc[:, 0], result["result"]["total_conversions"], strict=True)),
        }

    return run, found


def do_attribution(data, settings):
    from do_attribution import MarkovAttribution

    def run():
        rows = one_outcome_a_row(data)
        model = MarkovAttribution(**settings)
        return model.fit(rows["path"], rows["converts"], weights=rows["times"])

    return run, lambda result: {
        "effects": {name: float(effect) for name, effect in result["removal_effects"].items()},
        "p_conversion": float(result["total_conversion_probability"]),
    }


def mam(data, settings):
    from mam import MAM

    def run():
        rows = one_outcome_a_row(data)
        model = MAM(rows, "grouped_journey", "path", "converts", occurrences_colname="times")
        return getattr(model, settings.pop("run", "run_markov"))(**settings)

    def found(result):
        credit = result.to_polars()
        conversions = dict(zip(credit["channels"].to_list(), credit["attribution"].to_list(), strict=True))
        if "removal_effect" not in result.metadata:
            return {"conversions": conversions}
        effects = result.metadata["removal_effect"]["removal_effect"]
        return {"effects": effects.to_dict(), "conversions": conversions}

    return run, found


def one_outcome_a_row(data):
    """Conversions and nulls of a path as rows of their own, as these peers want them."""
    converts = data[data["total_conversions"] > 0]
    nulls = data[data["total_null"] > 0]
    return pd.DataFrame(
        {
            "path": np.concatenate([converts["path"], nulls["path"]]),
            "converts": np.repeat([1, 0], [len(converts), len(nulls)]),
            "times": np.concatenate([converts["total_conversions"], nulls["total_null"]]),
        }
    )


PEERS = {"ChannelAttribution": channel_attribution, "do-attribution": do_attribution, "MAM": mam}


def main(peer, file, settings):
    if peer == "none":  # whether all can be imported
        import ChannelAttribution  # noqa: F401
        import do_attribution  # noqa: F401
        import mam  # noqa: F401

        return {}
    prepare = PEERS[peer]
    prepare(pd.DataFrame(), {})  # imports it
    if seeds := settings.pop("seeds", []):  # of a simulation: the effects by each, untimed
        data = pd.read_csv(file, sep=";")
        runs = [prepare(data, {**settings, "seed": seed}) for seed in seeds]
        return {"runs": [found(run())["effects"] for run, found in runs]}
    start, cpu = time.perf_counter(), time.process_time()
    data = pd.read_csv(file, sep=";")
    read, read_cpu = time.perf_counter(), time.process_time()
    run, found = prepare(data, dict(settings))
    result = run()
    end, end_cpu = time.perf_counter(), time.process_time()
    return {
        "read": read - start,
        "model": end - read,
        "read_cpu": read_cpu - cpu,
        "model_cpu": end_cpu - read_cpu,
        **found(result),
    }


if __name__ == "__main__":
    print()
    print(json.dumps(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])), default=float))

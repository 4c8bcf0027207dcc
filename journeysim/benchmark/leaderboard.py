"""The leaderboard: rows of a benchmark as one line per world, method and sample size, and as tables for readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from journeysim.benchmark.rows import CRASHED, ENDINGS, SKIPPED
from journeysim.benchmark.scoring import METRICS
from journeysim.scores import seed_spread

if TYPE_CHECKING:
    from pathlib import Path

RANDOM: Final = "random-"
"""How the names of worlds begin that were drawn at random."""

TIED: Final = 1.96
"""Standard errors within which two methods cannot be told apart: by chance 5% of the time, for each pair."""

COMPARED: Final = (
    "share_error",
    "share_error_shapley",
    "worst_channel",
    "rank_agreement",
    "top_1",
    "return_rank_agreement",
    "coverage",
    "interval_width",
    "budget_regret",
    "budget_regret_relative",
    "seed_spread",
)
"""Numbers that a fresh run must find again; seconds and memory are the machine's."""


def summary(rows: pl.DataFrame) -> pl.DataFrame:
    """One line per world, method and number of customers: means over seeds.

    Columns: world, method, settings, customers, seeds (that ran), every metric of `scoring.METRICS` but the biases of
    channels, share_error_se (standard error over seeds), seed_spread, seconds (median), memory (most), version, reason
    (why some were skipped or crashed).
    """
    by = ["world", "method", "settings", "customers"]
    plain = rows.filter((pl.col("channel") == "") & ~pl.col("metric").is_in(ENDINGS))
    means = plain.pivot("metric", index=by, values="value", aggregate_function="mean")
    for name in METRICS:
        if name != "bias" and name not in means.columns:
            means = means.with_columns(pl.lit(None, pl.Float64).alias(name))
    errors = (
        plain.filter(metric="share_error")
        .group_by(by)
        .agg(share_error_se=pl.col("value").std() / pl.len().sqrt(), seeds=pl.len())
    )
    ends = rows.filter(pl.col("metric").is_in(ENDINGS))
    runs = ends.group_by(by, maintain_order=True).agg(
        pl.col("seconds").median(),
        pl.col("memory").max(),
        pl.col("version").last(),
        pl.col("reason").filter(pl.col("reason") != "").first().fill_null(""),
        ending=pl.col("metric").filter(pl.col("metric").is_in([SKIPPED, CRASHED])).first().fill_null(""),
    )
    found = runs
    for more in (means, errors, _spread(rows, by)):
        found = found.join(more, on=by, how="left", maintain_order="left")
    reason = pl.when(pl.col("ending") == "").then("reason").otherwise(pl.concat_str("ending", pl.lit(": "), "reason"))
    metrics = [name for name in METRICS if name != "bias"]
    order = [*by, "seeds", *metrics, "share_error_se", "seed_spread", "seconds", "memory", "version", "reason"]
    return found.with_columns(pl.col("seeds").fill_null(0), reason=reason).select(order)


def _spread(rows: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """How much the answers of the seeds differ: biases of channels differ as the shares do."""
    found = []
    for key, group in rows.filter(metric="bias").group_by(by, maintain_order=True):
        shares = group.pivot("channel", index="seed", values="value").drop("seed").to_numpy()
        found.append((*key, seed_spread(shares)))
    schema = {name: rows.schema[name] for name in by} | {"seed_spread": pl.Float64}
    return pl.DataFrame(found, schema=schema, orient="row").with_columns(pl.col("seed_spread").fill_nan(None))


def overall(table: pl.DataFrame, customers: int) -> pl.DataFrame:
    """One line per method at one sample size: means over worlds, each counted once; best share error first.

    A method is placed by the worlds that it could do; `worlds` says how many these are. `rank` is that of the best
    method from which it cannot be told (`_ranks`), so that those with one rank are tied.
    """
    part = table.filter((pl.col("customers") == customers) & (pl.col("seeds") > 0)).with_columns(
        drawn=pl.col("world").str.starts_with(RANDOM)
    )
    mean = [
        "share_error_shapley",
        "rank_agreement",
        "top_1",
        "coverage",
        "interval_width",
        "budget_regret",
        "budget_regret_relative",
        "seed_spread",
    ]
    board = (
        part.group_by("method")
        .agg(
            pl.len().alias("worlds"),
            pl.col("share_error").mean(),
            pl.col("share_error").filter(~pl.col("drawn")).mean().alias("named_worlds"),
            pl.col("share_error").filter("drawn").mean().alias("random_worlds"),
            pl.col("share_error").max().alias("worst_world"),
            *(pl.col(name).mean() for name in mean),
            pl.col("seconds").median(),
        )
        .sort("share_error", "method")
    )
    return board.insert_column(0, pl.Series("rank", _ranks(part, board["method"].to_list()), dtype=pl.Int64))


def _ranks(part: pl.DataFrame, methods: list[str]) -> list[int]:
    """Ranks of methods, best first: the one below shares a rank unless its share errors exceed the leader's.

    That is judged by the differences in the worlds that both could do: their mean must be more than `TIED` of its
    standard errors, over worlds, above 0. In a single world the standard errors over seeds take their place.
    """
    errors = {
        method: {world: (value, error or 0.0) for world, value, error in group.iter_rows()}
        for (method,), group in part.select("method", "world", "share_error", "share_error_se")
        .drop_nulls("share_error")
        .partition_by("method", as_dict=True, include_key=False)
        .items()
    }
    ranks: list[int] = []
    leader = 0
    for place, method in enumerate(methods):
        first, mine = errors[methods[leader]], errors[method]
        pairs = [(mine[world], first[world]) for world in first if world in mine]
        apart = np.array([one[0] - other[0] for one, other in pairs])
        if len(apart) > 1:
            error = float(apart.std(ddof=1) / np.sqrt(len(apart)))
        else:
            error = float(sum(np.hypot(one[1], other[1]) for one, other in pairs))
        if len(apart) and apart.mean() > TIED * error + 1e-12:
            leader = place
        ranks.append(leader + 1)
    return ranks


def matrix(table: pl.DataFrame, customers: int, metric: str = "share_error") -> pl.DataFrame:
    """A row per method, best first, and a column per world; beside named worlds, random ones are one, their mean."""
    part = table.filter(pl.col("customers") == customers)
    drawn = pl.col("world").str.starts_with(RANDOM)
    if not part.select(drawn.all()).item():
        part = part.with_columns(world=pl.when(drawn).then(pl.lit("random worlds")).otherwise("world"))
    order = overall(table, customers).select("method")
    wide = part.pivot("world", index="method", values=metric, aggregate_function="mean")
    return order.join(wide, on="method", how="left", maintain_order="left")


def by_customers(table: pl.DataFrame, metric: str = "share_error") -> pl.DataFrame:
    """A row per method and a column per sample size: means over the worlds that the method could do at every size."""
    sizes = table["customers"].n_unique()
    known = table.filter(pl.col(metric).is_not_null())
    whole = known.group_by("method", "world").len().filter(pl.col("len") == sizes).select("method", "world")
    part = known.join(whole, on=["method", "world"], how="semi").sort("customers")
    wide = part.pivot("customers", index="method", values=metric, aggregate_function="mean")
    return wide.sort(wide.columns[-1], "method")


def biases(rows: pl.DataFrame, customers: int) -> pl.DataFrame:
    """Mean signed bias by world, method and channel: `world, method, channel, bias`."""
    part = rows.filter((pl.col("metric") == "bias") & (pl.col("customers") == customers))
    return part.group_by("world", "method", "channel", maintain_order=True).agg(bias=pl.col("value").mean())


def refusals(table: pl.DataFrame) -> pl.DataFrame:
    """What was skipped or crashed and why: `method, customers, worlds, reason`."""
    part = table.filter(pl.col("reason") != "")
    return part.group_by("method", "customers", "reason", maintain_order=True).agg(
        worlds=pl.col("world").str.join(", ")
    )


def differences(fresh: pl.DataFrame, committed: pl.DataFrame, tolerance: float) -> pl.DataFrame:
    """Where two summaries disagree: `world, method, customers, metric, fresh, committed`, also where one has no number.

    Only worlds and methods of the fresh one are compared. Both come from the same draws, so the tolerance is for
    arithmetic that differs between machines, not for luck.
    """
    by = ["world", "method", "settings", "customers"]
    long = [t.unpivot([*COMPARED], index=by, variable_name="metric", value_name="value") for t in (fresh, committed)]
    both = long[0].join(long[1], on=[*by, "metric"], how="left", suffix="_committed", nulls_equal=True)
    one, other = pl.col("value"), pl.col("value_committed")
    apart = (one.is_null() != other.is_null()) | ((one - other).abs() > tolerance).fill_null(value=False)
    return both.filter(apart).rename({"value": "fresh", "value_committed": "committed"})


def markdown(frame: pl.DataFrame, digits: int = 3) -> str:
    """A frame as a Markdown table; no number is –."""
    lines = ["| " + " | ".join(name.replace("_", " ") for name in frame.columns) + " |", "|---" * frame.width + "|"]
    lines += ["| " + " | ".join(_cell(value, digits) for value in row) + " |" for row in frame.iter_rows()]
    return "\n".join(lines)


def _cell(value: object, digits: int) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")


def write_summary(table: pl.DataFrame, path: Path) -> None:
    """As CSV, numbers to five digits, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    numbers = [name for name, type_ in table.schema.items() if type_ == pl.Float64]
    table.with_columns(pl.col(numbers).round(5)).write_csv(unfinished)
    unfinished.replace(path)


def read_summary(path: Path) -> pl.DataFrame:
    """What `write_summary` wrote."""
    words = dict.fromkeys(("world", "method", "settings", "version", "reason"), pl.String)
    whole = dict.fromkeys(("customers", "seeds"), pl.Int64)
    table = pl.read_csv(path, schema_overrides={**words, **whole}, infer_schema_length=None)
    numbers = [name for name in table.columns if name not in words and name not in whole]
    return table.with_columns(pl.col([*words]).fill_null(""), pl.col(numbers).cast(pl.Float64))

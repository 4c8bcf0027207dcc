"""Forecasts by simulation: for scenarios that change more than stages, over worlds drawn from a posterior."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from journeysim.errors import InputError
from journeysim.forecasts.asked import listed
from journeysim.forecasts.result import RETAINED, Forecast, Measures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from journeysim.scenario import Scenario
    from journeysim.simulation.whatif import SimulatedChange
    from journeysim.spec import World

    FloatArray = NDArray[np.float64]

AMOUNTS = ("purchases", "revenue", "cost", "profit", "clv")


def forecast_worlds(
    worlds: Sequence[Mapping[str, World]],
    weights: FloatArray,
    scenarios: Scenario | Sequence[Scenario],
    *,
    n_customers: int,
    conversion_days: float,
    retention_days: float,
    seed: int,
    yearly_discount: float = 0.0,
    on_progress: Callable[[int], None] | None = None,
) -> Forecast:
    """Simulate baseline and scenarios in every world of a posterior; the result is that of `forecast`.

    Within a draw and segment, baseline and scenarios are simulated on common random numbers; draws and segments are
    independent. The spread of differences between draws is what is not known plus Monte Carlo noise; the noise is
    estimated from the standard errors of the simulations, reported, and taken off (`Forecast.difference`). Segments
    are simulated each by itself: nothing passes between them, neither word of mouth nor a queue at a desk. Purchases
    and money are over conversion_days + retention_days.

    Parameters
    ----------
    worlds : (N,) for each draw, the world of each of G segments, the same names in each draw
    weights : (N, G) shares of segments, in the order of the names
    n_customers : simulated per draw, segment and version of the world
    yearly_discount : of clv, as in `forecast`
    on_progress : called with the number of draws that are finished

    Raises
    ------
    InputError : there are fewer than two draws, no scenario, names or weights do not fit, or as `simulate_changes`
    """
    from journeysim.simulation.whatif import simulate_changes

    scenarios = listed(scenarios)
    segments, shares, seeds = draws_of_worlds(worlds, weights, scenarios, seed)
    found: list[list[list[SimulatedChange]]] = []
    for n, draw in enumerate(worlds):
        found.append(
            [
                simulate_changes(
                    draw[segment],
                    scenarios,
                    n_customers=n_customers,
                    conversion_days=conversion_days,
                    retention_days=retention_days,
                    seed=int(seeds[n, g]),
                    yearly_discount=yearly_discount,
                )
                for g, segment in enumerate(segments)
            ]
        )
        if on_progress is not None:
            on_progress(n + 1)

    def values(field: str, k: int) -> FloatArray:
        """(N, G) of scenario k."""
        return np.array([[getattr(segment[k], field) for segment in draw] for draw in found], dtype=np.float64)

    def measures(k: int, changed: bool) -> Measures:
        by_segment = {
            name: values(f"{name}_baseline", k) + (values(name, k) if changed else 0.0)
            for name in ("conversion", "retention", *AMOUNTS)
        }
        bought = shares * by_segment["conversion"]
        kept = np.where(bought > 0, bought * by_segment["retention"], 0.0)
        conversion = bought.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            retention = kept.sum(axis=1) / conversion
        more = {name: (shares * by_segment[name]).sum(axis=1) for name in AMOUNTS}
        return Measures(conversion, retention, more, by_segment)

    noise, by_segment = {}, {}
    for k, scenario in enumerate(scenarios):
        for name in ("conversion", "retained", *AMOUNTS):
            told = RETAINED if name == "retained" else name
            errors = values(f"{name}_error", k)
            noise[scenario.name, told] = _root_mean((shares * errors) ** 2)
            by_segment[scenario.name, told] = np.sqrt((errors**2).mean(axis=0))
        errors = values("retention_error", k)
        by_segment[scenario.name, "retention"] = np.sqrt((errors**2).mean(axis=0))
        # retention weighs segments by who converts; that these weights are simulated too is of second order
        bought = shares * (values("conversion_baseline", k) + values("conversion", k))
        with np.errstate(invalid="ignore", divide="ignore"):
            by_buyers = bought / bought.sum(axis=1, keepdims=True)
        errors = np.where(bought > 0, by_buyers * errors, 0.0)
        noise[scenario.name, "retention"] = _root_mean(errors**2)
    return Forecast(
        conversion_days=conversion_days,
        retention_days=retention_days,
        baseline=measures(0, changed=False),
        scenarios=tuple(scenario.name for scenario in scenarios),
        changed=tuple(measures(k, changed=True) for k in range(len(scenarios))),
        unseen=((),) * len(scenarios),
        segments=segments,
        horizon_days=conversion_days + retention_days,
        currency=next(iter(worlds[0].values())).currency,
        source="simulated",
        noise=noise,
        noise_by_segment=by_segment,
    )


def draws_of_worlds(
    worlds: Sequence[Mapping[str, World]], weights: FloatArray, scenarios: Sequence[Scenario], seed: int
) -> tuple[tuple[str, ...], FloatArray, NDArray[np.uint32]]:
    """Names of the G segments, their shares (N, G) and a seed for each (N, G), once they are known to fit together.

    Raises
    ------
    InputError : as `forecast_worlds`
    """
    if len(worlds) < 2:
        raise InputError(f"forecast_worlds needs two draws of a world at least, got {len(worlds)}.")
    if not scenarios:
        raise InputError("forecast_worlds: no scenario is given; pass one or more.")
    segments = tuple(worlds[0])
    if odd := [n for n, draw in enumerate(worlds) if tuple(draw) != segments]:
        raise InputError(f"forecast_worlds: draw {odd[0]} has segments {', '.join(worlds[odd[0]])}, draw 0 others.")
    shares = np.asarray(weights, dtype=np.float64)
    if (
        shares.shape != (len(worlds), len(segments))
        or not ((shares >= 0) & (shares < np.inf)).all()
        or not (shares.sum(axis=1) > 0).all()
    ):
        raise InputError(
            f"forecast_worlds: weights have shape {shares.shape}; they must be {len(worlds)} draws x {len(segments)} "
            "segments of shares >= 0 with a positive sum."
        )
    shares = shares / shares.sum(axis=1, keepdims=True)
    seeds = np.random.SeedSequence(seed).generate_state(len(worlds) * len(segments)).reshape(shares.shape)
    return segments, shares, seeds


def _root_mean(variances: FloatArray) -> float:
    """The noise of a draw, of (N, G) variances that segments add."""
    return float(np.sqrt(variances.sum(axis=1).mean()))

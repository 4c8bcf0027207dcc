"""What is asked: scenarios, one or many, and of what; things that cannot be answered are told where they can be."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from journeysim.errors import InputError
from journeysim.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Iterable


def listed(scenarios: Scenario | Iterable[Scenario]) -> tuple[Scenario, ...]:
    """The scenarios, of one or of many.

    Raises
    ------
    InputError : one is something else, or two share a name
    """
    some = (scenarios,) if isinstance(scenarios, Scenario) else tuple(scenarios)
    for other in (one for one in some if not isinstance(one, Scenario)):
        raise InputError(
            f"scenarios holds a {type(other).__name__}, {other!r}; make scenarios with improve_stage, drop_channel or "
            "another lever, or read them with Scenario.from_yaml."
        )
    if twice := [name for name, times in Counter(scenario.name for scenario in some).items() if times > 1]:
        raise InputError(f"Two scenarios share a name, {twice[0]!r}; give each its own.")
    return some


def require_stages(source: object) -> None:
    """Raise InputError, saying what to call instead, if this is not a posterior of a stage model."""
    if hasattr(source, "hazards_in_bins"):
        return
    from journeysim.bayes.influence_posterior import InfluencePosterior
    from journeysim.bayes.retention.posterior import RetentionPosterior
    from journeysim.events import EventLog

    kind = type(source).__name__
    if hasattr(source, "worlds"):
        instead = (
            "Its worlds are simulated: forecast(twin, scenarios, ...), or when gains arrive: "
            "gains_over_time_of_worlds(*twin.worlds(100, seed=1), scenarios, days, n_customers=2_000, seed=1)"
        )
    elif isinstance(source, InfluencePosterior):
        instead = (
            "It knows moves and contacts, not baskets, costs and who starts where: fit a twin of the log, "
            "twin = fit_world(log, seed=1), and ask forecast(twin, scenarios, ...)"
        )
    elif isinstance(source, RetentionPosterior):
        instead = "It has answers of its own: what_if(...) changes its parameters or covariates"
    elif isinstance(source, EventLog):
        instead = (
            "Fit it first: StageModel().fit(to_stage_history(log), seed=1) for scenarios of stages, or "
            "fit_world(log, seed=1) for any scenario"
        )
    else:
        instead = "Give what StageModel.fit or fit_world returns; a world is simulated with simulate_changes"
    raise InputError(f"forecast: {kind} is no posterior of a stage model. {instead}.")

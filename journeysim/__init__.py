"""journeysim: simulate customer journeys, attribute conversions to channels, forecast what an improvement would do.

Every public name is loaded when it is first used (SPEC 1), so that importing the package is quick and loads neither a
sampler nor a compiler nor a plotting library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from journeysim.version import __version__

if TYPE_CHECKING:
    from journeysim import worlds
    from journeysim.attribution import (
        Attribution,
        CalibratedAttribution,
        Comparison,
        Drift,
        LiftTest,
        RemovalEffect,
        Returns,
        TimeDecay,
        UncertainAttribution,
        attribute,
        bootstrap_attribution,
        calibrate,
        compare,
        costs_of,
        drift,
        journeys_between,
        journeys_by_period,
        journeys_by_segment,
        method_table,
        methods,
        posterior_attribution,
        read_costs,
        read_lift_tests,
        register,
        returns,
    )
    from journeysim.bayes import (
        HiddenPersonasChoice,
        InfluenceModel,
        InfluencePosterior,
        Posterior,
        RetentionChange,
        RetentionModel,
        StageModel,
        choose_hidden_personas,
        to_cohorts,
        to_purchase_history,
    )
    from journeysim.benchmark import read_grid, run_benchmark
    from journeysim.errors import InputError
    from journeysim.event_map import EventMap, read_events
    from journeysim.events import EventLog
    from journeysim.forecasts import (
        Cost,
        Decision,
        Forecast,
        GainsOverTime,
        choose_within_budget,
        decide,
        forecast,
        forecast_worlds,
        gains_over_time,
        gains_over_time_of_worlds,
    )
    from journeysim.influence_history import InfluenceHistory, to_influence_history
    from journeysim.interop import journeys_from_paths, read_paths
    from journeysim.journeys import Journeys, to_journeys
    from journeysim.log_directory import LogDirectory, scan_log
    from journeysim.log_files import read_log, write_csv, write_log
    from journeysim.markov import OrderChoice, choose_order
    from journeysim.panel_history import PanelHistory, to_panel_history
    from journeysim.scenario import (
        Scenario,
        StageChange,
        change_cost,
        change_mix,
        change_pain_point,
        change_price,
        change_pull,
        change_word_of_mouth,
        combine,
        drop_channel,
        fix_pain_point,
        improve_stage,
        reschedule,
        retarget,
        scale_channel,
        staff_desk,
        undo,
    )
    from journeysim.simulation import (
        Truth,
        closed_form_effects,
        incremental_effects,
        simulate,
        simulate_changes,
        simulate_to,
        truth,
    )
    from journeysim.spec import World
    from journeysim.stage_covariates import ContactCount, ContactRecency, PainMet, Satisfaction
    from journeysim.stage_history import StageHistory, to_stage_history
    from journeysim.stage_money import StageMoney, to_stage_money
    from journeysim.twin import (
        DigitalTwin,
        Twin,
        TwinCheck,
        TwinEffects,
        check_twin,
        fit_world,
        twin_attribution,
        worlds_from,
    )

_HOMES = {
    "attribution": (
        "Attribution",
        "CalibratedAttribution",
        "Comparison",
        "Drift",
        "LiftTest",
        "RemovalEffect",
        "Returns",
        "TimeDecay",
        "UncertainAttribution",
        "attribute",
        "bootstrap_attribution",
        "calibrate",
        "compare",
        "costs_of",
        "drift",
        "journeys_between",
        "journeys_by_period",
        "journeys_by_segment",
        "method_table",
        "methods",
        "posterior_attribution",
        "read_costs",
        "read_lift_tests",
        "register",
        "returns",
    ),
    "bayes": (
        "HiddenPersonasChoice",
        "InfluenceModel",
        "InfluencePosterior",
        "Posterior",
        "RetentionChange",
        "RetentionModel",
        "StageModel",
        "choose_hidden_personas",
        "to_cohorts",
        "to_purchase_history",
    ),
    "benchmark": (
        "read_grid",
        "run_benchmark",
    ),
    "errors": ("InputError",),
    "event_map": (
        "EventMap",
        "read_events",
    ),
    "events": ("EventLog",),
    "forecasts": (
        "Cost",
        "Decision",
        "Forecast",
        "GainsOverTime",
        "choose_within_budget",
        "decide",
        "forecast",
        "forecast_worlds",
        "gains_over_time",
        "gains_over_time_of_worlds",
    ),
    "influence_history": (
        "InfluenceHistory",
        "to_influence_history",
    ),
    "interop": (
        "journeys_from_paths",
        "read_paths",
    ),
    "journeys": (
        "Journeys",
        "to_journeys",
    ),
    "log_directory": (
        "LogDirectory",
        "scan_log",
    ),
    "log_files": (
        "read_log",
        "write_csv",
        "write_log",
    ),
    "markov": (
        "OrderChoice",
        "choose_order",
    ),
    "panel_history": (
        "PanelHistory",
        "to_panel_history",
    ),
    "scenario": (
        "Scenario",
        "StageChange",
        "change_cost",
        "change_mix",
        "change_pain_point",
        "change_price",
        "change_pull",
        "change_word_of_mouth",
        "combine",
        "drop_channel",
        "fix_pain_point",
        "improve_stage",
        "reschedule",
        "retarget",
        "scale_channel",
        "staff_desk",
        "undo",
    ),
    "simulation": (
        "Truth",
        "closed_form_effects",
        "incremental_effects",
        "simulate",
        "simulate_changes",
        "simulate_to",
        "truth",
    ),
    "spec": ("World",),
    "stage_covariates": (
        "ContactCount",
        "ContactRecency",
        "PainMet",
        "Satisfaction",
    ),
    "stage_history": (
        "StageHistory",
        "to_stage_history",
    ),
    "stage_money": (
        "StageMoney",
        "to_stage_money",
    ),
    "twin": (
        "DigitalTwin",
        "Twin",
        "TwinCheck",
        "TwinEffects",
        "check_twin",
        "fit_world",
        "twin_attribution",
        "worlds_from",
    ),
}
_MODULES = ("worlds",)
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Attribution",
    "CalibratedAttribution",
    "Comparison",
    "ContactCount",
    "ContactRecency",
    "Cost",
    "Decision",
    "DigitalTwin",
    "Drift",
    "EventLog",
    "EventMap",
    "Forecast",
    "GainsOverTime",
    "HiddenPersonasChoice",
    "InfluenceHistory",
    "InfluenceModel",
    "InfluencePosterior",
    "InputError",
    "Journeys",
    "LiftTest",
    "LogDirectory",
    "OrderChoice",
    "PainMet",
    "PanelHistory",
    "Posterior",
    "RemovalEffect",
    "RetentionChange",
    "RetentionModel",
    "Returns",
    "Satisfaction",
    "Scenario",
    "StageChange",
    "StageHistory",
    "StageModel",
    "StageMoney",
    "TimeDecay",
    "Truth",
    "Twin",
    "TwinCheck",
    "TwinEffects",
    "UncertainAttribution",
    "World",
    "__version__",
    "attribute",
    "bootstrap_attribution",
    "calibrate",
    "change_cost",
    "change_mix",
    "change_pain_point",
    "change_price",
    "change_pull",
    "change_word_of_mouth",
    "check_twin",
    "choose_hidden_personas",
    "choose_order",
    "choose_within_budget",
    "closed_form_effects",
    "combine",
    "compare",
    "costs_of",
    "decide",
    "drift",
    "drop_channel",
    "fit_world",
    "fix_pain_point",
    "forecast",
    "forecast_worlds",
    "gains_over_time",
    "gains_over_time_of_worlds",
    "improve_stage",
    "incremental_effects",
    "journeys_between",
    "journeys_by_period",
    "journeys_by_segment",
    "journeys_from_paths",
    "method_table",
    "methods",
    "posterior_attribution",
    "read_costs",
    "read_events",
    "read_grid",
    "read_lift_tests",
    "read_log",
    "read_paths",
    "register",
    "reschedule",
    "retarget",
    "returns",
    "run_benchmark",
    "scale_channel",
    "scan_log",
    "simulate",
    "simulate_changes",
    "simulate_to",
    "staff_desk",
    "to_cohorts",
    "to_influence_history",
    "to_journeys",
    "to_panel_history",
    "to_purchase_history",
    "to_stage_history",
    "to_stage_money",
    "truth",
    "twin_attribution",
    "undo",
    "worlds",
    "worlds_from",
    "write_csv",
    "write_log",
]


def __getattr__(name: str) -> object:
    if name in _HOME_OF:
        return getattr(import_module(f"journeysim.{_HOME_OF[name]}"), name)
    if name in _MODULES:
        return import_module(f"journeysim.{name}")
    raise AttributeError(f"module 'journeysim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

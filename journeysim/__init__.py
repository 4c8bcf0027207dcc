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
    from journeysim.attribution import Attribution, RemovalEffect, TimeDecay, attribute, methods
    from journeysim.bayes import Posterior, StageModel
    from journeysim.benchmark import read_grid, run_benchmark
    from journeysim.errors import InputError
    from journeysim.event_map import EventMap, read_events
    from journeysim.events import EventLog
    from journeysim.forecasts import Forecast, forecast
    from journeysim.interop import journeys_from_paths, read_paths
    from journeysim.journeys import Journeys, to_journeys
    from journeysim.log_directory import LogDirectory, scan_log
    from journeysim.log_files import read_log, write_csv, write_log
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
    from journeysim.simulation import Truth, incremental_effects, simulate, simulate_changes, simulate_to, truth
    from journeysim.spec import World
    from journeysim.stage_history import StageHistory, to_stage_history

_HOMES = {
    "attribution": ("Attribution", "RemovalEffect", "TimeDecay", "attribute", "methods"),
    "bayes": ("Posterior", "StageModel"),
    "benchmark": ("read_grid", "run_benchmark"),
    "errors": ("InputError",),
    "event_map": ("EventMap", "read_events"),
    "events": ("EventLog",),
    "forecasts": ("Forecast", "forecast"),
    "interop": ("journeys_from_paths", "read_paths"),
    "journeys": ("Journeys", "to_journeys"),
    "log_directory": ("LogDirectory", "scan_log"),
    "log_files": ("read_log", "write_csv", "write_log"),
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
    "simulation": ("Truth", "incremental_effects", "simulate", "simulate_changes", "simulate_to", "truth"),
    "spec": ("World",),
    "stage_history": ("StageHistory", "to_stage_history"),
}
_MODULES = ("worlds",)
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Attribution",
    "EventLog",
    "EventMap",
    "Forecast",
    "InputError",
    "Journeys",
    "LogDirectory",
    "Posterior",
    "RemovalEffect",
    "Scenario",
    "StageChange",
    "StageHistory",
    "StageModel",
    "TimeDecay",
    "Truth",
    "World",
    "__version__",
    "attribute",
    "change_cost",
    "change_mix",
    "change_pain_point",
    "change_price",
    "change_pull",
    "change_word_of_mouth",
    "combine",
    "drop_channel",
    "fix_pain_point",
    "forecast",
    "improve_stage",
    "incremental_effects",
    "journeys_from_paths",
    "methods",
    "read_events",
    "read_grid",
    "read_log",
    "read_paths",
    "reschedule",
    "retarget",
    "run_benchmark",
    "scale_channel",
    "scan_log",
    "simulate",
    "simulate_changes",
    "simulate_to",
    "staff_desk",
    "to_journeys",
    "to_stage_history",
    "truth",
    "undo",
    "worlds",
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

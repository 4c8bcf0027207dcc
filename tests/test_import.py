import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"arviz", "matplotlib", "numba", "nutpie", "pymc", "pytensor"}


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("journeysim", HEAVY | {"pandas"}),
        ("journeysim.spec", HEAVY | {"pandas"}),
        ("journeysim.event_map", HEAVY | {"pandas"}),
        ("journeysim.log_files", HEAVY | {"pandas"}),
        ("journeysim.journeys", HEAVY | {"pandas"}),
        ("journeysim.stage_history", HEAVY | {"pandas"}),
        ("journeysim.scenario", HEAVY | {"pandas"}),
        ("journeysim.world_tables", HEAVY | {"pandas"}),
        ("journeysim.forecasts", HEAVY | {"pandas"}),
    ],
)
def test_importing_loads_nothing_heavy(module, forbidden):
    script = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert not forbidden & {*loaded.split()}


def test_every_public_name_is_reached_from_the_package_alone():
    script = "import journeysim; print({*journeysim.__all__} <= {*dir(journeysim)}, journeysim.worlds.names())"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    packaged = sorted(file.stem for file in (Path(__file__).parents[1] / "journeysim" / "worlds").glob("*.yaml"))
    assert "considered-purchase" in packaged
    assert said == f"True {(*packaged,)}\n"

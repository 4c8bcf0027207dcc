import subprocess
import sys

import pytest

HEAVY = {"arviz", "matplotlib", "numba", "nutpie", "pymc", "pytensor"}


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("journeysim", HEAVY | {"pandas"}),
        ("journeysim.spec", HEAVY | {"pandas"}),
        ("journeysim.event_map", HEAVY | {"pandas"}),
        ("journeysim.journeys", HEAVY | {"pandas"}),
        ("journeysim.stage_history", HEAVY | {"pandas"}),
        ("journeysim.scenario", HEAVY | {"pandas"}),
        ("journeysim.forecasts", HEAVY | {"pandas"}),
    ],
)
def test_importing_loads_nothing_heavy(module, forbidden):
    script = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert not forbidden & {*loaded.split()}

"""The peers' interpreter: asked for one result at a time."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

RUNNER = Path(__file__).parent / "runner.py"
INSTALL = "make bench-peers makes the environment; or give an interpreter that has benchmarks/peers/requirements.txt"


def missing(interpreter: str | None) -> str | None:
    """Why the peers cannot run, or None if they can."""
    if interpreter is None:
        return f"no interpreter was given. {INSTALL}"
    try:
        ask(interpreter, "none", Path())
    except (OSError, RuntimeError) as error:
        return f"{error}. {INSTALL}"
    return None


def ask(interpreter: str, peer: str, file: Path, **settings: object) -> dict:
    """What the runner prints. Raises RuntimeError with the peer's own last words if it fails."""
    command = [interpreter, str(RUNNER), peer, str(file), json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{peer} failed: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
    return json.loads(done.stdout.strip().splitlines()[-1])

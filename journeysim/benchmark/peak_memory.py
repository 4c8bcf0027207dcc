"""How much memory a call needs at its peak, where the system tells."""

from __future__ import annotations

from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def start() -> float | None:
    """Forget the peak so far; resident memory now, MB, or None where the system (all but Linux) does not tell."""
    try:
        _RESET.write_text("5", encoding="ascii")  # 5: set the peak to what is resident now (man 5 proc)
    except OSError:
        return None
    return _field("VmRSS")


def since(start_mb: float | None) -> float | None:
    """MB at the peak since `start`, beyond what was resident then; of the whole process."""
    peak = None if start_mb is None else _field("VmHWM")
    return None if peak is None or start_mb is None else max(peak - start_mb, 0.0)


def _field(name: str) -> float | None:
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return None

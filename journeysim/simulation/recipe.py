"""Recipe: all that determines a simulated log. Equal recipes give equal logs, on any machine and in any pieces."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from journeysim.errors import InputError
from journeysim.events import as_utc, microseconds
from journeysim.spec import World
from journeysim.version import __version__

START = datetime(2026, 1, 1, tzinfo=UTC)
MAX_CUSTOMERS = 2**40
MAX_DAYS = 36_500.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to simulate: a world, how many customers, for how many days, from which seed and date on.

    Raises
    ------
    InputError : a number is out of its range
    """

    world: World
    n_customers: int
    horizon_days: float
    seed: int
    start: datetime = START

    def __post_init__(self) -> None:
        if not isinstance(self.world, World):
            raise InputError(f"world is {self.world!r}; it must be a World, such as worlds.load('aida').")
        whole_number("n_customers", self.n_customers, 1, MAX_CUSTOMERS)
        whole_number("seed", self.seed, 0, 2**64 - 1)
        if not (isinstance(self.horizon_days, int | float | np.number) and 0 < self.horizon_days <= MAX_DAYS):
            raise InputError(f"horizon_days is {self.horizon_days}; it must be above 0 and at most {MAX_DAYS:g}.")
        object.__setattr__(self, "horizon_days", float(self.horizon_days))  # numba would compile anew for an integer
        if not isinstance(self.start, datetime):
            raise InputError(f"start is {self.start!r}; it must be a datetime, such as datetime(2026, 1, 1).")
        try:
            object.__setattr__(self, "start", as_utc(self.start))
            self.start + timedelta(days=self.horizon_days)
        except OverflowError:
            late = f"{self.horizon_days:g} days later there is no calendar"
            raise InputError(f"start is {self.start:%Y-%m-%d}; {late}.") from None

    @property
    def end(self) -> datetime:
        """When the window ends."""
        return self.start + timedelta(days=self.horizon_days)

    @property
    def start_us(self) -> int:
        """Microseconds from the epoch to the start."""
        return microseconds(self.start)

    @property
    def about_log(self) -> dict[str, Any]:
        """All that a log of this recipe says but its rows: the other arguments of an EventLog."""
        return {
            "start": self.start,
            "end": self.end,
            "stages": self.world.stage_names,
            "purchase_stages": self.world.purchase_stages,
            "currency": self.world.currency,
            "provenance": self.provenance,
        }

    @property
    def provenance(self) -> dict[str, str]:
        """Where a log from this recipe comes from."""
        return {
            "world": self.world.name,
            "seed": str(self.seed),
            "horizon_days": repr(self.horizon_days),
            "journeysim": __version__,
        }


def whole_number(name: str, value: Any, least: int, most: int) -> None:
    """Raise InputError if an argument is no whole number from `least` to `most`."""
    if not (isinstance(value, int | np.integer) and least <= value <= most):
        raise InputError(f"{name} is {value}; it must be a whole number from {least} to {most}.")

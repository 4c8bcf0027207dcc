"""Credit: an attribution with all that came of it, of the whole or by segment, as rows and as a record for files."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from journeysim.attribution.money import TOTAL
from journeysim.attribution.sharing import listed
from journeysim.attribution.uncertainty import UncertainAttribution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from journeysim.attribution.base import Attribution
    from journeysim.attribution.calibrated import CalibratedAttribution
    from journeysim.attribution.compare import Comparison
    from journeysim.attribution.money import Returns
    from journeysim.markov import OrderChoice

ALL = "all"


@dataclass(frozen=True, slots=True, eq=False)
class Credit:
    """What one method credits: to all customers together, or to each segment of them.

    Attributes
    ----------
    parts : attribution by segment; only "all" where `by` is None
    by : attribute of the customers that makes the segments
    money : costs and returns by segment; empty without costs
    choice : how the order of the chain was found, if it was
    level : of the intervals, where the attributions have draws
    """

    parts: Mapping[str, Attribution | UncertainAttribution]
    by: str | None = None
    money: Mapping[str, Returns] = field(default_factory=dict)
    choice: OrderChoice | None = None
    level: float = 0.9

    def point(self, part: str) -> Attribution:
        """The attribution of the data themselves."""
        found = self.parts[part]
        return found.point if isinstance(found, UncertainAttribution) else found

    @property
    def method(self) -> str:
        """The method with its settings, in words."""
        point = self.point(next(iter(self.parts)))
        settings = ", ".join(f"{name}={value}" for name, value in point.settings.items())
        return point.method + (f" ({settings})" if settings else "")

    def notes(self) -> list[str]:
        """What a reader should know, each note once; those of a segment after its name."""
        said = [str(self.choice)] if self.choice is not None else []
        for part, found in self.parts.items():
            point = self.point(part)
            notes = [*point.notes]
            if isinstance(found, UncertainAttribution):
                notes += [*found.notes, *outside_note(found, self.level)]
            if point.untouched_conversions:
                notes.append(
                    f"{point.untouched_conversions:,.6g} more conversions (value {point.untouched_value:,.2f}) had no "
                    "touch and are credited to no channel."
                )
            said += [f"{part}: {note}" if self.by else note for note in notes]
        return said

    def rows(self) -> pl.DataFrame:
        """One row per channel, of each segment; the most credited first.

        Columns: segment (where there are such), channel, conversions, value, share, removal_effect; with draws the ends
        of their intervals, `_low` and `_high`, and p_first; with costs also cost, cost_per_conversion, return_on_spend.
        No amount is rounded.
        """
        frames = []
        for part, found in self.parts.items():
            frame = found.to_frame(self.level) if isinstance(found, UncertainAttribution) else found.to_frame()
            if part in self.money:
                money = self.money[part].exact(self.level).filter(pl.col("channel") != TOTAL)
                frame = frame.join(money.drop("conversions", "value"), on="channel", how="left", maintain_order="left")
            frames.append(frame.insert_column(0, pl.Series("segment", [part] * frame.height)) if self.by else frame)
        return pl.concat(frames)

    def totals(self, part: str) -> dict[str, float]:
        """Conversions, value and cost of all channels of a segment, and what had no touch."""
        point = self.point(part)
        totals = {
            "conversions": point.total_conversions,
            "value": point.total_value,
            "untouched_conversions": point.untouched_conversions,
            "untouched_value": point.untouched_value,
        }
        return totals | ({"cost": float(self.money[part].cost.sum())} if part in self.money else {})

    def record(self) -> dict[str, Any]:
        """All of it as a mapping that JSON can hold; numbers that are infinite are None."""
        first = next(iter(self.parts))
        point, found = self.point(first), self.parts[first]
        parts = {part: self.totals(part) for part in self.parts}
        record: dict[str, Any] = {
            "method": point.method,
            "settings": point.settings,
            "totals": {name: math.fsum(totals[name] for totals in parts.values()) for name in parts[first]},
            "notes": self.notes(),
        }
        if isinstance(found, UncertainAttribution):
            record["intervals"] = {
                "level": self.level,
                "draws": found.n_draws,
                "source": found.source,
                "settings": found.settings,
            }
        if self.choice is not None:
            record["order"] = {
                "order": self.choice.order,
                "criterion": self.choice.criterion,
                "curve": _finite(self.choice.curve),
            }
        if self.by:
            record |= {"by": self.by, "segments": parts}
        return record | {"rows": _finite(self.rows())}


def outside_note(found: UncertainAttribution, level: float) -> tuple[str, ...]:
    """A note where intervals do not hold what the data themselves say, or nothing."""
    low, high = found.interval(level, of="share")
    outside = np.flatnonzero((found.point.share < low) | (found.point.share > high))
    if not len(outside):
        return ()
    names = listed(found.channels[c] for c in outside)
    why = (
        "the prior outweighs contexts that were seen a few times. Take a lower order, or the bootstrap."
        if found.source == "posterior"
        else "resamples differ from the data in a way that the method takes up. Do not trust these intervals."
    )
    return (f"Credit lies outside its own {level:.0%} interval for {names}: {why}",)


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """A comparison as a mapping that JSON can hold."""
    first = next(iter(comparison.results.values()))
    return {
        "totals": {
            "conversions": comparison.total_conversions,
            "value": comparison.total_value,
            "untouched_conversions": first.untouched_conversions,
            "untouched_value": first.untouched_value,
        },
        "methods": {
            label: {"method": found.method, "settings": found.settings, "notes": found.notes}
            for label, found in comparison.results.items()
        },
        "refused": comparison.refused,
        "notes": comparison.notes,
        "distances": _finite(comparison.distances()),
        "rows": _finite(comparison.to_frame()),
    }


def calibrated_record(found: CalibratedAttribution, costs: Mapping[str, float] | None) -> dict[str, Any]:
    """Effects before and after lift tests as a mapping that JSON can hold; numbers that are infinite are None."""
    point = found.attribution.point
    tests = found.tests_frame().with_columns(pl.col("start", "end").cast(pl.String))
    return {
        "method": point.method,
        "settings": {**point.settings, **found.settings},
        "totals": {"conversions": point.total_conversions, "untouched_conversions": point.untouched_conversions},
        "effective_draws": found.effective_draws,
        "notes": [*found.notes],
        "tests": _finite(tests),
        **({} if costs is None else {"returns": _finite(found.returns(costs))}),
        "rows": _finite(found.to_frame()),
    }


def _finite(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()}
        for row in frame.iter_rows(named=True)
    ]

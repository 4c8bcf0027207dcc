"""RetentionChange: what an improvement does to customers; RetentionWhatIf: what comes of it, draw by draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from journeysim.bayes.priors import is_number
from journeysim.bayes.retention.draws import central
from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RetentionChange:
    """An improvement, as factors above 0, as in `improve_stage`; 1 changes nothing.

    Attributes
    ----------
    name : for tables
    churn : every customer's probability to leave (at a renewal; after a purchase) is multiplied by this, up to 1
    purchase_rate : every customer's purchases per day are multiplied by this; contracts have no such rate
    spend : values of purchases or renewals are multiplied by this
    segment : the segment that is changed; None for all
    """

    name: str
    churn: float = 1.0
    purchase_rate: float = 1.0
    spend: float = 1.0
    segment: str | None = None

    def __post_init__(self) -> None:
        for what in ("churn", "purchase_rate", "spend"):
            value = getattr(self, what)
            if not (is_number(value) and value > 0):
                raise InputError(
                    f"RetentionChange {self.name!r}: {what} is a factor such as 0.9, above 0, got {value!r}; "
                    "for nearly nothing of it write 0.001."
                )

    def factor(self, what: str, segments: tuple[str, ...]) -> FloatArray:
        """(G,) the factor of each segment.

        Raises
        ------
        InputError : there is no such segment
        """
        if self.segment is not None and self.segment not in segments:
            known = ", ".join(segments)
            raise InputError(f"RetentionChange {self.name!r}: there is no segment {self.segment!r}; found: {known}.")
        chosen = [self.segment in (None, name) for name in segments]
        return np.where(chosen, getattr(self, what), 1.0)


NOTHING = RetentionChange("as it is")
"""The change that changes nothing."""


def check_names(changes: Sequence[RetentionChange]) -> None:
    """Raise InputError unless there are changes, each with a name of its own."""
    names = [change.name for change in changes]
    if not names or len({*names}) < len(names):
        raise InputError(f"what_if: give at least one change, each with a name of its own; got {names}.")


@dataclass(frozen=True, eq=False)
class RetentionWhatIf:
    """Outcomes per customer of each segment, as it is and after each change; each draw is shared by all.

    Attributes
    ----------
    segments : the G segment names
    n_customers : (G,) who is meant, which weighs segments in totals
    changes : in the order in which they were given
    baseline : by outcome (retention, purchases or renewals, value), (D, G)
    changed : the same, by change
    horizon, unit : until when
    """

    segments: tuple[str, ...]
    n_customers: FloatArray
    changes: tuple[RetentionChange, ...]
    baseline: Mapping[str, FloatArray]
    changed: tuple[Mapping[str, FloatArray], ...]
    horizon: float
    unit: str

    def __repr__(self) -> str:
        outcomes = ", ".join(self.baseline)
        return f"RetentionWhatIf({len(self.changes)} changes, {outcomes} within {self.horizon:g} {self.unit})"

    def difference(self, change: str, outcome: str = "value", *, segment: str | None = None) -> FloatArray:
        """(D,) gain per customer of a segment, or of all segments together, weighted by their customers.

        Raises
        ------
        InputError : there is no such change, outcome or segment
        """
        names = [known.name for known in self.changes]
        for what, name, found in (
            ("change", change, names), ("outcome", outcome, [*self.baseline]),
            ("segment", segment, [None, *self.segments]),
        ):  # fmt: skip
            if name not in found:
                known_names = ", ".join(str(known) for known in found if known)
                raise InputError(f"RetentionWhatIf: there is no {what} {name!r}; found: {known_names}.")
        gain: FloatArray = self.changed[names.index(change)][outcome] - self.baseline[outcome]
        if segment is not None:
            return gain[:, self.segments.index(segment)]
        everyone: FloatArray = gain @ (self.n_customers / self.n_customers.sum())
        return everyone

    def probability_it_pays(self, change: str, *, cost: float) -> float:
        """Probability that the gain in value of all customers together is above the total cost of the change.

        Raises
        ------
        InputError : as `difference`, or the cost is not a number >= 0
        """
        if not (is_number(cost) and cost >= 0):
            raise InputError(f"probability_it_pays: cost must be a number >= 0, got {cost!r}.")
        return float((self.difference(change) * self.n_customers.sum() > cost).mean())

    def to_frame(self, level: float = 0.9) -> pl.DataFrame:
        """One row per change, outcome and segment (and "(all)"): baseline, changed, difference, low, high, p_better.

        All per customer; low to high is the central interval of the difference, p_better the probability that it is
        above 0 (null where the change cannot change the outcome at all).
        """
        import polars as pl

        share = self.n_customers / self.n_customers.sum()
        rows = []
        for change, changed in zip(self.changes, self.changed, strict=True):
            for outcome, before in self.baseline.items():
                for g, name in enumerate((*self.segments, "(all)")):
                    pick = share if g == len(self.segments) else np.eye(len(self.segments))[g]
                    was, is_now = before @ pick, changed[outcome] @ pick
                    low, high = np.quantile(is_now - was, central(level))
                    better = float((is_now > was).mean()) if (is_now != was).any() else None
                    gain = float((is_now - was).mean())
                    rows.append(
                        (change.name, outcome, name, float(was.mean()), float(is_now.mean()), gain, low, high, better)
                    )
        words = dict.fromkeys(("change", "outcome", "segment"), pl.String)
        numbers = dict.fromkeys(("baseline", "changed", "difference", "low", "high", "p_better"), pl.Float64)
        return pl.DataFrame(rows, schema={**words, **numbers}, orient="row")

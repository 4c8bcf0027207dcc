"""Attribution with its uncertainty: draws of what each channel is credited with, intervals and ranks."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text
from scipy import stats

from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from rich.console import RenderableType

    from journeysim.attribution.base import Attribution
    from journeysim.attribution.chain_draws import DrawnEffects
    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]

Quantity = Literal["conversions", "share", "value", "removal_effect", "removal_effect_value"]


@dataclass(frozen=True, slots=True, eq=False)
class UncertainAttribution:
    """What a method credits to each channel, and D draws of what it might have been with other data.

    In every draw the credit adds up to the conversions, and to the value, that *were* seen: those are known, and the
    question is whose they are. Intervals hold what chance leaves open about the method's answer; they say nothing of
    whether that answer is causal.

    Attributes
    ----------
    point : the attribution of the data themselves
    source : `posterior` (of a model) or `bootstrap` (of journeys)
    settings : how the draws were made
    share : (D, C) share of the conversions; rows sum to 1
    value : (D, C) value credited; rows sum to the total value
    removal_effects, removal_effects_value : (D, C), or None where the method has none
    notes : what a reader should know about the draws, in sentences
    n_seen : (C,) conversions that met each channel, of a bootstrap: the fewer, the more too narrow its draws are, and
        the more `interval` widens for it; None where draws hold all of the uncertainty
    """

    point: Attribution
    source: Literal["posterior", "bootstrap"]
    share: FloatArray
    value: FloatArray
    removal_effects: FloatArray | None = None
    removal_effects_value: FloatArray | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    n_seen: FloatArray | None = None

    def __post_init__(self) -> None:
        shape = self.share.shape
        if len(shape) != 2 or shape[0] < 2 or shape[1] != len(self.channels):
            raise InputError(
                f"UncertainAttribution: share has shape {shape}, expected 2 or more draws of {len(self.channels)} "
                "channels."
            )
        for name in ("share", "value", "removal_effects", "removal_effects_value"):
            draws = getattr(self, name)
            if draws is None:
                continue
            if draws.shape != shape:
                raise InputError(f"UncertainAttribution: {name} has shape {draws.shape}, expected {shape}.")
            if not np.isfinite(draws).all():
                draw, c = (int(x[0]) for x in np.nonzero(~np.isfinite(draws)))
                raise InputError(f"UncertainAttribution: {name} of {self.channels[c]!r} is not finite in draw {draw}.")
            draws.setflags(write=False)
        if self.n_seen is not None and self.n_seen.shape != shape[1:]:
            raise InputError(f"UncertainAttribution: n_seen has shape {self.n_seen.shape}, expected {shape[1:]}.")
        object.__setattr__(self, "settings", dict(self.settings))  # ours alone, and it pickles

    @classmethod
    def from_effects(
        cls,
        point: Attribution,
        effects: DrawnEffects,
        *,
        source: Literal["posterior", "bootstrap"],
        settings: Mapping[str, object],
        notes: tuple[str, ...] = (),
        n_seen: FloatArray | None = None,
    ) -> UncertainAttribution:
        """Credit in proportion to drawn removal effects.

        Raises
        ------
        InputError : if refunds make the removal effects of value cancel in a draw
        """
        by_value = effects.by_value if point.removal_effects_value is not None else None
        return cls(
            point=point,
            source=source,
            share=in_proportion(effects.by_conversions, 1.0),
            value=np.zeros_like(effects.by_value) if by_value is None else in_proportion(by_value, point.total_value),
            removal_effects=effects.by_conversions,
            removal_effects_value=by_value,
            settings=settings,
            notes=notes,
            n_seen=n_seen,
        )

    @property
    def channels(self) -> tuple[str, ...]:
        """The C channel names."""
        return self.point.channels

    @property
    def n_draws(self) -> int:
        """D, the number of draws."""
        return len(self.share)

    @property
    def conversions(self) -> FloatArray:
        """(D, C) conversions credited; rows sum to the conversions that had a touch."""
        return self.share * self.point.total_conversions

    def draws(self, of: Quantity) -> FloatArray:
        """(D, C) draws of a quantity.

        Raises
        ------
        InputError : for an unknown quantity, or a removal effect of a method that has none
        """
        known: dict[str, FloatArray | None] = {
            "conversions": self.conversions,
            "share": self.share,
            "value": self.value,
            "removal_effect": self.removal_effects,
            "removal_effect_value": self.removal_effects_value,
        }
        if of not in known:
            raise InputError(f"There are no draws of {of!r}; there are: {', '.join(known)}.")
        found = known[of]
        if found is None:
            raise InputError(f"Attribution by {self.point.method} has no draws of {of}.")
        return found

    def interval(self, level: float = 0.9, *, of: Quantity = "share") -> FloatArray:
        """(2, C) lower and upper end of the central interval of each channel.

        Of a bootstrap it is the expanded percentile interval: resamples of n conversions spread too little by
        sqrt((n - 1) / n), and like a normal where a t with n - 1 degrees of freedom is due. So it goes to the quantile
        Phi(sqrt(n / (n - 1)) t) of the draws. With one or two conversions it spans about all of them.

        Raises
        ------
        InputError : for a level outside (0, 1), or as `draws`

        Source: Hesterberg 2015, What teachers should know about the bootstrap, The American Statistician 69(4).
        """
        draws = self.draws(of)
        if self.n_seen is None:
            return central_interval(draws, level)
        refuse_level(level)
        n = np.maximum(self.n_seen, 2.0)
        tails = stats.norm.cdf(np.sqrt(n / (n - 1)) * stats.t.ppf((1 - level) / 2, n - 1))
        return np.array([np.quantile(column, [q, 1 - q]) for column, q in zip(draws.T, tails, strict=True)]).T

    def points(self, of: Quantity) -> FloatArray:
        """(C,) the quantity in the attribution of the data themselves. Raises as `draws`."""
        self.draws(of)
        column = {"removal_effect": "removal_effects", "removal_effect_value": "removal_effects_value"}.get(of, of)
        return np.asarray(getattr(self.point, column))

    def p_beats(self, channel: str, other: str, *, of: Quantity = "conversions") -> float:
        """Share of the draws in which `channel` is credited with more than `other`; ties beat nobody."""
        draws = self.draws(of)
        return float((draws[:, self._at(channel)] > draws[:, self._at(other)]).mean())

    def p_rank(self, channel: str, rank: int, *, of: Quantity = "conversions") -> float:
        """Share of the draws in which exactly rank - 1 channels are credited with more: rank 1 is the most credited.

        Raises
        ------
        InputError : for an unknown channel, or a rank outside 1..C
        """
        if not 1 <= rank <= len(self.channels):
            raise InputError(f"rank must be in 1..{len(self.channels)}, the number of channels; got {rank!r}.")
        draws = self.draws(of)
        ahead = (draws > draws[:, [self._at(channel)]]).sum(axis=1)
        return float((ahead == rank - 1).mean())

    def _at(self, channel: str) -> int:
        if channel not in self.channels:
            raise InputError(f"There is no channel {channel!r}; there are: {', '.join(self.channels)}.")
        return self.channels.index(channel)

    def to_frame(self, level: float = 0.9) -> pl.DataFrame:
        """One row per channel, most credited first.

        Columns: channel; conversions, share, value and removal_effect (null where there is none), each with `_low` and
        `_high`; p_first, the share of the draws in which no channel is credited with more.
        """
        columns: dict[str, object] = {"channel": pl.Series(self.channels, dtype=pl.String)}
        quantities: tuple[Quantity, ...] = ("conversions", "share", "value", "removal_effect")
        for name in quantities:
            known = name != "removal_effect" or self.removal_effects is not None
            numbers = [self.points(name), *self.interval(level, of=name)] if known else [None] * 3
            for suffix, column in zip(("", "_low", "_high"), numbers, strict=True):
                none = [None] * len(self.channels)
                columns[name + suffix] = pl.Series(none if column is None else column, dtype=pl.Float64)
        columns["p_first"] = [self.p_rank(channel, 1) for channel in self.channels]
        return pl.DataFrame(columns).sort("conversions", "channel", descending=[True, False])

    def __rich__(self) -> Group:
        table = Table(box=box.SIMPLE_HEAD, show_footer=True, padding=(0, 1, 0, 0))
        table.add_column("channel", "total", overflow="fold")
        total = self.point.total_conversions
        count = ",.0f" if total >= 1_000 else ",.1f"
        shown: list[tuple[Quantity, str, str, str, bool]] = [  # quantity, head, format, total, with an interval
            ("conversions", "conversions", count, f"{total:{count}}", True),
            ("share", "share", ".1%", "100.0%", False),  # its interval is that of conversions, divided by the total
        ]
        if self.value.any():
            shown.append(("value", "value", ",.0f", f"{self.point.total_value:,.0f}", True))
        if self.removal_effects is not None:
            shown.append(("removal_effect", "removal\neffect", ".3f", "", True))
        for _, head, _, foot, with_interval in shown:
            table.add_column(head, foot, justify="right", no_wrap=True)
            if with_interval:
                table.add_column("90% interval", justify="right", no_wrap=True, style="dim")
        table.add_column("ranks\nfirst", justify="right", no_wrap=True)
        for row in self.to_frame().iter_rows(named=True):
            cells: list[str | Text] = [Text(row["channel"])]  # Text: a channel named "[b]" is not markup
            for name, _, form, _, with_interval in shown:
                cells.append(f"{row[name]:{form}}")
                if with_interval:
                    cells.append(f"{row[name + '_low']:{form}} to {row[name + '_high']:{form}}")
            table.add_row(*cells, f"{row['p_first']:.0%}")
        settings = ", ".join(f"{name}={value}" for name, value in self.point.settings.items())
        method = self.point.method + (f" ({settings})" if settings else "")
        made = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        title = f"Attribution by {method}, {self.n_draws:,} draws of the {self.source} ({made})"
        notes = [
            *self.point.notes,
            *self.notes,
            "Ranks first: in how many of the draws no channel is credited with more. The totals are known; what is "
            "uncertain is the split.",
        ]
        return Group(Text(title, style="bold"), table, *(Text(f"- {note}") for note in notes))

    def __str__(self) -> str:
        return as_text(self)


def central_interval(draws: FloatArray, level: float) -> FloatArray:
    """(2, ...) quantiles that leave out (1 - level) / 2 of the draws on each side.

    Raises
    ------
    InputError : for a level outside (0, 1)
    """
    refuse_level(level)
    tail = (1 - level) / 2
    return np.asarray(np.quantile(draws, [tail, 1 - tail], axis=0), dtype=np.float64)


def refuse_level(level: float) -> None:
    """Refuse levels of intervals outside (0, 1)."""
    if not 0 < level < 1:
        raise InputError(f"The level of an interval must be between 0 and 1, such as 0.9; got {level!r}.")


def in_proportion(draws: FloatArray, total: float) -> FloatArray:
    """(D, C) draws scaled so that each row sums to `total`; zeros stay zeros.

    Raises
    ------
    InputError : if the numbers of a row cancel, as only refunds can make them
    """
    if not draws.any():
        return np.zeros_like(draws)  # journeys without values
    sums = draws.sum(axis=1, keepdims=True)
    if (abs(sums) <= 1e-9 * abs(draws).sum(axis=1, keepdims=True)).any():
        raise InputError(
            "In a draw what the channels are credited with cancels out (negative values, such as refunds), so it is no "
            "basis for shares. Attribute without the refunds, or set the value column to zero."
        )
    return np.asarray(draws * (total / sums), dtype=np.float64)


def check_draws(n_draws: int, seed: int) -> None:
    """Refuse numbers of draws and seeds that make no sense."""
    if n_draws < 2:
        raise InputError(f"n_draws must be 2 or more, got {n_draws!r}.")
    if seed < 0:
        raise InputError(f"seed must be an integer >= 0, got {seed!r}.")


def silent(_done: int) -> None:
    """Progress that nobody asked to hear of."""


def refuse_stray_value(journeys: Journeys) -> None:
    """Refuse a value without a conversion, which no draw of conversions could carry.

    Raises
    ------
    InputError : naming the first such journey
    """
    stray = np.flatnonzero((journeys.conversions == 0) & (journeys.value != 0))
    if len(stray):
        j = int(stray[0])
        raise InputError(f"Journey {j} has value {journeys.value[j]:g} but no conversion; a value needs one.")


def hidden_spread(journeys: Journeys) -> tuple[str, ...]:
    """A note where rows of several conversions hide how much these differ in value."""
    if not ((journeys.conversions > 1) & (journeys.value != 0)).any():
        return ()
    return (
        "Some rows are several conversions with one sum of values; how much these differ cannot be seen, so intervals "
        "of value are too narrow.",
    )


def as_text(table: RenderableType) -> str:
    """A rich table as plain text, 120 columns wide."""
    console = Console(file=StringIO(), width=120, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())

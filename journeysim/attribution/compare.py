"""Compare: what several methods say of the same journeys, and how far they are apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, fields, is_dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
import polars as pl
from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from journeysim.attribution.base import Attribution, Attributor, LogAttributor, require_conversions
from journeysim.attribution.registry import attribute, log_methods, method_info, methods, name_of
from journeysim.attribution.uncertainty import as_text
from journeysim.errors import InputError
from journeysim.events import EventLog
from journeysim.journeys import to_journeys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from rich.console import Console, ConsoleOptions, RenderableType

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]

AnyMethod: TypeAlias = str | Attributor | LogAttributor
STANDARD_METHODS: Final = ("first_touch", "last_touch", "linear", "position_based", "time_decay", "markov")
"""What is set side by side by default: the methods that most teams know. All of the registry would be a crowd."""
_WIDEST: Final = 26  # characters of a channel's name before it is folded
_TOLD: Final = 3  # disagreements that are told in words


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Attributions of the same journeys by several methods.

    Attributes
    ----------
    results : by label, in the order in which the methods were given; all of the same channels
    refused : by label, why a method does not take these journeys
    notes : on the journeys; those on a method are in its result
    """

    results: Mapping[str, Attribution]
    refused: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def channels(self) -> tuple[str, ...]:
        """The C channel names."""
        return self._first.channels

    @property
    def total_conversions(self) -> float:
        """Conversions that every method shares out."""
        return self._first.total_conversions

    @property
    def total_value(self) -> float:
        """Value that every method shares out."""
        return self._first.total_value

    @property
    def _first(self) -> Attribution:
        return next(iter(self.results.values()))

    def to_frame(self) -> pl.DataFrame:
        """One row per method and channel: method, channel, conversions, value, share, rank (1: most credited)."""
        rank = pl.col("conversions").rank("min", descending=True).cast(pl.Int64)
        return pl.concat(
            result.to_frame().drop("removal_effect").select(pl.lit(label).alias("method"), pl.all(), rank=rank)
            for label, result in self.results.items()
        )

    def shares(self) -> pl.DataFrame:
        """One row per channel, a column of shares for each method; the highest mean over methods first."""
        columns = {label: result.share for label, result in self.results.items()}
        mean = np.mean([*columns.values()], axis=0)
        frame = pl.DataFrame({"channel": pl.Series(self.channels, dtype=pl.String), **columns})
        return frame[np.argsort(-mean, kind="stable")]

    def distances(self) -> pl.DataFrame:
        """One row per pair of methods, the closest first: method, other, distance.

        The total variation distance: the share of all credit that would have to move to another channel, 0 to 1 (more
        only where shares are negative).
        """
        rows = [
            (label, other, float(np.abs(first.share - second.share).sum() / 2))
            for (label, first), (other, second) in combinations(self.results.items(), 2)
        ]
        schema = {"method": pl.String, "other": pl.String, "distance": pl.Float64}
        return pl.DataFrame(rows, schema=schema, orient="row").sort("distance", "method", "other")

    def disagreements(self) -> pl.DataFrame:
        """One row per channel, the most disputed first: channel, lowest, lowest_by, highest, highest_by, spread."""
        labels, shares = [*self.results], np.array([result.share for result in self.results.values()])
        low, high = shares.argmin(axis=0), shares.argmax(axis=0)
        return pl.DataFrame(
            {
                "channel": pl.Series(self.channels, dtype=pl.String),
                "lowest": shares.min(axis=0),
                "lowest_by": [labels[i] for i in low],
                "highest": shares.max(axis=0),
                "highest_by": [labels[i] for i in high],
                "spread": np.ptp(shares, axis=0),
            }
        ).sort("spread", "channel", descending=[True, False])

    def sentences(self) -> list[str]:
        """How far the methods are apart, and over which channels."""
        distances = self.distances()
        if distances.is_empty():
            return []
        (one, other, least), (first, second, most) = distances.row(0), distances.row(-1)
        odd = " (more than all: some credit is negative)" if most > 1 + 1e-9 else ""
        said = [f"Farthest apart are {first} and {second}: {most:.1%} of the credit goes to other channels{odd}."]
        if distances.height > 1:
            said.append(f"Closest are {one} and {other}: {least:.1%}.")
        disputed = self.disagreements().filter(pl.col("spread") > 0).head(_TOLD)
        if disputed.height:
            told = (
                f"{row['channel']}, {row['lowest']:z.1%} ({row['lowest_by']}) to {row['highest']:z.1%} "
                f"({row['highest_by']})"
                for row in disputed.iter_rows(named=True)
            )
            said.append(f"Most disputed: {'; '.join(told)}.")
        return said

    def remarks(self) -> list[str]:
        """What a reader should know: of the journeys, of single methods, and why some refused."""
        first = self._first
        said = [*self.notes]
        if first.untouched_conversions:
            said.append(
                f"{first.untouched_conversions:,.6g} more conversions had no touch and are credited to no channel."
            )
        for label, found in self.results.items():
            said += [f"{label}: {note}" for note in found.notes if note not in self.notes]
        return said + [f"Not compared, {label}: {reason}" for label, reason in self.refused.items()]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        n = len(self.results)
        title = f"{self.total_conversions:,.6g} conversions, shared out by {n} method{'' if n == 1 else 's'}"
        yield Text(title, style="bold")
        shares = self.shares()
        widest = min(max(cell_len(name) for name in ("distance", *self.channels)), _WIDEST)
        for block in self._blocks(options.max_width - widest - 4):
            table = Table(box=box.SIMPLE_HEAD, show_footer=n > 1, padding=(0, 1, 0, 0))
            table.add_column("", "distance", overflow="fold", max_width=widest)
            for label in block:
                foot = f"{self._mean_distance(label):.1%}" if n > 1 else ""
                table.add_column(Text(_words(label)), foot, justify="right", overflow="fold", min_width=6)
            for channel, *numbers in shares.select("channel", *block).iter_rows():
                table.add_row(Text(channel), *(f"{number:z.1%}" for number in numbers))
            yield table
        if n > 1:
            yield Text("Distance: how much of the credit the other methods, on average, give to other channels.")
        for sentence in self.sentences():
            yield Text(sentence)
        for remark in self.remarks():
            yield Text(f"- {remark}")

    def __str__(self) -> str:
        return as_text(self)

    def _mean_distance(self, label: str) -> float:
        pairs = self.distances().filter((pl.col("method") == label) | (pl.col("other") == label))
        return float(pairs["distance"].to_numpy().mean())

    def _blocks(self, room: int) -> Iterator[list[str]]:
        """Labels side by side, as many as have room."""
        block: list[str] = []
        used = 0
        for label in self.results:
            width = max(6, *map(cell_len, _words(label).split("\n"))) + 2
            if block and used + width > room:
                yield block
                block, used = [], 0
            block.append(label)
            used += width
        yield block


def compare(
    source: Journeys | EventLog,
    methods: Sequence[AnyMethod] | Mapping[str, AnyMethod] | Literal["all"] = STANDARD_METHODS,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> Comparison:
    """Credit the same journeys by several methods.

    Parameters
    ----------
    source : as in `attribute`; of a log, the journeys are those of `to_journeys`
    methods : names or methods with settings, also several of one kind: they are labelled by the settings that are not
        the defaults ("markov order=3"); or a mapping from labels of yours; or "all" that are registered for journeys
    on_progress : called with the number of methods done

    A method that refuses these journeys (no times of touches, say) is listed with its reason in `refused`.

    Raises
    ------
    InputError : nothing converts, no method or an unknown name is given, or every method refuses
    """
    journeys = to_journeys(source) if isinstance(source, EventLog) else source
    require_conversions(journeys)
    asked = _labelled(methods)
    results: dict[str, Attribution] = {}
    refused: dict[str, str] = {}
    for done, (label, method) in enumerate(asked.items(), 1):
        try:
            found = attribute(
                source if isinstance(method, LogAttributor) or method in log_methods() else journeys, method
            )
            if found.channels != journeys.channels:
                raise InputError(f"it credits other channels than these journeys have: {', '.join(found.channels)}.")
            results[label] = found
        except InputError as error:
            refused[label] = str(error)
        if on_progress is not None:
            on_progress(done)
    if not results:
        reasons = "; ".join(f"{label}: {reason}" for label, reason in refused.items())
        raise InputError(f"No method takes these journeys. {reasons}")
    return Comparison(results, refused, journeys.notes)


def _labelled(
    asked: Sequence[AnyMethod] | Mapping[str, AnyMethod] | Literal["all"],
) -> dict[str, AnyMethod]:
    """Methods by label; an unknown name is a slip of the caller, not a refusal of the journeys."""
    if isinstance(asked, str):
        if asked != "all":
            raise InputError(f"methods must be a sequence of methods or 'all', got {asked!r}.")
        asked = methods()
    if not asked:
        raise InputError("Give at least one method to compare.")
    if isinstance(asked, Mapping):
        labelled = dict(asked)
    else:
        labelled = {}
        for method in asked:
            label = label_of(method)
            if isinstance(method, str) and label in labelled:
                raise InputError(f"Method {method!r} is given twice; once will do.")
            same = sum(known == label or known.startswith(f"{label} (") for known in labelled)
            labelled[f"{label} ({same + 1})" if same else label] = method
    for method in labelled.values():
        if isinstance(method, str) and method not in methods():
            method_info(method)  # says which names there are
        elif not isinstance(method, str | Attributor | LogAttributor):
            raise InputError(f"A method is a name or has attribute(journeys) or attribute_log(log); got {method!r}.")
    return labelled


def label_of(method: AnyMethod) -> str:
    """The name of a method with those of its settings that are not the defaults, such as "markov order=3"."""
    settings: tuple[Field[Any], ...] = fields(method) if is_dataclass(method) else ()
    changed = [(field.name, getattr(method, field.name), field.default) for field in settings]
    told = (
        f"{setting}={value if isinstance(value, str | int | float) else type(value).__name__}"
        for setting, value, default in changed
        if value != default
    )
    return " ".join([name_of(method), *told])


def _words(label: str) -> str:
    """A label over several lines."""
    name, *settings = label.split(" ")
    return "\n".join([*name.split("_"), *settings])

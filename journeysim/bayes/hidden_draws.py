"""HiddenDraws: draws of the hidden personas of an influence model, and their place in a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from journeysim.bayes import netcdf

if TYPE_CHECKING:
    import polars as pl
    import xarray as xr
    from numpy.typing import NDArray

    from journeysim.bayes.hidden_classes import Classes

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class HiddenDraws:
    """Draws of K hidden personas, the slowest first; Ch chains, D draws, G segments, S stages, C channels.

    Attributes
    ----------
    share_by_chain : (Ch, D, G, K) of a segment's customers
    pace_by_chain : (Ch, D, K) multiplies base hazards of forward moves; 1 for the first, and never falling
    patience_by_chain : (Ch, D, K) divides hazards of exits; 1 for the first
    reach_by_chain : (Ch, D, K, C) multiplies rates of contacts; 1 for the first
    rate_by_chain : (Ch, D, G, S, C) contacts per day of the first; 0 where no segment had one
    """

    share_by_chain: FloatArray
    pace_by_chain: FloatArray
    patience_by_chain: FloatArray
    reach_by_chain: FloatArray
    rate_by_chain: FloatArray

    def __post_init__(self) -> None:
        for name in self.__slots__:
            getattr(self, name).setflags(write=False)

    @classmethod
    def of(cls, classes: Classes) -> HiddenDraws:
        """From parameters on the log scale at points (Ch, D, n_dim)."""
        return cls(*(np.exp(value) for value in classes))

    @property
    def n_personas(self) -> int:
        """K."""
        return int(self.pace_by_chain.shape[-1])

    @property
    def share(self) -> FloatArray:
        """(Ch * D, G, K)."""
        return flat(self.share_by_chain)

    @property
    def pace(self) -> FloatArray:
        """(Ch * D, K)."""
        return flat(self.pace_by_chain)

    @property
    def patience(self) -> FloatArray:
        """(Ch * D, K)."""
        return flat(self.patience_by_chain)

    @property
    def reach(self) -> FloatArray:
        """(Ch * D, K, C)."""
        return flat(self.reach_by_chain)

    @property
    def rate(self) -> FloatArray:
        """(Ch * D, G, S, C)."""
        return flat(self.rate_by_chain)

    def summary(self, segments: tuple[str, ...], channels: tuple[str, ...]) -> pl.DataFrame:
        """One row per persona (1 is the slowest) and parameter, by segment or channel where it has several.

        Columns: persona; parameter (share, pace, patience, reach); segment, channel; mean, low and high, the central
        90% interval. Pace, patience and reach are ratios to the first persona, of which they are left out.
        """
        import polars as pl

        rows: list[tuple[Any, ...]] = []

        def add(k: int, name: str, draws: FloatArray, segment: str | None = None, channel: str | None = None) -> None:
            low, high = np.quantile(draws, [0.05, 0.95])
            rows.append((k + 1, name, segment, channel, float(draws.mean()), float(low), float(high)))

        for k in range(self.n_personas):
            for g, segment in enumerate(segments):
                add(k, "share", self.share[:, g, k], segment=segment)
            if k:
                add(k, "pace", self.pace[:, k])
                add(k, "patience", self.patience[:, k])
                for c, channel in enumerate(channels):
                    add(k, "reach", self.reach[:, k, c], channel=channel)
        columns = ["persona", "parameter", "segment", "channel", "mean", "low", "high"]
        return pl.DataFrame(rows, schema=columns, orient="row", infer_schema_length=None)

    def to_dataset(self) -> xr.Dataset:
        """Only what varies: nothing of the first persona but its share, and no rate that is 0."""
        import xarray as xr

        lead = ("chain", "draw")
        return xr.Dataset(
            {
                "persona_share": ((*lead, "segment", "persona"), self.share_by_chain),
                "pace": ((*lead, "faster"), self.pace_by_chain[..., 1:]),
                "patience": ((*lead, "faster"), self.patience_by_chain[..., 1:]),
                "reach": ((*lead, "faster", "channel"), self.reach_by_chain[..., 1:, :]),
                "contacts_per_day": ((*lead, "met"), self.rate_by_chain[..., self.rate_by_chain[0, 0] > 0]),
            }
        )

    @classmethod
    def in_file(cls, file: xr.Dataset, met: NDArray[np.bool_]) -> HiddenDraws:
        """Of a file with `to_dataset`; `met` (G, S, C) says which rates it has."""
        share, pace, patience, reach, rates = (
            netcdf.numbers(file[name]) for name in ("persona_share", "pace", "patience", "reach", "contacts_per_day")
        )
        rate = np.zeros((*rates.shape[:2], *met.shape))
        rate[..., met] = rates
        pace, patience, reach = (np.insert(value, 0, 1.0, axis=2) for value in (pace, patience, reach))
        return cls(share, pace, patience, reach, rate)


def flat(by_chain: FloatArray) -> FloatArray:
    """(Ch * D, ...) draws of (Ch, D, ...), chains one after the other."""
    return by_chain.reshape(-1, *by_chain.shape[2:])

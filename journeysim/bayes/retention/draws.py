"""Draws of a model's parameters per segment, and answers per segment with their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from journeysim.bayes.retention.priors import to_line
from journeysim.errors import InputError

if TYPE_CHECKING:
    import polars as pl
    import xarray as xr
    from numpy.typing import NDArray

    from journeysim.bayes.retention.priors import Parameter

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ParameterDraws:
    """C chains of D draws of K parameters in G segments.

    Attributes
    ----------
    parameters : names, links and priors
    values : (C, D, G, K) in the units of the parameters
    typical : (C, D, K) of a typical segment; the only segment's, if there is one
    spread : (C, D, K) standard deviation between segments on the scale of the link; (C, D, 0) with one segment
    coefficients : (C, D, P) of covariates, on the log odds of churn
    diverging : (C, D) whether the transition to this draw diverged
    energy : (C, D) of the sampler, summed over independent models; None where it was not kept
    """

    parameters: tuple[Parameter, ...]
    values: FloatArray
    typical: FloatArray
    spread: FloatArray
    coefficients: FloatArray
    diverging: BoolArray
    energy: FloatArray | None = None

    def __post_init__(self) -> None:
        for draws in (self.values, self.typical, self.spread, self.coefficients, self.diverging, self.energy):
            if draws is not None:
                draws.setflags(write=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters."""
        return tuple(parameter.name for parameter in self.parameters)

    def __getitem__(self, name: str) -> FloatArray:
        """(C * D, G) draws of a parameter."""
        return self.values[..., self.names.index(name)].reshape(-1, self.values.shape[2])

    def and_of(self, other: ParameterDraws) -> ParameterDraws:
        """These and those of an independent model of the same customers, draw by draw."""
        both = {
            name: np.concatenate([getattr(self, name), getattr(other, name)], axis=-1)
            for name in ("values", "typical", "spread", "coefficients")
        }
        energy = None if self.energy is None or other.energy is None else self.energy + other.energy
        diverging = self.diverging | other.diverging
        return ParameterDraws(self.parameters + other.parameters, diverging=diverging, energy=energy, **both)

    def thinned(self, most: int) -> NDArray[np.int64]:
        """At most so many draws, evenly spaced over all chains, as positions among C * D."""
        n = self.values.shape[0] * self.values.shape[1]
        return np.unique(np.linspace(0, n - 1, min(most, n)).astype(np.int64))

    def dataset(self, segments: tuple[str, ...], covariates: tuple[str, ...]) -> xr.Dataset:
        """A variable per parameter, with dimensions chain, draw and segment."""
        import xarray as xr

        variables: dict[str, tuple[tuple[str, ...], FloatArray]] = {}
        for k, name in enumerate(self.names):
            variables[name] = (("chain", "draw", "segment"), self.values[..., k])
            if self.spread.shape[-1]:
                variables[f"typical_{name}"] = (("chain", "draw"), self.typical[..., k])
                variables[f"spread_{name}"] = (("chain", "draw"), self.spread[..., k])
        if covariates:
            variables["coefficient"] = (("chain", "draw", "covariate"), self.coefficients)
        return xr.Dataset(variables, coords={"segment": list(segments), "covariate": list(covariates)})

    def on_the_line(self, dataset: xr.Dataset) -> xr.Dataset:
        """The dataset on the scale on which the parameters were sampled, for diagnostics."""
        links = {parameter.name: parameter.link for parameter in self.parameters}

        def line(draws: xr.DataArray) -> xr.DataArray:
            name = str(draws.name)
            if name == "coefficient":
                return draws
            link = "log" if name.startswith("spread_") else links[name.removeprefix("typical_")]
            return draws.copy(data=to_line(draws.to_numpy(), link))

        return dataset.map(line)


@dataclass(frozen=True, eq=False)
class SegmentDraws:
    """One quantity per segment at some times, by draw.

    Attributes
    ----------
    what, unit : names of the quantity and of the times
    segments : the G names
    times : (T,)
    draws : (D, G, T)
    """

    what: str
    unit: str
    segments: tuple[str, ...]
    times: FloatArray
    draws: FloatArray

    def __repr__(self) -> str:
        size = f"{len(self.segments)} segments, {len(self.times)} times, {len(self.draws)} draws"
        return f"SegmentDraws({self.what}, {size})"

    def to_frame(self, level: float = 0.9) -> pl.DataFrame:
        """One row per segment and time: segment, time, mean, low, high (central interval)."""
        import polars as pl

        low, high = np.quantile(self.draws, central(level), axis=0)
        return pl.DataFrame(
            {
                "segment": np.repeat(self.segments, len(self.times)),
                "time": np.tile(self.times, len(self.segments)),
                "mean": self.draws.mean(axis=0).ravel(),
                "low": low.ravel(),
                "high": high.ravel(),
            }
        )


def central(level: float) -> tuple[float, float]:
    """The probabilities of the two ends of a central interval."""
    if not 0 < level < 1:
        raise InputError(f"The level of an interval is a number between 0 and 1, got {level!r}.")
    return (1 - level) / 2, (1 + level) / 2


def growing_times(times: object, where: str, *, whole: bool = False) -> FloatArray:
    """Times as an array.

    Raises
    ------
    InputError : there are none, or one is negative, not finite, or not whole where it must be
    """
    given = np.atleast_1d(np.asarray(times))
    found = given.astype(np.float64) if given.dtype.kind in "iuf" else np.array([np.nan])  # text is no number
    if found.ndim != 1 or not found.size or not np.isfinite(found).all() or (found < 0).any():
        raise InputError(f"{where}: times must be numbers >= 0, got {times!r}.")
    if whole and (found != np.floor(found)).any():
        raise InputError(f"{where}: renewals are counted 1, 2, 3, ...; got {times!r}.")
    return found

"""What the posteriors of both kinds of retention model share: parameters, verdict, files."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from journeysim.bayes import netcdf
from journeysim.bayes.arviz_groups import arviz_object, sample_stats
from journeysim.bayes.diagnostics import Diagnostics, rhat_and_ess
from journeysim.bayes.notes import state, with_notes
from journeysim.bayes.retention.draws import ParameterDraws
from journeysim.bayes.retention.priors import Parameter
from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import polars as pl
    import xarray as xr
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

MAX_ANSWER_DRAWS: Final = 1000
"""Answers use at most so many evenly spaced draws: 1,000 give the ends of a 90% interval to 0.7% of coverage."""


@dataclass(frozen=True, eq=False)
class RetentionPosterior(ABC):
    """Draws of a retention model's parameters, with names, priors, diagnostics and provenance.

    Attributes
    ----------
    parameters : draws per segment
    priors : the settings of the models that were fitted
    seed, warmup : of the sampler
    versions : of the packages that made the draws
    """

    parameters: ParameterDraws
    priors: Mapping[str, Any]
    seed: int
    warmup: int
    versions: Mapping[str, str]

    @property
    @abstractmethod
    def segments(self) -> tuple[str, ...]:
        """The G segment names."""

    @property
    @abstractmethod
    def covariates(self) -> tuple[str, ...]:
        """The P names of covariates."""

    @property
    @abstractmethod
    def notes(self) -> tuple[str, ...]:
        """What to know before reading the figures: segments that are hardly seen."""

    @abstractmethod
    def _history_dataset(self) -> xr.Dataset: ...

    def __repr__(self) -> str:
        chains, draws, segments, _ = self.parameters.values.shape
        what = f"{', '.join(self.parameters.names)} in {segments} segments, {chains} chains of {draws:,} draws"
        return f"{type(self).__name__}({what}, {state(self)})"

    def __str__(self) -> str:
        return with_notes(self)

    @property
    def n_answer_draws(self) -> int:
        """How many draws answers use."""
        return len(self.parameters.thinned(MAX_ANSWER_DRAWS))

    def answer_draws(self, name: str) -> FloatArray:
        """(D, G) draws of a parameter that answers use; D <= MAX_ANSWER_DRAWS."""
        return self.parameters[name][self.parameters.thinned(MAX_ANSWER_DRAWS)]

    @cached_property
    def diagnostics(self) -> Diagnostics:
        """R-hat, effective sample size and divergences over all parameters, on the scale of their links."""
        draws = self.parameters.on_the_line(self._draws())
        return Diagnostics.of(draws, n_divergences=int(self.parameters.diverging.sum()))

    def require_converged(self) -> None:
        """Raise InputError, saying what to do, unless the draws may be trusted."""
        if not self.diagnostics.ok:
            raise InputError(f"{type(self).__name__} (seed {self.seed}): {self.diagnostics.verdict}")

    def summary(self) -> pl.DataFrame:
        """One row per parameter and segment: parameter, segment, mean, median, low, high (90%), ess and rhat.

        Effective sample size and R-hat are of the parameter on the scale of its link. With several segments, rows of
        the segment "(typical)" say what the segments have in common, and "(spread)" how much they differ.
        """
        import polars as pl

        draws = self._draws()
        rhat, ess = rhat_and_ess(self.parameters.on_the_line(draws))
        rows = []
        for name, values in draws.data_vars.items():
            kind, _, parameter = str(name).partition("_")
            about = kind if kind in ("typical", "spread") else ""
            label = parameter if about else str(name)
            what = self.covariates if name == "coefficient" else self.segments
            for i, segment in enumerate([f"({about})"] if about else what):
                of = values.to_numpy().reshape(values.sizes["chain"] * values.sizes["draw"], -1)[:, i]
                low, median, high = np.quantile(of, [0.05, 0.5, 0.95])
                own_ess, own_rhat = (float(np.ravel(table[name].to_numpy())[i]) for table in (ess, rhat))
                rows.append((label, segment, float(of.mean()), median, low, high, own_ess, own_rhat))
        columns = ["parameter", "segment", "mean", "median", "low", "high", "ess", "rhat"]
        return pl.DataFrame(rows, schema=columns, orient="row")

    def to_arviz(self, *, log_likelihood: bool = False) -> Any:
        """What ArviZ's functions and plots take: `InferenceData`, or `DataTree` from ArviZ 1 on.

        Beside the draws and how they were made, `posterior_predictive` holds what the model would have produced in
        place of `observed_data`, for some evenly spaced draws, as one chain: who left at each renewal, or the repeat
        purchases of each customer.

        Parameters
        ----------
        log_likelihood : add that of each customer, for `az.loo` and `az.compare`. Spend is left out. For many
            customers use `checks.leave_one_out`, which gives the same and does not grow with them

        Raises
        ------
        InputError : the log likelihood would have more than 1e8 numbers
        """
        from journeysim.bayes.retention.checks import customer_log_likelihood, replications

        return arviz_object(
            self._draws(),
            sample_stats(self.parameters.diverging, self.parameters.energy),
            replications=replications(self),  # type: ignore[arg-type]  # one of the two kinds
            log_likelihood=customer_log_likelihood(self) if log_likelihood else None,  # type: ignore[arg-type]
        )

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write draws, history and provenance to one netCDF-3 file; it exists whole or not at all.

        Raises
        ------
        InputError : if the file exists and `overwrite` is False, or it cannot be written there
        """
        import xarray as xr

        draws = self.parameters
        k = [*draws.names]
        raw = xr.Dataset(
            {
                "values": (("chain", "draw", "segment", "parameter"), draws.values),
                "typical": (("chain", "draw", "parameter"), draws.typical),
                "spread": (("chain", "draw", "pooled"), draws.spread),
                "coefficients": (("chain", "draw", "covariate"), draws.coefficients),
            },
            coords={"segment": list(self.segments), "parameter": k},
        )
        if not draws.spread.size:
            raw = raw.drop_vars("spread")
        if not draws.coefficients.size:
            raw = raw.drop_vars("coefficients")
        history = self._history_dataset()
        everything = raw.merge(sample_stats(draws.diverging, draws.energy)).merge(history)
        provenance = {
            "parameters": [(p.name, p.link, p.within) for p in draws.parameters],
            "priors": self.priors, "seed": self.seed, "warmup": self.warmup, "versions": self.versions,
        }  # fmt: skip
        everything.attrs = history.attrs | {"provenance": json.dumps(provenance, default=dict)}
        netcdf.write(everything, path, overwrite=overwrite)

    def _draws(self) -> xr.Dataset:
        return self.parameters.dataset(self.segments, self.covariates)


def from_file(file: xr.Dataset) -> dict[str, Any]:
    """The fields of `RetentionPosterior` from a file that `save` wrote."""
    provenance = json.loads(file.attrs["provenance"])
    values = netcdf.numbers(file["values"])
    none = np.empty((*values.shape[:2], 0))
    return {
        "parameters": ParameterDraws(
            parameters=tuple(Parameter(name, link, tuple(within)) for name, link, within in provenance["parameters"]),
            values=values,
            typical=netcdf.numbers(file["typical"]),
            spread=netcdf.numbers(file["spread"]) if "spread" in file else none,
            coefficients=netcdf.numbers(file["coefficients"]) if "coefficients" in file else none,
            diverging=file["diverging"].to_numpy().astype(np.bool_),
            energy=netcdf.numbers(file["energy"]) if "energy" in file else None,
        ),
        **{name: provenance[name] for name in ("priors", "seed", "warmup", "versions")},
    }

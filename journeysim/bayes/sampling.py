"""Draws from a compiled log-density by NUTS, the same for every model."""

from __future__ import annotations

import platform
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from journeysim.bayes.arviz_versions import import_arviz
from journeysim.errors import InputError
from journeysim.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]


class Density(Protocol):
    """A log density with its gradient, compiled: no Python between two steps of the sampler."""

    @property
    def n_dim(self) -> int:
        """Length of a point."""
        ...

    def __call__(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Log density at x (n_dim,), up to a constant, and its gradient (n_dim,)."""
        ...


@dataclass(frozen=True, slots=True)
class Draws:
    """Points that NUTS drew: (C, D, n_dim), and (C, D) whether the transition to each diverged, and its energy."""

    points: FloatArray
    diverging: BoolArray
    energy: FloatArray


def sample(
    density: Density,
    *,
    where: str,
    seed: int,
    draws: int,
    warmup: int,
    chains: int,
    progress: bool = False,
    target_accept: float = 0.8,
) -> Draws:
    """Sample a density by NUTS, chains in parallel.

    Parameters
    ----------
    where : who asks, for messages
    seed : same seed, same versions, same draws, on any number of cores; 0 <= seed < 2**64
    draws, warmup : per chain; at least 4 draws, which R-hat needs
    chains : at least 2, for only several can disagree
    progress : show the sampler's progress if standard error is a terminal
    target_accept : share of proposals that the step size aims at; more means smaller steps, which diverge less

    Raises
    ------
    InputError : if a setting is out of its range
    RuntimeError : if the sampler itself fails
    """
    least = {"seed": 0, "draws": 4, "warmup": 1, "chains": 2}
    for name, value in {"seed": seed, "draws": draws, "warmup": warmup, "chains": chains}.items():
        if not least[name] <= value < 2**64:
            raise InputError(f"{where}: {name} must be in [{least[name]}, 2**64), got {value!r}.")
    import_arviz()
    import nutpie
    from nutpie.compiled_pyfunc import from_pyfunc

    density(np.zeros(density.n_dim))  # compile, or load the compiled code, before chains run in threads
    sampler = nutpie.sample(
        from_pyfunc(density.n_dim, lambda: density, _keep_point, [np.dtype(np.float64)], [(density.n_dim,)], ["point"]),
        draws=draws,
        tune=warmup,
        chains=chains,
        seed=seed,
        target_accept=target_accept,
        progress_bar=progress and sys.stderr.isatty(),
        save_warmup=False,
        blocking=False,  # nutpie's own waiting takes Ctrl-C for "enough draws"
    )
    try:
        trace = sampler.wait()
    except BaseException as error:  # a panic of the sampler is no Exception
        with suppress(BaseException):  # nor can a sampler that failed always be cancelled
            sampler.cancel()
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        first_line = str(error).partition("\n")[0]
        raise RuntimeError(
            f"{where}: the sampler failed ({type(error).__name__}: {first_line}). Another seed may get past it; "
            "if several do not, please report it with the history and the seed."
        ) from error
    return Draws(
        points=trace["posterior"]["point"].to_numpy(),
        diverging=trace["sample_stats"]["diverging"].to_numpy().astype(np.bool_),
        energy=trace["sample_stats"]["energy"].to_numpy(),
    )


def versions() -> dict[str, str]:
    """Of Python and the packages that make draws: part of every posterior's provenance."""
    return {
        "journeysim": __version__,
        "python": platform.python_version(),
        **{package: version(package) for package in ("numba", "numpy", "nutpie")},
    }


def _keep_point(_seed1: int, _seed2: int, _chain: int) -> Callable[[FloatArray], dict[str, Any]]:
    # nutpie would call Python once per draw; a density's `parameters` transforms all draws at once.
    return lambda point: {"point": point}

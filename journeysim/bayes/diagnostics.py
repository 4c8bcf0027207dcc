"""Whether a sampler's draws may be trusted: one verdict in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from journeysim.bayes.arviz_versions import import_arviz

if TYPE_CHECKING:
    import xarray as xr

# Both bounds: Vehtari, Gelman, Simpson, Carpenter & Buerkner (2021), Rank-normalization, folding, and localization:
# an improved R-hat, Bayesian Analysis 16.
MAX_RHAT: Final = 1.01
MIN_ESS: Final = 400.0
# Calibration holds with isolated divergences (tests/test_bayes_calibration.py); intervals are known to fail at 2%.
MAX_DIVERGENT_SHARE: Final = 0.001


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """How well the chains of a fit agree, over all its parameters.

    Attributes
    ----------
    max_rhat : largest rank-normalised split R-hat; NaN where a parameter never moved
    min_ess : smallest bulk effective sample size
    n_divergences : transitions after warm-up whose energy went astray
    n_draws : over all chains
    """

    max_rhat: float
    min_ess: float
    n_divergences: int
    n_draws: int

    @classmethod
    def of(cls, draws: xr.Dataset, *, n_divergences: int) -> Diagnostics:
        """Diagnostics over every variable of a dataset with dimensions chain and draw."""
        rhat, ess = rhat_and_ess(draws)
        return cls(
            max_rhat=float(rhat.to_dataarray().max(skipna=False)),
            min_ess=float(ess.to_dataarray().min(skipna=False)),
            n_divergences=n_divergences,
            n_draws=draws.sizes["chain"] * draws.sizes["draw"],
        )

    @property
    def ok(self) -> bool:
        """Whether the draws may be used: R-hat < 1.01, effective sample size > 400, at most 0.1% of draws divergent."""
        return self.max_rhat < MAX_RHAT and self.min_ess > MIN_ESS and self._few_divergences

    @property
    def _few_divergences(self) -> bool:
        return self.n_divergences <= MAX_DIVERGENT_SHARE * self.n_draws

    @property
    def verdict(self) -> str:
        """What the figures mean and what to do about them."""
        divergences = f"{self.n_divergences} divergences in {self.n_draws} draws"
        if self.ok:
            return (
                f"Converged: R-hat at most {self.max_rhat:.3f}, effective sample size at least {self.min_ess:.0f}, "
                f"{divergences}."
            )
        faults = []
        if not self._few_divergences:
            faults.append(
                f"{divergences}: the sampler avoids part of the posterior and its intervals are too narrow; "
                "look for priors that are very wide for so few moves, or that contradict the counts."
            )
        # NaN must count as a fault, hence `not <` and not `>=`.
        if not self.max_rhat < MAX_RHAT:
            faults.append(
                f"R-hat {self.max_rhat:.3f} is not below {MAX_RHAT}: the chains disagree; double `warmup` and `draws`."
            )
        if not self.min_ess > MIN_ESS:
            faults.append(
                f"Effective sample size {self.min_ess:.0f} is not above {MIN_ESS:.0f}: "
                "intervals are noisy; double `draws`."
            )
        return " ".join(["Not converged.", *faults])


def rhat_and_ess(draws: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Rank-normalised split R-hat and bulk effective sample size, over chain and draw, of every variable."""
    az = import_arviz()
    with np.errstate(divide="ignore", invalid="ignore"):  # a chain that never moved has no variance: R-hat is infinite
        return az.rhat(draws), az.ess(draws, method="bulk")
